// The mutex as threads on one mapping, with what it guards in plain memory, for TSan: weakening L1,
// L2, L3, U1 or U2 makes it report a race. Half of the threads are of one member, half of another.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "rondo/sync/mutex.hpp"
#include "rondo/sync/spin_mutex.hpp"
#include "support/staged_member.hpp"

namespace rondo::testing {
namespace {

using sync::LockResult;
using sync::MutexPart;
using Mutex = sync::basic_mutex<BellSystem, StagedMember>;

constexpr std::uint32_t kFirst = tenure_of(0);
constexpr std::uint32_t kSecond = tenure_of(1);
constexpr std::uint32_t kDead = tenure_of(2);
constexpr std::uint64_t kTurns = 5000;

class MutexRace : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  void SetUp() override { alarm(120); }
  void TearDown() override { alarm(0); }

  // Runs `threads` of them; each counts in plain memory.
  template <class Which = Mutex>
  void run(int threads, std::uint64_t turns) {
    const std::set<std::uint32_t> living{kFirst, kSecond};
    std::vector<std::thread> running;
    for (int i = 0; i < threads; ++i) {
      running.emplace_back([&, i] {
        const StagedMember self{i % 2 == 0 ? kFirst : kSecond, &living, 0, GetParam()};
        Which mutex(part_, self);
        for (std::uint64_t k = 0; k < turns; ++k) {
          const LockResult result = mutex.acquire();
          if (result == LockResult::kOwnerDied) {
            ++deaths_;
            mutex.make_consistent();
          }
          ++count_;
          mutex.unlock();
        }
      });
    }
    for (std::thread& thread : running) thread.join();
  }

  MutexPart part_{};
  std::uint64_t count_ = 0;
  std::uint64_t deaths_ = 0;
};

TEST_P(MutexRace, WhatItGuardsIsChangedByOneAtATime) {
  run(4, kTurns);
  EXPECT_EQ(count_, 4 * kTurns);
  EXPECT_EQ(deaths_, 0u);
}

TEST_P(MutexRace, TheSameByLookingAllTheTime) {
  run<sync::basic_spin_mutex<BellSystem, StagedMember>>(4, kTurns);
  EXPECT_EQ(count_, 4 * kTurns);
}

TEST_P(MutexRace, OneOfThoseWhoWaitTakesOverFromTheDead) {
  for (int round = 0; round < 20; ++round) {
    part_.word.store(kDead, std::memory_order_relaxed);
    run(3, 20);
  }
  EXPECT_EQ(count_, 20u * 3 * 20);
  EXPECT_EQ(deaths_, 20u);
}

// One gives up again and again beside those who wait without end.
TEST_P(MutexRace, ImpatientOnesTakeNobodysWake) {
  const std::set<std::uint32_t> living{kFirst, kSecond};
  std::atomic<bool> stop{false};
  std::thread impatient([&] {
    const StagedMember self{kSecond, &living, 0, GetParam()};
    Mutex mutex(part_, self);
    while (!stop) {
      if (!mutex.try_lock_for(std::chrono::microseconds(20))) continue;
      ++count_;
      --count_;
      mutex.unlock();
    }
  });
  run(3, kTurns);
  stop = true;
  impatient.join();
  EXPECT_EQ(count_, 3 * kTurns);
}

INSTANTIATE_TEST_SUITE_P(LooksBeforeSleeping, MutexRace, ::testing::Values(0u, 4u));

}  // namespace
}  // namespace rondo::testing
