// Sleeping on several shared words at once (futex_waitv(2), Linux 5.16).
#pragma once

#include <cstddef>
#include <span>

#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/futex.hpp"

namespace rondo::inline RONDO_ABI {

// So many at a time.
inline constexpr std::size_t kMostWaits = 128;

// Sleeps while each word holds its value, until one of them is woken, a signal, or the deadline; or
// for no reason. The slices are the caller's to keep. kRefused: nothing was waited for, as the
// system has no such call, or memory went away, or they are more than kMostWaits.
// Progress: blocking. Thread-safe. Memory ordering: none, as futex_wait().
[[nodiscard]] RONDO_API FutexResult wait_any(std::span<const PreparedWait> waits,
                                             Deadline deadline) noexcept;

// Whether the system has the call, as far as is known: true until it has refused.
[[nodiscard]] RONDO_API bool can_wait_any() noexcept;

}  // namespace rondo::inline RONDO_ABI
