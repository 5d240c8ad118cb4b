// Several words, as the kernel takes them.
#pragma once

#include <linux/futex.h>

#include <cstdint>

#include "rondo/core/version.hpp"
#include "rondo/sync/doorbell.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Shared futexes, as everywhere.
inline futex_waitv kernel_wait(const PreparedWait& wait) noexcept {
  return {wait.value, reinterpret_cast<std::uintptr_t>(wait.word), FUTEX_32, 0};
}

}  // namespace rondo::inline RONDO_ABI::detail
