// A word on which many sleep, and that whoever has news for them rings: what the semaphore, the
// condition variable and the event flags have in common.
//
//   bit 0       asleep: somebody may sleep, and says so before a last look
//   bits 1-31   times rung, so that who has said so and does not sleep yet does not fall asleep
//
// The mark goes only together with a wake of all, as one that is about to sleep may have found it
// set. A mark that a dead waiter has left costs one system call.
#pragma once

#include <cstdint>
#include <limits>

#include "rondo/core/atomic.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::sync::detail {

inline constexpr std::uint32_t kAsleep = 1;
inline constexpr std::uint32_t kRing = 2;

// Takes the mark away and wakes all. Progress: wait-free; a system call that waits for nobody.
template <class System>
RONDO_COLD void ring_all(Atomic<std::uint32_t>& rings) noexcept {
  // relaxed, all: a wake that follows a change is a full fence. A peer that changes the word all
  // the time makes us leave the mark.
  std::uint32_t seen = rings.load(std::memory_order_relaxed);
  for (int i = 0; i < 8; ++i) {
    if (rings.compare_exchange_strong(seen, (seen + kRing) & ~kAsleep, std::memory_order_relaxed,
                                      std::memory_order_relaxed)) {
      break;
    }
  }
  System::wake(rings, std::numeric_limits<int>::max());
}

// Wakes one; the mark stays, unless nobody slept. Progress: as above, two system calls at most.
template <class System>
RONDO_COLD void ring_one(Atomic<std::uint32_t>& rings) noexcept {
  // relaxed: as above.
  rings.fetch_add(kRing, std::memory_order_relaxed);
  if (System::wake(rings, 1) == 0) ring_all<System>(rings);
}

}  // namespace rondo::inline RONDO_ABI::sync::detail
