#include "stop_signal.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

namespace rondo::program::stop_signal {
namespace {

std::atomic<bool> stop{false};
std::atomic<int> signal_number{0};
// A byte in this pipe means the same as the flag, for poll().
std::array<int, 2> wake_pipe{-1, -1};

extern "C" void on_stop(int signal) {
  const int saved_errno = errno;
  // relaxed: flags between a handler and its own process; they order no other data.
  if (stop.exchange(true, std::memory_order_relaxed)) {
    ::signal(signal, SIG_DFL);
    ::raise(signal);  // takes effect when this handler returns
  }
  // relaxed: as above.
  signal_number.store(signal, std::memory_order_relaxed);
  [[maybe_unused]] const ssize_t written = ::write(wake_pipe[1], "", 1);
  errno = saved_errno;
}

}  // namespace

void install() {
  ::signal(SIGPIPE, SIG_IGN);
  if (::pipe2(wake_pipe.data(), O_CLOEXEC | O_NONBLOCK) != 0) return;  // poll() ignores fd -1
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action {};
    if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN) continue;
    action = {};
    action.sa_handler = on_stop;  // no SA_RESTART: a blocked read or write returns
    ::sigaction(signal, &action, nullptr);
  }
}

const std::atomic<bool>& flag() noexcept { return stop; }

// relaxed: the flag orders no other data.
bool requested() noexcept { return stop.load(std::memory_order_relaxed); }

// relaxed: as above.
int number() noexcept { return signal_number.load(std::memory_order_relaxed); }

Readable wait_readable(int fd) noexcept {
  std::array<pollfd, 2> watched{{{fd, POLLIN, 0}, {wake_pipe[0], POLLIN, 0}}};
  for (;;) {
    if (requested()) return Readable::kStopped;
    const int ready = ::poll(watched.data(), watched.size(), -1);
    if (ready > 0 && watched[1].revents == 0) return Readable::kYes;
    if (ready < 0 && errno != EINTR) return Readable::kFailed;
  }
}

// relaxed: the flag orders no other data.
PutOff::PutOff() noexcept : requested_(stop.exchange(false, std::memory_order_relaxed)) {}
// relaxed: as above.
PutOff::~PutOff() {
  if (requested_) stop.store(true, std::memory_order_relaxed);
}

void leave_to_others() noexcept {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
}

void sleep(std::chrono::milliseconds time) noexcept {
  pollfd watched{wake_pipe[0], POLLIN, 0};
  if (!requested()) ::poll(&watched, 1, static_cast<int>(time.count()));
}

void die_of(int signal) noexcept {
  ::signal(signal, SIG_DFL);
  sigset_t only;
  ::sigemptyset(&only);
  ::sigaddset(&only, signal);
  ::pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
  ::raise(signal);
  ::_exit(128 + signal);  // not reached unless the signal is not one that ends a process
}

}  // namespace rondo::program::stop_signal
