// The shared mutex under every reordering of loads that the C++ memory model allows: a writer is
// alone, what it did is seen by readers and writers after it, no wake is lost, and a death at any
// access is survived. Built with RONDO_ATOMIC_HEADER=support/weak_atomic.hpp.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <optional>
#include <vector>

#include "rondo/sync/shared_mutex.hpp"
#include "support/weak_futex.hpp"

namespace rondo {
namespace {

using sync::LockResult;
using testing::WeakFutex;
using testing::WeakMember;
using testing::WeakSystem;

constexpr std::uint64_t kExecutions = 1000;
constexpr std::uint32_t kThreads = 3;
constexpr std::uint32_t kTurns = 2;

std::uint64_t first_seed() {
  const char* given = std::getenv("RONDO_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

struct Verdict {
  bool beside_a_writer = false;
  bool stale = false;      // did not see what the writers before had done
  bool too_early = false;  // a reader that is done saw what a writer did later
  bool not_told = false;   // of a writer that died inside
  std::uint64_t slices = 0;
  std::uint64_t turns = 0;  // of those that live
};

// Threads below `writers` write, the others read. `dies_after`: thread `victim` does, after so many
// of its accesses.
template <std::uint32_t Readers>
Verdict play(std::uint64_t seed, std::uint32_t writers, std::optional<std::uint64_t> dies_after,
             std::uint32_t victim = 0, void (*arrange)(WeakFutex&) = nullptr) {
  using Mutex = sync::basic_shared_mutex<Readers, WeakSystem, WeakMember>;
  typename Mutex::Part part;
  Atomic<std::uint64_t> value{0};
  Verdict verdict;
  std::uint64_t written = 0;
  std::uint64_t written_before_last = 0;
  bool reads[kThreads] = {};
  bool writes[kThreads] = {};
  WeakFutex::reset();
  if (arrange != nullptr) arrange(WeakFutex::now());
  weak::Execution execution(seed);
  std::vector<std::function<void()>> threads;
  for (std::uint32_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      if (thread == victim && dies_after) execution.kill_self_after(*dies_after);
      const auto any_lives = [&](const bool* which) {
        for (std::uint32_t i = 0; i < kThreads; ++i) {
          if (which[i] && !execution.ended(i)) return true;
        }
        return false;
      };
      const WeakMember self{WeakMember::tenure_of(thread)};
      Mutex mutex(part, self);
      // relaxed, all uses of `value`: the mutex orders them. What a dead writer did itself is the
      // kernel's to bring (see WeakMember).
      const auto look = [&] {
        const bool died = dies_after && execution.ended(victim);
        const std::uint64_t seen = value.load(std::memory_order_relaxed);
        if (seen < (died ? written_before_last : written)) verdict.stale = true;
        return seen;
      };
      for (std::uint32_t turn = 0; turn < kTurns; ++turn) {
        if (thread < writers) {
          const LockResult result = mutex.acquire();
          if (result > LockResult::kOwnerDied) std::abort();
          if (any_lives(reads) || any_lives(writes)) verdict.beside_a_writer = true;
          if (dies_after && writes[victim] && execution.ended(victim)) {
            if (result != LockResult::kOwnerDied) verdict.not_told = true;
            writes[victim] = false;
          }
          if (result == LockResult::kOwnerDied) mutex.make_consistent();
          writes[thread] = true;
          look();
          written_before_last = written;
          value.store(++written, std::memory_order_relaxed);
          writes[thread] = false;
          mutex.unlock();
        } else {
          const LockResult result = mutex.acquire_shared();
          if (result > LockResult::kOwnerDied) std::abort();
          if (any_lives(writes)) verdict.beside_a_writer = true;
          if (dies_after && writes[victim] && execution.ended(victim) &&
              result != LockResult::kOwnerDied) {
            verdict.not_told = true;
          }
          reads[thread] = true;
          const std::uint64_t now = written;
          if (look() > now) verdict.too_early = true;
          reads[thread] = false;
          mutex.unlock_shared();
        }
        if (!dies_after || thread != victim) ++verdict.turns;
      }
    });
  }
  execution.run(std::move(threads));
  verdict.slices = WeakFutex::now().slices;
  return verdict;
}

template <std::uint32_t Readers>
void expect_sound(std::uint32_t writers, bool deaths) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    const Verdict verdict =
        play<Readers>(seed, writers, deaths ? std::optional(1 + seed % 40) : std::nullopt,
                      static_cast<std::uint32_t>(seed / 40 % kThreads));
    ASSERT_FALSE(verdict.beside_a_writer) << "RONDO_SEED=" << seed;
    ASSERT_FALSE(verdict.stale) << "RONDO_SEED=" << seed;
    ASSERT_FALSE(verdict.too_early) << "RONDO_SEED=" << seed;
    ASSERT_FALSE(verdict.not_told) << "RONDO_SEED=" << seed;
    ASSERT_EQ(verdict.turns, (kThreads - (deaths ? 1 : 0)) * kTurns);
    if (!deaths) {
      ASSERT_EQ(verdict.slices, 0u) << "RONDO_SEED=" << seed;
    }
  }
}

TEST(SharedMutexWeak, AWriterIsAloneAndNoWakeIsLost) {
  for (std::uint32_t writers = 1; writers <= kThreads; ++writers) expect_sound<2>(writers, false);
}
TEST(SharedMutexWeak, ReadersBeyondTheWordsAreWoken) {
  expect_sound<1>(0, false);
  expect_sound<1>(1, false);
}
TEST(SharedMutexWeak, ADeathAtAnyAccessIsSurvived) {
  for (std::uint32_t writers = 0; writers <= kThreads; ++writers) {
    expect_sound<2>(writers, true);
    expect_sound<1>(writers, true);
  }
}
// What the judgement of lost wakes stands on.
TEST(SharedMutexWeak, WithoutWakesSlicesEnd) {
  std::uint64_t slices = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    slices += play<1>(seed, 1, std::nullopt, 0, [](WeakFutex& futex) {
                futex.drops_wakes = true;
              }).slices;
  }
  EXPECT_GT(slices, 0u);
}

}  // namespace
}  // namespace rondo
