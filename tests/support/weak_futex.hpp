// What the primitives of sync need, in the weak-memory scheduler: a futex whose waiters are
// simulated threads, and members whose end is that of their thread.
//
// A sleep ends by a wake, or together with all others when none is awake any more: only a wake that
// was lost, or an owner that died, lets it come to that.
#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "rondo/core/atomic.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/futex.hpp"
#include "support/weak_memory.hpp"

namespace rondo::testing {

// For one execution; reset() before each.
struct WeakFutex {
  struct Sleep {
    const void* word;
    bool woken;
    bool over;  // its slice
  };
  std::vector<Sleep*> asleep;
  std::uint64_t slices = 0;  // sleeps that no wake ended
  bool drops_wakes = false;  // the mutant

  static WeakFutex& now() {
    static WeakFutex futex;
    return futex;
  }
  static void reset() { now() = WeakFutex(); }
};

struct WeakSystem {
  static constexpr std::chrono::nanoseconds kSlice{1};

  static FutexResult wait(const Atomic<std::uint32_t>& word, std::uint32_t expected,
                          std::chrono::nanoseconds, Deadline) noexcept {
    WeakFutex& futex = WeakFutex::now();
    weak::Execution& execution = *weak::Execution::active();
    execution.yield();
    // The kernel compares with the newest value, in one step with falling asleep.
    if (execution.stores_of(&word, 0).back().value != expected) return FutexResult::kChanged;
    WeakFutex::Sleep sleep{&word, false, false};
    futex.asleep.push_back(&sleep);
    while (!sleep.woken && !sleep.over) {
      if (execution.running() <= futex.asleep.size()) {
        for (WeakFutex::Sleep* each : futex.asleep) each->over = true;
        futex.asleep.clear();
      } else {
        execution.yield();
      }
    }
    if (sleep.woken) return FutexResult::kWoken;
    ++futex.slices;
    return FutexResult::kTimedOut;
  }
  static int wake(const Atomic<std::uint32_t>& word, int count) noexcept {
    WeakFutex& futex = WeakFutex::now();
    weak::Execution::active()->yield();
    if (futex.drops_wakes) return 0;
    int woken = 0;
    for (auto sleep = futex.asleep.begin(); sleep != futex.asleep.end() && woken < count;) {
      if ((*sleep)->word != &word) {
        ++sleep;
        continue;
      }
      (*sleep)->woken = true;
      sleep = futex.asleep.erase(sleep);
      ++woken;
    }
    return woken;
  }
};

struct WeakMember {
  std::uint32_t mine;

  static std::uint32_t tenure_of(std::uint32_t thread) { return kFirstTenure + thread; }

  [[nodiscard]] std::uint32_t tenure() const noexcept { return mine; }
  // Brings no knowledge of what the dead did: the kernel does, but what stands here shall show what
  // the orders of those who take over from the dead are for.
  [[nodiscard]] bool ended(std::uint32_t tenure) const noexcept {
    return weak::Execution::active()->ended(tenure - kFirstTenure);
  }
  [[nodiscard]] static std::uint32_t looks() noexcept { return 0; }
};

}  // namespace rondo::testing
