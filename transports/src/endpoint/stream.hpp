// Channels over a mechanism of the system's own: pipe:, fd:, fifo:, unix:. A staging ring in local
// memory stands between the handle and the mechanism, so that the handle is the same as for a ring.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "endpoint/backend.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/wait.hpp"
#include "rondo/transports/local_memory.hpp"
#include "rondo/transports/open_options.hpp"
#include "rondo/transports/url.hpp"
#include "stream/byte_stream.hpp"
#include "stream/outlet.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Something that is to be undone when the handle closes in order, and not by a forked child: a name
// in the file system.
class Cleanup {
 public:
  virtual ~Cleanup() = default;
  virtual void run() noexcept = 0;
};

// A cleanup that is due until it is taken over: what an open has made goes again if it fails,
// wherever that is.
class PendingCleanup {
 public:
  PendingCleanup() noexcept = default;
  explicit PendingCleanup(std::unique_ptr<Cleanup> cleanup) noexcept
      : cleanup_(std::move(cleanup)) {}
  PendingCleanup(PendingCleanup&&) noexcept = default;
  PendingCleanup& operator=(PendingCleanup&& other) noexcept {
    std::swap(cleanup_, other.cleanup_);
    return *this;
  }
  ~PendingCleanup() {
    if (cleanup_ != nullptr) cleanup_->run();
  }
  explicit operator bool() const noexcept { return cleanup_ != nullptr; }
  [[nodiscard]] std::unique_ptr<Cleanup> take() noexcept { return std::move(cleanup_); }

 private:
  std::unique_ptr<Cleanup> cleanup_;
};

// The staging ring and the memory it lies in.
struct Staging {
  LocalMemory memory;
  RecordParts parts{};
  std::span<std::byte> chunk;  // a receiver's; what is read before anything is known of it
};

// The descriptor of a handle over a mechanism's end.
[[nodiscard]] Result<std::unique_ptr<WakeDescriptor>> wake_beside(const Conduit& end, bool writing);

class StreamSender final : public RecordSender {
 public:
  // The cleanup is dropped if the URL says that the channel is to be kept.
  StreamSender(std::unique_ptr<Outlet> outlet, Staging staging, PendingCleanup&& cleanup,
               const Url& url, const OpenOptions& options);

  Status wait_for_room(record_ring::Producer& producer, Notifier& notifier, std::size_t size_bytes,
                       Deadline deadline) noexcept override;
  Status published(Notifier& notifier, Deadline deadline) noexcept override;
  // Whatever is there is written out.
  bool would_wake(Notifier&) noexcept override { return true; }
  Status flush(record_ring::Producer& producer, Notifier& notifier,
               Deadline deadline) noexcept override;
  Status close(record_ring::Producer& producer, Notifier& notifier, Status status,
               Deadline deadline) noexcept override;
  std::chrono::nanoseconds linger() const noexcept override { return linger_; }
  bool receiver_attached() noexcept override { return !outlet_->peer_gone(); }
  Status wait_for_receiver(Notifier& notifier, Deadline deadline) noexcept override;
  bool has_word() const noexcept override { return false; }
  Result<std::unique_ptr<WakeDescriptor>> make_wake() override {
    return wake_beside(*outlet_, true);
  }
  void describe(const record_ring::Producer& producer, ChannelInfo& info) const override;

 private:
  [[nodiscard]] Status write_all(Deadline deadline) noexcept;
  [[nodiscard]] Status wait(Deadline deadline) const noexcept;

  Staging staging_;
  std::unique_ptr<Outlet> outlet_;
  std::unique_ptr<Cleanup> cleanup_;
  WaitMode mode_;
  std::chrono::nanoseconds linger_;
  const std::atomic<bool>* stop_;
};

class StreamReceiver final : public RecordReceiver {
 public:
  StreamReceiver(std::unique_ptr<Inlet> inlet, Staging staging, PendingCleanup&& cleanup,
                 const Url& url, const OpenOptions& options);

  Status wait_for_record(record_ring::Consumer& consumer, Deadline deadline) noexcept override;
  bool has_word() const noexcept override { return false; }
  Result<std::unique_ptr<WakeDescriptor>> make_wake() override {
    return wake_beside(*inlet_, false);
  }
  bool holds_more() const noexcept override { return inlet_->holds_more(); }
  void detach(record_ring::Consumer& consumer, Notifier& notifier) noexcept override;
  std::size_t max_message_bytes(const record_ring::Consumer& consumer) const noexcept override {
    return std::min(consumer.max_record_bytes(), inlet_->max_message_bytes());
  }
  std::uint64_t lost(const record_ring::Consumer&) const noexcept override {
    return inlet_->lost();
  }
  void describe(const record_ring::Consumer& consumer, ChannelInfo& info) const override;

 private:
  Staging staging_;
  std::unique_ptr<Inlet> inlet_;
  std::unique_ptr<Cleanup> cleanup_;
  WaitMode mode_;
  const std::atomic<bool>* stop_;
};

// Makes the mechanism's end over the parts of a staging ring.
using MakeOutlet = FunctionRef<std::unique_ptr<Outlet>(const Staging&)>;
using MakeInlet = FunctionRef<std::unique_ptr<Inlet>(const Staging&, record_ring::Producer)>;

// Puts an end together around a mechanism's. `chunk_bytes`: of Staging::chunk. Errors: kNoSpace.
[[nodiscard]] Result<SenderParts> make_staged_sender(const MakeOutlet& make, PendingCleanup cleanup,
                                                     const Url& url, const OpenOptions& options);
[[nodiscard]] Result<ReceiverParts> make_staged_receiver(const MakeInlet& make,
                                                         std::size_t chunk_bytes,
                                                         PendingCleanup cleanup, const Url& url,
                                                         const OpenOptions& options);
// What both directions of a connection take of memory at most.
[[nodiscard]] std::uint64_t staged_bytes(const ChannelOptions& options) noexcept;
// The same around an open byte stream.
[[nodiscard]] Result<SenderParts> make_stream_sender(std::unique_ptr<ByteStream> stream,
                                                     PendingCleanup cleanup, const Url& url,
                                                     const OpenOptions& options);
[[nodiscard]] Result<ReceiverParts> make_stream_receiver(std::unique_ptr<ByteStream> stream,
                                                         PendingCleanup cleanup, const Url& url,
                                                         const OpenOptions& options);

}  // namespace rondo::inline RONDO_ABI::detail
