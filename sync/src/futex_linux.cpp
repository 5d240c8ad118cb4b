#include "rondo/sync/futex.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <ctime>

#include "rondo/core/cancellation_disabled.hpp"
#include "timespec_linux.hpp"

namespace rondo::inline RONDO_ABI {
namespace {

// Atomic words are plain words in memory; the kernel writes none of them for these calls.
std::uint32_t* address_of(const Atomic<std::uint32_t>& word) noexcept {
  return const_cast<std::uint32_t*>(reinterpret_cast<const std::uint32_t*>(&word));
}

// One that does not depend on the futex, for systems that refuse it.
void nap(Deadline deadline) noexcept {
  const timespec until =
      detail::timespec_of(earlier(deadline, Deadline::after(std::chrono::milliseconds(1))));
  const detail::CancellationDisabled here;
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
}

}  // namespace

FutexResult futex_wait(const Atomic<std::uint32_t>& word, std::uint32_t expected,
                       Deadline deadline) noexcept {
  const timespec until = detail::timespec_of(deadline);
  // FUTEX_WAIT_BITSET and not FUTEX_WAIT: its timeout is absolute, on CLOCK_MONOTONIC.
  const long result =
      syscall(SYS_futex, address_of(word), FUTEX_WAIT_BITSET, expected,
              deadline.is_never() ? nullptr : &until, nullptr, FUTEX_BITSET_MATCH_ANY);
  if (result == 0) return FutexResult::kWoken;
  switch (errno) {
    case EAGAIN: return FutexResult::kChanged;
    case ETIMEDOUT: return FutexResult::kTimedOut;
    case EINTR: return FutexResult::kInterrupted;
    default: nap(deadline); return FutexResult::kRefused;
  }
}

int futex_wake(const Atomic<std::uint32_t>& word, int count) noexcept {
  const int saved = errno;  // the doorbell rings in the middle of the caller's code
  const long woken = syscall(SYS_futex, address_of(word), FUTEX_WAKE, count, nullptr, nullptr, 0);
  errno = saved;
  return woken < 0 ? 0 : static_cast<int>(woken);
}

}  // namespace rondo::inline RONDO_ABI
