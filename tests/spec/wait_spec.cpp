// Contract of WaitStrategy. Each line has a test of the same name, in this order.
//  1. WhatIsReadyIsNotWaitedFor
//  2. APassedDeadlineLooksButDoesNotWait
//  3. NoModeEndsBeforeItsDeadline
//  4. EveryModeFindsWhatBecomesReady
//  5. EveryModeNoticesThatThePeerIsGone
//  6. WhatAPeerPublishedBeforeItDiedIsDelivered
//  7. ThePeerIsAskedForBeforeTheFirstSleep
//  8. WhoHasJustAskedSleepsAtOnceAndAsksInTime
//  9. AWaitTooShortToAskAsksAtItsEnd
// 10. TheStopFlagEndsEveryWait
// 11. OnlyTheParkingModesSleep
// 12. NoSleepOutlastsDeadlineOrProbe
// 13. TheAdaptiveModeLooksForLessAfterLongWaits
// 14. ModesAreParsedByName
#include "rondo/sync/wait.hpp"

#include <vector>

#include "support/doorbell_fixture.hpp"

namespace rondo {
namespace {

using namespace std::chrono_literals;
using Clock = Deadline::Clock;

constexpr WaitMode kModes[] = {WaitMode::kSpin, WaitMode::kPause, WaitMode::kYield,
                               WaitMode::kAdaptive, WaitMode::kPark};

// Sleeps for no time and keeps what it was asked.
struct NotingBell {
  template <class Ready>
  bool sleep_once(Ready&& ready, Deadline deadline) {
    deadlines.push_back(deadline);
    return ready();
  }
  std::vector<Deadline> deadlines;
};

const auto kPeerLives = [] { return false; };
const auto kNeverReady = [] { return false; };

class Wait : public testing::Watchdog {
 protected:
  NotingBell bell;
};

TEST_F(Wait, WhatIsReadyIsNotWaitedFor) {
  for (const WaitMode mode : kModes) {
    int looks = 0;
    int probes = 0;
    EXPECT_EQ(
        WaitStrategy(mode).wait(
            bell, Deadline::now(), [&] { return ++looks == 1; }, [&] { return ++probes > 0; }),
        WaitResult::kReady);
    EXPECT_EQ(looks, 1);
    EXPECT_EQ(probes, 0);
  }
  EXPECT_TRUE(bell.deadlines.empty());
}

TEST_F(Wait, APassedDeadlineLooksButDoesNotWait) {
  for (const WaitMode mode : kModes) {
    for (const Deadline deadline : {Deadline::now(), Deadline::at(Clock::now() - 1h)}) {
      int looks = 0;
      EXPECT_EQ(WaitStrategy(mode).wait(
                    bell, deadline,
                    [&] {
                      ++looks;
                      return false;
                    },
                    kPeerLives),
                WaitResult::kTimedOut);
      EXPECT_EQ(looks, 2);
    }
  }
  EXPECT_TRUE(bell.deadlines.empty());
}

TEST_F(Wait, NoModeEndsBeforeItsDeadline) {
  for (const WaitMode mode : kModes) {
    const Deadline deadline = Deadline::after(2ms);
    EXPECT_EQ(WaitStrategy(mode).wait(bell, deadline, kNeverReady, kPeerLives),
              WaitResult::kTimedOut);
    EXPECT_TRUE(deadline.passed());
  }
}

TEST_F(Wait, EveryModeFindsWhatBecomesReady) {
  for (const WaitMode mode : kModes) {
    for (const int after : {2, 3, 65, 300, 5000}) {
      int looks = 0;
      EXPECT_EQ(WaitStrategy(mode).wait(
                    bell, Deadline::never(), [&] { return ++looks >= after; }, kPeerLives),
                WaitResult::kReady);
      EXPECT_EQ(looks, after);
    }
  }
}

TEST_F(Wait, EveryModeNoticesThatThePeerIsGone) {
  for (const WaitMode mode : kModes) {
    EXPECT_EQ(WaitStrategy(mode).wait(bell, Deadline::never(), kNeverReady, [] { return true; }),
              WaitResult::kPeerGone);
  }
}

TEST_F(Wait, WhatAPeerPublishedBeforeItDiedIsDelivered) {
  for (const WaitMode mode : kModes) {
    bool published = false;
    EXPECT_EQ(
        WaitStrategy(mode).wait(
            bell, Deadline::never(), [&] { return published; }, [&] { return published = true; }),
        WaitResult::kReady);
  }
}

TEST_F(Wait, ThePeerIsAskedForBeforeTheFirstSleep) {
  for (const WaitMode mode : {WaitMode::kAdaptive, WaitMode::kPark}) {
    NotingBell fresh;
    EXPECT_EQ(WaitStrategy(mode).wait(fresh, Deadline::never(), kNeverReady, [] { return true; }),
              WaitResult::kPeerGone);
    EXPECT_TRUE(fresh.deadlines.empty());
  }
}

TEST_F(Wait, WhoHasJustAskedSleepsAtOnceAndAsksInTime) {
  for (const WaitMode mode : {WaitMode::kAdaptive, WaitMode::kPark}) {
    WaitStrategy strategy(mode);
    Clock::time_point asked{};
    EXPECT_EQ(strategy.wait(bell, Deadline::after(1ms), kNeverReady,
                            [&] {
                              asked = Clock::now();
                              return false;
                            }),
              WaitResult::kTimedOut);
    // A second wait: not before an interval has passed, and no sleep is longer than that.
    NotingBell second;
    const Clock::time_point first_ended = Clock::now();
    EXPECT_EQ(strategy.wait(second, Deadline::never(), kNeverReady,
                            [&] {
                              asked = Clock::now();
                              return true;
                            }),
              WaitResult::kPeerGone);
    if (second.deadlines.empty()) continue;  // the machine stood still for an interval
    EXPECT_GE(asked, second.deadlines.front().time());
    EXPECT_LE(second.deadlines.front().time(), first_ended + WaitStrategy::kProbeInterval);
  }
}

TEST_F(Wait, AWaitTooShortToAskAsksAtItsEnd) {
  for (const WaitMode mode : kModes) {
    EXPECT_EQ(WaitStrategy(mode).wait(bell, Deadline::after(1ns), kNeverReady, [] { return true; }),
              WaitResult::kPeerGone);
    bool room = false;
    EXPECT_EQ(WaitStrategy(mode).wait(
                  bell, Deadline::after(1ns), [&] { return room; },
                  [&] {
                    room = true;
                    return false;
                  }),
              WaitResult::kReady);
    // A call that does not wait at all is not kept by the kernel either.
    EXPECT_EQ(WaitStrategy(mode).wait(bell, Deadline::now(), kNeverReady, [] { return true; }),
              WaitResult::kTimedOut);
  }
}

TEST_F(Wait, TheStopFlagEndsEveryWait) {
  for (const WaitMode mode : kModes) {
    std::atomic<bool> stop{false};
    int looks = 0;
    const auto look = [&] {
      if (++looks == 400) stop = true;
      return false;
    };
    EXPECT_EQ(WaitStrategy(mode, &stop).wait(bell, Deadline::never(), look, kPeerLives),
              WaitResult::kInterrupted);
    EXPECT_EQ(WaitStrategy(mode, &stop).wait(bell, Deadline::never(), kNeverReady, kPeerLives),
              WaitResult::kInterrupted);
    EXPECT_EQ(WaitStrategy(mode, &stop)
                  .wait(
                      bell, Deadline::never(), [] { return true; }, kPeerLives),
              WaitResult::kReady);
  }
}

TEST_F(Wait, OnlyTheParkingModesSleep) {
  for (const WaitMode mode : kModes) {
    NotingBell fresh;
    const bool parks = mode == WaitMode::kPark || mode == WaitMode::kAdaptive;
    // On a busy machine the deadline may pass before it comes to sleeping.
    do {
      EXPECT_EQ(WaitStrategy(mode).wait(fresh, Deadline::after(1ms), kNeverReady, kPeerLives),
                WaitResult::kTimedOut);
    } while (parks && fresh.deadlines.empty());
    EXPECT_EQ(fresh.deadlines.empty(), !parks) << to_string(mode);
  }
}

TEST_F(Wait, NoSleepOutlastsDeadlineOrProbe) {
  for (const WaitMode mode : {WaitMode::kAdaptive, WaitMode::kPark}) {
    NotingBell fresh;
    const Clock::time_point start = Clock::now();
    Clock::time_point asked{};
    int probes = 0;
    EXPECT_EQ(WaitStrategy(mode).wait(fresh, Deadline::never(), kNeverReady,
                                      [&] {
                                        asked = Clock::now();
                                        return ++probes == 2;
                                      }),
              WaitResult::kPeerGone);
    EXPECT_GE(asked - start, WaitStrategy::kProbeInterval);
    for (const Deadline deadline : fresh.deadlines) EXPECT_LE(deadline.time(), asked);

    NotingBell brief;
    const Deadline soon = Deadline::after(1ms);
    EXPECT_EQ(WaitStrategy(mode).wait(brief, soon, kNeverReady, kPeerLives), WaitResult::kTimedOut);
    for (const Deadline deadline : brief.deadlines) EXPECT_EQ(deadline, soon);
  }
}

// A sleep of a given length, after which there is something.
struct TimedBell {
  template <class Ready>
  bool sleep_once(Ready&&, Deadline) {
    const Deadline end = Deadline::after(length);
    while (!end.passed()) {
    }
    return true;
  }
  std::chrono::nanoseconds length;
};

TEST_F(Wait, TheAdaptiveModeLooksForLessAfterLongWaits) {
  if (std::thread::hardware_concurrency() == 1) GTEST_SKIP() << "nobody to look for";
  WaitStrategy strategy(WaitMode::kAdaptive);
  EXPECT_EQ(strategy.adaptive_spin(), WaitStrategy::kAdaptiveSpin);

  TimedBell long_sleep{1ms};
  for (int i = 0; i < 10; ++i) {
    const auto before = strategy.adaptive_spin();
    EXPECT_EQ(strategy.wait(long_sleep, Deadline::never(), kNeverReady, kPeerLives),
              WaitResult::kReady);
    EXPECT_LE(strategy.adaptive_spin(), before);
  }
  EXPECT_EQ(strategy.adaptive_spin(), WaitStrategy::kLeastAdaptiveSpin);

  // Until one wait was short again. Others may take our processor meanwhile: as often as it needs.
  TimedBell short_sleep{0ns};
  while (strategy.adaptive_spin() != WaitStrategy::kAdaptiveSpin) {
    EXPECT_EQ(strategy.wait(short_sleep, Deadline::never(), kNeverReady, kPeerLives),
              WaitResult::kReady);
  }
}

TEST(WaitMode, ModesAreParsedByName) {
  for (const WaitMode mode : kModes) EXPECT_EQ(parse_wait_mode(to_string(mode)), mode);
  for (const char* text : {"", "Park", "parking", "par", " park", "0"}) {
    EXPECT_EQ(parse_wait_mode(text), std::nullopt) << text;
  }
  EXPECT_EQ(wait_mode_names(), "spin, pause, yield, adaptive, park");
}

}  // namespace
}  // namespace rondo
