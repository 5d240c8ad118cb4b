// Contract of Watermark and HeldBack, in a time of the test's own. Each line has a test of the same
// name, in this order.
//   1. AsItIsMadeEachPublishIsDue
//   2. SoManyMessagesAreDue
//   3. SoManyBytesAreDue
//   4. TheFirstIsDueAfterItsTime
//   5. TheFirstLimitCounts
//   6. ItCountsFromTheFirstThatIsHeldBack
//   7. BehindItsEndItBeginsAnew
//   8. CountsWrap
//   9. WakingEachEndsTheWatermark
#include "rondo/sync/watermark.hpp"

#include <gtest/gtest.h>

namespace rondo {
namespace {

using namespace std::chrono_literals;

struct TestClock {
  using duration = std::chrono::nanoseconds;
  using time_point = std::chrono::time_point<TestClock, duration>;
  static time_point now() noexcept {
    ++looks;
    return time_point(time);
  }
  static inline duration time{};
  static inline int looks = 0;
};
using Held = BasicHeldBack<TestClock>;

TEST(HeldBack, AsItIsMadeEachPublishIsDue) {
  Held held;
  EXPECT_FALSE(held.any());
  held.begin({7, 70});
  EXPECT_TRUE(held.any());
  EXPECT_EQ(held.before().messages, 7u);
  EXPECT_TRUE(held.due({8, 71}));
  held.end();
  EXPECT_FALSE(held.any());
}

TEST(HeldBack, SoManyMessagesAreDue) {
  Held held(Watermark{.messages = 3});
  held.begin({10, 0});
  EXPECT_FALSE(held.due({11, 1'000'000}));
  EXPECT_FALSE(held.due({12, 2'000'000}));
  EXPECT_TRUE(held.due({13, 3'000'000}));
  EXPECT_TRUE(held.due({14, 4'000'000}));
}

TEST(HeldBack, SoManyBytesAreDue) {
  Held held(Watermark{.messages = Watermark::kUnlimited, .bytes = 100});
  held.begin({0, 50});
  EXPECT_FALSE(held.due({1'000, 149}));
  EXPECT_TRUE(held.due({1'001, 150}));
}

TEST(HeldBack, TheFirstIsDueAfterItsTime) {
  Held held(Watermark{.messages = Watermark::kUnlimited, .after = 100us});
  TestClock::time = 1ms;
  held.begin({0, 0});
  TestClock::time += 60us;
  held.begin({1, 0});  // no other first one
  EXPECT_FALSE(held.due({2, 0}));
  TestClock::time += 40us - 1ns;
  EXPECT_FALSE(held.due({2, 0}));
  TestClock::time += 1ns;
  EXPECT_TRUE(held.due({2, 0}));

  // Who has no such limit does not look at the clock.
  const int looks = TestClock::looks;
  Held untimed(Watermark{.messages = 3, .bytes = 100});
  untimed.begin({0, 0});
  EXPECT_FALSE(untimed.due({1, 0}));
  EXPECT_EQ(TestClock::looks, looks);
}

TEST(HeldBack, TheFirstLimitCounts) {
  const Watermark watermark{.messages = 3, .bytes = 100, .after = 1us};
  for (const Published& enough : {Published{3, 0}, Published{1, 100}}) {
    Held held(watermark);
    held.begin({});
    EXPECT_FALSE(held.due({2, 99}));
    EXPECT_TRUE(held.due(enough));
  }
  Held held(watermark);
  held.begin({});
  TestClock::time += 1us;
  EXPECT_TRUE(held.due({1, 1}));
}

TEST(HeldBack, ItCountsFromTheFirstThatIsHeldBack) {
  Held held(Watermark{.messages = 3});
  held.begin({10, 0});
  held.begin({11, 0});
  held.begin({12, 0});
  EXPECT_EQ(held.before().messages, 10u);
  EXPECT_TRUE(held.due({13, 0}));
}

TEST(HeldBack, BehindItsEndItBeginsAnew) {
  Held held(Watermark{.messages = 3});
  held.begin({10, 0});
  held.end();
  held.begin({12, 0});
  EXPECT_EQ(held.before().messages, 12u);
  EXPECT_FALSE(held.due({14, 0}));
  EXPECT_TRUE(held.due({15, 0}));
}

TEST(HeldBack, CountsWrap) {
  Held held(Watermark{.messages = 3, .bytes = 100});
  held.begin(Published{0, 0} - Published{1, 50});
  EXPECT_FALSE(held.due({1, 49}));
  EXPECT_TRUE(held.due({2, 49}));
  EXPECT_TRUE(held.due({1, 50}));
}

TEST(HeldBack, WakingEachEndsTheWatermark) {
  Held held(Watermark{.messages = 3, .after = 1h});
  held.begin({});
  EXPECT_FALSE(held.due({1, 0}));
  held.wake_each();
  EXPECT_TRUE(held.any());
  EXPECT_TRUE(held.due({1, 0}));
}

}  // namespace
}  // namespace rondo
