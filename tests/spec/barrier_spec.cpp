// Contract of sync::barrier, over words in plain memory and deaths of the test's making. Each line
// has a test of the same name, in this order.
//  1. NobodyGoesOnBeforeAllHaveArrived
//  2. PhaseFollowsPhaseForThreadsToo
//  3. AWaitEndsAtItsDeadlineOfAnyClockAndMayGoOn
//  4. WhoDropsIsNotWaitedForAnyMore
//  5. APartyThatDiedIsRemovedAndAllTheRestAreTold
//  6. OneThatDiedAfterItArrivedIsRemovedInTheNextPhase
//  7. ADeathInTheNextPhaseIsNotToldInThisOne
//  8. WhoTookASeatIsLookedAfterBeforeItArrives
//  9. WhatADeadOneWouldHaveEndedAnotherOneEnds
// 10. TheLivingAreAskedAfterButNotRemoved
// 11. ThereAreNoMorePartiesThanSeats
// 12. WhoIsNoMemberTakesNoPart
// 13. ADeathOfLongAgoIsToldNoMore            also when phases are counted from zero again
// 14. WhoComesLateTakesNoNewsAway
// 15. AnyWordsEndInAnAnswer                  a hostile peer
// 16. WordsThatChangeAllTheTimeEndAtTheDeadline
// 17. ByANameItIsOne
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <set>
#include <thread>
#include <vector>

#include "rondo/sync/barrier.hpp"
#include "rondo/sync/named.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"
#include "support/staged_member.hpp"

namespace rondo::testing {
namespace {

using namespace std::chrono_literals;
using sync::BarrierResult;
using Barrier = sync::basic_barrier<3, BellSystem, StagedMember>;
using Part = Barrier::Part;

constexpr std::uint32_t kA = tenure_of(0);
constexpr std::uint32_t kB = tenure_of(1);
constexpr std::uint32_t kDead = tenure_of(2);

constexpr std::uint64_t seat(std::uint32_t whose, std::uint32_t phase) {
  return std::uint64_t{phase} << 32 | whose;
}

class BarrierSpec : public Watchdog {
 protected:
  void begin(std::uint32_t phase, std::vector<std::uint64_t> seats) {
    part_.begin(static_cast<std::uint32_t>(seats.size()));
    part_.phase = phase;
    for (std::size_t i = 0; i < seats.size(); ++i) part_.seats[i] = seats[i];
  }
  [[nodiscard]] std::uint32_t phase() const { return part_.phase.load() & Part::kPhase; }
  void await_sleeper() const {
    while ((part_.phase.load() & Part::kAsleep) == 0) std::this_thread::yield();
  }

  Part part_{};
  std::set<std::uint32_t> living_{kA, kB};
  StagedMember a_member_{kA, &living_};
  StagedMember b_member_{kB, &living_};
  Barrier a_{part_, a_member_};
  Barrier b_{part_, b_member_};
};

TEST_F(BarrierSpec, NobodyGoesOnBeforeAllHaveArrived) {
  part_.begin(2);
  const auto first = a_.arrive();
  ASSERT_TRUE(first);
  EXPECT_FALSE(a_.try_wait(first));
  EXPECT_EQ(phase(), 0u);
  std::thread waits([&] { EXPECT_EQ(a_.wait(first), BarrierResult::kDone); });
  await_sleeper();
  EXPECT_EQ(b_.arrive_and_wait(), BarrierResult::kDone);
  waits.join();
  EXPECT_EQ(part_.phase.load(), 1u);
  EXPECT_EQ(part_.seats[0].load(), seat(kA, 1));
  EXPECT_EQ(part_.seats[1].load(), seat(kB, 1));
  EXPECT_TRUE(a_.try_wait(first));
}

TEST_F(BarrierSpec, PhaseFollowsPhaseForThreadsToo) {
  part_.begin(3);
  constexpr int kPhases = 200;
  std::atomic<int> arrived{0};
  const auto live = [&](Barrier& barrier) {
    for (int i = 0; i < kPhases; ++i) {
      ++arrived;
      ASSERT_EQ(barrier.arrive_and_wait(), BarrierResult::kDone);
      ASSERT_GE(arrived, 3 * (i + 1));
    }
  };
  std::thread first([&] { live(a_); });
  std::thread second([&] { live(a_); });  // a party of its own
  live(b_);
  first.join();
  second.join();
  EXPECT_EQ(phase(), static_cast<std::uint32_t>(kPhases));
  EXPECT_EQ(arrived, 3 * kPhases);
}

TEST_F(BarrierSpec, AWaitEndsAtItsDeadlineOfAnyClockAndMayGoOn) {
  part_.begin(2);
  const auto here = a_.arrive();
  EXPECT_EQ(a_.wait(here, Deadline::now()), BarrierResult::kTimedOut);
  EXPECT_EQ(a_.wait(here, Deadline::after(3ms)), BarrierResult::kTimedOut);
  EXPECT_EQ(a_.wait_for(here, 1ms), BarrierResult::kTimedOut);
  const auto now = std::chrono::system_clock::now();
  EXPECT_EQ(a_.wait_until(here, now + 1ms), BarrierResult::kTimedOut);
  EXPECT_EQ(a_.wait_until(here, std::chrono::steady_clock::now()), BarrierResult::kTimedOut);
  EXPECT_TRUE(b_.arrive());
  EXPECT_EQ(a_.wait_until(here, now), BarrierResult::kDone);
}

TEST_F(BarrierSpec, WhoDropsIsNotWaitedForAnyMore) {
  part_.begin(2);
  EXPECT_EQ(a_.parties(), 2u);
  const auto here = a_.arrive();
  EXPECT_TRUE(b_.arrive_and_drop());
  EXPECT_EQ(a_.wait(here), BarrierResult::kDone);
  EXPECT_EQ(a_.parties(), 1u);
  EXPECT_EQ(a_.arrive_and_wait(), BarrierResult::kDone);
  EXPECT_EQ(b_.arrive_and_wait(), BarrierResult::kNoSeat);
  EXPECT_FALSE(b_.arrive_and_drop());
  EXPECT_TRUE(a_.arrive_and_drop());
  EXPECT_EQ(phase(), 3u);
}

TEST_F(BarrierSpec, APartyThatDiedIsRemovedAndAllTheRestAreTold) {
  begin(7, {seat(kDead, 7), seat(kA, 7), seat(kB, 7)});
  std::thread waits([&] { EXPECT_EQ(a_.arrive_and_wait(), BarrierResult::kPartyDied); });
  EXPECT_EQ(b_.arrive_and_wait(), BarrierResult::kPartyDied);
  waits.join();
  EXPECT_EQ(a_.parties(), 2u);
  std::thread again([&] { EXPECT_EQ(a_.arrive_and_wait(), BarrierResult::kDone); });
  EXPECT_EQ(b_.arrive_and_wait(), BarrierResult::kDone);
  again.join();
  EXPECT_EQ(phase(), 9u);
}

TEST_F(BarrierSpec, OneThatDiedAfterItArrivedIsRemovedInTheNextPhase) {
  begin(7, {seat(kDead, 8), seat(kA, 7)});
  EXPECT_EQ(a_.arrive_and_wait(), BarrierResult::kDone);
  EXPECT_EQ(a_.arrive_and_wait(), BarrierResult::kPartyDied);
  EXPECT_EQ(a_.arrive_and_wait(), BarrierResult::kDone);
  EXPECT_EQ(a_.parties(), 1u);
}

// Asks the kernel while others end the phase, and one of them arrives in the next one and dies.
TEST_F(BarrierSpec, ADeathInTheNextPhaseIsNotToldInThisOne) {
  struct Late {
    Part* part;
    [[nodiscard]] std::uint32_t tenure() const noexcept { return kA; }
    [[nodiscard]] static std::uint32_t looks() noexcept { return 0; }
    [[nodiscard]] bool ended(std::uint32_t) const noexcept {
      part->phase = 8;
      part->seats[1] = seat(kB, 8);
      part->seats[2] = seat(kDead, 9);
      return true;
    }
  };
  begin(7, {seat(kA, 7), seat(kB, 7), seat(kDead, 8)});
  const Late member{&part_};
  sync::basic_barrier<3, BellSystem, Late> barrier(part_, member);
  EXPECT_EQ(barrier.wait(barrier.arrive(), Deadline::now()), BarrierResult::kDone);
  EXPECT_EQ(part_.seats[1].load(), seat(kB, 8));
  EXPECT_EQ(part_.seats[2].load(), seat(kDead, 9));
}

TEST_F(BarrierSpec, WhoTookASeatIsLookedAfterBeforeItArrives) {
  part_.begin(2);
  EXPECT_TRUE(b_.take_seat());
  EXPECT_EQ(part_.seats[0].load(), seat(kB, 0));
  living_.erase(kB);
  EXPECT_EQ(a_.arrive_and_wait(), BarrierResult::kPartyDied);
  // And arrives on that seat.
  begin(0, {0, seat(kDead, 1)});
  EXPECT_TRUE(a_.take_seat());
  EXPECT_EQ(a_.arrive_and_wait(), BarrierResult::kDone);
  EXPECT_FALSE(a_.take_seat());
}

TEST_F(BarrierSpec, WhatADeadOneWouldHaveEndedAnotherOneEnds) {
  // All have arrived; the last one died before it said so.
  begin(7, {seat(kDead, 7), seat(kA, 7)});
  const auto here = a_.arrive();
  EXPECT_FALSE(a_.try_wait(here));
  part_.seats[0] = seat(kDead, 8);
  EXPECT_TRUE(a_.try_wait(here));
  EXPECT_EQ(phase(), 8u);
}

TEST_F(BarrierSpec, TheLivingAreAskedAfterButNotRemoved) {
  begin(7, {seat(kB, 7), seat(kA, 7)});
  EXPECT_EQ(a_.wait(a_.arrive(), Deadline::after(150ms)), BarrierResult::kTimedOut);
  EXPECT_GE(a_member_.asked, 1u);
  EXPECT_EQ(part_.seats[0].load(), seat(kB, 7));
}

TEST_F(BarrierSpec, ThereAreNoMorePartiesThanSeats) {
  EXPECT_EQ(Barrier::max(), 3u);
  EXPECT_EQ(a_.arrive_and_wait(), BarrierResult::kNoSeat);  // a barrier of nobody
  part_.begin(9);
  EXPECT_EQ(part_.begun.load(), 3u);
  EXPECT_TRUE(a_.arrive());
  EXPECT_TRUE(a_.arrive());
  part_.seats[2] = seat(kDead, 0);
  const auto none = b_.arrive();
  EXPECT_FALSE(none);
  EXPECT_FALSE(b_.try_wait(none));
  EXPECT_EQ(b_.wait(none), BarrierResult::kNoSeat);
  EXPECT_FALSE(b_.take_seat());
}

TEST_F(BarrierSpec, WhoIsNoMemberTakesNoPart) {
  part_.begin(2);
  StagedMember nobody{0, &living_};
  Barrier stranger(part_, nobody);
  EXPECT_EQ(stranger.arrive_and_wait(), BarrierResult::kNoMember);
  EXPECT_FALSE(stranger.arrive_and_drop());
  EXPECT_FALSE(stranger.take_seat());
  EXPECT_EQ(part_.seats[0].load(), 0u);
  // One that was forked after its parent had arrived.
  const auto parents = a_.arrive();
  EXPECT_EQ(stranger.wait(parents), BarrierResult::kNoMember);
}

TEST_F(BarrierSpec, ADeathOfLongAgoIsToldNoMore) {
  for (const std::uint32_t start : {100u, Part::kPhase - 1, Part::kPhase}) {
    begin(start, {seat(kDead, start), seat(kA, start)});
    EXPECT_EQ(a_.arrive_and_wait(), BarrierResult::kPartyDied);
    EXPECT_EQ(phase(), (start + 1) & Part::kPhase);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(a_.arrive_and_wait(), BarrierResult::kDone);
    EXPECT_EQ(part_.seats[0].load(), Part::kDropped);
    EXPECT_EQ(phase(), (start + 4) & Part::kPhase);
  }
}

// One that looks at a phase which is over, as it was stopped in between, leaves the news of the
// next one alone.
TEST_F(BarrierSpec, WhoComesLateTakesNoNewsAway) {
  for (const std::uint32_t now : {100u, Part::kPhase - 1, Part::kPhase}) {
    const std::uint32_t later = (now + 2) & Part::kPhase;
    begin(now, {seat(Part::kDied, later), seat(kA, now), seat(kB, now)});
    const auto here = a_.arrive();
    EXPECT_FALSE(a_.try_wait(here));
    EXPECT_EQ(part_.seats[0].load(), seat(Part::kDied, later));
  }
}

TEST_F(BarrierSpec, AnyWordsEndInAnAnswer) {
  constexpr std::uint32_t kWords[] = {0, 1, 2, 3, 1023, kA, kB, kDead, 0x7FFF'FFFF, ~0u};
  for (const std::uint32_t word : kWords) {
    for (const std::uint32_t whose : kWords) {
      for (const std::uint32_t arrived : {word, word + 1, (word + 1) & Part::kPhase, ~0u}) {
        begin(0, {0, seat(whose, arrived), seat(whose, word)});
        part_.phase = word;
        part_.begun = word % 2 == 0 ? ~0u : 2;
        EXPECT_LE(a_.wait(a_.arrive(), Deadline::now()), BarrierResult::kNoSeat);
        EXPECT_LE(a_.parties(), 3u);
        a_.take_seat();
        a_.arrive_and_drop();
        EXPECT_LE(b_.wait(b_.arrive(), Deadline::after(1us)), BarrierResult::kNoSeat);
      }
    }
  }
}

TEST_F(BarrierSpec, WordsThatChangeAllTheTimeEndAtTheDeadline) {
  part_.begin(3);
  std::atomic<bool> stop{false};
  std::thread scribbler([&] {
    for (std::uint32_t i = 1; !stop; ++i) {
      part_.phase = i % 2 == 0 ? 0 : i << 31;
      part_.seats[i % 3] = seat(i % 4 == 0 ? kB : i % 3, i % 2);
    }
  });
  for (int i = 0; i < 50; ++i) {
    EXPECT_LE(a_.wait(a_.arrive(), Deadline::after(1ms)), BarrierResult::kNoSeat);
  }
  stop = true;
  scribbler.join();
}

TEST_F(BarrierSpec, ByANameItIsOne) {
  ShmName name;
  const std::string url = "shm:" + name.word();
  const auto open = [&] {
    return sync::named<sync::barrier>(url, {.begin = [](auto& part) { part.begin(2); }}).value();
  };
  {
    auto one = open();
    auto two = open();
    const auto here = one.arrive();
    EXPECT_EQ(two.arrive_and_wait(), BarrierResult::kDone);
    EXPECT_EQ(one.wait(here), BarrierResult::kDone);
    two.leave();
    EXPECT_EQ(one.arrive_and_wait(), BarrierResult::kPartyDied);
  }
  EXPECT_FALSE(std::filesystem::exists(name.path()));
}

}  // namespace
}  // namespace rondo::testing
