// Contract of sync::counting_semaphore, over words in plain memory and deaths of the test's making.
// Each line has a test of the same name, in this order.
//  1. PermitsAreTakenAndGivenBack
//  2. WithoutOneAWaitEndsAtItsDeadlineOfAnyClock
//  3. AWaiterGetsWhatIsFreed
//  4. AllWhoSleepShareWhatIsFreed
//  5. WhatOneDoesNotHoldItCannotRelease
//  6. ThePermitsOfTheDeadComeBackByEachWayOfTaking
//  7. TheLivingAreAskedAfterButNotRobbed
//  8. ASignalIsMadeByOneAndTakenForGoodByAnother
//  9. ThereAreNoMorePermitsThanWords
// 10. WhoIsNoMemberTakesAndMakesNothing
// 11. ItIsSettledWithAsManyPermitsAsAtTheBeginning
// 12. AnyWordsEndInAnAnswer                  a hostile peer
// 13. ABellThatChangesAllTheTimeEndsAtTheDeadline
// 14. ByANameItKeepsWhatWasSignalled
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <set>
#include <thread>
#include <vector>

#include "rondo/sync/named.hpp"
#include "rondo/sync/semaphore.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"
#include "support/staged_member.hpp"

namespace rondo::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::ElementsAre;
using Semaphore = sync::basic_semaphore<3, BellSystem, StagedMember>;
using Part = Semaphore::Part;

constexpr std::uint32_t kA = tenure_of(0);
constexpr std::uint32_t kB = tenure_of(1);
constexpr std::uint32_t kFree = Part::kFree;

class SemaphoreSpec : public Watchdog {
 protected:
  [[nodiscard]] std::vector<std::uint32_t> words() const {
    std::vector<std::uint32_t> found;
    for (const auto& permit : part_.permits) found.push_back(permit.load());
    return found;
  }
  void put(std::uint32_t first, std::uint32_t second, std::uint32_t third) {
    part_.permits[0] = first;
    part_.permits[1] = second;
    part_.permits[2] = third;
  }
  void await_sleeper() const {
    while ((part_.rings.load() & sync::detail::kAsleep) == 0) std::this_thread::yield();
  }

  Part part_{};
  std::set<std::uint32_t> living_{kA, kB};
  StagedMember a_member_{kA, &living_};
  StagedMember b_member_{kB, &living_};
  Semaphore a_{part_, a_member_};
  Semaphore b_{part_, b_member_};
};

TEST_F(SemaphoreSpec, PermitsAreTakenAndGivenBack) {
  part_.begin(2);
  EXPECT_THAT(words(), ElementsAre(kFree, kFree, 0u));

  EXPECT_TRUE(a_.acquire());
  EXPECT_TRUE(b_.try_acquire());
  EXPECT_EQ(a_.available(), 0u);
  EXPECT_EQ(a_.held(), 1u);
  EXPECT_FALSE(a_.try_acquire());

  EXPECT_TRUE(a_.release());
  EXPECT_EQ(a_.held(), 0u);
  EXPECT_TRUE(b_.try_acquire());
  EXPECT_EQ(b_.held(), 2u);
  EXPECT_TRUE(b_.release());
  EXPECT_TRUE(b_.release());
  EXPECT_EQ(b_.available(), 2u);
  EXPECT_THAT(words(), ElementsAre(kFree, kFree, 0u));
}

TEST_F(SemaphoreSpec, WithoutOneAWaitEndsAtItsDeadlineOfAnyClock) {
  EXPECT_FALSE(a_.acquire(Deadline::now()));
  EXPECT_FALSE(a_.acquire(Deadline::after(3ms)));
  EXPECT_FALSE(a_.consume(Deadline::after(3ms)));
  EXPECT_FALSE(a_.try_acquire_for(1ms));
  EXPECT_FALSE(a_.try_acquire_until(std::chrono::steady_clock::now() + 1ms));
  EXPECT_FALSE(a_.try_acquire_until(std::chrono::system_clock::now() + 1ms));
  EXPECT_FALSE(a_.try_acquire_until(std::chrono::system_clock::time_point::min()));
}

TEST_F(SemaphoreSpec, AWaiterGetsWhatIsFreed) {
  for (const bool posted : {false, true}) {
    put(posted ? 0 : kB, kA, kA);
    std::thread waiter([&] { EXPECT_TRUE(a_.acquire()); });
    await_sleeper();
    EXPECT_TRUE(posted ? b_.post() : b_.release());
    waiter.join();
    EXPECT_THAT(words(), ElementsAre(kA, kA, kA));
  }
}

TEST_F(SemaphoreSpec, AllWhoSleepShareWhatIsFreed) {
  put(kB, kB, kB);
  std::vector<std::thread> waiters;
  for (int i = 0; i < 3; ++i) {
    waiters.emplace_back([&] { EXPECT_TRUE(a_.acquire(Deadline::never())); });
  }
  await_sleeper();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(b_.release());
  for (std::thread& waiter : waiters) waiter.join();
  EXPECT_EQ(a_.held(), 3u);
}

TEST_F(SemaphoreSpec, WhatOneDoesNotHoldItCannotRelease) {
  put(kA, kFree, 0);
  EXPECT_FALSE(b_.release());
  EXPECT_THAT(words(), ElementsAre(kA, kFree, 0u));
}

TEST_F(SemaphoreSpec, ThePermitsOfTheDeadComeBackByEachWayOfTaking) {
  living_.erase(kA);
  const std::function<bool()> ways[] = {
      [&] { return b_.acquire(); },
      [&] { return b_.try_acquire(); },
      [&] { return b_.try_acquire_for(1h); },
      [&] { return b_.try_acquire_until(std::chrono::system_clock::now() + 1h); },
      [&] { return b_.consume(); },
      [&] { return b_.try_consume(); },
  };
  for (const auto& way : ways) {
    put(kB, kA, kB);
    EXPECT_TRUE(way());
    EXPECT_NE(part_.permits[1].load(), kA);
    EXPECT_EQ(b_.available(), 0u);
  }
}

TEST_F(SemaphoreSpec, TheLivingAreAskedAfterButNotRobbed) {
  put(kA, kA, kB);
  EXPECT_FALSE(b_.acquire(Deadline::after(150ms)));
  EXPECT_GE(b_member_.asked, 1u);
  EXPECT_THAT(words(), ElementsAre(kA, kA, kB));
}

TEST_F(SemaphoreSpec, ASignalIsMadeByOneAndTakenForGoodByAnother) {
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(a_.post());
    EXPECT_TRUE(b_.consume());
    EXPECT_EQ(b_.held(), 0u);
  }
  EXPECT_THAT(words(), ElementsAre(0u, 0u, 0u));
  EXPECT_FALSE(b_.try_consume());
}

TEST_F(SemaphoreSpec, ThereAreNoMorePermitsThanWords) {
  EXPECT_EQ(Semaphore::max(), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(a_.post());
  EXPECT_TRUE(b_.acquire());
  EXPECT_FALSE(a_.post());
  Part many{};
  many.begin(7);
  EXPECT_EQ(many.begun.load(), 3u);
}

TEST_F(SemaphoreSpec, WhoIsNoMemberTakesAndMakesNothing) {
  const StagedMember nobody{0, &living_};
  Semaphore stranger(part_, nobody);
  put(kFree, 0, kA);
  EXPECT_FALSE(stranger.acquire());
  EXPECT_FALSE(stranger.consume());
  EXPECT_FALSE(stranger.release());
  EXPECT_FALSE(stranger.post());
  EXPECT_EQ(stranger.held(), 0u);
  EXPECT_THAT(words(), ElementsAre(kFree, 0u, kA));
}

TEST_F(SemaphoreSpec, ItIsSettledWithAsManyPermitsAsAtTheBeginning) {
  part_.begin(2);
  EXPECT_TRUE(Semaphore::settled(part_));
  EXPECT_TRUE(a_.acquire());
  EXPECT_TRUE(Semaphore::settled(part_));  // a dead one's, if it comes to that
  EXPECT_TRUE(a_.post());
  EXPECT_FALSE(Semaphore::settled(part_));
  EXPECT_TRUE(a_.consume());
  EXPECT_TRUE(a_.consume());
  EXPECT_FALSE(Semaphore::settled(part_));
}

TEST_F(SemaphoreSpec, AnyWordsEndInAnAnswer) {
  constexpr std::uint32_t kWords[] = {0, kFree, 2, 1023, kA, kB, kA + 7, 0x4000'0000, ~0u};
  for (const std::uint32_t first : kWords) {
    for (const std::uint32_t second : kWords) {
      put(first, second, kA);
      const auto is_permit = [](std::uint32_t word) {
        return word != 0 && word != kA && word != kB;
      };
      EXPECT_EQ(b_.acquire(Deadline::now()), is_permit(first) || is_permit(second));
      part_.rings = first;
      const bool holds = b_.held() != 0;
      EXPECT_EQ(b_.release(), holds);
    }
  }
}

TEST_F(SemaphoreSpec, ABellThatChangesAllTheTimeEndsAtTheDeadline) {
  std::atomic<bool> stop{false};
  std::thread scribbler([&] {
    for (std::uint32_t i = 0; !stop; ++i) part_.rings = i * 2654435761u;
  });
  for (int i = 0; i < 20; ++i) {
    EXPECT_FALSE(a_.acquire(Deadline::after(1ms)));
    EXPECT_TRUE(a_.post());
    EXPECT_TRUE(a_.consume());
  }
  stop = true;
  scribbler.join();
}

TEST_F(SemaphoreSpec, ByANameItKeepsWhatWasSignalled) {
  using Named = sync::counting_semaphore<4>;
  ShmName name;
  const std::string url = "shm:" + name.word();
  const auto open = [&] {
    return sync::named<Named>(url, {.begin = [](auto& part) { part.begin(1); }}).value();
  };
  {
    auto one = open();
    EXPECT_EQ(code_of(sync::named<sync::binary_semaphore>(url)),
              code_of(ErrorCode::kGeometryMismatch));
    EXPECT_TRUE(one.acquire());
    EXPECT_TRUE(one.post());
  }
  EXPECT_TRUE(std::filesystem::exists(name.path()));
  {
    auto two = open();
    EXPECT_EQ(two.available(), 1u);
    EXPECT_TRUE(two.try_acquire());
    EXPECT_TRUE(two.try_consume());  // the one that was held
    EXPECT_FALSE(two.try_consume());
    EXPECT_TRUE(two.release());
  }
  EXPECT_FALSE(std::filesystem::exists(name.path()));
}

}  // namespace
}  // namespace rondo::testing
