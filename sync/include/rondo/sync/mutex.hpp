// A mutex between processes that outlives any of them: who takes it after its owner has died is
// told so, and says whether what it guards is sound again.
//
//   auto mutex = sync::named<sync::mutex>("shm:orders");   // or placed: sync::mutex(part, member)
//   {
//     std::unique_lock lock(*mutex);
//     if (mutex->owner_died()) {                           // the last owner, in the middle
//       repair();
//       mutex->make_consistent();                          // else nobody gets it any more
//     }
//     ...
//   }
//
// The word says who owns it: a tenure (member.hpp), 30 bits, and two marks.
//
//   owner  suspect  contended   meaning
//     0       0         0       free
//    t       0         ?       t owns it
//    t       1         ?       t owns it, and the owner before died; not declared sound yet
//    0       1         0       not recoverable: unlocked without being declared sound
//
// Locking is a compare-and-swap from free to one's own tenure, unlocking one from it back to free:
// one step each that a kill can't split, and no system call where nobody else is there. Who finds
// it taken looks for a moment, then sets `contended` and sleeps on the word, in slices
// (patience.hpp). The unlocking step tells whether somebody sleeps, and nothing of the mutex is
// touched after it but by a wake of its address. Who has slept takes the mutex with `contended`
// set, as others may sleep beside it; who gives up after a sleep sets it for the owner that came in
// between.
//
// At the end of a slice a waiter asks the kernel whether the owner's tenure has ended. If so, it
// swaps the very word that it had asked about for its own, marked suspect: of several who found out
// one succeeds, and a tenure never comes back, so the word can't have meant anything else
// meanwhile.
//
// A peer that scribbles over the word can free a mutex that is owned: no mutex in shared memory can
// keep who may write it from that. Short of a word that says "free" or another live owner, the true
// owner stays the only one: a word with nobody's tenure in it passes for a dead owner's, so the
// next one is told that the state is suspect; and an owner that unlocks a word which is not its own
// any more changes nothing.
//
// Ordering. Each label stands at exactly one operation below; pairs are mutual.
//
//   U1, U2 release word  ->  L1, L2, L3 acquire word   what an owner did is done when the next one
//                                                      owns it
//
// What a dead owner did is visible to its successor, too: the end of its tenure is the kernel's
// word, and comes after its last store.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "rondo/core/atomic.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/member.hpp"
#include "rondo/sync/patience.hpp"

namespace rondo::inline RONDO_ABI::sync {

// The word in the segment. Zero is a mutex that nobody owns.
//
//   offset  size  field  written by      meaning
//        0     4  word   who locks it    bits 0-29 owner, 30 suspect, 31 contended; the futex word
struct MutexPart {
  static constexpr std::uint32_t kCommonTag = 1;
  static constexpr std::uint32_t kOwner = (std::uint32_t{1} << kTenureBits) - 1;
  static constexpr std::uint32_t kSuspect = std::uint32_t{1} << kTenureBits;
  static constexpr std::uint32_t kContended = std::uint32_t{1} << (kTenureBits + 1);

  Atomic<std::uint32_t> word;
};
static_assert(offsetof(MutexPart, word) == 0);
static_assert(sizeof(MutexPart) == 4);
static_assert(std::is_standard_layout_v<MutexPart>);
static_assert(std::is_trivially_destructible_v<MutexPart>);

enum class LockResult : std::uint8_t {
  kLocked,
  kOwnerDied,       // locked, and what it guards may be half changed: see make_consistent()
  kTimedOut,        // the deadline passed while another one owned it
  kNotRecoverable,  // nobody gets it any more: an owner unlocked it without make_consistent()
  kNoMember         // this process is no member: it has left the segment, or is a forked child
};

namespace detail {
// Throws the std::system_error that lock() owes.
[[noreturn]] RONDO_API void throw_lock_error(LockResult result);

// How a mutex waits before it falls asleep: as Patience does. Another way: spin_mutex.hpp.
struct LookLessAndLess {
  static constexpr bool kSpins = false;
};
}  // namespace detail

// A handle; all threads of a process may share it, and each process has its own. Not recursive: a
// thread that locks what it owns waits for itself. To be unlocked by the process that locked it.
// A forked child owns nothing that its parent has locked.
//
// Progress: blocking, but as said. A death costs its successor up to 50 ms. Not fair: who comes
// when it is unlocked gets it. Priorities are not inherited.
// Memory ordering: what was done before unlock() is visible after the lock that follows.
template <class System = BellSystem, class Member = member, class Looks = detail::LookLessAndLess>
class basic_mutex {
 public:
  using Part = MutexPart;

  // `part` lies in the segment of which `who` is a member; both outlive this object.
  basic_mutex(MutexPart& part, const Member& who) noexcept : word_(&part.word), who_(&who) {}

  // As std::timed_mutex has them, so that std::unique_lock, std::lock_guard and std::scoped_lock
  // work. Whether the last owner died is told by owner_died() then: who never asks is not stopped
  // now, but leaves a mutex that nobody gets any more. So does std::lock(), and std::scoped_lock of
  // several, when it backs off from one whose owner has died: lock several in a fixed order.
  //
  // lock() throws std::system_error where it can't be locked any more: state_not_recoverable, or
  // operation_not_permitted for kNoMember. The others return false. try_lock() does not wait, but
  // asks the kernel after the owner if there is one: a system call.
  void lock() {
    const LockResult result = acquire();
    if (result > LockResult::kOwnerDied) [[unlikely]]
      detail::throw_lock_error(result);
  }
  [[nodiscard]] bool try_lock() noexcept { return acquired(acquire(Deadline::now())); }
  [[nodiscard]] bool try_lock_until(Deadline deadline) noexcept {
    return acquired(acquire(deadline));
  }
  template <class Clock, class Duration>
  [[nodiscard]] bool try_lock_until(const std::chrono::time_point<Clock, Duration>& time) {
    return attempt_until(time, [&](Deadline deadline) { return try_lock_until(deadline); });
  }
  template <class Rep, class Period>
  [[nodiscard]] bool try_lock_for(std::chrono::duration<Rep, Period> duration) noexcept {
    return try_lock_until(Deadline::after(duration));
  }

  // Locks it, waiting until `deadline` at most, and says how that went. After kLocked and
  // kOwnerDied the caller owns it. Once it has waited, the answer kTimedOut stands on the kernel's
  // word that the owner lives.
  [[nodiscard]] RONDO_ALWAYS_INLINE LockResult
  acquire(Deadline deadline = Deadline::never()) noexcept {
    const std::uint32_t mine = who_->tenure();
    std::uint32_t seen = 0;
    // L1 (acquire, pairs with U1, U2): what the owner before did is done.
    // relaxed on failure: acquire_slowly() looks again.
    if (mine != 0 && word_->compare_exchange_strong(seen, mine, std::memory_order_acquire,
                                                    std::memory_order_relaxed)) [[likely]]
      return LockResult::kLocked;
    return acquire_slowly(mine, deadline);
  }

  // Gives it to whoever takes it next. If the last owner died and make_consistent() was not called,
  // nobody gets it any more, and all who wait are told. False, and nothing is changed, if the word
  // does not say that this process owns it: a mistake of the caller, or of a peer that scribbled.
  // Progress: wait-free while nobody waits, a system call otherwise.
  RONDO_ALWAYS_INLINE bool unlock() noexcept {
    const std::uint32_t mine = who_->tenure();
    std::uint32_t seen = mine;
    // U1 (release, pairs with L1, L2, L3): what this owner did is done.
    // relaxed on failure: unlock_slowly() looks again.
    if (mine != 0 && word_->compare_exchange_strong(seen, 0, std::memory_order_release,
                                                    std::memory_order_relaxed)) [[likely]]
      return true;
    return unlock_slowly(mine);
  }

  // For the owner: whether the owner before died in the middle, and make_consistent() was not
  // called since. Progress: wait-free.
  [[nodiscard]] bool owner_died() const noexcept {
    // relaxed: the owner's own word; others change nothing in it but `contended`.
    return (word_->load(std::memory_order_relaxed) & kSuspect) != 0;
  }
  // For the owner: declares that what the mutex guards is sound again. False, and nothing is
  // changed, if this process does not own it. Progress: lock-free.
  bool make_consistent() noexcept {
    const std::uint32_t mine = who_->tenure();
    // relaxed, all: unlock() says it to others.
    std::uint32_t seen = word_->load(std::memory_order_relaxed);
    do {
      if (mine == 0 || (seen & kOwner) != mine) return false;
    } while (!word_->compare_exchange_weak(seen, seen & ~kSuspect, std::memory_order_relaxed,
                                           std::memory_order_relaxed));
    return true;
  }

  // Whether nothing would be lost with the word: nobody owns it, nor has died with it. For the last
  // one to leave, under the membership lock.
  [[nodiscard]] static bool settled(const MutexPart& part) noexcept {
    // relaxed: the membership lock orders what others did.
    return part.word.load(std::memory_order_relaxed) == 0;
  }

 private:
  static constexpr std::uint32_t kOwner = MutexPart::kOwner;
  static constexpr std::uint32_t kSuspect = MutexPart::kSuspect;
  static constexpr std::uint32_t kContended = MutexPart::kContended;

  [[nodiscard]] static bool acquired(LockResult result) noexcept {
    return result <= LockResult::kOwnerDied;
  }

  RONDO_COLD LockResult acquire_slowly(std::uint32_t mine, Deadline deadline) noexcept;
  RONDO_COLD bool unlock_slowly(std::uint32_t mine) noexcept;
  // Sets `contended` in a word that has an owner. False if it changed meanwhile.
  [[nodiscard]] bool mark_contended(std::uint32_t seen) noexcept {
    // relaxed, both: says nothing about what the mutex guards.
    return (seen & kContended) != 0 ||
           word_->compare_exchange_strong(seen, seen | kContended, std::memory_order_relaxed,
                                          std::memory_order_relaxed);
  }

  // Takes it if it is free and recoverable; `seen`: what stands there, now and then. `others`:
  // marks to be set besides.
  [[nodiscard]] bool take(std::uint32_t& seen, std::uint32_t mine, std::uint32_t others) noexcept {
    // L2 (acquire, pairs with U1, U2): what the owner before did is done.
    // relaxed on failure: `seen` is what stands there instead.
    return (seen & (kOwner | kSuspect)) == 0 &&
           word_->compare_exchange_strong(seen, mine | others | (seen & kContended),
                                          std::memory_order_acquire, std::memory_order_relaxed);
  }

  Atomic<std::uint32_t>* word_;
  const Member* who_;
  [[no_unique_address]] Looks looks_;
};

template <class System, class Member, class Looks>
LockResult basic_mutex<System, Member, Looks>::acquire_slowly(std::uint32_t mine,
                                                              Deadline deadline) noexcept {
  if (mine == 0) return LockResult::kNoMember;
  std::uint32_t looks = who_->looks();
  if constexpr (Looks::kSpins) {
    const auto look = [&] {
      // relaxed: taking it orders.
      std::uint32_t seen = word_->load(std::memory_order_relaxed);
      return take(seen, mine, 0);
    };
    if (looks != 0 && looks_.spin(look, deadline)) return LockResult::kLocked;
    looks = 0;
  }
  Patience<System> patience(looks, deadline);
  std::uint32_t others = 0;  // kContended once we have slept: others may sleep beside us
  int last_looks = 8;
  for (;;) {
    // relaxed: taking it orders.
    std::uint32_t seen = word_->load(std::memory_order_relaxed);
    if ((seen & kOwner) == 0) {
      if ((seen & kSuspect) != 0) return LockResult::kNotRecoverable;
      if (take(seen, mine, others)) return LockResult::kLocked;
    }
    const std::uint32_t owner = seen & kOwner;
    switch (patience.next()) {
      case PatienceStep::kLook: break;
      case PatienceStep::kSleep:
        if (owner == 0 || !mark_contended(seen)) break;
        others = kContended;
        patience.sleep(*word_, seen | kContended);
        break;
      case PatienceStep::kAsk:
        // Another thread of ours that owns it lives as we do.
        if (owner == 0 || owner == mine || !who_->ended(owner)) break;
        // Once more at once if another one has but said that it waits.
        for (int tries = 0; tries < 4 && (seen & kOwner) == owner; ++tries) {
          // L3 (acquire, pairs with U1, U2): what the owners before the dead one did is done.
          // relaxed on failure: we look again.
          if (word_->compare_exchange_strong(seen, mine | kSuspect | others | (seen & kContended),
                                             std::memory_order_acquire,
                                             std::memory_order_relaxed)) {
            return LockResult::kOwnerDied;
          }
        }
        break;
      case PatienceStep::kGiveUp:
        // A wake may have been spent on us: it is for those who sleep beside us then, as the owner
        // that came in between knows nothing of them.
        if (others != 0 && last_looks-- > 0 && (owner == 0 || !mark_contended(seen))) break;
        return LockResult::kTimedOut;
    }
  }
}

template <class System, class Member, class Looks>
bool basic_mutex<System, Member, Looks>::unlock_slowly(std::uint32_t mine) noexcept {
  // relaxed: the owner's own word; others change nothing in it but `contended`.
  std::uint32_t seen = word_->load(std::memory_order_relaxed);
  for (;;) {
    if (mine == 0 || (seen & kOwner) != mine) return false;
    const std::uint32_t left = seen & kSuspect;
    // U2 (release, pairs with L1, L2, L3): what this owner did is done.
    // relaxed on failure: looked at anew.
    if (word_->compare_exchange_weak(seen, left, std::memory_order_release,
                                     std::memory_order_relaxed)) {
      if ((seen & kContended) != 0) {
        System::wake(*word_, left == 0 ? 1 : std::numeric_limits<int>::max());
      }
      return true;
    }
  }
}

using mutex = basic_mutex<>;

}  // namespace rondo::inline RONDO_ABI::sync
