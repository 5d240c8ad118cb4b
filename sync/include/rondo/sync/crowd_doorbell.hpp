// The doorbell for many publishers and many waiters on the same words (BellCrowd): the ring with
// several producers and consumers has one such bell for its consumers and one for its producers.
//
//   publisher (CrowdRinger)                  waiter number i (CrowdSleeper)
//   ------------------------------------     ------------------------------------------
//   publish n messages, in the ring          s = rings
//   light fence: no instruction              asleep |= bit i
//   if (asleep == 0) done <- the hot path    heavy fence: every publisher passes a fence
//   take n bits out of asleep                if (ready) asleep &= ~bit i, done
//   rings = rings + 1                        sleep in the futex, as i, while rings == s
//   wake those n in the futex                asleep &= ~bit i, look again
//
// No wake is lost, for the reasons given in doorbell.hpp. As many are woken as there is work for: a
// publisher takes out the bits of those whom it wakes, so the next one wakes others, and nobody is
// rung for twice. A waiter that was rung for and doesn't take the work (it met its deadline
// just then) looks once more before it leaves: see sleep_once().
//
// A waiter that was killed asleep leaves its bit behind. It costs one publisher one system call: when
// fewer wake than were rung for, others are rung for in their place. forget() removes it.
//
// Ordering. Each label stands at exactly one operation below; pairs are mutual.
//
//   S1 release asleep  ->  D1, D2 acquire asleep  the sleeper has read `rings` before it can be rung
//   F1 heavy fence, F2 seq_cst fence              forbid that both sides miss each other
#pragma once

#include <bit>
#include <cassert>
#include <cstdint>
#include <limits>

#include "rondo/core/atomic.hpp"
#include "rondo/core/bell.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/sync/asymmetric_fence.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/futex.hpp"

namespace rondo {

namespace detail {
inline const Atomic<std::uint64_t> kCrowdAlwaysWanted{1};

// The group of bits in the futex that sleeper `slot` waits in. Two sleepers may share one: then
// both wake, and the one that was not meant goes to sleep again.
[[nodiscard]] constexpr std::uint32_t crowd_bit(std::uint32_t slot) noexcept {
  return std::uint32_t{1} << (slot % 32);
}
}  // namespace detail

// A publisher's end. Held by value in a handle; one thread at a time, any number of handles.
template <class System = BellSystem>
class BasicCrowdRinger {
 public:
  // Registers the process for the heavy fence. `crowd` outlives this object.
  explicit BasicCrowdRinger(BellCrowd& crowd) noexcept
      : crowd_(&crowd),
        watched_(System::register_publisher() ? &crowd.asleep : &detail::kCrowdAlwaysWanted) {}

  // To be called after each publish, with the number of messages (or places) published.
  // Progress: lock-free; a load and a predictable branch when nobody sleeps. Memory ordering: the
  // caller's publishing store (at least release) comes first.
  RONDO_ALWAYS_INLINE void notify(std::uint32_t published = 1) noexcept {
    if (wanted()) [[unlikely]] ring(published);
  }

  // notify() in two steps: true if ring() is called for. May be true for no reason.
  [[nodiscard]] RONDO_ALWAYS_INLINE bool wanted() const noexcept {
    light_fence();
    // relaxed: the sleepers' heavy fence (F1) orders this load after the publishing store.
    return watched_->load(std::memory_order_relaxed) != 0;
  }

  // Wakes up to `count` sleepers that nobody has rung for. Returns how many woke.
  RONDO_COLD std::uint32_t ring(std::uint32_t count) noexcept {
    // F2 (seq_cst, forbids that the publish is missed by a sleeper and that sleeper by us): for a
    // process that is not registered, and for a sleeper that can't make others fence.
    atomic_fence(std::memory_order_seq_cst);
    std::uint32_t woken = 0;
    // Each turn takes bits out. A peer that keeps setting them can't keep us here: 64 at most.
    for (std::uint32_t turn = 0; woken < count && turn < 64; ++turn) {
      const std::uint64_t chosen = take(count - woken);
      if (chosen == 0) break;
      // relaxed: the wake that follows is a full fence.
      crowd_->rings.fetch_add(1, std::memory_order_relaxed);
      const auto bits = static_cast<std::uint32_t>(chosen | chosen >> 32);
      const int slept = System::wake(crowd_->rings, std::numeric_limits<int>::max(), bits);
      // Those who did not sleep yet find `rings` changed. Or they are dead: then wake others.
      woken += static_cast<std::uint32_t>(slept);
    }
    return woken;
  }

 private:
  // Takes up to `count` sleepers out of the set.
  std::uint64_t take(std::uint32_t count) noexcept {
    // D1 (acquire, pairs with S1): what we add to `rings` comes after they have read it.
    std::uint64_t asleep = crowd_->asleep.load(std::memory_order_acquire);
    for (;;) {
      std::uint64_t rest = asleep & ~BellCrowd::kMustFence;
      for (std::uint32_t i = 0; i < count && rest != 0; ++i) rest &= rest - 1;
      const std::uint64_t chosen = asleep & ~BellCrowd::kMustFence & ~rest;
      if (chosen == 0) return 0;
      // D2 (acquire, pairs with S1): as D1, for bits that were set meanwhile.
      // On failure relaxed would do for the bits, but what it reads is chosen from: acquire too.
      if (crowd_->asleep.compare_exchange_weak(asleep, asleep & ~chosen, std::memory_order_acquire,
                                               std::memory_order_acquire)) {
        return chosen;
      }
    }
  }

  BellCrowd* crowd_;
  const Atomic<std::uint64_t>* watched_;
};

// A waiter's end. Held by value in a handle; one thread at a time, one handle per slot.
template <class System = BellSystem>
class BasicCrowdSleeper {
 public:
  // `slot` tells the sleepers of this crowd apart; the caller holds it (participants.hpp). Slots
  // from BellCrowd::kSleepers up have no bit: they sleep for a millisecond at a time and poll.
  BasicCrowdSleeper(BellCrowd& crowd, std::uint32_t slot) noexcept
      : crowd_(&crowd),
        bit_(slot < BellCrowd::kSleepers ? std::uint64_t{1} << slot : 0),
        futex_bit_(detail::crowd_bit(slot)) {
    if (!System::heavy_fence()) make_others_fence();
  }

  // As BasicSleeper::sleep_once(). When it returns false, the work that somebody rang for had been
  // taken by another; when it returns true, the caller has to try to take some: it may be the only
  // one who was woken for it.
  template <class Ready>
  [[nodiscard]] bool sleep_once(Ready&& ready, Deadline deadline) noexcept {
    // relaxed: S1 orders it before our bit, and F1 before the check.
    const std::uint32_t seen = crowd_->rings.load(std::memory_order_relaxed);
    // S1 (release, pairs with D1, D2): `rings` was read before anybody can ring for this sleep.
    crowd_->asleep.fetch_or(bit_, std::memory_order_release);
    // F1 (seq_cst, forbids that the publish is missed by us and our bit by the publisher).
    const bool fenced = System::heavy_fence();
    if (!fenced) make_others_fence();
    if (!ready()) {
      const FutexResult result =
          System::wait(crowd_->rings, seen,
                       fenced && bit_ != 0 ? System::kSlice : System::kUnfencedSlice, deadline,
                       futex_bit_);
      static_cast<void>(result);  // whatever it was, the caller looks again
    }
    forget(*crowd_, bit_);
    return ready();
  }

  // Removes what a sleeper that was killed left behind. Whoever proved its death, and holds its
  // slot, may call this; leaving it out costs a system call, once.
  static void forget_slot(BellCrowd& crowd, std::uint32_t slot) noexcept {
    if (slot < BellCrowd::kSleepers) forget(crowd, std::uint64_t{1} << slot);
  }

 private:
  static void forget(BellCrowd& crowd, std::uint64_t bit) noexcept {
    // relaxed: a publisher that still sees the bit rings for nothing.
    crowd.asleep.fetch_and(~bit, std::memory_order_relaxed);
  }
  void make_others_fence() noexcept {
    // relaxed: until the publishers see it, our slices are short.
    crowd_->asleep.fetch_or(BellCrowd::kMustFence, std::memory_order_relaxed);
    // and the word is never zero again: all publishers take the slow path, which fences.
  }

  BellCrowd* crowd_;
  std::uint64_t bit_;
  std::uint32_t futex_bit_;
};

using CrowdRinger = BasicCrowdRinger<>;
using CrowdSleeper = BasicCrowdSleeper<>;

}  // namespace rondo
