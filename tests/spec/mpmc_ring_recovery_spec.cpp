// Contract of recovery in an mpmc ring. Each line has a test of the same name, in this order.
// A participant that `dies` here simply never goes on, and FakeLiveness says so.
//  1. ADeadProducersClaimBecomesATombstone
//  2. AnAnnouncementWithoutAClaimIsCleared
//  3. ACommittedMessageOfADeadProducerArrives
//  4. ALiveOwnerIsNeverRobbed
//  5. AStaleAnnouncementOfALiveOneDelaysRecoveryAndNoMore
//  6. AStaleAnnouncementOneLapLaterMeansNothing
//  7. ADeadConsumersMessageIsRedeliveredWithAMark
//  8. OrItIsDroppedAndCounted
//  9. AMessageGivenBackIsNotRedelivered
// 10. ADeadBatchIsRecoveredSlotBySlot
// 11. ATombstoneWhoseSkipperDiedIsFreed
// 12. WhoTakesOverMayDieToo
// 13. RecoveringTwiceChangesNothing
// 14. ARecovererMayDieAnywhere
// 15. OfTwoRecoverersOneRecovers
// 16. TwoDeadWithTheSameAnnouncement
// 17. ASlotIsReusableAfterRecoveryOnly
// 18. DeadWaitersAreForgotten
// 19. OrphansBehindManyMessagesAreFound
// 20. NoParticipantIsAskedForTwiceInOnePass
// 21. ATakeOverAsksForNoParticipantTwice
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <new>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "spec/mpmc_ring_fixture.hpp"

namespace rondo {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Fixture = MpmcFixture<std::uint64_t>;
constexpr std::uint32_t kMe = 7;  // the recoverer

// Once consumers have skipped the tombstones: as many pushes as slots, then one refused; all come
// out again, in order.
void expect_full_capacity(Fixture& ring, Fixture::Producer& producer, Fixture::Consumer& consumer) {
  EXPECT_THAT(drain(consumer), IsEmpty());
  std::vector<std::uint64_t> sent;
  for (std::uint64_t i = 0; i < ring.parts.capacity; ++i) {
    ASSERT_TRUE(producer.try_push(100 + i)) << i;
    sent.push_back(100 + i);
  }
  EXPECT_FALSE(producer.try_push(99));
  EXPECT_EQ(drain(consumer), sent);
}

// Ends a claim's or message's scope without the end that its destructor brings.
template <class Handle>
void die_holding(std::optional<Handle>& handle) {
  alignas(std::optional<Handle>) static std::byte grave[sizeof(std::optional<Handle>)];
  new (grave) std::optional<Handle>(std::move(handle));  // a killed process runs no destructor
}

struct MpmcRecovery : ::testing::Test {
  explicit MpmcRecovery(OnConsumerDeath option = OnConsumerDeath::kRedeliver)
      : ring([&] {
          MpmcParams params{.capacity = 4, .participants = 8};
          params.on_consumer_death = option;
          return params;
        }()) {}

  MpmcRecovered recover() { return ring.ring.recovery(kMe).all(liveness); }

  Fixture ring;
  FakeLiveness liveness;
  Fixture::Producer dying_producer{ring.ring, 0}, producer{ring.ring, 1};
  Fixture::Consumer dying_consumer{ring.ring, 2}, consumer{ring.ring, kMe};
};

TEST_F(MpmcRecovery, ADeadProducersClaimBecomesATombstone) {
  auto claim = dying_producer.try_claim();
  die_holding(claim);
  ASSERT_TRUE(producer.try_push(2));
  ASSERT_THAT(drain(consumer), IsEmpty());
  EXPECT_FALSE(recover().anything()) << "it is only slow";
  liveness.dead = {0};

  const MpmcRecovered done = recover();

  EXPECT_EQ(done.tombstones, 1u);
  EXPECT_FALSE(done.pending);
  EXPECT_EQ(ring.state(0), ring.word(0, SlotKind::kTombstone));
  EXPECT_EQ(ring.claiming(0), mpmc_announcement::kNone);
  EXPECT_EQ(ring.parts.participants[kMe].tombstones, 1u);
  EXPECT_THAT(drain(consumer), ElementsAre(2));
  expect_full_capacity(ring, producer, consumer);
}

TEST_F(MpmcRecovery, AnAnnouncementWithoutAClaimIsCleared) {
  ring.parts.participants[0].claiming = mpmc_announcement::make(0, 1);
  ring.parts.participants[0].taking = mpmc_announcement::make(0, 1);
  liveness.dead = {0};

  EXPECT_FALSE(recover().anything());

  EXPECT_EQ(ring.claiming(0), mpmc_announcement::kNone);
  EXPECT_EQ(ring.taking(0), mpmc_announcement::kNone);
  expect_full_capacity(ring, producer, consumer);
}

TEST_F(MpmcRecovery, ACommittedMessageOfADeadProducerArrives) {
  ASSERT_TRUE(dying_producer.try_push(1));
  liveness.dead = {0};

  EXPECT_FALSE(recover().anything());

  EXPECT_THAT(drain(consumer), ElementsAre(1));
}

TEST_F(MpmcRecovery, ALiveOwnerIsNeverRobbed) {
  auto claim = producer.try_claim();                                    // alive, owns position 0
  ring.parts.participants[0].claiming = mpmc_announcement::make(0, 1);  // had tried for it, died
  liveness.dead = {0};

  const MpmcRecovered done = recover();

  EXPECT_TRUE(done.pending);
  EXPECT_EQ(done.awaited, 1u);
  EXPECT_EQ(ring.state(0), ring.word(0, SlotKind::kFree));
  **claim = 5;
  std::move(*claim).commit();
  EXPECT_FALSE(recover().pending);
  EXPECT_EQ(ring.claiming(0), mpmc_announcement::kNone);
  EXPECT_THAT(drain(consumer), ElementsAre(5));
}

TEST_F(MpmcRecovery, AStaleAnnouncementOfALiveOneDelaysRecoveryAndNoMore) {
  auto claim = dying_producer.try_claim();
  die_holding(claim);
  ring.parts.participants[3].claiming = mpmc_announcement::make(0, 1);  // paused before its attempt
  liveness.dead = {0};

  EXPECT_TRUE(recover().pending);
  EXPECT_EQ(ring.claiming(0), mpmc_announcement::make(0, 1));
  ring.parts.participants[3].claiming = mpmc_announcement::kNone;  // went on, and lost
  EXPECT_EQ(recover().tombstones, 1u);
  expect_full_capacity(ring, producer, consumer);
}

TEST_F(MpmcRecovery, AStaleAnnouncementOneLapLaterMeansNothing) {
  ring.parts.participants[0].claiming = mpmc_announcement::make(0, 2);
  ring.parts.participants[0].taking = mpmc_announcement::make(0, 2);
  for (std::uint64_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(producer.try_push(i));
    ASSERT_THAT(drain(consumer), ElementsAre(i));
  }
  auto claim = producer.try_claim();  // the same slot, alive
  liveness.dead = {0};

  const MpmcRecovered done = recover();

  EXPECT_FALSE(done.anything() || done.pending);
  **claim = 9;
  std::move(*claim).commit();
  EXPECT_THAT(drain(consumer), ElementsAre(9));
}

TEST_F(MpmcRecovery, ADeadConsumersMessageIsRedeliveredWithAMark) {
  ASSERT_TRUE(producer.try_push(1));
  ASSERT_TRUE(producer.try_push(2));
  auto message = dying_consumer.try_next();
  die_holding(message);
  ASSERT_FALSE(recover().anything());
  liveness.dead = {2};

  EXPECT_EQ(recover().orphaned, 1u);

  {
    const auto fresh = consumer.try_next();
    EXPECT_EQ(**fresh, 2u);
    EXPECT_FALSE(fresh->redelivered());
  }
  {
    const auto again = consumer.try_next();
    ASSERT_TRUE(again.has_value());
    EXPECT_EQ(**again, 1u);
    EXPECT_TRUE(again->redelivered());
  }
  EXPECT_FALSE(consumer.try_next().has_value());
  EXPECT_EQ(ring.parts.participants[kMe].orphaned, 1u);
  EXPECT_EQ(ring.parts.participants[kMe].redelivered, 1u);
  expect_full_capacity(ring, producer, consumer);
}

struct MpmcRecoveryDropping : MpmcRecovery {
  MpmcRecoveryDropping() : MpmcRecovery(OnConsumerDeath::kDrop) {}
};

TEST_F(MpmcRecoveryDropping, OrItIsDroppedAndCounted) {
  ASSERT_TRUE(producer.try_push(1));
  auto message = dying_consumer.try_next();
  die_holding(message);
  liveness.dead = {2};

  EXPECT_EQ(recover().dropped, 1u);

  EXPECT_EQ(ring.parts.participants[kMe].dropped, 1u);
  EXPECT_THAT(drain(consumer), IsEmpty());
  expect_full_capacity(ring, producer, consumer);
}

TEST_F(MpmcRecovery, AMessageGivenBackIsNotRedelivered) {
  ASSERT_TRUE(producer.try_push(1));
  std::uint64_t value = 0;
  ASSERT_TRUE(dying_consumer.try_pop(value));
  liveness.dead = {2};

  EXPECT_FALSE(recover().anything());
  EXPECT_THAT(drain(consumer), IsEmpty());
}

TEST_F(MpmcRecovery, ADeadBatchIsRecoveredSlotBySlot) {
  auto claim = dying_producer.try_claim_some(3);
  (*claim)[0] = 1;
  ring.parts.state_at(0) = ring.word(0, SlotKind::kWritten);  // committed one of three, then died
  die_holding(claim);
  liveness.dead = {0};
  EXPECT_EQ(recover().tombstones, 2u);
  ASSERT_TRUE(producer.try_push(2));
  EXPECT_THAT(drain(consumer), ElementsAre(1, 2));

  for (std::uint64_t i = 3; i < 6; ++i) ASSERT_TRUE(producer.try_push(i));
  auto messages = dying_consumer.try_next_some(3);
  ASSERT_EQ(messages->size(), 3u);
  ring.parts.state_at(4) = ring.word(8, SlotKind::kFree);  // gave back one of three, then died
  die_holding(messages);
  liveness.dead = {0, 2};
  EXPECT_EQ(recover().orphaned, 2u);
  EXPECT_THAT(drain(consumer), ElementsAre(4, 5));
  expect_full_capacity(ring, producer, consumer);
}

TEST_F(MpmcRecovery, ATombstoneWhoseSkipperDiedIsFreed) {
  { auto discarded = producer.try_claim(); }
  ring.parts.participants[2].taking = mpmc_announcement::make(0, 1);
  ring.parts.positions->head = 1;  // it had skipped the tombstone but not freed the slot
  liveness.dead = {2};

  EXPECT_EQ(recover().freed, 1u);

  Fixture::Consumer late(ring.ring, kMe);
  expect_full_capacity(ring, producer, late);
}

TEST_F(MpmcRecovery, WhoTakesOverMayDieToo) {
  ASSERT_TRUE(producer.try_push(1));
  auto message = dying_consumer.try_next();
  die_holding(message);
  liveness.dead = {2};
  ASSERT_EQ(recover().orphaned, 1u);
  Fixture::Consumer second(ring.ring, 3);
  auto again = second.try_next();
  ASSERT_TRUE(again->redelivered());
  EXPECT_FALSE(recover().anything()) << "its new owner lives";
  die_holding(again);
  liveness.dead = {2, 3};

  EXPECT_EQ(recover().orphaned, 1u);

  EXPECT_TRUE(consumer.try_next()->redelivered());
  expect_full_capacity(ring, producer, consumer);
}

TEST_F(MpmcRecovery, RecoveringTwiceChangesNothing) {
  auto claim = dying_producer.try_claim_some(2);
  die_holding(claim);
  liveness.dead = {0};
  ASSERT_EQ(recover().tombstones, 2u);
  const auto before = ring.snapshot();

  EXPECT_FALSE(recover().anything());

  EXPECT_EQ(ring.snapshot(), before);
}

TEST_F(MpmcRecovery, ARecovererMayDieAnywhere) {
  ASSERT_TRUE(producer.try_push(1));
  auto message = dying_consumer.try_next();
  die_holding(message);
  liveness.dead = {2};
  // A recoverer orphaned the message, and died before it told anyone and cleared the record.
  ring.parts.state_at(0) = ring.word(0, SlotKind::kOrphaned);
  ASSERT_THAT(drain(consumer), IsEmpty());

  recover();

  EXPECT_EQ(ring.taking(2), mpmc_announcement::kNone);
  EXPECT_THAT(drain(consumer), ElementsAre(1));
  expect_full_capacity(ring, producer, consumer);
}

TEST_F(MpmcRecovery, OfTwoRecoverersOneRecovers) {
  auto claim = dying_producer.try_claim();
  die_holding(claim);
  liveness.dead = {0};
  liveness.locked = {0};  // the other one is at it

  EXPECT_FALSE(recover().anything());
  EXPECT_EQ(ring.claiming(0), mpmc_announcement::make(0, 1));
}

TEST_F(MpmcRecovery, TwoDeadWithTheSameAnnouncement) {
  auto claim = dying_producer.try_claim();
  die_holding(claim);
  ring.parts.participants[3].claiming = mpmc_announcement::make(0, 4);
  liveness.dead = {0, 3};

  EXPECT_EQ(recover().tombstones, 1u);

  EXPECT_EQ(ring.claiming(0), mpmc_announcement::kNone);
  EXPECT_EQ(ring.claiming(3), mpmc_announcement::kNone);
  expect_full_capacity(ring, producer, consumer);
}

TEST_F(MpmcRecovery, ASlotIsReusableAfterRecoveryOnly) {
  auto claim = dying_producer.try_claim();
  die_holding(claim);
  ring.parts.participants[3].claiming = mpmc_announcement::make(0, 1);
  liveness.dead = {0};
  ASSERT_TRUE(liveness.try_lock_dead(0));  // the newcomer holds it from here on

  EXPECT_TRUE(ring.ring.recovery(0).one(0, liveness).pending);
  ring.parts.participants[3].claiming = mpmc_announcement::kNone;
  EXPECT_FALSE(ring.ring.recovery(0).one(0, liveness).pending);
  Fixture::Producer newcomer(ring.ring, 0);
  expect_full_capacity(ring, newcomer, consumer);
}

TEST_F(MpmcRecovery, DeadWaitersAreForgotten) {
  ring.ring.sleeping_consumers().enter(2);
  ring.ring.sleeping_producers().enter(3);
  liveness.dead = {2};

  recover();

  EXPECT_FALSE(ring.ring.sleeping_consumers().any());
  EXPECT_TRUE(ring.ring.sleeping_producers().any());
}

TEST_F(MpmcRecovery, OrphansBehindManyMessagesAreFound) {
  for (std::uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(producer.try_push(i));
  auto messages = dying_consumer.try_next_some(3);
  die_holding(messages);
  liveness.dead = {2};
  ASSERT_EQ(recover().orphaned, 3u);
  Fixture::Consumer other(ring.ring, 3);

  EXPECT_EQ(**consumer.try_next(), 3u);
  const auto first = consumer.try_next();
  const auto second = other.try_next();
  EXPECT_EQ(**first, 0u);
  EXPECT_EQ(**second, 1u);
  EXPECT_FALSE(producer.try_push(9));
  Fixture::Consumer third(ring.ring, 4);
  EXPECT_THAT(drain(third), ElementsAre(2));
}

// How often the kernel would be asked.
struct CountingLiveness : FakeLiveness {
  std::map<std::uint32_t, int> tries, unlocks;
  bool is_dead(std::uint32_t who) {
    ++tries[who];
    return FakeLiveness::is_dead(who);
  }
  bool try_lock_dead(std::uint32_t who) {
    ++tries[who];
    return FakeLiveness::try_lock_dead(who);
  }
  void unlock(std::uint32_t who) {
    ++unlocks[who];
    FakeLiveness::unlock(who);
  }
};

// What a hostile peer may write: everybody has every position of the ring on record, on both sides.
struct MpmcForgedRecords : ::testing::Test {
  static constexpr std::uint32_t kParticipants = mpmc_limits::kMaxParticipants;
  static constexpr std::uint32_t kAlive = 255;
  static constexpr std::uint64_t kCapacity = 256;

  MpmcForgedRecords() {
    for (std::uint32_t i = 0; i < kParticipants; ++i) {
      ring.parts.participants[i].claiming = mpmc_announcement::make(0, 256);
      ring.parts.participants[i].taking = mpmc_announcement::make(0, 256);
      if (i != kMe && i != kAlive) liveness.dead.insert(i);
    }
    ring.parts.positions->tail = kCapacity;
    ring.parts.positions->head = kCapacity;
  }
  void expect_none_asked_for_twice() const {
    for (std::uint32_t i = 0; i < kParticipants; ++i) {
      EXPECT_LE(liveness.tries.contains(i) ? liveness.tries.at(i) : 0, 1) << i;
      EXPECT_LE(liveness.unlocks.contains(i) ? liveness.unlocks.at(i) : 0, 1) << i;
    }
  }

  MpmcFixture<std::uint64_t> ring{kCapacity, kParticipants};
  CountingLiveness liveness;
};

TEST_F(MpmcForgedRecords, NoParticipantIsAskedForTwiceInOnePass) {
  const MpmcRecovered done = ring.ring.recovery(kMe).all(liveness);

  EXPECT_TRUE(done.pending);
  EXPECT_EQ(done.tombstones, 0u) << "a live participant announces them all";
  expect_none_asked_for_twice();
  EXPECT_TRUE(liveness.locked.empty());
}

TEST_F(MpmcForgedRecords, ATakeOverAsksForNoParticipantTwice) {
  liveness.locked.insert(3);  // the newcomer holds it

  EXPECT_TRUE(ring.ring.recovery(3).one(3, liveness).pending);

  expect_none_asked_for_twice();
  EXPECT_EQ(liveness.locked, std::set<std::uint32_t>{3});
}

}  // namespace
}  // namespace rondo
