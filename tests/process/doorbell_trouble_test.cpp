// Waiting while something goes wrong: signals, a dead peer, a stopped one, a hostile one.
#include <pthread.h>
#include <sys/time.h>

#include <thread>

#include "support/doorbell_fixture.hpp"

namespace rondo {
namespace {

using namespace std::chrono_literals;
using Clock = Deadline::Clock;
using testing::Mailbox;

class DoorbellTrouble : public testing::Watchdog {};

// The child's side of most tests: says that it is there, and then never publishes.
template <class Then>
auto alive_then(const testing::Life& life, Atomic<std::uint32_t>& here, Then then) {
  return [&life, &here, then] {
    life.hold();
    // M3 (release, pairs with M4): the life is held.
    here.store(1, std::memory_order_release);
    then();
    return 0;
  };
}
void await(const Atomic<std::uint32_t>& word) {
  // M4 (acquire, pairs with M3): the life is held.
  while (word.load(std::memory_order_acquire) == 0) std::this_thread::yield();
}
void for_ever() {
  for (;;) pause();
}

struct Peer {
  Mailbox box;
  Atomic<std::uint32_t> here;
};

TEST_F(DoorbellTrouble, AWaiterLearnsOfItsPeersDeath) {
  testing::Shared<Peer> peer;
  testing::Life life;
  testing::Child child(alive_then(life, peer->here, for_ever));
  await(peer->here);

  int probes = 0;
  testing::MailboxReader waiter(peer->box);
  // The peer dies between the first probe and the first sleep or during a sleep.
  EXPECT_EQ(waiter.take(Deadline::never(),
                        [&] {
                          const bool ended = life.ended();
                          if (++probes == 1) child.signal(SIGKILL);
                          return ended;
                        }),
            WaitResult::kPeerGone);
  EXPECT_GE(probes, 2);
}

TEST_F(DoorbellTrouble, WhatADeadPeerPublishedIsDeliveredFirst) {
  testing::Shared<Peer> peer;
  testing::Life life;
  testing::Child child([&] {
    life.hold();
    testing::Publisher publisher(peer->box);
    publisher.publish();
    raise(SIGKILL);
    return 0;
  });
  EXPECT_EQ(child.join(), -SIGKILL);
  testing::MailboxReader waiter(peer->box);
  const auto gone = [&] { return life.ended(); };
  EXPECT_EQ(waiter.take(Deadline::never(), gone), WaitResult::kReady);
  EXPECT_EQ(waiter.take(Deadline::never(), gone), WaitResult::kPeerGone);
}

TEST_F(DoorbellTrouble, AStoppedPeerIsNotGone) {
  testing::Shared<Peer> peer;
  testing::Life life;
  testing::Child child(alive_then(life, peer->here, for_ever));
  await(peer->here);
  child.signal(SIGSTOP);
  child.join_stop();

  int probes = 0;
  testing::MailboxReader waiter(peer->box);
  EXPECT_EQ(waiter.take(Deadline::after(250ms),
                        [&] {
                          ++probes;
                          return life.ended();
                        }),
            WaitResult::kTimedOut);
  EXPECT_GE(probes, 3);
}

// The publisher outlives a waiter that was killed asleep: it pays for one ring, and a successor of
// the waiter is served.
TEST_F(DoorbellTrouble, AWaiterKilledAsleepIsRungForOnce) {
  testing::Shared<Mailbox> box;
  {
    testing::Child child([&] {
      testing::MailboxReader waiter(*box);
      static_cast<void>(waiter.take());
      return 0;
    });
    while ((box->waiter.state.load(std::memory_order_relaxed) & BellWaiter::kAsleep) == 0) {
      std::this_thread::yield();
    }
  }
  testing::Publisher publisher(*box);
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(publisher.publish());
  EXPECT_EQ(box->notifier.rings.load(std::memory_order_relaxed), 1u);

  testing::MailboxReader successor(*box);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(successor.take(), WaitResult::kReady);
  std::thread waiter([&] { EXPECT_EQ(successor.take(), WaitResult::kReady); });
  while ((box->waiter.state.load(std::memory_order_relaxed) & BellWaiter::kAsleep) == 0) {
    std::this_thread::yield();
  }
  publisher.publish();
  waiter.join();
}

TEST_F(DoorbellTrouble, ASignalStormDoesNotMoveTheDeadline) {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  ASSERT_EQ(sigaction(SIGALRM, &action, nullptr), 0);  // instead of the watchdog
  const itimerval storm{{0, 100}, {0, 100}};
  ASSERT_EQ(setitimer(ITIMER_REAL, &storm, nullptr), 0);
  for (const WaitMode mode : {WaitMode::kAdaptive, WaitMode::kPark, WaitMode::kPause}) {
    Mailbox box{};
    const Deadline deadline = Deadline::after(120ms);
    EXPECT_EQ(testing::MailboxReader(box, mode).take(deadline), WaitResult::kTimedOut);
    EXPECT_TRUE(deadline.passed());
  }
  const itimerval calm{};
  setitimer(ITIMER_REAL, &calm, nullptr);
  signal(SIGALRM, SIG_DFL);
}

TEST_F(DoorbellTrouble, HandOffsGoOnInASignalStorm) {
  testing::Shared<Mailbox> box;
  const std::uint64_t messages = testing::scaled(20'000);
  struct sigaction action {};
  action.sa_handler = [](int) {};
  ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  std::atomic<bool> done{false};
  std::thread reader([&] {
    testing::MailboxReader waiter(*box);
    for (std::uint64_t i = 0; i < messages; ++i) ASSERT_EQ(waiter.take(), WaitResult::kReady);
    done = true;
  });
  std::mt19937_64 random(testing::random_seed());
  testing::Publisher publisher(*box);
  for (std::uint64_t i = 0; i < messages; ++i) {
    if (random() % 4 == 0) pthread_kill(reader.native_handle(), SIGUSR1);
    publisher.publish();
  }
  while (!done) std::this_thread::yield();
  reader.join();
}

// A signal handler that sets the stop flag ends even a wait that would last for ever.
TEST_F(DoorbellTrouble, AStopFlagSetByASignalEndsASleep) {
  static std::atomic<bool> stop;
  stop = false;
  struct sigaction action {};
  action.sa_handler = [](int) { stop = true; };
  ASSERT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
  Mailbox box{};
  const pthread_t me = pthread_self();
  std::thread interrupter([&] {
    while ((box.waiter.state.load(std::memory_order_relaxed) & BellWaiter::kAsleep) == 0) {
      std::this_thread::yield();
    }
    pthread_kill(me, SIGUSR1);
  });
  EXPECT_EQ(testing::MailboxReader(box, WaitMode::kPark, &stop).take(), WaitResult::kInterrupted);
  interrupter.join();
}

// A peer that writes anything into all the words of a bell, and wakes everybody all the time.
int scribble(Mailbox& box, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  for (;;) {
    box.waiter.state.store(static_cast<std::uint32_t>(random()), std::memory_order_relaxed);
    box.notifier.rings.store(static_cast<std::uint32_t>(random()), std::memory_order_relaxed);
    futex_wake(box.notifier.rings, 1000);
  }
}

TEST_F(DoorbellTrouble, AHostilePeerCannotMoveADeadline) {
  testing::Shared<Mailbox> box;
  const std::uint64_t seed = testing::random_seed();
  testing::Child hostile([&] { return scribble(*box, seed); });
  for (const WaitMode mode : {WaitMode::kAdaptive, WaitMode::kPark}) {
    int probes = 0;
    const Deadline deadline = Deadline::after(150ms);
    EXPECT_EQ(testing::MailboxReader(*box, mode).take(deadline, [&] { return ++probes < 0; }),
              WaitResult::kTimedOut);
    EXPECT_TRUE(deadline.passed());
    EXPECT_GE(probes, 2);  // it was asked for although no sleep lasted
  }
}

TEST_F(DoorbellTrouble, HandOffsGoOnBesideAHostilePeer) {
  testing::Shared<Mailbox> box;
  const std::uint64_t seed = testing::random_seed();
  testing::Child hostile([&] { return scribble(*box, seed); });
  const std::uint64_t messages = testing::scaled(2'000);
  std::thread reader([&] {
    testing::MailboxReader waiter(*box);
    for (std::uint64_t i = 0; i < messages; ++i) ASSERT_EQ(waiter.take(), WaitResult::kReady);
  });
  testing::Publisher publisher(*box);
  for (std::uint64_t i = 0; i < messages; ++i) publisher.publish();
  reader.join();
}

// The worst scribble: the waiter's word says awake while it sleeps. Each wake is lost, and costs a
// slice.
TEST_F(DoorbellTrouble, AWakeLostToAScribbleIsLateByASlice) {
  testing::Shared<Mailbox> box;
  testing::Publisher publisher(*box);
  std::thread scribbler([&] {
    while ((box->waiter.state.load(std::memory_order_relaxed) & BellWaiter::kAsleep) == 0) {
      std::this_thread::yield();
    }
    box->waiter.state.store(0, std::memory_order_relaxed);
    publisher.publish();
  });
  EXPECT_EQ(testing::MailboxReader(*box).take(), WaitResult::kReady);
  scribbler.join();
}

// Memory that is truncated under a waiter: the wait ends by its deadline, not by a crash. (That
// the ring's own words raise SIGBUS is the segment's business.)
TEST_F(DoorbellTrouble, AFutexWordThatVanishesIsPolled) {
  const int file = memfd_create("ringer", 0);
  ASSERT_EQ(ftruncate(file, 4096), 0);
  void* memory = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file, 0);
  ASSERT_NE(memory, MAP_FAILED);
  const auto& notifier = *static_cast<const BellNotifier*>(memory);
  BellWaiter mine{};
  Waiter waiter(mine, notifier);
  const Deadline deadline = Deadline::after(20ms);
  bool cut = false;
  while (!deadline.passed()) {
    if (cut) {
      EXPECT_EQ(futex_wait(notifier.rings, 0, deadline), FutexResult::kRefused);
      continue;
    }
    EXPECT_FALSE(waiter.sleep_once(
        [&] {
          if (!cut) cut = ftruncate(file, 0) == 0;
          return false;
        },
        deadline));
  }
  munmap(memory, 4096);
  close(file);
}

}  // namespace
}  // namespace rondo
