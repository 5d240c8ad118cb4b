#include "open/queue_end.hpp"

#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "open/growing_pause.hpp"
#include "open/name_lock.hpp"
#include "rondo/core/cancellation_disabled.hpp"
#include "rondo/core/record_layout.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

// How often a wait asks whether the other side lives.
constexpr std::chrono::milliseconds kAskInterval{50};

using Outcome = PacketPort::Outcome;

bool holds_a_record(std::span<const std::byte> packet) noexcept {
  return (std::to_integer<unsigned>(packet[0]) & 0xF) == static_cast<unsigned>(RecordKind::kRecord);
}

}  // namespace

bool QueueEnd::peer_has_gone() noexcept {
  switch (peer()) {
    case Presence::kUnknown: return false;
    case Presence::kPresent:
      // One that has not met us yet may go again, and leave us to another one.
      // relaxed: each of two threads may find it out.
      if (!sends() || queue_->held(Queue::Part::kMet) == Presence::kPresent) {
        seen_.store(true, std::memory_order_relaxed);
      }
      return false;
    case Presence::kAbsent: break;
  }
  // A receiver has met its sender. For a sender one may still come, if it finds the queue.
  // relaxed: as above.
  return !sends() || seen_.load(std::memory_order_relaxed) || queue_->leads_elsewhere();
}

std::uint64_t QueueEnd::pulse() noexcept {
  const bool gone = peer_has_gone();
  // relaxed: as time_to_ask() says.
  if (gone) news_.store(true, std::memory_order_relaxed);
  // relaxed: a number that is another one each time.
  const bool ready = !is_handle(queue_->fd()) && queue_->ready(direction_);
  if (ready) stirred_.fetch_add(2, std::memory_order_relaxed);
  return stirred_.load(std::memory_order_relaxed) + (gone ? 1 : 0);
}

WaitResult QueueEnd::wait(Direction direction, Deadline deadline, WaitMode mode,
                          const std::atomic<bool>* stop) noexcept {
  for (;;) {
    const Deadline slice = earlier(deadline, Deadline::after(kAskInterval));
    const WaitResult result = queue_->wait(direction, slice, mode, stop);
    if (result != WaitResult::kTimedOut) return result;
    if (peer_has_gone()) {
      // relaxed: as in pulse().
      news_.store(true, std::memory_order_relaxed);
      return WaitResult::kReady;
    }
    if (deadline.passed()) return WaitResult::kTimedOut;
  }
}

bool QueueEnd::takes_name_away() const noexcept {
  const bool alone = peer() == Presence::kAbsent;
  // The last one does.
  if (sends()) {
    // relaxed: our own thread's news, or news that come a moment too late.
    return alone && (!sent_ || !queue_->any_messages() || seen_.load(std::memory_order_relaxed));
  }
  // A sender that was not met waits for another receiver. So does one whose messages have other
  // headers: they are for one that has them.
  if (alone) return !queue_->any_messages();
  return met_ && !(left_to_another_ && queue_->any_messages());
}

// Whoever has opened it and has no part yet finds that the name leads elsewhere.
void QueueEnd::discard() noexcept {
  if (watched_ && queue_->made() && !queue_->leads_elsewhere() && nobody_came_to(*queue_)) {
    static_cast<void>(queue_->remove());
  }
}

Judging::Judging(QueueEnd& end) noexcept : queue_(end.watched_ ? end.queue_.get() : nullptr) {
  if (queue_ == nullptr) return;
  const Deadline deadline = Deadline::after(kNameLockHold);
  for (;;) {
    error_ = queue_->hold(Queue::Part::kName);
    const bool again = is_anothers() || error_ == EINTR;
    if (!again || deadline.passed()) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void QueueEnd::leave() noexcept {
  if (std::exchange(left_, true)) return;
  const CancellationDisabled here;
  if (watched_) {
    const Judging judging(*this);
    const bool removes = judging.error() == 0 && takes_name_away() && !queue_->leads_elsewhere();
    // While we judge: who does that next is to see that we have gone.
    queue_->drop(ours());
    if (removes) static_cast<void>(queue_->remove());
  }
  queue_->close();
}

PacketPort::Moved QueuePackets::send(std::span<const Packet> packets) noexcept {
  std::size_t sent = 0;
  for (const Packet& packet : packets) {
    const bool message = raw_ || holds_a_record(packet);
    // A receiver that has gone will not see the end.
    int error = !message && end_->peer_has_gone() ? EPIPE : end_->queue().send(packet);
    if (error == 0 && message) end_->sent_a_message();
    if (error == 0) {
      ++sent;
      continue;
    }
    if (sent > 0) break;
    if (error == EAGAIN && end_->time_to_ask() && end_->peer_has_gone()) error = EPIPE;
    if (error == EPIPE) return {Outcome::kEnd, 0};
    return {error == EAGAIN || error == EINTR ? Outcome::kNotNow : Outcome::kRefused, 0};
  }
  return {Outcome::kMoved, sent};
}

// One: a second one would cost as much, and the ring has room for the first alone.
PacketPort::Moved QueuePackets::receive(std::span<Room> rooms) noexcept {
  Room& room = rooms[0];
  int error = end_->queue().receive(room.bytes, room.filled_bytes);
  if (error == EAGAIN && end_->time_to_ask() && end_->peer_has_gone()) {
    // What it sent last came before it went.
    error = end_->queue().receive(room.bytes, room.filled_bytes);
    if (error == EAGAIN) return {Outcome::kEnd, 0};
  }
  if (error == ENOMSG) end_->left_to_another();
  room.cut = error == EBADMSG || error == ENOMSG;
  if (error == 0 || room.cut) return {Outcome::kMoved, 1};
  if (error == EPIPE) return {Outcome::kCutOff, 0};
  return {error == EAGAIN || error == EINTR ? Outcome::kNotNow : Outcome::kRefused, 0};
}

WaitResult QueuePackets::wait_for_receiver(Deadline deadline,
                                           const std::atomic<bool>* stop) noexcept {
  if (raw_) return WaitResult::kReady;  // who reads it, if anybody, is not known
  GrowingPause pause;
  for (;;) {
    // In this order: the first one takes note of it. One that is there and has not met us is none
    // yet: it may be killed before, and the sender would wait for another one.
    if (end_->peer_has_gone() || end_->has_seen_peer()) return WaitResult::kReady;
    // relaxed: the flag orders nothing.
    if (stop != nullptr && stop->load(std::memory_order_relaxed)) return WaitResult::kInterrupted;
    if (deadline.passed()) return WaitResult::kTimedOut;
    pause.sleep(deadline);
  }
}

}  // namespace rondo::inline RONDO_ABI::detail
