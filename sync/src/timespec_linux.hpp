// A deadline as the kernel takes it.
#pragma once

#include <ctime>

#include "rondo/core/timespec.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"

namespace rondo::inline RONDO_ABI::detail {

// On CLOCK_MONOTONIC.
inline timespec timespec_of(Deadline deadline) noexcept {
  return timespec_of(deadline.time().time_since_epoch());
}

}  // namespace rondo::inline RONDO_ABI::detail
