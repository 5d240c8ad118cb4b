// A counting semaphore between processes that loses no permit to a death.
//
//   auto gpus = sync::named<sync::counting_semaphore<8>>(
//       "shm:gpus", {.begin = [](auto& part) { part.begin(3); }});
//   if (gpus->acquire(deadline)) { ...; gpus->release(); }   // three at a time
//
//   jobs->post();               // one process signals,
//   jobs->consume(deadline);    // another one takes the signal, for good
//
// Each permit has a word, and the word says what has become of it: not there, free, or whose it is
// (a tenure, member.hpp). So there is no count that a kill could leave wrong: each step is one
// compare-and-swap of one word.
//
//   not there (0) --post--> free (1) --acquire--> held by t (t) --release--> free
//        <---------consume---                                   --by anybody, once t has ended: his
//
// Who finds no permit free says so in `rings`, looks once more, and sleeps on that word, in slices
// (patience.hpp). Who frees one looks there, and wakes all, so nobody who leaves without a permit
// has taken another one's wake along. At the end of a slice a waiter asks the kernel after those
// who hold something, and takes the permit of one that has ended. No wake is lost: of
//
//   free a permit; look at `rings`     and     say in `rings` that one sleeps; look for a permit
//
// one sees the other.
//
// A peer that scribbles over the words can make and take away permits. A word that is nobody's
// tenure passes for a dead one's, and is a permit again.
//
// Ordering. Each label stands at exactly one operation below; pairs are mutual.
//
//   F1, F2 seq_cst word  ->  T1, T2 acquire word   what was done before a permit was freed is done
//                                                  when it is taken
//   F1, F2 seq_cst word, F3 seq_cst rings          forbid, with W1 and W2, that who frees a permit
//   W1 seq_cst rings, W2 seq_cst word              and who waits for one miss each other
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "rondo/core/atomic.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/guess.hpp"
#include "rondo/sync/member.hpp"
#include "rondo/sync/patience.hpp"
#include "rondo/sync/rings.hpp"

namespace rondo::inline RONDO_ABI::sync {

// The words in the segment. Zero is a semaphore without a permit.
//
//   offset  size      field    written by     meaning
//        0     4      rings    all            see rings.hpp; the futex word
//        4     4      begun    the creator    permits that it was made with
//        8  4 * Most  permits  all            0 not there, kFree, or the tenure of who holds it
template <std::uint32_t Most>
struct SemaphorePart {
  static_assert(Most >= 1 && Most <= 1024);
  static constexpr std::uint32_t kCommonTag = 2;
  static constexpr std::uint32_t kFree = 1;  // no tenure is so small

  Atomic<std::uint32_t> rings;
  Atomic<std::uint32_t> begun;
  Atomic<std::uint32_t> permits[Most];

  // Makes `count` permits, Most at most. Caller: the creator, before anybody else sees it.
  void begin(std::uint32_t count) noexcept {
    // relaxed, both: nobody sees them yet.
    for (std::uint32_t i = 0; i < count && i < Most; ++i) {
      permits[i].store(kFree, std::memory_order_relaxed);
    }
    begun.store(count < Most ? count : Most, std::memory_order_relaxed);
  }
};
static_assert(offsetof(SemaphorePart<2>, begun) == 4);
static_assert(offsetof(SemaphorePart<2>, permits) == 8);
static_assert(sizeof(SemaphorePart<2>) == 16);
static_assert(std::is_standard_layout_v<SemaphorePart<2>>);
static_assert(std::is_trivially_destructible_v<SemaphorePart<2>>);
static_assert(kFirstTenure > SemaphorePart<1>::kFree);

// A handle; all threads of a process may share it, and each process has its own. Permits are held
// by the process, not by a thread. A forked child holds none of its parent's.
//
// Progress: as said; all loops are over the words, of which there are `Most`. A death costs those
// who wait up to 50 ms. Not fair.
template <std::uint32_t Most, class System = BellSystem, class Member = member>
class basic_semaphore {
 public:
  using Part = SemaphorePart<Most>;

  // `part` lies in the segment of which `who` is a member; both outlive this object.
  basic_semaphore(Part& part, const Member& who) noexcept
      : part_(&part), who_(&who), near_(who.tenure() % Most) {}

  [[nodiscard]] static constexpr std::uint32_t max() noexcept { return Most; }

  // Takes a free permit, and holds it until release(): when this process dies, it is given back.
  // Waits until `deadline` at most. False: there was none in time, or this process is no member (it
  // has left the segment, or is a forked child).
  // Progress: blocking; no system call if one is free. Memory ordering: what was done before the
  // permit was freed is visible.
  [[nodiscard]] RONDO_ALWAYS_INLINE bool acquire(Deadline deadline = Deadline::never()) noexcept {
    return take(who_->tenure(), deadline);
  }
  // Does not wait, but asks the kernel after those who hold permits if none is free: a system call
  // for each of them.
  [[nodiscard]] bool try_acquire() noexcept { return acquire(Deadline::now()); }
  template <class Rep, class Period>
  [[nodiscard]] bool try_acquire_for(std::chrono::duration<Rep, Period> duration) noexcept {
    return acquire(Deadline::after(duration));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool try_acquire_until(const std::chrono::time_point<Clock, Duration>& time) {
    return attempt_until(time, [&](Deadline deadline) { return acquire(deadline); });
  }
  // Gives one back that this process holds. False, and nothing is changed, if it holds none.
  // Progress: wait-free while nobody waits, a system call otherwise. Memory ordering: what was done
  // before is visible to who takes it.
  RONDO_ALWAYS_INLINE bool release() noexcept {
    const std::uint32_t mine = who_->tenure();
    if (mine == 0) return false;
    for (std::uint32_t turn = 0, at = near_.get(); turn < kTurns * Most; ++turn, at = after(at)) {
      std::uint32_t seen = mine;
      // F1 (seq_cst, pairs with T1, T2): what was done before is done. And it stands before F3.
      // relaxed on failure: it is not ours.
      if (part_->permits[at].compare_exchange_strong(seen, Part::kFree, std::memory_order_seq_cst,
                                                     std::memory_order_relaxed)) {
        ring();
        return true;
      }
    }
    return false;
  }

  // Makes a new permit, for a signal that nobody holds. False if there are max() already, free and
  // held. Progress and memory ordering: as release().
  bool post() noexcept {
    if (who_->tenure() == 0) return false;
    for (std::uint32_t turn = 0, at = near_.get(); turn < kTurns * Most; ++turn, at = after(at)) {
      std::uint32_t seen = 0;
      // F2 (seq_cst, pairs with T1, T2): what was done before is done. And it stands before F3.
      // relaxed on failure: it is there.
      if (part_->permits[at].compare_exchange_strong(seen, Part::kFree, std::memory_order_seq_cst,
                                                     std::memory_order_relaxed)) {
        ring();
        return true;
      }
    }
    return false;
  }
  // Takes a free permit for good. As acquire(), but nothing is held, and nothing given back.
  [[nodiscard]] bool consume(Deadline deadline = Deadline::never()) noexcept {
    return take(0, deadline);
  }
  [[nodiscard]] bool try_consume() noexcept { return consume(Deadline::now()); }

  // How many are free now, and how many this process holds. Progress: wait-free.
  [[nodiscard]] std::uint32_t available() const noexcept { return count(Part::kFree); }
  [[nodiscard]] std::uint32_t held() const noexcept {
    const std::uint32_t mine = who_->tenure();
    return mine == 0 ? 0 : count(mine);
  }

  // Whether nothing would be lost with the words: as many permits are there as at the beginning.
  // For the last one to leave, under the membership lock: what is still held then, is the dead's.
  [[nodiscard]] static bool settled(const Part& part) noexcept {
    // relaxed, all: the membership lock orders what others did.
    std::uint32_t there = 0;
    for (const auto& permit : part.permits) {
      there += permit.load(std::memory_order_relaxed) != 0 ? 1 : 0;
    }
    return there == part.begun.load(std::memory_order_relaxed);
  }

 private:
  // How often all words are looked at before it is said that there is none of a kind: while others
  // take some and free some, a single look may miss the one that is there, each time it moves.
  static constexpr std::uint32_t kTurns = 8;
  [[nodiscard]] static std::uint32_t after(std::uint32_t at) noexcept {
    return at + 1 == Most ? 0 : at + 1;
  }

  // `as`: what is to stand in the word, a tenure or 0.
  [[nodiscard]] RONDO_ALWAYS_INLINE bool take(std::uint32_t as, Deadline deadline) noexcept {
    if (who_->tenure() == 0) return false;
    return take_free(as) || take_slowly(as, deadline);
  }
  [[nodiscard]] RONDO_ALWAYS_INLINE bool take_free(std::uint32_t as) noexcept {
    for (std::uint32_t i = 0, at = near_.get(); i < Most; ++i, at = after(at)) {
      auto& permit = part_->permits[at];
      // W2 (seq_cst, forbids that a permit freed by one that missed W1 is missed here).
      std::uint32_t seen = permit.load(std::memory_order_seq_cst);
      if (seen != Part::kFree) continue;
      // T1 (acquire, pairs with F1, F2): what was done before it was freed is done.
      // relaxed on failure: another one was faster.
      if (permit.compare_exchange_strong(seen, as, std::memory_order_acquire,
                                         std::memory_order_relaxed)) {
        // Only if it was wrong: the next compare-and-swap would wait for the store.
        if (i != 0) near_.set(at);
        return true;
      }
    }
    return false;
  }
  // A system call for each other one that holds a permit.
  [[nodiscard]] bool take_from_the_dead(std::uint32_t as) noexcept {
    std::uint32_t alive = who_->tenure();
    for (auto& permit : part_->permits) {
      // relaxed: T2 orders.
      std::uint32_t seen = permit.load(std::memory_order_relaxed);
      if (seen <= Part::kFree || seen == alive || seen == who_->tenure()) continue;
      if (!who_->ended(seen)) {
        alive = seen;
        continue;
      }
      // T2 (acquire, pairs with F1, F2): what was done before the dead one took it is done.
      // relaxed on failure: another one was faster.
      if (permit.compare_exchange_strong(seen, as, std::memory_order_acquire,
                                         std::memory_order_relaxed)) {
        return true;
      }
    }
    return false;
  }
  RONDO_COLD bool take_slowly(std::uint32_t as, Deadline deadline) noexcept {
    Patience<System> patience(who_->looks(), deadline);
    for (;;) {
      switch (patience.next()) {
        case PatienceStep::kLook: break;
        case PatienceStep::kSleep: {
          // W1 (seq_cst, forbids that who frees a permit that W2 misses misses this).
          const std::uint32_t said =
              part_->rings.fetch_or(detail::kAsleep, std::memory_order_seq_cst) | detail::kAsleep;
          if (take_free(as)) return true;
          patience.sleep(part_->rings, said);
          break;
        }
        case PatienceStep::kAsk:
          if (take_from_the_dead(as)) return true;
          break;
        case PatienceStep::kGiveUp: return false;
      }
      if (take_free(as)) return true;
    }
  }

  RONDO_ALWAYS_INLINE void ring() noexcept {
    // F3 (seq_cst, forbids that a waiter that missed the freed permit is missed here).
    if ((part_->rings.load(std::memory_order_seq_cst) & detail::kAsleep) != 0) [[unlikely]]
      detail::ring_all<System>(part_->rings);
  }
  [[nodiscard]] std::uint32_t count(std::uint32_t word) const noexcept {
    std::uint32_t found = 0;
    for (const auto& permit : part_->permits) {
      // relaxed: old news when it is returned.
      found += permit.load(std::memory_order_relaxed) == word ? 1 : 0;
    }
    return found;
  }

  Part* part_;
  const Member* who_;
  detail::Guess near_;  // where the last permit was found
};

template <std::uint32_t Most = 64>
using counting_semaphore = basic_semaphore<Most>;
using binary_semaphore = basic_semaphore<1>;

}  // namespace rondo::inline RONDO_ABI::sync
