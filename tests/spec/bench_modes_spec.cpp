// The contract of bench/support/modes.hpp: what the benchmarks call near and far.
//
//   OneValueIsOneMode           a machine that never moves the cores: all samples are near
//   AModeMayLieAnywhere         at 60, 105, 252 or 900 ns: no bound of one machine
//   TwoModesAreNearAndFar       and a sample that began in one and ended in the other has moved
//   ThreeModesHaveSiblings      the first of three is closer than two cores can be
//   TwoModesHaveNoSiblings      unless the system says so
//   OutliersAreNoMode           neither single ones, nor a smear of them between two modes
//   ARareModeIsFound            one probe in twenty
//   DriftIsOneMode              slow change without a valley
//   NeighboursAreOneMode        two peaks a quarter apart would not mislead about each other
//   AFewProbesWillDo            a short run
//   NothingIsUnclear            no probes, broken ones
//   TheFirstNearCoreIsChosen    of several, in their order, and no thread of the same core
#include "../../bench/support/modes.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace rondo::bench {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// The same in every run: what is tested is a rule, not luck.
class Probing {
 public:
  // `spread`: a standard deviation, as a share of the value. Disturbances only ever add to a probe,
  // so the tail is on the right.
  Probing& around(double centre, std::size_t count, double spread = 0.04) {
    std::lognormal_distribution<double> noise(0, spread);
    std::exponential_distribution<double> tail(1 / spread);
    for (std::size_t i = 0; i < count; ++i) {
      values.push_back(centre * (noise(random_) + tail(random_) / 2));
    }
    return *this;
  }
  // Evenly in the logarithm.
  Probing& between(double low, double high, std::size_t count) {
    std::uniform_real_distribution<double> exponent(std::log(low), std::log(high));
    for (std::size_t i = 0; i < count; ++i) values.push_back(std::exp(exponent(random_)));
    return *this;
  }
  std::vector<double> values;

 private:
  std::mt19937 random_{7};
};

std::vector<Placement> names(const Modes& modes) {
  std::vector<Placement> names;
  for (const Mode& mode : modes.all()) names.push_back(mode.name);
  return names;
}

// The share of these probes that the mode `name` has.
double share(const Modes& modes, const std::vector<double>& probes, Placement name) {
  double hits = 0;
  for (const double probe : probes) hits += modes.of({probe, probe}) == name ? 1 : 0;
  return hits / static_cast<double>(probes.size());
}

TEST(BenchModes, OneValueIsOneMode) {
  const auto probes = Probing().around(252, 400).values;
  const Modes modes(probes, false);
  EXPECT_THAT(names(modes), ElementsAre(Placement::kNear));
  EXPECT_GT(share(modes, probes, Placement::kNear), 0.95);
}

TEST(BenchModes, AModeMayLieAnywhere) {
  for (const double centre : {60.0, 105.0, 252.0, 900.0}) {
    const auto probes = Probing().around(centre, 100).values;
    const Modes modes(probes, false);
    ASSERT_THAT(names(modes), ElementsAre(Placement::kNear)) << centre;
    EXPECT_NEAR(modes.all()[0].centre, centre, centre * 0.1);
    EXPECT_GT(share(modes, probes, Placement::kNear), 0.9) << centre;
  }
}

TEST(BenchModes, TwoModesAreNearAndFar) {
  const Modes modes(Probing().around(105, 300).around(495, 200).values, false);
  EXPECT_THAT(names(modes), ElementsAre(Placement::kNear, Placement::kFar));
  EXPECT_EQ(modes.of({104, 106}), Placement::kNear);
  EXPECT_EQ(modes.of({500, 520}), Placement::kFar);
  EXPECT_EQ(modes.of({104, 500}), Placement::kMoved);
  EXPECT_EQ(modes.of({500, 104}), Placement::kMoved);
  EXPECT_EQ(modes.of({104, 5000}), Placement::kUnclear);
  EXPECT_EQ(modes.of({220, 220}), Placement::kUnclear);
}

TEST(BenchModes, ThreeModesHaveSiblings) {
  const Modes modes(Probing().around(48, 100).around(105, 300).around(495, 200).values, false);
  EXPECT_THAT(names(modes), ElementsAre(Placement::kSiblings, Placement::kNear, Placement::kFar));
  EXPECT_EQ(modes.of({48, 49}), Placement::kSiblings);
  EXPECT_EQ(modes.of({105, 106}), Placement::kNear);
}

TEST(BenchModes, TwoModesHaveNoSiblings) {
  const auto probes = Probing().around(48, 100).around(105, 300).values;
  EXPECT_THAT(names(Modes(probes, false)), ElementsAre(Placement::kNear, Placement::kFar));
  EXPECT_THAT(names(Modes(probes, true)), ElementsAre(Placement::kSiblings, Placement::kNear));
  EXPECT_THAT(names(Modes(Probing().around(48, 100).values, true)),
              ElementsAre(Placement::kSiblings));
}

TEST(BenchModes, OutliersAreNoMode) {
  const auto single = Probing().around(252, 200).between(2'000, 900'000, 10).values;
  EXPECT_THAT(names(Modes(single, false)), ElementsAre(Placement::kNear));

  const auto smeared = Probing().around(105, 700).around(495, 200).between(100, 600, 150).values;
  const Modes modes(smeared, false);
  EXPECT_THAT(names(modes), ElementsAre(Placement::kNear, Placement::kFar));
  EXPECT_EQ(modes.of({105, 495}), Placement::kMoved);
}

TEST(BenchModes, ARareModeIsFound) {
  const Modes modes(Probing().around(105, 950).around(495, 50).values, false);
  EXPECT_THAT(names(modes), ElementsAre(Placement::kNear, Placement::kFar));
}

TEST(BenchModes, DriftIsOneMode) {
  std::vector<double> probes;
  for (int i = 0; i < 500; ++i) probes.push_back(200 + 0.4 * i);
  const Modes modes(probes, false);
  EXPECT_THAT(names(modes), ElementsAre(Placement::kNear));
  EXPECT_EQ(share(modes, probes, Placement::kNear), 1);
}

TEST(BenchModes, NeighboursAreOneMode) {
  const Modes modes(Probing().around(240, 100, 0.01).around(300, 100, 0.01).values, false);
  EXPECT_THAT(names(modes), ElementsAre(Placement::kNear));
  EXPECT_EQ(modes.of({240, 300}), Placement::kNear);
}

TEST(BenchModes, AFewProbesWillDo) {
  EXPECT_THAT(names(Modes({250, 252, 251, 255, 260, 249}, false)), ElementsAre(Placement::kNear));
  EXPECT_THAT(names(Modes({100, 101, 103, 104, 500, 501, 505, 510}, false)),
              ElementsAre(Placement::kNear, Placement::kFar));
}

TEST(BenchModes, NothingIsUnclear) {
  EXPECT_THAT(names(Modes()), IsEmpty());
  EXPECT_EQ(Modes().of({100, 100}), Placement::kUnclear);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(names(Modes({nan, nan, nan, nan, nan, 0, 0, 0, 0, 0, -1}, false)), IsEmpty());
  EXPECT_EQ(Modes({100, 101, 102, 103}, false).of({nan, 100}), Placement::kUnclear);
}

TEST(BenchModes, TheFirstNearCoreIsChosen) {
  const auto probed = [](double ns) {
    return std::vector<double>{ns, ns * 1.02, ns * 1.01, ns * 1.03, 9 * ns};
  };
  const auto none = [](std::size_t cores) { return std::vector<bool>(cores, false); };

  EXPECT_EQ(choose_near({probed(505), probed(102), probed(101), probed(500)}, none(4)), 1u);
  EXPECT_EQ(choose_near({probed(250)}, none(1)), 0u);
  // A thread of the same core, which the system tells, or which is half as far as near is.
  EXPECT_EQ(choose_near({probed(40), probed(102), probed(500)}, {true, false, false}), 1u);
  EXPECT_EQ(choose_near({probed(40), probed(500), probed(102)}, none(3)), 2u);
  EXPECT_EQ(choose_near({probed(40)}, {true}), 0u);
  EXPECT_EQ(choose_near({}, {}), 0u);
}

}  // namespace
}  // namespace rondo::bench
