// Contract of AbTuner. Each line has a test of the same name, in this order.
//
//  1. BeginsTheFirstWay
//  2. KeepsToTheFasterWay
//  3. TheFirstLapOfATrialTellsNothing
//  4. NearlyAsFastIsNotEnough
//  5. ATrialEndsAsSoonAsItHasFailed
//  6. TheDearerATrialTheLaterTheNextOne
//  7. AnInterruptedLapChangesNothing
//  8. AWayThatFallsIntoLockStepIsLeftAtOnce
//  9. RelapsesMakeTrialsRarer
// 10. APauseOfHoursInATrialMakesItADearOne
// 11. AClockThatGoesBackEndsNoTrial
#include "rondo/core/ab_tuner.hpp"

#include <gtest/gtest.h>

#include <cstdint>

namespace rondo {
namespace {

struct World {
  std::uint64_t time[2];  // of a lap, by way

  // Runs laps, of which each is cut short where that is possible. How many went the way `way`.
  int run(AbTuner& trials, int laps, bool way) const {
    int count = 0;
    for (int i = 0; i < laps; ++i) {
      count += trials.way() == way ? 1 : 0;
      lap(trials);
    }
    return count;
  }
  // Looks at the clock at each quarter. How many quarters the lap had.
  int lap(AbTuner& trials) const {
    const std::uint64_t whole = time[trials.way() ? 1 : 0];
    for (int quarter = 1; quarter < 4; ++quarter) {
      const auto taken = whole * static_cast<std::uint64_t>(quarter) / 4;
      if (trials.cut_short(taken, 0.25 * quarter)) return quarter;
    }
    trials.end_lap(whole);
    return 4;
  }
};

TEST(AbTuner, BeginsTheFirstWay) { EXPECT_FALSE(AbTuner().way()); }

TEST(AbTuner, KeepsToTheFasterWay) {
  for (const bool faster : {false, true}) {
    World world{{1000, 1000}};
    world.time[faster ? 1 : 0] = 500;
    AbTuner trials;
    EXPECT_GE(world.run(trials, 1000, faster), 970) << faster;
  }
}

TEST(AbTuner, TheFirstLapOfATrialTellsNothing) {
  AbTuner trials;
  while (!trials.way()) trials.end_lap(1000);
  trials.end_lap(9000);  // the lines were treated the other way
  EXPECT_TRUE(trials.way());
  trials.end_lap(500);
  for (std::uint32_t i = 1; i < AbTuner::kMinInterval; ++i) {
    EXPECT_TRUE(trials.way());
    trials.end_lap(500);
  }

  AbTuner lucky;
  while (!lucky.way()) lucky.end_lap(1000);
  lucky.end_lap(100);
  lucky.end_lap(1000);
  EXPECT_FALSE(lucky.way());
}

TEST(AbTuner, NearlyAsFastIsNotEnough) {
  AbTuner trials;
  EXPECT_LE((World{{1000, 900}}.run(trials, 1000, true)), 20);
  AbTuner enough;
  EXPECT_GE((World{{1000, 800}}.run(enough, 1000, true)), 970);
}

TEST(AbTuner, ATrialEndsAsSoonAsItHasFailed) {
  const World world{{1000, 8000}};
  AbTuner trials;
  while (!trials.way()) world.lap(trials);
  EXPECT_EQ(world.lap(trials), 3);  // 6000 for three, in the lap that tells nothing
  EXPECT_FALSE(trials.way());

  const World less{{1000, 3000}};
  AbTuner other;
  while (!other.way()) less.lap(other);
  EXPECT_EQ(less.lap(other), 4);
  EXPECT_TRUE(other.way());
  EXPECT_EQ(less.lap(other), 2);  // 1500 for two
  EXPECT_FALSE(other.way());
}

TEST(AbTuner, TheDearerATrialTheLaterTheNextOne) {
  const auto laps_to_second_trial = [](std::uint64_t wrong) {
    const World world{{1000, wrong}};
    AbTuner trials;
    while (!trials.way()) world.lap(trials);
    while (trials.way()) world.lap(trials);
    int laps = 0;
    for (; !trials.way(); ++laps) world.lap(trials);
    return laps;
  };
  EXPECT_EQ(laps_to_second_trial(1000), 4);  // twice as many as before the first one
  EXPECT_NEAR(laps_to_second_trial(2000), 128, 1);
  EXPECT_NEAR(laps_to_second_trial(4000), 384, 1);
  EXPECT_EQ(laps_to_second_trial(90000), AbTuner::kMaxInterval);
}

TEST(AbTuner, AnInterruptedLapChangesNothing) {
  const World world{{1000, 1500}};
  AbTuner trials;
  world.run(trials, 100, false);
  for (int i = 0; i < 200; ++i) {
    const bool way = trials.way();
    if (!way) trials.end_lap(1'000'000);
    // A trial may be due, but two laps in a row were not slow.
    if (trials.way()) {
      while (trials.way()) world.lap(trials);
    }
    world.lap(trials);
    world.lap(trials);
    EXPECT_TRUE(!trials.way() || !way);
  }
  EXPECT_GE(world.run(trials, 1000, false), 970);
}

TEST(AbTuner, AWayThatFallsIntoLockStepIsLeftAtOnce) {
  AbTuner trials;
  const World good{{600, 400}};
  EXPECT_GE(good.run(trials, 8, true), 4);
  ASSERT_TRUE(trials.way());
  trials.end_lap(2000);
  ASSERT_TRUE(trials.way());  // it may have been an interruption
  trials.end_lap(2000);
  EXPECT_FALSE(trials.way());
}

TEST(AbTuner, RelapsesMakeTrialsRarer) {
  // The other way is fast while it is tried, and slow ever after.
  AbTuner trials;
  std::uint32_t before = 0;
  for (int relapse = 0; relapse < 6; ++relapse) {
    std::uint32_t laps = 0;
    for (; !trials.way(); ++laps) trials.end_lap(600);
    EXPECT_GE(laps, before);
    before = laps;
    trials.end_lap(400);
    trials.end_lap(400);
    int slow = 0;
    for (; trials.way(); ++slow) trials.end_lap(2000);
    EXPECT_LE(slow, 2);
  }
  EXPECT_EQ(before, AbTuner::kMaxInterval);
}

// A process that was stopped early in a lap of a large ring: what the whole lap would take is more
// than any integer.
TEST(AbTuner, APauseOfHoursInATrialMakesItADearOne) {
  constexpr std::uint64_t kHours = 50'000'000'000'000;  // in ticks
  AbTuner trials;
  while (!trials.way()) trials.end_lap(1000);
  EXPECT_TRUE(trials.cut_short(kHours, 0x1p-34));
  std::uint32_t laps = 0;
  for (; !trials.way(); ++laps) trials.end_lap(1000);
  EXPECT_EQ(laps, AbTuner::kMaxInterval);
}

// The difference to a later time is any large number.
TEST(AbTuner, AClockThatGoesBackEndsNoTrial) {
  AbTuner trials;
  trials.end_lap(1000);
  trials.end_lap(std::uint64_t{1} << 62);
  ASSERT_TRUE(trials.way());
  EXPECT_FALSE(trials.cut_short(500, 0.5));
  EXPECT_TRUE(trials.way());
}

}  // namespace
}  // namespace rondo
