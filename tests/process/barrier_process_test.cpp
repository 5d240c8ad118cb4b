// A barrier between processes: whose parties are killed, stopped and forked.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "rondo/sync/barrier.hpp"
#include "rondo/sync/named.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"

namespace rondo::testing {
namespace {

using namespace std::chrono_literals;
using sync::BarrierResult;
using Barrier = sync::Named<sync::barrier>;

class BarrierBetweenProcesses : public Watchdog {
 protected:
  [[nodiscard]] Barrier open(std::uint32_t parties) const {
    auto opened =
        sync::named<sync::barrier>(url_, {.begin = [=](auto& part) { part.begin(parties); }});
    if (!opened) {
      std::fprintf(stderr, "%s\n", opened.error().message.c_str());
      std::abort();
    }
    return std::move(opened).value();
  }

  ShmName name_;
  std::string url_ = "shm:" + name_.word();
};

TEST_F(BarrierBetweenProcesses, AKilledPartyIsRemovedWhileTheOthersSleep) {
  Barrier mine = open(2);
  Shared<std::atomic<bool>> sits;
  Child child([&] {
    static Barrier theirs = open(2);
    *sits = theirs.take_seat();
    for (;;) pause();
    return 0;
  });
  while (!*sits) usleep(100);
  std::atomic<pid_t> sleeper{0};
  std::thread waits([&] {
    sleeper = gettid();
    EXPECT_EQ(mine.arrive_and_wait(), BarrierResult::kPartyDied);
    EXPECT_EQ(mine.arrive_and_wait(), BarrierResult::kDone);
  });
  while (sleeper == 0) usleep(100);
  await_sleep(sleeper);
  child.signal(SIGKILL);
  child.join();
  waits.join();
  EXPECT_EQ(mine.parties(), 1u);
}

TEST_F(BarrierBetweenProcesses, AStoppedPartyIsWaitedForAndAForkedOneIsNone) {
  Barrier mine = open(2);
  Shared<std::atomic<int>> step;
  Child child([&] {
    if (mine.arrive() || mine.take_seat() || mine.arrive_and_drop()) return 1;  // inherited
    Barrier theirs = open(2);
    *step = theirs.take_seat() ? 1 : -1;
    while (*step != 2) usleep(100);
    return theirs.arrive_and_wait() == BarrierResult::kDone ? 0 : 2;
  });
  while (*step == 0) usleep(100);
  child.signal(SIGSTOP);
  child.join_stop();
  const auto here = mine.arrive();
  EXPECT_EQ(mine.wait_for(here, 300ms), BarrierResult::kTimedOut);
  *step = 2;
  child.signal(SIGCONT);
  EXPECT_EQ(mine.wait(here), BarrierResult::kDone);
  EXPECT_EQ(child.join(), 0);
}

// Parties die at random moments, one after the other: nobody goes on before all who live have
// arrived, and in each phase all who live are told the same.
TEST_F(BarrierBetweenProcesses, DeathsAtRandomAreToldToAllTheRest) {
  constexpr std::uint32_t kChildren = 4;
  constexpr std::uint32_t kPhases = 1u << 14;
  std::mt19937_64 random(random_seed());
  struct Books {
    std::atomic<std::uint32_t> arrived[kChildren + 1];
    std::atomic<bool> killed[kChildren + 1];
    std::atomic<std::uint8_t> told[kPhases][kChildren + 1];  // 1 + result
    std::atomic<std::uint64_t> too_early;
  };
  const std::uint64_t rounds = scaled(20);
  std::uint64_t deaths_told = 0;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    Shared<Books> books;
    Barrier mine = open(kChildren + 1);
    const auto step = [&](Barrier& barrier, std::uint32_t self, std::uint32_t phase) {
      books->arrived[self] = phase + 1;
      const BarrierResult result = barrier.arrive_and_wait();
      if (result > BarrierResult::kPartyDied) return false;
      for (std::uint32_t i = 0; i <= kChildren; ++i) {
        if (books->arrived[i] < phase + 1 && !books->killed[i]) ++books->too_early;
      }
      books->told[phase][self] = static_cast<std::uint8_t>(1 + static_cast<int>(result));
      return true;
    };
    std::vector<std::unique_ptr<Child>> children;
    for (std::uint32_t i = 0; i < kChildren; ++i) {
      children.push_back(std::make_unique<Child>([&, i] {
        Barrier theirs = open(kChildren + 1);
        for (std::uint32_t phase = 0; phase < kPhases; ++phase) {
          if (!step(theirs, i, phase)) return 1;
        }
        return 2;
      }));
    }
    std::uint32_t dead = 0;
    std::uint32_t phase = 0;
    for (; phase < kPhases && (mine.parties() > 1 || dead < kChildren); ++phase) {
      ASSERT_TRUE(step(mine, kChildren, phase));
      if (dead < kChildren && random() % 16 == 0) {
        usleep(static_cast<useconds_t>(random() % 200));
        books->killed[dead] = true;
        children[dead++]->signal(SIGKILL);
      }
    }
    children.clear();
    EXPECT_EQ(dead, kChildren);
    EXPECT_EQ(mine.parties(), 1u);
    EXPECT_EQ(books->too_early, 0u);
    for (std::uint32_t at = 0; at < phase; ++at) {
      const std::uint8_t ours = books->told[at][kChildren];
      deaths_told += ours == 1 + static_cast<int>(BarrierResult::kPartyDied) ? 1 : 0;
      for (std::uint32_t i = 0; i < kChildren; ++i) {
        const std::uint8_t theirs = books->told[at][i];
        EXPECT_TRUE(theirs == 0 || theirs == ours) << "phase " << at;
      }
    }
  }
  std::printf("%llu phases with a death\n", static_cast<unsigned long long>(deaths_told));
  EXPECT_GE(deaths_told, rounds);
}

}  // namespace
}  // namespace rondo::testing
