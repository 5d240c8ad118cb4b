// The semaphore under every reordering of loads that the C++ memory model allows: no more inside
// than there are permits, what was done before a permit was freed is seen by who takes it, no wake
// is lost, and a death at any access loses no permit. Built with
// RONDO_ATOMIC_HEADER=support/weak_atomic.hpp.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <optional>
#include <vector>

#include "rondo/sync/semaphore.hpp"
#include "support/weak_futex.hpp"

namespace rondo {
namespace {

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

struct Verdict {
  bool too_many = false;
  bool stale = false;
  std::uint64_t slices = 0;
  std::uint64_t turns = 0;
  std::uint32_t left = 0;  // permits that are free or the dead one's in the end
};

// `dies_after`: thread 0 does, after so many of its accesses.
template <std::uint32_t Permits>
Verdict hold_in_turns(std::uint64_t seed, std::optional<std::uint64_t> dies_after) {
  using Semaphore = sync::basic_semaphore<Permits, WeakSystem, WeakMember>;
  typename Semaphore::Part part;
  part.begin(Permits);
  Atomic<std::uint64_t> counted{0};
  Verdict verdict;
  std::uint64_t turns_before_last = 0;
  bool inside[kThreads] = {};
  WeakFutex::reset();
  weak::Execution execution(seed);
  std::vector<std::function<void()>> threads;
  for (std::uint32_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      if (thread == 0 && dies_after) execution.kill_self_after(*dies_after);
      const WeakMember self{WeakMember::tenure_of(thread)};
      Semaphore semaphore(part, self);
      for (std::uint32_t turn = 0; turn < kTurns; ++turn) {
        if (!semaphore.acquire()) std::abort();
        inside[thread] = true;
        std::uint32_t now = 0;
        for (std::uint32_t i = 0; i < kThreads; ++i) {
          now += inside[i] && !execution.ended(i) ? 1 : 0;
        }
        if (now > Permits) verdict.too_many = true;
        if constexpr (Permits == 1) {
          // relaxed, both: the permit orders them. What a dead one did is the kernel's to bring.
          const std::uint64_t seen = counted.load(std::memory_order_relaxed);
          const bool died = dies_after && execution.ended(0);
          if (seen < (died ? turns_before_last : verdict.turns)) verdict.stale = true;
          turns_before_last = verdict.turns;
          counted.store(verdict.turns + 1, std::memory_order_relaxed);
        }
        ++verdict.turns;
        inside[thread] = false;
        semaphore.release();
      }
    });
  }
  execution.run(std::move(threads));
  verdict.slices = WeakFutex::now().slices;
  for (const auto& permit : part.permits) {
    const std::uint32_t word = permit.load(std::memory_order_relaxed);
    const bool the_deads = dies_after && word == WeakMember::tenure_of(0);
    verdict.left += word == Semaphore::Part::kFree || the_deads ? 1 : 0;
  }
  return verdict;
}

template <std::uint32_t Permits>
void expect_sound(std::optional<std::uint64_t> dies_after_up_to) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    const Verdict verdict = hold_in_turns<Permits>(
        seed, dies_after_up_to ? std::optional(1 + seed % *dies_after_up_to) : std::nullopt);
    ASSERT_FALSE(verdict.too_many) << "RONDO_SEED=" << seed;
    ASSERT_FALSE(verdict.stale) << "RONDO_SEED=" << seed;
    ASSERT_EQ(verdict.left, Permits) << "RONDO_SEED=" << seed;
    if (dies_after_up_to) {
      ASSERT_GE(verdict.turns, (kThreads - 1) * kTurns);
    } else {
      ASSERT_EQ(verdict.slices, 0u) << "RONDO_SEED=" << seed;
      ASSERT_EQ(verdict.turns, kThreads * kTurns);
    }
  }
}

TEST(SemaphoreWeak, NoMoreInsideThanPermitsAndNoWakeIsLost) {
  expect_sound<1>(std::nullopt);
  expect_sound<2>(std::nullopt);
}

TEST(SemaphoreWeak, ADeathAtAnyAccessLosesNoPermit) {
  expect_sound<1>(60);
  expect_sound<2>(60);
}

TEST(SemaphoreWeak, EachSignalWakesSomebody) {
  using Semaphore = sync::basic_semaphore<2, WeakSystem, WeakMember>;
  constexpr std::uint32_t kSignals = 4;
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    Semaphore::Part part;
    std::uint32_t consumed = 0;
    WeakFutex::reset();
    weak::Execution execution(seed);
    const auto consume = [&](std::uint32_t thread) {
      const WeakMember self{WeakMember::tenure_of(thread)};
      Semaphore semaphore(part, self);
      for (std::uint32_t i = 0; i < kSignals / 2; ++i) consumed += semaphore.consume() ? 1 : 0;
    };
    execution.run({[&] {
                     const WeakMember self{WeakMember::tenure_of(0)};
                     Semaphore semaphore(part, self);
                     for (std::uint32_t i = 0; i < kSignals;) i += semaphore.post() ? 1 : 0;
                   },
                   [&] { consume(1); }, [&] { consume(2); }});
    ASSERT_EQ(consumed, kSignals);
    ASSERT_EQ(WeakFutex::now().slices, 0u) << "RONDO_SEED=" << seed;
  }
}

}  // namespace
}  // namespace rondo
