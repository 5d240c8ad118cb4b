// Who sets, takes, clears or waits for event flags, or counts a latch down, dies after each of its
// instructions. The victim is single-stepped once; whenever the memory has changed, a copy of it is
// judged: each of its acts was done or was not, and the words work on. One that takes in two steps
// must be caught.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <functional>
#include <string>

#include "process/deaths_at_each_step.hpp"
#include "process/stepper.hpp"
#include "rondo/sync/event_flags.hpp"
#include "rondo/sync/latch.hpp"
#include "support/processes.hpp"
#include "support/staged_member.hpp"

namespace rondo::testing {
namespace {

using namespace std::chrono_literals;
using Flags = sync::basic_event_flags<BellSystem, StagedMember>;
using Latch = sync::basic_latch<BellSystem, StagedMember>;

struct Place {
  sync::EventFlagsPart flags;
  sync::LatchPart latch;
};
const StagedMember kVictim{tenure_of(0)};
const StagedMember kJudge{tenure_of(1)};

void act(Place& place) {
  Flags flags(place.flags, kVictim);
  Latch latch(place.latch, kVictim);
  flags.set(6);
  static_cast<void>(flags.take_all(6));
  static_cast<void>(flags.wait_any(2, Deadline::after(1s)));
  latch.count_down();
  latch.wait(Deadline::after(1s));
  latch.count_down(2);
}
void take_carelessly(Place& place) {
  Flags flags(place.flags, kVictim);
  flags.set(6);
  flags.clear(4);
  flags.clear(2);
}

std::string verdict(Place& place) {
  Flags flags(place.flags, kJudge);
  Latch latch(place.latch, kJudge);
  const std::uint32_t bits = flags.get();
  if (bits != 1 && bits != 7) return "half taken";
  flags.set(8);
  if (flags.take_all(bits | 8, Deadline::now()) != (bits | 8)) return "not taken";
  if ((place.flags.rings.load(std::memory_order_relaxed) & sync::detail::kAsleep) != 0) {
    return "the dead one's mark stays";
  }
  const std::uint32_t count = place.latch.word.load(std::memory_order_relaxed) & 0xFF;
  if (count != 3 && count != 2 && count != 0) return "half counted";
  latch.count_down(3);
  return latch.wait(Deadline::now()) && place.latch.word.load(std::memory_order_relaxed) == 0
             ? ""
             : "not open";
}

std::uint64_t failures_of(const std::function<void(Place&)>& what, std::uint64_t least_states) {
  Shared<Place> place;
  place->flags.bits.store(1, std::memory_order_relaxed);
  place->flags.rings.store(sync::detail::kAsleep, std::memory_order_relaxed);
  place->latch.begin(3);
  const auto live = [&] {
    Stepper::begin();
    what(*place);
    Stepper::end();
  };
  const Deaths deaths = deaths_at_each_step(place, live, verdict);
  EXPECT_GE(deaths.states, least_states);
  std::printf("%s\n", deaths.first_failure.c_str());
  return deaths.failures;
}

class EventFlagsSteps : public Watchdog {};

TEST_F(EventFlagsSteps, WhoSetsTakesWaitsAndCountsMayDieAfterAnyInstruction) {
  EXPECT_EQ(failures_of(act, 8), 0u);
}
TEST_F(EventFlagsSteps, OneThatTakesInTwoStepsIsCaught) {
  EXPECT_GT(failures_of(take_carelessly, 4), 0u);
}

}  // namespace
}  // namespace rondo::testing
