#include "stream/fd_stream.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <limits>
#include <string>
#include <utility>

#include "rondo/core/cancellation_disabled.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/timespec.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

using Outcome = FdStream::Outcome;

// How soon a stop flag is noticed that is set without a signal's help.
constexpr std::chrono::milliseconds kStopInterval{50};
constexpr std::size_t kMaxPieces = 256;

// Keeps the SIGPIPE of one write from the program: sockets have a flag for that, pipes do not.
// (A signal that the write raises is pending for this thread alone, and can be taken back.)
class PipeSignalGuard {
 public:
  explicit PipeSignalGuard(bool needed) noexcept : needed_(needed) {
    if (!needed_) return;
    sigemptyset(&pipe_signal_);
    sigaddset(&pipe_signal_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_signal_, &before_);
    errno = 0;
  }
  PipeSignalGuard(const PipeSignalGuard&) = delete;
  PipeSignalGuard& operator=(const PipeSignalGuard&) = delete;
  ~PipeSignalGuard() {
    if (!needed_) return;
    const int saved = errno;
    if (saved == EPIPE && !was_pending_) {
      const timespec at_once{};
      sigtimedwait(&pipe_signal_, nullptr, &at_once);
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    errno = saved;
  }

 private:
  bool needed_;
  bool was_pending_ = false;
  sigset_t pipe_signal_{};
  sigset_t before_{};
};

bool pipe_signal_is_ignored() noexcept {
  struct sigaction action {};
  return sigaction(SIGPIPE, nullptr, &action) == 0 && (action.sa_flags & SA_SIGINFO) == 0 &&
         action.sa_handler == SIG_IGN;
}

// What a read or write came to, from its result and errno.
FdStream::Moved judge(ssize_t result) noexcept {
  if (result > 0) return {Outcome::kMoved, static_cast<std::size_t>(result)};
  if (result == 0) return {Outcome::kEnd, 0};
  switch (errno) {
    case EINTR:  // the caller looks at its stop flag before it tries again
    case EAGAIN: return {Outcome::kNotNow, 0};
    case EPIPE: return {Outcome::kEnd, 0};
    case ECONNRESET:
    case ECONNABORTED:
    // The other machine does not answer any more (tcp(7)).
    case ETIMEDOUT:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENETDOWN:
    case ENETRESET:
    case ENETUNREACH:
    case ENONET: return {Outcome::kCutOff, 0};
    default: return {Outcome::kRefused, 0};
  }
}

// What writev() and readv() take of those; how many.
int vectors_of(std::span<const std::span<const std::byte>> pieces,
               std::array<iovec, kMaxPieces>& vectors) noexcept {
  const std::size_t count = std::min(pieces.size(), kMaxPieces);
  for (std::size_t i = 0; i < count; ++i) {
    vectors[i] = {const_cast<std::byte*>(pieces[i].data()), pieces[i].size()};
  }
  return static_cast<int>(count);
}
std::array<iovec, 2> vectors_of(const std::array<std::span<std::byte>, 2>& room) noexcept {
  return {iovec{room[0].data(), room[0].size()}, iovec{room[1].data(), room[1].size()}};
}

}  // namespace

FdStream::FdStream(UniqueFd fd, Direction direction) noexcept : fd_(std::move(fd)) {
  fd_.remember();
  struct stat status {};
  if (fstat(fd_.get(), &status) != 0) return;
  socket_ = S_ISSOCK(status.st_mode);
  if (S_ISFIFO(status.st_mode)) take_pipe(direction);
  blocks_ = !socket_ && (fcntl(fd_.get(), F_GETFL) & O_NONBLOCK) == 0;
  guard_pipe_signal_ = direction == Direction::kWrite && !socket_ && !pipe_signal_is_ignored();
}

FdStream::FdStream(FdStream&& other) noexcept = default;

FdStream& FdStream::operator=(FdStream&& other) noexcept {
  if (this == &other) return *this;
  close();
  fd_ = std::move(other.fd_);
  socket_ = other.socket_;
  blocks_ = other.blocks_;
  guard_pipe_signal_ = other.guard_pipe_signal_;
  restore_blocking_ = other.restore_blocking_;
  return *this;
}

FdStream::~FdStream() { close(); }

// O_NONBLOCK belongs to the open file description, which other processes may share (a shell's
// pipeline). So a pipe is opened anew, for a description of our own; where that fails, the flag is
// put back at the end.
void FdStream::take_pipe(Direction direction) noexcept {
  const int flags = fcntl(fd_.get(), F_GETFL);
  if (flags < 0 || (flags & O_NONBLOCK) != 0) return;
  const int access = direction == Direction::kRead ? O_RDONLY : O_WRONLY;
  std::array<char, 32> path{};  // no string, which may find no memory
  std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", fd_.get());
  if (UniqueFd own = open_file(path.data(), access | O_NONBLOCK)) {
    fd_ = std::move(own);
    return;
  }
  restore_blocking_ = fcntl(fd_.get(), F_SETFL, flags | O_NONBLOCK) == 0;
}

void FdStream::close() noexcept {
  const UniqueFd closed = std::move(fd_);
  if (!closed || !closed.intact() || !restore_blocking_) return;
  const int flags = fcntl(closed.get(), F_GETFL);
  if (flags >= 0) fcntl(closed.get(), F_SETFL, flags & ~O_NONBLOCK);
}

FdStream::Moved FdStream::write(std::span<const std::span<const std::byte>> pieces) noexcept {
  if (socket_) return write_socket(fd_.get(), pieces);
  std::array<iovec, kMaxPieces> vectors;
  const int count = vectors_of(pieces, vectors);
  const CancellationDisabled here;
  const PipeSignalGuard guard(guard_pipe_signal_);
  return judge(writev(fd_.get(), vectors.data(), count));
}

FdStream::Moved FdStream::read(const std::array<std::span<std::byte>, 2>& room) noexcept {
  if (socket_) return read_socket(fd_.get(), room);
  const auto vectors = vectors_of(room);
  const CancellationDisabled here;
  pollfd poll{fd_.get(), POLLIN, 0};
  if (blocks_ && ::poll(&poll, 1, 0) == 0) return {Outcome::kNotNow, 0};
  return judge(readv(fd_.get(), vectors.data(), static_cast<int>(vectors.size())));
}

FdStream::Moved write_socket(NativeHandle fd,
                             std::span<const std::span<const std::byte>> pieces) noexcept {
  std::array<iovec, kMaxPieces> vectors;
  msghdr message{};
  message.msg_iovlen = static_cast<std::size_t>(vectors_of(pieces, vectors));
  message.msg_iov = vectors.data();
  const CancellationDisabled here;
  return judge(sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT));
}

FdStream::Moved read_socket(NativeHandle fd,
                            const std::array<std::span<std::byte>, 2>& room) noexcept {
  auto vectors = vectors_of(room);
  msghdr message{};
  message.msg_iov = vectors.data();
  message.msg_iovlen = vectors.size();
  const CancellationDisabled here;
  return judge(recvmsg(fd, &message, MSG_DONTWAIT));
}

WaitResult FdStream::wait(Direction direction, Deadline deadline, WaitMode mode,
                          const std::atomic<bool>* stop) const noexcept {
  return wait_for_descriptor(fd_.get(), direction, deadline, mode, stop, gave_way_);
}

WaitResult wait_for_descriptor(NativeHandle fd, ByteStream::Direction direction, Deadline deadline,
                               WaitMode mode, const std::atomic<bool>* stop,
                               Deadline::Clock::time_point& gave_way, bool either) noexcept {
  const CancellationDisabled here;
  const bool parks = mode == WaitMode::kAdaptive || mode == WaitMode::kPark;
  for (;;) {
    // relaxed: the flag orders nothing.
    if (stop != nullptr && stop->load(std::memory_order_relaxed)) return WaitResult::kInterrupted;
    if (deadline.passed()) return WaitResult::kTimedOut;
    if (!parks) {
      // As in a wait for a ring; but a look is a system call, and may as well be the one that
      // gives the core away.
      const auto now = Deadline::Clock::now();
      if (mode == WaitMode::kYield || now - gave_way >= WaitStrategy::kGiveWay) {
        gave_way = now;
        detail::yield_core();
      }
      if (mode == WaitMode::kPause) cpu_relax();
      return WaitResult::kReady;
    }
    auto slice = deadline.remaining();
    if (stop != nullptr) slice = std::min<Deadline::Clock::duration>(slice, kStopInterval);
    const bool forever = slice == Deadline::Clock::duration::max();
    const timespec timeout = forever ? timespec{} : timespec_of(slice);
    int events = direction == ByteStream::Direction::kRead ? POLLIN : POLLOUT;
    if (either) events = POLLIN | POLLOUT;
    pollfd poll{fd, static_cast<short>(events), 0};
    const int ready = ppoll(&poll, 1, forever ? nullptr : &timeout, nullptr);
    // Errors other than EINTR are found by the read or write that follows.
    if (ready > 0 || (ready < 0 && errno != EINTR)) return WaitResult::kReady;
  }
}

bool FdStream::peer_gone(Gone gone) const noexcept {
  const CancellationDisabled here;
  pollfd poll{fd_.get(), static_cast<short>(gone == Gone::kEitherWay ? POLLRDHUP : 0), 0};
  return ::poll(&poll, 1, 0) > 0 && (poll.revents & (POLLERR | POLLHUP | POLLRDHUP)) != 0;
}

Result<void> check_fd(NativeHandle fd, FdStream::Direction direction) {
  const std::string name = "fd:" + std::to_string(fd);
  const int flags = fcntl(fd, F_GETFL);
  struct stat status {};
  if (flags < 0 || fstat(fd, &status) != 0) {
    return Error{ErrorCode::kNotFound,
                 name + " is not open in this process; open it before, or let it be inherited"};
  }
  int type = SOCK_STREAM;
  socklen_t size = sizeof type;
  if (S_ISSOCK(status.st_mode) && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 &&
      type != SOCK_STREAM) {
    return Error{
        ErrorCode::kForeignObject,
        name + " is a socket of messages, not of a stream of bytes; use one of SOCK_STREAM"};
  }
  const int access = flags & O_ACCMODE;
  const bool reading = direction == FdStream::Direction::kRead;
  if (S_ISDIR(status.st_mode) || (access != O_RDWR && access != (reading ? O_RDONLY : O_WRONLY))) {
    return Error{ErrorCode::kForeignObject, name + " is open, but not for " +
                                                (reading ? "reading" : "writing") + "; use " +
                                                (reading ? "the reading" : "the writing") +
                                                " end of a pipe, a socket or a file"};
  }
  return {};
}

}  // namespace rondo::inline RONDO_ABI::detail
