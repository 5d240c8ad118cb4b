// What stands behind a handle's ring. Only slow paths come here: a full or an empty ring, a peer
// that sleeps or has left, a system call.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "rondo/core/record_ring.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/transports/channel_info.hpp"
#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "rondo/transports/status.hpp"
#include "rondo/transports/url.hpp"

namespace rondo::inline RONDO_ABI::detail {

// True of a status after which a handle does nothing any more.
[[nodiscard]] constexpr bool is_final(Status status) noexcept {
  switch (status) {
    case Status::kOk:
    case Status::kWouldBlock:
    case Status::kTimedOut:
    case Status::kInterrupted:
    case Status::kTooLarge: return false;
    default: return true;
  }
}

// The status of a call that did not wait long enough.
[[nodiscard]] inline Status too_late(Deadline deadline) noexcept {
  return deadline == Deadline::now() ? Status::kWouldBlock : Status::kTimedOut;
}

// What a handle is called in ChannelInfo.
class Named {
 public:
  explicit Named(const Url& url) : scheme_(url.scheme), name_(url.name()) {}
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  void name(ChannelInfo& info) const {
    info.scheme = scheme_;
    info.name = name_;
  }

 private:
  Scheme scheme_;
  std::string name_;
};

// What ThreadSanitizer is told of the channel; see hand_over.hpp. Nothing without a channel.
[[nodiscard]] HandOver hand_over_of(const Named* channel) noexcept;

// The handle passes its own ring end and bell in, so that they can be its members and move with it.
class SenderBackend : public Named {
 public:
  using Named::Named;
  virtual ~SenderBackend() = default;

  // True when this object came here by fork().
  [[nodiscard]] virtual bool forked() const noexcept = 0;
  // Waits for room for `size_bytes`; kOk when producer.try_reserve() will find it.
  [[nodiscard]] virtual Status wait_for_room(record_ring::Producer& producer, Ringer& ringer,
                                             std::size_t size_bytes,
                                             Deadline deadline) noexcept = 0;
  // Passes on what was committed: wakes the receiver, or writes it out, waiting until `deadline`.
  // kOk unless the channel is over.
  [[nodiscard]] virtual Status published(Ringer& ringer, Deadline deadline) noexcept = 0;
  [[nodiscard]] virtual Status flush(record_ring::Producer& producer, Ringer& ringer,
                                     Deadline deadline) noexcept = 0;
  // Ends the stream in order if `status` is kOk, else breaks it off as far as the status allows,
  // and leaves. Called once.
  [[nodiscard]] virtual Status close(record_ring::Producer& producer, Ringer& ringer, Status status,
                                     Deadline deadline) noexcept = 0;
  [[nodiscard]] virtual bool receiver_attached() noexcept = 0;
  [[nodiscard]] virtual Status wait_for_receiver(Ringer& ringer, Deadline deadline) noexcept = 0;
  // For as many as a channel can have.
  [[nodiscard]] virtual Status wait_for_receivers(Ringer& ringer, std::uint32_t,
                                                  Deadline deadline) noexcept {
    return wait_for_receiver(ringer, deadline);
  }
  virtual void describe(const record_ring::Producer& producer, ChannelInfo& info) const = 0;
};

class ReceiverBackend : public Named {
 public:
  using Named::Named;
  virtual ~ReceiverBackend() = default;

  [[nodiscard]] virtual bool forked() const noexcept = 0;
  // Waits for a record; kOk when it has been peeked at.
  [[nodiscard]] virtual Status fetch(record_ring::Consumer& consumer,
                                     Deadline deadline) noexcept = 0;
  // Leaves in order. Called once.
  virtual void detach(record_ring::Consumer& consumer, Ringer& ringer) noexcept = 0;
  virtual void describe(const record_ring::Consumer& consumer, ChannelInfo& info) const = 0;
};

// An end whose messages do not lie in the handle's own record ring: the handle passes every call
// on, and its record ring stays shut.
class OwnRingSender : public SenderBackend {
 public:
  using SenderBackend::SenderBackend;

  [[nodiscard]] virtual std::size_t max_message_bytes() const noexcept = 0;
  // Room for one message of at most max_message_bytes(), waiting for it until `deadline`; nullptr
  // with the reason in `refusal`. Ends with commit() or discard().
  [[nodiscard]] virtual std::byte* reserve(std::size_t size_bytes, Deadline deadline,
                                           Status& refusal) noexcept = 0;
  virtual void commit(std::size_t size_bytes) noexcept = 0;
  virtual void discard() noexcept = 0;
  // As reserve() and commit(), in one call.
  [[nodiscard]] virtual Status send(std::span<const std::byte> message,
                                    Deadline deadline) noexcept = 0;
  // Adds a message to the open batch; nullptr with the reason in `refusal`.
  [[nodiscard]] virtual std::byte* add(std::size_t size_bytes, Status& refusal) noexcept = 0;
  // Sends the open batch as a whole, waiting for room until `deadline`, or nothing of it.
  [[nodiscard]] virtual Status commit_batch(Deadline deadline) noexcept = 0;
  virtual void abandon_batch() noexcept = 0;

  // Of record rings only.
  Status wait_for_room(record_ring::Producer&, Ringer&, std::size_t, Deadline) noexcept final {
    return Status::kWouldBlock;
  }
  Status published(Ringer&, Deadline) noexcept final { return Status::kOk; }
};

// A message that a backend has fetched for its handle.
struct Fetched {
  std::span<const std::byte> bytes;
  bool redelivered = false;
};

class OwnRingReceiver : public ReceiverBackend {
 public:
  using ReceiverBackend::ReceiverBackend;

  [[nodiscard]] virtual std::size_t max_message_bytes() const noexcept = 0;
  // Takes the next message, waiting until `deadline`. After kOk, give_back() ends with it.
  [[nodiscard]] virtual Status fetch(Fetched& message, Deadline deadline) noexcept = 0;
  virtual void give_back() noexcept = 0;
  // Messages that it did not get.
  [[nodiscard]] virtual std::uint64_t lost() const noexcept { return 0; }

  // Of record rings only.
  Status fetch(record_ring::Consumer&, Deadline) noexcept final { return Status::kWouldBlock; }
};

// Ends for the handles of such backends, and for handles that have given their own away: they take
// nothing, and hold nothing.
[[nodiscard]] record_ring::Producer shut_producer() noexcept;
[[nodiscard]] record_ring::Consumer shut_consumer() noexcept;

// What an opened end consists of.
struct SenderParts {
  record_ring::Producer producer;
  Ringer ringer;
  std::unique_ptr<SenderBackend> backend;
  OwnRingSender* own_ring = nullptr;  // the backend, if it is one
};
struct ReceiverParts {
  record_ring::Consumer consumer;
  Ringer ringer;
  std::unique_ptr<ReceiverBackend> backend;
  // A receiver that finds nothing asks the backend at every so many looks: 1, or a power of two
  // where nothing comes of asking but news of the other side's death.
  std::uint32_t looks_per_fetch = 1;
  OwnRingReceiver* own_ring = nullptr;  // the backend, if it is one
};
using PairParts = std::pair<SenderParts, ReceiverParts>;

// How often fork() has been called on the way from the first process to this one, as far as this
// library has been watching. An object that was made at another count was inherited.
[[nodiscard]] std::uint32_t fork_count() noexcept;

}  // namespace rondo::inline RONDO_ABI::detail
