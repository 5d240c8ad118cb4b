// The barrier under every reordering of loads that the C++ memory model allows: nobody goes on
// before all have arrived, what they did is seen by all, somebody always ends the phase and no wake
// is lost, and a death at any access is survived, and told to all who live or to none. Built with
// RONDO_ATOMIC_HEADER=support/weak_atomic.hpp.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <optional>
#include <vector>

#include "rondo/sync/barrier.hpp"
#include "support/weak_futex.hpp"

namespace rondo {
namespace {

using sync::BarrierResult;
using testing::WeakFutex;
using testing::WeakMember;
using testing::WeakSystem;
using Barrier = sync::basic_barrier<3, WeakSystem, WeakMember>;

constexpr std::uint64_t kExecutions = 2000;
constexpr std::uint32_t kThreads = 3;
constexpr std::uint32_t kPhases = 3;

std::uint64_t first_seed() {
  const char* given = std::getenv("RONDO_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

struct Verdict {
  bool too_early = false;
  bool stale = false;
  bool told_apart = false;  // who lives was told another thing than another one
  std::uint64_t told = 0;   // phases in which a death was
  std::uint64_t slices = 0;
  std::uint64_t phases = 0;  // of those that live, in sum
};

// `dies_after`: thread 0 does, after so many of its accesses.
Verdict play(std::uint64_t seed, std::optional<std::uint64_t> dies_after,
             void (*arrange)(WeakFutex&) = nullptr) {
  Barrier::Part part;
  part.begin(kThreads);
  Atomic<std::uint64_t> values[kThreads]{};
  Verdict verdict;
  std::uint32_t arrived[kThreads] = {};
  BarrierResult results[kPhases][kThreads];
  bool returned[kPhases][kThreads] = {};
  WeakFutex::reset();
  if (arrange != nullptr) arrange(WeakFutex::now());
  weak::Execution execution(seed);
  const WeakMember firsts{WeakMember::tenure_of(0)};
  // One that dies is to be known before.
  if (dies_after) Barrier(part, firsts).take_seat();
  std::vector<std::function<void()>> threads;
  for (std::uint32_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      if (thread == 0 && dies_after) execution.kill_self_after(*dies_after);
      const WeakMember self{WeakMember::tenure_of(thread)};
      Barrier barrier(part, self);
      for (std::uint32_t phase = 0; phase < kPhases; ++phase) {
        // relaxed, all: the barrier orders them.
        values[thread].store(phase + 1, std::memory_order_relaxed);
        arrived[thread] = phase + 1;
        const BarrierResult result = barrier.arrive_and_wait();
        if (result > BarrierResult::kPartyDied) std::abort();
        results[phase][thread] = result;
        returned[phase][thread] = true;
        for (std::uint32_t i = 0; i < kThreads; ++i) {
          if (dies_after && i == 0 && execution.ended(0)) continue;
          if (arrived[i] < phase + 1) verdict.too_early = true;
          if (values[i].load(std::memory_order_relaxed) < phase + 1) verdict.stale = true;
        }
      }
    });
  }
  execution.run(std::move(threads));
  verdict.slices = WeakFutex::now().slices;
  for (std::uint32_t phase = 0; phase < kPhases; ++phase) {
    bool told = false;
    for (std::uint32_t thread = 1; thread < kThreads; ++thread) {
      if (!returned[phase][thread]) continue;
      ++verdict.phases;
      if (results[phase][thread] != results[phase][1]) verdict.told_apart = true;
      told |= results[phase][thread] == BarrierResult::kPartyDied;
    }
    verdict.told += told ? 1 : 0;
  }
  return verdict;
}

TEST(BarrierWeak, NobodyGoesOnBeforeAllAndNoWakeIsLost) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    const Verdict verdict = play(seed, std::nullopt);
    ASSERT_FALSE(verdict.too_early) << "RONDO_SEED=" << seed;
    ASSERT_FALSE(verdict.stale) << "RONDO_SEED=" << seed;
    ASSERT_EQ(verdict.told, 0u) << "RONDO_SEED=" << seed;
    ASSERT_EQ(verdict.slices, 0u) << "RONDO_SEED=" << seed;
    ASSERT_EQ(verdict.phases, (kThreads - 1) * kPhases);
  }
}

TEST(BarrierWeak, ADeathAtAnyAccessIsSurvivedAndToldToAll) {
  std::uint64_t told = 0;
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    const Verdict verdict = play(seed, 1 + seed % 40);
    ASSERT_FALSE(verdict.too_early) << "RONDO_SEED=" << seed;
    ASSERT_FALSE(verdict.stale) << "RONDO_SEED=" << seed;
    ASSERT_FALSE(verdict.told_apart) << "RONDO_SEED=" << seed;
    ASSERT_LE(verdict.told, 1u) << "RONDO_SEED=" << seed;
    ASSERT_EQ(verdict.phases, (kThreads - 1) * kPhases);
    told += verdict.told;
  }
  EXPECT_GT(told, kExecutions / 4);
}

// What the judgement of lost wakes stands on.
TEST(BarrierWeak, WithoutWakesSlicesEnd) {
  std::uint64_t slices = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    slices += play(seed, std::nullopt, [](WeakFutex& futex) { futex.drops_wakes = true; }).slices;
  }
  EXPECT_GT(slices, 0u);
}

}  // namespace
}  // namespace rondo
