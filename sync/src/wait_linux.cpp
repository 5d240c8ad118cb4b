#include <sys/auxv.h>

#include <ctime>

#include "rondo/core/platform.hpp"
#include "rondo/sync/wait.hpp"

namespace rondo::inline RONDO_ABI::detail {

std::chrono::nanoseconds thread_cpu_time() noexcept {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

TimedPause timed_pause() noexcept {
  static const TimedPause chosen = can_pause_for(getauxval(AT_HWCAP2)) ? &cpu_pause_for : nullptr;
  return chosen;
}

}  // namespace rondo::inline RONDO_ABI::detail
