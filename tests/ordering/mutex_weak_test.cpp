// The mutex under every reordering of loads that the C++ memory model allows: one at a time, what
// the last owner did is seen by the next, no wake is lost, and a death at any access is survived.
// Built with RONDO_ATOMIC_HEADER=support/weak_atomic.hpp.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <optional>
#include <vector>

#include "rondo/sync/mutex.hpp"
#include "support/weak_futex.hpp"

namespace rondo {
namespace {

using sync::LockResult;
using sync::MutexPart;
using testing::WeakFutex;
using testing::WeakMember;
using testing::WeakSystem;

constexpr std::uint64_t kExecutions = 2000;
constexpr std::uint32_t kThreads = 3;
constexpr std::uint32_t kTurns = 3;

std::uint64_t first_seed() {
  const char* given = std::getenv("RONDO_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

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
      const WeakMember self{WeakMember::tenure_of(thread)};
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
