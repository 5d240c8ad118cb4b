// Who is inside a monitor, changes its value, notifies and waits dies after each of its
// instructions. The victim is single-stepped once; whenever the memory has changed, a copy of it is
// judged, with the victim dead: the next one gets in at once, is told of the death if the value may
// be half changed, and nobody whom it notifies or waits for holds it up. A careless one must be
// caught.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <set>
#include <string>

#include "process/deaths_at_each_step.hpp"
#include "process/stepper.hpp"
#include "rondo/sync/monitor.hpp"
#include "support/processes.hpp"
#include "support/staged_member.hpp"

namespace rondo::testing {
namespace {

struct Pair {
  std::uint32_t first, second;
};
using Monitor = sync::basic_monitor<Pair, BellSystem, StagedMember>;
using Part = Monitor::Part;

constexpr std::uint32_t kVictim = tenure_of(0);
constexpr std::uint32_t kJudge = tenure_of(1);

void put(std::uint32_t& word, std::uint32_t value) {
  *static_cast<volatile std::uint32_t*>(&word) = value;
}
void change_and_wait(Part&, Monitor& monitor) {
  auto inside = monitor.enter();
  put(inside->first, inside->first + 1);
  put(inside->second, inside->first);
  inside.notify_one();
  static_cast<void>(inside.wait_until(Deadline::never(), [turn = 0]() mutable {
    return ++turn == 2;  // after one sleep
  }));
  put(inside->first, inside->first + 1);
  put(inside->second, inside->first);
  inside.notify_all();
}
// Waits with the value half changed.
void wait_carelessly(Part&, Monitor& monitor) {
  auto inside = monitor.enter();
  put(inside->first, inside->first + 1);
  static_cast<void>(
      inside.wait_until(Deadline::never(), [turn = 0]() mutable { return ++turn == 2; }));
  put(inside->second, inside->first);
}

std::string verdict(Part& part) {
  const std::set<std::uint32_t> living{kJudge};
  const StagedMember judge{kJudge, &living};
  Monitor monitor(part, judge);
  {
    auto inside = monitor.try_enter();
    if (!inside) return "the next one does not get in";
    if (inside->first != inside->second && !inside.owner_died()) return "half changed";
    if (inside.owner_died() && !inside.make_consistent()) return "not declared";
    inside.notify_one();
    inside.notify_all();
  }
  if ((part.changed.rings.load(std::memory_order_relaxed) & sync::detail::kAsleep) != 0) {
    return "the dead one's mark stays";
  }
  return part.mutex.word.load(std::memory_order_relaxed) == 0 ? "" : "not free";
}

Deaths tell(const std::function<void(Part&, Monitor&)>& act, bool asleep) {
  Shared<Part> part;
  if (asleep) part->changed.rings.store(sync::detail::kAsleep, std::memory_order_relaxed);
  const std::set<std::uint32_t> living{kVictim};
  const auto live = [&] {
    const StagedMember self{kVictim, &living};
    Monitor monitor(*part, self);
    Stepper::begin();
    act(*part, monitor);
    Stepper::end();
  };
  return deaths_at_each_step(part, live, verdict);
}

class MonitorSteps : public Watchdog {};

TEST_F(MonitorSteps, WhoChangesNotifiesAndWaitsMayDieAfterAnyInstruction) {
  for (const bool asleep : {false, true}) {
    const Deaths outcome = tell(change_and_wait, asleep);
    EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
    EXPECT_GE(outcome.states, 10u);
  }
}
TEST_F(MonitorSteps, OneThatWaitsInTheMiddleOfAChangeIsCaught) {
  EXPECT_GT(tell(wait_carelessly, false).failures, 0u);
}

}  // namespace
}  // namespace rondo::testing
