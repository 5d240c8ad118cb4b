// A semaphore between processes: whose holders and waiters are killed, stopped and forked.
#include <gtest/gtest.h>

#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "rondo/sync/named.hpp"
#include "rondo/sync/semaphore.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"

namespace rondo::testing {
namespace {

using namespace std::chrono_literals;
constexpr std::uint32_t kPermits = 2;
using Semaphore = sync::Named<sync::counting_semaphore<4>>;

class SemaphoreBetweenProcesses : public Watchdog {
 protected:
  [[nodiscard]] Semaphore open() const {
    auto opened = sync::named<sync::counting_semaphore<4>>(
        url_, {.begin = [](auto& part) { part.begin(kPermits); }});
    if (!opened) {
      std::fprintf(stderr, "%s\n", opened.error().message.c_str());
      std::abort();
    }
    return std::move(opened).value();
  }

  ShmName name_;
  std::string url_ = "shm:" + name_.word();
};

TEST_F(SemaphoreBetweenProcesses, AKilledHoldersPermitsGoToOneWhoSleeps) {
  Semaphore mine = open();
  for (int round = 0; round < 5; ++round) {
    Shared<std::atomic<bool>> holds;
    Child child([&] {
      static Semaphore held = open();
      *holds = held.acquire() && held.acquire();
      for (;;) pause();
      return 0;
    });
    while (!*holds) usleep(100);
    std::atomic<pid_t> sleeper{0};
    std::thread waits([&] {
      sleeper = gettid();
      EXPECT_TRUE(mine.acquire());
      EXPECT_TRUE(mine.acquire());
    });
    while (sleeper == 0) usleep(100);
    await_sleep(sleeper);
    child.signal(SIGKILL);
    child.join();
    waits.join();
    EXPECT_TRUE(mine.release());
    EXPECT_TRUE(mine.release());
    EXPECT_EQ(mine.available(), kPermits);
  }
}

TEST_F(SemaphoreBetweenProcesses, AStoppedHolderIsNotRobbedAndAForkedOneHoldsNothing) {
  Semaphore mine = open();
  Shared<std::atomic<bool>> holds;
  Shared<std::atomic<bool>> give_back;
  Child child([&] {
    if (mine.acquire(Deadline::now()) || mine.post() || mine.release()) return 1;  // inherited
    Semaphore held = open();
    if (!held.acquire() || !held.acquire()) return 2;
    *holds = true;
    while (!*give_back) usleep(100);
    return held.release() ? 0 : 3;
  });
  while (!*holds) usleep(100);
  child.signal(SIGSTOP);
  child.join_stop();
  EXPECT_FALSE(mine.try_acquire_for(300ms));
  *give_back = true;
  child.signal(SIGCONT);
  EXPECT_TRUE(mine.acquire());
  EXPECT_EQ(child.join(), 0);
  EXPECT_TRUE(mine.acquire());  // the one with which it left
}

// Holders and waiters die at random moments, and are replaced: never more than there are permits
// are inside, and in the end all permits are there.
TEST_F(SemaphoreBetweenProcesses, NoPermitIsLostOrMadeByDeaths) {
  constexpr std::size_t kProcesses = 4;
  const std::uint64_t kills = scaled(300);
  std::mt19937_64 random(random_seed());
  struct Books {
    std::atomic<std::uint64_t> turns;
    std::atomic<std::uint32_t> inside;  // a bit for each, so that all are seen at one moment
    std::atomic<std::uint64_t> too_many;
  };
  Shared<Books> books;
  Semaphore watcher = open();
  const auto live = [&](std::size_t self) {
    return [&, self] {
      Semaphore mine = open();
      for (;;) {
        if (!mine.acquire()) return 1;
        const std::uint32_t others = books->inside.fetch_or(1u << self);
        if (std::popcount(others | 1u << self) > static_cast<int>(kPermits)) ++books->too_many;
        ++books->turns;
        books->inside.fetch_and(~(1u << self));
        mine.release();
      }
    };
  };
  std::vector<std::unique_ptr<Child>> children;
  for (std::size_t i = 0; i < kProcesses; ++i) {
    children.push_back(std::make_unique<Child>(live(i)));
  }
  for (std::uint64_t i = 0; i < kills; ++i) {
    const std::uint64_t before = books->turns;
    while (books->turns == before) usleep(50);
    usleep(static_cast<useconds_t>(random() % 1000));
    const std::size_t which = random() % kProcesses;
    // What it says of itself must be gone before its permit is taken: so stop it first, clear,
    // kill.
    children[which]->signal(SIGSTOP);
    children[which]->join_stop();
    books->inside.fetch_and(~(1u << which));
    children[which]->signal(SIGKILL);
    children[which]->join();
    children[which] = std::make_unique<Child>(live(which));
  }
  children.clear();
  std::printf("%llu turns, %llu kills\n", static_cast<unsigned long long>(books->turns.load()),
              static_cast<unsigned long long>(kills));
  EXPECT_EQ(books->too_many, 0u);
  for (std::uint32_t i = 0; i < kPermits; ++i) EXPECT_TRUE(watcher.try_acquire());
  EXPECT_FALSE(watcher.try_acquire());
}

// Each signal wakes somebody, and each is taken once.
TEST_F(SemaphoreBetweenProcesses, SignalsPassBetweenProcesses) {
  const std::uint64_t signals = scaled(20'000);
  Semaphore mine = open();
  while (mine.try_consume()) {
  }
  Child child([&] {
    Semaphore theirs = open();
    for (std::uint64_t i = 0; i < signals; ++i) {
      while (!theirs.post()) usleep(10);
    }
    return 0;
  });
  for (std::uint64_t i = 0; i < signals; ++i) ASSERT_TRUE(mine.consume());
  EXPECT_EQ(child.join(), 0);
  EXPECT_FALSE(mine.try_consume());
}

}  // namespace
}  // namespace rondo::testing
