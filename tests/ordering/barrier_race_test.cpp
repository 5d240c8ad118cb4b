// The barrier as threads on one mapping, with what is done before and after it in plain memory, for
// TSan: weakening A1, S1, P1 or P2 makes it report a race.
#include <gtest/gtest.h>
#include <unistd.h>

#include <set>
#include <thread>
#include <vector>

#include "rondo/sync/barrier.hpp"
#include "support/staged_member.hpp"

namespace rondo::testing {
namespace {

using sync::BarrierResult;
using Barrier = sync::basic_barrier<4, BellSystem, StagedMember>;

constexpr std::uint64_t kPhases = 1000;
constexpr std::uint32_t kParties = 3;

class BarrierRace : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  void SetUp() override { alarm(120); }
  void TearDown() override { alarm(0); }

  const std::set<std::uint32_t> living_{tenure_of(0), tenure_of(1), tenure_of(2)};
  Barrier::Part part_{};
  std::uint64_t written_[kParties] = {};
};

// Each writes its own number, and reads those of all others in the next phase.
TEST_P(BarrierRace, WhatAllDidBeforeIsDoneAfter) {
  part_.begin(kParties + 1);
  part_.seats[3].store(tenure_of(9), std::memory_order_relaxed);  // a dead one, that never arrives
  std::vector<std::thread> threads;
  for (std::uint32_t i = 0; i < kParties; ++i) {
    threads.emplace_back([&, i] {
      const StagedMember self{tenure_of(i), &living_, 0, GetParam()};
      Barrier barrier(part_, self);
      for (std::uint64_t k = 0; k < kPhases; ++k) {
        ++written_[i];
        const BarrierResult result = barrier.arrive_and_wait();
        ASSERT_EQ(result, k == 0 ? BarrierResult::kPartyDied : BarrierResult::kDone);
        for (const std::uint64_t each : written_) ASSERT_EQ(each, k + 1);
        ASSERT_EQ(barrier.arrive_and_wait(), BarrierResult::kDone);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// What was done before one dropped.
TEST_P(BarrierRace, WhatOneThatDropsDidIsDone) {
  for (std::uint64_t k = 0; k < kPhases / 10; ++k) {
    Barrier::Part part{};
    part.begin(2);
    std::thread other([&] {
      const StagedMember self{tenure_of(1), &living_, 0, GetParam()};
      ++written_[0];
      ASSERT_TRUE(Barrier(part, self).arrive_and_drop());
    });
    const StagedMember self{tenure_of(0), &living_, 0, GetParam()};
    ASSERT_EQ(Barrier(part, self).arrive_and_wait(), BarrierResult::kDone);
    ASSERT_EQ(written_[0], k + 1);
    other.join();
  }
}

INSTANTIATE_TEST_SUITE_P(LooksBeforeSleeping, BarrierRace, ::testing::Values(0u, 4u));

}  // namespace
}  // namespace rondo::testing
