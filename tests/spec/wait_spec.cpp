// Contract of WaitStrategy. Each line has a test of the same name, in this order.
//  1. WhatIsReadyIsNotWaitedFor
//  2. APassedDeadlineLooksButDoesNotWait
//  3. NoModeEndsBeforeItsDeadline
//  4. EveryModeFindsWhatBecomesReady
//  5. EveryModeNoticesThatThePeerIsGone
//  6. WhatAPeerPublishedBeforeItDiedIsDelivered
//  7. ThePeerIsAskedForBeforeTheFirstSleep
//  8. WhoHasJustAskedSleepsAtOnceAndAsksInTime
//  9. NorDoesOneAskThatHasFoundThePeerOtherwise
// 10. AWaitTooShortToAskAsksAtItsEnd
// 11. TheStopFlagEndsEveryWait
// 12. OnlyTheParkingModesSleep
// 13. NoSleepOutlastsDeadlineOrProbe
// 14. TheAdaptiveModeLooksForLessAfterLongWaits
// 15. OneThatSleepsInVainLooksForLessToo
// 16. SpinningGivesTheCoreAwayNowAndThen
// 17. AndAfterEachRoundOnceThatHasHelped
// 18. ThePausingModesPauseAsTheProcessorCan
// 19. NoPauseIsForMoreThanAPartOfTheWait
// 20. PausesMayEndAtOnce
// 21. ModesAreParsedByName
#include "rondo/sync/wait.hpp"

#include <vector>

#include "support/doorbell_fixture.hpp"
#include "support/yielded_cores.hpp"

namespace rondo {
namespace {

using namespace std::chrono_literals;
using Clock = Deadline::Clock;
using testing::yielded_cores;

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

TEST_F(Wait, NorDoesOneAskThatHasFoundThePeerOtherwise) {
  for (const WaitMode mode : {WaitMode::kAdaptive, WaitMode::kPark}) {
    WaitStrategy strategy(mode);
    strategy.found_peer();
    // It sleeps to its end, and asks then.
    NotingBell its_own;
    const Deadline deadline = Deadline::after(WaitStrategy::kProbeInterval / 2);
    EXPECT_EQ(strategy.wait(its_own, deadline, kNeverReady, [] { return true; }),
              WaitResult::kPeerGone);
    if (its_own.deadlines.empty()) continue;  // the machine stood still for an interval
    EXPECT_TRUE(deadline.passed());
    EXPECT_EQ(its_own.deadlines.front().time(), deadline.time());
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
  WaitStrategy strategy(WaitMode::kAdaptive);
  const LookBudget& budget = strategy.look_budget();
  EXPECT_EQ(budget.looks_for(), budget.sleep_cost());

  TimedBell long_sleep{1ms};
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(strategy.wait(long_sleep, Deadline::never(), kNeverReady, kPeerLives),
              WaitResult::kReady);
  }
  EXPECT_EQ(budget.looks_for(), budget.sleep_cost() / 8);

  // Until one wait was short again. Others may take our processor meanwhile: as often as it needs.
  TimedBell short_sleep{0ns};
  while (budget.looks_for() < budget.sleep_cost()) {
    EXPECT_EQ(strategy.wait(short_sleep, Deadline::never(), kNeverReady, kPeerLives),
              WaitResult::kReady);
  }
}

TEST_F(Wait, OneThatSleepsInVainLooksForLessToo) {
  WaitStrategy strategy(WaitMode::kAdaptive);
  const LookBudget& budget = strategy.look_budget();
  while (budget.looks_for() > budget.sleep_cost() / 8) {
    EXPECT_EQ(strategy.wait(bell, Deadline::after(1ms), kNeverReady, kPeerLives),
              WaitResult::kTimedOut);
  }
}

TEST_F(Wait, SpinningGivesTheCoreAwayNowAndThen) {
  for (const WaitMode mode : {WaitMode::kSpin, WaitMode::kPause}) {
    std::uint64_t yields = 0;
    // Others may take our processor for as long as it lasts: as often as it needs.
    while (yields == 0) {
      const Clock::time_point start = Clock::now();
      const std::uint64_t before = yielded_cores;
      EXPECT_EQ(WaitStrategy(mode).wait(bell, Deadline::after(5 * WaitStrategy::kGiveWay),
                                        kNeverReady, kPeerLives),
                WaitResult::kTimedOut);
      yields = yielded_cores - before;
      EXPECT_LE(static_cast<std::int64_t>(yields), (Clock::now() - start) / WaitStrategy::kGiveWay);
    }
  }
}

// What becomes ready just when the core is given away, as where both sides share one.
TEST_F(Wait, AndAfterEachRoundOnceThatHasHelped) {
  for (const WaitMode mode : {WaitMode::kSpin, WaitMode::kPause}) {
    WaitStrategy strategy(mode);
    int looks = 0;
    std::uint64_t yields = 0;
    const auto look = [&] {
      ++looks;
      return yielded_cores != yields;
    };
    const auto wait = [&] {
      looks = 0;
      yields = yielded_cores;
      EXPECT_EQ(strategy.wait(bell, Deadline::never(), look, kPeerLives), WaitResult::kReady);
    };
    for (int i = 0; i < 10; ++i) wait();
    EXPECT_LE(looks, 300) << to_string(mode);

    // And only now and then again when looking has helped; others may take our processor.
    while (looks <= 300) {
      int more = 0;
      EXPECT_EQ(strategy.wait(
                    bell, Deadline::never(), [&] { return ++more == 3; }, kPeerLives),
                WaitResult::kReady);
      wait();
    }
  }
}

// In place of the processor's: pauses for no time, and keeps what it was asked.
std::vector<std::uint64_t> pauses;
std::uint64_t began = 0;
bool too_long = false;
void note_pause(std::uint64_t ticks) noexcept {
  too_long |= ticks * WaitStrategy::kPausePart > cpu_ticks() - began;
  if (pauses.size() < 100'000) pauses.push_back(ticks);
}

TEST_F(Wait, ThePausingModesPauseAsTheProcessorCan) {
  for (const WaitMode mode : kModes) {
    pauses.clear();
    WaitStrategy strategy(mode, nullptr, note_pause);
    EXPECT_EQ(strategy.wait(bell, Deadline::after(1ms), kNeverReady, kPeerLives),
              WaitResult::kTimedOut);
    if (mode == WaitMode::kPause) {
      EXPECT_FALSE(pauses.empty());
    } else if (mode != WaitMode::kAdaptive) {
      EXPECT_TRUE(pauses.empty());
    }
    pauses.clear();
    WaitStrategy without(mode, nullptr, nullptr);
    EXPECT_EQ(without.wait(bell, Deadline::after(1ms), kNeverReady, kPeerLives),
              WaitResult::kTimedOut);
    EXPECT_TRUE(pauses.empty());
  }
}

TEST_F(Wait, NoPauseIsForMoreThanAPartOfTheWait) {
  WaitStrategy strategy(WaitMode::kPause, nullptr, note_pause);
  pauses.clear();
  too_long = false;
  began = cpu_ticks();
  EXPECT_EQ(strategy.wait(bell, Deadline::after(5ms), kNeverReady, kPeerLives),
            WaitResult::kTimedOut);
  EXPECT_FALSE(too_long);
  for (const std::uint64_t ticks : pauses) ASSERT_LE(ticks, WaitStrategy::kMostPause);
}

// An interrupt, or the system's limit.
TEST_F(Wait, PausesMayEndAtOnce) {
  for (const int after : {2, 3, 65, 300, 5000}) {
    int looks = 0;
    EXPECT_EQ(WaitStrategy(WaitMode::kPause, nullptr, note_pause)
                  .wait(
                      bell, Deadline::never(), [&] { return ++looks >= after; }, kPeerLives),
              WaitResult::kReady);
    EXPECT_EQ(looks, after);
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
