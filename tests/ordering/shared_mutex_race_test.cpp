// The shared mutex as threads on one mapping, with what it guards in plain memory, for TSan:
// weakening an order that a writer's or reader's data hang on makes it report a race.
#include <gtest/gtest.h>
#include <unistd.h>

#include <set>
#include <thread>
#include <vector>

#include "rondo/sync/shared_mutex.hpp"
#include "support/staged_member.hpp"

namespace rondo::testing {
namespace {

using sync::LockResult;
using Mutex = sync::basic_shared_mutex<2, BellSystem, StagedMember>;

constexpr std::uint64_t kTurns = 2000;
constexpr std::uint32_t kDead = tenure_of(9);

class SharedMutexRace : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  void SetUp() override { alarm(120); }
  void TearDown() override { alarm(0); }

  [[nodiscard]] StagedMember member(std::uint32_t slot) const {
    return {tenure_of(slot), &living_, 0, GetParam()};
  }

  const std::set<std::uint32_t> living_{tenure_of(0), tenure_of(1), tenure_of(2), tenure_of(3)};
  Mutex::Part part_{};
  std::uint64_t first_ = 0;
  std::uint64_t second_ = 0;
};

TEST_P(SharedMutexRace, WritersAreAloneAndReadersSeeWhatTheyDid) {
  part_.writer.store(kDead, std::memory_order_relaxed);
  part_.readers[1].store(kDead, std::memory_order_relaxed);
  std::vector<std::thread> threads;
  for (std::uint32_t i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      const StagedMember self = member(i);
      Mutex mutex(part_, self);
      for (std::uint64_t k = 0; k < kTurns; ++k) {
        if (i < 2) {
          if (mutex.acquire() == LockResult::kOwnerDied) mutex.make_consistent();
          ++first_;
          ++second_;
          mutex.unlock();
        } else {
          ASSERT_LE(mutex.acquire_shared(), LockResult::kOwnerDied);
          ASSERT_EQ(first_, second_);
          mutex.unlock_shared();
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(first_, 2 * kTurns);
}

// One that takes over from a dead writer sees what the writers before that one did.
TEST_P(SharedMutexRace, WhoTakesOverSeesWhatWasDoneBefore) {
  for (std::uint64_t k = 0; k < kTurns / 10; ++k) {
    std::thread other([&] {
      const StagedMember self = member(1);
      Mutex mutex(part_, self);
      ASSERT_EQ(mutex.acquire(), LockResult::kLocked);
      ++first_;
      mutex.unlock();
      // relaxed: the dead one's, whose death is the kernel's word.
      std::uint32_t free = 0;
      part_.writer.compare_exchange_strong(free, kDead, std::memory_order_relaxed);
    });
    const StagedMember self = member(0);
    Mutex mutex(part_, self);
    while ((part_.writer.load(std::memory_order_relaxed) & Mutex::Part::kOwner) != kDead) {
    }
    if (k % 2 == 0) {
      ASSERT_EQ(mutex.acquire(), LockResult::kOwnerDied);
    } else {
      ASSERT_EQ(mutex.acquire_shared(), LockResult::kOwnerDied);
    }
    ASSERT_EQ(first_, k + 1);
    if (k % 2 == 0) {
      mutex.make_consistent();
      mutex.unlock();
    } else {
      mutex.unlock_shared();
      ASSERT_EQ(mutex.acquire(), LockResult::kOwnerDied);
      mutex.make_consistent();
      mutex.unlock();
    }
    other.join();
  }
}

// The word of a dead reader that had one before it.
TEST_P(SharedMutexRace, WhatWasReadBeforeADeadReaderIsReadBeforeItIsChanged) {
  for (std::uint64_t k = 0; k < kTurns / 10; ++k) {
    std::thread other([&] {
      const StagedMember self = member(1);
      Mutex mutex(part_, self);
      ASSERT_EQ(mutex.acquire_shared(), LockResult::kLocked);
      ASSERT_EQ(first_, k);
      mutex.unlock_shared();
      // relaxed: the dead one's, as above.
      std::uint32_t free = 0;
      part_.readers[1].compare_exchange_strong(free, kDead, std::memory_order_relaxed);
    });
    const StagedMember self = member(0);
    Mutex mutex(part_, self);
    while (part_.readers[1].load(std::memory_order_relaxed) != kDead) {
    }
    ASSERT_EQ(mutex.acquire(), LockResult::kLocked);
    ++first_;
    mutex.unlock();
    other.join();
  }
}

INSTANTIATE_TEST_SUITE_P(LooksBeforeSleeping, SharedMutexRace, ::testing::Values(0u, 4u));

}  // namespace
}  // namespace rondo::testing
