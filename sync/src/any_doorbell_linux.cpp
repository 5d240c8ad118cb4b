#include "rondo/sync/any_doorbell.hpp"

#include <fcntl.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <ctime>
#include <limits>
#include <string>
#include <utility>

#include "rondo/core/fork_check.hpp"
#include "rondo/core/os.hpp"
#include "rondo/core/timespec.hpp"
#include "rondo/core/unnoticed.hpp"
#include "rondo/sync/futex.hpp"
#include "timespec_linux.hpp"

namespace rondo::inline RONDO_ABI::sync {
namespace {

using rondo::detail::Unnoticed;

Error failed(const char* what) {
  const int error = errno;
  Error failure = rondo::detail::system_error(error, std::string("can't ") + what);
  if (error == ENOSYS) failure.code = ErrorCode::kUnsupported;
  if (error == ESRCH) failure.code = ErrorCode::kPeerGone;
  return failure;
}

bool unblock(NativeHandle fd) noexcept {
  const int flags = fcntl(fd, F_GETFL);
  return flags >= 0 && ((flags & O_NONBLOCK) != 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
}

// Not to block is a property of the description, which a peer may share and change: so it is asked
// for at each call, or, where the kernel can't be asked so, looks come first.
bool is_ready(NativeHandle fd, short events) noexcept {
  pollfd poll{fd, events, 0};
  const timespec none{};
  const int ready = ppoll(&poll, 1, &none, nullptr);
  // Where it can't look (a filter, a limit of no descriptors) ours are as they were made.
  return ready < 0 ? errno != EINTR : (poll.revents & events) != 0;
}

ssize_t read_if_ready(NativeHandle fd, void* bytes, std::size_t size) noexcept {
  const iovec there{bytes, size};
  const ssize_t read_now = preadv2(fd, &there, 1, -1, RWF_NOWAIT);
  if (read_now >= 0 || errno == EAGAIN) return read_now;
  return is_ready(fd, POLLIN) ? read(fd, bytes, size) : -1;
}

void write_if_ready(NativeHandle fd, const void* bytes, std::size_t size) noexcept {
  [[maybe_unused]] ssize_t written = 0;
  if (is_ready(fd, POLLOUT)) written = write(fd, bytes, size);
}

void write_byte_if_ready(NativeHandle pipe) noexcept {
  std::byte one{1};
  const iovec there{&one, 1};
  if (pwritev2(pipe, &there, 1, -1, RWF_NOWAIT) >= 0 || errno == EAGAIN) return;
  write_if_ready(pipe, &one, 1);
}

std::int64_t coarse_nanoseconds() noexcept {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

// Where what would be slept on is not there.
void nap(Deadline deadline) noexcept {
  const timespec until =
      rondo::detail::timespec_of(earlier(deadline, Deadline::after(std::chrono::milliseconds(1))));
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
}

// Who has which signal number: one more than the fork_count() of the process that claimed it.
std::array<Atomic<std::uint32_t>, _NSIG> signal_users{};

}  // namespace

any_doorbell::SignalClaim::SignalClaim(int signal) noexcept
    : mark_(rondo::detail::fork_count() + 1) {
  auto& claim = signal_users.at(static_cast<std::size_t>(signal));
  // relaxed, both: no more is known by it than who has the number.
  std::uint32_t seen = claim.load(std::memory_order_relaxed);
  if (seen != mark_ && claim.compare_exchange_strong(seen, mark_, std::memory_order_relaxed,
                                                     std::memory_order_relaxed)) {
    signal_ = signal;
  }
}

any_doorbell::SignalClaim::~SignalClaim() {
  if (signal_ == 0) return;
  std::uint32_t mine = mark_;
  // relaxed, both: as above. Not if a child has claimed it anew, whose copy this is.
  signal_users.at(static_cast<std::size_t>(signal_))
      .compare_exchange_strong(mine, 0, std::memory_order_relaxed, std::memory_order_relaxed);
}

any_doorbell any_doorbell::by_futex(doorbell_word& word) noexcept {
  any_doorbell bell(word, way::futex);
  bell.tell_of_earlier();
  return bell;
}

Result<any_doorbell> any_doorbell::by_eventfd(doorbell_word& word, NativeHandle event) {
  any_doorbell bell(word, way::eventfd);
  const bool given = detail::is_handle(event);
  bell.reading_ = given ? detail::duplicate(event) : detail::open_event();
  if (!bell.reading_ || !unblock(bell.reading_.get())) return failed("have an eventfd for a bell");
  bell.reading_.remember();  // the caller sees what is on a description of his: it gets no mark
  bell.tell_of_earlier();
  return bell;
}

Result<any_doorbell> any_doorbell::by_pipe(doorbell_word& word, NativeHandle reading,
                                           NativeHandle writing) {
  any_doorbell bell(word, way::pipe);
  if (detail::is_handle(reading) || detail::is_handle(writing)) {
    bell.reading_ = detail::duplicate(reading);
    bell.writing_ = detail::duplicate(writing);
  } else {
    static_cast<void>(detail::open_pipe(bell.reading_, bell.writing_));
  }
  if (!bell.reading_ || !bell.writing_ || !unblock(bell.reading_.get()) ||
      !unblock(bell.writing_.get())) {
    return failed("have both ends of a pipe for a bell");
  }
  bell.reading_.remember();
  bell.writing_.remember();
  bell.tell_of_earlier();
  return bell;
}

Result<any_doorbell> any_doorbell::by_signal(doorbell_word& word, int waiter, int signal) {
  if (signal < SIGRTMIN || signal > SIGRTMAX) {
    return Error{ErrorCode::kInvalidOption,
                 std::to_string(signal) + " is no real-time signal; they are from SIGRTMIN (" +
                     std::to_string(SIGRTMIN) + ") to SIGRTMAX (" + std::to_string(SIGRTMAX) + ")"};
  }
  any_doorbell bell(word, way::signal);
  bell.signal_ = signal;
  bell.writing_ = detail::open_process(waiter);
  if (!bell.writing_) return failed("hold the process that a bell is to signal");
  if (waiter == getpid()) {
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, signal);
    bell.claim_ = SignalClaim(signal);
    if (!bell.claim_) {
      return Error{ErrorCode::kBusy, "another bell of this process waits for signal " +
                                         std::to_string(signal) + "; take another number"};
    }
    bell.reading_ = detail::open_signal(signal);
    if (!bell.reading_) return failed("have a signalfd for a bell");
    pthread_sigmask(SIG_BLOCK, &one, nullptr);
    bell.forget_signals();
    bell.tell_of_earlier();
  }
  return bell;
}

// A predecessor of the waiter may have been woken for it, and died before it took it.
void any_doorbell::tell_of_earlier() noexcept {
  // relaxed: wait() takes it.
  if ((word_->state.load(std::memory_order_relaxed) & doorbell_word::kFlags) != 0) {
    static_cast<void>(tell());
  }
}

bool any_doorbell::ring() noexcept {
  std::uint32_t seen = 0;
  if (!word_->ring(seen) && is_told()) return true;
  if (!tell()) return false;
  word_->told(seen);
  return true;
}

// Whether the word is to be believed that says so. A waiter's own look by time does not believe it
// for longer either; but there is none where a loop waits, which only the kernel can tell.
bool any_doorbell::is_told() noexcept {
  if (way_ != way::eventfd && way_ != way::pipe) return true;
  return coarse_nanoseconds() - told_at_.get() < slice_.count();
}

bool any_doorbell::tell() noexcept {
  if (way_ == way::futex) {
    futex_wake(word_->state, std::numeric_limits<int>::max());
    return true;
  }
  const Unnoticed here;
  if (!intact()) return false;
  const std::uint64_t one = 1;
  // One that is full is readable: the result does not matter.
  switch (way_) {
    case way::futex: break;
    case way::eventfd:
      told_at_.set(coarse_nanoseconds());
      write_if_ready(reading_.get(), &one, sizeof one);
      break;
    case way::pipe:
      told_at_.set(coarse_nanoseconds());
      write_byte_if_ready(writing_.get());
      break;
    // As kill(): such a signal is pending also where the queue has no room for what it could say.
    case way::signal:
      return syscall(SYS_pidfd_send_signal, writing_.get(), signal_, nullptr, 0) == 0;
    case way::semaphore: sem_post(static_cast<sem_t*>(semaphore_)); break;
  }
  return true;
}

bool any_doorbell::wait(Deadline deadline) noexcept {
  // First what told us of rings, then these: else one in between would have told in vain.
  if (undrained_ >= kMostUndrained) drain();
  for (;;) {
    if (word_->take()) {
      ++undrained_;
      return true;
    }
    if (deadline.passed()) break;
    sleep(earlier(deadline, Deadline::after(slice_)));
  }
  drain();  // and then the last look, as above
  if (!word_->take()) return false;
  ++undrained_;
  return true;
}

void any_doorbell::sleep(Deadline deadline) noexcept {
  if (way_ == way::futex) {
    // relaxed: the next take() looks again.
    const std::uint32_t seen = word_->state.load(std::memory_order_relaxed);
    if ((seen & doorbell_word::kFlags) != 0) return;
    static_cast<void>(futex_wait(word_->state, seen, deadline));
    return;
  }
  const Unnoticed here;
  if (way_ == way::semaphore) {
    const timespec until = rondo::detail::timespec_of(deadline);
    if (sem_clockwait(static_cast<sem_t*>(semaphore_), CLOCK_MONOTONIC, &until) == 0) {
      drain();
    } else if (errno != ETIMEDOUT && errno != EINTR) {
      nap(deadline);
    }
    return;
  }
  if (!intact()) return nap(deadline);
  const timespec timeout = rondo::detail::timespec_of(deadline.remaining());
  pollfd poll{reading_.get(), POLLIN, 0};
  const int ready = ppoll(&poll, 1, &timeout, nullptr);
  if (ready > 0 && (poll.revents & POLLIN) != 0) {
    drain();
  } else if (ready > 0 || (ready < 0 && errno != EINTR)) {
    nap(deadline);
  }
}

// Those that are pending for an earlier bell of this process; the word knows of its own.
void any_doorbell::forget_signals() noexcept {
  signalfd_siginfo one{};
  constexpr int kMost = 1'000'000;  // others may send them all the time
  for (int i = 0; i < kMost && read_if_ready(reading_.get(), &one, sizeof one) > 0; ++i) {
  }
}

void any_doorbell::drain() noexcept {
  undrained_ = 0;
  if (way_ == way::futex) return;
  const Unnoticed here;
  if (way_ == way::semaphore) {
    // Some, as others may post all the time.
    for (int i = 0; i < 64 && sem_trywait(static_cast<sem_t*>(semaphore_)) == 0; ++i) {
    }
    return;
  }
  if (!intact()) return;
  // An eventfd gives its 8 bytes, a pipe all that honest ringers put there, a signalfd some
  // signals. What is left, as others may send them all the time, is one wake too many.
  std::array<std::byte, 8 * sizeof(signalfd_siginfo)> there;
  for (int i = 0; i < 16; ++i) {
    const ssize_t size = read_if_ready(reading_.get(), there.data(), there.size());
    if (size < static_cast<ssize_t>(there.size())) return;
  }
}

}  // namespace rondo::inline RONDO_ABI::sync
