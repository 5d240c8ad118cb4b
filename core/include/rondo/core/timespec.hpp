// A time as system calls take it. For Rondo's own sources.
#pragma once

#include <chrono>
#include <ctime>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Zero for negative ones, which the kernel refuses.
inline timespec timespec_of(std::chrono::nanoseconds time) noexcept {
  if (time.count() <= 0) return {0, 0};
  const auto whole = std::chrono::duration_cast<std::chrono::seconds>(time);
  timespec converted{};
  converted.tv_sec = static_cast<decltype(converted.tv_sec)>(whole.count());
  converted.tv_nsec = static_cast<decltype(converted.tv_nsec)>((time - whole).count());
  return converted;
}

}  // namespace rondo::inline RONDO_ABI::detail
