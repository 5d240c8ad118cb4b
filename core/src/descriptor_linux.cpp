#include "rondo/core/descriptor.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "rondo/core/cancellation_disabled.hpp"
#include "system_linux.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

// The first number that is not a standard stream's.
constexpr int kLowest = STDERR_FILENO + 1;

// The mark on a description is the number of the signal that it would send (F_SETSIG in fcntl(2)).
// None is sent without O_ASYNC, which nobody asks of ours, and whatever the program opens has none.
constexpr std::uint8_t kMarks = 64;

// So that of two of ours with the same number, the first of which the program has closed, each
// knows its own: the next one gets another mark, and the same again after kMarks of them.
std::uint8_t next_mark(int fd) noexcept {
  static std::array<std::atomic<std::uint8_t>, 1024> taken{};
  // relaxed: the count alone.
  const std::uint8_t before =
      taken[static_cast<std::size_t>(fd) % taken.size()].fetch_add(1, std::memory_order_relaxed);
  return static_cast<std::uint8_t>(before % kMarks + 1);
}

UniqueFd take_over_marked(int fd) noexcept {
  UniqueFd taken = take_over(fd);
  taken.mark();
  return taken;
}

}  // namespace

UniqueFd::~UniqueFd() {
  if (fd_ < 0) return;
  const CancellationDisabled here;
  const int saved = errno;  // often that of the call because of which it is given up
  if (intact()) close(fd_);
  errno = saved;
}

void UniqueFd::remember() noexcept {
  struct stat status {};
  if (fd_ < 0 || mark_ != 0 || fstat(fd_, &status) != 0) return;
  device_ = status.st_dev;
  file_ = status.st_ino;
}

void UniqueFd::mark() noexcept {
  if (fd_ < 0) return;
  const int saved = errno;
  const std::uint8_t mark = next_mark(fd_);
  if (fcntl(fd_, F_SETSIG, mark) == 0) {
    mark_ = mark;
  } else {
    remember();  // a system-call filter: then it is told from other files at least
  }
  errno = saved;
}

bool UniqueFd::intact() const noexcept {
  if (mark_ != 0) {
    const int mark = fcntl(fd_, F_GETSIG);
    return mark < 0 ? errno != EBADF : mark == mark_;
  }
  if (file_ == 0) return true;
  struct stat status {};
  // A look that failed for another reason does not tell that the number is another file's.
  if (fstat(fd_, &status) != 0) return errno != EBADF;
  return status.st_dev == device_ && status.st_ino == file_;
}

UniqueFd take_over(int fd) noexcept {
  UniqueFd taken(fd);
  if (fd < 0 || fd >= kLowest) return taken;
  return duplicate(fd);
}

UniqueFd open_file(const char* path, int flags, unsigned mode) noexcept {
  const CancellationDisabled here;
  return take_over(retry_interrupted([&] { return open(path, flags | O_CLOEXEC, mode); }));
}

UniqueFd open_memory(const char* name, unsigned flags) noexcept {
  return take_over(memfd_create(name, flags | MFD_CLOEXEC));
}

UniqueFd open_socket(int type) noexcept { return open_socket_of(AF_UNIX, type); }

UniqueFd open_socket_of(int family, int type) noexcept {
  return take_over(socket(family, type | SOCK_CLOEXEC, 0));
}

UniqueFd accept_from(int listener) noexcept {
  const CancellationDisabled here;
  return take_over(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

UniqueFd duplicate(int fd) noexcept {
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, kLowest));
  if (!copy && errno == EINVAL) errno = EMFILE;  // the limit is kLowest at most (fcntl(2))
  return copy;
}

bool open_pipe(UniqueFd& reading, UniqueFd& writing) noexcept {
  std::array<int, 2> ends{-1, -1};
  if (pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) != 0) return false;
  UniqueFd first = take_over(ends[0]);
  int error = first ? 0 : errno;
  UniqueFd second = take_over(ends[1]);
  if (!second) error = errno;
  if (error != 0) {
    errno = error;
    return false;
  }
  reading = std::move(first);
  writing = std::move(second);
  return true;
}

UniqueFd open_event() noexcept { return take_over_marked(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

UniqueFd open_signal(int signal) noexcept {
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signal);
  return take_over_marked(signalfd(-1, &one, SFD_CLOEXEC | SFD_NONBLOCK));
}

UniqueFd open_process(int process) noexcept {
  return take_over_marked(static_cast<int>(syscall(SYS_pidfd_open, process, 0)));  // closed on exec
}

UniqueFd open_poller() noexcept { return take_over_marked(epoll_create1(EPOLL_CLOEXEC)); }

UniqueFd open_file_watch() noexcept {
  return take_over_marked(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
}

UniqueFd open_timer() noexcept {
  return take_over_marked(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
}

}  // namespace rondo::inline RONDO_ABI::detail
