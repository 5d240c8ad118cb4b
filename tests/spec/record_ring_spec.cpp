// Contract of record_ring. Each line has a test of the same name, in this order.
//
//  Passing records
//   1. AnEmptyRingHasNothingToRead
//   2. RecordsLeaveInTheOrderTheyEntered
//   3. RecordsOfSizeZeroAndOfTheLargestSizePass
//   4. ACommitStoresItsHeaderAndZeroesTheNext
//   5. ARecordThatWouldWrapIsPrecededByPadding
//   6. EveryPositionHasRoomForTheLargestRecord
//   7. ARecordAboveTheLargestSizeIsRefused
//   8. ClaimsMayBeShrunk
//   9. AForgottenClaimLeavesNoTrace
//  10. MessagesGiveThemselvesBack
//  Space
//  11. AFullRingRefusesAndChangesNothingVisible
//  12. ACommitTouchesNothingThatIsNotFree
//  13. AFullRingAcceptsAgainOnceAShareIsGivenBack
//  14. ALazyConsumerPublishesWhenItRunsDry
//  15. AnEagerConsumerPublishesAfterEachRecord
//  Batches
//  16. ABatchBecomesVisibleAtOnce
//  17. ABatchMayWrap
//  18. AnAbandonedBatchLeavesNoTrace
//  End of stream
//  19. AClosedStreamEndsAfterItsLastRecord
//  20. AFullRingCanStillBeClosed
//  21. ClosingTwiceIsClosingOnce
//  22. EndMarksOfManySuccessorsNeverReachUnreadRecords
//  23. ASuccessorGoesOnBehindTheEnd
//  Taking over
//  24. ASuccessorOfTheProducerFindsTheEnd
//  25. ASuccessorOfTheProducerOverwritesWhatWasNotCommitted
//  26. ASuccessorOfAProducerKilledInABatchForgetsTheBatch
//  27. ASuccessorOfTheConsumerReadsAgainWhatWasNotGivenBack
//  28. ATornCheckpointIsNotUsed
//  29. SuccessorsAgreeAtEveryPosition
//  Positions
//  30. PositionsMayPassTwoToTheSixtyFour
//  31. LinesAreAskedForWhereverPositionsPassTwoToTheSixtyFour
//  32. SequencesMayPassTwentyEightBits
//  A hostile peer
//  33. AHeadBeyondTheTailReadsAsFull
//  34. AHeadThatGoesBackReadsAsFull
//  35. AHeaderLargerThanTheRingIsCorrupt
//  36. AHeaderOfAnotherSequenceIsCorrupt
//  37. PaddingBeyondTheEndIsCorrupt
//  38. EndlessPaddingIsCorrupt
//  39. AttachRefusesPositionsThatAreNotHeaders
//  40. AttachRefusesHeadersThatGoRound
//  Life cycle
//  41. CreateAndAttachAgreeOnEveryPart
//  42. ImpossibleCapacitiesAreRefused
//  43. AttachRefusesAnyOtherGeometry
//  44. EachOfManyReadersHasAPartOfItsOwn
//  For handles
//  45. ALookForRecordsAloneFindsNothingElse
//  46. AProducerStoppedInABatchTakesNothing
//  47. AShutProducerTakesNothing
//  All of it
//  48. AnyOperationsAgreeWithAPlainModel
//  49. AnyOperationsAgreeWithAPlainModelInAWindow
#include "rondo/core/record_ring.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <random>

#include "support/record_fixture.hpp"

namespace rondo {
namespace {

using testing::put;
using testing::RecordFixture;
using testing::take;

std::uint64_t record(std::uint64_t sequence, std::uint32_t size) {
  return record_header::make(RecordKind::kRecord, sequence, size);
}
std::uint64_t padding(std::uint64_t sequence, std::uint32_t size) {
  return record_header::make(RecordKind::kPadding, sequence, size);
}

TEST(RecordRing, AnEmptyRingHasNothingToRead) {
  RecordFixture ring(64);
  auto consumer = ring.consumer();
  EXPECT_EQ(consumer.try_peek(), ReadOutcome::kEmpty);
}

TEST(RecordRing, RecordsLeaveInTheOrderTheyEntered) {
  RecordFixture ring(256);
  auto producer = ring.producer();
  auto consumer = ring.consumer();
  ASSERT_TRUE(put(producer, "one"));
  ASSERT_TRUE(put(producer, "two"));
  ASSERT_TRUE(put(producer, "three three"));

  EXPECT_EQ(take(consumer), "one");
  EXPECT_EQ(take(consumer), "two");
  EXPECT_EQ(take(consumer), "three three");
  EXPECT_EQ(take(consumer), "<empty>");
}

TEST(RecordRing, RecordsOfSizeZeroAndOfTheLargestSizePass) {
  RecordFixture ring(256);
  auto producer = ring.producer();
  auto consumer = ring.consumer();
  const std::string largest(producer.max_record_bytes(), 'x');
  EXPECT_EQ(largest.size(), 256u / 2 - 16);
  ASSERT_TRUE(put(producer, ""));
  ASSERT_TRUE(put(producer, largest));

  EXPECT_EQ(take(consumer), "");
  EXPECT_EQ(take(consumer), largest);
}

TEST(RecordRing, ACommitStoresItsHeaderAndZeroesTheNext) {
  RecordFixture ring(64);
  ring.set_header(16, 0xdead);  // left over from an earlier lap
  auto producer = ring.producer();

  ASSERT_TRUE(put(producer, "abcde"));

  EXPECT_EQ(ring.header(0), record(0, 5));
  EXPECT_EQ(ring.header(16), 0u);
}

TEST(RecordRing, ARecordThatWouldWrapIsPrecededByPadding) {
  RecordFixture ring(128);
  ring.start_at(104, 7);  // 24 bytes to the end
  auto producer = ring.producer();
  auto consumer = ring.consumer();

  ASSERT_TRUE(put(producer, std::string(17, 'a')));

  EXPECT_EQ(ring.header(104), padding(7, 16));
  EXPECT_EQ(ring.header(0), record(7, 17));
  EXPECT_EQ(ring.header(32), 0u);
  EXPECT_EQ(take(consumer), std::string(17, 'a'));
  EXPECT_EQ(take(consumer), "<empty>");
}

TEST(RecordRing, EveryPositionHasRoomForTheLargestRecord) {
  for (std::uint64_t start = 0; start < 128; start += 8) {
    RecordFixture ring(128);
    ring.start_at(start, 0);
    auto producer = ring.producer();
    auto consumer = ring.consumer();
    const std::string largest(producer.max_record_bytes(), 'x');
    EXPECT_TRUE(put(producer, largest)) << "at " << start;
    EXPECT_EQ(take(consumer), largest) << "at " << start;
  }
}

TEST(RecordRing, ARecordAboveTheLargestSizeIsRefused) {
  RecordFixture ring(128);
  auto producer = ring.producer();
  EXPECT_EQ(producer.try_reserve(producer.max_record_bytes() + 1), nullptr);
  EXPECT_EQ(producer.try_reserve(~std::size_t{0}), nullptr);
  EXPECT_NE(producer.outcome(), ClaimOutcome::kCorrupt);
}

TEST(RecordRing, ClaimsMayBeShrunk) {
  RecordFixture ring(128);
  auto producer = ring.producer();
  auto consumer = ring.consumer();
  auto claim = producer.try_claim(40);
  ASSERT_TRUE(claim);
  ASSERT_EQ(claim->bytes().size(), 40u);
  std::memcpy(claim->bytes().data(), "hello", 5);
  claim->shrink(5);
  std::move(*claim).commit();
  ASSERT_TRUE(put(producer, "next"));

  EXPECT_EQ(take(consumer), "hello");
  EXPECT_EQ(take(consumer), "next");
}

TEST(RecordRing, AForgottenClaimLeavesNoTrace) {
  RecordFixture ring(128);
  auto producer = ring.producer();
  auto consumer = ring.consumer();
  {
    auto claim = producer.try_claim(40);
    ASSERT_TRUE(claim);
    std::memset(claim->bytes().data(), 0xff, 40);
  }
  EXPECT_EQ(take(consumer), "<empty>");
  ASSERT_TRUE(put(producer, "kept"));
  EXPECT_EQ(take(consumer), "kept");
  EXPECT_EQ(take(consumer), "<empty>");
}

TEST(RecordRing, MessagesGiveThemselvesBack) {
  RecordFixture ring(128);
  auto producer = ring.producer();
  auto consumer = ring.consumer();
  ASSERT_TRUE(put(producer, "one"));
  ASSERT_TRUE(put(producer, "two"));
  {
    auto message = consumer.try_next();
    ASSERT_TRUE(message);
    EXPECT_EQ(message->bytes().size(), 3u);
    auto moved = std::move(*message);  // given back once, by the last owner
  }
  EXPECT_EQ(take(consumer), "two");
  EXPECT_FALSE(consumer.try_next());
  EXPECT_EQ(consumer.outcome(), ReadOutcome::kEmpty);
}

TEST(RecordRing, AFullRingRefusesAndChangesNothingVisible) {
  RecordFixture ring(64);  // three records of 8 + 8 bytes, and 16 in reserve
  auto producer = ring.producer();
  ASSERT_TRUE(put(producer, "aaaaaaaa"));
  ASSERT_TRUE(put(producer, "bbbbbbbb"));
  ASSERT_TRUE(put(producer, "cccccccc"));
  const std::vector<std::byte> before(ring.records.get(), ring.records.get() + 64);

  EXPECT_FALSE(put(producer, "d"));

  EXPECT_TRUE(std::equal(before.begin(), before.end(), ring.records.get()));
  EXPECT_NE(producer.outcome(), ClaimOutcome::kCorrupt);
}

TEST(RecordRing, ACommitTouchesNothingThatIsNotFree) {
  RecordFixture ring(256);
  auto producer = ring.producer();
  auto consumer = ring.consumer();
  ring.set_header(72 + 64, 77);

  // The line behind the next header is fetched while it is free (take_line_back()), and only then.
  ASSERT_TRUE(put(producer, std::string(64, 'a')));
  EXPECT_EQ(ring.header(72 + 64), 0u);  // free: stored to
  ASSERT_TRUE(put(producer, std::string(64, 'b')));
  ASSERT_TRUE(put(producer, std::string(64, 'c')));

  for (const char letter : {'a', 'b', 'c'}) EXPECT_EQ(take(consumer), std::string(64, letter));
}

TEST(RecordRing, AFullRingAcceptsAgainOnceAShareIsGivenBack) {
  RecordFixture ring(64);
  auto producer = ring.producer();
  auto consumer = ring.consumer();
  while (put(producer, "aaaaaaaa")) {
  }
  EXPECT_EQ(take(consumer), "aaaaaaaa");  // 16 bytes, more than an eighth
  EXPECT_TRUE(put(producer, "bbbbbbbb"));
}

TEST(RecordRing, ALazyConsumerPublishesWhenItRunsDry) {
  RecordFixture ring(1024);
  auto producer = ring.producer();
  auto consumer = ring.consumer();
  ASSERT_TRUE(put(producer, "one"));
  EXPECT_EQ(take(consumer), "one");
  EXPECT_EQ(ring.consumer_part.head.load(), 0u);
  EXPECT_EQ(take(consumer), "<empty>");
  EXPECT_EQ(ring.consumer_part.head.load(), 16u);
}

TEST(RecordRing, AnEagerConsumerPublishesAfterEachRecord) {
  RecordFixture ring(1024);
  auto producer = ring.producer();
  auto consumer = ring.consumer(Acknowledge::kEagerly);
  ASSERT_TRUE(put(producer, "one"));
  ASSERT_TRUE(put(producer, "two"));
  EXPECT_EQ(take(consumer), "one");
  EXPECT_EQ(ring.consumer_part.head.load(), 16u);
  EXPECT_EQ(take(consumer), "two");
  EXPECT_EQ(ring.consumer_part.head.load(), 32u);
}

TEST(RecordRing, ABatchBecomesVisibleAtOnce) {
  RecordFixture ring(256);
  auto producer = ring.producer();
  auto consumer = ring.consumer();
  producer.begin_batch();
  ASSERT_TRUE(put(producer, "one"));
  ASSERT_TRUE(put(producer, "two"));
  EXPECT_EQ(take(consumer), "<empty>");
  ASSERT_TRUE(put(producer, "three"));
  producer.end_batch();
  ASSERT_TRUE(put(producer, "four"));

  for (const char* expected : {"one", "two", "three", "four", "<empty>"}) {
    EXPECT_EQ(take(consumer), expected);
  }
}

TEST(RecordRing, ABatchMayWrap) {
  for (std::uint64_t start = 0; start < 256; start += 8) {
    RecordFixture ring(256);
    ring.start_at(start, 3);
    auto producer = ring.producer();
    auto consumer = ring.consumer();
    producer.begin_batch();
    for (int i = 0; i < 3; ++i)
      ASSERT_TRUE(put(producer, std::string(33, static_cast<char>('a' + i))));
    EXPECT_EQ(take(consumer), "<empty>");
    producer.end_batch();
    for (int i = 0; i < 3; ++i)
      EXPECT_EQ(take(consumer), std::string(33, static_cast<char>('a' + i)));
    EXPECT_EQ(take(consumer), "<empty>");
  }
}

TEST(RecordRing, AnAbandonedBatchLeavesNoTrace) {
  RecordFixture ring(256);
  auto producer = ring.producer();
  auto consumer = ring.consumer();
  ASSERT_TRUE(put(producer, "before"));
  producer.begin_batch();
  ASSERT_TRUE(put(producer, "one"));
  ASSERT_TRUE(put(producer, "two"));
  producer.abandon_batch();
  ASSERT_TRUE(put(producer, "after"));

  EXPECT_EQ(take(consumer), "before");
  EXPECT_EQ(take(consumer), "after");
  EXPECT_EQ(take(consumer), "<empty>");
}

TEST(RecordRing, AClosedStreamEndsAfterItsLastRecord) {
  RecordFixture ring(128);
  auto producer = ring.producer();
  auto consumer = ring.consumer();
  ASSERT_TRUE(put(producer, "last"));
  producer.close();
  EXPECT_EQ(take(consumer), "last");
  EXPECT_EQ(take(consumer), "<end>");
  EXPECT_EQ(take(consumer), "<end>");
  EXPECT_TRUE(producer.drained());
}

TEST(RecordRing, AFullRingCanStillBeClosed) {
  for (std::uint64_t start = 0; start < 64; start += 8) {
    RecordFixture ring(64);
    ring.start_at(start, 0);
    auto producer = ring.producer();
    auto consumer = ring.consumer();
    int sent = 0;
    while (put(producer, "aaaaaaaa")) ++sent;
    producer.close();
    for (; sent > 0; --sent) EXPECT_EQ(take(consumer), "aaaaaaaa");
    EXPECT_EQ(take(consumer), "<end>");
  }
}

TEST(RecordRing, ClosingTwiceIsClosingOnce) {
  RecordFixture ring(128);
  auto producer = ring.producer();
  producer.close();
  producer.close();
  EXPECT_EQ(producer.position(), 8u);
}

TEST(RecordRing, ASuccessorsEndIsItsOwn) {
  RecordFixture ring(128);
  ring.producer().break_off();
  auto successor = ring.producer();
  EXPECT_TRUE(successor.ended());
  successor.close();
  successor.close();
  EXPECT_EQ(successor.position(), 16u);
  EXPECT_TRUE(successor.drained()) << "nothing but marks";
  auto consumer = ring.consumer();
  EXPECT_EQ(take(consumer), "<broken off>");
  consumer.pass_end();
  EXPECT_EQ(take(consumer), "<end>");
}

// Found by record_ops_fuzz: a checkpoint left right behind an end mark hid that mark from the next
// successor, whose own end mark then zeroed the header of a record that was unread.
TEST(RecordRing, EndMarksOfManySuccessorsNeverReachUnreadRecords) {
  RecordFixture ring(64);
  auto consumer = ring.consumer();
  {
    auto producer = ring.producer();
    ASSERT_TRUE(put(producer, "aaaaaaaa"));
    ASSERT_TRUE(put(producer, "bbbbbbbb"));
    ASSERT_TRUE(put(producer, "cccccccc"));
  }
  for (int i = 0; i < 5; ++i) {
    auto successor = ring.producer();
    EXPECT_FALSE(put(successor, "dddddddd"));  // leaves a checkpoint
    successor.close();
  }
  for (const char* expected : {"aaaaaaaa", "bbbbbbbb", "cccccccc", "<end>"}) {
    EXPECT_EQ(take(consumer), expected);
  }
}

TEST(RecordRing, ASuccessorGoesOnBehindTheEnd) {
  RecordFixture ring(128);
  auto consumer = ring.consumer();
  {
    auto producer = ring.producer();
    ASSERT_TRUE(put(producer, "first"));
    producer.close();
  }
  auto producer = ring.producer();
  ASSERT_TRUE(put(producer, "second"));
  EXPECT_EQ(take(consumer), "first");
  EXPECT_EQ(take(consumer), "<end>");
  consumer.pass_end();
  EXPECT_EQ(take(consumer), "second");
}

TEST(RecordRing, ASuccessorOfTheProducerFindsTheEnd) {
  RecordFixture ring(128);
  auto consumer = ring.consumer();
  {
    auto producer = ring.producer();
    ASSERT_TRUE(put(producer, "one"));
    ASSERT_TRUE(put(producer, "two"));
  }
  auto successor = ring.producer();
  EXPECT_EQ(successor.position(), 32u);
  EXPECT_EQ(successor.sequence(), 2u);
  ASSERT_TRUE(put(successor, "three"));
  for (const char* expected : {"one", "two", "three", "<empty>"})
    EXPECT_EQ(take(consumer), expected);
}

TEST(RecordRing, ASuccessorOfTheProducerOverwritesWhatWasNotCommitted) {
  RecordFixture ring(128);
  auto consumer = ring.consumer();
  {
    auto producer = ring.producer();
    ASSERT_TRUE(put(producer, "kept"));
    std::byte* bytes = producer.try_reserve(24);
    std::memset(bytes, 0xff, 24);  // killed before the commit
  }
  auto successor = ring.producer();
  ASSERT_TRUE(put(successor, "next"));
  for (const char* expected : {"kept", "next", "<empty>"}) EXPECT_EQ(take(consumer), expected);
}

TEST(RecordRing, ASuccessorOfAProducerKilledInABatchForgetsTheBatch) {
  RecordFixture ring(256);
  auto consumer = ring.consumer();
  {
    auto producer = ring.producer();
    ASSERT_TRUE(put(producer, "kept"));
    producer.begin_batch();
    ASSERT_TRUE(put(producer, "lost"));
    ASSERT_TRUE(put(producer, "lost too"));
  }
  auto successor = ring.producer();
  EXPECT_EQ(successor.sequence(), 1u);
  ASSERT_TRUE(put(successor, "next"));
  for (const char* expected : {"kept", "next", "<empty>"}) EXPECT_EQ(take(consumer), expected);
}

TEST(RecordRing, ASuccessorOfTheConsumerReadsAgainWhatWasNotGivenBack) {
  RecordFixture ring(1024);
  auto producer = ring.producer();
  ASSERT_TRUE(put(producer, "one"));
  ASSERT_TRUE(put(producer, "two"));
  {
    auto lazy = ring.consumer();
    EXPECT_EQ(take(lazy), "one");  // killed before it told the producer
  }
  auto eager = ring.consumer(Acknowledge::kEagerly);
  EXPECT_EQ(take(eager), "one");
  EXPECT_EQ(take(eager), "two");
  auto third = ring.consumer();
  EXPECT_EQ(take(third), "<empty>");
  ASSERT_TRUE(put(producer, "three"));
  EXPECT_EQ(take(third), "three");
}

TEST(RecordRing, ATornCheckpointIsNotUsed) {
  RecordFixture ring(128);
  {
    auto producer = ring.producer();
    ASSERT_TRUE(put(producer, "one"));
  }
  ring.producer_part.checkpoints[1].position = 999;  // killed between the two stores and K1
  auto successor = ring.producer();
  EXPECT_EQ(successor.position(), 16u);
}

// At each position of several laps, with records of changing size, a new producer and a new
// consumer must find just what the old ones left.
TEST(RecordRing, SuccessorsAgreeAtEveryPosition) {
  RecordFixture ring(256);
  std::deque<std::string> committed;
  std::mt19937 random(7);
  for (int step = 0; step < 2000; ++step) {
    auto producer = ring.producer();
    const std::string text(random() % (producer.max_record_bytes() + 1), 'a');
    if (put(producer, text)) committed.push_back(text);
    auto consumer = ring.consumer(Acknowledge::kEagerly);
    if (random() % 2 == 0 && !committed.empty()) {
      ASSERT_EQ(take(consumer), committed.front()) << "step " << step;
      committed.pop_front();
    }
    ASSERT_EQ(consumer.sequence() + committed.size(), producer.sequence()) << "step " << step;
  }
}

TEST(RecordRing, PositionsMayPassTwoToTheSixtyFour) {
  RecordFixture ring(128);
  ring.start_at(~std::uint64_t{0} - 127, 0);
  auto producer = ring.producer();
  auto consumer = ring.consumer();
  for (int i = 0; i < 40; ++i) {
    ASSERT_TRUE(put(producer, std::to_string(i)));
    ASSERT_EQ(take(consumer), std::to_string(i));
    ASSERT_EQ(take(consumer), "<empty>");
    if (i % 3 == 0) producer = ring.producer();
    if (i % 5 == 0) consumer = ring.consumer();
  }
}

TEST(RecordRing, LinesAreAskedForWhereverPositionsPassTwoToTheSixtyFour) {
  // Every way for a record to lie across the end of the numbers, in a stream that is long enough.
  for (std::uint64_t shift = 0; shift < 64; shift += 8) {
    RecordFixture ring(std::uint64_t{1} << 14);
    ring.start_at(0 - (std::uint64_t{1} << 14) + shift, 0);
    auto producer = ring.producer();
    auto consumer = record_ring::Consumer::attach(ring.parts()).value();
    for (int i = 0; i < 2000; ++i) {
      ASSERT_TRUE(put(producer, "12345678"));
      if (i == 0) continue;  // never dry: one record stays behind
      ASSERT_EQ(take(consumer), "12345678");
    }
    EXPECT_LT(consumer.position(), std::uint64_t{1} << 16) << "it did not come so far";
  }
}

TEST(RecordRing, SequencesMayPassTwentyEightBits) {
  RecordFixture ring(128);
  ring.start_at(64, (std::uint64_t{1} << 28) - 3);
  auto producer = ring.producer();
  auto consumer = ring.consumer();
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(put(producer, std::to_string(i)));
    ASSERT_EQ(take(consumer), std::to_string(i));
    ASSERT_EQ(take(consumer), "<empty>");
    consumer = ring.consumer();
    ASSERT_EQ(consumer.sequence(), producer.sequence());
  }
}

TEST(RecordRing, AHeadBeyondTheTailReadsAsFull) {
  RecordFixture ring(64);
  auto producer = ring.producer();
  while (put(producer, "aaaaaaaa")) {
  }
  ring.consumer_part.head = 4096;
  EXPECT_FALSE(put(producer, "b"));
  EXPECT_EQ(producer.outcome(), ClaimOutcome::kCorrupt);
}

TEST(RecordRing, AHeadThatGoesBackReadsAsFull) {
  RecordFixture ring(64);
  auto producer = ring.producer();
  auto consumer = ring.consumer(Acknowledge::kEagerly);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(put(producer, "aaaaaaaa"));
    ASSERT_EQ(take(consumer), "aaaaaaaa");
  }
  ring.consumer_part.head = 8;
  while (put(producer, "aaaaaaaa")) {
  }
  EXPECT_EQ(producer.outcome(), ClaimOutcome::kCorrupt);
}

TEST(RecordRing, AHeaderLargerThanTheRingIsCorrupt) {
  for (const std::uint32_t size : {57u, 64u, 4096u, 0x7fffffffu, 0xffffffffu}) {
    RecordFixture ring(64);
    auto consumer = ring.consumer();
    ring.set_header(0, record(0, size));
    EXPECT_EQ(take(consumer), "<corrupt>") << size;
  }
}

TEST(RecordRing, AHeaderOfAnotherSequenceIsCorrupt) {
  RecordFixture ring(64);
  auto consumer = ring.consumer();
  ring.set_header(0, record(1, 8));
  EXPECT_EQ(take(consumer), "<corrupt>");
}

TEST(RecordRing, PaddingBeyondTheEndIsCorrupt) {
  RecordFixture ring(64);
  auto consumer = ring.consumer();
  ring.set_header(0, padding(0, 57));
  EXPECT_EQ(take(consumer), "<corrupt>");
}

TEST(RecordRing, EndlessPaddingIsCorrupt) {
  RecordFixture ring(64);
  auto consumer = ring.consumer();
  ring.set_header(0, padding(0, 56));
  EXPECT_EQ(take(consumer), "<corrupt>");
}

TEST(RecordRing, AttachRefusesPositionsThatAreNotHeaders) {
  RecordFixture ring(64);
  ring.consumer_part.head = 4;
  EXPECT_FALSE(record_ring::Consumer::attach(ring.parts()));
  EXPECT_FALSE(record_ring::Producer::attach(ring.parts()));
  ring.consumer_part.head = std::uint64_t{1} << 63;
  EXPECT_FALSE(record_ring::Consumer::attach(ring.parts()));
  EXPECT_FALSE(record_ring::Producer::attach(ring.parts()));
  ring.consumer_part.head = 0;
  ring.producer_part.checkpoints[0].position = 3;
  EXPECT_FALSE(record_ring::Consumer::attach(ring.parts()));
  EXPECT_FALSE(record_ring::Producer::attach(ring.parts()));
}

TEST(RecordRing, AttachRefusesHeadersThatGoRound) {
  RecordFixture ring(64);
  for (std::uint64_t i = 0; i < 8; ++i) ring.set_header(i * 8, record(i, 0));  // no zero anywhere
  EXPECT_FALSE(record_ring::Producer::attach(ring.parts()));
}

class RecordRingMemory : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kCapacity = 4096;
  RecordRingMemory() : layout_(record_ring::layout_for({kCapacity}).value()) {}
  [[nodiscard]] std::span<std::byte> bytes() { return {memory_, layout_.total_bytes}; }

  RecordLayout layout_;
  alignas(kPartAlignment) std::byte memory_[8 * 4096] = {};
};

TEST_F(RecordRingMemory, CreateAndAttachAgreeOnEveryPart) {
  ASSERT_TRUE(record_ring::create(bytes(), {kCapacity}));
  const auto parts = record_ring::attach(bytes());
  ASSERT_TRUE(parts) << parts.error().message;
  EXPECT_EQ(reinterpret_cast<std::byte*>(parts->producer), memory_ + 8192);
  EXPECT_EQ(reinterpret_cast<std::byte*>(parts->consumer), memory_ + 12288);
  EXPECT_EQ(parts->records, memory_ + 16384);
  EXPECT_EQ(parts->capacity, kCapacity);
  EXPECT_EQ(layout_.total_bytes, 16384 + kCapacity);
  auto producer = record_ring::Producer::attach(*parts).value();
  auto consumer = record_ring::Consumer::attach(*parts).value();
  ASSERT_TRUE(put(producer, "hello"));
  EXPECT_EQ(take(consumer), "hello");
}

TEST_F(RecordRingMemory, ImpossibleCapacitiesAreRefused) {
  for (const std::uint64_t capacity : {0ull, 1ull, 32ull, 4095ull, 4097ull, 1ull << 46, ~0ull}) {
    const auto layout = record_ring::layout_for({capacity});
    ASSERT_FALSE(layout) << capacity;
    EXPECT_EQ(layout.error().code, ErrorCode::kInvalidCapacity);
  }
}

TEST_F(RecordRingMemory, AttachRefusesAnyOtherGeometry) {
  ASSERT_TRUE(record_ring::create(bytes(), {kCapacity}));
  auto* header = reinterpret_cast<SegmentHeader*>(memory_);
  header->capacity.store(kCapacity * 2, std::memory_order_relaxed);
  EXPECT_EQ(record_ring::attach(bytes()).error().code, ErrorCode::kBadGeometry);
  header->capacity.store(kCapacity, std::memory_order_relaxed);
  header->participants.store(3, std::memory_order_relaxed);
  EXPECT_EQ(record_ring::attach(bytes()).error().code, ErrorCode::kBadGeometry);
  header->participants.store(2, std::memory_order_relaxed);
  header->feature_bits.store(1, std::memory_order_relaxed);
  EXPECT_EQ(record_ring::attach(bytes()).error().code, ErrorCode::kBadVersion);
  header->feature_bits.store(0, std::memory_order_relaxed);
  EXPECT_TRUE(record_ring::attach(bytes()));
  EXPECT_EQ(record_ring::attach(bytes().first(8192)).error().code, ErrorCode::kTooSmall);
}

TEST_F(RecordRingMemory, EachOfManyReadersHasAPartOfItsOwn) {
  constexpr std::uint32_t kReaders = 3;
  const RecordLayout layout = record_ring::layout_for({kCapacity, kReaders}).value();
  EXPECT_EQ(layout.participants, 1 + kReaders);
  const std::span<std::byte> memory(memory_, layout.total_bytes);
  ASSERT_TRUE(record_ring::create(memory, {kCapacity, kReaders}));

  const auto parts = record_ring::attach(memory);

  ASSERT_TRUE(parts) << parts.error().message;
  EXPECT_EQ(parts->readers, kReaders);
  EXPECT_EQ(parts->records, memory_ + 8192 + 4096 + kReaders * 4096);
  for (std::uint32_t i = 0; i < kReaders; ++i) {
    auto* part = reinterpret_cast<RecordConsumerPart*>(memory_ + 8192 + 4096 + i * 4096);
    EXPECT_EQ(&parts->consumer_at(i), part);
    EXPECT_EQ(parts->of_reader(i).consumer, part);
    EXPECT_EQ(parts->of_reader(i).reader, i);
  }
  EXPECT_FALSE(record_ring::layout_for({kCapacity, 0}));
  EXPECT_TRUE(record_ring::layout_for({kCapacity, kMaxReaders}));
  EXPECT_FALSE(record_ring::layout_for({kCapacity, kMaxReaders + 1}));
}

TEST(RecordRing, ALookForRecordsAloneFindsNothingElse) {
  RecordFixture ring(64);
  auto producer = ring.producer();
  auto consumer = ring.consumer();
  EXPECT_FALSE(consumer.at_record());
  ASSERT_TRUE(put(producer, std::string(16, 'a')));
  ASSERT_TRUE(consumer.at_record());
  EXPECT_EQ(consumer.size(), 16u);
  consumer.give_back();
  ASSERT_TRUE(put(producer, std::string(16, 'b')));
  ASSERT_TRUE(consumer.at_record());
  consumer.give_back();

  // At padding, and at the end, only the whole look finds out what it is.
  ASSERT_TRUE(put(producer, std::string(16, 'c')));
  EXPECT_FALSE(consumer.at_record());
  EXPECT_EQ(take(consumer), std::string(16, 'c'));
  producer.close();
  EXPECT_FALSE(consumer.at_record());
  EXPECT_EQ(consumer.try_peek(), ReadOutcome::kEnd);
}

TEST(RecordRing, AProducerStoppedInABatchTakesNothing) {
  RecordFixture ring(256);
  auto producer = ring.producer();
  producer.begin_batch();
  ASSERT_TRUE(put(producer, "forgotten"));
  producer.stop();
  producer.abandon_batch();
  EXPECT_FALSE(put(producer, "refused"));
  EXPECT_EQ(ring.header(0), 0u);
}

TEST(RecordRing, AShutProducerTakesNothing) {
  auto producer = record_ring::Producer::shut();
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{1} << 20}) {
    EXPECT_EQ(producer.try_reserve(bytes), nullptr) << bytes;
  }
  EXPECT_TRUE(producer.outcome() == ClaimOutcome::kCorrupt);
  EXPECT_EQ(producer.max_record_bytes(), 0u);
  auto moved = std::move(producer);
  EXPECT_EQ(moved.try_reserve(0), nullptr);
}

// Reads and writes at random, with batches, shrinking, forgetting, closing and successors on both
// sides, against a deque.
// Rings of at least `smallest` bytes, and up to eight times as large.
void any_operations_agree_with_a_plain_model(std::uint64_t smallest, std::uint64_t window) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 50; ++round) {
    RecordFixture ring(smallest << (random() % 4));
    ring.start_at((std::uint64_t{random()} << 3), random());
    auto producer = ring.producer(window);
    // Small ones in some rounds, so that much lies in the ring.
    const std::size_t largest = random() % 2 == 0 ? producer.max_record_bytes() : 40;
    auto consumer = ring.consumer(Acknowledge::kEagerly);
    std::deque<std::string> model;
    std::vector<std::string> batch;
    bool in_batch = false;
    for (int step = 0; step < 2000; ++step) {
      switch (random() % 10) {
        case 0:
        case 1:
        case 2:
        case 3: {
          const std::size_t size = random() % (largest + 1);
          auto claim = producer.try_claim(size);
          if (!claim) break;
          std::string text(size, '\0');
          for (char& letter : text) letter = static_cast<char>(random());
          if (size != 0) std::memcpy(claim->bytes().data(), text.data(), size);
          if (random() % 8 == 0) break;  // forgotten
          if (random() % 4 == 0) {
            text.resize(random() % (size + 1));
            claim->shrink(text.size());
          }
          std::move(*claim).commit();
          if (in_batch)
            batch.push_back(text);
          else
            model.push_back(text);
          break;
        }
        case 4:
        case 5:
        case 6: {
          const std::string got = take(consumer);
          ASSERT_EQ(got, model.empty() ? "<empty>" : model.front());
          if (!model.empty()) model.pop_front();
          break;
        }
        case 7:
          if (in_batch) {
            if (random() % 4 == 0) {
              producer.abandon_batch();
            } else {
              producer.end_batch();
              model.insert(model.end(), batch.begin(), batch.end());
            }
            batch.clear();
          } else {
            producer.begin_batch();
          }
          in_batch = !in_batch;
          break;
        case 8:
          if (random() % 4 != 0) break;  // so that it comes to know the ring
          producer = ring.producer(window);
          in_batch = false;
          batch.clear();
          break;
        case 9: consumer = ring.consumer(Acknowledge::kEagerly); break;
      }
      ASSERT_NE(producer.outcome(), ClaimOutcome::kCorrupt);
    }
  }
}
TEST(RecordRing, AnyOperationsAgreeWithAPlainModel) {
  any_operations_agree_with_a_plain_model(64, EarlyWrap::kWindow);
}
// The same while the ring is wrapped early and leapt through (early_wrap.hpp).
TEST(RecordRing, AnyOperationsAgreeWithAPlainModelInAWindow) {
  for (const std::uint64_t window : {128, 64, 32}) {
    any_operations_agree_with_a_plain_model(128, window);
  }
}

}  // namespace
}  // namespace rondo
