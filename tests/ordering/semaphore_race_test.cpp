// The semaphore as threads on one mapping, with what a permit stands for in plain memory, for TSan:
// weakening F1, F2, T1 or T2 makes it report a race.
#include <gtest/gtest.h>
#include <unistd.h>

#include <set>
#include <thread>
#include <vector>

#include "rondo/sync/semaphore.hpp"
#include "support/staged_member.hpp"

namespace rondo::testing {
namespace {

using Semaphore = sync::basic_semaphore<1, BellSystem, StagedMember>;

constexpr std::uint64_t kTurns = 3000;
constexpr std::uint32_t kDead = tenure_of(9);

class SemaphoreRace : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  void SetUp() override { alarm(120); }
  void TearDown() override { alarm(0); }

  [[nodiscard]] StagedMember member(std::uint32_t slot) const {
    return {tenure_of(slot), &living_, 0, GetParam()};
  }

  const std::set<std::uint32_t> living_{tenure_of(0), tenure_of(1), tenure_of(2)};
  Semaphore::Part part_{};
  std::uint64_t count_ = 0;
};

TEST_P(SemaphoreRace, WhoHoldsTheOnlyPermitIsAlone) {
  part_.permits[0].store(kDead, std::memory_order_relaxed);
  std::vector<std::thread> threads;
  for (std::uint32_t i = 0; i < 3; ++i) {
    threads.emplace_back([&, i] {
      const StagedMember self = member(i);
      Semaphore semaphore(part_, self);
      for (std::uint64_t k = 0; k < kTurns; ++k) {
        while (!semaphore.acquire()) {
        }
        ++count_;
        semaphore.release();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count_, 3 * kTurns);
}

TEST_P(SemaphoreRace, ASignalBringsWhatWasDoneBefore) {
  Semaphore::Part answers{};
  std::thread other([&] {
    const StagedMember self = member(1);
    Semaphore signals(part_, self);
    Semaphore answered(answers, self);
    for (std::uint64_t k = 0; k < kTurns; ++k) {
      ASSERT_TRUE(signals.consume());
      ++count_;
      ASSERT_TRUE(answered.post());
    }
  });
  const StagedMember self = member(0);
  Semaphore signals(part_, self);
  Semaphore answered(answers, self);
  for (std::uint64_t k = 0; k < kTurns; ++k) {
    ++count_;
    ASSERT_TRUE(signals.post());
    ASSERT_TRUE(answered.consume());
  }
  other.join();
  EXPECT_EQ(count_, 2 * kTurns);
}

INSTANTIATE_TEST_SUITE_P(LooksBeforeSleeping, SemaphoreRace, ::testing::Values(0u, 4u));

}  // namespace
}  // namespace rondo::testing
