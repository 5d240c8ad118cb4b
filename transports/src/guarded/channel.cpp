// shm+guarded: a record ring that its receiver can't write to. The sender makes it, and hands it
// over a socket to those that it allows (guarded/wire.hpp).
#include "guarded/channel.hpp"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "endpoint/broadcast.hpp"
#include "endpoint/record.hpp"
#include "open/header_of.hpp"
#include "open/open.hpp"
#include "open/remove_name.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

// How often a sender without a receiver looks at the acceptor while it sends on.
constexpr std::chrono::milliseconds kServiceInterval{1};
// How many messages it may send between two looks at the clock.
constexpr std::uint32_t kMaxMessagesPerPoll = 64;
// How long a sender waits for room before it looks at the acceptor.
constexpr std::chrono::milliseconds kRoomSlice{50};
// The same while none is inside: just long enough to find out which have died.
constexpr std::chrono::microseconds kPollSlice{1};
// Both ends of a pair meet at once, unless something is missing.
constexpr std::chrono::seconds kPairTimeout{2};

class GuardedSenderMembership final : public Membership {
 public:
  explicit GuardedSenderMembership(GuardedAcceptor& acceptor) noexcept : acceptor_(acceptor) {}

  Presence peer() noexcept override {
    acceptor_.service();
    return acceptor_.presence();
  }
  Presence reader(std::uint32_t i) noexcept override { return acceptor_.presence(i); }
  // One that comes in is looked for besides; so it is about that one alone.
  std::uint64_t peer_pulse() const noexcept override {
    return !acceptor_.lets_others_in() && acceptor_.presence() == Presence::kAbsent ? 2 : 0;
  }
  std::optional<NativeHandle> closing() const noexcept override { return acceptor_.closing(); }
  // The one that was there before the sender was: one that has left by then was ours, too.
  bool peer_rejoined() noexcept override {
    return !acceptor_.lets_others_in() && acceptor_.admissions() != 0;
  }
  bool peer_joined() noexcept override { return acceptor_.admissions() != 0; }
  std::uint64_t join_count() noexcept override { return acceptor_.admissions(); }
  bool damaged() const noexcept override { return false; }  // sealed
  bool at_its_name() const noexcept override { return acceptor_.at_its_name(); }
  void leave(const Participants::NameGoes& name_goes) noexcept override {
    name_goes(false);  // a socket goes with its maker
    acceptor_.close();
  }
  void describe(ChannelInfo& info) const override { acceptor_.describe(info); }

 private:
  GuardedAcceptor& acceptor_;
};

// A ring's sender that also keeps the acceptor. `Ring`: RingSender, or BroadcastSender for several
// receivers.
template <class Ring>
class GuardedSender final : public RecordSender {
 public:
  GuardedSender(std::unique_ptr<GuardedAcceptor> acceptor, const record_ring::Producer& producer,
                const Url& url, const OpenOptions& options)
      : RecordSender(url),
        acceptor_(std::move(acceptor)),
        ring_(std::make_unique<GuardedSenderMembership>(*acceptor_), producer, url, options),
        stop_(options.stop),
        await_successor_(url.options.await_successor || options.await_successor) {}

  Status wait_for_room(record_ring::Producer& producer, Notifier& notifier, std::size_t size_bytes,
                       Deadline deadline) noexcept override {
    return wait(deadline, notifier, [&](Deadline slice) {
      return ring_.wait_for_room(producer, notifier, size_bytes, slice);
    });
  }

  Status published(Notifier& notifier, Deadline deadline) noexcept override {
    look_for_receivers(notifier);
    return ring_.published(notifier, deadline);
  }
  // Asked where a message may be held back: then there is nothing else that looks.
  bool would_wake(Notifier& notifier) noexcept override {
    look_for_receivers(notifier);
    return ring_.would_wake(notifier);
  }
  // A receiver may wait to be let in all the time.
  bool looks() const noexcept override { return acceptor_->lets_others_in(); }
  void look(Notifier& notifier) noexcept override { look_for_receivers(notifier); }

  Status flush(record_ring::Producer& producer, Notifier& notifier,
               Deadline deadline) noexcept override {
    return wait(deadline, notifier,
                [&](Deadline slice) { return ring_.flush(producer, notifier, slice); });
  }

  // Once this side has gone, no process can hand the ring over any more: so with what no receiver
  // has come for yet the close waits, and what is unread is lost, which the caller is told.
  Status close(record_ring::Producer& producer, Notifier& notifier, Status status,
               Deadline deadline) noexcept override {
    Status waited = Status::kOk;
    if (status == Status::kOk && producer.sequence() != 0) {
      producer.close();
      while (waited == Status::kOk && producer.outcome() != ClaimOutcome::kCorrupt &&
             (acceptor_->admissions() == 0 || (await_successor_ && is_lost(producer)))) {
        if (stopped()) {
          waited = Status::kInterrupted;
        } else if (deadline.passed()) {
          waited = too_late(deadline);
        } else {
          acceptor_->wait(deadline);
        }
      }
      if (waited == Status::kOk && is_lost(producer)) waited = how_it_went();
      // Of a head that no honest receiver writes it can't be said what was read.
      if (producer.outcome() == ClaimOutcome::kCorrupt) waited = Status::kCorrupt;
    }
    bind(notifier);  // whoever is inside sleeps at it
    const Status closed = ring_.close(producer, notifier, status, deadline);
    return waited == Status::kOk ? closed : waited;
  }

  bool receiver_attached() noexcept override {
    acceptor_->service();
    return ring_.receiver_attached();
  }

  Status wait_for_receiver(Notifier& notifier, Deadline deadline) noexcept override {
    return wait_for_receivers(notifier, 1, deadline);
  }
  Status wait_for_receivers(Notifier& notifier, std::uint32_t count,
                            Deadline deadline) noexcept override {
    for (;;) {
      acceptor_->service();
      bind(notifier);
      const Status status = ring_.wait_for_receivers(notifier, count, Deadline::now());
      if (status != Status::kWouldBlock && status != Status::kTimedOut) return status;
      if (stopped()) return Status::kInterrupted;
      if (deadline.passed()) return too_late(deadline);
      acceptor_->wait(deadline);
    }
  }

  PreparedWait announce(record_ring::Producer& producer, Notifier& notifier,
                        Fence fence) noexcept override {
    acceptor_->service();
    bind(notifier);
    return ring_.announce(producer, notifier, fence);
  }
  bool has_room(record_ring::Producer& producer, std::size_t size_bytes) noexcept override {
    return ring_.has_room(producer, size_bytes);
  }
  bool has_news(record_ring::Producer& producer, std::size_t size_bytes) noexcept override {
    acceptor_->service();
    return ring_.has_news(producer, size_bytes);
  }
  bool disarm() noexcept override { return ring_.disarm(); }
  // No other can let a receiver in: so it is to look each time.
  bool has_pulse() const noexcept override { return acceptor_->lets_others_in(); }
  std::uint64_t pulse() noexcept override { return ++pulses_; }
  std::uint64_t deaths() noexcept override { return ring_.deaths(); }
  std::optional<NativeHandle> closing() const noexcept override { return ring_.closing(); }
  void expect_news() noexcept override {
    pacer_.hurry();
    ring_.expect_news();
  }

  void describe(const record_ring::Producer& producer, ChannelInfo& info) const override {
    ring_.describe(producer, info);
  }

 private:
  // Whether the one receiver has gone, and not read all.
  [[nodiscard]] bool is_lost(record_ring::Producer& producer) const noexcept {
    if (acceptor_->parts().readers > 1) return false;
    const bool absent = acceptor_->presence() == Presence::kAbsent;
    // Also beside a receiver: what it has written may be nonsense.
    return !producer.drained() && absent;
  }
  [[nodiscard]] Status how_it_went() const noexcept {
    // relaxed: an orderly close orders nothing.
    const std::uint32_t state =
        acceptor_->parts().consumer->record_waiter.state.load(std::memory_order_relaxed);
    return (state & BellWaiter::kGone) != 0 ? Status::kPeerGone : Status::kPeerDied;
  }
  // relaxed: the flag orders nothing.
  [[nodiscard]] bool stopped() const noexcept {
    return stop_ != nullptr && stop_->load(std::memory_order_relaxed);
  }

  // The bell of a receiver that has come in since. Until one has, the sender's own is bound to
  // no waiter, so that every message passes by published().
  void bind(Notifier& notifier) noexcept {
    if (bound_ == acceptor_->admissions()) return;
    bound_ = acceptor_->admissions();
    const RecordParts& parts = acceptor_->parts();
    if (parts.readers > 1) return;  // each message passes by published() anyway
    notifier = Notifier(parts.consumer->record_waiter, parts.producer->record_notifier);
    if (wake() != nullptr) notifier.want_always();
  }

  // The clock is asked at every message of a sender that sends now and then, and at each of so many
  // when they come thick and fast.
  void look_for_receivers(Notifier& notifier) noexcept {
    if (--messages_to_look_ != 0) return;
    const auto now = Deadline::Clock::now();
    const bool due = now - last_service_ >= kServiceInterval;
    stride_ = due ? 1 : std::min(stride_ * 2, kMaxMessagesPerPoll);
    messages_to_look_ = stride_;
    if (!due) return;
    last_service_ = now;
    acceptor_->service();
    bind(notifier);
  }

  // Waits in slices, and keeps the acceptor in between: no other can let a receiver in.
  template <class Wait>
  Status wait(Deadline deadline, Notifier& notifier, Wait&& wait_once) noexcept {
    if (deadline == Deadline::now()) {
      if (pacer_.due()) {
        acceptor_->service();
        bind(notifier);
      }
      return wait_once(deadline);
    }
    for (;;) {
      acceptor_->service();
      bind(notifier);
      const bool anyone = acceptor_->presence() == Presence::kPresent;
      const Deadline slice =
          anyone ? earlier(deadline, Deadline::after(kRoomSlice)) : Deadline::after(kPollSlice);
      // The next look of a wait comes with the end of this slice: not a sleep for each.
      if (anyone) ring_.found_peer();
      const Status status = wait_once(slice);
      if (status != Status::kTimedOut && status != Status::kWouldBlock) return status;
      if (deadline.passed()) return too_late(deadline);
      if (!anyone) acceptor_->wait(deadline);
    }
  }

  std::unique_ptr<GuardedAcceptor> acceptor_;
  Ring ring_;  // its membership looks at the acceptor
  const std::atomic<bool>* stop_;
  bool await_successor_;
  std::uint64_t bound_ = 0;  // admissions at the time of the last bind()
  Deadline::Clock::time_point last_service_{};
  std::uint32_t stride_ = 1;
  std::uint32_t messages_to_look_ = 1;
  std::uint64_t pulses_ = 0;  // the other thread's
};

// A receiver can wait for a successor of a sender that has left, but not of one whose ring it has:
// the successor makes a ring of its own.
Result<void> check_wishes(const Url& url, const OpenOptions& options) {
  if (!url.options.await_successor && !options.await_successor) return {};
  return Error{ErrorCode::kInvalidOption,
               url.name() +
                   ": a guarded ring ends with its sender, so its receiver can't wait for a "
                   "successor (await_successor=1); open it anew when it has ended"};
}

}  // namespace

Result<SenderParts> make_guarded_sender(std::unique_ptr<GuardedAcceptor> acceptor, const Url& url,
                                        const OpenOptions& options) {
  auto producer = record_ring::Producer::attach(acceptor->parts());
  if (!producer) {
    acceptor->close();
    return not_taken_up(url, producer.error());
  }
  std::unique_ptr<SenderBackend> backend;
  if (acceptor->parts().readers > 1) {
    backend = std::make_unique<GuardedSender<BroadcastSender>>(std::move(acceptor), *producer, url,
                                                               options);
  } else {
    backend =
        std::make_unique<GuardedSender<RingSender>>(std::move(acceptor), *producer, url, options);
  }
  SenderParts parts{*std::move(producer), Notifier(), std::move(backend)};
  parts.headers = wished_headers(url.options);
  return parts;
}

Result<ReceiverParts> make_guarded_receiver(GuardedConnector connector, const Url& url,
                                            const OpenOptions& options) {
  const MessageHeaders headers = connector.headers();
  auto joined_ring = std::move(connector).join();
  // No receiver comes back to a part of a guarded ring: its name is for people alone.
  Url named = url;
  named.options.reader_name = options.name;
  return behind_headers(
      make_ring_receiver(std::move(joined_ring.membership), joined_ring.parts, named, options),
      headers);
}

Result<SenderParts> open_guarded_sender(const Url& url, const OpenOptions& options) {
  auto acceptor = GuardedAcceptor::open(url, options);
  if (!acceptor) return std::move(acceptor).error();
  return make_guarded_sender(std::move(acceptor).value(), url, options);
}

Result<ReceiverParts> open_guarded_receiver(const Url& url, const OpenOptions& options) {
  if (auto checked = check_wishes(url, options); !checked) return std::move(checked).error();
  Retry retry;
  for (;;) {
    auto connector = GuardedConnector::connect(url, options.name);
    while (connector) {
      const auto in = connector->step();
      if (!in) {
        connector = in.error();
        break;
      }
      if (*in) {
        auto receiver = make_guarded_receiver(std::move(connector).value(), url, options);
        // The sender died as soon as it had let us in: there may be another one.
        if (receiver || receiver.error().code != ErrorCode::kReplaced) return receiver;
        connector = Error{ErrorCode::kNotFound, std::move(receiver).error().message};
        break;
      }
      connector->wait(options.wait);
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
    if (connector.error().code != ErrorCode::kNotFound) return std::move(connector).error();
    if (auto paused = retry.pause(options, "a sender for " + url.name()); !paused) {
      return std::move(paused).error();
    }
  }
}

Result<PairParts> open_guarded_pair(const Url& url, const OpenOptions& options) {
  if (auto checked = check_wishes(url, options); !checked) return std::move(checked).error();
  auto acceptor = GuardedAcceptor::open(url, options);
  if (!acceptor) return std::move(acceptor).error();
  GuardedAcceptor& served = **acceptor;
  auto sender = make_guarded_sender(std::move(acceptor).value(), url, options);
  if (!sender) return std::move(sender).error();
  return make_pair(std::move(sender).value(), [&]() -> Result<ReceiverParts> {
    auto connector = GuardedConnector::connect(url, options.name);
    if (!connector) return std::move(connector).error();
    for (const Deadline limit = Deadline::after(kPairTimeout);;) {
      served.service();
      const auto in = connector->step();
      if (!in) return in.error();
      if (*in) return make_guarded_receiver(std::move(connector).value(), url, options);
      if (limit.passed()) {
        return Error{ErrorCode::kNoDescriptors,
                     url.name() +
                         ": the receiver could not be let in; close some descriptors or raise "
                         "`ulimit -n`"};
      }
      connector->wait(Deadline::after(std::chrono::milliseconds(1)));
    }
  });
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
