// Contract of MpmcPresence. Each line has a test of the same name, in this order.
//   1. NoParticipantIsThereInANewRing
//   2. WhoLeavesInOrderIsCountedAsLeft
//   3. AParticipantMarkedDeadIsCountedAsDead
//   4. LeavingAndMarkingDeadHappenOnce
//   5. WhoWithdrawsWasNeverThere
//   6. CountsGoOnThroughAllOwnersOfASlot
//   7. TheSidesAreCountedApart
//   8. StartingAnewForgetsTheGone
//   9. EveryJoinAndLeaveAdvancesTheEpoch
//  10. RecoveryMarksOnlyTheDead
//  11. AnIdleParticipantThatDiesIsMarkedDead
//  12. GivenBackSaysWhetherAllBeforeAPositionIs
//  13. ScribbledWordsAreCountedWithoutHarm
#include <gtest/gtest.h>

#include <cstdint>

#include "rondo/core/mpmc_ring.hpp"
#include "spec/mpmc_ring_fixture.hpp"

namespace rondo {
namespace {

using Fixture = MpmcFixture<std::uint64_t>;

void expect_count(const MpmcPresence& side, std::uint32_t present, std::uint64_t left,
                  std::uint64_t died) {
  const MpmcPresence::Count count = side.count();
  EXPECT_EQ(count.present, present);
  EXPECT_EQ(count.left, left);
  EXPECT_EQ(count.died, died);
  EXPECT_EQ(count.gone(), left + died);
}

struct MpmcPresenceSpec : ::testing::Test {
  Fixture ring{4};
  MpmcPresence producing = ring.ring.producing();
  MpmcPresence consuming = ring.ring.consuming();
};

TEST_F(MpmcPresenceSpec, NoParticipantIsThereInANewRing) {
  expect_count(producing, 0, 0, 0);
  expect_count(consuming, 0, 0, 0);
  EXPECT_FALSE(producing.present(0));
}

TEST_F(MpmcPresenceSpec, WhoLeavesInOrderIsCountedAsLeft) {
  producing.enter(3);
  EXPECT_TRUE(producing.present(3));
  expect_count(producing, 1, 0, 0);
  producing.leave(3);
  EXPECT_FALSE(producing.present(3));
  expect_count(producing, 0, 1, 0);
}

TEST_F(MpmcPresenceSpec, AParticipantMarkedDeadIsCountedAsDead) {
  producing.enter(3);
  EXPECT_TRUE(producing.mark_dead(3));
  EXPECT_FALSE(producing.present(3));
  expect_count(producing, 0, 0, 1);
}

TEST_F(MpmcPresenceSpec, LeavingAndMarkingDeadHappenOnce) {
  producing.enter(1);
  producing.leave(1);
  producing.leave(1);
  EXPECT_FALSE(producing.mark_dead(1));
  expect_count(producing, 0, 1, 0);
}

TEST_F(MpmcPresenceSpec, WhoWithdrawsWasNeverThere) {
  consuming.enter(1);
  consuming.withdraw(1);
  expect_count(consuming, 0, 0, 0);
}

TEST_F(MpmcPresenceSpec, CountsGoOnThroughAllOwnersOfASlot) {
  for (int i = 0; i < 3; ++i) {
    producing.enter(2);
    producing.leave(2);
    producing.enter(2);
    producing.mark_dead(2);
  }
  producing.enter(5);
  producing.leave(5);
  expect_count(producing, 0, 4, 3);
}

TEST_F(MpmcPresenceSpec, TheSidesAreCountedApart) {
  producing.enter(0);
  consuming.enter(0);
  consuming.leave(0);
  expect_count(producing, 1, 0, 0);
  expect_count(consuming, 0, 1, 0);
}

TEST_F(MpmcPresenceSpec, StartingAnewForgetsTheGone) {
  producing.enter(0);
  producing.leave(0);
  producing.enter(1);
  producing.mark_dead(1);
  producing.reset();
  expect_count(producing, 0, 0, 0);
}

TEST_F(MpmcPresenceSpec, EveryJoinAndLeaveAdvancesTheEpoch) {
  std::uint64_t epoch = producing.epoch();
  const auto changed = [&] { return std::exchange(epoch, consuming.epoch()) != epoch; };
  EXPECT_FALSE(changed());
  producing.enter(0);
  EXPECT_TRUE(changed());
  producing.leave(0);
  EXPECT_TRUE(changed());
  consuming.enter(0);
  EXPECT_TRUE(changed());
  consuming.mark_dead(0);
  EXPECT_TRUE(changed());
  consuming.enter(0);
  EXPECT_TRUE(changed());
  consuming.withdraw(0);
  EXPECT_TRUE(changed());
}

TEST_F(MpmcPresenceSpec, RecoveryMarksOnlyTheDead) {
  FakeLiveness liveness{.dead = {2, 4}, .locked = {}};
  for (const std::uint32_t who : {1u, 2u, 3u}) producing.enter(who);
  consuming.enter(4);
  const MpmcRecovered recovered = ring.ring.recovery(0).all(liveness);
  EXPECT_EQ(recovered.marked_dead, 2u);
  EXPECT_TRUE(recovered.anything());
  expect_count(producing, 2, 0, 1);
  expect_count(consuming, 0, 0, 1);
  EXPECT_FALSE(ring.ring.recovery(0).all(liveness).anything());
}

TEST_F(MpmcPresenceSpec, AnIdleParticipantThatDiesIsMarkedDead) {
  // It has nothing on record and does not sleep: its presence is the only trace.
  FakeLiveness liveness{.dead = {6}, .locked = {}};
  consuming.enter(6);
  EXPECT_EQ(ring.ring.recovery(0).all(liveness).marked_dead, 1u);
  EXPECT_TRUE(liveness.locked.empty());
}

TEST_F(MpmcPresenceSpec, GivenBackSaysWhetherAllBeforeAPositionIs) {
  for (const Position start : {Position{0}, Position{3}, Position{1'000'001}, ~Position{0} - 1}) {
    ring.start_at(start);
    Fixture::Producer producer(ring.ring, 0);
    Fixture::Consumer consumer(ring.ring, 1);
    Position from = 0;
    EXPECT_EQ(ring.ring.claimed(), start);
    EXPECT_TRUE(ring.ring.given_back(from, start));
    for (std::uint64_t i = 0; i < 3; ++i) ASSERT_TRUE(producer.try_push(i));
    EXPECT_EQ(ring.ring.claimed(), start + 3);
    EXPECT_FALSE(ring.ring.given_back(from, start + 3));
    std::uint64_t value = 0;
    ASSERT_TRUE(consumer.try_pop(value));
    EXPECT_TRUE(ring.ring.given_back(from, start + 1));
    {
      auto message = consumer.try_next();
      ASSERT_TRUE(message);
      EXPECT_FALSE(ring.ring.given_back(from, start + 2)) << "taken is not given back";
    }
    EXPECT_TRUE(ring.ring.given_back(from, start + 2));
    ASSERT_TRUE(consumer.try_pop(value));
    EXPECT_TRUE(ring.ring.given_back(from, start + 3));
    EXPECT_EQ(from, start + 3);
  }
}

TEST_F(MpmcPresenceSpec, ScribbledWordsAreCountedWithoutHarm) {
  for (std::uint32_t i = 0; i < 8; ++i) ring.parts.participants[i].producing = ~std::uint64_t{0};
  expect_count(producing, 8, 8 * 0x7FFF'FFFFull, 8 * 0xFFFF'FFFFull);
  producing.leave(0);
  producing.mark_dead(1);
  EXPECT_EQ(producing.count().present, 6u);
}

}  // namespace
}  // namespace rondo
