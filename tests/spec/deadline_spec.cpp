// Contract of Deadline. Each line has a test of the same name, in this order.
//  1. ADefaultDeadlineNeverPasses
//  2. NowHasPassedAlready
//  3. AfterZeroOrLessHasPassed
//  4. AfterALongTimeHasNotPassed
//  5. ADurationBeyondTheClockIsNever
//  6. PassesOnceItsTimeHasCome
//  7. RemainingCountsDownToZero
//  8. FractionsAreRoundedUpAndNotAway
//  9. TheEarlierOfTwoIsChosen
#include "rondo/sync/deadline.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace rondo {
namespace {

using namespace std::chrono_literals;
using Clock = Deadline::Clock;

TEST(Deadline, ADefaultDeadlineNeverPasses) {
  const Deadline deadline;
  EXPECT_EQ(deadline, Deadline::never());
  EXPECT_TRUE(deadline.is_never());
  EXPECT_FALSE(deadline.passed());
  EXPECT_FALSE(deadline.passed_at(Clock::time_point::max()));
  EXPECT_EQ(deadline.remaining(), Clock::duration::max());
}

TEST(Deadline, NowHasPassedAlready) {
  const Deadline deadline = Deadline::now();
  EXPECT_TRUE(deadline.passed());
  EXPECT_TRUE(deadline.passed_at(Clock::time_point::min()));
  EXPECT_EQ(deadline.remaining(), Clock::duration::zero());
}

TEST(Deadline, AfterZeroOrLessHasPassed) {
  EXPECT_TRUE(Deadline::after(0ns).passed());
  EXPECT_TRUE(Deadline::after(-1ns).passed());
  EXPECT_TRUE(Deadline::after(std::chrono::hours::min()).passed());
  EXPECT_TRUE(Deadline::after(std::chrono::duration<double>(-1e300)).passed());
  EXPECT_TRUE(Deadline::after(std::chrono::duration<double>(std::nan(""))).passed());
}

TEST(Deadline, AfterALongTimeHasNotPassed) {
  const Deadline deadline = Deadline::after(24h);
  EXPECT_FALSE(deadline.passed());
  EXPECT_FALSE(deadline.is_never());
  EXPECT_GT(deadline.remaining(), 23h);
  EXPECT_LE(deadline.remaining(), 24h);
}

TEST(Deadline, ADurationBeyondTheClockIsNever) {
  EXPECT_TRUE(Deadline::after(std::chrono::hours::max()).is_never());
  EXPECT_TRUE(Deadline::after(std::chrono::nanoseconds::max()).is_never());
  EXPECT_TRUE(Deadline::after(std::chrono::duration<double>(1e300)).is_never());
  EXPECT_TRUE(
      Deadline::after(std::chrono::duration<double>(std::numeric_limits<double>::infinity()))
          .is_never());
}

TEST(Deadline, PassesOnceItsTimeHasCome) {
  const Clock::time_point time = Clock::now() + 1ms;
  const Deadline deadline = Deadline::at(time);
  EXPECT_FALSE(deadline.passed_at(time - 1ns));
  EXPECT_TRUE(deadline.passed_at(time));
  while (Clock::now() < time) {
  }
  EXPECT_TRUE(deadline.passed());
}

TEST(Deadline, RemainingCountsDownToZero) {
  EXPECT_EQ(Deadline::at(Clock::now() - 1s).remaining(), Clock::duration::zero());
  const Deadline deadline = Deadline::after(1h);
  const auto first = deadline.remaining();
  while (deadline.remaining() == first) {
  }
  EXPECT_LT(deadline.remaining(), first);
}

TEST(Deadline, FractionsAreRoundedUpAndNotAway) {
  using Picoseconds = std::chrono::duration<std::int64_t, std::pico>;
  const Clock::time_point before = Clock::now();
  EXPECT_GT(Deadline::after(Picoseconds(1)).time(), before);
}

TEST(Deadline, TheEarlierOfTwoIsChosen) {
  const Deadline soon = Deadline::after(1s);
  const Deadline late = Deadline::after(1h);
  EXPECT_EQ(earlier(soon, late), soon);
  EXPECT_EQ(earlier(late, soon), soon);
  EXPECT_EQ(earlier(soon, Deadline::never()), soon);
  EXPECT_EQ(earlier(soon, Deadline::now()), Deadline::now());
}

}  // namespace
}  // namespace rondo
