// Who does something once dies after each of its instructions. The victim is single-stepped once;
// whenever the memory has changed, a copy of it is judged, with the victim dead: unless it is done,
// the next one does it, and is told if something was begun. One who says that it is done before it
// is must be caught.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <functional>
#include <set>
#include <string>

#include "process/deaths_at_each_step.hpp"
#include "process/stepper.hpp"
#include "rondo/sync/once.hpp"
#include "support/processes.hpp"
#include "support/staged_member.hpp"

namespace rondo::testing {
namespace {

using sync::OncePart;
using sync::OnceResult;
using Once = sync::basic_once<BellSystem, StagedMember>;

constexpr std::uint32_t kDead = tenure_of(0);
constexpr std::uint32_t kVictim = tenure_of(1);
constexpr std::uint32_t kJudge = tenure_of(2);

// What is to be made, in two steps.
struct Place {
  OncePart part;
  std::uint32_t first, second;
};
void put(std::uint32_t& word, std::uint32_t value) {
  *static_cast<volatile std::uint32_t*>(&word) = value;
}
void make(Place& place) {
  put(place.first, 1);
  put(place.second, 1);
}

void do_it(Place& place, Once& once) {
  once.call([&] { make(place); });
}
void do_it_too_late(Place& place, Once& once) {
  once.call([&] { put(place.first, 1); });
  put(place.second, 1);
}

std::string verdict(Place& place) {
  const std::set<std::uint32_t> living{kJudge};
  const StagedMember judge{kJudge, &living};
  Once once(place.part, judge);
  std::string wrong;
  const bool begun = place.first != 0;
  const OnceResult result = once.call(
      [&](bool again) {
        if (begun && !again) wrong = "the next one is not told";
        make(place);
      },
      Deadline::now());
  if (result != OnceResult::kDone) return "nobody does it any more";
  if (place.first != 1 || place.second != 1) return "not done";
  if (place.part.word.load(std::memory_order_relaxed) != OncePart::kDone) return "not said";
  return wrong;
}

std::uint64_t failures_of(const std::function<void(Place&, Once&)>& act, std::uint32_t word) {
  Shared<Place> place;
  place->part.word.store(word, std::memory_order_relaxed);
  const std::set<std::uint32_t> living{kVictim};
  const auto live = [&] {
    const StagedMember self{kVictim, &living};
    Once once(place->part, self);
    Stepper::begin();
    act(*place, once);
    Stepper::end();
  };
  const Deaths deaths = deaths_at_each_step(place, live, verdict);
  EXPECT_GE(deaths.states, 5u);
  std::printf("%s\n", deaths.first_failure.c_str());
  return deaths.failures;
}

class OnceSteps : public Watchdog {};

TEST_F(OnceSteps, WhoDoesItMayDieAfterAnyInstruction) {
  for (const std::uint32_t word :
       {0u, kDead, kDead | OncePart::kContended, kDead | OncePart::kAgain, OncePart::kAgain}) {
    EXPECT_EQ(failures_of(do_it, word), 0u);
  }
}
TEST_F(OnceSteps, OneThatIsNotDoneWhenItSaysSoIsCaught) {
  EXPECT_GT(failures_of(do_it_too_late, 0), 0u);
}

}  // namespace
}  // namespace rondo::testing
