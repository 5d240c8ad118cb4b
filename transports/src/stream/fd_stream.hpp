// A descriptor that bytes go into or come out of: a pipe, a socket (both), or whatever else was
// handed over.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "rondo/core/descriptor.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/wait.hpp"
#include "stream/byte_stream.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Owns the descriptor.
class FdStream final : public ByteStream {
 public:
  FdStream() noexcept = default;
  // Takes `fd` over; it is closed with this object. `direction`: what a pipe is opened for; a
  // socket has both.
  FdStream(UniqueFd fd, Direction direction) noexcept;
  FdStream(FdStream&& other) noexcept;
  FdStream& operator=(FdStream&& other) noexcept;
  ~FdStream() override;

  [[nodiscard]] Moved write(std::span<const std::span<const std::byte>> pieces) noexcept override;
  [[nodiscard]] Moved read(const std::array<std::span<std::byte>, 2>& room) noexcept override;
  [[nodiscard]] WaitResult wait(Direction direction, Deadline deadline, WaitMode mode,
                                const std::atomic<bool>* stop) const noexcept override;
  [[nodiscard]] bool peer_gone(Gone gone = Gone::kEitherWay) const noexcept override;
  void close() noexcept override;

  [[nodiscard]] NativeHandle fd() const noexcept override { return fd_.get(); }
  [[nodiscard]] bool is_open() const noexcept { return static_cast<bool>(fd_); }
  // Whether the number is still that of what was opened: false once the program has closed it. A
  // system call.
  [[nodiscard]] bool intact() const noexcept { return fd_.intact(); }
  // Gives the descriptor away, as it is.
  [[nodiscard]] UniqueFd release() && noexcept { return std::move(fd_); }

 private:
  void take_pipe(Direction direction) noexcept;

  UniqueFd fd_;
  bool socket_ = false;
  bool blocks_ = false;             // neither a socket nor O_NONBLOCK: a terminal, a file
  bool guard_pipe_signal_ = false;  // SIGPIPE would reach the program
  bool restore_blocking_ = false;   // the descriptor's flags are shared with others: put them back
  mutable Deadline::Clock::time_point gave_way_{};  // when a wait last gave its core away
};

// For an owner that takes any stream.
[[nodiscard]] inline std::unique_ptr<ByteStream> on_heap(FdStream stream) {
  return std::make_unique<FdStream>(std::move(stream));
}

// What a stream over a socket does; no SIGPIPE.
[[nodiscard]] ByteStream::Moved write_socket(
    NativeHandle fd, std::span<const std::span<const std::byte>> pieces) noexcept;
[[nodiscard]] ByteStream::Moved read_socket(
    NativeHandle fd, const std::array<std::span<std::byte>, 2>& room) noexcept;
// ByteStream::wait() for a descriptor. `gave_way`: when a wait last gave its core away.
// `either`: also until the other direction would be ready.
[[nodiscard]] WaitResult wait_for_descriptor(NativeHandle fd, ByteStream::Direction direction,
                                             Deadline deadline, WaitMode mode,
                                             const std::atomic<bool>* stop,
                                             Deadline::Clock::time_point& gave_way,
                                             bool either = false) noexcept;

// Whether `fd` is open and of use in that direction. Errors: kNotFound (not open), kForeignObject
// (not for that direction, or a directory).
[[nodiscard]] Result<void> check_fd(NativeHandle fd, FdStream::Direction direction);

}  // namespace rondo::inline RONDO_ABI::detail
