// Contract of spsc_ring. Each line has a test of the same name, in this order.
//
//  Passing messages
//   1. PopFromEmptyRingReturnsNothing
//   2. ValuesLeaveInTheOrderTheyEntered
//   3. PushToFullRingFailsAndChangesNothing
//   4. APushTouchesNoSlotThatIsNotFree
//   5. APushInAStreamTouchesItsOwnSlotAlone
//   6. ARingOfOneSlotWorks
//   7. ReservedSlotsAreInvisibleUntilCommitted
//   8. MessagesAreReadInPlace
//  Several at once
//   9. AClaimWrapsIntoTwoRuns
//  10. AForgottenClaimLeavesNoTrace
//  11. AClaimMayBeCommittedInPart
//  12. AClaimIsAllOrNothingAndSomeIsAsMuchAsThereIs
//  13. MessagesInPlaceAreGivenBackAtTheEndOfScope
//  14. ManyValuesAreCopiedAroundTheEnd
//  Giving back
//  15. ALazyConsumerPublishesAfterAnEighth
//  16. ALazyConsumerPublishesWhenItRunsDry
//  17. AnEagerConsumerPublishesAfterEachMessage
//  18. ADestroyedConsumerPublishes
//  19. GiveBackSaysWhetherTheProducerCanSeeIt
//  20. TheProducerLearnsWhenEverythingWasGivenBack
//  Taking over
//  21. ASuccessorOfTheProducerGoesOnBehindWhatWasCommitted
//  22. ASuccessorOfTheConsumerSeesAgainWhatWasNotGivenBack
//  Positions
//  23. PositionsMayPassTwoToTheSixtyFour
//  A hostile peer
//  24. CorruptHeadReadsAsFull
//  25. CorruptTailReadsAsEmpty
//  26. AHeadThatGoesBackNeverFreesASlot
//  Raw slots
//  27. RawSlotsHoldBytesOfARuntimeSize
//  Life cycle
//  28. ARingIsCreatedOnceAndAttachedToByOthers
//  29. AttachRefusesAnotherSlotType
//  30. AttachRefusesEveryGeometryThatDoesNotAddUp
//  31. ImpossibleRingsAreRefused
//  32. ForeignMemoryIsRefused
//  All of it
//  33. AnyOperationsAgreeWithAPlainModel
#include "rondo/core/spsc_ring.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <memory>
#include <new>
#include <numeric>
#include <random>
#include <vector>

#include "support/spsc_fixture.hpp"

namespace rondo {
namespace {

using ::testing::ElementsAre;
using testing::SpscFixture;

TEST(SpscRing, PopFromEmptyRingReturnsNothing) {
  SpscFixture<int, 4> ring;
  int out = 7;

  EXPECT_FALSE(ring.consumer().try_pop(out));

  EXPECT_EQ(out, 7);
  EXPECT_EQ(ring.consumer().try_pop(), std::nullopt);
  EXPECT_EQ(ring.head(), 0u);
}

TEST(SpscRing, ValuesLeaveInTheOrderTheyEntered) {
  SpscFixture<int, 4> ring;
  auto producer = ring.producer();
  auto consumer = ring.consumer();
  for (int lap = 0; lap < 3; ++lap) {
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(producer.try_push(10 * lap + i));
    for (int i = 0; i < 3; ++i) EXPECT_EQ(consumer.try_pop(), 10 * lap + i);
  }
  EXPECT_EQ(consumer.try_pop(), std::nullopt);
}

TEST(SpscRing, PushToFullRingFailsAndChangesNothing) {
  SpscFixture<int, 4> ring{{.head = 10, .tail = 14, .slots = {1, 2, 3, 4}}};

  EXPECT_FALSE(ring.producer().try_push(99));

  EXPECT_EQ(ring.tail(), 14u);
  EXPECT_EQ(ring.head(), 10u);
  EXPECT_THAT(ring.slots, ElementsAre(1, 2, 3, 4));
}

TEST(SpscRing, APushTouchesNoSlotThatIsNotFree) {
  struct Line {
    std::uint64_t words[8];
  };
  // While the consumer is in step, the next slot is stored to if it is free (take_line_back()).
  SpscFixture<Line, 4> ring{
      {.head = 11, .tail = 12, .slots = {Line{{77}}, Line{{77}}, Line{{77}}, Line{{2}}}}};
  auto producer = ring.producer();

  ASSERT_TRUE(producer.try_push(Line{{3}}));
  EXPECT_EQ(ring.slots[1].words[0], 0u);  // free: stored to
  ASSERT_TRUE(producer.try_push(Line{{4}}));
  EXPECT_EQ(ring.slots[2].words[0], 0u);
  ASSERT_TRUE(producer.try_push(Line{{5}}));

  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(ring.slots[(3 + i) % 4].words[0], i + 2);
}

TEST(SpscRing, APushInAStreamTouchesItsOwnSlotAlone) {
  struct Line {
    std::uint64_t words[8];
  };
  SpscFixture<Line, 4> ring{
      {.head = 10, .tail = 12, .slots = {Line{{77}}, Line{{78}}, Line{{1}}, Line{{2}}}}};
  auto producer = ring.producer();

  ASSERT_TRUE(producer.try_push(Line{{3}}));
  EXPECT_EQ(ring.slots[1].words[0], 78u);
  ASSERT_TRUE(producer.try_push(Line{{4}}));

  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(ring.slots[(2 + i) % 4].words[0], i + 1);
}

TEST(SpscRing, ARingOfOneSlotWorks) {
  SpscFixture<int, 1> ring;
  auto producer = ring.producer();
  auto consumer = ring.consumer(Acknowledge::kLazily);
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(producer.try_push(i));
    EXPECT_FALSE(producer.try_push(99));
    EXPECT_EQ(consumer.try_pop(), i);
  }
}

TEST(SpscRing, ReservedSlotsAreInvisibleUntilCommitted) {
  SpscFixture<int, 4> ring;
  auto producer = ring.producer();
  auto consumer = ring.consumer();

  int* slot = producer.try_reserve();
  ASSERT_EQ(slot, &ring.slots[0]);
  *slot = 5;
  EXPECT_EQ(consumer.try_peek(), nullptr);
  EXPECT_EQ(producer.try_reserve(), slot);  // not committed: handed out again
  producer.commit();

  EXPECT_EQ(consumer.try_pop(), 5);
}

TEST(SpscRing, MessagesAreReadInPlace) {
  SpscFixture<int, 4> ring{{.head = 5, .tail = 7, .slots = {0, 51, 52, 0}}};
  auto consumer = ring.consumer();

  EXPECT_EQ(consumer.try_peek(), &ring.slots[1]);
  EXPECT_EQ(consumer.try_peek(), &ring.slots[1]);
  EXPECT_EQ(ring.head(), 5u);
  consumer.give_back();

  EXPECT_EQ(consumer.try_peek(), &ring.slots[2]);
  EXPECT_EQ(ring.head(), 6u);
}

TEST(SpscRing, AClaimWrapsIntoTwoRuns) {
  SpscFixture<int, 4> ring{{.head = 3, .tail = 3}};
  auto producer = ring.producer();
  auto consumer = ring.consumer();

  auto claim = producer.try_claim(3);
  ASSERT_TRUE(claim);
  ASSERT_EQ(claim->first().size(), 1u);
  ASSERT_EQ(claim->second().size(), 2u);
  claim->first()[0] = 1;
  claim->second()[0] = 2;
  claim->second()[1] = 3;
  EXPECT_EQ(ring.tail(), 3u);
  std::move(*claim).commit();

  EXPECT_EQ(ring.tail(), 6u);
  EXPECT_THAT(ring.slots, ElementsAre(2, 3, 0, 1));
  for (int i = 1; i <= 3; ++i) EXPECT_EQ(consumer.try_pop(), i);
}

TEST(SpscRing, AForgottenClaimLeavesNoTrace) {
  SpscFixture<int, 4> ring;
  auto producer = ring.producer();
  {
    auto claim = producer.try_claim(4);
    claim->first()[0] = 99;
  }
  EXPECT_EQ(ring.tail(), 0u);
  EXPECT_TRUE(producer.try_push(1));
  EXPECT_EQ(ring.consumer().try_pop(), 1);
}

TEST(SpscRing, AClaimMayBeCommittedInPart) {
  SpscFixture<int, 4> ring;
  auto producer = ring.producer();
  auto claim = producer.try_claim(4);
  std::iota(claim->first().begin(), claim->first().end(), 1);

  claim->shrink(2);
  EXPECT_EQ(claim->size(), 2u);
  EXPECT_EQ(claim->first().size(), 2u);
  std::move(*claim).commit();

  EXPECT_EQ(ring.tail(), 2u);
  EXPECT_EQ(producer.try_reserve(), &ring.slots[2]);
}

TEST(SpscRing, AClaimIsAllOrNothingAndSomeIsAsMuchAsThereIs) {
  SpscFixture<int, 4> ring{{.head = 0, .tail = 1}};
  auto producer = ring.producer();
  EXPECT_FALSE(producer.try_claim(4));
  EXPECT_FALSE(producer.try_claim(0));
  EXPECT_EQ(producer.try_claim_some(4)->size(), 3u);

  auto consumer = ring.consumer();
  EXPECT_FALSE(consumer.try_next(2));
  EXPECT_FALSE(consumer.try_next(0));
  EXPECT_EQ(consumer.try_next_some(2)->size(), 1u);
  EXPECT_FALSE(consumer.try_next_some(2));
}

TEST(SpscRing, MessagesInPlaceAreGivenBackAtTheEndOfScope) {
  SpscFixture<int, 4> ring{{.head = 3, .tail = 6, .slots = {2, 3, 0, 1}}};
  auto consumer = ring.consumer();
  {
    auto messages = consumer.try_next(3);
    ASSERT_TRUE(messages);
    EXPECT_THAT(messages->first(), ElementsAre(1));
    EXPECT_THAT(messages->second(), ElementsAre(2, 3));
    EXPECT_EQ(ring.head(), 3u);
  }
  EXPECT_EQ(ring.head(), 6u);
}

TEST(SpscRing, ManyValuesAreCopiedAroundTheEnd) {
  SpscFixture<int, 4> ring{{.head = 2, .tail = 2}};
  auto producer = ring.producer();
  auto consumer = ring.consumer();
  const std::vector<int> sent{1, 2, 3, 4, 5};
  std::vector<int> received(5, 0);

  EXPECT_EQ(producer.try_push_some(sent), 4u);
  EXPECT_EQ(producer.try_push_some(sent), 0u);
  EXPECT_EQ(consumer.try_pop_some(received), 4u);
  EXPECT_EQ(consumer.try_pop_some(received), 0u);

  EXPECT_THAT(received, ElementsAre(1, 2, 3, 4, 0));
}

TEST(SpscRing, ALazyConsumerPublishesAfterAnEighth) {
  SpscFixture<int, 16> ring{{.head = 0, .tail = 16}};
  auto consumer = ring.consumer(Acknowledge::kLazily);
  EXPECT_TRUE(consumer.try_pop());
  EXPECT_EQ(ring.head(), 0u);
  EXPECT_TRUE(consumer.try_pop());
  EXPECT_EQ(ring.head(), 2u);
  EXPECT_TRUE(consumer.try_pop());
  EXPECT_EQ(ring.head(), 2u);
  EXPECT_EQ(consumer.position(), 3u);
  EXPECT_EQ(consumer.published(), 2u);
}

TEST(SpscRing, ALazyConsumerPublishesWhenItRunsDry) {
  SpscFixture<int, 16> ring{{.head = 0, .tail = 1}};
  auto consumer = ring.consumer(Acknowledge::kLazily);
  EXPECT_TRUE(consumer.try_pop());
  EXPECT_EQ(ring.head(), 0u);
  EXPECT_FALSE(consumer.try_pop());
  EXPECT_EQ(ring.head(), 1u);
}

TEST(SpscRing, AnEagerConsumerPublishesAfterEachMessage) {
  SpscFixture<int, 16> ring{{.head = 0, .tail = 3}};
  auto consumer = ring.consumer(Acknowledge::kEagerly);
  for (Position read = 1; read <= 3; ++read) {
    EXPECT_TRUE(consumer.try_pop());
    EXPECT_EQ(ring.head(), read);
  }
}

TEST(SpscRing, ADestroyedConsumerPublishes) {
  SpscFixture<int, 16> ring{{.head = 0, .tail = 3}};
  {
    auto consumer = ring.consumer(Acknowledge::kLazily);
    EXPECT_TRUE(consumer.try_pop());
    auto moved = std::move(consumer);
    EXPECT_EQ(ring.head(), 0u);
  }
  EXPECT_EQ(ring.head(), 1u);
}

TEST(SpscRing, GiveBackSaysWhetherTheProducerCanSeeIt) {
  SpscFixture<int, 16> ring{{.head = 0, .tail = 3}};
  auto consumer = ring.consumer(Acknowledge::kLazily);
  ASSERT_NE(consumer.try_peek(), nullptr);
  EXPECT_FALSE(consumer.give_back());
  ASSERT_NE(consumer.try_peek(), nullptr);
  EXPECT_TRUE(consumer.give_back());
  ASSERT_NE(consumer.try_peek(), nullptr);
  EXPECT_FALSE(consumer.give_back());
  EXPECT_TRUE(consumer.publish());
  EXPECT_FALSE(consumer.publish());
}

TEST(SpscRing, TheProducerLearnsWhenEverythingWasGivenBack) {
  SpscFixture<int, 4> ring;
  auto producer = ring.producer();
  EXPECT_TRUE(producer.drained());
  EXPECT_TRUE(producer.try_push(1));
  EXPECT_FALSE(producer.drained());
  EXPECT_TRUE(ring.consumer().try_pop());
  EXPECT_TRUE(producer.drained());
}

TEST(SpscRing, ASuccessorOfTheProducerGoesOnBehindWhatWasCommitted) {
  SpscFixture<int, 4> ring;
  {
    auto killed = ring.producer();
    EXPECT_TRUE(killed.try_push(1));
    *killed.try_reserve() = 99;
  }
  auto successor = ring.producer();
  EXPECT_EQ(successor.position(), 1u);
  EXPECT_TRUE(successor.try_push(2));

  auto consumer = ring.consumer();
  EXPECT_EQ(consumer.try_pop(), 1);
  EXPECT_EQ(consumer.try_pop(), 2);
  EXPECT_EQ(consumer.try_pop(), std::nullopt);
}

TEST(SpscRing, ASuccessorOfTheConsumerSeesAgainWhatWasNotGivenBack) {
  SpscFixture<int, 16> ring{{.head = 0, .tail = 3, .slots = {1, 2, 3}}};
  // A killed consumer's destructor does not run.
  alignas(spsc_ring<int>::Consumer) std::byte memory[sizeof(spsc_ring<int>::Consumer)];
  auto* killed = new (memory) spsc_ring<int>::Consumer(ring.parts(), Acknowledge::kLazily);
  EXPECT_EQ(killed->try_pop(), 1);

  auto successor = ring.consumer(Acknowledge::kLazily);
  EXPECT_EQ(successor.try_pop(), 1);
  EXPECT_EQ(successor.try_pop(), 2);
}

TEST(SpscRing, PositionsMayPassTwoToTheSixtyFour) {
  const Position start = ~Position{0} - 2;
  for (const Acknowledge acknowledge : {Acknowledge::kLazily, Acknowledge::kEagerly}) {
    SpscFixture<int, 4> ring{{.head = start, .tail = start}};
    auto producer = ring.producer();
    auto consumer = ring.consumer(acknowledge);
    for (int i = 0; i < 10; i += 2) {
      EXPECT_TRUE(producer.try_push(i));
      EXPECT_TRUE(producer.try_push(i + 1));
      EXPECT_EQ(consumer.try_pop(), i);
      EXPECT_EQ(consumer.try_pop(), i + 1);
      EXPECT_EQ(consumer.try_pop(), std::nullopt);
    }
    EXPECT_EQ(ring.head(), start + 10);
  }
}

TEST(SpscRing, CorruptHeadReadsAsFull) {
  for (const Position head : {Position{1} << 20, Position{1} << 63, ~Position{0} - 4}) {
    SpscFixture<int, 4> ring{{.head = head, .tail = 0}};
    auto producer = ring.producer();
    EXPECT_FALSE(producer.try_push(1)) << head;
    EXPECT_FALSE(producer.try_claim(1)) << head;
    EXPECT_EQ(producer.outcome(), ClaimOutcome::kCorrupt) << head;
    EXPECT_EQ(ring.tail(), 0u);
  }
}

TEST(SpscRing, CorruptTailReadsAsEmpty) {
  for (const Position tail : {Position{9}, Position{1} << 63, ~Position{0}}) {
    SpscFixture<int, 4> ring{{.head = 4, .tail = tail}};
    auto consumer = ring.consumer();
    EXPECT_EQ(consumer.try_peek(), nullptr) << tail;
    EXPECT_FALSE(consumer.try_next_some(4)) << tail;
    EXPECT_EQ(consumer.outcome(), ReadOutcome::kCorrupt) << tail;
    EXPECT_EQ(ring.head(), 4u);
  }
}

TEST(SpscRing, AHeadThatGoesBackNeverFreesASlot) {
  SpscFixture<int, 4> ring{{.head = 4, .tail = 8}};
  auto producer = ring.producer();
  ring.consumer_part.head.store(3, std::memory_order_relaxed);  // a lap and one slot behind
  EXPECT_FALSE(producer.try_push(1));
  EXPECT_EQ(producer.outcome(), ClaimOutcome::kCorrupt);
}

TEST(SpscRing, RawSlotsHoldBytesOfARuntimeSize) {
  using Ring = spsc_ring<raw_slots>;
  SpscProducerPart producer_part{};
  SpscConsumerPart consumer_part{};
  alignas(8) std::byte slots[4 * 24]{};
  const SpscParts<raw_slots> parts{&producer_part, &consumer_part, slots, 4, 24};
  Ring::Producer producer(parts);
  Ring::Consumer consumer(parts);

  for (int i = 0; i < 6; ++i) {
    std::byte* slot = producer.try_reserve();
    ASSERT_EQ(slot, slots + i % 4 * 24);
    std::memset(slot, i, 24);
    producer.commit();
    const std::byte* message = consumer.try_peek();
    ASSERT_EQ(message, slot);
    EXPECT_EQ(message[23], static_cast<std::byte>(i));
    consumer.give_back();
  }
  auto claim = producer.try_claim(4);  // at position 6
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->first().size(), 2u * 24);
  EXPECT_EQ(claim->second().size(), 2u * 24);
}

// Memory as a segment would give it.
struct PagesDeleter {
  void operator()(std::byte* pages) const noexcept {
    ::operator delete (pages, std::align_val_t{kPartAlignment});
  }
};
class Pages {
 public:
  explicit Pages(std::size_t size)
      : size_(size),
        pages_(static_cast<std::byte*>(::operator new (size, std::align_val_t{kPartAlignment}))) {
    std::memset(pages_.get(), 0xa5, size);
  }
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {pages_.get(), size_}; }

 private:
  std::size_t size_;
  std::unique_ptr<std::byte, PagesDeleter> pages_;
};

TEST(SpscRing, ARingIsCreatedOnceAndAttachedToByOthers) {
  using Ring = spsc_ring<std::uint64_t>;
  const SpscParams params{.capacity = 8, .participants = 3, .instance_id = 42};
  const Pages pages(Ring::layout_for(params)->total_bytes);

  const auto created = Ring::create(pages.bytes(), params);
  ASSERT_TRUE(created) << created.error().message;
  const auto attached = Ring::attach(pages.bytes());
  ASSERT_TRUE(attached) << attached.error().message;

  Ring::Producer producer(*created);
  Ring::Consumer consumer(*attached);
  for (std::uint64_t i = 0; i < 8; ++i) EXPECT_TRUE(producer.try_push(i));
  EXPECT_FALSE(producer.try_push(8));
  for (std::uint64_t i = 0; i < 8; ++i) EXPECT_EQ(consumer.try_pop(), i);
  EXPECT_TRUE(is_aligned(created->producer, kPartAlignment));
  EXPECT_TRUE(is_aligned(created->consumer, kPartAlignment));
  EXPECT_TRUE(is_aligned(created->slots, kPartAlignment));
}

TEST(SpscRing, AttachRefusesAnotherSlotType) {
  const SpscParams params{.capacity = 8};
  const Pages pages(spsc_ring<std::uint64_t>::layout_for(params)->total_bytes);
  ASSERT_TRUE(spsc_ring<std::uint64_t>::create(pages.bytes(), params));

  EXPECT_EQ(spsc_ring<std::uint32_t>::attach(pages.bytes()).error().code,
            ErrorCode::kGeometryMismatch);
  const auto raw = spsc_ring<raw_slots>::attach(pages.bytes());
  ASSERT_TRUE(raw);
  EXPECT_EQ(raw->slot_bytes, 8u);
}

TEST(SpscRing, AttachRefusesEveryGeometryThatDoesNotAddUp) {
  using Ring = spsc_ring<std::uint64_t>;
  const SpscParams params{.capacity = 1024};
  const Pages pages(Ring::layout_for(params)->total_bytes);
  auto& header = *reinterpret_cast<SegmentHeader*>(pages.bytes().data());
  const auto attach_with = [&](auto change) {
    EXPECT_TRUE(Ring::create(pages.bytes(), params));
    change();
    const auto attached = Ring::attach(pages.bytes());
    EXPECT_FALSE(attached);
    return attached ? ErrorCode::kSystem : attached.error().code;
  };
  const auto set = [](auto& word, auto value) {
    return [&word, value] { word.store(value, std::memory_order_relaxed); };
  };

  EXPECT_EQ(attach_with(set(header.capacity, 512u)), ErrorCode::kBadGeometry);
  EXPECT_EQ(attach_with(set(header.capacity, 1000u)), ErrorCode::kBadGeometry);
  EXPECT_EQ(attach_with(set(header.capacity, 0u)), ErrorCode::kBadGeometry);
  EXPECT_EQ(attach_with(set(header.capacity, std::uint64_t{1} << 61)), ErrorCode::kBadGeometry);
  EXPECT_EQ(attach_with(set(header.participants, 1u)), ErrorCode::kBadGeometry);
  EXPECT_EQ(attach_with(set(header.feature_bits, 1u)), ErrorCode::kBadVersion);
  EXPECT_EQ(attach_with(set(header.slot_bytes, 4u)), ErrorCode::kGeometryMismatch);
  EXPECT_EQ(attach_with(set(header.kind, 2u)), ErrorCode::kBadKind);
  EXPECT_EQ(attach_with(set(header.magic, std::uint64_t{0})), ErrorCode::kNotReady);
}

TEST(SpscRing, ImpossibleRingsAreRefused) {
  using Ring = spsc_ring<std::uint64_t>;
  for (const std::uint64_t capacity : {std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{1000},
                                       std::uint64_t{1} << 44, std::uint64_t{1} << 63}) {
    EXPECT_EQ(Ring::layout_for({.capacity = capacity}).error().code, ErrorCode::kInvalidCapacity);
  }
  EXPECT_FALSE(Ring::layout_for({.capacity = 8, .participants = 4000}));
  for (const std::uint32_t slot_bytes : {0u, 7u, 12u, 1u << 31}) {
    EXPECT_FALSE(spsc_ring<raw_slots>::layout_for({.capacity = 8, .slot_bytes = slot_bytes}));
  }
}

TEST(SpscRing, ForeignMemoryIsRefused) {
  using Ring = spsc_ring<std::uint64_t>;
  const SpscParams params{.capacity = 8};
  const std::size_t size = Ring::layout_for(params)->total_bytes;
  const Pages pages(size + kPartAlignment);
  const auto all = pages.bytes();

  EXPECT_EQ(Ring::attach(all).error().code, ErrorCode::kBadMagic);
  EXPECT_EQ(Ring::attach(all.first(64)).error().code, ErrorCode::kTooSmall);
  EXPECT_EQ(Ring::create(all.first(size - 1), params).error().code, ErrorCode::kTooSmall);
  EXPECT_EQ(Ring::create(all, params).error().code, ErrorCode::kSizeMismatch);
  EXPECT_EQ(Ring::create(all.subspan(8, size), params).error().code, ErrorCode::kMisaligned);
}

// One ring and a plain queue, driven by the same random operations.
void drive(std::mt19937_64& random, Acknowledge acknowledge, Pacing pacing) {
  SpscFixture<std::uint64_t, 8> ring{{.head = ~Position{0} - 20, .tail = ~Position{0} - 20}};
  auto producer = ring.producer();
  auto consumer = ring.consumer(acknowledge, pacing);
  std::deque<std::uint64_t> model;
  std::uint64_t next = 0;
  for (int step = 0; step < 4000; ++step) {
    const std::size_t count = random() % 10;
    const std::size_t free = 8 - (producer.position() - ring.head());
    switch (random() % 6) {
      case 0:
        ASSERT_EQ(producer.try_push(next), free > 0);
        if (free > 0) model.push_back(next++);
        break;
      case 1: {
        std::vector<std::uint64_t> values(count);
        std::iota(values.begin(), values.end(), next);
        const std::size_t pushed = producer.try_push_some(values);
        // What the producer last saw is a lower bound of what is free.
        ASSERT_LE(pushed, std::min(count, free));
        ASSERT_EQ(pushed == 0, count == 0 || free == 0);
        for (std::size_t i = 0; i < pushed; ++i) model.push_back(next++);
        break;
      }
      case 2: {
        auto claim = producer.try_claim(count);
        ASSERT_EQ(claim.has_value(), count > 0 && count <= free);
        if (!claim || random() % 4 == 0) break;
        for (auto& slot : claim->first()) slot = next++;
        for (auto& slot : claim->second()) slot = next++;
        for (std::size_t i = 0; i < count; ++i) model.push_back(next - count + i);
        std::move(*claim).commit();
        break;
      }
      case 3: {
        const auto popped = consumer.try_pop();
        ASSERT_EQ(popped.has_value(), !model.empty());
        if (!popped) break;
        ASSERT_EQ(*popped, model.front());
        model.pop_front();
        break;
      }
      case 4: {
        std::vector<std::uint64_t> values(count);
        const std::size_t popped = consumer.try_pop_some(values);
        ASSERT_LE(popped, std::min(count, model.size()));
        ASSERT_EQ(popped == 0, count == 0 || model.empty());
        ASSERT_TRUE(
            std::equal(values.begin(), values.begin() + static_cast<long>(popped), model.begin()));
        model.erase(model.begin(), model.begin() + static_cast<long>(popped));
        break;
      }
      case 5: {
        auto messages = consumer.try_next(count);
        ASSERT_EQ(messages.has_value(), count > 0 && count <= model.size());
        if (!messages) break;
        for (const auto& runs : {messages->first(), messages->second()}) {
          for (const std::uint64_t value : runs) {
            ASSERT_EQ(value, model.front());
            model.pop_front();
          }
        }
        break;
      }
    }
  }
}

TEST(SpscRing, AnyOperationsAgreeWithAPlainModel) {
  const std::uint64_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int run = 0; run < 20; ++run) {
    drive(random, run % 2 == 0 ? Acknowledge::kLazily : Acknowledge::kEagerly,
          run % 4 < 2 ? Pacing::kOff : Pacing::kOn);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace rondo
