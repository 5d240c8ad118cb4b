// A deadline as the kernel takes it.
#pragma once

#include <chrono>
#include <ctime>

#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"

namespace rondo::inline RONDO_ABI::detail {

// On CLOCK_MONOTONIC.
inline timespec timespec_of(Deadline deadline) noexcept {
  using std::chrono::duration_cast;
  using std::chrono::nanoseconds;
  using std::chrono::seconds;
  const auto since_boot = deadline.time().time_since_epoch();
  if (since_boot.count() <= 0) return {0, 0};  // the kernel refuses negative times
  const auto whole = duration_cast<seconds>(since_boot);
  timespec time{};
  time.tv_sec = static_cast<decltype(time.tv_sec)>(whole.count());
  time.tv_nsec = static_cast<decltype(time.tv_nsec)>(nanoseconds(since_boot - whole).count());
  return time;
}

}  // namespace rondo::inline RONDO_ABI::detail
