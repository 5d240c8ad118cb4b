// How a participant says in its table entry that it is there: its pid, and then one more owner of
// the slot. Who is killed in between has died without having been counted; were it the other way
// round, it would be counted, and its slot's last owner one that left in order (a pid of 0).
//
// Ordering. Each label stands at exactly one operation below; pairs are mutual.
//
//   A1 release generation  ->  A2 acquire generation   the pid of the owner that it counts
#pragma once

#include <cstdint>

#include "rondo/core/atomic.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

inline void say_arrived(Atomic<std::uint32_t>& pid_word, Atomic<std::uint32_t>& generation_word,
                        std::uint32_t pid, std::uint32_t generation) noexcept {
  // relaxed: A1 orders it.
  pid_word.store(pid, std::memory_order_relaxed);
  // A1 (release, pairs with A2): who is counted has its pid there.
  generation_word.store(generation, std::memory_order_release);
}

// How many owners the slot has had. Of the last of them the pid is there for the next look; or 0,
// or a later one's.
[[nodiscard]] inline std::uint32_t arrivals(const Atomic<std::uint32_t>& generation_word) noexcept {
  // A2 (acquire, pairs with A1): the pid that was stored before.
  return generation_word.load(std::memory_order_acquire);
}

}  // namespace rondo::inline RONDO_ABI::detail
