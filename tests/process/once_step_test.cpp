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
  Shared<Place> copy;
  place->part.word.store(word, std::memory_order_relaxed);
  const std::set<std::uint32_t> living{kVictim};
  Stepper victim([&] {
    const StagedMember self{kVictim, &living};
    Once once(place->part, self);
    Stepper::begin();
    act(*place, once);
    Stepper::end();
  });
  std::uint64_t states = 0;
  std::uint64_t failures = 0;
  Place before;
  std::memset(static_cast<void*>(&before), 0xFF, sizeof before);
  do {
    if (std::memcmp(&before, &*place, sizeof before) == 0) continue;
    std::memcpy(static_cast<void*>(&before), &*place, sizeof before);
    std::memcpy(static_cast<void*>(&*copy), &*place, sizeof before);
    ++states;
    const std::string wrong = verdict(*copy);
    if (!wrong.empty() && failures++ == 0) {
      std::printf("%s after instruction %llu\n", wrong.c_str(),
                  static_cast<unsigned long long>(victim.steps()));
    }
  } while (victim.step());
  EXPECT_TRUE(victim.finished()) << "the victim did not come to its end";
  EXPECT_GE(states, 5u);
  std::printf("died after each of %llu instructions, %llu states: %llu failures\n",
              static_cast<unsigned long long>(victim.steps()),
              static_cast<unsigned long long>(states), static_cast<unsigned long long>(failures));
  return failures;
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
