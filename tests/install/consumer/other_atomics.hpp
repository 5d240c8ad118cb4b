// Stands for a test's own atomics (RONDO_ATOMIC_HEADER); these do as the real ones.
#pragma once

#include <atomic>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

template <class T>
using Atomic = std::atomic<T>;

inline void atomic_fence(std::memory_order order) noexcept { std::atomic_thread_fence(order); }

}  // namespace rondo::inline RONDO_ABI
