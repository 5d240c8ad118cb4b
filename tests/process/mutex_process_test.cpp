// A mutex between processes: whose owners and waiters are killed, stopped, forked and replaced.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <random>
#include <system_error>
#include <thread>
#include <vector>

#include "rondo/sync/mutex.hpp"
#include "rondo/sync/named.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"

namespace rondo::testing {
namespace {

using namespace std::chrono_literals;
using sync::LockResult;
using NamedMutex = sync::Named<sync::mutex>;

class MutexBetweenProcesses : public Watchdog {
 protected:
  [[nodiscard]] NamedMutex open() const {
    auto opened = sync::named<sync::mutex>(url_);
    if (!opened) {
      std::fprintf(stderr, "%s\n", opened.error().message.c_str());
      std::abort();
    }
    return std::move(opened).value();
  }
  // A child that locks it and keeps it.
  auto owner() {
    return [this] {
      static NamedMutex held = open();
      held.lock();
      owned_->store(true);
      for (;;) pause();
      return 0;
    };
  }
  void await_owner() {
    while (!owned_->load()) usleep(100);
    owned_->store(false);
  }

  ShmName name_;
  std::string url_ = "shm:" + name_.word();
  Shared<std::atomic<bool>> owned_;
};

TEST_F(MutexBetweenProcesses, AKilledOwnersMutexGoesToOneWhoSleeps) {
  NamedMutex mine = open();
  for (int round = 0; round < 5; ++round) {
    Child child(owner());
    await_owner();
    std::atomic<pid_t> sleeper{0};
    std::thread waits([&] {
      sleeper = gettid();
      EXPECT_EQ(mine.acquire(), LockResult::kOwnerDied);
      EXPECT_TRUE(mine.make_consistent());
      EXPECT_TRUE(mine.unlock());
    });
    while (sleeper == 0) usleep(100);
    await_sleep(sleeper);
    child.signal(SIGKILL);
    EXPECT_EQ(child.join(), -SIGKILL);
    waits.join();
    EXPECT_TRUE(mine.try_lock());
    EXPECT_FALSE(mine.owner_died());
    EXPECT_TRUE(mine.unlock());
  }
}

// The dead owner's slot has a new, living owner when the death is looked into.
TEST_F(MutexBetweenProcesses, ASuccessorInTheSameSlotIsNotTakenForTheDeadOwner) {
  NamedMutex mine = open();
  std::uint32_t slot = 0;
  Shared<std::atomic<std::uint32_t>> victims_slot;
  run_and_kill([&] {
    static NamedMutex victim = open();
    *victims_slot = victim.attachment().slot();
    return victim.try_lock() ? 0 : 1;
  });
  const NamedMutex successor = open();
  slot = successor.attachment().slot();
  ASSERT_EQ(slot, *victims_slot);

  EXPECT_EQ(mine.acquire(), LockResult::kOwnerDied);
}

TEST_F(MutexBetweenProcesses, AStoppedOwnerIsNotRobbed) {
  NamedMutex mine = open();
  Shared<std::atomic<bool>> give_back;
  Child child([&] {
    NamedMutex held = open();
    held.lock();
    owned_->store(true);
    while (!*give_back) usleep(100);
    return held.unlock() ? 0 : 1;
  });
  await_owner();
  child.signal(SIGSTOP);
  child.join_stop();

  EXPECT_EQ(mine.acquire(Deadline::after(300ms)), LockResult::kTimedOut);
  EXPECT_FALSE(mine.try_lock());

  *give_back = true;
  child.signal(SIGCONT);
  EXPECT_EQ(mine.acquire(), LockResult::kLocked);
  EXPECT_EQ(child.join(), 0);
}

TEST_F(MutexBetweenProcesses, AForkedChildOwnsNothingOfItsParents) {
  NamedMutex mine = open();
  mine.lock();
  Child child([&] {
    if (!mine.forked() || mine.unlock() || mine.try_lock() || mine.make_consistent()) return 1;
    if (mine.acquire() != LockResult::kNoMember) return 2;
    try {
      mine.lock();
      return 3;
    } catch (const std::system_error& error) {
      if (error.code() != std::errc::operation_not_permitted) return 4;
    }
    NamedMutex own = open();
    if (own.try_lock() || own.acquire(Deadline::after(60ms)) != LockResult::kTimedOut) return 5;
    const NamedMutex gone = std::move(mine);
    return 0;
  });
  EXPECT_EQ(child.join(), 0);
  NamedMutex other = open();
  EXPECT_FALSE(other.try_lock());
  EXPECT_TRUE(mine.unlock());
  EXPECT_TRUE(other.try_lock());
}

// A child keeps its parent's open file: the parent's death is one all the same.
TEST_F(MutexBetweenProcesses, AForkedChildKeepsNoDeadOwnerAlive) {
  NamedMutex mine = open();
  Shared<std::atomic<pid_t>> grandchild;
  Child child([&] {
    static NamedMutex held = open();
    held.lock();
    const pid_t forked = fork();
    if (forked == 0) {
      prctl(PR_SET_PDEATHSIG, 0);
      for (int i = 0; i < 2000; ++i) usleep(10'000);
      _exit(0);
    }
    *grandchild = forked;
    owned_->store(true);
    for (;;) pause();
    return 0;
  });
  await_owner();
  child.signal(SIGKILL);
  child.join();
  EXPECT_EQ(mine.acquire(), LockResult::kOwnerDied);
  kill(*grandchild, SIGKILL);
}

// What a mutex guards: two numbers that are always changed together.
struct Guarded {
  std::atomic<std::uint64_t> first, second;
  std::atomic<std::uint64_t> deaths_seen;
  std::atomic<std::uint64_t> broken;
  std::atomic<std::uint64_t> inside;
};

// One turn in the mutex; counts what must not be.
void turn(NamedMutex& mutex, Guarded& guarded) {
  const LockResult result = mutex.acquire();
  if (result > LockResult::kOwnerDied) {
    ++guarded.broken;
    return;
  }
  if (result == LockResult::kOwnerDied) {
    ++guarded.deaths_seen;
    guarded.inside = 0;
    guarded.second = guarded.first.load();
    mutex.make_consistent();
  }
  if (guarded.inside.exchange(1) != 0) ++guarded.broken;
  if (guarded.first != guarded.second) ++guarded.broken;
  ++guarded.first;
  ++guarded.second;
  guarded.inside = 0;
  if (!mutex.unlock()) ++guarded.broken;
}

TEST_F(MutexBetweenProcesses, OneAtATimeAmongProcessesAndThreads) {
  constexpr int kProcesses = 3;
  constexpr std::uint64_t kTurns = 20'000;
  Shared<Guarded> guarded;
  std::vector<std::unique_ptr<Child>> children;
  const std::uint64_t turns = scaled(kTurns);
  for (int i = 0; i < kProcesses; ++i) {
    children.push_back(std::make_unique<Child>([&] {
      NamedMutex mutex = open();
      std::thread beside([&] {
        for (std::uint64_t k = 0; k < turns; ++k) turn(mutex, *guarded);
      });
      for (std::uint64_t k = 0; k < turns; ++k) turn(mutex, *guarded);
      beside.join();
      return 0;
    }));
  }
  for (const auto& child : children) EXPECT_EQ(child->join(), 0);
  EXPECT_EQ(guarded->broken, 0u);
  EXPECT_EQ(guarded->deaths_seen, 0u);
  EXPECT_EQ(guarded->first, 2 * kProcesses * turns);
}

// Owners and waiters die at random moments, and are replaced; the others go on.
TEST_F(MutexBetweenProcesses, OneAtATimeAmongProcessesThatAreKilled) {
  constexpr int kProcesses = 3;
  const std::uint64_t kills = scaled(300);
  std::mt19937_64 random(random_seed());
  Shared<Guarded> guarded;
  NamedMutex watcher = open();
  const auto live = [&] {
    NamedMutex mutex = open();
    for (;;) turn(mutex, *guarded);
    return 0;
  };
  std::vector<std::unique_ptr<Child>> children;
  for (int i = 0; i < kProcesses; ++i) children.push_back(std::make_unique<Child>(live));
  for (std::uint64_t i = 0; i < kills; ++i) {
    // Once somebody has had a turn since the last death.
    const std::uint64_t before = guarded->first;
    while (guarded->first == before) usleep(50);
    usleep(static_cast<useconds_t>(random() % 1000));
    auto& victim = children[random() % kProcesses];
    victim->signal(SIGKILL);
    victim->join();
    victim = std::make_unique<Child>(live);
  }
  children.clear();
  std::printf("%llu turns, %llu deaths of owners seen, of %llu kills\n",
              static_cast<unsigned long long>(guarded->first.load()),
              static_cast<unsigned long long>(guarded->deaths_seen.load()),
              static_cast<unsigned long long>(kills));
  EXPECT_EQ(guarded->broken, 0u);
  EXPECT_GT(guarded->deaths_seen, 0u);
  turn(watcher, *guarded);
  EXPECT_EQ(guarded->broken, 0u);
}

// Signals that end each sleep: a wait is no shorter and no longer for it.
TEST_F(MutexBetweenProcesses, AStormOfSignalsEndsNoWait) {
  NamedMutex mine = open();
  Child child(owner());
  await_owner();
  struct sigaction action {};
  action.sa_handler = [](int) {};
  sigaction(SIGUSR1, &action, nullptr);
  std::atomic<bool> stop{false};
  const pthread_t self = pthread_self();
  std::thread storm([&] {
    while (!stop) {
      pthread_kill(self, SIGUSR1);
      usleep(200);
    }
  });
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(mine.acquire(Deadline::after(120ms)), LockResult::kTimedOut);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 120ms);
  child.signal(SIGKILL);
  EXPECT_EQ(mine.acquire(), LockResult::kOwnerDied);
  stop = true;
  storm.join();
}

}  // namespace
}  // namespace rondo::testing
