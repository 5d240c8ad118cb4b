// Who reads, writes, takes over from the dead or waits for a shared mutex dies after each of its
// instructions. The victim is single-stepped once; whenever the memory has changed, a copy of it is
// judged, with the victim dead: readers are told or read sound data, the next writer gets it at
// once, is told of the death if anything was going on, and leaves a mutex that is as good as new.
// Who died without having been inside has spoilt nothing. Careless ones must be caught.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <set>
#include <string>

#include "process/deaths_at_each_step.hpp"
#include "process/stepper.hpp"
#include "rondo/sync/shared_mutex.hpp"
#include "support/processes.hpp"
#include "support/staged_member.hpp"

namespace rondo::testing {
namespace {

using namespace std::chrono_literals;
using sync::LockResult;
using Mutex = sync::basic_shared_mutex<2, BellSystem, StagedMember>;
using Part = Mutex::Part;

constexpr std::uint32_t kDead = tenure_of(0);
constexpr std::uint32_t kLiving = tenure_of(1);
constexpr std::uint32_t kVictim = tenure_of(2);
constexpr std::uint32_t kJudge = tenure_of(3);
constexpr std::uint32_t kNext = tenure_of(4);

// A mutex and what it guards: two numbers that are changed together.
struct Place {
  Part part;
  std::uint32_t may_spoil;  // the victim's own word: it may be inside to write
  std::uint32_t given_up;   // that it has unlocked what it did not declare consistent
  std::uint32_t first, second;
};

void put(std::uint32_t& word, std::uint32_t value) {
  *static_cast<volatile std::uint32_t*>(&word) = value;
}

using Act = std::function<void(Place&, Mutex&)>;

void write(Place& place, Mutex& mutex) {
  put(place.may_spoil, 1);
  const LockResult result = mutex.acquire(Deadline::now());
  if (result > LockResult::kOwnerDied) return;
  if (result == LockResult::kOwnerDied) {
    put(place.second, place.first);
    mutex.make_consistent();
  }
  put(place.first, place.first + 1);
  put(place.second, place.first);
  mutex.unlock();
  put(place.may_spoil, 0);
}
void read(Place&, Mutex& mutex) {
  if (mutex.acquire_shared(Deadline::now()) <= LockResult::kOwnerDied) mutex.unlock_shared();
  if (mutex.try_lock_shared()) mutex.unlock_shared();
}
void take_and_declare_nothing(Place& place, Mutex& mutex) {
  put(place.may_spoil, 1);
  if (mutex.acquire(Deadline::now()) != LockResult::kOwnerDied) return;
  put(place.given_up, 1);
  mutex.unlock();
}
void wait_in_vain_to_write(Place&, Mutex& mutex) { static_cast<void>(mutex.try_lock_for(1s)); }
void wait_in_vain_to_read(Place&, Mutex& mutex) {
  static_cast<void>(mutex.try_lock_shared_for(1s));
}
// Counts itself in where nobody knows whose the count is.
void read_carelessly(Place& place, Mutex&) {
  place.part.readers[0].store(kLiving, std::memory_order_relaxed);
  place.part.readers[0].store(0, std::memory_order_relaxed);
}
// Takes over from a dead writer as if nothing had happened.
void take_over_silently(Place& place, Mutex& mutex) {
  place.part.writer.store(kVictim, std::memory_order_relaxed);
  mutex.unlock();
}

// What is wrong with what a dead victim left; empty if nothing. `reads`, `writes`: a living one
// does.
std::string verdict(Place& place, bool reads, bool writes) {
  const std::set<std::uint32_t> living{kLiving, kJudge, kNext};
  const StagedMember holder{kLiving, &living};
  const StagedMember judge{kJudge, &living};
  const StagedMember next{kNext, &living};
  Mutex holders(place.part, holder);
  Mutex judges(place.part, judge);
  Mutex nexts(place.part, next);
  if (reads || writes) {
    if (judges.acquire(Deadline::now()) != LockResult::kTimedOut) return "the living was robbed";
    if (writes && judges.try_lock_shared()) return "the living writer was robbed";
    if (writes ? !holders.unlock() : !holders.unlock_shared()) return "the living lost it";
  }
  const LockResult shared = judges.acquire_shared(Deadline::now());
  if (shared == LockResult::kNotRecoverable) {
    return place.given_up == 1 ? "" : "given up for no reason";
  }
  if (shared > LockResult::kOwnerDied) return "a reader does not get in";
  if (shared == LockResult::kLocked && place.first != place.second) return "half changed, untold";
  if (shared == LockResult::kOwnerDied && place.may_spoil == 0) return "spoilt by nobody";
  if (nexts.try_lock()) return "a writer beside a reader";
  if (!judges.unlock_shared()) return "not given back";
  const LockResult result = judges.acquire(Deadline::now());
  if (result != shared) return "the next writer is told another thing";
  if (result == LockResult::kOwnerDied && !judges.make_consistent()) return "not declared";
  if (!judges.unlock()) return "not unlocked";
  if (nexts.acquire(Deadline::now()) != LockResult::kLocked) return "not as good as new";
  if (!nexts.unlock()) return "not unlocked by the next one";
  if (!nexts.try_lock_shared() || !nexts.try_lock_shared()) return "a reader's word is lost";
  if (!nexts.unlock_shared() || !nexts.unlock_shared()) return "not given back by the next one";
  return place.part.writer.load(std::memory_order_relaxed) == 0 ? "" : "not free";
}

struct Found {
  std::uint32_t writer = 0;
  std::uint32_t reader = 0;
  bool asleep = false;
  bool half = false;  // the one before died in the middle
};

Deaths tell(const Act& act, const Found& found) {
  Shared<Place> place;
  place->part.writer.store(found.writer, std::memory_order_relaxed);
  place->part.readers[0].store(found.reader, std::memory_order_relaxed);
  if (found.asleep) place->part.rings.store(sync::detail::kAsleep, std::memory_order_relaxed);
  place->first = found.half ? 1 : 0;
  place->may_spoil = found.half ? 1 : 0;
  const std::set<std::uint32_t> living{kLiving, kVictim};
  const auto live = [&] {
    const StagedMember self{kVictim, &living};
    Mutex mutex(place->part, self);
    Stepper::begin();
    act(*place, mutex);
    Stepper::end();
  };
  const bool reads = found.reader == kLiving;
  const bool writes = (found.writer & Part::kOwner) == kLiving;
  return deaths_at_each_step(place, live,
                             [&](Place& left) { return verdict(left, reads, writes); });
}

class SharedMutexSteps : public Watchdog {};

TEST_F(SharedMutexSteps, WhoWritesMayDieAfterAnyInstruction) {
  for (const std::uint32_t reader : {0u, kDead}) {
    for (const bool asleep : {false, true}) {
      const Deaths outcome = tell(write, {.reader = reader, .asleep = asleep});
      EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
      EXPECT_GE(outcome.states, 6u);
    }
  }
}
TEST_F(SharedMutexSteps, WhoTakesOverFromADeadWriterMayDieAfterAnyInstruction) {
  for (const std::uint32_t marks :
       {0u, Part::kContended, Part::kSuspect, Part::kSuspect | Part::kContended}) {
    const Deaths outcome = tell(write, {.writer = kDead | marks, .reader = kDead, .half = true});
    EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
    EXPECT_GE(outcome.states, 8u);
  }
}
TEST_F(SharedMutexSteps, WhoReadsMayDieAfterAnyInstruction) {
  for (const bool asleep : {false, true}) {
    for (const std::uint32_t reader : {0u, kDead, kLiving}) {
      const Deaths outcome = tell(read, {.reader = reader, .asleep = asleep});
      EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
      EXPECT_GE(outcome.states, 3u);
    }
  }
}
TEST_F(SharedMutexSteps, AReaderThatFindsADeadWriterMayDieAfterAnyInstruction) {
  for (const std::uint32_t marks : {0u, Part::kContended}) {
    const Deaths outcome = tell(read, {.writer = kDead | marks, .half = true});
    EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
    EXPECT_GE(outcome.states, 4u);
  }
}
TEST_F(SharedMutexSteps, WhoDeclaresNothingMayDieAfterAnyInstruction) {
  const Deaths outcome =
      tell(take_and_declare_nothing, {.writer = kDead | Part::kContended, .half = true});
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  EXPECT_GE(outcome.states, 4u);
}
TEST_F(SharedMutexSteps, WhoWaitsMayDieAfterAnyInstructionAndHasSpoiltNothing) {
  for (const Found& found : {Found{.writer = kLiving}, Found{.reader = kLiving}}) {
    const Deaths outcome = tell(wait_in_vain_to_read, found);
    EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
    EXPECT_GE(outcome.states, 2u);
  }
  const Deaths outcome = tell(wait_in_vain_to_write, {.writer = kLiving});
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  EXPECT_EQ(outcome.states, 2u);
}
// Between the writer's word and `waiting` it may have been inside, for all that others know.
TEST_F(SharedMutexSteps, WhoWaitsForReadersHasSpoiltNothingButForAMoment) {
  const Deaths outcome = tell(wait_in_vain_to_write, {.reader = kLiving});
  EXPECT_EQ(outcome.failures, 2u) << outcome.first_failure;
  EXPECT_EQ(outcome.first_failure.substr(0, 16), "spoilt by nobody");
  EXPECT_GE(outcome.states, 5u);
}
TEST_F(SharedMutexSteps, AReaderThatCountsItselfInIsCaught) {
  EXPECT_GT(tell(read_carelessly, {}).failures, 0u);
}
TEST_F(SharedMutexSteps, ASilentTakeoverIsCaught) {
  EXPECT_GT(tell(take_over_silently, {.writer = kDead, .half = true}).failures, 0u);
}

}  // namespace
}  // namespace rondo::testing
