// Who arrives, drops, takes a seat or waits at a barrier dies after each of its instructions. The
// victim is single-stepped once; whenever the memory has changed, a copy of it is judged, with the
// victim dead: the others go on, now or once they have found the death out, are told of it in this
// phase or the next one, unless it had dropped, and go on without it for good. Careless ones must
// be caught.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <set>
#include <string>

#include "process/deaths_at_each_step.hpp"
#include "process/stepper.hpp"
#include "rondo/sync/barrier.hpp"
#include "support/processes.hpp"
#include "support/staged_member.hpp"

namespace rondo::testing {
namespace {

using namespace std::chrono_literals;
using sync::BarrierResult;
using Barrier = sync::basic_barrier<3, BellSystem, StagedMember>;
using Part = Barrier::Part;

constexpr std::uint32_t kDead = tenure_of(0);
constexpr std::uint32_t kVictim = tenure_of(2);
constexpr std::uint32_t kJudge = tenure_of(3);
constexpr std::uint32_t kNext = tenure_of(4);

struct Place {
  Part part;
};

using Act = std::function<void(Place&, Barrier&)>;

void arrive_and_wait(Place&, Barrier& barrier) {
  static_cast<void>(barrier.wait(barrier.arrive(), Deadline::now()));
}
void wait_for_a_while(Place&, Barrier& barrier) {
  static_cast<void>(barrier.wait_for(barrier.arrive(), 1s));
}
void drop(Place&, Barrier& barrier) { barrier.arrive_and_drop(); }
void sit_down(Place&, Barrier& barrier) { barrier.take_seat(); }
// Ends a phase that others have not arrived in.
void end_carelessly(Place& place, Barrier& barrier) {
  static_cast<void>(barrier.arrive());
  place.part.phase.store(6, std::memory_order_relaxed);
}
// Sits where nobody knows whose the seat is.
void sit_carelessly(Place& place, Barrier&) {
  place.part.seats[0].store(std::uint64_t{5} << 32 | kNext, std::memory_order_relaxed);
}

// What is wrong with what a dead victim left; empty if nothing. Two others are parties, and have
// not arrived in phase 5.
std::string verdict(Place& place) {
  const std::set<std::uint32_t> living{kJudge, kNext};
  const StagedMember judge{kJudge, &living};
  const StagedMember next{kNext, &living};
  Barrier judges(place.part, judge);
  Barrier nexts(place.part, next);
  // A seat that the victim had not taken yet is waited for, as nobody knows of it.
  bool free = false;
  for (const auto& seat : place.part.seats) free |= seat.load(std::memory_order_relaxed) == 0;
  bool told = false;
  for (std::uint32_t phase = 5; phase < 8; ++phase) {
    if ((place.part.phase.load(std::memory_order_relaxed) & Part::kPhase) != phase) {
      return "a phase ended without all";
    }
    const auto one = judges.arrive();
    if (!one) return "no seat";
    if (judges.try_wait(one)) return "went on alone";
    const auto two = nexts.arrive();
    if (!two) return "no seat for the other one";
    const BarrierResult result = judges.wait(one, Deadline::now());
    if (free) return result == BarrierResult::kTimedOut ? "" : "went on without one to come";
    if (result > BarrierResult::kPartyDied) return "does not go on";
    if (nexts.wait(two, Deadline::now()) != result) return "the other one is told another thing";
    if (told && result == BarrierResult::kPartyDied) return "told twice";
    told |= result == BarrierResult::kPartyDied;
  }
  bool dropped = false;
  for (const auto& seat : place.part.seats) {
    const auto whose = static_cast<std::uint32_t>(seat.load(std::memory_order_relaxed));
    dropped |= whose == Part::kDropped;
    if (whose == kVictim || whose == kDead) return "the dead are still waited for";
  }
  return dropped || told ? "" : "not told";
}

// `seat`: whose the third one is; `asleep`: somebody sleeps.
Deaths tell(const Act& act, std::uint64_t seat, bool asleep) {
  Shared<Place> place;
  place->part.begin(3);
  place->part.phase.store(5u | (asleep ? Part::kAsleep : 0), std::memory_order_relaxed);
  place->part.seats[0].store(seat, std::memory_order_relaxed);
  place->part.seats[1].store(std::uint64_t{5} << 32 | kJudge, std::memory_order_relaxed);
  place->part.seats[2].store(std::uint64_t{5} << 32 | kNext, std::memory_order_relaxed);
  const std::set<std::uint32_t> living{kVictim, kJudge, kNext};
  const auto live = [&] {
    const StagedMember self{kVictim, &living};
    Barrier barrier(place->part, self);
    Stepper::begin();
    act(*place, barrier);
    Stepper::end();
  };
  return deaths_at_each_step(place, live, verdict);
}

class BarrierSteps : public Watchdog {};

TEST_F(BarrierSteps, WhoArrivesDropsOrSitsDownMayDieAfterAnyInstruction) {
  for (const Act& act : {Act(arrive_and_wait), Act(drop), Act(sit_down)}) {
    for (const bool asleep : {false, true}) {
      const Deaths outcome = tell(act, 0, asleep);
      EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
      EXPECT_GE(outcome.states, 2u);
    }
  }
}
TEST_F(BarrierSteps, WhoWaitsMayDieAfterAnyInstruction) {
  const Deaths outcome = tell(wait_for_a_while, std::uint64_t{5} << 32 | kVictim, false);
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  EXPECT_GE(outcome.states, 3u);
}
// The victim is the last one to arrive, and ends the phase; or finds a death out, and does.
TEST_F(BarrierSteps, WhoEndsAPhaseMayDieAfterAnyInstruction) {
  for (const bool asleep : {false, true}) {
    for (const std::uint32_t other : {kJudge, kDead}) {
      Shared<Place> place;
      place->part.begin(3);
      place->part.phase.store(5u | (asleep ? Part::kAsleep : 0), std::memory_order_relaxed);
      const std::uint64_t arrived = std::uint64_t{other == kDead ? 5u : 6u} << 32;
      place->part.seats[0].store(std::uint64_t{5} << 32 | kVictim, std::memory_order_relaxed);
      place->part.seats[1].store(arrived | other, std::memory_order_relaxed);
      place->part.seats[2].store(std::uint64_t{6} << 32 | kNext, std::memory_order_relaxed);
      const std::set<std::uint32_t> living{kVictim, kJudge, kNext};
      const auto live = [&] {
        const StagedMember self{kVictim, &living};
        Barrier barrier(place->part, self);
        Stepper::begin();
        arrive_and_wait(*place, barrier);
        Stepper::end();
      };
      const Deaths outcome = deaths_at_each_step(place, live, [&](Place& left) -> std::string {
        const std::set<std::uint32_t> still{kJudge, kNext};
        const StagedMember next{kNext, &still};
        Barrier nexts(left.part, next);
        // It had arrived in phase 5 before; what it waits for is told by the words alone.
        const std::uint32_t phase = left.part.phase.load(std::memory_order_relaxed) & Part::kPhase;
        if (phase == 5) {
          // One more to look: the next one arrives anew.
          const std::uint64_t victims = left.part.seats[0].load(std::memory_order_relaxed);
          const bool all_lived = victims >> 32 == 6 && other != kDead;
          left.part.seats[2].store(std::uint64_t{5} << 32 | kNext, std::memory_order_relaxed);
          const BarrierResult told = nexts.arrive_and_wait();
          return told == (all_lived ? BarrierResult::kDone : BarrierResult::kPartyDied) ? ""
                                                                                        : "told";
        }
        if (phase != 6) return "another phase";
        if (other == kDead) {
          const bool told = left.part.seats[1].load(std::memory_order_relaxed) ==
                            (std::uint64_t{6} << 32 | Part::kDied);
          if (!told) return "not told";
        }
        return "";
      });
      EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
      EXPECT_GE(outcome.states, 3u);
    }
  }
}
TEST_F(BarrierSteps, OneThatEndsAPhaseAloneIsCaught) {
  EXPECT_GT(tell(end_carelessly, 0, false).failures, 0u);
}
TEST_F(BarrierSteps, OneThatSitsOnAnothersNameIsCaught) {
  EXPECT_GT(tell(sit_carelessly, 0, false).failures, 0u);
}

}  // namespace
}  // namespace rondo::testing
