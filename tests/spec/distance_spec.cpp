// Contract of Distance and LineRelease. Each line has a test of the same name, in this order.
//
//  1. AnAwaitedMessageIsNeverDelayed
//  2. AStreamThatRunsDryStaysAwayOnce
//  3. SwitchedOffItNeverStaysAway
//  4. StaysGrowWhileTheyYieldLittleAndShrinkWhenTheyYieldMuch
//  5. AStayEndsWhenItHasYieldedEnough
//  6. FruitlessStaysMakeTheNextOneRarer
//  7. CountsMayPassTwoToTheSixtyFour
//  8. AStayThatYieldedNothingMakesTheNextOneDearer
//  9. SmallGiveBacksAndSmallRingsAreLeftAlone
// 10. ALapIsTriedTheOtherWayAndTheContentsStay
// 11. NoRingBeginsWithEviction
#include "rondo/core/distance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "rondo/core/line_release.hpp"

namespace rondo {
namespace {

TEST(Distance, AnAwaitedMessageIsNeverDelayed) {
  Distance distance(Steering::kOn);
  for (std::uint64_t messages = 0; messages < 100; ++messages) {
    EXPECT_FALSE(distance.stay_away(messages));
    EXPECT_FALSE(distance.stay_away(messages));
  }
}

TEST(Distance, AStreamThatRunsDryStaysAwayOnce) {
  Distance distance(Steering::kOn, 100);
  EXPECT_FALSE(distance.stay_away(100 + Distance::kStream));
  EXPECT_TRUE(distance.stay_away(200));
  EXPECT_FALSE(distance.stay_away(200));
  EXPECT_FALSE(distance.stay_away(201));
}

TEST(Distance, SwitchedOffItNeverStaysAway) {
  Distance distance(Steering::kOff);
  EXPECT_FALSE(distance.stay_away(1000));
}

TEST(Distance, StaysGrowWhileTheyYieldLittleAndShrinkWhenTheyYieldMuch) {
  Distance distance(Steering::kOn, 0, 100);
  std::uint64_t messages = 0;
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(distance.stay_away(messages += 20));
  EXPECT_EQ(distance.pauses(), Distance::kMaxPauses);
  EXPECT_TRUE(distance.stay_away(messages += 150));
  EXPECT_EQ(distance.pauses(), Distance::kMaxPauses);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(distance.stay_away(messages += 300));
  EXPECT_EQ(distance.pauses(), Distance::kMinPauses);
}

TEST(Distance, AStayEndsWhenItHasYieldedEnough) {
  Distance distance(Steering::kOn);
  int asked = 0;
  const auto never = [&] { return ++asked < 0; };
  std::uint64_t messages = 0;
  EXPECT_FALSE(distance.stay_away_until(messages += Distance::kStream, never));
  EXPECT_EQ(asked, 0);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(distance.stay_away_until(messages += 20, never));
  EXPECT_EQ(distance.pauses(), Distance::kMaxPauses);
  asked = 0;
  EXPECT_TRUE(distance.stay_away_until(messages += 20, [&] { return ++asked == 2; }));
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(distance.pauses(), 4 * 2 * Distance::kMinPauses);  // the next one's bound
}

TEST(Distance, FruitlessStaysMakeTheNextOneRarer) {
  Distance distance(Steering::kOn);
  std::uint64_t messages = 0;
  EXPECT_TRUE(distance.stay_away(messages += 16));  // a window of 16, then the sender waits for us
  EXPECT_FALSE(distance.stay_away(messages));
  EXPECT_FALSE(distance.stay_away(messages += 16));  // the next windows are not delayed
  EXPECT_FALSE(distance.stay_away(messages += 16));
  EXPECT_TRUE(distance.stay_away(messages += 100));  // a stream
  EXPECT_TRUE(distance.stay_away(messages += 100));  // and on it goes
  EXPECT_FALSE(distance.stay_away(messages));
  EXPECT_TRUE(distance.stay_away(messages += 17));  // what was fruitful is forgiven
}

TEST(Distance, CountsMayPassTwoToTheSixtyFour) {
  Distance distance(Steering::kOn, ~std::uint64_t{0} - 3);
  EXPECT_FALSE(distance.stay_away(2));
  EXPECT_TRUE(distance.stay_away(20));
}

TEST(Distance, AStayThatYieldedNothingMakesTheNextOneDearer) {
  Distance distance(Steering::kOn);
  std::uint64_t messages = Distance::kStream + 1;
  ASSERT_TRUE(distance.stay_away(messages));
  EXPECT_FALSE(distance.came_back_empty());
  EXPECT_FALSE(distance.stay_away(messages += Distance::kStream + 1));
  EXPECT_TRUE(distance.stay_away(messages += 2 * Distance::kStream + 1));
}

TEST(LineRelease, SmallGiveBacksAndSmallRingsAreLeftAlone) {
  alignas(64) static std::array<std::byte, 1 << 16> ring{};
  LineRelease single(Steering::kOn, ring.size());
  LineRelease small(Steering::kOn, 2048);
  LineRelease off(Steering::kOff, ring.size());
  for (int i = 0; i < 10000; ++i) {
    single.before_give_back(ring.data(), 0, 64);
    small.before_give_back(ring.data(), 0, 2048);
    off.before_give_back(ring.data(), 0, 8192);
    ASSERT_FALSE(single.releasing() || small.releasing() || off.releasing());
  }
}

TEST(LineRelease, ALapIsTriedTheOtherWayAndTheContentsStay) {
  alignas(64) static std::array<std::byte, 1 << 16> ring;
  for (std::size_t i = 0; i < ring.size(); ++i) ring[i] = static_cast<std::byte>(i * 7);
  LineRelease release(Steering::kOn, ring.size());
  bool released = false;
  bool kept = false;
  for (int i = 0; i < 1000; ++i) {
    release.before_give_back(ring.data(), static_cast<std::uint64_t>(i) * 24000 % ring.size(),
                             24000);
    released |= release.releasing();
    kept |= !release.releasing();
  }
  EXPECT_EQ(released, can_evict_lines());
  EXPECT_TRUE(kept);
  for (std::size_t i = 0; i < ring.size(); ++i) ASSERT_EQ(ring[i], static_cast<std::byte>(i * 7));
}

TEST(LineRelease, NoRingBeginsWithEviction) {
  alignas(64) static std::array<std::byte, LineRelease::kMinBytes> ring{};
  for (const int log2 : {12, 16, 20, 26}) {
    LineRelease release(Steering::kOn, std::uint64_t{1} << log2);
    release.before_give_back(ring.data(), 0, LineRelease::kMinBytes);
    EXPECT_FALSE(release.releasing()) << log2;
  }
}

}  // namespace
}  // namespace rondo
