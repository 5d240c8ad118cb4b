// An end of a message queue, and what it knows of the other one. A queue has no peers of its own:
// what tells is who holds which of its parts (queue.hpp), which the kernel takes from a process
// that is gone.
//
// One sender and one receiver belong together once they have met. A sender comes in only to an
// empty queue whose receiver has met no sender, and a receiver says that it has met one before
// it takes the first message. So the messages of one are never taken for the rest of another's.
//
// Whoever leaves last takes the name away, unless messages are left that a receiver could still
// come for; and a receiver that leaves a living sender behind does, which tells that one that no
// receiver will come.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "endpoint/backend.hpp"
#include "endpoint/stream.hpp"
#include "open/queue.hpp"
#include "rondo/core/descriptor.hpp"
#include "rondo/core/version.hpp"
#include "stream/packet_port.hpp"

namespace rondo::inline RONDO_ABI::detail {

// One thread at a time, but for pulse().
class QueueEnd {
 public:
  using Direction = Queue::Direction;

  // `watched`: the ends know of each other; else it is any program's queue, and nobody's to remove.
  QueueEnd(std::unique_ptr<Queue> queue, Direction direction, bool watched) noexcept
      : queue_(std::move(queue)), direction_(direction), watched_(watched) {}

  [[nodiscard]] Queue& queue() const noexcept { return *queue_; }
  [[nodiscard]] bool sends() const noexcept { return direction_ == Direction::kWrite; }
  // 0, or the error of Queue::hold().
  [[nodiscard]] int take_role() noexcept { return watched_ ? queue_->hold(ours()) : 0; }
  // While we judge: a receiver that met us in it would find us gone.
  void give_role_back() noexcept {
    if (watched_) queue_->drop(ours());
  }
  // An end that can't come in takes away again what it has made itself and nobody has come to.
  void discard() noexcept;
  // Whether another sender's messages are still in the queue, or with their receiver.
  [[nodiscard]] bool still_anothers() const noexcept {
    return watched_ &&
           (queue_->any_messages() || queue_->held(Queue::Part::kMet) != Presence::kAbsent);
  }
  // A receiver says so before it takes the first message.
  [[nodiscard]] int say_met() noexcept {
    const int error = watched_ ? queue_->hold(Queue::Part::kMet) : 0;
    met_ = error == 0;
    return error;
  }
  [[nodiscard]] Presence peer() const noexcept {
    return watched_ ? queue_->held(sends() ? Queue::Part::kReceiver : Queue::Part::kSender)
                    : Presence::kUnknown;
  }
  // Whether the other side was there and has gone, or none can come any more.
  [[nodiscard]] bool peer_has_gone() noexcept;
  // Whether it was there, and had met us, when peer_has_gone() was last asked.
  [[nodiscard]] bool has_seen_peer() const noexcept {
    return seen_.load(std::memory_order_relaxed);  // relaxed: as in peer_has_gone()
  }
  // For another thread: changes with that; and where no descriptor tells, for as long as there is
  // something to move.
  [[nodiscard]] std::uint64_t pulse() noexcept;
  // A wait for the queue, which ends when there is something to look at, too.
  [[nodiscard]] WaitResult wait(Direction direction, Deadline deadline, WaitMode mode,
                                const std::atomic<bool>* stop) noexcept;
  // True, once, when it is time to ask for the other side.
  [[nodiscard]] bool time_to_ask() noexcept {
    // relaxed: only says that there is something to find out.
    return news_.exchange(false, std::memory_order_relaxed) || pacer_.due();
  }
  void sent_a_message() noexcept { sent_ = true; }
  // What is there has other headers than ours.
  void left_to_another() noexcept { left_to_another_ = true; }
  // Gives the role back, and takes the name away if that is ours to do.
  void leave() noexcept;

 private:
  [[nodiscard]] Queue::Part ours() const noexcept {
    return sends() ? Queue::Part::kSender : Queue::Part::kReceiver;
  }
  [[nodiscard]] bool takes_name_away() const noexcept;

  friend class Judging;

  std::unique_ptr<Queue> queue_;
  Direction direction_;
  bool watched_;
  bool left_ = false;
  bool met_ = false;              // of a receiver
  bool left_to_another_ = false;  // of a receiver
  ProbePacer pacer_;
  std::atomic<bool> seen_{false};  // the other side was there, and had met us
  std::atomic<bool> news_{false};
  std::atomic<std::uint64_t> stirred_{0};  // how often there was something to move
  bool sent_ = false;                      // a message of the user's
};

// The right to judge who is where, and to act on it: one process at a time. Else a sender could
// give way to a receiver that has met none but this one, and a name be taken away that one has come
// to since the look.
class Judging {
 public:
  // Waits for another one for kNameLockHold at most: that one may be stopped.
  explicit Judging(QueueEnd& end) noexcept;
  ~Judging() {
    if (error_ == 0 && queue_ != nullptr) queue_->drop(Queue::Part::kName);
  }
  Judging(const Judging&) = delete;
  Judging& operator=(const Judging&) = delete;

  // 0, or of Queue::hold().
  [[nodiscard]] int error() const noexcept { return error_; }
  [[nodiscard]] bool is_anothers() const noexcept { return detail::is_anothers(error_); }

 private:
  Queue* queue_;  // null: nobody judges any program's queue
  int error_ = 0;
};

// What carries a channel's packets through a queue.
class QueuePackets final : public PacketPort {
 public:
  QueuePackets(std::shared_ptr<QueueEnd> end, bool raw) noexcept
      : end_(std::move(end)), raw_(raw) {}

  std::size_t max_packet_bytes() const noexcept override {
    return end_->queue().max_packet_bytes();
  }
  bool says_headers() const noexcept override { return true; }
  Moved send(std::span<const Packet> packets) noexcept override;
  Moved receive(std::span<Room> rooms) noexcept override;
  WaitResult wait(Direction direction, Deadline deadline, WaitMode mode,
                  const std::atomic<bool>* stop) const noexcept override {
    return end_->wait(direction, deadline, mode, stop);
  }
  WaitResult wait_for_receiver(Deadline deadline, const std::atomic<bool>* stop) noexcept override;
  bool peer_gone() const noexcept override { return end_->peer() == Presence::kAbsent; }
  NativeHandle fd() const noexcept override { return end_->queue().fd(); }
  bool has_pulse() const noexcept override { return !raw_ || !is_handle(fd()); }
  std::uint64_t pulse() const noexcept override { return end_->pulse(); }
  void close() noexcept override {}  // with what takes the name away

 private:
  std::shared_ptr<QueueEnd> end_;
  bool raw_;
};

// An end of a queue leaves it when its handle closes.
class QueueCleanup final : public Cleanup {
 public:
  explicit QueueCleanup(std::shared_ptr<QueueEnd> end) noexcept : end_(std::move(end)) {}
  void run() noexcept override { end_->leave(); }

 private:
  std::shared_ptr<QueueEnd> end_;
};

}  // namespace rondo::inline RONDO_ABI::detail
