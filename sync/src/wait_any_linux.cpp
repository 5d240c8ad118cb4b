#include "rondo/sync/wait_any.hpp"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <ctime>

#include "timespec_linux.hpp"
#include "wait_any_linux.hpp"

namespace rondo::inline RONDO_ABI {
namespace {

std::atomic<bool> works{true};

}  // namespace

bool can_wait_any() noexcept {
  // relaxed: one that is asked in vain costs a system call.
  return works.load(std::memory_order_relaxed);
}

FutexResult wait_any(std::span<const PreparedWait> waits, Deadline deadline) noexcept {
  if (!can_wait_any() || waits.empty() || waits.size() > kMostWaits) return FutexResult::kRefused;
  std::array<futex_waitv, kMostWaits> words;
  std::transform(waits.begin(), waits.end(), words.begin(), detail::kernel_wait);
  const timespec until = detail::timespec_of(deadline);
  const long result = syscall(SYS_futex_waitv, words.data(), waits.size(), 0,
                              deadline.is_never() ? nullptr : &until, CLOCK_MONOTONIC);
  if (result >= 0) return FutexResult::kWoken;
  switch (errno) {
    case EAGAIN: return FutexResult::kChanged;
    case ETIMEDOUT: return FutexResult::kTimedOut;
    case EINTR: return FutexResult::kInterrupted;
    case ENOSYS:
    case EPERM:
      // relaxed: as above.
      works.store(false, std::memory_order_relaxed);
      return FutexResult::kRefused;
    default: return FutexResult::kRefused;  // of one word, or for now
  }
}

}  // namespace rondo::inline RONDO_ABI
