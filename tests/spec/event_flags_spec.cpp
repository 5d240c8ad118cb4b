// Contract of sync::event_flags and sync::latch, over words in plain memory. Each line has a test
// of the same name, in this order.
//  1. BitsAreSetAndCleared
//  2. AnyOrAllAreWaitedFor
//  3. WhatIsTakenIsTakenOnce
//  4. AWaitEndsAtItsDeadline
//  5. AllWhoWaitForABitAreWoken
//  6. BitsThatNobodyTookKeepTheName
//  7. FlagsThatChangeAllTheTimeEndAtTheDeadline      a hostile peer
//  8. ALatchOpensAtZeroAndStaysOpen
//  9. AllWhoWaitForALatchAreWoken
// 10. AWaitForALatchEndsAtItsDeadline
// 11. ALatchHasANameAndKeepsIt
// 12. ALatchThatChangesAllTheTimeEndsAtTheDeadline   a hostile peer
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>
#include <vector>

#include "rondo/sync/event_flags.hpp"
#include "rondo/sync/latch.hpp"
#include "rondo/sync/named.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"
#include "support/staged_member.hpp"

namespace rondo::testing {
namespace {

using namespace std::chrono_literals;
using sync::EventFlagsPart;
using sync::LatchPart;
using Flags = sync::basic_event_flags<BellSystem, StagedMember>;
using Latch = sync::basic_latch<BellSystem, StagedMember>;

class EventFlagsSpec : public Watchdog {
 protected:
  void await_sleeper() const {
    while ((part_.rings.load() & sync::detail::kAsleep) == 0) std::this_thread::yield();
  }

  EventFlagsPart part_{};
  StagedMember member_{tenure_of(0)};
  Flags flags_{part_, member_};
};

TEST_F(EventFlagsSpec, BitsAreSetAndCleared) {
  EXPECT_EQ(flags_.set(5), 0u);
  EXPECT_EQ(flags_.set(2), 5u);
  EXPECT_EQ(flags_.get(), 7u);
  EXPECT_EQ(flags_.clear(6), 7u);
  EXPECT_EQ(flags_.get(), 1u);
  EXPECT_EQ(part_.rings.load(), 0u);
}

TEST_F(EventFlagsSpec, AnyOrAllAreWaitedFor) {
  flags_.set(6);
  EXPECT_EQ(flags_.wait_any(3), 2u);
  EXPECT_EQ(flags_.wait_all(6), 6u);
  EXPECT_EQ(flags_.wait_all(3, Deadline::now()), 0u);
  EXPECT_EQ(flags_.wait_any(0), 0u);
  EXPECT_EQ(flags_.wait_all(0), 0u);
  EXPECT_EQ(flags_.get(), 6u);
}

TEST_F(EventFlagsSpec, WhatIsTakenIsTakenOnce) {
  flags_.set(7);
  EXPECT_EQ(flags_.take_any(3), 3u);
  EXPECT_EQ(flags_.get(), 4u);
  EXPECT_EQ(flags_.take_all(6, Deadline::now()), 0u);
  EXPECT_EQ(flags_.get(), 4u);
  EXPECT_EQ(flags_.take_all(4), 4u);
  EXPECT_EQ(flags_.get(), 0u);

  constexpr int kRounds = 2000;
  std::atomic<int> taken{0};
  std::vector<std::thread> takers;
  for (int i = 0; i < 2; ++i) {
    takers.emplace_back([&] {
      while (flags_.take_any(1 | 1u << 31) == 1) ++taken;
    });
  }
  for (int i = 0; i < kRounds; ++i) {
    while ((flags_.set(1) & 1) != 0) std::this_thread::yield();
  }
  while (flags_.get() != 0) std::this_thread::yield();
  EXPECT_GT(taken, 0);
  for (std::thread& taker : takers) {
    static_cast<void>(taker);
    flags_.set(1u << 31);
    while ((flags_.get() & 1u << 31) != 0) std::this_thread::yield();
  }
  for (std::thread& taker : takers) taker.join();
}

TEST_F(EventFlagsSpec, AWaitEndsAtItsDeadline) {
  EXPECT_EQ(flags_.wait_any(1, Deadline::now()), 0u);
  EXPECT_EQ(flags_.wait_any(1, Deadline::after(3ms)), 0u);
  EXPECT_EQ(flags_.take_all(1, Deadline::after(70ms)), 0u);
}

TEST_F(EventFlagsSpec, AllWhoWaitForABitAreWoken) {
  std::vector<std::thread> waiters;
  for (std::uint32_t i = 0; i < 3; ++i) {
    waiters.emplace_back([&, i] { EXPECT_EQ(flags_.wait_all(1u | 1u << i), 1u | 1u << i); });
  }
  await_sleeper();
  flags_.set(6);
  flags_.set(1);
  for (std::thread& waiter : waiters) waiter.join();
}

TEST_F(EventFlagsSpec, BitsThatNobodyTookKeepTheName) {
  ShmName name;
  const std::string url = "shm:" + name.word();
  {
    auto one = sync::named<sync::event_flags>(url);
    ASSERT_TRUE(one) << one.error().message;
    one->set(4);
  }
  EXPECT_TRUE(std::filesystem::exists(name.path()));
  EXPECT_EQ(sync::named<sync::event_flags>(url)->take_any(~0u), 4u);
  EXPECT_FALSE(std::filesystem::exists(name.path()));
}

TEST_F(EventFlagsSpec, FlagsThatChangeAllTheTimeEndAtTheDeadline) {
  std::atomic<bool> stop{false};
  std::thread scribbler([&] {
    for (std::uint32_t i = 0; !stop; ++i) {
      part_.rings = i * 2654435761u;
      part_.bits = i & ~1u;
    }
  });
  for (int i = 0; i < 20; ++i) EXPECT_EQ(flags_.take_all(3, Deadline::after(1ms)), 0u);
  stop = true;
  scribbler.join();
}

class LatchSpec : public Watchdog {
 protected:
  LatchPart part_{};
  StagedMember member_{tenure_of(0)};
  Latch latch_{part_, member_};
};

TEST_F(LatchSpec, ALatchOpensAtZeroAndStaysOpen) {
  part_.begin(3);
  EXPECT_FALSE(latch_.try_wait());
  latch_.count_down();
  EXPECT_EQ(part_.word.load(), 2u);
  latch_.count_down(5);
  EXPECT_TRUE(latch_.try_wait());
  EXPECT_TRUE(latch_.wait());
  latch_.count_down();
  EXPECT_EQ(part_.word.load(), 0u);
  part_.begin(~0u);
  EXPECT_EQ(part_.word.load(), LatchPart::kMost);
}

TEST_F(LatchSpec, AllWhoWaitForALatchAreWoken) {
  part_.begin(4);
  std::vector<std::thread> waiters;
  for (int i = 0; i < 3; ++i) {
    waiters.emplace_back([&] { EXPECT_TRUE(latch_.arrive_and_wait()); });
  }
  while ((part_.word.load() & LatchPart::kAsleep) == 0) std::this_thread::yield();
  latch_.count_down();
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(part_.word.load(), 0u);
}

TEST_F(LatchSpec, AWaitForALatchEndsAtItsDeadline) {
  part_.begin(1);
  EXPECT_FALSE(latch_.wait(Deadline::now()));
  EXPECT_FALSE(latch_.wait(Deadline::after(3ms)));
  EXPECT_FALSE(latch_.wait_for(70ms));
  EXPECT_EQ(part_.word.load(), LatchPart::kAsleep | 1);
}

TEST_F(LatchSpec, ALatchHasANameAndKeepsIt) {
  ShmName name;
  const std::string url = "shm:" + name.word();
  const auto open = [&] {
    return sync::named<sync::latch>(url, {.begin = [](auto& part) { part.begin(2); }}).value();
  };
  open().count_down();
  auto two = open();
  EXPECT_FALSE(two.try_wait());
  Child child([&] {
    open().count_down();
    return 0;
  });
  EXPECT_TRUE(two.wait());
  EXPECT_EQ(child.join(), 0);
  two.leave();
  EXPECT_TRUE(open().try_wait());
}

TEST_F(LatchSpec, ALatchThatChangesAllTheTimeEndsAtTheDeadline) {
  part_.begin(1);
  std::atomic<bool> stop{false};
  std::thread scribbler([&] {
    for (std::uint32_t i = 1; !stop; i += 2) part_.word = i;
  });
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(latch_.wait(Deadline::after(1ms)));
  stop = true;
  scribbler.join();
}

}  // namespace
}  // namespace rondo::testing
