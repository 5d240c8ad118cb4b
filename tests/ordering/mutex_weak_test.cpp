// The mutex under every reordering of loads that the C++ memory model allows: one at a time, what
// the last owner did is seen by the next, no wake is lost, and a death at any access is survived.
// Built with RONDO_ATOMIC_HEADER=support/weak_atomic.hpp.
//
// A sleep ends by a wake, or when all others sleep or have ended: only a wake that was lost, or an
// owner that died, lets it come to that.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <optional>
#include <vector>

#include "rondo/sync/mutex.hpp"
#include "support/weak_memory.hpp"

namespace rondo {
namespace {

using sync::LockResult;
using sync::MutexPart;

constexpr std::uint64_t kExecutions = 2000;
constexpr std::uint32_t kThreads = 3;
constexpr std::uint32_t kTurns = 3;

std::uint64_t first_seed() {
  const char* given = std::getenv("RONDO_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

std::uint32_t tenure_of(std::uint32_t thread) { return kFirstTenure + thread; }

// A futex whose waiters are simulated threads. For one execution; reset() before each.
struct WeakFutex {
  struct Sleep {
    const void* word;
    bool woken;
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
    WeakFutex::Sleep sleep{&word, false};
    futex.asleep.push_back(&sleep);
    while (!sleep.woken && execution.running() > futex.asleep.size()) execution.yield();
    if (sleep.woken) return FutexResult::kWoken;
    std::erase(futex.asleep, &sleep);
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

  [[nodiscard]] std::uint32_t tenure() const noexcept { return mine; }
  // Brings no knowledge of what the dead did: the kernel does, but what stands here shall show what
  // L3 is for.
  [[nodiscard]] bool ended(std::uint32_t tenure) const noexcept {
    return weak::Execution::active()->ended(tenure - kFirstTenure);
  }
  [[nodiscard]] static std::uint32_t looks() noexcept { return 0; }
};

using Mutex = sync::basic_mutex<WeakSystem, WeakMember>;

struct Verdict {
  bool two_at_once = false;
  bool stale = false;  // an owner did not see what the one before did
  std::uint64_t deaths = 0;
  std::uint64_t slices = 0;
  std::uint64_t turns = 0;
};

// `dies_after`: thread 0 does, after so many of its accesses.
Verdict play(std::uint64_t seed, std::optional<std::uint64_t> dies_after,
             void (*arrange)(WeakFutex&) = nullptr) {
  MutexPart part;
  Atomic<std::uint64_t> counted{0};
  Verdict verdict;
  std::optional<std::uint32_t> inside;
  std::uint64_t turns_before_last = 0;  // had when the last owner came
  WeakFutex::reset();
  if (arrange != nullptr) arrange(WeakFutex::now());
  weak::Execution execution(seed);
  std::vector<std::function<void()>> threads;
  for (std::uint32_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      if (thread == 0 && dies_after) execution.kill_self_after(*dies_after);
      const WeakMember self{tenure_of(thread)};
      Mutex mutex(part, self);
      for (std::uint32_t turn = 0; turn < kTurns; ++turn) {
        const LockResult result = mutex.acquire();
        if (result == LockResult::kOwnerDied) {
          ++verdict.deaths;
          if (inside && *inside == 0) inside.reset();
        }
        if (inside) verdict.two_at_once = true;
        inside = thread;
        // relaxed, both: the mutex orders them.
        const std::uint64_t seen = counted.load(std::memory_order_relaxed);
        // What the dead did itself is the kernel's to bring (see WeakMember).
        const bool died = result == LockResult::kOwnerDied;
        if (seen < (died ? turns_before_last : verdict.turns)) verdict.stale = true;
        turns_before_last = verdict.turns;
        counted.store(verdict.turns + 1, std::memory_order_relaxed);
        ++verdict.turns;
        if (result == LockResult::kOwnerDied) mutex.make_consistent();
        inside.reset();
        mutex.unlock();
      }
    });
  }
  execution.run(std::move(threads));
  verdict.slices = WeakFutex::now().slices;
  return verdict;
}

TEST(MutexWeak, OneAtATimeSeesWhatTheLastOneDidAndNoWakeIsLost) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    const Verdict verdict = play(seed, std::nullopt);
    ASSERT_FALSE(verdict.two_at_once) << "RONDO_SEED=" << seed;
    ASSERT_FALSE(verdict.stale) << "RONDO_SEED=" << seed;
    ASSERT_EQ(verdict.slices, 0u) << "RONDO_SEED=" << seed;
    ASSERT_EQ(verdict.turns, kThreads * kTurns);
  }
}

TEST(MutexWeak, ADeathAtAnyAccessIsSurvived) {
  std::uint64_t deaths = 0;
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    const Verdict verdict = play(seed, 1 + seed % 60);
    ASSERT_FALSE(verdict.two_at_once) << "RONDO_SEED=" << seed;
    ASSERT_FALSE(verdict.stale) << "RONDO_SEED=" << seed;
    ASSERT_LE(verdict.deaths, 1u);
    ASSERT_GE(verdict.turns, (kThreads - 1) * kTurns);
    deaths += verdict.deaths;
  }
  EXPECT_GT(deaths, kExecutions / 20);
}

// What the first test's judgement of lost wakes stands on.
TEST(MutexWeak, WithoutWakesSlicesEnd) {
  std::uint64_t slices = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    slices += play(seed, std::nullopt, [](WeakFutex& futex) { futex.drops_wakes = true; }).slices;
  }
  EXPECT_GT(slices, 0u);
}

}  // namespace
}  // namespace rondo
