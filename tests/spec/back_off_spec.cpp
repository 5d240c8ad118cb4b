// Contract of BackOff. Each line has a test of the same name, in this order.
//   1. TheFirstStayIsOnePause
//   2. RacesLostSoonAfterAStayMakeItLonger
//   3. NoStayIsLongerThanTheMost
//   4. RacesLostNowAndThenMakeItShort
#include "rondo/core/back_off.hpp"

#include <gtest/gtest.h>

#include <cstdint>

namespace rondo {
namespace {

// Loses a race right after the last stay.
void lose_soon(BackOff& back_off, std::uint64_t& now) {
  now += back_off.ticks() + 1;
  back_off.lost_at(now);
  now += back_off.ticks();
}
// Loses one long after it.
void lose_late(BackOff& back_off, std::uint64_t& now) {
  now += 1'000 * (back_off.ticks() + 1);
  back_off.lost_at(now);
  now += back_off.ticks();
}

TEST(BackOff, TheFirstStayIsOnePause) {
  BackOff back_off(512);
  back_off.lost();
  EXPECT_EQ(back_off.pauses(), 1u);
}

TEST(BackOff, RacesLostSoonAfterAStayMakeItLonger) {
  if (cpu_ticks() == 0) GTEST_SKIP() << "no clock to tell soon from late";
  BackOff back_off(512);
  std::uint64_t now = cpu_ticks();
  back_off.lost_at(now);
  for (std::uint32_t expected = 2; expected <= 512; expected *= 2) {
    if (back_off.ticks() == 0) GTEST_SKIP() << "the clock is too coarse";
    lose_soon(back_off, now);
    EXPECT_EQ(back_off.pauses(), expected);
  }
}

TEST(BackOff, NoStayIsLongerThanTheMost) {
  BackOff back_off(8);
  std::uint64_t now = cpu_ticks();
  for (int i = 0; i < 20; ++i) {
    lose_soon(back_off, now);
    EXPECT_LE(back_off.pauses(), 8u);
  }
}

TEST(BackOff, RacesLostNowAndThenMakeItShort) {
  BackOff back_off(512);
  std::uint64_t now = cpu_ticks();
  for (int i = 0; i < 12; ++i) lose_soon(back_off, now);
  for (int i = 0; i < 10; ++i) lose_late(back_off, now);
  EXPECT_EQ(back_off.pauses(), 1u);
}

}  // namespace
}  // namespace rondo
