// Contract of the doorbell, against an operating system that only takes notes. Each line has a test
// of the same name, in this order. That no wake is lost between real threads and processes is the
// business of process/doorbell_*_test.cpp and ordering/doorbell_*_test.cpp.
//  1. AWaiterThatIsAwakeIsNotRungFor
//  2. AWaiterIsRungFor
//  3. OneSleepIsRungForOnce
//  4. TheNextSleepIsRungForAgain
//  5. ASuccessorOfTheNotifierRingsForASleepItDidNotSee
//  6. TheCountOfRingsWraps
//  7. NotifySaysWhenTheWaiterHasLeft
//  8. AnUnregisteredPublisherFindsTheWaiterOnTheSlowPath
//  9. AWaiterThatCannotFenceSendsAllOnTheSlowPath
// 10. ANotifierWithoutAWaiterIsAlwaysWanted
// 11. AnyStateWordCostsOneRingAtMost
// 12. WhatIsReadyIsNotSleptFor
// 13. TheWaiterSaysSoBeforeItFencesAndLooksAfterwards
// 14. TheWaiterWaitsForTheRingsThatItReadFirst
// 15. APreparedWaitIsAnnouncedAndSaysWhatToSleepOn
// 16. ACancelledWaitIsNotRungFor
// 17. AWaitThatIsPreparedAgainIsRungForAgain
// 18. EachSleepIsAnEpisodeOfItsOwn
// 19. TheEpisodeWrapsAndSparesTheFlags
// 20. ASliceIsShortWithoutTheFence
// 21. ASuccessorOfTheWaiterContinuesTheEpisodes
// 22. LeavingSaysGoneAndReturningTakesItBack
// 23. CancellingWithoutAWaitLeavesTheWordToASuccessor
// 24. ABroadcastRingsOnceForAllWaiters
// 25. ABroadcastHasRoomForSixtyFour
// 26. ABroadcastLooksAfterNoneThatWasLetGo
// 27. AHintSaysWhetherARingWouldWakeAnybody
#include "rondo/sync/doorbell.hpp"

#include <functional>
#include <random>
#include <vector>

#include "support/doorbell_fixture.hpp"

namespace rondo {
namespace {

using namespace std::chrono_literals;

// What the doorbell asked for, in order.
struct Notes {
  bool can_register = true;
  bool can_fence = true;
  std::function<void()> at_fence = [] {};
  std::function<void()> at_wait = [] {};
  int fences = 0;
  int wakes = 0;
  std::vector<std::uint32_t> waited_for;
  std::vector<std::chrono::nanoseconds> slices;
};
Notes notes;

struct NotingSystem {
  static constexpr std::chrono::nanoseconds kSlice = 50ms;
  static constexpr std::chrono::nanoseconds kUnfencedSlice = 1ms;
  static bool register_publisher() noexcept { return notes.can_register; }
  static bool heavy_fence() noexcept {
    ++notes.fences;
    notes.at_fence();
    return notes.can_fence;
  }
  static FutexResult wait(const Atomic<std::uint32_t>&, std::uint32_t expected,
                          std::chrono::nanoseconds slice, Deadline) noexcept {
    notes.waited_for.push_back(expected);
    notes.slices.push_back(slice);
    notes.at_wait();
    return FutexResult::kTimedOut;
  }
  static int wake(const Atomic<std::uint32_t>&, int) noexcept {
    ++notes.wakes;
    return 1;
  }
};
using NotedNotifier = BasicNotifier<NotingSystem>;
using NotedWaiter = BasicWaiter<NotingSystem>;
using NotedBroadcastNotifier = BasicBroadcastNotifier<NotingSystem>;

constexpr std::uint32_t kAsleep = BellWaiter::kAsleep;
constexpr std::uint32_t kEpisode = BellWaiter::kEpisode;
constexpr std::uint32_t kGone = BellWaiter::kGone;

const auto kNeverReady = [] { return false; };

class Doorbell : public ::testing::Test {
 protected:
  Doorbell() { notes = Notes(); }
  ~Doorbell() override { notes = Notes(); }
  void set_state(std::uint32_t state) { waiter_word.state.store(state, std::memory_order_relaxed); }
  void set_rings(std::uint32_t rings) { notifier.rings.store(rings, std::memory_order_relaxed); }
  std::uint32_t state() const { return waiter_word.state.load(std::memory_order_relaxed); }
  std::uint32_t rings() const { return notifier.rings.load(std::memory_order_relaxed); }

  BellWaiter waiter_word{};
  BellNotifier notifier{};
};

TEST_F(Doorbell, AWaiterThatIsAwakeIsNotRungFor) {
  // Also after it slept: the episode stays in the word, and is no reason for the slow path.
  for (const std::uint32_t state : {0u, kEpisode, 5 * kEpisode, ~BellWaiter::kFlags}) {
    set_state(state);
    NotedNotifier publisher(waiter_word, notifier);
    NotedBroadcastNotifier group(notifier);
    ASSERT_TRUE(group.watch(waiter_word));

    EXPECT_FALSE(publisher.wanted());
    EXPECT_TRUE(publisher.notify());
    EXPECT_FALSE(group.wanted());
  }
  EXPECT_EQ(rings(), 0u);
  EXPECT_EQ(notes.wakes, 0);
  EXPECT_EQ(notes.fences, 0);
}

TEST_F(Doorbell, AWaiterIsRungFor) {
  set_state(kEpisode | kAsleep);
  NotedNotifier publisher(waiter_word, notifier);

  EXPECT_TRUE(publisher.wanted());
  EXPECT_TRUE(publisher.notify());

  EXPECT_EQ(rings(), 1u);
  EXPECT_EQ(notes.wakes, 1);
  EXPECT_EQ(state(), kEpisode | kAsleep);  // the waiter's word is the waiter's
}

TEST_F(Doorbell, OneSleepIsRungForOnce) {
  set_state(kEpisode | kAsleep);
  NotedNotifier publisher(waiter_word, notifier);

  for (int i = 0; i < 100; ++i) EXPECT_TRUE(publisher.notify());

  EXPECT_EQ(rings(), 1u);
  EXPECT_EQ(notes.wakes, 1);
}

TEST_F(Doorbell, TheNextSleepIsRungForAgain) {
  NotedNotifier publisher(waiter_word, notifier);
  for (std::uint32_t episode = 1; episode <= 3; ++episode) {
    set_state(episode * kEpisode | kAsleep);
    publisher.notify();
    publisher.notify();
    set_state(episode * kEpisode);
    publisher.notify();
  }
  EXPECT_EQ(rings(), 3u);
  EXPECT_EQ(notes.wakes, 3);
}

TEST_F(Doorbell, ASuccessorOfTheNotifierRingsForASleepItDidNotSee) {
  set_state(kEpisode | kAsleep);
  set_rings(41);
  NotedNotifier(waiter_word, notifier).notify();
  NotedNotifier(waiter_word, notifier).notify();
  EXPECT_EQ(rings(), 43u);
  EXPECT_EQ(notes.wakes, 2);
}

TEST_F(Doorbell, TheCountOfRingsWraps) {
  set_state(kEpisode | kAsleep);
  set_rings(~0u);
  NotedNotifier(waiter_word, notifier).notify();
  EXPECT_EQ(rings(), 0u);
  EXPECT_EQ(notes.wakes, 1);
}

TEST_F(Doorbell, NotifySaysWhenTheWaiterHasLeft) {
  set_state(kEpisode | BellWaiter::kGone);
  NotedNotifier publisher(waiter_word, notifier);
  EXPECT_FALSE(publisher.notify());
  EXPECT_EQ(rings(), 0u);

  set_state(kEpisode);  // a successor attached
  EXPECT_TRUE(publisher.notify());
}

TEST_F(Doorbell, AnUnregisteredPublisherFindsTheWaiterOnTheSlowPath) {
  notes.can_register = false;
  NotedNotifier publisher(waiter_word, notifier);
  EXPECT_TRUE(publisher.wanted());
  EXPECT_TRUE(publisher.notify());
  EXPECT_EQ(rings(), 0u);

  set_state(kEpisode | kAsleep);
  EXPECT_TRUE(publisher.notify());
  EXPECT_EQ(rings(), 1u);
}

TEST_F(Doorbell, AWaiterThatCannotFenceSendsAllOnTheSlowPath) {
  notes.can_fence = false;
  NotedWaiter waiter(waiter_word, notifier);
  NotedNotifier publisher(waiter_word, notifier);

  EXPECT_EQ(state(), BellWaiter::kMustFence);
  EXPECT_TRUE(publisher.wanted());
  EXPECT_TRUE(publisher.notify());
  EXPECT_EQ(rings(), 0u);

  notes.at_wait = [&] { EXPECT_TRUE(publisher.notify()); };
  EXPECT_FALSE(waiter.sleep_once(kNeverReady, Deadline::never()));
  EXPECT_EQ(rings(), 1u);
}

TEST_F(Doorbell, ANotifierWithoutAWaiterIsAlwaysWanted) {
  NotedNotifier publisher;
  EXPECT_TRUE(publisher.wanted());
  EXPECT_TRUE(publisher.ring());
  EXPECT_EQ(notes.wakes, 0);
}

TEST_F(Doorbell, AnyStateWordCostsOneRingAtMost) {
  std::mt19937 random(static_cast<std::uint32_t>(testing::random_seed()));
  NotedNotifier publisher(waiter_word, notifier);
  for (std::uint32_t i = 0; i < 10000; ++i) {
    set_state(static_cast<std::uint32_t>(random()));
    set_rings(i * 1000);
    publisher.notify();
    EXPECT_LE(rings() - i * 1000, 1u);
  }
}

TEST_F(Doorbell, WhatIsReadyIsNotSleptFor) {
  NotedWaiter waiter(waiter_word, notifier);
  EXPECT_TRUE(waiter.sleep_once([] { return true; }, Deadline::never()));
  EXPECT_TRUE(notes.waited_for.empty());
  EXPECT_EQ(state() & kAsleep, 0u);
}

TEST_F(Doorbell, TheWaiterSaysSoBeforeItFencesAndLooksAfterwards) {
  NotedWaiter waiter(waiter_word, notifier);
  std::vector<const char*> order;
  notes.at_fence = [&] {
    EXPECT_NE(state() & kAsleep, 0u);
    order.push_back("fence");
  };
  notes.at_wait = [&] {
    EXPECT_NE(state() & kAsleep, 0u);
    order.push_back("wait");
  };
  const auto look = [&] {
    order.push_back("look");
    return false;
  };
  EXPECT_FALSE(waiter.sleep_once(look, Deadline::never()));
  EXPECT_EQ(order, (std::vector<const char*>{"fence", "look", "wait", "look"}));
  EXPECT_EQ(state() & kAsleep, 0u);
}

TEST_F(Doorbell, TheWaiterWaitsForTheRingsThatItReadFirst) {
  set_rings(41);
  NotedWaiter waiter(waiter_word, notifier);
  NotedNotifier publisher(waiter_word, notifier);
  notes.at_fence = [&] { publisher.notify(); };  // a ring between the word and the futex
  EXPECT_FALSE(waiter.sleep_once(kNeverReady, Deadline::never()));
  EXPECT_EQ(notes.waited_for, std::vector<std::uint32_t>{41});
  EXPECT_EQ(rings(), 42u);
}

TEST_F(Doorbell, APreparedWaitIsAnnouncedAndSaysWhatToSleepOn) {
  set_rings(41);
  NotedWaiter waiter(waiter_word, notifier);
  NotedNotifier publisher(waiter_word, notifier);
  notes.fences = 0;

  const PreparedWait wait = waiter.prepare_wait();

  EXPECT_EQ(wait.word, &notifier.rings);
  EXPECT_EQ(wait.value, 41u);
  EXPECT_EQ(wait.slice, 50ms);
  EXPECT_EQ(state(), kEpisode | kAsleep);
  EXPECT_EQ(notes.fences, 1);
  publisher.notify();
  EXPECT_NE(wait.word->load(std::memory_order_relaxed), wait.value);

  waiter.commit_wait(wait, Deadline::never());
  EXPECT_EQ(notes.waited_for, std::vector<std::uint32_t>{41});
  EXPECT_EQ(state(), kEpisode);
}

TEST_F(Doorbell, ACancelledWaitIsNotRungFor) {
  NotedWaiter waiter(waiter_word, notifier);
  NotedNotifier publisher(waiter_word, notifier);
  static_cast<void>(waiter.prepare_wait());
  waiter.cancel_wait();

  EXPECT_FALSE(publisher.wanted());
  EXPECT_TRUE(publisher.notify());
  EXPECT_EQ(rings(), 0u);
  EXPECT_TRUE(notes.waited_for.empty());
  EXPECT_EQ(state(), kEpisode);
}

TEST_F(Doorbell, AWaitThatIsPreparedAgainIsRungForAgain) {
  NotedWaiter waiter(waiter_word, notifier);
  NotedNotifier publisher(waiter_word, notifier);
  static_cast<void>(waiter.prepare_wait());
  publisher.notify();
  waiter.cancel_wait();

  const PreparedWait wait = waiter.prepare_wait();
  EXPECT_EQ(wait.value, 1u);
  publisher.notify();
  EXPECT_EQ(rings(), 2u);
}

TEST_F(Doorbell, EachSleepIsAnEpisodeOfItsOwn) {
  NotedWaiter waiter(waiter_word, notifier);
  std::vector<std::uint32_t> states;
  notes.at_wait = [&] { states.push_back(state()); };
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(waiter.sleep_once(kNeverReady, Deadline::never()));
  EXPECT_EQ(states, (std::vector<std::uint32_t>{kEpisode | kAsleep, 2 * kEpisode | kAsleep,
                                                3 * kEpisode | kAsleep}));
}

TEST_F(Doorbell, TheEpisodeWrapsAndSparesTheFlags) {
  set_state(~0u - 7);  // the last episode
  NotedWaiter waiter(waiter_word, notifier);
  notes.at_wait = [&] { EXPECT_EQ(state(), kAsleep); };
  EXPECT_FALSE(waiter.sleep_once(kNeverReady, Deadline::never()));
  EXPECT_EQ(notes.waited_for.size(), 1u);
  EXPECT_EQ(state(), 0u);
}

TEST_F(Doorbell, ASliceIsShortWithoutTheFence) {
  NotedWaiter waiter(waiter_word, notifier);
  EXPECT_FALSE(waiter.sleep_once(kNeverReady, Deadline::never()));
  notes.can_fence = false;  // a seccomp filter came later
  EXPECT_FALSE(waiter.sleep_once(kNeverReady, Deadline::never()));
  EXPECT_EQ(notes.slices, (std::vector<std::chrono::nanoseconds>{50ms, 1ms}));
  EXPECT_EQ(state() & BellWaiter::kMustFence, BellWaiter::kMustFence);
}

// A predecessor killed asleep leaves its word behind; the notifier has rung for that episode
// already.
TEST_F(Doorbell, ASuccessorOfTheWaiterContinuesTheEpisodes) {
  set_state(5 * kEpisode | kAsleep);
  NotedNotifier publisher(waiter_word, notifier);
  publisher.notify();
  NotedWaiter successor(waiter_word, notifier);
  EXPECT_EQ(state(), 5 * kEpisode);

  notes.at_wait = [&] { publisher.notify(); };
  EXPECT_FALSE(successor.sleep_once(kNeverReady, Deadline::never()));
  EXPECT_EQ(rings(), 2u);
}

TEST_F(Doorbell, LeavingSaysGoneAndReturningTakesItBack) {
  NotedWaiter waiter(waiter_word, notifier);
  waiter.leave();
  EXPECT_EQ(state(), BellWaiter::kGone);
  NotedWaiter successor(waiter_word, notifier);
  EXPECT_EQ(state(), 0u);
}

TEST_F(Doorbell, CancellingWithoutAWaitLeavesTheWordToASuccessor) {
  NotedWaiter left(waiter_word, notifier);
  static_cast<void>(left.prepare_wait());
  left.leave();
  EXPECT_NE(state() & kGone, 0u);
  left.cancel_wait();
  EXPECT_NE(state() & kGone, 0u);
  EXPECT_EQ(state() & kAsleep, 0u);

  NotedWaiter cancelled(waiter_word, notifier);
  static_cast<void>(cancelled.prepare_wait());
  cancelled.cancel_wait();
  NotedWaiter successor(waiter_word, notifier);
  static_cast<void>(successor.prepare_wait());
  const std::uint32_t announced = state();
  for (NotedWaiter* gone : {&left, &cancelled}) gone->cancel_wait();
  EXPECT_EQ(state(), announced);
}

TEST_F(Doorbell, ABroadcastRingsOnceForAllWaiters) {
  std::vector<BellWaiter> waiters(3);
  NotedBroadcastNotifier publisher(notifier);
  for (const BellWaiter& waiter : waiters) ASSERT_TRUE(publisher.watch(waiter));
  publisher.notify();
  EXPECT_EQ(rings(), 0u);

  waiters[0].state.store(kEpisode | kAsleep, std::memory_order_relaxed);
  waiters[2].state.store(kEpisode | kAsleep, std::memory_order_relaxed);
  publisher.notify();
  publisher.notify();
  EXPECT_EQ(rings(), 1u);
  EXPECT_EQ(notes.wakes, 1);

  waiters[1].state.store(kEpisode | kAsleep, std::memory_order_relaxed);
  publisher.notify();
  EXPECT_EQ(rings(), 2u);
}

TEST_F(Doorbell, ABroadcastHasRoomForSixtyFour) {
  std::vector<BellWaiter> waiters(65);
  NotedBroadcastNotifier publisher(notifier);
  for (std::size_t i = 0; i < 64; ++i) EXPECT_TRUE(publisher.watch(waiters[i]));
  EXPECT_FALSE(publisher.watch(waiters[64]));
}

TEST_F(Doorbell, ABroadcastLooksAfterNoneThatWasLetGo) {
  std::vector<BellWaiter> waiters(2);
  NotedBroadcastNotifier publisher(notifier);
  for (const BellWaiter& waiter : waiters) ASSERT_TRUE(publisher.watch(waiter));
  waiters[0].state.store(kEpisode | kAsleep, std::memory_order_relaxed);
  EXPECT_TRUE(publisher.wanted());
  publisher.unwatch(waiters[0]);
  publisher.unwatch(waiters[0]);
  EXPECT_FALSE(publisher.wanted());
  waiters[1].state.store(kEpisode | kAsleep, std::memory_order_relaxed);
  publisher.notify();
  EXPECT_EQ(rings(), 1u);
}

// For those that hold rings back: asleep, and not rung for yet.
TEST_F(Doorbell, AHintSaysWhetherARingWouldWakeAnybody) {
  NotedNotifier publisher(waiter_word, notifier);
  NotedBroadcastNotifier group(notifier);
  ASSERT_TRUE(group.watch(waiter_word));
  const auto expect = [&](bool wakes) {
    EXPECT_EQ(publisher.would_wake(), wakes);
    EXPECT_EQ(group.would_wake(), wakes);
  };
  expect(false);
  set_state(kEpisode | kAsleep);
  expect(true);
  publisher.ring();
  group.ring();
  expect(false);
  set_state(2 * kEpisode | kAsleep);
  expect(true);
  set_state(2 * kEpisode | kGone);
  expect(false);
  set_state(3 * kEpisode | BellWaiter::kMustFence);
  expect(false);
  EXPECT_FALSE(NotedNotifier().would_wake());
}

}  // namespace
}  // namespace rondo
