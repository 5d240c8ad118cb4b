// A shared mutex between processes: whose readers and writers are killed, stopped and forked.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <random>
#include <shared_mutex>
#include <thread>
#include <vector>

#include "rondo/sync/named.hpp"
#include "rondo/sync/shared_mutex.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"

namespace rondo::testing {
namespace {

using namespace std::chrono_literals;
using sync::LockResult;
using Mutex = sync::Named<sync::shared_mutex>;

class SharedMutexBetweenProcesses : public Watchdog {
 protected:
  [[nodiscard]] Mutex open() const {
    auto opened = sync::named<sync::shared_mutex>(url_);
    if (!opened) {
      std::fprintf(stderr, "%s\n", opened.error().message.c_str());
      std::abort();
    }
    return std::move(opened).value();
  }
  // A child that holds it until it is killed.
  [[nodiscard]] std::unique_ptr<Child> holder(bool writes) const {
    const Shared<std::atomic<bool>> holds;
    auto child = std::make_unique<Child>([&] {
      static Mutex held = open();
      const LockResult result = writes ? held.acquire() : held.acquire_shared();
      if (result != LockResult::kLocked) return 1;
      *holds = true;
      for (;;) pause();
      return 0;
    });
    while (!*holds) usleep(100);
    return child;
  }

  ShmName name_;
  std::string url_ = "shm:" + name_.word();
};

TEST_F(SharedMutexBetweenProcesses, WhatAKilledOneHeldGoesToOneWhoSleeps) {
  Mutex mine = open();
  for (const bool wrote : {false, true}) {
    for (const bool write : {false, true}) {
      if (!wrote && !write) continue;  // they do not wait for each other
      auto child = holder(wrote);
      std::atomic<pid_t> sleeper{0};
      std::thread waits([&] {
        sleeper = gettid();
        const LockResult result = write ? mine.acquire() : mine.acquire_shared();
        EXPECT_EQ(result, wrote ? LockResult::kOwnerDied : LockResult::kLocked);
        EXPECT_TRUE(write ? mine.unlock() : mine.unlock_shared());
      });
      while (sleeper == 0) usleep(100);
      await_sleep(sleeper);
      child->signal(SIGKILL);
      child->join();
      waits.join();
      // As new for the next turn.
      mine.attachment().parts().object->writer.store(0, std::memory_order_relaxed);
      EXPECT_TRUE(mine.try_lock());
      EXPECT_TRUE(mine.unlock());
    }
  }
}

TEST_F(SharedMutexBetweenProcesses, AWriterKilledWhileItWaitsHasSpoiltNothing) {
  Mutex mine = open();
  mine.lock_shared();
  auto* const part = mine.attachment().parts().object;
  Child child([&] {
    static Mutex theirs = open();
    theirs.lock();
    return 1;
  });
  while (part->waiting.load() == 0) usleep(100);
  EXPECT_FALSE(mine.try_lock_shared());
  child.signal(SIGKILL);
  child.join();
  EXPECT_EQ(mine.acquire_shared(), LockResult::kLocked);
  EXPECT_TRUE(mine.unlock_shared());
  EXPECT_TRUE(mine.unlock_shared());
  EXPECT_EQ(mine.acquire(), LockResult::kLocked);
}

TEST_F(SharedMutexBetweenProcesses, AStoppedHolderIsNotRobbed) {
  Mutex mine = open();
  for (const bool wrote : {false, true}) {
    auto child = holder(wrote);
    child->signal(SIGSTOP);
    child->join_stop();
    EXPECT_FALSE(mine.try_lock_for(200ms));
    EXPECT_EQ(mine.try_lock_shared_for(200ms), !wrote);
    EXPECT_EQ(mine.unlock_shared(), !wrote);
    child->signal(SIGKILL);
    child->join();
    EXPECT_EQ(mine.acquire(), wrote ? LockResult::kOwnerDied : LockResult::kLocked);
    mine.make_consistent();
    EXPECT_TRUE(mine.unlock());
  }
}

TEST_F(SharedMutexBetweenProcesses, AForkedOneHoldsNothing) {
  Mutex mine = open();
  mine.lock_shared();
  Child reads([&] {
    if (mine.unlock_shared() || mine.acquire_shared() != LockResult::kNoMember) return 1;
    return open().try_lock() ? 2 : 0;
  });
  EXPECT_EQ(reads.join(), 0);
  EXPECT_TRUE(mine.unlock_shared());
  mine.lock();
  Child writes([&] {
    if (mine.unlock() || mine.make_consistent()) return 1;
    return open().try_lock_shared() ? 2 : 0;
  });
  EXPECT_EQ(writes.join(), 0);
  EXPECT_TRUE(mine.unlock());
}

// Readers and writers die at random moments, and are replaced: writers are alone, and nobody reads
// what a dead one left half changed without being told.
TEST_F(SharedMutexBetweenProcesses, NothingIsLostOrSeenHalfByDeaths) {
  constexpr std::size_t kProcesses = 4;
  const std::uint64_t kills = scaled(300);
  std::mt19937_64 random(random_seed());
  struct Books {
    std::atomic<std::uint64_t> first, second;
    std::atomic<std::uint64_t> turns, half, died;
  };
  Shared<Books> books;
  Mutex watcher = open();
  const auto live = [&](bool writes) {
    return [&, writes] {
      Mutex mine = open();
      for (;;) {
        if (writes) {
          const LockResult result = mine.acquire();
          if (result > LockResult::kOwnerDied) return 1;
          if (result == LockResult::kOwnerDied) {
            ++books->died;
            books->second = books->first.load();
            mine.make_consistent();
          }
          if (books->first != books->second) ++books->half;
          ++books->first;
          for (int i = 0; i < 20; ++i) cpu_relax();
          ++books->second;
          mine.unlock();
        } else {
          const LockResult result = mine.acquire_shared();
          if (result > LockResult::kOwnerDied) return 1;
          const std::uint64_t first = books->first;
          for (int i = 0; i < 20; ++i) cpu_relax();
          if (result == LockResult::kLocked && first != books->second) ++books->half;
          mine.unlock_shared();
        }
        ++books->turns;
      }
    };
  };
  std::vector<std::unique_ptr<Child>> children;
  for (std::size_t i = 0; i < kProcesses; ++i) {
    children.push_back(std::make_unique<Child>(live(i < kProcesses / 2)));
  }
  for (std::uint64_t i = 0; i < kills; ++i) {
    const std::uint64_t before = books->turns;
    while (books->turns == before) usleep(50);
    usleep(static_cast<useconds_t>(random() % 1000));
    const std::size_t which = random() % kProcesses;
    children[which]->signal(SIGKILL);
    children[which]->join();
    children[which] = std::make_unique<Child>(live(which < kProcesses / 2));
  }
  children.clear();
  std::printf(
      "%llu turns, %llu kills, %llu told\n", static_cast<unsigned long long>(books->turns.load()),
      static_cast<unsigned long long>(kills), static_cast<unsigned long long>(books->died.load()));
  EXPECT_EQ(books->half, 0u);
  EXPECT_LE(watcher.acquire(), LockResult::kOwnerDied);
}

}  // namespace
}  // namespace rondo::testing
