// shm+guarded: a record ring that its receiver can't write to. The sender makes it, and hands it
// over a socket to those that it allows (guarded/wire_linux.hpp).
#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "endpoint/broadcast.hpp"
#include "endpoint/record.hpp"
#include "guarded/door_linux.hpp"
#include "guarded/joiner_linux.hpp"
#include "open/open.hpp"
#include "open/remove_name.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

// How often a sender without a receiver looks at the door while it sends on.
constexpr std::chrono::milliseconds kServiceInterval{1};
// How many messages it may send between two looks at the clock.
constexpr std::uint32_t kMostMessagesPerLook = 64;
// How long a sender waits for room before it looks at the door.
constexpr std::chrono::milliseconds kRoomSlice{50};
// The same while none is inside: just long enough to find out which have died.
constexpr std::chrono::microseconds kGlance{1};
// Both ends of a pair meet at once, unless something is missing.
constexpr std::chrono::seconds kPairPatience{2};

class GuardedSenderSeat final : public Seat {
 public:
  explicit GuardedSenderSeat(GuardedDoor& door) noexcept : door_(door) {}

  Presence peer() noexcept override {
    door_.service();
    return door_.presence();
  }
  Presence reader(std::uint32_t i) noexcept override { return door_.presence(i); }
  bool peer_came() noexcept override { return door_.admissions() != 0; }
  std::uint64_t comings() noexcept override { return door_.admissions(); }
  bool damaged() const noexcept override { return false; }  // sealed
  bool at_its_name() const noexcept override { return door_.at_its_name(); }
  void leave(const Participants::NameGoes& name_goes) noexcept override {
    name_goes(false);  // a socket goes with its maker
    door_.close();
  }
  void describe(ChannelInfo& info) const override { door_.describe(info); }

 private:
  GuardedDoor& door_;
};

// A ring's sender that also keeps the door. `Ring`: RingSender, or ReadersSender for several
// receivers.
template <class Ring>
class GuardedSender final : public RecordSender {
 public:
  GuardedSender(std::unique_ptr<GuardedDoor> door, const record_ring::Producer& producer,
                const Url& url, const OpenOptions& options)
      : RecordSender(url),
        door_(std::move(door)),
        ring_(std::make_unique<GuardedSenderSeat>(*door_), producer, url, options),
        stop_(options.stop),
        linger_(url.options.linger || options.linger) {}

  Status wait_for_room(record_ring::Producer& producer, Ringer& ringer, std::size_t size_bytes,
                       Deadline deadline) noexcept override {
    return wait(deadline, ringer, [&](Deadline slice) {
      return ring_.wait_for_room(producer, ringer, size_bytes, slice);
    });
  }

  Status published(Ringer& ringer, Deadline deadline) noexcept override {
    if (--messages_to_look_ == 0) look_at_door(ringer);
    return ring_.published(ringer, deadline);
  }

  Status flush(record_ring::Producer& producer, Ringer& ringer,
               Deadline deadline) noexcept override {
    return wait(deadline, ringer,
                [&](Deadline slice) { return ring_.flush(producer, ringer, slice); });
  }

  // Once this side has gone, no process can hand the ring over any more: so with what no receiver
  // has come for yet the close waits, and what is unread is lost, which the caller is told.
  Status close(record_ring::Producer& producer, Ringer& ringer, Status status,
               Deadline deadline) noexcept override {
    Status waited = Status::kOk;
    if (status == Status::kOk && producer.sequence() != 0) {
      producer.close();
      while (waited == Status::kOk && producer.outcome() != ClaimOutcome::kCorrupt &&
             (door_->admissions() == 0 || (linger_ && is_lost(producer)))) {
        if (stopped()) {
          waited = Status::kInterrupted;
        } else if (deadline.passed()) {
          waited = too_late(deadline);
        } else {
          door_->wait(deadline);
        }
      }
      bind(ringer);
      if (waited == Status::kOk && is_lost(producer)) waited = how_it_went();
      // Of a head that no honest receiver writes it can't be said what was read.
      if (producer.outcome() == ClaimOutcome::kCorrupt) waited = Status::kCorrupt;
    }
    const Status closed = ring_.close(producer, ringer, status, deadline);
    return waited == Status::kOk ? closed : waited;
  }

  bool receiver_attached() noexcept override {
    door_->service();
    return ring_.receiver_attached();
  }

  Status wait_for_receiver(Ringer& ringer, Deadline deadline) noexcept override {
    return wait_for_receivers(ringer, 1, deadline);
  }
  Status wait_for_receivers(Ringer& ringer, std::uint32_t count,
                            Deadline deadline) noexcept override {
    for (;;) {
      door_->service();
      bind(ringer);
      const Status status = ring_.wait_for_receivers(ringer, count, Deadline::now());
      if (status != Status::kWouldBlock && status != Status::kTimedOut) return status;
      if (stopped()) return Status::kInterrupted;
      if (deadline.passed()) return too_late(deadline);
      door_->wait(deadline);
    }
  }

  void describe(const record_ring::Producer& producer, ChannelInfo& info) const override {
    ring_.describe(producer, info);
  }

 private:
  // Whether the one receiver has gone, and not read all.
  [[nodiscard]] bool is_lost(record_ring::Producer& producer) const noexcept {
    if (door_->parts().readers > 1) return false;
    const bool absent = door_->presence() == Presence::kAbsent;
    // Also beside a receiver: what it has written may be nonsense.
    return !producer.drained() && absent;
  }
  [[nodiscard]] Status how_it_went() const noexcept {
    // relaxed: a farewell orders nothing.
    const std::uint32_t state =
        door_->parts().consumer->record_waiter.state.load(std::memory_order_relaxed);
    return (state & BellWaiter::kGone) != 0 ? Status::kPeerGone : Status::kPeerDied;
  }
  // relaxed: the flag orders nothing.
  [[nodiscard]] bool stopped() const noexcept {
    return stop_ != nullptr && stop_->load(std::memory_order_relaxed);
  }

  // The bell of a receiver that has come in since. Until one has, the sender's own is bound to
  // no sleeper, so that every message passes by published().
  void bind(Ringer& ringer) noexcept {
    if (bound_ == door_->admissions()) return;
    bound_ = door_->admissions();
    const RecordParts& parts = door_->parts();
    if (parts.readers > 1) return;  // each message passes by published() anyway
    ringer = Ringer(parts.consumer->record_waiter, parts.producer->record_ringer);
  }

  // The clock is asked at every message of a sender that sends now and then, and at each of so many
  // when they come thick and fast.
  void look_at_door(Ringer& ringer) noexcept {
    const auto now = Deadline::Clock::now();
    const bool due = now - last_service_ >= kServiceInterval;
    stride_ = due ? 1 : std::min(stride_ * 2, kMostMessagesPerLook);
    messages_to_look_ = stride_;
    if (!due) return;
    last_service_ = now;
    door_->service();
    bind(ringer);
  }

  // Waits in slices, and keeps the door in between: no other can let a receiver in.
  template <class Wait>
  Status wait(Deadline deadline, Ringer& ringer, Wait&& wait_once) noexcept {
    if (deadline == Deadline::now()) {
      if (pacer_.due()) {
        door_->service();
        bind(ringer);
      }
      return wait_once(deadline);
    }
    for (;;) {
      door_->service();
      bind(ringer);
      const bool anyone = door_->presence() == Presence::kPresent;
      const Deadline slice =
          anyone ? earlier(deadline, Deadline::after(kRoomSlice)) : Deadline::after(kGlance);
      const Status status = wait_once(slice);
      if (status != Status::kTimedOut && status != Status::kWouldBlock) return status;
      if (deadline.passed()) return too_late(deadline);
      if (!anyone) door_->wait(deadline);
    }
  }

  std::unique_ptr<GuardedDoor> door_;
  Ring ring_;  // its seat looks at the door
  const std::atomic<bool>* stop_;
  bool linger_;
  std::uint64_t bound_ = 0;  // admissions at the time of the last bind()
  Deadline::Clock::time_point last_service_{};
  std::uint32_t stride_ = 1;
  std::uint32_t messages_to_look_ = 1;
  ProbePacer pacer_;
};

Result<SenderParts> make_sender(std::unique_ptr<GuardedDoor> door, const Url& url,
                                const OpenOptions& options) {
  auto producer = record_ring::Producer::attach(door->parts());
  if (!producer) {
    return Error{ErrorCode::kCorrupt, url.name() + ": a ring just made is not sound"};
  }
  std::unique_ptr<SenderBackend> backend;
  if (door->parts().readers > 1) {
    backend =
        std::make_unique<GuardedSender<ReadersSender>>(std::move(door), *producer, url, options);
  } else {
    backend = std::make_unique<GuardedSender<RingSender>>(std::move(door), *producer, url, options);
  }
  return SenderParts{*std::move(producer), Ringer(), std::move(backend)};
}

Result<ReceiverParts> make_receiver(GuardedJoiner joiner, const Url& url,
                                    const OpenOptions& options) {
  auto seated = std::move(joiner).sit_down();
  // No receiver comes back to a part of a guarded ring: its name is for people alone.
  Url named = url;
  named.options.reader_name = options.name;
  return make_ring_receiver(std::move(seated.seat), seated.parts, named, options);
}

// A receiver can wait for a successor of a sender that has left, but not of one whose ring it has:
// the successor makes a ring of its own.
Result<void> check_receiver(const Url& url, const OpenOptions& options) {
  if (!url.options.linger && !options.linger) return {};
  return Error{ErrorCode::kInvalidOption,
               url.name() +
                   ": a guarded ring ends with its sender, so its receiver can't wait for a "
                   "successor (linger); open it anew when it has ended"};
}

}  // namespace

Result<SenderParts> open_guarded_sender(const Url& url, const OpenOptions& options) {
  auto door = GuardedDoor::open(url, options);
  if (!door) return std::move(door).error();
  return make_sender(std::move(door).value(), url, options);
}

Result<ReceiverParts> open_guarded_receiver(const Url& url, const OpenOptions& options) {
  if (auto checked = check_receiver(url, options); !checked) return std::move(checked).error();
  Retry retry;
  for (;;) {
    auto joiner = GuardedJoiner::knock(url, options.name);
    while (joiner) {
      const auto in = joiner->step();
      if (!in) {
        joiner = in.error();
        break;
      }
      if (*in) {
        auto receiver = make_receiver(std::move(joiner).value(), url, options);
        // The sender died as soon as it had let us in: there may be another one.
        if (receiver || receiver.error().code != ErrorCode::kReplaced) return receiver;
        joiner = Error{ErrorCode::kNotFound, std::move(receiver).error().message};
        break;
      }
      joiner->wait(options.wait);
      const bool stopped = options.stop != nullptr &&
                           // relaxed: the flag orders nothing.
                           options.stop->load(std::memory_order_relaxed);
      if (stopped || options.wait.passed()) {
        return Error{ErrorCode::kTimedOut,
                     url.name() +
                         " has a sender that did not let us in in time; it does so when "
                         "it sends or waits"};
      }
    }
    if (joiner.error().code != ErrorCode::kNotFound) return std::move(joiner).error();
    if (auto paused = retry.pause(options, "a sender for " + url.name()); !paused) {
      return std::move(paused).error();
    }
  }
}

Result<PairParts> open_guarded_pair(const Url& url, const OpenOptions& options) {
  if (auto checked = check_receiver(url, options); !checked) return std::move(checked).error();
  auto door = GuardedDoor::open(url, options);
  if (!door) return std::move(door).error();
  GuardedDoor& served = **door;
  auto sender = make_sender(std::move(door).value(), url, options);
  if (!sender) return std::move(sender).error();
  auto joiner = GuardedJoiner::knock(url, options.name);
  if (!joiner) return make_pair(std::move(sender).value(), std::move(joiner).error());
  for (const Deadline limit = Deadline::after(kPairPatience);;) {
    served.service();
    const auto in = joiner->step();
    if (!in) return make_pair(std::move(sender).value(), in.error());
    if (*in) break;
    if (limit.passed()) {
      return make_pair(std::move(sender).value(),
                       Error{ErrorCode::kNoDescriptors,
                             url.name() + ": the receiver could not be let in; close some "
                                          "descriptors or raise `ulimit -n`"});
    }
    joiner->wait(Deadline::after(std::chrono::milliseconds(1)));
  }
  return make_pair(std::move(sender).value(),
                   make_receiver(std::move(joiner).value(), url, options));
}

Result<void> remove_guarded(const Url& url, bool even_if_used) {
  return remove_special_file(url, even_if_used, "a sender that lets receivers in");
}

Result<ChannelInfo> inspect_guarded(const Url& url) {
  return Error{ErrorCode::kUnsupported,
               url.name() +
                   " can't be looked into from outside: only the sender sees all of a guarded "
                   "ring; the sender's own info() tells"};
}

}  // namespace rondo::inline RONDO_ABI::detail
