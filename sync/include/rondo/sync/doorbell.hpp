// The doorbell: how a waiter is woken, at no cost to publishers while none waits.
//
//   publisher (Notifier)                     waiter (Waiter)
//   ------------------------------------     ------------------------------------------
//   publish, in the ring                     prepare_wait():  s = rings
//   light fence: no instruction                state = asleep, next episode
//   if (state == 0) done  <- the hot path      heavy fence: every publisher passes a fence
//   rings = rings + 1                        if (ready) cancel_wait(): state = awake, done
//   wake the futex                           commit_wait(): sleep in the futex while rings == s
//                                              state = awake, and the caller looks again
//
// The waiter's three steps are an eventcount's, and sleep_once() is the three in a row. Between the
// first and the last it may do the same with other bells, and then sleep on all their words at once
// (futex_waitv), or lend them to another event loop: what is published after prepare_wait() has
// returned, and was not seen by a look after it, changes the word.
//
// No wake is lost. Either the publisher's load of `state` sees the waiter asleep, or the waiter's
// check sees what was published: that both miss is what the two fences forbid (F1). If the
// publisher sees it, `rings` changes after the waiter has read s (S1, D1), so the futex call either
// finds the word changed or is woken. One ring per episode is enough, because each return from the
// futex begins a new one; so a publisher at full speed makes one system call per sleep.
//
// Each word has one writer: the waiter never writes `rings`, and the publisher never writes
// `state`.
//
// Where membarrier(2) is missing: a publisher that could not register always takes the slow path,
// which has a fence of its own. A waiter that can't make others fence says so in its word; then
// publishers take the slow path too, and its first sleep is one of a millisecond, for the
// publisher that has not seen the word yet; each further one is twice as long, up to kSlice.
//
// Words that a hostile peer scribbled over cost a wake too many, or one late by the sleep's slice.
//
// Ordering. Each label stands at exactly one operation below; pairs are mutual.
//
//   S1 release state  ->  D1, G1 acquire state   the waiter has read `rings` before it can be rung
//   F1 heavy fence, F2, F3 seq_cst fences        forbid that both sides miss each other
#pragma once

#include <array>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "rondo/core/atomic.hpp"
#include "rondo/core/bell.hpp"
#include "rondo/core/min_max.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/asymmetric_fence.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/futex.hpp"

namespace rondo::inline RONDO_ABI {

// What a doorbell asks of the operating system. Tests put others in its place: one without the
// heavy fence, one in simulated time.
struct BellSystem {
  // The longest sleep at a time: what a wake lost to a hostile or killed peer can cost.
  static constexpr std::chrono::nanoseconds kSlice = std::chrono::milliseconds(50);
  // The first sleep of a waiter that can't make the publishers fence.
  static constexpr std::chrono::nanoseconds kUnfencedSlice = std::chrono::milliseconds(1);

  static bool register_publisher() noexcept { return rondo::register_publisher(); }
  static bool heavy_fence() noexcept { return rondo::heavy_fence(); }
  static FutexResult wait(const Atomic<std::uint32_t>& word, std::uint32_t expected,
                          std::chrono::nanoseconds slice, Deadline deadline) noexcept {
    return futex_wait(word, expected, earlier(deadline, Deadline::after(slice)));
  }
  static int wake(const Atomic<std::uint32_t>& word, int count) noexcept {
    return futex_wake(word, count);
  }
};

// A wait that has been announced, and what to sleep on: until `word` differs from `value`, but no
// longer than `slice` at a time, and then to look again. The word outlives the wait; it is a shared
// futex word, and may lie in memory that is mapped read-only.
struct PreparedWait {
  const Atomic<std::uint32_t>* word = nullptr;
  std::uint32_t value = 0;
  std::chrono::nanoseconds slice{};
};

// Who makes the publishers pass a fence behind an announcement: the wait itself, or a caller that
// announces several and then calls heavy_fence() once, before it looks at any of the rings. Where
// that fails, the caller prepares each of them anew with a fence of its own.
enum class Fence : std::uint8_t { kOwn, kCallers };

namespace detail {
// What a notifier watches in place of a waiter's word when it may never skip the slow path.
inline const Atomic<std::uint32_t> kAlwaysWanted{1};

inline void ring_once(BellNotifier& notifier) noexcept {
  // relaxed, both: we are the only writer; the wake that follows is a full fence.
  notifier.rings.store(notifier.rings.load(std::memory_order_relaxed) + 1,
                       std::memory_order_relaxed);
}
}  // namespace detail

// The publisher's end of a bell with one waiter. Held by value in a handle; one thread at a time.
template <class System = BellSystem>
class BasicNotifier {
 public:
  // Bound to no waiter: wanted() is always true, and ring() has none to wake. For handles whose
  // slow path does something else.
  BasicNotifier() noexcept = default;

  // `waiter` is the other side's word, `mine` our own; both outlive this object. Registers the
  // process for the heavy fence.
  BasicNotifier(const BellWaiter& waiter, BellNotifier& mine) noexcept
      : waiter_(&waiter),
        mine_(&mine),
        watched_(System::register_publisher() ? &waiter.state : &detail::kAlwaysWanted) {}

  // To be called after each publish. Returns false when the waiter has left in order, so that
  // what was published will not be read.
  // Progress: wait-free; a load and a predictable branch, and a system call only when the other
  // side sleeps. Memory ordering: the caller's publishing store (at least release) comes first.
  RONDO_ALWAYS_INLINE bool notify() noexcept {
    if (!wanted()) [[likely]]
      return true;
    return ring();
  }

  // notify() in two steps, for a caller with a slow path of its own: true if ring() is called for.
  // May be true for no reason.
  [[nodiscard]] RONDO_ALWAYS_INLINE bool wanted() const noexcept {
    light_fence();
    // relaxed: the waiter's heavy fence (F1) orders this load after the publishing store.
    // The episode alone, left by a waiter that is awake again, asks for nothing.
    return (watched_->load(std::memory_order_relaxed) & BellWaiter::kFlags) != 0;
  }

  // Whether ring() would wake the waiter: it sleeps, and was not woken from this sleep. A hint for
  // a caller that may hold a ring back (watermark.hpp): ring() looks again, behind a fence.
  [[nodiscard]] bool would_wake() const noexcept {
    if (waiter_ == nullptr) return false;
    // relaxed: a hint.
    const std::uint32_t state = waiter_->state.load(std::memory_order_relaxed);
    return (state & BellWaiter::kGone) == 0 && (state & BellWaiter::kAsleep) != 0 && state != rung_;
  }

  // Whether there is a waiter; else wanted() is always true.
  [[nodiscard]] bool has_waiter() const noexcept { return waiter_ != nullptr; }
  // From now on wanted() is always true: for a handle with more to do after each publish.
  void want_always() noexcept { watched_ = &detail::kAlwaysWanted; }

  // Wakes the waiter if it sleeps and was not woken from this sleep. Returns false when it has
  // left.
  RONDO_COLD bool ring() noexcept {
    if (waiter_ == nullptr) return true;
    // F2 (seq_cst, forbids that the publish is missed by the waiter and the waiter by us): for a
    // process that is not registered, and for a waiter that can't make others fence.
    atomic_fence(std::memory_order_seq_cst);
    // D1 (acquire, pairs with S1): what we add to `rings` comes after the waiter has read it.
    const std::uint32_t state = waiter_->state.load(std::memory_order_acquire);
    if ((state & BellWaiter::kGone) != 0) return false;
    if ((state & BellWaiter::kAsleep) == 0 || state == rung_) return true;
    rung_ = state;
    detail::ring_once(*mine_);
    System::wake(mine_->rings, std::numeric_limits<int>::max());
    return true;
  }

 private:
  const BellWaiter* waiter_ = nullptr;
  BellNotifier* mine_ = nullptr;
  const Atomic<std::uint32_t>* watched_ = &detail::kAlwaysWanted;
  std::uint32_t rung_ = 0;  // the state word that was last rung for; never that of an awake waiter
};

// The publisher's end of a bell with several waiters, each with a word of its own: one producer
// and its consumers. All of them sleep on the one `rings` word. One thread at a time.
template <class System = BellSystem>
class BasicBroadcastNotifier {
 public:
  static constexpr std::size_t kWaiters = 64;

  explicit BasicBroadcastNotifier(BellNotifier& mine) noexcept
      : mine_(&mine), registered_(System::register_publisher()) {}

  // From now on `waiter` is looked after too; its word outlives this object. False if there are
  // kWaiters already.
  [[nodiscard]] bool watch(const BellWaiter& waiter) noexcept {
    if (count_ == kWaiters) return false;
    watched_[count_] = &waiter;
    rung_[count_] = 0;
    ++count_;
    return true;
  }

  // No more: its owner has gone.
  void unwatch(const BellWaiter& waiter) noexcept {
    for (std::size_t i = 0; i < count_; ++i) {
      if (watched_[i] != &waiter) continue;
      --count_;
      watched_[i] = watched_[count_];
      rung_[i] = rung_[count_];
      return;
    }
  }

  // To be called after each publish. Progress: wait-free; one load per waiter and one branch.
  // Memory ordering: as BasicNotifier::notify().
  RONDO_ALWAYS_INLINE void notify() noexcept {
    if (wanted()) [[unlikely]]
      ring();
  }
  [[nodiscard]] RONDO_ALWAYS_INLINE bool wanted() const noexcept {
    light_fence();
    std::uint32_t any = registered_ ? 0 : 1;
    for (std::size_t i = 0; i < count_; ++i) {
      // relaxed: the waiter's heavy fence (F1) orders this load after the publishing store.
      any |= watched_[i]->state.load(std::memory_order_relaxed);
    }
    return (any & BellWaiter::kFlags) != 0;
  }
  // As BasicNotifier's: of one of them.
  [[nodiscard]] bool would_wake() const noexcept {
    for (std::size_t i = 0; i < count_; ++i) {
      // relaxed: a hint.
      const std::uint32_t state = watched_[i]->state.load(std::memory_order_relaxed);
      if ((state & BellWaiter::kAsleep) != 0 && state != rung_[i]) return true;
    }
    return false;
  }
  // Wakes all that sleep, if any of them was not woken from this sleep. `watch_new` calls
  // watch() for those that said since, in a word that all of them write, that they are here: a
  // waiter says so before its first sleep, so its heavy fence orders that as it orders its word.
  // A publisher that looks for them after each publish as wanted() does, behind a light fence,
  // misses none.
  template <class WatchNew>
  RONDO_COLD void ring(WatchNew&& watch_new) noexcept {
    // F3 (seq_cst, forbids that the publish is missed by a waiter and that waiter by us): as F2.
    atomic_fence(std::memory_order_seq_cst);
    watch_new();
    bool waiters = false;
    for (std::size_t i = 0; i < count_; ++i) {
      // G1 (acquire, pairs with S1): what we add to `rings` comes after the waiter has read it.
      const std::uint32_t state = watched_[i]->state.load(std::memory_order_acquire);
      if ((state & BellWaiter::kAsleep) == 0 || state == rung_[i]) continue;
      rung_[i] = state;
      waiters = true;
    }
    if (!waiters) return;
    detail::ring_once(*mine_);
    System::wake(mine_->rings, std::numeric_limits<int>::max());
  }
  void ring() noexcept {
    ring([] {});
  }

 private:
  BellNotifier* mine_;
  bool registered_;
  std::size_t count_ = 0;
  std::array<const BellWaiter*, kWaiters> watched_{};
  std::array<std::uint32_t, kWaiters> rung_{};
};

// The waiter's end. Held by value in a handle; one thread at a time.
template <class System = BellSystem>
class BasicWaiter {
 public:
  // `mine` is our own word, `peer` that of the ringing side; both outlive this object. Takes up
  // the word where a predecessor left it, killed or not, and says that a waiter is here again.
  BasicWaiter(BellWaiter& mine, const BellNotifier& peer) noexcept : mine_(&mine), peer_(&peer) {
    // relaxed: we are the only writer now.
    episode_ = mine.state.load(std::memory_order_relaxed) & ~BellWaiter::kFlags;
    if (!System::heavy_fence()) fence_flag_ = BellWaiter::kMustFence;
    say(0);
  }

  // Sleeps on another notifier's word from now on (a producer that waits for the slowest consumer).
  void listen_to(const BellNotifier& peer) noexcept { peer_ = &peer; }

  // Announces a wait. The caller then looks at the ring, with acquire, and either cancels the wait
  // or sleeps: with commit_wait(), or elsewhere on the word that is returned and then cancels it.
  // Each wait is announced anew. Progress: wait-free; a system call. Memory ordering: a full fence,
  // or the caller's.
  [[nodiscard]] PreparedWait prepare_wait(Fence fence = Fence::kOwn) noexcept {
    // relaxed: S1 orders it before our word, and F1 before the caller's look.
    const std::uint32_t seen = peer_->rings.load(std::memory_order_relaxed);
    episode_ += BellWaiter::kEpisode;
    announced_ = true;
    // S1 (release, pairs with D1, G1): `rings` was read before a publisher can ring for this sleep.
    mine_->state.store(episode_ | fence_flag_ | BellWaiter::kAsleep, std::memory_order_release);
    bool fenced = fence_flag_ == 0;
    // F1 (seq_cst, forbids that the publish is missed by us and our word by the publisher).
    if (fence == Fence::kOwn) fenced = System::heavy_fence();
    if (!fenced) fence_flag_ = BellWaiter::kMustFence;
    return {&peer_->rings, seen, fenced ? System::kSlice : unfenced_slice_};
  }
  // Takes the announcement back. Without one it leaves the word alone, which may be a successor's
  // by now. Progress: wait-free.
  void cancel_wait() noexcept {
    if (announced_) say(0);
  }
  // Sleeps, until rung, `deadline`, the slice of `wait`, or for no reason; `wait` is what
  // prepare_wait() has just returned. The caller looks again.
  // Progress: blocking; at most System::kSlice.
  void commit_wait(const PreparedWait& wait, Deadline deadline) noexcept {
    const FutexResult result = System::wait(*wait.word, wait.value, wait.slice, deadline);
    static_cast<void>(result);  // whatever it was, the caller looks again
    // By the end of a slice without the fence our word has been seen, and says that they must.
    if (wait.slice != System::kSlice) {
      unfenced_slice_ = min_of(2 * unfenced_slice_, System::kSlice);
    }
    cancel_wait();
  }

  // Falls asleep unless `ready` holds, until rung, `deadline`, a slice of time, or for no reason.
  // Returns whether `ready` holds now. `ready` is called once or twice, takes nothing and has no
  // effect that could not be repeated: it looks at the ring, with acquire.
  // Progress: blocking; at most System::kSlice. Memory ordering: that of `ready`.
  template <class Ready>
  [[nodiscard]] bool sleep_once(Ready&& ready, Deadline deadline) noexcept {
    const PreparedWait wait = prepare_wait();
    if (ready()) {
      cancel_wait();
      return true;
    }
    commit_wait(wait, deadline);
    return ready();
  }

  // Says that nothing will be read any more, and takes an announcement back. To be called when a
  // handle detaches in order.
  void leave() noexcept { say(BellWaiter::kGone); }

 private:
  void say(std::uint32_t flags) noexcept {
    announced_ = false;
    // relaxed: a publisher that sees an older word rings for nothing.
    mine_->state.store(episode_ | fence_flag_ | flags, std::memory_order_relaxed);
  }

  BellWaiter* mine_;
  const BellNotifier* peer_;
  std::uint32_t episode_ = 0;
  std::uint32_t fence_flag_ = 0;
  bool announced_ = false;  // a wait
  std::chrono::nanoseconds unfenced_slice_ = System::kUnfencedSlice;
};

using Notifier = BasicNotifier<>;
using BroadcastNotifier = BasicBroadcastNotifier<>;
using Waiter = BasicWaiter<>;

}  // namespace rondo::inline RONDO_ABI
