// Contract of sync::mutex, over a word in plain memory and deaths of the test's making. Each line
// has a test of the same name, in this order.
//  1. AFreeOneIsTakenByOneWordAndGivenBackByAnother
//  2. WhatOneOwnsAnotherDoesNotGet
//  3. WhoDoesNotOwnItCannotUnlockIt
//  4. AWaitEndsAtItsDeadlineOfAnyClock
//  5. AWaiterGetsItWhenItIsUnlocked
//  6. WhoGivesUpAfterASleepLeavesTheMarkForOthers
//  7. EachWayToLockIsToldThatTheLastOwnerDied
//  8. TheMarkOfThoseWhoSleepSurvivesADeath
//  9. DeclaredConsistentItIsAsBefore
// 10. UndeclaredNobodyGetsItAnyMore
// 11. AllWhoSleepAreToldThatNobodyGetsItAnyMore
// 12. AnOwnerThatDiesBeforeItDeclaresLeavesItSuspect
// 13. OnlyTheOwnerDeclares
// 14. WhoIsNoMemberGetsNothingAndFreesNothing
// 15. OtherThreadsOfTheOwnerWaitAndDoNotTakeItForDead
// 16. ALivingOwnerIsAskedAfterButNotRobbed
// 17. StandardLocksTakeIt
// 18. AnyWordEndsInAnAnswer                  a hostile peer
// 19. AWordThatChangesAllTheTimeEndsAtTheDeadline
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>
#include <system_error>
#include <thread>
#include <vector>

#include "rondo/sync/mutex.hpp"
#include "support/processes.hpp"
#include "support/staged_member.hpp"

namespace rondo::testing {
namespace {

using namespace std::chrono_literals;
using sync::LockResult;
using sync::MutexPart;
using Mutex = sync::basic_mutex<BellSystem, StagedMember>;

constexpr std::uint32_t kA = tenure_of(0);
constexpr std::uint32_t kB = tenure_of(1);
constexpr std::uint32_t kSuspect = MutexPart::kSuspect;
constexpr std::uint32_t kContended = MutexPart::kContended;

// Two members and their mutex; both live.
class MutexSpec : public Watchdog {
 protected:
  [[nodiscard]] std::uint32_t word() const { return part_.word.load(std::memory_order_acquire); }
  void put(std::uint32_t word) { part_.word.store(word, std::memory_order_release); }
  void die(std::uint32_t tenure) { living_.erase(tenure); }
  // Returns once somebody says in the word that he sleeps.
  void await_contention() const {
    while ((word() & kContended) == 0) std::this_thread::yield();
  }

  MutexPart part_{};
  std::set<std::uint32_t> living_{kA, kB};
  StagedMember a_member_{kA, &living_};
  StagedMember b_member_{kB, &living_};
  Mutex a_{part_, a_member_};
  Mutex b_{part_, b_member_};
};

TEST_F(MutexSpec, AFreeOneIsTakenByOneWordAndGivenBackByAnother) {
  EXPECT_EQ(a_.acquire(), LockResult::kLocked);
  EXPECT_EQ(word(), kA);
  EXPECT_FALSE(a_.owner_died());

  EXPECT_TRUE(a_.unlock());
  EXPECT_EQ(word(), 0u);
}

TEST_F(MutexSpec, WhatOneOwnsAnotherDoesNotGet) {
  a_.lock();

  EXPECT_FALSE(b_.try_lock());

  EXPECT_EQ(word(), kA);
}

TEST_F(MutexSpec, WhoDoesNotOwnItCannotUnlockIt) {
  EXPECT_FALSE(b_.unlock());
  for (const std::uint32_t marks : {0u, kSuspect, kContended, kSuspect | kContended}) {
    put(kA | marks);
    EXPECT_FALSE(b_.unlock());
    EXPECT_EQ(word(), kA | marks);
  }
}

TEST_F(MutexSpec, AWaitEndsAtItsDeadlineOfAnyClock) {
  a_.lock();
  EXPECT_EQ(b_.acquire(Deadline::now()), LockResult::kTimedOut);
  EXPECT_EQ(b_.acquire(Deadline::after(5ms)), LockResult::kTimedOut);
  EXPECT_FALSE(b_.try_lock_for(1ms));
  EXPECT_FALSE(b_.try_lock_for(-1h));
  EXPECT_FALSE(b_.try_lock_until(Deadline::after(1ms)));
  EXPECT_FALSE(b_.try_lock_until(std::chrono::steady_clock::now() + 1ms));
  EXPECT_FALSE(b_.try_lock_until(std::chrono::system_clock::now() + 1ms));
  EXPECT_FALSE(b_.try_lock_until(std::chrono::steady_clock::time_point::min()));
  EXPECT_FALSE(b_.try_lock_until(std::chrono::system_clock::time_point::min()));

  const auto begin = std::chrono::steady_clock::now();
  EXPECT_FALSE(b_.try_lock_until(std::chrono::system_clock::now() + 20ms));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 10ms);
}

TEST_F(MutexSpec, AWaiterGetsItWhenItIsUnlocked) {
  for (const Deadline deadline : {Deadline::never(), Deadline::after(1h)}) {
    a_.lock();
    std::thread waiter([&] { EXPECT_EQ(b_.acquire(deadline), LockResult::kLocked); });
    await_contention();
    EXPECT_TRUE(a_.unlock());
    waiter.join();
    // Others may sleep beside one that has slept.
    EXPECT_EQ(word(), kB | kContended);
    EXPECT_TRUE(b_.unlock());
    EXPECT_EQ(word(), 0u);
  }
  std::thread forever([&] {
    EXPECT_TRUE(b_.try_lock_until(std::chrono::steady_clock::time_point::max()));
    EXPECT_TRUE(b_.unlock());
    EXPECT_TRUE(b_.try_lock_for(std::chrono::hours::max()));
    EXPECT_TRUE(b_.unlock());
  });
  forever.join();
}

TEST_F(MutexSpec, WhoGivesUpAfterASleepLeavesTheMarkForOthers) {
  a_.lock();
  EXPECT_FALSE(b_.try_lock_for(200ms));
  EXPECT_EQ(word(), kA | kContended);
}

TEST_F(MutexSpec, EachWayToLockIsToldThatTheLastOwnerDied) {
  die(kA);
  const std::function<bool()> ways[] = {
      [&] { return b_.lock(), true; },
      [&] { return b_.try_lock(); },
      [&] { return b_.try_lock_for(1h); },
      [&] { return b_.try_lock_until(Deadline::never()); },
      [&] { return b_.try_lock_until(std::chrono::system_clock::now() + 1h); },
      [&] { return b_.acquire() == LockResult::kOwnerDied; },
      [&] { return b_.acquire(Deadline::now()) == LockResult::kOwnerDied; },
  };
  for (const auto& way : ways) {
    put(kA);
    EXPECT_TRUE(way());
    EXPECT_TRUE(b_.owner_died());
    EXPECT_EQ(word() & ~kContended, kB | kSuspect);
  }
}

TEST_F(MutexSpec, TheMarkOfThoseWhoSleepSurvivesADeath) {
  die(kA);
  put(kA | kContended);
  EXPECT_EQ(b_.acquire(Deadline::now()), LockResult::kOwnerDied);
  EXPECT_EQ(word(), kB | kSuspect | kContended);
  EXPECT_TRUE(b_.make_consistent());
  EXPECT_EQ(word(), kB | kContended);
}

TEST_F(MutexSpec, DeclaredConsistentItIsAsBefore) {
  die(kA);
  put(kA);
  ASSERT_EQ(b_.acquire(Deadline::now()), LockResult::kOwnerDied);

  EXPECT_TRUE(b_.make_consistent());

  EXPECT_FALSE(b_.owner_died());
  EXPECT_TRUE(b_.unlock());
  EXPECT_EQ(word(), 0u);
  EXPECT_EQ(b_.acquire(), LockResult::kLocked);
}

TEST_F(MutexSpec, UndeclaredNobodyGetsItAnyMore) {
  die(kA);
  put(kA);
  ASSERT_EQ(b_.acquire(Deadline::now()), LockResult::kOwnerDied);

  EXPECT_TRUE(b_.unlock());

  EXPECT_EQ(word(), kSuspect);
  EXPECT_EQ(b_.acquire(), LockResult::kNotRecoverable);
  // At once, as the hour of any clock is of no use.
  EXPECT_FALSE(b_.try_lock_until(std::chrono::steady_clock::now() + 1h));
  EXPECT_FALSE(b_.try_lock_until(std::chrono::system_clock::time_point::max()));
  EXPECT_FALSE(b_.try_lock());
  EXPECT_FALSE(b_.try_lock_for(1h));
  EXPECT_FALSE(b_.unlock());
  EXPECT_FALSE(b_.make_consistent());
  EXPECT_FALSE(Mutex::settled(part_));
  try {
    b_.lock();
    FAIL() << "locked";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::state_not_recoverable);
  }
}

TEST_F(MutexSpec, AllWhoSleepAreToldThatNobodyGetsItAnyMore) {
  put(kA | kSuspect);
  std::atomic<int> told{0};
  std::vector<std::thread> sleepers;
  for (int i = 0; i < 3; ++i) {
    sleepers.emplace_back([&] { told += b_.acquire() == LockResult::kNotRecoverable ? 1 : 0; });
  }
  await_contention();
  EXPECT_TRUE(a_.unlock());
  for (std::thread& sleeper : sleepers) sleeper.join();
  EXPECT_EQ(told, 3);
}

TEST_F(MutexSpec, AnOwnerThatDiesBeforeItDeclaresLeavesItSuspect) {
  put(kA | kSuspect);
  die(kA);
  EXPECT_EQ(b_.acquire(), LockResult::kOwnerDied);
  EXPECT_TRUE(b_.owner_died());
}

TEST_F(MutexSpec, OnlyTheOwnerDeclares) {
  put(kA | kSuspect);
  EXPECT_FALSE(b_.make_consistent());
  EXPECT_EQ(word(), kA | kSuspect);
}

TEST_F(MutexSpec, WhoIsNoMemberGetsNothingAndFreesNothing) {
  const StagedMember nobody{0, &living_};
  Mutex stranger(part_, nobody);
  for (const std::uint32_t now : {0u, kA, kSuspect, kContended}) {
    put(now);
    EXPECT_EQ(stranger.acquire(), LockResult::kNoMember);
    EXPECT_FALSE(stranger.try_lock());
    EXPECT_FALSE(stranger.unlock());
    EXPECT_FALSE(stranger.make_consistent());
    EXPECT_EQ(word(), now);
  }
  try {
    stranger.lock();
    FAIL() << "locked";
  } catch (const std::system_error& error) {
    EXPECT_EQ(error.code(), std::errc::operation_not_permitted);
  }
}

TEST_F(MutexSpec, OtherThreadsOfTheOwnerWaitAndDoNotTakeItForDead) {
  die(kA);  // whatever the kernel would say
  a_.lock();
  EXPECT_EQ(a_.acquire(Deadline::after(200ms)), LockResult::kTimedOut);
  EXPECT_EQ(word(), kA | kContended);
  EXPECT_EQ(a_member_.asked, 0u);
}

TEST_F(MutexSpec, ALivingOwnerIsAskedAfterButNotRobbed) {
  a_.lock();
  EXPECT_EQ(b_.acquire(Deadline::after(150ms)), LockResult::kTimedOut);
  EXPECT_EQ(word(), kA | kContended);
  EXPECT_GE(b_member_.asked, 1u);
}

TEST_F(MutexSpec, StandardLocksTakeIt) {
  MutexPart other_part{};
  Mutex other(other_part, a_member_);
  {
    const std::lock_guard lock(a_);
    EXPECT_EQ(word(), kA);
  }
  {
    const std::scoped_lock lock(a_, other);
    EXPECT_EQ(word(), kA);
    EXPECT_EQ(other_part.word.load(), kA);
  }
  EXPECT_EQ(other_part.word.load(), 0u);
  {
    std::unique_lock lock(a_, 1ms);
    EXPECT_TRUE(lock.owns_lock());
    std::condition_variable_any condition;
    EXPECT_EQ(condition.wait_for(lock, 1ms), std::cv_status::timeout);
    EXPECT_EQ(word(), kA);
  }
  EXPECT_EQ(word(), 0u);
}

// Whatever stands there, the one who comes owns it for good reasons or does not.
TEST_F(MutexSpec, AnyWordEndsInAnAnswer) {
  for (const std::uint32_t low : {0u, 1u, 1023u, kA, kB, kA + 7, 0x3FFF'FFFFu, 0x2AAA'AAAAu}) {
    for (const std::uint32_t marks : {0u, kSuspect, kContended, kSuspect | kContended}) {
      put(low | marks);
      SCOPED_TRACE(::testing::Message() << std::hex << (low | marks));
      const LockResult result = b_.acquire(Deadline::after(3ms));
      if (low == 0) {
        EXPECT_EQ(result,
                  (marks & kSuspect) != 0 ? LockResult::kNotRecoverable : LockResult::kLocked);
      } else if (low == kA || low == kB) {
        EXPECT_EQ(result, LockResult::kTimedOut);
      } else {
        EXPECT_EQ(result, LockResult::kOwnerDied);
      }
      if (result <= LockResult::kOwnerDied) {
        EXPECT_EQ(word() & MutexPart::kOwner, kB);
      }
    }
  }
}

TEST_F(MutexSpec, AWordThatChangesAllTheTimeEndsAtTheDeadline) {
  std::atomic<bool> stop{false};
  std::thread scribbler([&] {
    std::uint32_t state = 1;
    while (!stop) {
      state = state * 1664525 + 1013904223;
      put(state % 3 == 0 ? kContended : kA | (state & kContended));
    }
  });
  for (int i = 0; i < 20; ++i) {
    const LockResult result = b_.acquire(Deadline::after(1ms));
    EXPECT_TRUE(result == LockResult::kTimedOut || result == LockResult::kLocked);
    static_cast<void>(b_.unlock());
  }
  stop = true;
  scribbler.join();
}

}  // namespace
}  // namespace rondo::testing
