// Both sides of a channel share one core (`taskset -c 0`, a container's set of one): whoever waits
// must not keep it from the one that it waits for. Counted in looks, not timed: one who spins for
// as long as the scheduler lets him makes some hundred thousands for each message.
//
//   1. NobodySpinsAgainstHimself
//   2. NorWhereTheCoreIsSharedFromThenOn
#include <gtest/gtest.h>
#include <sched.h>

#include <cstdint>
#include <string>

#include "support/doorbell_fixture.hpp"

namespace rondo {
namespace {

using testing::Mailbox;

// This thread to the core that it is on, and back again.
class OnOneCore {
 public:
  OnOneCore() {
    sched_getaffinity(0, sizeof before_, &before_);
    pin();
  }
  ~OnOneCore() { sched_setaffinity(0, sizeof before_, &before_); }
  OnOneCore(const OnOneCore&) = delete;
  OnOneCore& operator=(const OnOneCore&) = delete;

 private:
  static void pin() {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<unsigned>(sched_getcpu()), &one);
    if (sched_setaffinity(0, sizeof one, &one) != 0) std::abort();
  }
  cpu_set_t before_{};
};

// Takes turns with another one; counts its looks.
class Player {
 public:
  Player(Mailbox& in, Mailbox& out, WaitMode mode)
      : in_(in), waiter_(in.waiter, in.notifier), strategy_(mode), out_(out) {}

  bool take() {
    ++turn_;
    return strategy_.wait(
               waiter_, Deadline::never(),
               [this] {
                 ++looks_;
                 // M2 (acquire, pairs with M1): as the mailbox's reader.
                 return in_.published.load(std::memory_order_acquire) >= turn_;
               },
               [] { return false; }) == WaitResult::kReady;
  }
  void give() { out_.publish(); }
  [[nodiscard]] std::uint64_t looks() const { return looks_; }

 private:
  Mailbox& in_;
  Waiter waiter_;
  WaitStrategy strategy_;
  testing::Publisher out_;
  std::uint64_t turn_ = 0;
  std::uint64_t looks_ = 0;
};

struct Table {
  Mailbox ping;
  Mailbox pong;
  Atomic<std::uint64_t> looks;  // of the child
};

struct Case {
  WaitMode mode;
  std::uint64_t most_looks;  // per turn
};
void PrintTo(const Case& one, std::ostream* out) { *out << to_string(one.mode); }

class OneCore : public ::testing::TestWithParam<Case> {
 protected:
  OneCore() { alarm(240); }
  ~OneCore() override { alarm(0); }

  // Plays `turns` turns after `warm_up`, and checks the looks of both.
  template <class Between>
  void play(std::uint64_t warm_up, std::uint64_t turns, Between&& between) {
    const WaitMode mode = GetParam().mode;
    const std::uint64_t most_looks = GetParam().most_looks;
    testing::Shared<Table> table;
    testing::Child child([&] {
      Player player(table->ping, table->pong, mode);
      std::uint64_t before = 0;
      for (std::uint64_t i = 0; i < warm_up + turns; ++i) {
        if (i == warm_up) before = player.looks();
        if (!player.take()) return 1;
        // relaxed: read when this process has ended.
        table->looks.store(player.looks() - before, std::memory_order_relaxed);
        player.give();
      }
      return 0;
    });
    Player player(table->pong, table->ping, mode);
    std::uint64_t before = 0;
    for (std::uint64_t i = 0; i < warm_up + turns; ++i) {
      if (i == warm_up) {
        between(child.pid());
        before = player.looks();
      }
      player.give();
      ASSERT_TRUE(player.take());
    }
    EXPECT_EQ(child.join(), 0);
    EXPECT_LE((player.looks() - before) / turns, most_looks);
    EXPECT_LE(table->looks.load(std::memory_order_relaxed) / turns, most_looks);
  }
};

TEST_P(OneCore, NobodySpinsAgainstHimself) {
  const OnOneCore here;
  play(200, testing::scaled(1000), [](pid_t) {});
}

TEST_P(OneCore, NorWhereTheCoreIsSharedFromThenOn) {
  cpu_set_t before{};
  sched_getaffinity(0, sizeof before, &before);
  play(200, testing::scaled(1000), [](pid_t child) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<unsigned>(sched_getcpu()), &one);
    EXPECT_EQ(sched_setaffinity(child, sizeof one, &one), 0);
    EXPECT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  });
  sched_setaffinity(0, sizeof before, &before);
}

INSTANTIATE_TEST_SUITE_P(Every, OneCore,
                         ::testing::Values(Case{WaitMode::kSpin, 20'000},
                                           Case{WaitMode::kPause, 20'000},
                                           Case{WaitMode::kYield, 1000},
                                           Case{WaitMode::kAdaptive, 300},
                                           Case{WaitMode::kPark, 20}),
                         [](const auto& one) { return std::string(to_string(one.param.mode)); });

}  // namespace
}  // namespace rondo
