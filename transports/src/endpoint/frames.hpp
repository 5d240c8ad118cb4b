// Channels that are a pool of frames (kind=frames): one sender and up to 64 receivers, each of
// which holds the frame that its Message shows. The sender never waits for a receiver that is
// merely slow; it waits when all frames are held, which takes fewer of them than receivers + 2.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "endpoint/absence.hpp"
#include "endpoint/backend.hpp"
#include "endpoint/name_keeper.hpp"
#include "endpoint/record.hpp"
#include "rondo/core/attachment.hpp"
#include "rondo/core/frame_pool.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/wait.hpp"
#include "rondo/transports/open_options.hpp"
#include "rondo/transports/url.hpp"

namespace rondo::inline RONDO_ABI::detail {

// The pool that `url` asks for: what it does not say is the default.
[[nodiscard]] FramePoolParams pool_params(const Url& url) noexcept;
// Makes it in `bytes`; see frame_pool::create().
[[nodiscard]] Result<void> create_pool(std::span<std::byte> bytes, const Url& url);
// Bytes of its segment.
[[nodiscard]] Result<std::uint64_t> size_of_pool(const Url& url);

// What stands in the pool, into `info`, whose participants stand already.
void describe_pool(const FramePoolParts& parts, ChannelInfo& info);
// Of a pool that one does not take part in.
void inspect_pool(const Segment& segment, const Geometry& geometry, const Url& url,
                  ChannelInfo& info);

// One handle's place at a pool. Destroyed without leave(), it is that of a dead participant.
class PoolMembership {
 public:
  // Errors: frame_pool::attach()'s, kGeometryMismatch, kInvalidOption, Participants::join()'s.
  [[nodiscard]] static Result<PoolMembership> take(RingSegment found, const Url& url,
                                                   const OpenOptions& options, Role role,
                                                   NameKeeper keeper = {});

  [[nodiscard]] const FramePoolParts& parts() const noexcept { return ring_.parts(); }
  // Of a receiver.
  [[nodiscard]] std::uint32_t reader() const noexcept;
  // Whether memory has been taken away from under the pool.
  [[nodiscard]] bool damaged() const noexcept { return ring_.damaged(); }
  [[nodiscard]] bool at_its_name() const noexcept { return ring_.at_its_name(); }
  [[nodiscard]] NativeHandle lock_file() const noexcept { return ring_.participants().lock_file(); }

  // Whether the sender is there; whether reader `i` has begun to read and is: proved, not guessed.
  [[nodiscard]] Presence sender() const noexcept;
  [[nodiscard]] Presence reader(std::uint32_t i) const noexcept;
  // How often their places were taken so far.
  [[nodiscard]] std::uint32_t sender_joins() const noexcept {
    return ring_.participants().generation(frame_pool::kProducerSlot);
  }
  [[nodiscard]] std::uint32_t reader_joins(std::uint32_t i) const noexcept {
    return ring_.participants().generation(frame_pool::kFirstReaderSlot + i);
  }
  // Whether the sender is absent, and how: `peer_closed` tells of one that is whether it left in
  // order.
  template <class PeerClosed>
  [[nodiscard]] Absence sender_absence(PeerClosed&& peer_closed) const noexcept {
    return probe_absence([this] { return sender(); }, [this] { return sender_joins(); },
                         peer_closed);
  }

  // Lets go of what dead readers hold.
  void recover() noexcept { recover_dead_readers(ring_.parts(), ring_.participants()); }
  // Gives the participant's slot back. If no other is left, the name goes with it, unless it is
  // to be kept, or frames lie there that no reader has seen.
  void leave(bool keep) noexcept;
  void describe(ChannelInfo& info) const;

 private:
  PoolMembership(Attachment<frame_pool> ring, NameKeeper keeper) noexcept
      : ring_(std::move(ring)), keeper_(std::move(keeper)) {}

  [[nodiscard]] bool anything_unread() const noexcept;

  Attachment<frame_pool> ring_;
  NameKeeper keeper_;
};

class PoolSender final : public SenderBackend {
 public:
  PoolSender(PoolMembership membership, const Url& url, const OpenOptions& options);

  std::size_t max_message_bytes(const record_ring::Producer&) const noexcept override {
    return membership_.parts().frame_bytes;
  }
  std::byte* reserve(record_ring::Producer&, Notifier&, std::size_t size_bytes, Deadline deadline,
                     Status& refusal) noexcept override;
  void commit(std::size_t size_bytes) noexcept override { producer_.commit(size_bytes); }
  void discard() noexcept override { producer_.discard(); }
  void begin_batch(record_ring::Producer&) noexcept override {}
  // A batch has room for one frame: the pool publishes one at a time.
  std::byte* add(record_ring::Producer&, Notifier&, std::size_t size_bytes,
                 Status& refusal) noexcept override;
  Status commit_batch(record_ring::Producer&, Notifier&, Deadline deadline) noexcept override;
  void abandon_batch(record_ring::Producer&) noexcept override;
  Published committed(const record_ring::Producer&) const noexcept override {
    return {producer_.number(), 0};
  }
  Status published(Notifier&, Deadline) noexcept override;
  bool would_wake(Notifier&) noexcept override { return bell_.would_wake(); }
  Status flush(record_ring::Producer&, Notifier&, Deadline deadline) noexcept override;
  Status close(record_ring::Producer&, Notifier&, Status status, Deadline) noexcept override;
  bool receiver_attached() noexcept override { return attached() != 0; }
  Status wait_for_receiver(Notifier& notifier, Deadline deadline) noexcept override {
    return wait_for_receivers(notifier, 1, deadline);
  }
  Status wait_for_receivers(Notifier&, std::uint32_t count, Deadline deadline) noexcept override;
  // A frame that it finds is the next one to be reserved.
  PreparedWait announce(record_ring::Producer&, Notifier&, Fence fence) noexcept override;
  bool has_room(record_ring::Producer&, std::size_t) noexcept override;
  bool has_news(record_ring::Producer& producer, std::size_t size_bytes) noexcept override;
  bool disarm() noexcept override;
  std::uint64_t pulse() noexcept override;
  std::uint64_t deaths() noexcept override;
  std::optional<NativeHandle> closing() const noexcept override { return membership_.lock_file(); }
  void describe(const record_ring::Producer&, ChannelInfo& info) const override;

 private:
  [[nodiscard]] std::uint32_t attached() const noexcept;
  [[nodiscard]] std::optional<std::uint32_t> reader_not_done() const noexcept;
  void listen_to_somebody_at_it() noexcept;
  template <class Ready>
  Status wait(Deadline deadline, Ready&& ready) noexcept;

  PoolMembership membership_;
  frame_pool::Producer producer_;
  BroadcastNotifier bell_;
  Waiter waiter_;
  WaitStrategy strategy_;
  bool keep_;
  std::optional<std::size_t> added_;  // bytes of the open batch's one message
};

class PoolReceiver final : public ReceiverBackend {
 public:
  PoolReceiver(PoolMembership membership, const Url& url, const OpenOptions& options);

  std::size_t max_message_bytes(const record_ring::Consumer&) const noexcept override {
    return membership_.parts().frame_bytes;
  }
  std::span<const std::byte> fetch(record_ring::Consumer&, Deadline deadline,
                                   Status& refusal) noexcept override;
  void give_back() noexcept override;
  PreparedWait announce(Fence fence) noexcept override;
  bool has_message(record_ring::Consumer&, Notifier&) noexcept override;
  bool has_news() noexcept override;
  bool disarm() noexcept override;
  bool has_pulse() const noexcept override { return false; }
  std::uint64_t deaths() noexcept override;
  std::optional<NativeHandle> closing() const noexcept override { return membership_.lock_file(); }
  std::uint64_t lost(const record_ring::Consumer&) const noexcept override {
    return reader_.stats().lost;
  }
  void detach(record_ring::Consumer&, Notifier&) noexcept override;
  void describe(const record_ring::Consumer&, ChannelInfo& info) const override;

  // Waits until there is a sender, or something that one has left.
  [[nodiscard]] Status wait_for_sender(Deadline deadline) noexcept;

 private:
  [[nodiscard]] Status wait_for_frame(Deadline deadline) noexcept;
  void say(ReaderPolicy policy) noexcept;
  [[nodiscard]] bool sender_is_lost(Absence& absence) noexcept;

  PoolMembership membership_;
  bool latest_;
  frame_pool::Consumer reader_;
  frame_pool::Message frame_;  // which the handle's Message shows
  Notifier bell_;
  Waiter waiter_;
  WaitStrategy strategy_;
  bool await_successor_;
  bool keep_;
};

[[nodiscard]] SenderParts make_pool_sender(PoolMembership membership, const Url& url,
                                           const OpenOptions& options);
// Also waits for a sender. Errors: finish_receiver()'s.
[[nodiscard]] Result<ReceiverParts> make_pool_receiver(PoolMembership membership, const Url& url,
                                                       const OpenOptions& options);

// Join the pool that was found. Errors: PoolMembership::take()'s, and as above.
[[nodiscard]] Result<SenderParts> open_pool_sender(RingSegment found, const Url& url,
                                                   const OpenOptions& options);
[[nodiscard]] Result<ReceiverParts> open_pool_receiver(RingSegment found, const Url& url,
                                                       const OpenOptions& options);

}  // namespace rondo::inline RONDO_ABI::detail
