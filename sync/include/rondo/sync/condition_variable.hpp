// A condition variable between processes, which the death of nobody can harm: who notifies waits
// for nobody, and what a dead waiter leaves behind is a mark that costs one system call.
//
//   std::unique_lock lock(mutex);                       // a sync::mutex
//   condition.wait(lock, [&] { return !orders.empty(); });
//   if (mutex.owner_died()) ...                         // first: the wait has locked it anew
//
// Two things in one word: whether somebody may sleep, and how often was rung.
//
//   waiter, owns the mutex                 notifier, has changed something under the mutex
//   seen = rings, with `asleep` set        if `asleep` is not set, done
//   unlock                                 rings + 1, `asleep` stays; wake one
//   sleep while rings == seen              if none slept: rings + 1 without `asleep`; wake all
//   lock
//
// A waiter says that it will sleep before it unlocks, so a notifier that has had the mutex since
// sees that, and changes the word: the waiter does not fall asleep then, or is woken. The mark goes
// only together with a wake of all, as a new waiter may have found it set already. A wait ends for
// no reason after a slice of sleep (50 ms) at the latest: so a wake that a killed process has taken
// along, or never sent, costs no more than that, and the caller looks at what it waits for.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "rondo/core/atomic.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/member.hpp"
#include "rondo/sync/patience.hpp"
#include "rondo/sync/rings.hpp"

namespace rondo::inline RONDO_ABI::sync {

// The word in the segment. Zero is one that nobody waits for.
//
//   offset  size  field  written by  meaning
//        0     4  rings  all         see rings.hpp; the futex word
struct ConditionPart {
  static constexpr std::uint32_t kCommonTag = 3;

  Atomic<std::uint32_t> rings;
};
static_assert(offsetof(ConditionPart, rings) == 0);
static_assert(sizeof(ConditionPart) == 4);
static_assert(std::is_standard_layout_v<ConditionPart>);
static_assert(std::is_trivially_destructible_v<ConditionPart>);

// A handle; all threads of a process may share it, and each process has its own. `Lock` below is a
// std::unique_lock, or anything with lock() and unlock(), of the one mutex under which the
// condition changes; it is locked by the caller. If it can't be locked any more, what its lock()
// throws is thrown, and it is not locked then.
template <class System = BellSystem>
class basic_condition_variable {
 public:
  using Part = ConditionPart;

  // `part` outlives this object.
  explicit basic_condition_variable(ConditionPart& part) noexcept : rings_(&part.rings) {}
  // As the other primitives; a condition variable needs no member.
  template <class Member>
  basic_condition_variable(ConditionPart& part, const Member&) noexcept
      : basic_condition_variable(part) {}

  // Unlocks, sleeps until notified, or for no reason, and locks again. To be called until the
  // condition holds, as the other form does. That one ends, too, when the owner before has died
  // in the middle: then owner_died() holds, and the condition, of data that may be half changed,
  // was not looked at. So ask for that first.
  template <class Lock>
  void wait(Lock& lock) {
    static_cast<void>(wait_until(lock, Deadline::never()));
  }
  template <class Lock, class Condition>
  void wait(Lock& lock, Condition condition) {
    static_cast<void>(wait_until(lock, Deadline::never(), condition));
  }
  // As above, until a point in time at most; but the mutex is waited for without end afterwards,
  // as whoever waits for a condition owns it when that is over. Without a condition: whether there
  // was time left; with one: whether it holds, and false after a death.
  template <class Lock>
  [[nodiscard]] bool wait_until(Lock& lock, Deadline deadline) {
    if (deadline.passed()) return false;
    // relaxed: who changes the condition has the mutex between us and its look at this word, and
    // the mutex orders that.
    const std::uint32_t seen =
        rings_->fetch_or(detail::kAsleep, std::memory_order_relaxed) | detail::kAsleep;
    lock.unlock();
    static_cast<void>(System::wait(*rings_, seen, System::kSlice, deadline));
    lock.lock();
    return !deadline.passed();
  }
  template <class Lock, class Condition>
  [[nodiscard]] bool wait_until(Lock& lock, Deadline deadline, Condition condition) {
    for (bool in_time = true;; in_time = wait_until(lock, deadline)) {
      if (suspect(lock)) return false;
      if (condition()) return true;
      if (!in_time) return false;
    }
  }
  template <class Lock, class Clock, class Duration, class Condition>
  [[nodiscard]] bool wait_until(Lock& lock, const std::chrono::time_point<Clock, Duration>& time,
                                Condition condition) {
    return attempt_until(time,
                         [&](Deadline deadline) { return wait_until(lock, deadline, condition); });
  }
  template <class Lock, class Rep, class Period, class Condition>
  [[nodiscard]] bool wait_for(Lock& lock, std::chrono::duration<Rep, Period> duration,
                              Condition condition) {
    return wait_until(lock, Deadline::after(duration), condition);
  }

  // Wakes one of those who wait, or all. To be called after a change that was made under the mutex;
  // whether it is still locked does not matter. Progress: wait-free while nobody waits; a system
  // call or two otherwise, that wait for nobody.
  RONDO_ALWAYS_INLINE void notify_one() noexcept {
    if (wanted()) [[unlikely]]
      detail::ring_one<System>(*rings_);
  }
  RONDO_ALWAYS_INLINE void notify_all() noexcept {
    if (wanted()) [[unlikely]]
      detail::ring_all<System>(*rings_);
  }

  [[nodiscard]] static bool settled(const ConditionPart&) noexcept { return true; }

 private:
  // Whether the mutex was taken from a dead owner: of locks that tell.
  template <class Lock>
  [[nodiscard]] static bool suspect(const Lock& lock) noexcept {
    if constexpr (requires { lock.owner_died(); }) {
      return lock.owner_died();
    } else if constexpr (requires { lock.mutex()->owner_died(); }) {
      return lock.mutex()->owner_died();
    }
    return false;
  }
  [[nodiscard]] bool wanted() const noexcept {
    // relaxed: the mutex orders it, see wait_until().
    return (rings_->load(std::memory_order_relaxed) & detail::kAsleep) != 0;
  }
  Atomic<std::uint32_t>* rings_;
};

using condition_variable = basic_condition_variable<>;

}  // namespace rondo::inline RONDO_ABI::sync
