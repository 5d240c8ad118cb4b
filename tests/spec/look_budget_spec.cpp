// Contract of LookBudget. Each line has a test of the same name, in this order.
//  1. AFreshOneLooksForAGuess
//  2. LateMessagesAreLookedForLess
//  3. AMessageThatCameSoonIsLookedForInFullAgain
//  4. WhoseMessagesComeOnlyWhenItLetsGoStopsLooking
//  5. AndTakesItUpWhereLookingFindsSomething
//  6. TheCostOfASleepIsWhatSleepsTake
//  7. OneSleepUnlikeTheOthersMovesItByAnEighth
//  8. SleepsThatWereNoneAreNotMeasured
//  9. WhatSleepersAreLateByIsFoundOut
// 10. NeverTwiceTheBestModeAtAnyGap
// 11. NorOnOneCore
// 12. NorMuchMoreInBursts
// 13. NorWhereGapsAreRandom
#include "rondo/sync/look_budget.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>

namespace rondo {
namespace {

using namespace std::chrono_literals;
using Time = LookBudget::Time;

void repeat(int times, const std::function<void()>& what) {
  for (int i = 0; i < times; ++i) what();
}

TEST(LookBudget, AFreshOneLooksForAGuess) {
  const LookBudget budget;
  EXPECT_NEAR(static_cast<double>(budget.looks_for().count()), 20'000.0, 3.0);
  EXPECT_EQ(budget.looks_for(), budget.sleep_cost());
  EXPECT_EQ(budget.yields(), 4);
}

TEST(LookBudget, LateMessagesAreLookedForLess) {
  LookBudget budget;
  repeat(10, [&] { budget.found_later(1ms, true); });
  EXPECT_EQ(budget.looks_for(), budget.sleep_cost() / 8);
  EXPECT_EQ(budget.yields(), 0);

  LookBudget in_vain;
  repeat(10, [&] { in_vain.gave_up(1ms); });
  EXPECT_EQ(in_vain.looks_for(), budget.looks_for());
  LookBudget brief;  // a deadline of a moment says nothing
  repeat(10, [&] { brief.gave_up(1us); });
  EXPECT_EQ(brief.looks_for(), brief.sleep_cost());
}

TEST(LookBudget, AMessageThatCameSoonIsLookedForInFullAgain) {
  LookBudget budget;
  repeat(10, [&] { budget.found_later(1ms, true); });
  budget.found_later(10us, true);
  EXPECT_EQ(budget.looks_for(), budget.sleep_cost());
  EXPECT_EQ(budget.yields(), 4);
}

TEST(LookBudget, WhoseMessagesComeOnlyWhenItLetsGoStopsLooking) {
  LookBudget budget;
  repeat(3, [&] {
    EXPECT_EQ(budget.looks_for(), budget.sleep_cost());
    budget.found_later(21us, false);
  });
  int looks = 0;
  repeat(64, [&] {
    if (budget.looks_for() > 0us) ++looks;
    budget.found_later(21us, false);
  });
  EXPECT_EQ(looks, 1);
}

TEST(LookBudget, AndTakesItUpWhereLookingFindsSomething) {
  LookBudget budget;
  repeat(3, [&] { budget.found_later(21us, false); });
  while (budget.looks_for() == 0us) budget.found_later(5us, false);
  EXPECT_EQ(budget.looks_for(), budget.sleep_cost());
  budget.found_by_looking(5us);
  EXPECT_EQ(budget.looks_for(), budget.sleep_cost());
}

TEST(LookBudget, TheCostOfASleepIsWhatSleepsTake) {
  LookBudget budget;
  budget.slept(1ms, 2us);
  EXPECT_EQ(budget.sleep_cost(), 6us);  // its own, the publisher's, and the message's
  repeat(100, [&] { budget.slept(1ms, 4us); });
  EXPECT_EQ(budget.sleep_cost(), 12us);
  repeat(100, [&] { budget.slept(1s, 1ms); });
  EXPECT_EQ(budget.sleep_cost(), LookBudget::kMostCost);
  repeat(1000, [&] { budget.slept(1ms, 1ns); });
  EXPECT_EQ(budget.sleep_cost(), LookBudget::kLeastCost);
}

TEST(LookBudget, OneSleepUnlikeTheOthersMovesItByAnEighth) {
  LookBudget budget;
  budget.slept(1ms, 8us);
  budget.slept(1s, 100ms);  // a signal handler
  EXPECT_EQ(budget.sleep_cost(), 27us);
  budget.slept(1ms, 8us);
  EXPECT_EQ(budget.sleep_cost(), 24us);
}

TEST(LookBudget, SleepsThatWereNoneAreNotMeasured) {
  LookBudget budget;
  const Time before = budget.sleep_cost();
  budget.slept(1500ns, 1us);
  budget.slept(1ms, 0us);
  EXPECT_EQ(budget.sleep_cost(), before);
  int measured = 0;
  repeat(800, [&] { measured += budget.measures_next() ? 1 : 0; });
  EXPECT_EQ(measured, 8 + 99);
}

// A machine, in microseconds, and what waits cost there. Two cores, or one that both sides share:
// there a look finds nothing, and the message comes `gap` after we let go.
struct Machine {
  const char* name;
  double falls_asleep;  // of the sleeper's processor time, waking included
  double wakes;         // of the publisher's
  double late;          // the message, if we sleep
  double yields;        // one of them
  bool shared;

  [[nodiscard]] double sleep() const { return falls_asleep + wakes + late; }
  [[nodiscard]] double best(double gap) const {
    if (shared) return std::min(yields, sleep());
    return std::min(gap + 0.1, sleep());
  }
  // One wait; what it costs.
  double wait(LookBudget& budget, double gap) const {
    const double looked = static_cast<double>(budget.looks_for().count()) * 1e-3;
    if (!shared && gap <= looked) {
      budget.found_by_looking(time(gap));
      return gap + 0.1;
    }
    double cost = looked;
    for (int i = budget.yields(); i > 0; --i) {
      cost += yields;
      if (!shared && cost < gap) continue;
      budget.found_later(time(cost + (shared ? gap : 0)), false);
      return cost;
    }
    const double slept = std::max(shared ? gap : gap - cost, 0.0) + late + falls_asleep / 2;
    if (budget.measures_next()) budget.slept(time(slept + falls_asleep), time(falls_asleep));
    budget.found_later(time(cost + slept), true);
    return cost + sleep();
  }
  static Time time(double us) { return Time(std::llround(us * 1e3)); }
};

constexpr Machine kMachines[] = {
    {"fast", 1.0, 0.7, 2.0, 0.3, false},
    {"deep sleep", 2.5, 1.5, 60, 0.3, false},
    {"deepest sleep", 2.5, 1.5, 90, 0.3, false},
    {"virtual", 12, 10, 18, 0.5, false},
    {"virtual, cheap wakes", 15, 3, 8, 0.5, false},
    {"slow yields", 3, 2, 5, 1.5, false},
};
constexpr Machine kShared[] = {
    {"fast", 1.0, 0.5, 0.5, 1.0, true},
    {"virtual", 2.5, 1.5, 1.0, 2.0, true},
    {"dear sleeps", 6, 4, 2, 1.5, true},
};

// The cost of a wait, in times the best mode's, once it has been learned.
double ratio(const Machine& machine, double gap) {
  LookBudget budget;
  repeat(1000, [&] { machine.wait(budget, gap); });
  double cost = 0;
  constexpr int kWaits = 640;
  repeat(kWaits, [&] { cost += machine.wait(budget, gap); });
  return cost / kWaits / machine.best(gap);
}

TEST(LookBudget, NeverTwiceTheBestModeAtAnyGap) {
  for (const Machine& machine : kMachines) {
    for (double gap = 1; gap < 1.1e6; gap *= 1.1) {
      EXPECT_LE(ratio(machine, gap), 2.0) << machine.name << ", " << gap << " us";
    }
  }
}

TEST(LookBudget, NorOnOneCore) {
  for (const Machine& machine : kShared) {
    for (double gap = 0.1; gap < 1.1e6; gap *= 1.1) {
      EXPECT_LE(ratio(machine, gap), 2.0) << machine.name << ", " << gap << " us";
    }
  }
}

// Where gaps are not alike, two and a half times is the limit here; no less is promised.
constexpr double kMixed = 2.5;

// Some messages at short intervals, then a long silence.
TEST(LookBudget, NorMuchMoreInBursts) {
  for (const Machine& machine : kMachines) {
    for (const int length : {1, 2, 5, 20, 100, 1000}) {
      LookBudget budget;
      double cost = 0;
      double best = 0;
      repeat(200, [&] {
        repeat(length, [&] {
          cost += machine.wait(budget, 1.5);
          best += machine.best(1.5);
        });
        cost += machine.wait(budget, 10'000);
        best += machine.best(10'000);
      });
      EXPECT_LE(cost / best, kMixed) << machine.name << ", " << length;
    }
  }
}

// The better one of two fixed modes, over all of them.
TEST(LookBudget, NorWhereGapsAreRandom) {
  std::mt19937_64 random(1);
  for (const Machine& machine : kMachines) {
    for (double mean = 1; mean < 1.1e6; mean *= 2) {
      std::exponential_distribution<double> gaps(1 / mean);
      LookBudget budget;
      double cost = 0;
      double spinning = 0;
      double sleeping = 0;
      repeat(5000, [&] {
        const double gap = gaps(random);
        cost += machine.wait(budget, gap);
        spinning += gap + 0.1;
        sleeping += machine.sleep();
      });
      EXPECT_LE(cost / std::min(spinning, sleeping), kMixed) << machine.name << ", " << mean;
    }
  }
}

}  // namespace
}  // namespace rondo
