// The operating system below a doorbell, in the weak-memory scheduler: a futex whose waiters are
// simulated threads, and the fence that every thread passes.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <vector>

#include "rondo/core/atomic.hpp"
#include "rondo/sync/doorbell.hpp"
#include "support/weak_memory.hpp"

namespace rondo::testing {

// One stay in a futex, on one word or on several at once.
struct WeakBellSleep {
  std::vector<const void*> words;
  bool woken = false;
};

// What holds for one execution; reset() before each.
struct WeakBell {
  bool registers = true;       // publishers can register
  bool fences_others = true;   // waiters can make others fence; otherwise only themselves
  bool forgets_fence = false;  // the mutant: claims the heavy fence, does nothing
  std::function<bool()> work_left = [] { return true; };
  std::vector<WeakBellSleep*> asleep;
  int awake = 0;      // threads that may still publish or take; one that ends subtracts itself
  bool lost = false;  // all that had not ended slept, and there was work

  static WeakBell& now() {
    static WeakBell bell;
    return bell;
  }
  static void reset(int threads) {
    now() = WeakBell();
    now().awake = threads;
  }
};

struct WeakBellSystem {
  static constexpr std::chrono::nanoseconds kSlice{1};
  static constexpr std::chrono::nanoseconds kUnfencedSlice{1};

  static bool register_publisher() noexcept { return WeakBell::now().registers; }
  static bool heavy_fence() noexcept {
    WeakBell& bell = WeakBell::now();
    if (bell.forgets_fence) return true;
    // The heavy fence does not reach a process that is not registered.
    if (bell.fences_others && bell.registers) {
      weak::Execution::active()->heavy_fence();
    } else {
      weak::fence(std::memory_order_seq_cst);
    }
    return bell.fences_others;
  }
  // Never times out: a wake that does not come is a wake lost.
  static FutexResult wait(const Atomic<std::uint32_t>& word, std::uint32_t expected,
                          std::chrono::nanoseconds, Deadline) noexcept {
    return wait_any({{&word, expected, {}}});
  }
  // futex_waitv.
  static FutexResult wait_any(std::initializer_list<PreparedWait> waits) noexcept {
    WeakBell& bell = WeakBell::now();
    weak::Execution& execution = *weak::Execution::active();
    execution.yield();
    // The kernel compares with the newest value, in one step with falling asleep.
    WeakBellSleep sleep;
    for (const PreparedWait& wait : waits) {
      if (execution.stores_of(wait.word, 0).back().value != wait.value)
        return FutexResult::kChanged;
      sleep.words.push_back(wait.word);
    }
    bell.asleep.push_back(&sleep);
    --bell.awake;
    // With no thread awake none will be woken, and the execution is at its end.
    while (!sleep.woken && bell.awake > 0) execution.yield();
    if (sleep.woken) return FutexResult::kWoken;
    bell.lost = bell.lost || bell.work_left();
    return FutexResult::kTimedOut;
  }
  static int wake(const Atomic<std::uint32_t>& word, int count) noexcept {
    WeakBell& bell = WeakBell::now();
    weak::Execution::active()->yield();
    int woken = 0;
    for (auto sleep = bell.asleep.begin(); sleep != bell.asleep.end() && woken < count;) {
      if (std::ranges::find((*sleep)->words, &word) == (*sleep)->words.end()) {
        ++sleep;
        continue;
      }
      (*sleep)->woken = true;
      sleep = bell.asleep.erase(sleep);
      ++bell.awake;
      ++woken;
    }
    return woken;
  }
};

}  // namespace rondo::testing
