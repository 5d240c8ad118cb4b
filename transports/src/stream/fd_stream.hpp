// A descriptor that bytes go into or come out of: a pipe, a socket, or whatever else was handed
// over.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <span>

#include "rondo/core/descriptor.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/wait.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Owns the descriptor. One thread at a time.
class FdStream {
 public:
  enum class Outcome : std::uint8_t {
    kMoved,   // some bytes, at least one
    kNotNow,  // it would have to wait
    kEnd,     // the other side is gone
    kRefused  // the system refused, for good
  };
  struct Moved {
    Outcome outcome;
    std::size_t bytes;
  };
  enum class Direction : std::uint8_t { kRead, kWrite };

  FdStream() noexcept = default;
  // Takes `fd` over; it is closed with this object.
  FdStream(UniqueFd fd, Direction direction) noexcept;
  FdStream(FdStream&& other) noexcept;
  FdStream& operator=(FdStream&& other) noexcept;
  ~FdStream();

  // Writes as much as it takes now. A signal SIGPIPE that comes of it does not reach the program.
  [[nodiscard]] Moved write(std::span<const std::span<const std::byte>> pieces) noexcept;
  // Reads what is there now, into the first span and then into the second.
  [[nodiscard]] Moved read(const std::array<std::span<std::byte>, 2>& room) noexcept;
  // Waits until reading or writing is worth a try. Spinning modes return kReady at once for that.
  // kPeerGone is left to read() and write() to find.
  [[nodiscard]] WaitResult wait(Deadline deadline, WaitMode mode,
                                const std::atomic<bool>* stop) const noexcept;
  // True if the other side is known to be gone. A system call.
  [[nodiscard]] bool peer_gone() const noexcept;

  [[nodiscard]] int fd() const noexcept { return fd_.get(); }
  [[nodiscard]] bool is_open() const noexcept { return static_cast<bool>(fd_); }
  void close() noexcept;
  // Gives the descriptor away, as it is.
  [[nodiscard]] UniqueFd release() && noexcept { return std::move(fd_); }

 private:
  void take_pipe() noexcept;

  UniqueFd fd_;
  Direction direction_ = Direction::kRead;
  bool socket_ = false;
  bool blocks_ = false;             // neither a socket nor O_NONBLOCK: a terminal, a file
  bool guard_pipe_signal_ = false;  // SIGPIPE would reach the program
  bool restore_blocking_ = false;   // the descriptor's flags are shared with others: put them back
};

// Whether `fd` is open and of use in that direction. Errors: kNotFound (not open), kForeignObject
// (not for that direction, or a directory).
[[nodiscard]] Result<void> check_fd(int fd, FdStream::Direction direction);

}  // namespace rondo::inline RONDO_ABI::detail
