// Contract of Pacer and CacheLineEvictor. Each line has a test of the same name, in this order.
//
//  1. AnAwaitedMessageIsNeverDelayed
//  2. AStreamThatRunsDryIsPacedOnce
//  3. SwitchedOffItNeverPauses
//  4. PausesGrowWhileTheyYieldLittleAndShrinkWhenTheyYieldMuch
//  5. APauseEndsWhenItHasYieldedEnough
//  6. FruitlessPausesMakeTheNextOneRarer
//  7. CountsMayPassTwoToTheSixtyFour
//  8. AStayThatYieldedNothingMakesTheNextOneDearer
//  9. SmallGiveBacksAndSmallRingsAreLeftAlone
// 10. ALapIsTriedTheOtherWayAndTheContentsStay
// 11. NoRingBeginsWithEviction
#include "rondo/core/pacer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "rondo/core/cache_line_evictor.hpp"

namespace rondo {
namespace {

TEST(Pacer, AnAwaitedMessageIsNeverDelayed) {
  Pacer pacer(Pacing::kOn);
  for (std::uint64_t messages = 0; messages < 100; ++messages) {
    EXPECT_FALSE(pacer.pace(messages));
    EXPECT_FALSE(pacer.pace(messages));
  }
}

TEST(Pacer, AStreamThatRunsDryIsPacedOnce) {
  Pacer pacer(Pacing::kOn, 100);
  EXPECT_FALSE(pacer.pace(100 + Pacer::kStream));
  EXPECT_TRUE(pacer.pace(200));
  EXPECT_FALSE(pacer.pace(200));
  EXPECT_FALSE(pacer.pace(201));
}

TEST(Pacer, SwitchedOffItNeverPauses) {
  Pacer pacer(Pacing::kOff);
  EXPECT_FALSE(pacer.pace(1000));
}

TEST(Pacer, PausesGrowWhileTheyYieldLittleAndShrinkWhenTheyYieldMuch) {
  Pacer pacer(Pacing::kOn, 0, 100);
  std::uint64_t messages = 0;
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(pacer.pace(messages += 20));
  EXPECT_EQ(pacer.pauses(), Pacer::kMaxPauses);
  EXPECT_TRUE(pacer.pace(messages += 150));
  EXPECT_EQ(pacer.pauses(), Pacer::kMaxPauses);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(pacer.pace(messages += 300));
  EXPECT_EQ(pacer.pauses(), Pacer::kMinPauses);
}

TEST(Pacer, APauseEndsWhenItHasYieldedEnough) {
  Pacer pacer(Pacing::kOn);
  int asked = 0;
  const auto never = [&] { return ++asked < 0; };
  std::uint64_t messages = 0;
  EXPECT_FALSE(pacer.pace_until(messages += Pacer::kStream, never));
  EXPECT_EQ(asked, 0);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(pacer.pace_until(messages += 20, never));
  EXPECT_EQ(pacer.pauses(), Pacer::kMaxPauses);
  asked = 0;
  EXPECT_TRUE(pacer.pace_until(messages += 20, [&] { return ++asked == 2; }));
  EXPECT_EQ(asked, 2);
  EXPECT_EQ(pacer.pauses(), 4 * 2 * Pacer::kMinPauses);  // the next one's bound
}

TEST(Pacer, FruitlessPausesMakeTheNextOneRarer) {
  Pacer pacer(Pacing::kOn);
  std::uint64_t messages = 0;
  EXPECT_TRUE(pacer.pace(messages += 16));  // a window of 16, then the sender waits for us
  EXPECT_FALSE(pacer.pace(messages));
  EXPECT_FALSE(pacer.pace(messages += 16));  // the next windows are not delayed
  EXPECT_FALSE(pacer.pace(messages += 16));
  EXPECT_TRUE(pacer.pace(messages += 100));  // a stream
  EXPECT_TRUE(pacer.pace(messages += 100));  // and on it goes
  EXPECT_FALSE(pacer.pace(messages));
  EXPECT_TRUE(pacer.pace(messages += 17));  // what was fruitful is forgiven
}

TEST(Pacer, CountsMayPassTwoToTheSixtyFour) {
  Pacer pacer(Pacing::kOn, ~std::uint64_t{0} - 3);
  EXPECT_FALSE(pacer.pace(2));
  EXPECT_TRUE(pacer.pace(20));
}

TEST(Pacer, AStayThatYieldedNothingMakesTheNextOneDearer) {
  Pacer pacer(Pacing::kOn);
  std::uint64_t messages = Pacer::kStream + 1;
  ASSERT_TRUE(pacer.pace(messages));
  EXPECT_FALSE(pacer.came_back_empty());
  EXPECT_FALSE(pacer.pace(messages += Pacer::kStream + 1));
  EXPECT_TRUE(pacer.pace(messages += 2 * Pacer::kStream + 1));
}

TEST(CacheLineEvictor, SmallGiveBacksAndSmallRingsAreLeftAlone) {
  alignas(64) static std::array<std::byte, 1 << 16> ring{};
  CacheLineEvictor single(Pacing::kOn, ring.size());
  CacheLineEvictor small(Pacing::kOn, 2048);
  CacheLineEvictor off(Pacing::kOff, ring.size());
  for (int i = 0; i < 10000; ++i) {
    single.before_give_back(ring.data(), 0, 64);
    small.before_give_back(ring.data(), 0, 2048);
    off.before_give_back(ring.data(), 0, 8192);
    ASSERT_FALSE(single.evicting() || small.evicting() || off.evicting());
  }
}

TEST(CacheLineEvictor, ALapIsTriedTheOtherWayAndTheContentsStay) {
  alignas(64) static std::array<std::byte, 1 << 16> ring;
  for (std::size_t i = 0; i < ring.size(); ++i) ring[i] = static_cast<std::byte>(i * 7);
  CacheLineEvictor release(Pacing::kOn, ring.size());
  bool released = false;
  bool kept = false;
  for (int i = 0; i < 1000; ++i) {
    release.before_give_back(ring.data(), static_cast<std::uint64_t>(i) * 24000 % ring.size(),
                             24000);
    released |= release.evicting();
    kept |= !release.evicting();
  }
  EXPECT_EQ(released, can_evict_lines());
  EXPECT_TRUE(kept);
  for (std::size_t i = 0; i < ring.size(); ++i) ASSERT_EQ(ring[i], static_cast<std::byte>(i * 7));
}

TEST(CacheLineEvictor, NoRingBeginsWithEviction) {
  alignas(64) static std::array<std::byte, CacheLineEvictor::kMinBytes> ring{};
  for (const int log2 : {12, 16, 20, 26}) {
    CacheLineEvictor release(Pacing::kOn, std::uint64_t{1} << log2);
    release.before_give_back(ring.data(), 0, CacheLineEvictor::kMinBytes);
    EXPECT_FALSE(release.evicting()) << log2;
  }
}

}  // namespace
}  // namespace rondo
