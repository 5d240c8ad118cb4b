// Contract of mpmc_ring. Each line has a test of the same name, in this order. Raw messages:
// mpmc_ring_raw_spec.cpp.
//  1. TakingFromAnEmptyRingReturnsNothing
//  2. MessagesLeaveInTheOrderTheyEntered
//  3. PushToAFullRingFailsAndChangesNothing
//  4. AFullRingAcceptsAgainAfterOneIsGivenBack
//  5. PositionsMayPassTwoToTheSixtyFour
//  6. ADiscardedClaimIsSkipped
//  7. AClaimOfManyIsAdjacentAndAsLongAsThereIsRoom
//  8. CommittingAPartGivesUpTheRest
//  9. AHeldMessageHoldsBackItsOwnSlotAlone
// 10. AnUncommittedClaimHoldsBackWhatFollows
// 11. ValuesAreAlignedAsTheirTypeAsks
// 12. OnlyOwnersAnnounce
// 13. WaitersAreTakenOnceEach
// 14. CorruptWordsAreReportedAndStayInBounds
// 15. CapacityTwoWorksThroughManyLaps
// 16. CreatedRingsAttachAndOthersAreRefused
// 17. AClaimOfAllIsAsLongAsAskedForOrNotMade
// 18. AnOutcomeIsThatOfTheLastTry
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string_view>

#include "spec/mpmc_ring_fixture.hpp"

namespace rondo {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Fixture = MpmcFixture<std::uint64_t>;

TEST(MpmcRing, TakingFromAnEmptyRingReturnsNothing) {
  Fixture ring(4);
  Fixture::Consumer consumer(ring.ring, 0);
  std::uint64_t value = 7;

  EXPECT_FALSE(consumer.try_pop(value));

  EXPECT_EQ(value, 7u);
  EXPECT_EQ(consumer.outcome(), ReadOutcome::kEmpty);
  EXPECT_FALSE(consumer.try_next().has_value());
  EXPECT_FALSE(consumer.try_next_some(8).has_value());
}

TEST(MpmcRing, MessagesLeaveInTheOrderTheyEntered) {
  Fixture ring(8);
  Fixture::Producer one(ring.ring, 0), two(ring.ring, 1);
  Fixture::Consumer consumer(ring.ring, 2);
  for (std::uint64_t i = 0; i < 6; i += 2) {
    ASSERT_TRUE(one.try_push(i));
    ASSERT_TRUE(two.try_push(i + 1));
  }

  EXPECT_THAT(drain(consumer), ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST(MpmcRing, PushToAFullRingFailsAndChangesNothing) {
  Fixture ring(4);
  Fixture::Producer producer(ring.ring, 0);
  for (std::uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(producer.try_push(i));
  const auto before = ring.snapshot();

  EXPECT_FALSE(producer.try_push(99));

  EXPECT_EQ(ring.snapshot(), before);
  EXPECT_EQ(producer.outcome(), ClaimOutcome::kFull);
}

TEST(MpmcRing, AFullRingAcceptsAgainAfterOneIsGivenBack) {
  Fixture ring(4);
  Fixture::Producer producer(ring.ring, 0);
  Fixture::Consumer consumer(ring.ring, 1);
  for (std::uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(producer.try_push(i));
  ASSERT_FALSE(producer.try_push(99));
  { ASSERT_EQ(**consumer.try_next(), 0u); }

  EXPECT_TRUE(producer.try_push(4));
  EXPECT_FALSE(producer.try_push(99));
  EXPECT_THAT(drain(consumer), ElementsAre(1, 2, 3, 4));
}

TEST(MpmcRing, PositionsMayPassTwoToTheSixtyFour) {
  Fixture ring(4);
  ring.start_at(~std::uint64_t{0} - 2);
  Fixture::Producer producer(ring.ring, 0);
  Fixture::Consumer consumer(ring.ring, 1);
  for (std::uint64_t i = 0; i < 12; ++i) {
    ASSERT_TRUE(producer.try_push(2 * i)) << i;
    ASSERT_TRUE(producer.try_push(2 * i + 1)) << i;
    ASSERT_THAT(drain(consumer), ElementsAre(2 * i, 2 * i + 1)) << i;
  }
  EXPECT_EQ(ring.tail(), 21u);
}

TEST(MpmcRing, ADiscardedClaimIsSkipped) {
  Fixture ring(4);
  Fixture::Producer producer(ring.ring, 0);
  Fixture::Consumer consumer(ring.ring, 1);
  ASSERT_TRUE(producer.try_push(1));
  { auto claim = producer.try_claim(); }
  ASSERT_TRUE(producer.try_push(2));

  EXPECT_THAT(drain(consumer), ElementsAre(1, 2));
  EXPECT_EQ(ring.head(), 3u);
  EXPECT_EQ(ring.state(1), ring.word(5, SlotKind::kFree));
}

TEST(MpmcRing, AClaimOfManyIsAdjacentAndAsLongAsThereIsRoom) {
  Fixture ring(8);
  Fixture::Producer producer(ring.ring, 0);
  Fixture::Consumer consumer(ring.ring, 1);
  auto claim = producer.try_claim_some(5);
  ASSERT_EQ(claim->size(), 5u);
  for (std::uint32_t i = 0; i < 5; ++i) (*claim)[i] = 10 + i;
  std::move(*claim).commit();
  EXPECT_EQ(producer.try_claim_some(1000)->size(), 3u);  // discarded at once
  EXPECT_FALSE(producer.try_claim_some(1).has_value());

  {
    const auto messages = consumer.try_next_some(1000);
    ASSERT_EQ(messages->size(), 5u);
    EXPECT_EQ((*messages)[4], 14u);
    EXPECT_EQ(ring.head(), 5u);
    EXPECT_FALSE(producer.try_claim_some(1).has_value());
  }
  EXPECT_TRUE(producer.try_claim_some(1).has_value());
}

TEST(MpmcRing, CommittingAPartGivesUpTheRest) {
  Fixture ring(8);
  Fixture::Producer producer(ring.ring, 0);
  Fixture::Consumer consumer(ring.ring, 1);
  auto claim = producer.try_claim_some(4);
  (*claim)[0] = 1;
  (*claim)[1] = 2;
  claim->shrink(2);
  EXPECT_EQ(claim->size(), 2u);
  std::move(*claim).commit();
  ASSERT_TRUE(producer.try_push(3));

  EXPECT_THAT(drain(consumer), ElementsAre(1, 2, 3));
}

TEST(MpmcRing, AHeldMessageHoldsBackItsOwnSlotAlone) {
  Fixture ring(4);
  Fixture::Producer producer(ring.ring, 0);
  Fixture::Consumer slow(ring.ring, 1), other(ring.ring, 2);
  for (std::uint64_t i = 0; i < 4; ++i) ASSERT_TRUE(producer.try_push(i));
  const auto held = slow.try_next();

  EXPECT_THAT(drain(other), ElementsAre(1, 2, 3));
  EXPECT_FALSE(producer.try_push(4));
  EXPECT_EQ(**held, 0u);
}

TEST(MpmcRing, AnUncommittedClaimHoldsBackWhatFollows) {
  Fixture ring(4);
  Fixture::Producer slow(ring.ring, 0), other(ring.ring, 1);
  Fixture::Consumer consumer(ring.ring, 2);
  auto claim = slow.try_claim();
  ASSERT_TRUE(other.try_push(2));

  EXPECT_THAT(drain(consumer), IsEmpty());
  **claim = 1;
  std::move(*claim).commit();
  EXPECT_THAT(drain(consumer), ElementsAre(1, 2));
}

TEST(MpmcRing, ValuesAreAlignedAsTheirTypeAsks) {
  struct alignas(64) Wide {
    std::uint64_t words[9];
  };
  MpmcFixture<Wide> ring(2);
  MpmcFixture<Wide>::Producer producer(ring.ring, 0);
  auto claim = producer.try_claim_some(2);
  for (std::uint32_t i = 0; i < 2; ++i) {
    EXPECT_TRUE(is_aligned(&(*claim)[i], 64));
  }
  EXPECT_EQ(ring.parts.stride, 192u);
  MpmcFixture<std::uint8_t> narrow(2);
  EXPECT_EQ(narrow.parts.stride, 16u);
}

TEST(MpmcRing, OnlyOwnersAnnounce) {
  Fixture ring(2);
  Fixture::Producer one(ring.ring, 0), two(ring.ring, 1);
  Fixture::Consumer consumer(ring.ring, 2);
  auto claim = one.try_claim_some(2);
  EXPECT_EQ(ring.claiming(0), mpmc_announcement::make(0, 2));

  // A stale guess makes the other one try; it leaves nothing on record when it has lost.
  ASSERT_FALSE(two.try_claim().has_value());
  EXPECT_EQ(ring.claiming(1), mpmc_announcement::kNone);
  claim->shrink(1);
  std::move(*claim).commit();
  const auto message = consumer.try_next();
  EXPECT_EQ(ring.taking(2), mpmc_announcement::make(0, 1));
  EXPECT_EQ(ring.claiming(2), mpmc_announcement::kNone);
}

TEST(MpmcRing, WaitersAreTakenOnceEach) {
  MpmcFixture<std::uint64_t> ring(MpmcParams{.capacity = 2, .participants = 130});
  MpmcWaiterSet waiters = ring.ring.sleeping_consumers();
  EXPECT_FALSE(waiters.any());
  EXPECT_EQ(waiters.take_one(), MpmcWaiterSet::kNoParticipant);
  for (const std::uint32_t who : {129u, 3u, 64u}) waiters.enter(who);
  ring.parts.positions->consumer_waiters[2].fetch_or(std::uint64_t{1} << 63);  // hostile: nobody's

  EXPECT_TRUE(waiters.any());
  EXPECT_EQ(waiters.take_one(), 3u);
  EXPECT_EQ(waiters.read_bell(3), 1u);
  EXPECT_FALSE(waiters.leave(64));
  EXPECT_EQ(waiters.take_one(), 129u);
  EXPECT_EQ(waiters.take_one(), MpmcWaiterSet::kNoParticipant);
  EXPECT_FALSE(waiters.any());
  EXPECT_TRUE(waiters.leave(3));
  EXPECT_FALSE(ring.ring.sleeping_producers().any());
}

// Any value in any shared word: every call returns, and ASan sees no access out of bounds.
TEST(MpmcRing, CorruptWordsAreReportedAndStayInBounds) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  Fixture ring(8, 4);
  Fixture::Producer producer(ring.ring, 0);
  Fixture::Consumer consumer(ring.ring, 1);
  FakeLiveness liveness{.dead = {2, 3}, .locked = {}};
  const auto any_value = [&]() -> std::uint64_t {
    switch (random() % 4) {
      case 0: return random();
      case 1: return random() % 64;
      case 2: return std::uint64_t{1} << (random() % 64);
      default: return ring.word(random() % 32, static_cast<SlotKind>(random() % 8), 3);
    }
  };
  for (int round = 0; round < 20'000; ++round) {
    switch (random() % 6) {
      case 0: ring.parts.positions->tail = any_value(); break;
      case 1: ring.parts.positions->head = any_value(); break;
      case 2: ring.parts.participants[random() % 4].claiming = any_value(); break;
      case 3: ring.parts.participants[random() % 4].taking = any_value(); break;
      case 4: ring.parts.positions->orphans = any_value(); break;
      default: ring.parts.state_at(random()) = any_value(); break;
    }
    if (auto claim = producer.try_claim_some(random() % 16 + 1); claim && random() % 2 == 0) {
      (*claim)[claim->size() - 1] = 1;
      claim->shrink(random() % (claim->size() + 1));
      std::move(*claim).commit();
    }
    std::uint64_t value = 0;
    (void)consumer.try_pop(value);
    (void)consumer.try_next_some(16);
    ring.ring.recovery(0).all(liveness);
    ASSERT_THAT(liveness.locked, IsEmpty());
    ASSERT_LE(ring.ring.size(), 8u);
  }
  ring.start_at(0);
  ring.parts.positions->tail = std::uint64_t{1} << 40;
  Fixture::Producer fresh(ring.ring, 0);
  EXPECT_FALSE(fresh.try_push(1));
  EXPECT_EQ(fresh.outcome(), ClaimOutcome::kCorrupt);
  ring.parts.state_at(0) = ring.word(80, SlotKind::kWritten);
  Fixture::Consumer late(ring.ring, 1);
  EXPECT_FALSE(late.try_next().has_value());
  EXPECT_EQ(late.outcome(), ReadOutcome::kCorrupt);
}

TEST(MpmcRing, CapacityTwoWorksThroughManyLaps) {
  Fixture ring(2);
  Fixture::Producer producer(ring.ring, 0);
  Fixture::Consumer consumer(ring.ring, 1);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    ASSERT_TRUE(producer.try_push(i));
    if (i % 3 == 0) {
      ASSERT_TRUE(producer.try_push(i + 1));
      ASSERT_FALSE(producer.try_push(99));
      ASSERT_THAT(drain(consumer), ElementsAre(i, i + 1));
    } else {
      ASSERT_THAT(drain(consumer), ElementsAre(i));
    }
  }
}

TEST(MpmcRing, CreatedRingsAttachAndOthersAreRefused) {
  using Ring = Fixture::Ring;
  const auto code_of = [](const auto& result) {
    return result ? std::string_view("none") : to_string(result.error().code);
  };
  MpmcParams params{.capacity = 1024, .participants = 3};
  params.on_consumer_death = OnConsumerDeath::kDrop;
  const std::size_t bytes = Ring::layout_for(params)->total_bytes;
  Fixture memory(params);
  const std::span segment(memory.memory.get(), memory.bytes);
  ASSERT_EQ(bytes, segment.size());
  std::ranges::fill(segment, std::byte{0});
  ASSERT_EQ(code_of(Ring::attach(segment)), "not ready");
  ASSERT_EQ(code_of(Ring::create(segment, params)), "none");

  const auto parts = Ring::attach(segment);
  ASSERT_TRUE(parts) << parts.error().message;
  EXPECT_EQ(parts->capacity, 1024u);
  EXPECT_EQ(parts->participant_count, 3u);
  EXPECT_EQ(parts->on_consumer_death, OnConsumerDeath::kDrop);
  EXPECT_EQ(parts->slots, memory.parts.slots);
  EXPECT_EQ(code_of(mpmc_ring<std::uint32_t>::attach(segment)), "geometry mismatch");
  EXPECT_EQ(code_of(mpmc_ring<>::attach(segment)), "geometry mismatch");
  EXPECT_EQ(code_of(Ring::attach(segment.first(bytes - kPartAlignment))), "too small");
  EXPECT_EQ(code_of(Ring::create(segment.first(100), params)), "too small");

  auto* header = reinterpret_cast<SegmentHeader*>(segment.data());
  const auto refused = [&](auto& field, auto value, std::string_view why) {
    const auto before = field.load();
    field = value;
    EXPECT_EQ(code_of(Ring::attach(segment)), why) << std::uint64_t{value};
    field = before;
  };
  refused(header->capacity, std::uint64_t{2048}, "bad geometry");
  refused(header->capacity, std::uint64_t{512}, "bad geometry");
  refused(header->capacity, std::uint64_t{1}, "bad geometry");
  refused(header->capacity, std::uint64_t{1} << 63, "bad geometry");
  refused(header->slot_bytes, std::uint32_t{0}, "bad geometry");
  refused(header->slot_bytes, ~std::uint32_t{0}, "bad geometry");
  refused(header->participants, std::uint32_t{0}, "bad geometry");
  refused(header->participants, std::uint32_t{257}, "bad geometry");
  refused(header->feature_bits, header->feature_bits.load() | std::uint64_t{1} << 60,
          "bad version");
  refused(header->feature_bits, std::uint64_t{3} << 8, "bad geometry");
  refused(header->kind, std::uint32_t{2}, "bad kind");

  for (const MpmcParams& bad :
       {MpmcParams{.capacity = 0}, MpmcParams{.capacity = 1}, MpmcParams{.capacity = 3},
        MpmcParams{.capacity = std::uint64_t{1} << 33}, MpmcParams{.slot_bytes = 0}}) {
    EXPECT_FALSE(mpmc_ring<>::layout_for(bad));
  }
  EXPECT_EQ(code_of(mpmc_ring<>::layout_for({.slot_bytes = 1u << 31})), "invalid option");
  EXPECT_EQ(code_of(mpmc_ring<>::layout_for({.alignment = 48})), "invalid option");
  EXPECT_EQ(code_of(mpmc_ring<>::layout_for({.participants = 0})), "invalid option");
  EXPECT_EQ(code_of(mpmc_ring<>::layout_for({.capacity = 1ull << 32, .slot_bytes = 1 << 20})),
            "invalid capacity");
}

TEST(MpmcRing, AClaimOfAllIsAsLongAsAskedForOrNotMade) {
  MpmcFixture<std::uint64_t> ring(8);
  decltype(ring)::Producer producer(ring.ring, 0);
  decltype(ring)::Producer other(ring.ring, 1);
  decltype(ring)::Consumer consumer(ring.ring, 2);
  for (std::uint64_t i = 0; i < 3; ++i) ASSERT_TRUE(other.try_push(i));

  EXPECT_FALSE(producer.try_claim(6));
  EXPECT_EQ(producer.outcome(), ClaimOutcome::kFull);
  EXPECT_EQ(ring.tail(), 3u);
  EXPECT_EQ(ring.claiming(0), mpmc_announcement::kNone);
  {
    auto claim = producer.try_claim(5);
    ASSERT_TRUE(claim);
    EXPECT_EQ(claim->size(), 5u);
    EXPECT_EQ(producer.first(), 3u);
    for (std::uint32_t i = 0; i < 5; ++i) (*claim)[i] = 3 + i;
    // Claimed and not yet written: free to look at, and not free.
    EXPECT_FALSE(other.try_claim(1));
    std::move(*claim).commit();
  }
  EXPECT_THAT(drain(consumer), ::testing::ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_FALSE(producer.try_claim(0));
  EXPECT_FALSE(producer.try_claim(9)) << "more than there are";
  EXPECT_TRUE(producer.try_claim(8));
}

// Who waits goes by it: one that is told kContended for ever would never sleep.
TEST(MpmcRing, AnOutcomeIsThatOfTheLastTry) {
  Fixture ring(std::uint64_t{2} * detail::kMpmcSlotsPerSearch);
  Fixture::Consumer consumer(ring.ring, 0);
  std::uint64_t value = 0;
  const auto try_again = [&] {
    EXPECT_FALSE(consumer.try_pop(value));
    return consumer.outcome();
  };
  ASSERT_EQ(try_again(), ReadOutcome::kEmpty);

  // A dead consumer's message that is not there: the search takes more than one call.
  ring.parts.positions->orphans = 1;
  EXPECT_EQ(try_again(), ReadOutcome::kContended);
  ring.parts.positions->orphans = 0;
  EXPECT_EQ(try_again(), ReadOutcome::kEmpty);

  const std::uint64_t empty = ring.state(0);
  ring.parts.state_at(0) = empty - 2 * mpmc_state::kLap;
  EXPECT_EQ(try_again(), ReadOutcome::kCorrupt);
  ring.parts.state_at(0) = empty;
  EXPECT_EQ(try_again(), ReadOutcome::kEmpty);

  // What came in between leaves nothing of the outcome before it.
  ring.parts.positions->orphans = 2;
  EXPECT_EQ(try_again(), ReadOutcome::kContended);
  ring.parts.positions->orphans = 0;
  ASSERT_TRUE(Fixture::Producer(ring.ring, 1).try_push(7));
  ASSERT_TRUE(consumer.try_pop(value));
  EXPECT_EQ(try_again(), ReadOutcome::kEmpty);
}

}  // namespace
}  // namespace rondo
