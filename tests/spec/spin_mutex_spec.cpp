// Contract of sync::spin_mutex, where it differs from sync::mutex (mutex_spec.cpp). Each line has a
// test of the same name, in this order.
//  1. ItAndAMutexOfTheSameWordExcludeEachOther
//  2. WhatADeadOwnerLeftIsTold
//  3. WhoWaitsFallsAsleep                      bounded, then parks
//  4. AWaitEndsAtItsDeadline
//  5. ItLooksTwiceAsLongAsWasWorthIt
//  6. ItHardlyLooksWhereThatIsNeverWorthIt
//  7. ADeadlineEndsTheLooking
//  8. ByANameItIsOne
#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "rondo/sync/condition_variable.hpp"
#include "rondo/sync/named.hpp"
#include "rondo/sync/spin_mutex.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"
#include "support/staged_member.hpp"

namespace rondo::testing {
namespace {

using namespace std::chrono_literals;
using sync::LockResult;
using sync::MutexPart;
using Mutex = sync::basic_mutex<BellSystem, StagedMember>;
using SpinMutex = sync::basic_spin_mutex<BellSystem, StagedMember>;
using Looks = sync::detail::LookAllTheTime;

constexpr std::uint32_t kA = tenure_of(0);
constexpr std::uint32_t kB = tenure_of(1);
constexpr std::uint32_t kDead = tenure_of(2);

class SpinMutexSpec : public Watchdog {
 protected:
  MutexPart part_{};
  std::set<std::uint32_t> living_{kA, kB};
  StagedMember a_member_{kA, &living_, 0, 8};
  StagedMember b_member_{kB, &living_, 0, 8};
  SpinMutex a_{part_, a_member_};
  Mutex b_{part_, b_member_};
};

TEST_F(SpinMutexSpec, ItAndAMutexOfTheSameWordExcludeEachOther) {
  std::uint64_t count = 0;
  const auto add = [&](auto& mutex) {
    for (int i = 0; i < 20'000; ++i) {
      const std::lock_guard lock(mutex);
      ++count;
    }
  };
  std::thread other([&] { add(b_); });
  std::thread third([&] { add(a_); });
  add(a_);
  other.join();
  third.join();
  EXPECT_EQ(count, 60'000u);
  EXPECT_EQ(part_.word.load(), 0u);
}

TEST_F(SpinMutexSpec, WhatADeadOwnerLeftIsTold) {
  part_.word = kDead;
  EXPECT_EQ(a_.acquire(), LockResult::kOwnerDied);
  EXPECT_TRUE(a_.make_consistent());
  EXPECT_TRUE(a_.unlock());
  part_.word = kDead;
  EXPECT_TRUE(a_.try_lock());
  EXPECT_TRUE(a_.unlock());
  EXPECT_EQ(a_.acquire(), LockResult::kNotRecoverable);
}

TEST_F(SpinMutexSpec, WhoWaitsFallsAsleep) {
  b_.lock();
  std::thread waits([&] {
    EXPECT_EQ(a_.acquire(), LockResult::kLocked);
    EXPECT_TRUE(a_.unlock());
  });
  while ((part_.word.load() & MutexPart::kContended) == 0) std::this_thread::yield();
  EXPECT_TRUE(b_.unlock());
  waits.join();
}

TEST_F(SpinMutexSpec, AWaitEndsAtItsDeadline) {
  b_.lock();
  EXPECT_FALSE(a_.try_lock());
  EXPECT_FALSE(a_.try_lock_for(1ms));
  EXPECT_FALSE(a_.try_lock_until(std::chrono::system_clock::now() + 1ms));
  EXPECT_EQ(part_.word.load() & MutexPart::kOwner, kB);
}

TEST_F(SpinMutexSpec, ItLooksTwiceAsLongAsWasWorthIt) {
  Looks looks;
  EXPECT_EQ(looks.limit(), Looks::kLeast);
  for (std::uint32_t worth = 10; worth <= 400; worth += worth / 2) {
    // It has to find it in time to learn: what takes longer than twice the last is not seen.
    for (int i = 0; i < 100; ++i) {
      std::uint32_t count = 0;
      ASSERT_TRUE(looks.spin([&] { return ++count == worth; }, Deadline::never())) << worth;
    }
    EXPECT_GE(looks.limit(), 2 * worth - 2);
    EXPECT_LE(looks.limit(), 2 * worth + Looks::kLeast);
  }
  for (int i = 0; i < 1000; ++i) {
    std::uint32_t count = 0;
    const std::uint32_t last = looks.limit();
    ASSERT_TRUE(looks.spin([&] { return ++count == last; }, Deadline::never()));
  }
  EXPECT_EQ(looks.limit(), Looks::kMost);
  std::uint32_t count = 0;
  EXPECT_FALSE(looks.spin([&] { return ++count, false; }, Deadline::never()));
  EXPECT_EQ(count, Looks::kMost);
}

TEST_F(SpinMutexSpec, ItHardlyLooksWhereThatIsNeverWorthIt) {
  Looks looks;
  for (int i = 0; i < 1000; ++i) {
    std::uint32_t count = 0;
    const std::uint32_t last = looks.limit();
    ASSERT_TRUE(looks.spin([&] { return ++count == last; }, Deadline::never()));
  }
  std::uint64_t wasted = 0;
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(looks.spin([&] { return ++wasted, false; }, Deadline::never()));
  }
  EXPECT_LE(looks.limit(), Looks::kLeast + 2);
  EXPECT_LE(wasted, 16 * Looks::kMost + 100 * (Looks::kLeast + 2));
}

TEST_F(SpinMutexSpec, ADeadlineEndsTheLooking) {
  Looks looks;
  for (int i = 0; i < 1000; ++i) {
    std::uint32_t count = 0;
    const std::uint32_t last = looks.limit();
    ASSERT_TRUE(looks.spin([&] { return ++count == last; }, Deadline::never()));
  }
  std::uint32_t count = 0;
  const auto look = [&] { return ++count, false; };
  EXPECT_FALSE(looks.spin(look, Deadline::now()));
  EXPECT_EQ(count, 0u);
  EXPECT_FALSE(looks.spin(look, Deadline::at(Deadline::Clock::now())));
  EXPECT_EQ(count, 32u);
}

TEST_F(SpinMutexSpec, ByANameItIsOne) {
  ShmName name;
  const std::string url = "shm:" + name.word();
  auto one = sync::named<sync::spin_mutex>(url).value();
  auto two = sync::named<sync::mutex>(url).value();
  {
    const std::unique_lock lock(one);
    EXPECT_FALSE(two.try_lock());
  }
  two.lock();
  EXPECT_FALSE(one.try_lock_for(1ms));
  EXPECT_TRUE(two.unlock());
  sync::ConditionPart part{};
  sync::condition_variable condition(part);
  std::unique_lock lock(one);
  EXPECT_FALSE(condition.wait_until(lock, Deadline::after(1ms), [] { return false; }));
}

}  // namespace
}  // namespace rondo::testing
