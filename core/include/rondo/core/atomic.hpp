// The one name under which shared words are declared. A test build that defines
// RONDO_ATOMIC_HEADER (a quoted path) swaps it for a deterministic scheduler's atomics; that
// header must define rondo::Atomic<T> and rondo::atomic_fence(order).
#pragma once

#ifdef RONDO_ATOMIC_HEADER
#include RONDO_ATOMIC_HEADER
#else

#include <atomic>
#include <cstdint>

#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

template <class T>
using Atomic = std::atomic<T>;

RONDO_API RONDO_ALWAYS_INLINE void atomic_fence(std::memory_order order) noexcept {
  if constexpr (RONDO_THREAD_SANITIZER != 0) {
    // ThreadSanitizer knows no fences (g++ says so); of a read-modify-write it knows all.
    // One for the process, though libraries hide what they have: the function is exported for that.
    static std::atomic<std::uint32_t> meeting_point{0};
    // seq_cst whatever was asked for: at least as strong as any fence between the threads that
    // fence.
    meeting_point.fetch_add(0, std::memory_order_seq_cst);
  } else {
    std::atomic_thread_fence(order);
  }
}

// Shared memory is read by programs built with other compilers: only lock-free words will do.
static_assert(Atomic<std::uint32_t>::is_always_lock_free);
static_assert(Atomic<std::uint64_t>::is_always_lock_free);
static_assert(sizeof(Atomic<std::uint32_t>) == 4 && sizeof(Atomic<std::uint64_t>) == 8);

}  // namespace rondo::inline RONDO_ABI

#endif
