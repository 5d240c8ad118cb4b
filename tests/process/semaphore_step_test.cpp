// Who takes, gives back, signals or consumes permits of a semaphore dies after each of its
// instructions. The victim is single-stepped once; whenever the memory has changed, a copy of it is
// judged, with the victim dead: as many permits are to be had as there were, but for what it had
// signalled or consumed. A careless one, which counts them instead, must be caught.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <set>
#include <string>

#include "process/deaths_at_each_step.hpp"
#include "process/stepper.hpp"
#include "rondo/sync/semaphore.hpp"
#include "support/processes.hpp"
#include "support/staged_member.hpp"

namespace rondo::testing {
namespace {

using namespace std::chrono_literals;
using Semaphore = sync::basic_semaphore<4, BellSystem, StagedMember>;
using Part = Semaphore::Part;

constexpr std::uint32_t kDead = tenure_of(0);
constexpr std::uint32_t kLiving = tenure_of(1);
constexpr std::uint32_t kVictim = tenure_of(2);
constexpr std::uint32_t kJudge = tenure_of(3);

struct Place {
  Part part;
  std::int32_t least, most;  // permits that may be had, as the victim says
};

using Act = std::function<void(Place&, Semaphore&)>;

void say(Place& place, std::int32_t least, std::int32_t most) {
  *static_cast<volatile std::int32_t*>(&place.least) = least;
  *static_cast<volatile std::int32_t*>(&place.most) = most;
}

void take_and_give_back(Place&, Semaphore& semaphore) {
  static_cast<void>(semaphore.acquire(Deadline::now()));
  static_cast<void>(semaphore.acquire(Deadline::now()));
  semaphore.release();
  semaphore.release();
}
void signal_and_consume(Place& place, Semaphore& semaphore) {
  say(place, 2, 3);
  semaphore.post();
  say(place, 3, 3);
  say(place, 2, 3);
  static_cast<void>(semaphore.consume(Deadline::now()));
  say(place, 2, 2);
}
void wait_in_vain(Place&, Semaphore& semaphore) {
  static_cast<void>(semaphore.try_acquire_for(1s));
}
// Takes one in two steps.
void take_carelessly(Place& place, Semaphore& semaphore) {
  static_cast<void>(semaphore.consume(Deadline::now()));
  place.part.permits[3].store(kVictim, std::memory_order_relaxed);
  semaphore.release();
}

// What is wrong with what a dead victim left; empty if nothing.
std::string verdict(Place& place) {
  const std::set<std::uint32_t> living{kLiving, kJudge};
  const StagedMember judge{kJudge, &living};
  Semaphore judges(place.part, judge);
  std::int32_t had = 0;
  while (judges.acquire(Deadline::now())) ++had;
  if (had < place.least) return "a permit was lost";
  if (had > place.most) return "a permit too many";
  for (std::int32_t i = 0; i < had; ++i) {
    if (!judges.release()) return "not given back";
  }
  return static_cast<std::int32_t>(judges.available()) == had ? "" : "not free again";
}

// Two permits are to be had, if `holder` is dead; `asleep`: somebody sleeps.
Deaths tell(const Act& act, std::uint32_t holder, bool asleep, std::int32_t permits) {
  Shared<Place> place;
  place->part.permits[0].store(holder, std::memory_order_relaxed);
  place->part.permits[2].store(holder, std::memory_order_relaxed);
  if (asleep) place->part.rings.store(sync::detail::kAsleep, std::memory_order_relaxed);
  say(*place, permits, permits);
  const std::set<std::uint32_t> living{kLiving, kVictim};
  const auto live = [&] {
    const StagedMember self{kVictim, &living};
    Semaphore semaphore(place->part, self);
    Stepper::begin();
    act(*place, semaphore);
    Stepper::end();
  };
  return deaths_at_each_step(place, live, verdict);
}

class SemaphoreSteps : public Watchdog {};

TEST_F(SemaphoreSteps, WhoTakesAndGivesBackMayDieAfterAnyInstruction) {
  for (const bool asleep : {false, true}) {
    for (const std::uint32_t holder : {Part::kFree, kDead}) {
      const Deaths outcome = tell(take_and_give_back, holder, asleep, 2);
      EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
      EXPECT_GE(outcome.states, asleep ? 6u : 5u);
    }
  }
}
TEST_F(SemaphoreSteps, WhoSignalsAndConsumesMayDieAfterAnyInstruction) {
  for (const bool asleep : {false, true}) {
    const Deaths outcome = tell(signal_and_consume, Part::kFree, asleep, 2);
    EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
    EXPECT_GE(outcome.states, 6u);
  }
}
TEST_F(SemaphoreSteps, WhoWaitsMayDieAfterAnyInstruction) {
  const Deaths outcome = tell(wait_in_vain, kLiving, false, 0);
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  EXPECT_EQ(outcome.states, 2u);
}
TEST_F(SemaphoreSteps, OneThatTakesInTwoStepsIsCaught) {
  EXPECT_GT(tell(take_carelessly, Part::kFree, false, 2).failures, 0u);
}

}  // namespace
}  // namespace rondo::testing
