// Contract of the waiter set's doorbell, on the mpmc ring's list of waiters and an operating system
// that only takes notes. Each line has a test of the same name, in this order.
//  1. AnEmptyListIsNotRungFor
//  2. AsManyAreRungForAsThereIsWorkFor
//  3. NoWaiterIsRungForTwice
//  4. AWaiterThatDoesNotWakeIsReplacedByAnother
//  5. AnUnregisteredPublisherIsAlwaysWanted
//  6. AListThatNeverEndsDoesNotKeepThePublisher
//  7. WhatIsReadyIsNotSleptFor
//  8. TheWaiterIsOnTheListBeforeItFencesAndLooksAfterwards
//  9. TheWaiterWaitsForTheBellThatItReadFirst
// 10. AWokenWaiterLooksOnceMoreOffTheList
// 11. APreparedWaitIsOnTheListAndSaysWhatToSleepOn
// 12. WhoCancelsIsToldOfAWakeThatWasSpentOnIt
// 13. CancellingWithoutAWaitLeavesTheListToASuccessor
// 14. ASuccessorLeavesTheListForAPredecessorKilledAsleep
#include "rondo/sync/waiter_set_doorbell.hpp"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <vector>

#include "rondo/core/mpmc_ring_waiters.hpp"

namespace rondo {
namespace {

using namespace std::chrono_literals;

struct Notes {
  bool can_register = true;
  std::function<void()> at_fence = [] {};
  std::function<void()> at_wait = [] {};
  std::function<int()> at_wake = [] { return 1; };
  int wakes = 0;
  std::vector<std::uint32_t> waited_for;
};
Notes notes;

struct NotingSystem {
  static constexpr std::chrono::nanoseconds kSlice = 50ms;
  static constexpr std::chrono::nanoseconds kUnfencedSlice = 1ms;
  static bool register_publisher() noexcept { return notes.can_register; }
  static bool heavy_fence() noexcept {
    notes.at_fence();
    return true;
  }
  static FutexResult wait(const Atomic<std::uint32_t>&, std::uint32_t expected,
                          std::chrono::nanoseconds, Deadline) noexcept {
    notes.waited_for.push_back(expected);
    notes.at_wait();
    return FutexResult::kTimedOut;
  }
  static int wake(const Atomic<std::uint32_t>&, int) noexcept {
    ++notes.wakes;
    return notes.at_wake();
  }
};
template <class List>
using NotedNotifier = BasicSetNotifier<List, NotingSystem>;
template <class List>
using NotedWaiter = BasicSetWaiter<List, NotingSystem>;

const auto kNeverReady = [] { return false; };

class WaiterSetDoorbell : public ::testing::Test {
 protected:
  static constexpr std::uint32_t kParticipants = 8;

  WaiterSetDoorbell() { notes = Notes(); }
  ~WaiterSetDoorbell() override { notes = Notes(); }

  MpmcWaiterSet list() {
    MpmcParts parts{};
    parts.positions = &positions;
    parts.participants = participants.data();
    parts.participant_count = kParticipants;
    return MpmcWaiterSet(parts, MpmcWaiterSet::Side::kConsumers);
  }
  std::uint32_t bell(std::uint32_t who) const {
    return participants[who].bell.load(std::memory_order_relaxed);
  }

  MpmcPositions positions{};
  std::array<MpmcParticipantPart, kParticipants> participants{};
};

TEST_F(WaiterSetDoorbell, AnEmptyListIsNotRungFor) {
  NotedNotifier publisher(list());
  EXPECT_FALSE(publisher.wanted());
  publisher.notify(100);
  EXPECT_EQ(notes.wakes, 0);
}

TEST_F(WaiterSetDoorbell, AsManyAreRungForAsThereIsWorkFor) {
  for (const std::uint32_t who : {1u, 3u, 5u}) list().enter(who);
  NotedNotifier publisher(list());
  EXPECT_EQ(publisher.ring(2), 2u);
  EXPECT_EQ(notes.wakes, 2);
  EXPECT_EQ(bell(1) + bell(3) + bell(5), 2u);
  EXPECT_EQ(publisher.ring(2), 1u);
  EXPECT_EQ(bell(1) + bell(3) + bell(5), 3u);
}

TEST_F(WaiterSetDoorbell, NoWaiterIsRungForTwice) {
  list().enter(4);
  NotedNotifier publisher(list());
  for (int i = 0; i < 100; ++i) publisher.notify();
  EXPECT_EQ(notes.wakes, 1);
  EXPECT_EQ(bell(4), 1u);
}

// Dead, or not asleep yet: the publisher can't tell, and wakes one too many rather than none.
TEST_F(WaiterSetDoorbell, AWaiterThatDoesNotWakeIsReplacedByAnother) {
  for (const std::uint32_t who : {0u, 1u, 2u}) list().enter(who);
  notes.at_wake = [] { return notes.wakes == 1 ? 0 : 1; };
  EXPECT_EQ(NotedNotifier(list()).ring(1), 1u);
  EXPECT_EQ(notes.wakes, 2);
  EXPECT_TRUE(list().any());
}

TEST_F(WaiterSetDoorbell, AnUnregisteredPublisherIsAlwaysWanted) {
  notes.can_register = false;
  NotedNotifier publisher(list());
  EXPECT_TRUE(publisher.wanted());
  publisher.notify();
  EXPECT_EQ(notes.wakes, 0);
}

TEST_F(WaiterSetDoorbell, AListThatNeverEndsDoesNotKeepThePublisher) {
  list().enter(0);
  notes.at_wake = [this] {
    list().enter(0);  // a hostile peer
    return 0;
  };
  EXPECT_EQ(NotedNotifier(list()).ring(~0u), 0u);
}

TEST_F(WaiterSetDoorbell, WhatIsReadyIsNotSleptFor) {
  NotedWaiter waiter(list(), 2);
  EXPECT_TRUE(waiter.sleep_once([] { return true; }, Deadline::never()));
  EXPECT_TRUE(notes.waited_for.empty());
  EXPECT_FALSE(list().any());
}

TEST_F(WaiterSetDoorbell, TheWaiterIsOnTheListBeforeItFencesAndLooksAfterwards) {
  NotedWaiter waiter(list(), 2);
  std::vector<const char*> order;
  notes.at_fence = [&] {
    EXPECT_TRUE(list().asleep(2));
    order.push_back("fence");
  };
  notes.at_wait = [&] { order.push_back("wait"); };
  const auto look = [&] {
    order.push_back("look");
    return false;
  };
  EXPECT_FALSE(waiter.sleep_once(look, Deadline::never()));
  EXPECT_EQ(order, (std::vector<const char*>{"fence", "look", "wait", "look"}));
}

TEST_F(WaiterSetDoorbell, TheWaiterWaitsForTheBellThatItReadFirst) {
  NotedWaiter waiter(list(), 2);
  NotedNotifier publisher(list());
  notes.at_fence = [&] { publisher.notify(); };
  EXPECT_FALSE(waiter.sleep_once(kNeverReady, Deadline::never()));
  EXPECT_EQ(notes.waited_for, std::vector<std::uint32_t>{0});
  EXPECT_EQ(bell(2), 1u);
}

// A wake that was spent on a waiter is not lost when its deadline ends the sleep just then.
TEST_F(WaiterSetDoorbell, AWokenWaiterLooksOnceMoreOffTheList) {
  NotedWaiter waiter(list(), 2);
  bool published = false;
  notes.at_wait = [&] { published = true; };
  EXPECT_TRUE(waiter.sleep_once(
      [&] {
        EXPECT_EQ(list().asleep(2), !published);
        return published;
      },
      Deadline::now()));
}

TEST_F(WaiterSetDoorbell, APreparedWaitIsOnTheListAndSaysWhatToSleepOn) {
  NotedWaiter waiter(list(), 2);

  const PreparedWait wait = waiter.prepare_wait();

  EXPECT_EQ(wait.word, &participants[2].bell);
  EXPECT_EQ(wait.value, 0u);
  EXPECT_EQ(wait.slice, 50ms);
  EXPECT_TRUE(list().asleep(2));

  waiter.commit_wait(wait, Deadline::never());
  EXPECT_EQ(notes.waited_for, std::vector<std::uint32_t>{0});
  EXPECT_FALSE(list().any());
}

// It may be the only one who was woken for what lies there.
TEST_F(WaiterSetDoorbell, WhoCancelsIsToldOfAWakeThatWasSpentOnIt) {
  NotedWaiter waiter(list(), 2);
  static_cast<void>(waiter.prepare_wait());
  EXPECT_FALSE(waiter.cancel_wait());
  EXPECT_FALSE(list().any());

  static_cast<void>(waiter.prepare_wait());
  NotedNotifier(list()).notify();
  EXPECT_TRUE(waiter.cancel_wait());
}

TEST_F(WaiterSetDoorbell, CancellingWithoutAWaitLeavesTheListToASuccessor) {
  NotedWaiter gone(list(), 2);
  static_cast<void>(gone.prepare_wait());
  static_cast<void>(gone.cancel_wait());
  NotedWaiter successor(list(), 2);
  static_cast<void>(successor.prepare_wait());

  EXPECT_FALSE(gone.cancel_wait());

  EXPECT_TRUE(list().asleep(2));
}

TEST_F(WaiterSetDoorbell, ASuccessorLeavesTheListForAPredecessorKilledAsleep) {
  list().enter(2);
  NotedWaiter successor(list(), 2);
  EXPECT_FALSE(list().any());
}

}  // namespace
}  // namespace rondo
