// A connection over a stream socket, and its two directions, each a byte stream for a handle of its
// own. One that is closed for good keeps what was sent from being lost.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>

#include "rondo/core/descriptor.hpp"
#include "rondo/core/version.hpp"
#include "stream/byte_stream.hpp"
#include "stream/fd_stream.hpp"
#include "stream/secure_layer.hpp"

namespace rondo::inline RONDO_ABI::detail {

// What the directions of one connection share. A thread for each, and one that cuts it.
class StreamSocket {
 public:
  using Clock = Deadline::Clock;

  // Takes `fd` over, and what encrypts it, or null. `network`: it is no UNIX socket. `sends`,
  // `receives`: the directions that are used here, at least one.
  StreamSocket(UniqueFd fd, std::unique_ptr<SecureLayer> secure, bool network, bool sends,
               bool receives) noexcept;

  [[nodiscard]] NativeHandle fd() const noexcept { return fd_.get(); }
  [[nodiscard]] ByteStream::Moved write(
      std::span<const std::span<const std::byte>> pieces) noexcept {
    return secure_ != nullptr ? secure_->write(pieces) : write_socket(fd(), pieces);
  }
  [[nodiscard]] ByteStream::Moved read(const std::array<std::span<std::byte>, 2>& room) noexcept {
    // relaxed: as in wait_taken().
    reads_.fetch_add(1, std::memory_order_relaxed);
    return secure_ != nullptr ? secure_->read(room) : read_socket(fd(), room);
  }
  // Whether something may be there to be read that the descriptor does not tell of.
  [[nodiscard]] bool holds_more() const noexcept {
    return secure_ != nullptr && secure_->holds_more();
  }
  [[nodiscard]] bool has_unsent() const noexcept {
    return secure_ != nullptr && secure_->has_unsent();
  }
  // Whether a write waits for a read though the socket has room.
  [[nodiscard]] bool wants_reader() const noexcept {
    return secure_ != nullptr && secure_->wants_reader();
  }
  // For a moment, as there is nothing that would tell of it.
  [[nodiscard]] WaitResult wait_for_reader(Deadline deadline,
                                           const std::atomic<bool>* stop) const noexcept;
  [[nodiscard]] bool has_both() const noexcept { return both_; }

  // The direction is used no longer: its other end is told, as far as the socket can tell it. With
  // the last one nothing goes over the socket any more. Not in a forked child, which shares it.
  // `complete`: all that was to be sent has been written. Blocks for a second at most, and as long
  // as it was given: where the other side may write to us before it has all of that.
  void leave(ByteStream::Direction direction, bool complete) noexcept;
  void give_time(std::chrono::nanoseconds time) noexcept {
    // relaxed: where the other direction does not see it, it waits as was said before.
    time_.store(time.count(), std::memory_order_relaxed);
  }
  // Where this side does not receive: what has come is thrown away, or the other side may wait for
  // us to read while we wait for it. Never blocks, and takes a bounded time.
  enum class Drained : std::uint8_t { kMoreMayCome, kEnded, kLost };
  // `ended`: this side has said its end, and what it reads need not make sense.
  [[nodiscard]] Drained drain(bool ended = false) noexcept;
  // Of the direction that asks: the other one is not used here, or has left.
  [[nodiscard]] bool is_alone() const noexcept {
    // relaxed: what the other one did stands with the system.
    return in_use_.load(std::memory_order_relaxed) == 1;
  }
  // ByteStream::wait_taken(), which ends the sending direction. Where the other one is in use and
  // leaves something unread for long, leave() of the last one sees to the rest.
  [[nodiscard]] WaitResult wait_taken(Deadline deadline, const std::atomic<bool>* stop) noexcept;

  // Both directions end, as if the other side had died.
  void cut() noexcept;
  [[nodiscard]] bool was_cut() const noexcept {
    // relaxed: stored before the system call whose effect the asking one has seen.
    return cut_.load(std::memory_order_relaxed);
  }

  // When it was last looked for more behind a whole message, and when for anything in vain; kept
  // only if somebody asks for it. Bytes alone do not count: one at a time, they could go on for
  // ever.
  void watch_idleness() noexcept {
    heard();
    looked_.store(time_now(), std::memory_order_relaxed);  // relaxed: as below
  }
  void heard() noexcept {
    // relaxed: a time, which orders nothing.
    heard_.store(time_now(), std::memory_order_relaxed);
  }
  // It owes nothing until it is looked for more: what came waits for us, and so may the other side.
  void message_came() noexcept {
    // relaxed, both: as above.
    heard_.store(kOurTurn, std::memory_order_relaxed);
    at_it_.store(false, std::memory_order_relaxed);
  }
  // Around each look. What came while we left it unread is no time that the other side took; and
  // from a look that finds something until one in vain, or a message, it is we who are at it.
  void looks() noexcept;
  void looked(bool in_vain) noexcept;
  // Since when the other side takes less than it shall of what is written; zero: it does not.
  void set_held_up(bool held_up) noexcept;
  [[nodiscard]] bool is_watched() const noexcept {
    // relaxed: as above; set before any other thread knows of this object, and no longer once this
    // side has left its receiving direction.
    return heard_.load(std::memory_order_relaxed) != 0;
  }
  // For how long the other side has owed us a message, or taken too little of ours. Of one thread,
  // and now and then: it sees by that whether we leave alone what has come.
  [[nodiscard]] Clock::duration waited() noexcept;

  // What the other side has to take in the time that it is given, if that is not all.
  static constexpr std::size_t kLeastTaken = std::size_t{64} << 10;

 private:
  static constexpr Clock::rep kOurTurn = std::numeric_limits<Clock::rep>::max();

  [[nodiscard]] static Clock::rep time_now() noexcept {
    return Clock::now().time_since_epoch().count();
  }
  [[nodiscard]] Clock::duration quiet_for() noexcept;
  [[nodiscard]] Clock::duration held_up_for() noexcept;
  [[nodiscard]] bool is_ready(short events) const noexcept;
  void say_last_words() noexcept;

  [[nodiscard]] WaitResult say_end(Deadline deadline, const std::atomic<bool>* stop) noexcept;

  UniqueFd fd_;
  std::unique_ptr<SecureLayer> secure_;
  bool network_;
  bool sends_;
  bool both_;
  std::atomic<int> in_use_;  // directions
  std::atomic<std::uint32_t> reads_{0};
  std::atomic<bool> gave_up_{false};
  std::atomic<bool> cut_{false};
  std::atomic<std::chrono::nanoseconds::rep> time_{std::chrono::nanoseconds::max().count()};
  std::atomic<Clock::rep> heard_{0};
  std::atomic<Clock::rep> looked_{0};
  std::atomic<bool> at_it_{false};
  std::atomic<Clock::rep> left_alone_{0};  // that looked_ behind which we did
  Clock::rep unread_behind_ = 0;           // waited()'s: that looked_ behind which something lay
  Clock::rep unread_since_ = 0;            // for all that waited() knows
  std::atomic<Clock::rep> held_up_{0};
  std::atomic<int> not_taken_{0};  // bytes in the system's hands, when that began
};

class SocketStream final : public ByteStream {
 public:
  SocketStream(std::shared_ptr<StreamSocket> socket, Direction direction) noexcept
      : socket_(std::move(socket)), direction_(direction) {}

  [[nodiscard]] Moved write(std::span<const std::span<const std::byte>> pieces) noexcept override {
    const Moved moved = socket_->write(pieces);
    complete_ = moved.outcome == Outcome::kMoved;
    see_progress(pieces, moved);
    return moved;
  }
  [[nodiscard]] Moved read(const std::array<std::span<std::byte>, 2>& room) noexcept override {
    const bool watched = socket_->is_watched();
    if (watched) socket_->looks();
    const Moved moved = socket_->read(room);
    if (watched) socket_->looked(moved.outcome != Outcome::kMoved);
    if (moved.outcome == Outcome::kEnd && socket_->was_cut()) return {Outcome::kCutOff, 0};
    return moved;
  }
  [[nodiscard]] WaitResult wait(Direction direction, Deadline deadline, WaitMode mode,
                                const std::atomic<bool>* stop) const noexcept override {
    if (direction == Direction::kRead && holds_more()) return WaitResult::kReady;
    const bool talks =
        socket_ != nullptr && direction == Direction::kWrite && talks_ && socket_->is_alone();
    if (talks) talks_ = socket_->drain() == StreamSocket::Drained::kMoreMayCome;
    if (direction == Direction::kWrite && socket_ != nullptr && socket_->wants_reader()) {
      return socket_->wait_for_reader(deadline, stop);
    }
    const bool answers =
        direction == Direction::kRead && socket_ != nullptr && socket_->has_unsent();
    return wait_for_descriptor(fd(), direction, deadline, mode, stop, gave_way_,
                               answers || (talks && talks_));
  }
  void message_came() noexcept override {
    if (socket_ != nullptr && socket_->is_watched()) socket_->message_came();
  }
  void give_time(Deadline deadline) noexcept override {
    if (socket_ != nullptr) socket_->give_time(deadline.remaining());
  }
  [[nodiscard]] WaitResult wait_taken(Deadline deadline, const std::atomic<bool>* stop,
                                      bool talks) noexcept override {
    if (socket_ == nullptr || !(talks || socket_->has_both())) return WaitResult::kReady;
    const WaitResult result = socket_->wait_taken(deadline, stop);
    complete_ = result == WaitResult::kReady || result == WaitResult::kTimedOut;
    if (result == WaitResult::kTimedOut) socket_->give_time({});  // it was written, and that is all
    return result;
  }
  [[nodiscard]] bool holds_more() const noexcept override {
    return socket_ != nullptr && socket_->holds_more();
  }
  [[nodiscard]] bool peer_gone(Gone gone = Gone::kEitherWay) const noexcept override;
  [[nodiscard]] NativeHandle fd() const noexcept override {
    return socket_ != nullptr ? socket_->fd() : kNoHandle;
  }
  void close() noexcept override {
    if (socket_ != nullptr) socket_->leave(direction_, complete_);
    socket_.reset();
  }

 private:
  void see_progress(std::span<const std::span<const std::byte>> pieces, Moved moved) noexcept {
    std::size_t left = 0;
    for (const auto& piece : pieces) left += piece.size();
    if (left == moved.bytes) {
      if (stalled_) socket_->set_held_up(false);
      stalled_ = false;
      return;
    }
    taken_ += moved.bytes;
    if (stalled_ && taken_ < StreamSocket::kLeastTaken) return;
    socket_->set_held_up(true);
    stalled_ = true;
    taken_ = 0;
  }

  std::shared_ptr<StreamSocket> socket_;
  Direction direction_;
  bool complete_ = true;   // the last write was of use: none is left, or a part of it was written
  bool stalled_ = false;   // the other side did not take all of the last write
  std::size_t taken_ = 0;  // of what was written since that began
  mutable bool talks_ = true;  // the other side may say something more
  mutable Deadline::Clock::time_point gave_way_{};
};

}  // namespace rondo::inline RONDO_ABI::detail
