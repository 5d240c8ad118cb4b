// How one side of a ring says that it left in order, in its waiter's word, and the other side reads
// it: behind all that the first one has published. One that broke off, before the end of what there
// was to publish, says so too: gone and asleep at once, which is otherwise nobody.
//
// Ordering. Each label stands at exactly one operation below; pairs are mutual.
//
//   E1 release fence  ->  E2 acquire state   all that the owner published before it left
//   E3 release state  ->  E2 acquire state   the same, of one that broke off
#pragma once

#include "rondo/core/atomic.hpp"
#include "rondo/core/bell.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// `waiter` looks after the word.
template <class Waiter>
void say_gone(Waiter& waiter) noexcept {
  // E1 (release, pairs with E2): what was published comes before the word.
  atomic_fence(std::memory_order_release);
  waiter.leave();
}
inline void say_broken_off(BellWaiter& word) noexcept {
  // E3 (release, pairs with E2): what was published comes before the word. One step: nobody may see
  // an end in order.
  word.state.fetch_or(BellWaiter::kGone | BellWaiter::kAsleep, std::memory_order_release);
}
// In order, or broken off.
[[nodiscard]] inline bool says_gone(const BellWaiter& word) noexcept {
  // E2 (acquire, pairs with E1, E3): what the owner published before is there for the next look.
  return (word.state.load(std::memory_order_acquire) & BellWaiter::kGone) != 0;
}
// Of a word that says_gone().
[[nodiscard]] inline bool says_broken_off(const BellWaiter& word) noexcept {
  // relaxed: says_gone() saw the word; it changes only when another owner comes.
  return (word.state.load(std::memory_order_relaxed) & BellWaiter::kAsleep) != 0;
}
// The owner has gone, and nobody may come meanwhile: takes that back, for those who come.
inline void forget_gone(BellWaiter& word) noexcept {
  // relaxed: the membership lock, which the caller holds, orders what others did.
  word.state.fetch_and(~(BellWaiter::kGone | BellWaiter::kAsleep), std::memory_order_relaxed);
}

}  // namespace rondo::inline RONDO_ABI::detail
