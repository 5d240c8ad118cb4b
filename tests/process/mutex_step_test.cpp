// Who locks, takes over, waits for or unlocks a mutex dies after each of its instructions. The
// victim is single-stepped once; whenever the memory has changed, a copy of it is judged, with the
// victim dead: the next one gets the mutex at once, is told of the death if anything was going on,
// and leaves a mutex that is as good as new. Careless victims must be caught.
//
// And with real processes: one sleeps while its owner is killed after each instruction of
// unlocking. It gets the mutex each time.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <thread>

#include "process/deaths_at_each_step.hpp"
#include "process/stepper.hpp"
#include "rondo/sync/mutex.hpp"
#include "rondo/sync/named.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"
#include "support/staged_member.hpp"

namespace rondo::testing {
namespace {

using namespace std::chrono_literals;
using sync::LockResult;
using sync::MutexPart;
using Mutex = sync::basic_mutex<BellSystem, StagedMember>;

constexpr std::uint32_t kDead = tenure_of(0);
constexpr std::uint32_t kLiving = tenure_of(1);
constexpr std::uint32_t kVictim = tenure_of(2);
constexpr std::uint32_t kJudge = tenure_of(3);
constexpr std::uint32_t kNext = tenure_of(4);

// A mutex and what it guards: two numbers that are changed together.
struct Place {
  MutexPart part;
  std::uint32_t inside;    // the victim's own word that it owns the mutex
  std::uint32_t given_up;  // that it has unlocked what it did not declare consistent
  std::uint32_t first, second;
};

void put(std::uint32_t& word, std::uint32_t value) {
  *static_cast<volatile std::uint32_t*>(&word) = value;
}
void change_both(Place& place) {
  put(place.first, place.first + 1);
  put(place.second, place.first);
}
// What an owner does after it was told that the one before died.
void repair(Place& place, Mutex& mutex) {
  put(place.second, place.first);
  mutex.make_consistent();
}

using Act = std::function<void(Place&, Mutex&)>;

void lock_and_unlock(Place& place, Mutex& mutex) {
  const LockResult result = mutex.acquire(Deadline::now());
  if (result > LockResult::kOwnerDied) return;
  put(place.inside, 1);
  if (result == LockResult::kOwnerDied) repair(place, mutex);
  change_both(place);
  put(place.inside, 0);
  mutex.unlock();
}
void take_and_declare_nothing(Place& place, Mutex& mutex) {
  if (mutex.acquire(Deadline::now()) != LockResult::kOwnerDied) return;
  put(place.given_up, 1);
  mutex.unlock();
}
void wait_in_vain(Place&, Mutex& mutex) { static_cast<void>(mutex.try_lock_for(1s)); }

// Changes what is guarded after it has unlocked.
void unlock_too_early(Place& place, Mutex& mutex) {
  static_cast<void>(mutex.acquire(Deadline::now()));
  put(place.first, place.first + 1);
  mutex.unlock();
  put(place.second, place.first);
}
// Takes over from the dead as if nothing had happened.
void take_over_silently(Place& place, Mutex& mutex) {
  place.part.word.store(kVictim, std::memory_order_relaxed);
  put(place.inside, 0);
  mutex.unlock();
}

// What is wrong with what a dead victim left; empty if nothing.
std::string verdict(Place& place) {
  const std::set<std::uint32_t> living{kLiving, kJudge, kNext};
  const StagedMember owner{kLiving, &living};
  const StagedMember judge{kJudge, &living};
  const StagedMember next{kNext, &living};
  Mutex owners(place.part, owner);
  Mutex judges(place.part, judge);
  Mutex nexts(place.part, next);
  const std::uint32_t word = place.part.word.load(std::memory_order_relaxed);
  if ((word & MutexPart::kOwner) == kLiving) {
    if (judges.acquire(Deadline::now()) != LockResult::kTimedOut) return "the living was robbed";
    if (!owners.unlock()) return "the living lost it";
  }
  const LockResult result = judges.acquire(Deadline::now());
  if (result == LockResult::kNotRecoverable) {
    return place.given_up == 1 ? "" : "given up for no reason";
  }
  if (result > LockResult::kOwnerDied) return "the next one does not get it";
  if (result == LockResult::kLocked && place.inside != 0) return "nobody tells of the death";
  if (result == LockResult::kLocked && place.first != place.second) return "half changed";
  if (result == LockResult::kOwnerDied && !judges.make_consistent()) return "not declared";
  if (!judges.unlock()) return "not unlocked";
  if (nexts.acquire(Deadline::now()) != LockResult::kLocked) return "not as good as new";
  if (!nexts.unlock()) return "not unlocked by the next one";
  return place.part.word.load(std::memory_order_relaxed) == 0 ? "" : "not free";
}

// `word`: what the victim finds; `half`: whether the one before died in the middle.
Deaths tell(const Act& act, std::uint32_t word, bool half) {
  Shared<Place> place;
  place->part.word.store(word, std::memory_order_relaxed);
  place->first = half ? 1 : 0;
  const std::set<std::uint32_t> living{kLiving, kVictim};
  const auto live = [&] {
    const StagedMember self{kVictim, &living};
    Mutex mutex(place->part, self);
    Stepper::begin();
    act(*place, mutex);
    Stepper::end();
  };
  return deaths_at_each_step(place, live, verdict);
}

class MutexSteps : public Watchdog {};

TEST_F(MutexSteps, WhoLocksAndUnlocksMayDieAfterAnyInstruction) {
  for (const std::uint32_t word : {0u, MutexPart::kContended}) {
    const Deaths outcome = tell(lock_and_unlock, word, false);
    EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
    EXPECT_GE(outcome.states, 7u);
  }
}
TEST_F(MutexSteps, WhoTakesOverFromTheDeadMayDieAfterAnyInstruction) {
  for (const std::uint32_t marks : {0u, MutexPart::kContended, MutexPart::kSuspect,
                                    MutexPart::kSuspect | MutexPart::kContended}) {
    const Deaths outcome = tell(lock_and_unlock, kDead | marks, true);
    EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
    EXPECT_GE(outcome.states, 7u);
  }
}
TEST_F(MutexSteps, WhoDeclaresNothingMayDieAfterAnyInstruction) {
  const Deaths outcome = tell(take_and_declare_nothing, kDead | MutexPart::kContended, true);
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  EXPECT_EQ(outcome.states, 4u);
}
TEST_F(MutexSteps, WhoWaitsMayDieAfterAnyInstruction) {
  const Deaths outcome = tell(wait_in_vain, kLiving, false);
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  EXPECT_EQ(outcome.states, 2u);
}
TEST_F(MutexSteps, AnOwnerThatUnlocksTooEarlyIsCaught) {
  EXPECT_GT(tell(unlock_too_early, 0, false).failures, 0u);
}
TEST_F(MutexSteps, ASilentTakeoverIsCaught) {
  EXPECT_GT(tell(take_over_silently, kDead, true).failures, 0u);
}

TEST_F(MutexSteps, ASleeperGetsItWhereverInUnlockingItsOwnerDies) {
  ShmName name;
  const std::string url = "shm:" + name.word();
  auto mine = sync::named<sync::mutex>(url, {}, {.keep = true});
  ASSERT_TRUE(mine) << mine.error().message;
  const Atomic<std::uint32_t>& word = mine->attachment().parts().object->word;
  std::uint64_t told = 0;
  std::uint64_t moment = 0;
  for (bool there = true; there; ++moment) {
    Stepper victim([&] {
      auto held = sync::named<sync::mutex>(url);
      held->lock();
      Stepper::begin();
      held->unlock();
      Stepper::end();
    });
    std::thread sleeper([&] {
      const LockResult result = mine->acquire();
      EXPECT_LE(result, LockResult::kOwnerDied);
      if (result == LockResult::kOwnerDied) ++told;
      if (result == LockResult::kOwnerDied) mine->make_consistent();
      EXPECT_TRUE(mine->unlock());
    });
    while ((word.load(std::memory_order_relaxed) & MutexPart::kContended) == 0) usleep(50);
    there = victim.step_to(moment);
    victim.kill();
    sleeper.join();
    ASSERT_EQ(word.load(std::memory_order_relaxed), 0u) << "after instruction " << moment;
  }
  std::printf("killed after each of %llu instructions, %llu times as the owner\n",
              static_cast<unsigned long long>(moment), static_cast<unsigned long long>(told));
  EXPECT_GT(told, 2u);
  EXPECT_LT(told + 2, moment);
}

}  // namespace
}  // namespace rondo::testing
