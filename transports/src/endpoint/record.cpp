#include "endpoint/record.hpp"

#include <chrono>
#include <string>
#include <utility>

namespace rondo::inline RONDO_ABI::detail {
namespace {

// How often one look of fetch() follows the reader to where it goes on after a loss.
constexpr int kPollsAfterLoss = 8;

Acknowledge acknowledge_of(const Url& url, const OpenOptions& options) noexcept {
  return options.acknowledge.value_or(url.options.acknowledge);
}

}  // namespace

Error ring_is_corrupt(const Url& url, std::string_view found) {
  return Error{ErrorCode::kCorrupt, url.name() + " holds " + std::string(found) +
                                        " that no sound participant writes; remove it (rondo rm " +
                                        url.name() + ") and start anew"};
}

Error not_taken_up(const Url& url, const Error& why) {
  if (why.code == ErrorCode::kCorrupt) return ring_is_corrupt(url, "headers or positions");
  return Error{why.code, url.name() + " can't be opened: " + why.message};
}

void end_stream(record_ring::Producer& producer, Status status) noexcept {
  if (status == Status::kOk) {
    producer.close();
  } else if (status != Status::kCorrupt) {
    producer.break_off();
  }
}

RingSender::RingSender(std::unique_ptr<Membership> membership,
                       const record_ring::Producer& producer, const Url& url,
                       const OpenOptions& options)
    : RecordSender(url),
      membership_(std::move(membership)),
      parts_(producer.parts()),
      waiter_(parts_.producer->space_waiter, parts_.consumer->space_notifier),
      strategy_(url.options.wait, options.stop),
      capacity_(parts_.capacity),
      await_successor_(url.options.await_successor || options.await_successor),
      keep_(url.options.keep),
      not_the_first_(producer.ended() || peer_closed()),
      start_(producer.position()) {}

bool RingSender::peer_closed() const noexcept {
  // relaxed: an orderly close orders nothing.
  const std::uint32_t state = parts_.consumer->record_waiter.state.load(std::memory_order_relaxed);
  return (state & BellWaiter::kGone) != 0;
}

// Whether the receiver has left in order, and it was ours.
bool RingSender::receiver_left() const noexcept {
  if (!peer_closed()) return false;
  // relaxed: positions only grow; an older one makes us wait for the next look.
  const Position head = parts_.consumer->head.load(std::memory_order_relaxed);
  return !not_the_first_ || static_cast<std::int64_t>(head - start_) > 0;
}

// kPeerGone: a receiver came while this sender was there and left in order, though it read nothing
// of ours, as an earlier stream came first. kPeerDied: one came, and is dead now. Asks the kernel.
Status RingSender::no_peer_to_wait_for() noexcept {
  if (membership_->damaged()) return Status::kCorrupt;
  if (await_successor_) return Status::kWouldBlock;
  // Before the look: one that comes while we look is there, and has not gone.
  const bool came = membership_->peer_joined();
  const bool came_anew = membership_->peer_rejoined();
  // A receiver that closed in order did not die, whichever sender's it was.
  switch (membership_->peer_absence([this] { return peer_closed(); })) {
    case Absence::kNone: return Status::kWouldBlock;
    case Absence::kLeft: return came_anew ? Status::kPeerGone : Status::kWouldBlock;
    case Absence::kDied: break;
  }
  return came ? Status::kPeerDied : Status::kWouldBlock;
}

// Waits until `ready`, and finds out if there is no peer to wait for.
template <class Ready>
Status RingSender::wait(Deadline deadline, Ready&& ready) noexcept {
  const auto ready_or_left = [&] { return ready() || (!await_successor_ && receiver_left()); };
  Status why = Status::kWouldBlock;
  const auto lost = [&] { return (why = no_peer_to_wait_for()) != Status::kWouldBlock; };
  const WaitResult result = strategy_.wait(waiter_, deadline, ready_or_left, lost);
  if (result == WaitResult::kReady && !ready()) return Status::kPeerGone;
  return status_of(result, deadline, why);
}

Status RingSender::wait_for_room(record_ring::Producer& producer, Notifier&, std::size_t size_bytes,
                                 Deadline deadline) noexcept {
  if (producer.outcome() == ClaimOutcome::kCorrupt) return Status::kCorrupt;
  if (deadline == Deadline::now()) {
    // The common case of a caller that polls: nothing but a look at the receiver's word.
    if (!await_successor_ && receiver_left()) return Status::kPeerGone;
    return pacer_.due() ? no_peer_to_wait_for() : Status::kWouldBlock;
  }
  const Status status = wait(deadline, [&] {
    return producer.try_reserve(size_bytes) != nullptr ||
           producer.outcome() == ClaimOutcome::kCorrupt;
  });
  return status == Status::kOk && producer.outcome() == ClaimOutcome::kCorrupt ? Status::kCorrupt
                                                                               : status;
}

Status RingSender::published(Notifier& notifier, Deadline) noexcept {
  if (notifier.ring() || await_successor_ || !receiver_left()) return Status::kOk;
  return Status::kPeerGone;
}

Status RingSender::flush(record_ring::Producer& producer, Notifier&, Deadline deadline) noexcept {
  const Status status = wait(
      deadline, [&] { return producer.drained() || producer.outcome() == ClaimOutcome::kCorrupt; });
  return status == Status::kOk && producer.outcome() == ClaimOutcome::kCorrupt ? Status::kCorrupt
                                                                               : status;
}

Status RingSender::close(record_ring::Producer& producer, Notifier& notifier, Status status,
                         Deadline) noexcept {
  disarm();
  end_stream(producer, status);
  static_cast<void>(notifier.ring());
  const auto refused = [&] {
    // relaxed: positions only grow, and one that left in order wrote its last one before it left.
    const Position head = parts_.consumer->head.load(std::memory_order_relaxed);
    const bool only_ours = static_cast<std::int64_t>(head - start_) >= 0;
    return !await_successor_ && only_ours && receiver_left() && !producer.drained();
  };
  // What was committed and not read stays for a receiver that is still to come; unless it is all
  // ours and our receiver did not want it, which the caller is told: also when it came and left
  // just now. A sender that breaks off is told nothing.
  bool unread = refused();
  membership_->leave([&](bool last) {
    if (!last) return false;
    if (keep_ || producer.drained()) return !keep_;
    unread = status != Status::kClosed && refused();
    return unread;
  });
  if (status != Status::kOk) return status;
  return unread ? Status::kPeerGone : Status::kOk;
}

Status RingSender::wait_for_receiver(Notifier&, Deadline deadline) noexcept {
  const auto came = [&] { return membership_->peer_joined() || receiver_left(); };
  // A receiver that comes rings.
  const auto damaged = [&] { return membership_->damaged(); };
  return status_of(strategy_.wait(waiter_, deadline, came, damaged), deadline, Status::kCorrupt);
}

PreparedWait RingSender::announce(record_ring::Producer&, Notifier&, Fence fence) noexcept {
  return waiter_.prepare_wait(fence);
}

bool RingSender::has_room(record_ring::Producer& producer, std::size_t size_bytes) noexcept {
  return producer.try_reserve(size_bytes) != nullptr ||
         producer.outcome() == ClaimOutcome::kCorrupt || (!await_successor_ && receiver_left());
}

bool RingSender::has_news(record_ring::Producer&, std::size_t) noexcept {
  return no_peer_to_wait_for() != Status::kWouldBlock;
}

bool RingSender::disarm() noexcept {
  waiter_.cancel_wait();
  return false;
}

std::uint64_t RingSender::deaths() noexcept {
  return membership_->peer_pulse() + (membership_->damaged() ? 1 : 0);
}

void RingSender::describe(const record_ring::Producer& producer, ChannelInfo& info) const {
  info.capacity_bytes = capacity_;
  info.pending_bytes = unread_bytes(parts_, producer.position());
  membership_->describe(info);
}

RingReceiver::RingReceiver(std::unique_ptr<Membership> membership, const RecordParts& parts,
                           const Url& url, const OpenOptions& options)
    : RecordReceiver(url),
      membership_(std::move(membership)),
      waiter_(parts.consumer->record_waiter, parts.producer->record_notifier),
      strategy_(url.options.wait, options.stop),
      selective_(url.options.reader.from != ReaderStart::kOldest ||
                 url.options.reader.policy == ReaderPolicy::kLatest),
      await_successor_(url.options.await_successor || options.await_successor),
      keep_(url.options.keep) {
  if (parts.readers > 1) membership_->await_records(parts);
}

// What is lost is counted, and there is something to read elsewhere; but with a hostile peer that
// may go on for ever, so the deadline is looked at now and then. A successor of a sender that gave
// up is waited for as that of one that was killed.
ReadOutcome RingReceiver::look(record_ring::Consumer& consumer) noexcept {
  ReadOutcome state = ReadOutcome::kEmpty;
  for (int i = 0; i < kPollsAfterLoss; ++i) {
    state = consumer.try_peek();
    if (await_successor_ && state == ReadOutcome::kBrokenOff) {
      consumer.pass_end();
      state = ReadOutcome::kEmpty;
    } else if (state != ReadOutcome::kLost) {
      break;
    }
  }
  return state;
}

// Whether there is none, or no ring any more. Asks the kernel.
bool RingReceiver::sender_is_lost(Absence& absence) noexcept {
  if (membership_->damaged()) return true;
  if (await_successor_) return false;
  absence = membership_->peer_absence([this] { return membership_->peer_left(); });
  return absence != Absence::kNone;
}

PreparedWait RingReceiver::announce(Fence fence) noexcept { return waiter_.prepare_wait(fence); }

bool RingReceiver::has_message(record_ring::Consumer& consumer, Notifier& notifier) noexcept {
  const bool something = look(consumer) != ReadOutcome::kEmpty;
  if (!something) static_cast<void>(notifier.notify());
  return something;
}

bool RingReceiver::has_news() noexcept {
  Absence absence = Absence::kNone;
  return sender_is_lost(absence);
}

bool RingReceiver::disarm() noexcept {
  waiter_.cancel_wait();
  return false;
}

std::uint64_t RingReceiver::deaths() noexcept {
  return membership_->peer_pulse() + (membership_->damaged() ? 1 : 0);
}

Status RingReceiver::wait_for_record(record_ring::Consumer& consumer, Deadline deadline) noexcept {
  ReadOutcome state = ReadOutcome::kEmpty;
  const auto ready = [&] {
    state = look(consumer);
    return state != ReadOutcome::kEmpty && state != ReadOutcome::kLost;
  };
  Absence absence = Absence::kNone;
  const auto lost = [&] { return sender_is_lost(absence); };
  bool gone = false;
  if (deadline == Deadline::now()) {
    // What was published before the death comes first.
    gone = !ready() && pacer_.due_by_time() && lost() && !ready();
  } else {
    const WaitResult result = strategy_.wait(waiter_, deadline, ready, lost);
    if (result == WaitResult::kInterrupted) return Status::kInterrupted;
    gone = result == WaitResult::kPeerGone;
  }
  // What makes us look slow is no news of the sender; the rest of what it sent comes first. And so
  // does what a successor has just written.
  if (gone && state != ReadOutcome::kLost) {
    const Status told = how_it_ended(consumer, absence);
    if (told != Status::kPeerDied || (!ready() && state != ReadOutcome::kLost)) return told;
  }
  switch (state) {
    case ReadOutcome::kMessage: return Status::kOk;
    case ReadOutcome::kEnd: told_ = true; return Status::kEnded;
    case ReadOutcome::kBrokenOff: told_ = true; return Status::kPeerGone;
    case ReadOutcome::kContended:  // no record ring says so, nor the next one
    case ReadOutcome::kNoPin:
    case ReadOutcome::kCorrupt: return Status::kCorrupt;
    case ReadOutcome::kLost:
    case ReadOutcome::kEmpty: break;
  }
  return too_late(deadline);
}

// No sender is there, and nothing to read. One that closed the ring just as we came in has left its
// mark before the place where we began.
Status RingReceiver::how_it_ended(const record_ring::Consumer& consumer, Absence absence) noexcept {
  if (membership_->damaged() || absence == Absence::kNone) return Status::kCorrupt;
  if (absence == Absence::kDied) return Status::kPeerDied;
  const ReadOutcome mark = consumer.mark_before();
  if (mark == ReadOutcome::kEnd) return Status::kEnded;
  return mark == ReadOutcome::kBrokenOff ? Status::kPeerGone : Status::kPeerDied;
}

Status RingReceiver::wait_for_sender(record_ring::Consumer& consumer, Deadline deadline) noexcept {
  const auto came = [&] {
    return membership_->peer() == Presence::kPresent || consumer.try_peek() != ReadOutcome::kEmpty;
  };
  const Status status =
      await_sender(strategy_, waiter_, deadline, came, [&] { return membership_->at_its_name(); });
  if (status == Status::kOk) {
    passed_over_ = selective_ && membership_->peer() != Presence::kPresent;
  }
  return status;
}

void RingReceiver::detach(record_ring::Consumer& consumer, Notifier& notifier) noexcept {
  // What a successor of the sender writes behind the end is another stream, for another receiver.
  // An end that we were not told of is still to be read.
  if (told_) consumer.pass_end();
  consumer.leave();
  const RecordParts& parts = consumer.parts();
  membership_->leave([&](bool last) {
    // Here, so that a sender which hears it and leaves, too, is the last: what we have not read is
    // in its hands then. Without a sender none is told of that: it stays for another receiver.
    waiter_.leave();
    static_cast<void>(notifier.ring());
    if (keep_ || !last) return false;
    if (parts.readers == 1) return !consumer.anything_unread();
    return !passed_over_ && !anything_unread(parts);
  });
}

void say_kind(const RecordParts& parts, ChannelInfo& info) {
  if (parts.readers == 1) {
    info.kind = RecordInfo();
  } else {
    info.kind = BroadcastInfo{.reader_places = parts.readers, .readers = {}};
  }
}

void RingReceiver::describe(const record_ring::Consumer& consumer, ChannelInfo& info) const {
  info.capacity_bytes = consumer.parts().capacity;
  say_kind(consumer.parts(), info);
  membership_->describe(info);
}

namespace {

Error mismatch(const Url& url, const std::string& with, const std::string& wanted) {
  return Error{ErrorCode::kGeometryMismatch,
               url.name() + " exists with " + with + ", not " + wanted +
                   "; leave the option out, or remove it first (rondo rm " + url.name() + ")"};
}

}  // namespace

Result<void> check_requested(const Url& url, const RecordParts& parts) {
  const ChannelOptions& wishes = url.options;
  if (wishes.capacity && *wishes.capacity != parts.capacity) {
    return mismatch(url, "capacity=" + format_size(parts.capacity), format_size(*wishes.capacity));
  }
  if (wishes.readers && *wishes.readers != parts.readers) {
    return mismatch(url, "readers=" + std::to_string(parts.readers),
                    std::to_string(*wishes.readers));
  }
  const bool of_several =
      wishes.reader.policy != ReaderPolicy::kReliable ||
      (wishes.reader.from != ReaderStart::kOldest && wishes.reader.from != ReaderStart::kNext) ||
      !wishes.reader_name.empty() || wishes.evict;
  if (of_several && parts.readers == 1) {
    return Error{
        ErrorCode::kInvalidOption,
        url.name() +
            " was made for one receiver, which gets every message; policy=, "
            "from= (but oldest and next), name= and evict= need a sender with readers=2 or more"};
  }
  return {};
}

namespace {

Result<record_ring::Consumer> take_up(const RecordParts& parts, const Url& url,
                                      Acknowledge acknowledge) {
  if (parts.readers == 1) {
    auto consumer = record_ring::Consumer::attach(parts, acknowledge);
    const bool skip = url.options.reader.from == ReaderStart::kNext;
    if (consumer && skip && !consumer->skip_all()) return not_sound("headers");
    return consumer;
  }
  ReaderOptions options = url.options.reader;
  options.name = url.options.reader_name;
  options.acknowledge = acknowledge;
  options.after_loss = options.from == ReaderStart::kNewest ? options.from : ReaderStart::kOldest;
  return record_ring::Consumer::join(parts, options);
}

}  // namespace

Result<ReceiverParts> make_ring_receiver(std::unique_ptr<Membership> membership,
                                         const RecordParts& parts, const Url& url,
                                         const OpenOptions& options) {
  auto consumer = take_up(parts, url, acknowledge_of(url, options));
  if (!consumer) {
    membership->leave([](bool) { return false; });
    return not_taken_up(url, consumer.error());
  }
  Notifier notifier(parts.producer->space_waiter, parts.consumer->space_notifier);
  auto backend = std::make_unique<RingReceiver>(std::move(membership), parts, url, options);
  // A sender may be asleep, waiting for a receiver.
  static_cast<void>(notifier.ring());
  const Status status = backend->wait_for_sender(*consumer, options.wait);
  return finish_receiver(
      status, {*std::move(consumer), notifier, std::move(backend), ProbePacer::kPolls}, url);
}

}  // namespace rondo::inline RONDO_ABI::detail
