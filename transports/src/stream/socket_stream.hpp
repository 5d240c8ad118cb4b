// A connection over a stream socket, and its two directions, each a byte stream for a handle of its
// own. One that is closed for good keeps what was sent from being lost.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>

#include "rondo/core/descriptor.hpp"
#include "rondo/core/version.hpp"
#include "stream/byte_stream.hpp"
#include "stream/fd_stream.hpp"

namespace rondo::inline RONDO_ABI::detail {

// What the directions of one connection share. A thread for each, and one that cuts it.
class StreamSocket {
 public:
  using Clock = Deadline::Clock;

  // Takes `fd` over. `network`: it is no UNIX socket. `sends`, `receives`: the directions that are
  // used here, at least one.
  StreamSocket(UniqueFd fd, bool network, bool sends, bool receives) noexcept;

  [[nodiscard]] NativeHandle fd() const noexcept { return fd_.get(); }
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
  [[nodiscard]] Drained drain() noexcept;
  // Of the direction that asks: the other one is not used here, or has left.
  [[nodiscard]] bool is_alone() const noexcept {
    // relaxed: what the other one did stands with the system.
    return in_use_.load(std::memory_order_relaxed) == 1;
  }
  // ByteStream::wait_taken(), which ends the sending direction; the other one's user reads, and
  // leave() of the last one sees to the rest.
  [[nodiscard]] WaitResult wait_taken(Deadline deadline, const std::atomic<bool>* stop) noexcept;

  // Both directions end, as if the other side had died.
  void cut() noexcept;
  [[nodiscard]] bool was_cut() const noexcept {
    // relaxed: stored before the system call whose effect the asking one has seen.
    return cut_.load(std::memory_order_relaxed);
  }

  // When something last came; kept only if somebody asks for it.
  void watch_idleness() noexcept { heard(); }
  void heard() noexcept {
    // relaxed: a time, which orders nothing.
    heard_.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
  }
  [[nodiscard]] bool is_watched() const noexcept {
    // relaxed: as above; set before any other thread knows of this object, and no longer once this
    // side has left its receiving direction.
    return heard_.load(std::memory_order_relaxed) != 0;
  }
  // The other side has said its end, or none listens to it here: nothing is expected of it.
  [[nodiscard]] bool other_side_ended() const noexcept;
  // Since when nothing has come: now, if something waits to be read.
  [[nodiscard]] Clock::time_point quiet_since() const noexcept;

 private:
  void say_last_words() noexcept;

  UniqueFd fd_;
  bool network_;
  bool sends_;
  bool both_;
  std::atomic<int> in_use_;  // directions
  std::atomic<bool> gave_up_{false};
  std::atomic<bool> cut_{false};
  std::atomic<std::chrono::nanoseconds::rep> time_{std::chrono::nanoseconds::max().count()};
  std::atomic<Clock::rep> heard_{0};
};

class SocketStream final : public ByteStream {
 public:
  SocketStream(std::shared_ptr<StreamSocket> socket, Direction direction) noexcept
      : socket_(std::move(socket)), direction_(direction) {}

  [[nodiscard]] Moved write(std::span<const std::span<const std::byte>> pieces) noexcept override {
    const Moved moved = write_socket(fd(), pieces);
    complete_ = moved.outcome == Outcome::kMoved;
    return moved;
  }
  [[nodiscard]] Moved read(const std::array<std::span<std::byte>, 2>& room) noexcept override {
    const Moved moved = read_socket(fd(), room);
    if (moved.outcome == Outcome::kMoved && socket_->is_watched()) socket_->heard();
    if (moved.outcome == Outcome::kEnd && socket_->was_cut()) return {Outcome::kCutOff, 0};
    return moved;
  }
  [[nodiscard]] WaitResult wait(Direction direction, Deadline deadline, WaitMode mode,
                                const std::atomic<bool>* stop) const noexcept override {
    const bool talks =
        socket_ != nullptr && direction == Direction::kWrite && talks_ && socket_->is_alone();
    if (talks) talks_ = socket_->drain() == StreamSocket::Drained::kMoreMayCome;
    return wait_for_descriptor(fd(), direction, deadline, mode, stop, gave_way_, talks && talks_);
  }
  void give_time(Deadline deadline) noexcept override {
    if (socket_ != nullptr) socket_->give_time(deadline.remaining());
  }
  [[nodiscard]] WaitResult wait_taken(Deadline deadline,
                                      const std::atomic<bool>* stop) noexcept override {
    if (socket_ == nullptr) return WaitResult::kReady;
    const WaitResult result = socket_->wait_taken(deadline, stop);
    complete_ = result == WaitResult::kReady;
    return result;
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
  std::shared_ptr<StreamSocket> socket_;
  Direction direction_;
  bool complete_ = true;  // the last write was of use: none is left, or a part of it was written
  mutable bool talks_ = true;  // the other side may say something more
  mutable Deadline::Clock::time_point gave_way_{};
};

}  // namespace rondo::inline RONDO_ABI::detail
