// Channels that are an mpmc ring (kind=mpmc): any number of senders and receivers share it, and
// each message goes to one receiver. Every handle is one participant.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "endpoint/backend.hpp"
#include "endpoint/name_keeper.hpp"
#include "endpoint/record.hpp"
#include "rondo/core/attachment.hpp"
#include "rondo/core/callback.hpp"
#include "rondo/core/mpmc_ring.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/wait.hpp"
#include "rondo/sync/waiter_set_doorbell.hpp"
#include "rondo/transports/open_options.hpp"
#include "rondo/transports/url.hpp"

namespace rondo::inline RONDO_ABI::detail {

using MpmcRing = mpmc_ring<>;
using MpmcNotifier = SetNotifier<MpmcWaiterSet>;
using MpmcWaiter = SetWaiter<MpmcWaiterSet>;

// The ring that `url` asks for: what it does not say is the default.
[[nodiscard]] MpmcParams mpmc_params(const Url& url) noexcept;
// Makes it in `bytes`.
[[nodiscard]] Result<void> create_mpmc(std::span<std::byte> bytes, const Url& url);

// Bytes of its segment.
[[nodiscard]] Result<std::uint64_t> size_of_slots(const Url& url);
// Whether a URL says how large the ring is, so that a receiver can make it, too.
[[nodiscard]] bool slots_are_sized(const ChannelOptions& options) noexcept;

// What stands in the ring, and what has been recovered by whom, into `info`.
void describe_mpmc(const MpmcParts& parts, ChannelInfo& info);
// Of a ring that one does not take part in.
void inspect_slots(const Segment& segment, const Geometry& geometry, const Url& url,
                   ChannelInfo& info);

// One handle's place in an mpmc ring. Destroyed without leave(), it is that of a dead participant.
class MpmcMembership {
 public:
  // Joins the ring that was found. Who finds nobody attached and nothing unread begins a new
  // stream: those who have gone before are forgotten. Errors: MpmcRing::attach()'s,
  // kGeometryMismatch, Participants::join()'s.
  [[nodiscard]] static Result<MpmcMembership> take(RingSegment found, const Url& url,
                                                   const OpenOptions& options, Role role,
                                                   NameKeeper keeper = {});

  [[nodiscard]] const MpmcRing& ring() const noexcept { return ring_; }
  [[nodiscard]] std::uint32_t slot() const noexcept { return attachment_.slot(); }
  // Whether memory has been taken away from under the ring.
  [[nodiscard]] bool damaged() const noexcept { return attachment_.damaged(); }
  [[nodiscard]] bool at_its_name() const noexcept { return attachment_.at_its_name(); }

  // A number that changes when somebody dies, or a side's participants change; beside any other
  // call but leave().
  // Named's: the comings and goings, and how many of those that are there have died.
  [[nodiscard]] std::uint64_t pulse() const noexcept;
  [[nodiscard]] std::uint64_t deaths() const noexcept;
  [[nodiscard]] NativeHandle lock_file() const noexcept {
    return attachment_.participants().lock_file();
  }
  // Puts right what the dead have left, and wakes those that can go on then. For blocked handles.
  void recover() noexcept;
  // Gives the participant's slot back, once it has closed in order. If no other is left, the
  // name goes with it, unless it is to be kept, or something lies there unread that `discards` does
  // not give up. That is asked while none can come.
  void leave(bool keep, const Participants::NameGoes& orderly_close,
             const Participants::NameGoes& discards) noexcept;
  void describe(ChannelInfo& info) const;

 private:
  MpmcMembership(Attachment<MpmcRing> attachment, NameKeeper keeper) noexcept
      : attachment_(std::move(attachment)),
        ring_(attachment_.parts()),
        keeper_(std::move(keeper)) {}

  [[nodiscard]] Result<void> join(const OpenOptions& options, Role role);
  [[nodiscard]] bool take_over(std::uint32_t slot) noexcept;
  [[nodiscard]] bool anything_unread() noexcept;

  Attachment<MpmcRing> attachment_;
  MpmcRing ring_;
  NameKeeper keeper_;
};

// Who comes and who goes rings. What nobody rings for: one that is busy with something else, or
// stopped, has had the wake that was meant for us, or was killed between its going and its ring.
template <class End>
[[nodiscard]] Result<std::unique_ptr<WakeDescriptor>> make_mpmc_wake(End& end) {
  return WakeDescriptor::make([&end] { return end.pulse(); },
                              {end.closing().value_or(kNoHandle), [&end] { return end.deaths(); }},
                              WakeDescriptor::Asked::kSeldom);
}

class MpmcSender final : public SenderBackend {
 public:
  MpmcSender(MpmcMembership membership, const Url& url, const OpenOptions& options);

  [[nodiscard]] MpmcSendPath* path() noexcept { return &path_; }

  std::size_t max_message_bytes(const record_ring::Producer&) const noexcept override;
  std::byte* reserve(record_ring::Producer&, Notifier&, std::size_t size_bytes, Deadline deadline,
                     Status& refusal) noexcept override;
  void commit(std::size_t size_bytes) noexcept override { path_.commit(size_bytes); }
  void discard() noexcept override { path_.discard(); }
  void behind(const MessageHeaders& headers) noexcept override { headers_ = headers; }
  void begin_batch(record_ring::Producer&) noexcept override {}
  std::byte* add(record_ring::Producer&, Notifier&, std::size_t size_bytes,
                 Status& refusal) noexcept override;
  Status commit_batch(record_ring::Producer&, Notifier&, Deadline deadline) noexcept override;
  void abandon_batch(record_ring::Producer&) noexcept override { added_ = 0; }
  Published committed(const record_ring::Producer&) const noexcept override {
    return {path_.sent(), 0};
  }
  Status published(Notifier&, Deadline) noexcept override;
  bool would_wake(Notifier&) noexcept override { return path_.receivers_bell().would_wake(); }
  Status flush(record_ring::Producer&, Notifier&, Deadline deadline) noexcept override;
  Status close(record_ring::Producer&, Notifier&, Status status, Deadline) noexcept override;
  bool receiver_attached() noexcept override;
  Status wait_for_receiver(Notifier&, Deadline deadline) noexcept override;
  PreparedWait announce(record_ring::Producer&, Notifier&, Fence fence) noexcept override;
  bool has_room(record_ring::Producer&, std::size_t) noexcept override;
  bool has_news(record_ring::Producer&, std::size_t) noexcept override;
  bool disarm() noexcept override { return waiter_.cancel_wait(); }
  void pass_on() noexcept override;
  bool has_pulse() const noexcept override { return false; }  // that a set would have to hear of
  std::uint64_t pulse() noexcept override;
  std::uint64_t deaths() noexcept override { return membership_.deaths(); }
  Result<std::unique_ptr<WakeDescriptor>> make_wake() override { return make_mpmc_wake(*this); }
  std::optional<NativeHandle> closing() const noexcept override { return membership_.lock_file(); }
  void expect_news() noexcept override;
  void describe(const record_ring::Producer&, ChannelInfo& info) const override;

 private:
  [[nodiscard]] MpmcRing::Producer& producer() noexcept { return path_.producer(); }
  [[nodiscard]] std::byte* wait_for_slot(Deadline deadline, Status& refusal) noexcept;
  [[nodiscard]] bool no_receivers() const noexcept;
  [[nodiscard]] Status why_no_receivers() const noexcept;
  [[nodiscard]] Status no_peer_to_wait_for() noexcept;
  [[nodiscard]] bool all_read(std::uint64_t most = mpmc_limits::kMaxCapacity) noexcept;
  template <class Bell, class Ready>
  Status wait(Bell& bell, Deadline deadline, Ready&& ready) noexcept;

  MpmcMembership membership_;
  MpmcSendPath path_;
  WaitStrategy strategy_;
  MpmcWaiter waiter_;
  bool await_successor_;
  bool keep_;
  MpmcPresence::Count before_;  // receivers that had gone when we came
  Position sent_to_ = 0;        // behind the last message of our last batch
  Position read_to_ = 0;        // what all_read() has seen given back
  ProbePacer recovery_pacer_;
  std::uint64_t heard_of_ = 0;                 // how often pulse(), on another thread, told of room
  std::vector<std::vector<std::byte>> batch_;  // the open batch's messages are the first added_
  std::size_t added_ = 0;
  MessageHeaders headers_;
};

class MpmcReceiver final : public ReceiverBackend {
 public:
  MpmcReceiver(MpmcMembership membership, const Url& url, const OpenOptions& options);

  [[nodiscard]] MpmcReceivePath* path() noexcept { return &path_; }

  std::size_t max_message_bytes(const record_ring::Consumer&) const noexcept override;
  std::span<const std::byte> fetch(record_ring::Consumer&, Deadline deadline,
                                   Status& refusal) noexcept override;
  void give_back() noexcept override { path_.give_back(); }
  std::uint64_t lost(const record_ring::Consumer&) const noexcept override { return 0; }
  PreparedWait announce(Fence fence) noexcept override;
  bool has_message(record_ring::Consumer&, Notifier&) noexcept override;
  bool has_news() noexcept override;
  bool disarm() noexcept override { return waiter_.cancel_wait(); }
  void pass_on() noexcept override;
  bool has_pulse() const noexcept override { return false; }  // that a set would have to hear of
  std::uint64_t pulse() noexcept override;
  std::uint64_t deaths() noexcept override { return membership_.deaths(); }
  Result<std::unique_ptr<WakeDescriptor>> make_wake() override { return make_mpmc_wake(*this); }
  std::optional<NativeHandle> closing() const noexcept override { return membership_.lock_file(); }
  void expect_news() noexcept override;
  void detach(record_ring::Consumer&, Notifier&) noexcept override;
  void describe(const record_ring::Consumer&, ChannelInfo& info) const override;

  // Waits until there is a sender, or something that one has left.
  [[nodiscard]] Status wait_for_sender(Deadline deadline) noexcept;

 private:
  [[nodiscard]] MpmcRing::Consumer& consumer() noexcept { return path_.consumer(); }
  [[nodiscard]] bool sender_joined() const noexcept;
  [[nodiscard]] bool over() noexcept;
  [[nodiscard]] Status how_it_ended() noexcept;

  MpmcMembership membership_;
  MpmcReceivePath path_;
  WaitStrategy strategy_;
  MpmcWaiter waiter_;
  bool await_successor_;
  bool keep_;
  std::uint64_t senders_;  // so many have to have gone before the stream is over
  std::uint64_t epoch_;    // of presence, looked into
  Position read_to_ = 0;   // what over() has seen given back
  ProbePacer recovery_pacer_;
  std::uint64_t heard_of_ = 0;  // how often pulse(), on another thread, told of messages
};

[[nodiscard]] SenderParts make_mpmc_sender(MpmcMembership membership, const Url& url,
                                           const OpenOptions& options);
// Also waits for a sender. kReplaced: the ring has to be looked for anew.
[[nodiscard]] Result<ReceiverParts> make_mpmc_receiver(MpmcMembership membership, const Url& url,
                                                       const OpenOptions& options);

// Join the ring in `segment`; errors as MpmcMembership::take() and make_mpmc_receiver().
[[nodiscard]] Result<SenderParts> open_mpmc_sender(RingSegment found, const Url& url,
                                                   const OpenOptions& options);
[[nodiscard]] Result<ReceiverParts> open_mpmc_receiver(RingSegment found, const Url& url,
                                                       const OpenOptions& options);

}  // namespace rondo::inline RONDO_ABI::detail
