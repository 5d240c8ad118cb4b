// Contract of record_ring with several readers. Each line has a test of the same name, in this
// order.
//
//  Policies
//   1. EveryReaderGetsEveryRecord
//   2. AReliableReaderHoldsTheProducerBack
//   3. ALossyReaderDoesNotGate
//   4. ALossyReaderIsToldExactlyWhatItLost
//   5. ALossyReaderMayGoOnAtTheNewest
//   6. ARecordOverwrittenWhileItIsReadIsNotIntact
//   7. ARecordOverwrittenWhileItIsReadCountsAsLost
//   8. ARecordSaidToBeIntactCountsAsReceivedWhateverComesLater
//   9. TheLastWordOnWhetherARecordIsIntactCounts
//  10. ALatestReaderGetsTheNewestAndCountsTheOthers
//  11. ARingWithoutReadersNeverFills
//  12. TheLargestRecordFitsAtEveryPosition
//  13. BatchesBecomeVisibleToAllAtOnce
//  14. TheEndReachesEveryReader
//  Joining
//  15. ALateReaderStartsAtTheOldestStillThere
//  16. ALateReaderStartsAtTheNewest
//  17. ALateReaderStartsAtASequence
//  18. ASequenceThatIsGoneIsCountedAsLost
//  19. ASequenceStillToComeMeansTheNextRecord
//  20. AReaderThatComesBackUnderItsNameGoesOnWhereItWas
//  21. ADetachedReaderDoesNotGate
//  22. AnotherNameStartsAnew
//  Slow and dead readers
//  23. TheSlowestReaderIsNamed
//  24. AnEvictedReaderDoesNotGateAndIsToldWhatItLost
//  25. AnEvictedReaderMayJoinAgain
//  Accounts
//  26. ReceivedLostAndStillToComeMakeWhatWasSent
//  A successor of the producer
//  27. ASuccessorWaitsForTheSameReaders
//  28. ASuccessorRefusesImpossibleWords
//  A hostile reader
//  29. AReaderThatGoesBackIsNotWaitedFor
//  30. AReaderBeyondTheEndIsNotWaitedFor
//  31. InheritedStatsThatNameNoRecordAreNotBelieved
//  All of it
//  32. SixtyFourMixedReadersAgreeWithAPlainModel
#include "rondo/core/record_readers.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <vector>

#include "support/readers_fixture.hpp"

namespace rondo {
namespace {

using testing::number_of;
using testing::put;
using testing::put_next;
using testing::ReadersFixture;
using testing::take;
using testing::text_of;
constexpr auto kReliable = ReaderPolicy::kReliable;
constexpr auto kLossy = ReaderPolicy::kLossy;
constexpr auto kLatest = ReaderPolicy::kLatest;

// Sends records until `count` are sent, or until the ring is full.
void fill(record_ring::Producer& producer, std::uint64_t count, std::size_t bytes = 0) {
  for (std::uint64_t i = 0; i < count && put_next(producer, bytes); ++i) {
  }
}

TEST(RecordReaders, EveryReaderGetsEveryRecord) {
  ReadersFixture ring(1024, 3);
  auto producer = ring.producer();
  std::vector<record_ring::Consumer> readers;
  readers.push_back(ring.join(0, kReliable));
  readers.push_back(ring.join(1, kLossy));
  readers.push_back(ring.join(2, kReliable));
  for (std::uint64_t i = 0; i < 500; ++i) {
    ASSERT_TRUE(put_next(producer, i % 60)) << i;
    for (auto& reader : readers) ASSERT_EQ(take(reader), text_of(i, i % 60));
  }
  for (auto& reader : readers) {
    EXPECT_EQ(take(reader), "<empty>");
    EXPECT_EQ(reader.received(), 500u);
    EXPECT_EQ(reader.lost(), 0u);
  }
}

TEST(RecordReaders, AReliableReaderHoldsTheProducerBack) {
  ReadersFixture ring(1024, 2);
  auto producer = ring.producer();
  auto slow = ring.join(0, kReliable);
  auto fast = ring.join(1, kReliable);
  std::uint64_t sent = 0;
  while (put_next(producer, 20)) {
    ++sent;
    ASSERT_EQ(take(fast), text_of(sent - 1, 20));
  }
  EXPECT_GT(sent, 20u);
  EXPECT_FALSE(put_next(producer, 20));

  for (std::uint64_t i = 0; i < sent; ++i) ASSERT_EQ(take(slow), text_of(i, 20));
  EXPECT_TRUE(put_next(producer, 20));
}

TEST(RecordReaders, ALossyReaderDoesNotGate) {
  ReadersFixture ring(1024, 2);
  auto producer = ring.producer();
  [[maybe_unused]] const auto reader = ring.join(0, kLossy);
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(put_next(producer, 20));
}

TEST(RecordReaders, ALossyReaderIsToldExactlyWhatItLost) {
  ReadersFixture ring(1024, 1 + 1);
  auto producer = ring.producer();
  auto reader = ring.join(0, kLossy);
  fill(producer, 3, 20);
  ASSERT_EQ(take(reader), text_of(0, 20));
  fill(producer, 997, 20);

  ASSERT_EQ(take(reader), "<lost>");
  const std::uint64_t next = 1 + reader.lost();
  EXPECT_GT(next, 900u);
  EXPECT_LT(next, 980u) << "a good part of the lap is still there";
  for (std::uint64_t i = next; i < 1000; ++i) ASSERT_EQ(take(reader), text_of(i, 20));
  EXPECT_EQ(take(reader), "<empty>");
  EXPECT_EQ(reader.received() + reader.lost(), 1000u);
}

TEST(RecordReaders, ALossyReaderMayGoOnAtTheNewest) {
  ReadersFixture ring(1024, 2);
  auto producer = ring.producer();
  auto reader = ring.join(0, {.policy = kLossy, .after_loss = ReaderStart::kNewest});
  fill(producer, 1000, 20);

  ASSERT_EQ(take(reader), "<lost>");
  EXPECT_EQ(reader.lost(), 999u);
  EXPECT_EQ(take(reader), text_of(999, 20));
  EXPECT_EQ(take(reader), "<empty>");
}

TEST(RecordReaders, ARecordOverwrittenWhileItIsReadIsNotIntact) {
  ReadersFixture ring(1024, 2);
  auto producer = ring.producer();
  auto reader = ring.join(0, kLossy);
  fill(producer, 1, 20);
  ASSERT_EQ(reader.try_peek(), ReadOutcome::kMessage);
  EXPECT_TRUE(reader.intact());
  std::uint64_t sent = 1;
  // As long as the bytes are what they were, or as it says that they may not be.
  while (reader.intact()) {
    ASSERT_EQ(std::string(reinterpret_cast<const char*>(reader.data()), reader.size()),
              text_of(0, 20));
    ASSERT_TRUE(put_next(producer, 20));
    ASSERT_LT(++sent, 100u);
  }
  EXPECT_GT(sent * 32, ring.capacity / 2);
}

TEST(RecordReaders, ARecordOverwrittenWhileItIsReadCountsAsLost) {
  ReadersFixture ring(1024, 2);
  auto producer = ring.producer();
  auto reader = ring.join(0, kLossy);
  fill(producer, 1, 20);
  ASSERT_EQ(reader.try_peek(), ReadOutcome::kMessage);
  fill(producer, 99, 20);
  reader.give_back();

  EXPECT_EQ(reader.received(), 0u);
  EXPECT_EQ(take(reader), "<lost>");
  const std::string next = take(reader);
  EXPECT_EQ(number_of(next), reader.lost());
  EXPECT_EQ(reader.received(), 1u);
}

// It counted as lost if it was overwritten between the question and the giving back, although its
// reader had been told that it was whole: so more were lost than the numbers that it saw left out.
TEST(RecordReaders, ARecordSaidToBeIntactCountsAsReceivedWhateverComesLater) {
  for (const auto policy : {kLossy, kReliable, kLatest}) {
    ReadersFixture ring(1024, 2);
    auto producer = ring.producer();
    auto reader = ring.join(0, policy);
    fill(producer, 1, 20);
    ASSERT_EQ(reader.try_peek(), ReadOutcome::kMessage);
    ASSERT_TRUE(reader.intact());
    if (policy == kReliable) {
      static_cast<void>(producer.drained());
      producer.evict(0);
    }
    fill(producer, 99, 20);
    reader.give_back();

    EXPECT_EQ(reader.received(), 1u);
    EXPECT_EQ(reader.lost(), 0u);
    std::string next = take(reader);
    if (next == "<lost>") next = take(reader);
    EXPECT_EQ(number_of(next), 1 + reader.lost()) << "the gap that it sees";
    EXPECT_EQ(reader.received(), 2u);
  }
}

TEST(RecordReaders, TheLastWordOnWhetherARecordIsIntactCounts) {
  ReadersFixture ring(1024, 2);
  auto producer = ring.producer();
  auto reader = ring.join(0, kLossy);
  fill(producer, 1, 20);
  ASSERT_EQ(reader.try_peek(), ReadOutcome::kMessage);
  ASSERT_TRUE(reader.intact());
  fill(producer, 99, 20);
  ASSERT_FALSE(reader.intact());
  reader.give_back();

  EXPECT_EQ(take(reader), "<lost>");
  const std::string next = take(reader);
  EXPECT_EQ(number_of(next), reader.lost());
  EXPECT_EQ(reader.received(), 1u);
}

TEST(RecordReaders, ALatestReaderGetsTheNewestAndCountsTheOthers) {
  ReadersFixture ring(1024, 2);
  auto producer = ring.producer();
  auto reader = ring.join(0, kLatest);
  EXPECT_EQ(take(reader), "<empty>");
  for (const std::uint64_t count : {1u, 2u, 5u, 31u, 33u, 200u, 5000u}) {
    fill(producer, count, 20);
    ASSERT_EQ(take(reader), text_of(producer.sequence() - 1, 20));
    ASSERT_EQ(take(reader), "<empty>");
    ASSERT_EQ(reader.received() + reader.lost(), producer.sequence());
  }
  EXPECT_EQ(reader.received(), 7u);
}

TEST(RecordReaders, ARingWithoutReadersNeverFills) {
  ReadersFixture ring(64, 2);
  auto producer = ring.producer();
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(put_next(producer));
  EXPECT_TRUE(producer.drained());
}

TEST(RecordReaders, TheLargestRecordFitsAtEveryPosition) {
  for (Position start = 0; start < 256; start += 8) {
    ReadersFixture ring(256, 2);
    ring.start_at(start, 7);
    auto producer = ring.producer();
    auto reliable = ring.join(0, kReliable);
    auto lossy = ring.join(1, kLossy);
    const std::string largest(producer.max_record_bytes(), 'x');
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(put(producer, largest)) << start << ' ' << i;
      ASSERT_EQ(take(reliable), largest);
      ASSERT_EQ(take(lossy), largest);
      ASSERT_TRUE(put(producer, "y"));
      ASSERT_EQ(take(reliable), "y");
      ASSERT_EQ(take(lossy), "y");
    }
  }
}

TEST(RecordReaders, BatchesBecomeVisibleToAllAtOnce) {
  ReadersFixture ring(256, 2);
  auto producer = ring.producer();
  auto one = ring.join(0, kReliable);
  auto two = ring.join(1, kLossy);
  for (int round = 0; round < 50; ++round) {
    producer.begin_batch();
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(put_next(producer, 20));
    ASSERT_EQ(take(one), "<empty>");
    ASSERT_EQ(take(two), "<empty>");
    producer.end_batch();
    for (std::uint64_t i = producer.sequence() - 3; i < producer.sequence(); ++i) {
      ASSERT_EQ(take(one), text_of(i, 20));
      ASSERT_EQ(take(two), text_of(i, 20));
    }
  }
}

TEST(RecordReaders, TheEndReachesEveryReader) {
  ReadersFixture ring(256, 3);
  auto producer = ring.producer();
  auto reliable = ring.join(0, kReliable);
  auto lossy = ring.join(1, kLossy);
  auto latest = ring.join(2, kLatest);
  while (put_next(producer, 20)) {
  }
  producer.close();
  EXPECT_EQ(take(latest), text_of(producer.sequence() - 1, 20));
  EXPECT_EQ(take(latest), "<end>");
  for (auto* reader : {&reliable, &lossy}) {
    for (std::uint64_t i = 0; i < producer.sequence(); ++i) {
      ASSERT_EQ(take(*reader), text_of(i, 20));
    }
    EXPECT_EQ(take(*reader), "<end>");
  }
  EXPECT_TRUE(producer.drained());
  auto successor = ring.producer();
  ASSERT_TRUE(put(successor, "more"));
  for (auto* reader : {&reliable, &lossy, &latest}) {
    reader->pass_end();
    EXPECT_EQ(take(*reader), "more");
  }
}

TEST(RecordReaders, ALateReaderStartsAtTheOldestStillThere) {
  ReadersFixture ring(1024, 2);
  auto producer = ring.producer();
  fill(producer, 1000, 20);
  for (const ReaderPolicy policy : {kLossy, kReliable}) {
    auto reader = ring.join(0, policy);
    const std::uint64_t first = number_of(take(reader));
    EXPECT_LT(first, 980u);
    for (std::uint64_t i = first + 1; i < 1000; ++i) ASSERT_EQ(take(reader), text_of(i, 20));
    EXPECT_EQ(take(reader), "<empty>");
    EXPECT_EQ(reader.lost(), 0u) << "what went by before it came is not lost";
  }
}

TEST(RecordReaders, ALateReaderStartsAtTheNewest) {
  for (std::uint64_t sent = 0; sent < 200; ++sent) {
    ReadersFixture ring(1024, 2);
    auto producer = ring.producer();
    fill(producer, sent, 20);
    auto reader = ring.join(0, kReliable, ReaderStart::kNewest);
    if (sent != 0) {
      ASSERT_EQ(take(reader), text_of(sent - 1, 20));
    }
    ASSERT_EQ(take(reader), "<empty>");
    ASSERT_EQ(reader.lost(), 0u);
  }
}

TEST(RecordReaders, ALateReaderStartsAtASequence) {
  ReadersFixture ring(1024, 2);
  auto producer = ring.producer();
  fill(producer, 1000, 20);
  for (std::uint64_t sequence = 985; sequence < 1000; ++sequence) {
    auto reader =
        ring.join(0, {.policy = kReliable, .from = ReaderStart::kSequence, .sequence = sequence});
    ASSERT_EQ(take(reader), text_of(sequence, 20));
    ASSERT_EQ(reader.lost(), 0u);
  }
}

TEST(RecordReaders, ASequenceThatIsGoneIsCountedAsLost) {
  ReadersFixture ring(1024, 2);
  auto producer = ring.producer();
  fill(producer, 1000, 20);
  auto reader =
      ring.join(0, {.policy = kReliable, .from = ReaderStart::kSequence, .sequence = 100});
  const std::uint64_t first = number_of(take(reader));
  EXPECT_GT(first, 900u);
  EXPECT_EQ(reader.lost(), first - 100);
  EXPECT_EQ(reader.received(), 1u);
}

TEST(RecordReaders, ASequenceStillToComeMeansTheNextRecord) {
  ReadersFixture ring(1024, 2);
  auto producer = ring.producer();
  fill(producer, 10);
  auto reader = ring.join(0, {.policy = kLossy, .from = ReaderStart::kSequence, .sequence = 100});
  EXPECT_EQ(take(reader), "<empty>");
  fill(producer, 1);
  EXPECT_EQ(take(reader), text_of(10));
  EXPECT_EQ(reader.lost(), 0u);
}

TEST(RecordReaders, AReaderThatComesBackUnderItsNameGoesOnWhereItWas) {
  for (const ReaderPolicy policy : {kReliable, kLossy}) {
    for (const std::uint64_t meanwhile : {0u, 3u, 20u, 1000u}) {
      ReadersFixture ring(1024, 2);
      auto producer = ring.producer();
      const ReaderOptions options{.policy = policy, .from = ReaderStart::kNewest, .name = "books"};
      std::uint64_t next = 7;
      {
        auto reader = ring.join(1, options);
        fill(producer, 10, 20);
        for (std::uint64_t i = 0; i < next; ++i) ASSERT_EQ(take(reader), text_of(i, 20));
        reader.leave();
      }
      fill(producer, meanwhile, 20);
      auto reader = ring.join(1, options);
      const std::string first = take(reader);
      ASSERT_EQ(number_of(first), next + reader.lost());
      ASSERT_EQ(reader.lost() != 0, meanwhile == 1000) << meanwhile;
      ASSERT_EQ(reader.received(), next + 1);
    }
  }
}

TEST(RecordReaders, ADetachedReaderDoesNotGate) {
  ReadersFixture ring(1024, 2);
  auto producer = ring.producer();
  {
    auto reader = ring.join(0, {.policy = kReliable, .name = "books"});
    while (put_next(producer, 20)) {
    }
    reader.leave();
  }
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(put_next(producer, 20));
}

TEST(RecordReaders, AnotherNameStartsAnew) {
  ReadersFixture ring(1024, 2);
  auto producer = ring.producer();
  fill(producer, 10);
  {
    auto reader = ring.join(0, {.policy = kLossy, .name = "books"});
    EXPECT_EQ(take(reader), text_of(0));
    reader.leave();
  }
  EXPECT_TRUE(has_name(ring.part(0), "books"));
  auto reader = ring.join(0, {.policy = kLossy, .name = "bookshop"});
  EXPECT_EQ(take(reader), text_of(0));
  EXPECT_EQ(reader.received(), 1u);
  EXPECT_FALSE(has_name(ring.part(0), "books"));
}

TEST(RecordReaders, TheSlowestReaderIsNamed) {
  ReadersFixture ring(1024, 3);
  auto producer = ring.producer();
  [[maybe_unused]] const auto lossy = ring.join(0, kLossy);
  auto fast = ring.join(1, kReliable);
  auto slow = ring.join(2, kReliable);
  fill(producer, 5, 20);
  for (int i = 0; i < 5; ++i) take(fast);
  take(slow);
  while (put_next(producer, 20)) {
  }
  const auto held = producer.gating_reader();
  ASSERT_TRUE(held);
  EXPECT_EQ(held->reader, 2u);
  EXPECT_EQ(held->head, 32u);
  EXPECT_EQ(held->behind_bytes, producer.position() - 32);
}

TEST(RecordReaders, AnEvictedReaderDoesNotGateAndIsToldWhatItLost) {
  ReadersFixture ring(1024, 2);
  auto producer = ring.producer();
  auto slow = ring.join(1, kReliable);
  while (put_next(producer, 20)) {
  }
  const std::uint64_t held_at = producer.sequence();
  producer.evict(producer.gating_reader()->reader);
  EXPECT_FALSE(producer.gating_reader());
  fill(producer, 1000, 20);
  ASSERT_EQ(producer.sequence(), held_at + 1000);

  EXPECT_EQ(take(slow), "<lost>");
  EXPECT_TRUE(slow.evicted());
  EXPECT_EQ(slow.policy(), kLossy);
  EXPECT_EQ(number_of(take(slow)), slow.lost());
  for (std::uint64_t i = slow.lost() + 1; i < held_at + 1000; ++i) {
    ASSERT_EQ(take(slow), text_of(i, 20));
  }
  EXPECT_EQ(slow.received() + slow.lost(), held_at + 1000);
}

TEST(RecordReaders, AnEvictedReaderMayJoinAgain) {
  ReadersFixture ring(1024, 2);
  auto producer = ring.producer();
  const ReaderOptions options{.policy = kReliable, .name = "books"};
  [[maybe_unused]] const auto slow = ring.join(1, options);
  while (put_next(producer, 20)) {
  }
  producer.evict(1);
  fill(producer, 100, 20);
  auto again = ring.join(1, options);
  EXPECT_EQ(number_of(take(again)), again.lost());
  std::uint64_t more = 0;
  while (put_next(producer, 20)) ASSERT_LT(++more, 1000u) << "it is waited for";
}

TEST(RecordReaders, ReceivedLostAndStillToComeMakeWhatWasSent) {
  ReadersFixture ring(1024, 3);
  auto producer = ring.producer();
  fill(producer, 100, 20);
  auto one = ring.join(0, kLossy);
  auto two = ring.join(1, kLatest);
  auto three = ring.join(2, kReliable, ReaderStart::kNewest);
  std::mt19937 random(1);
  for (int step = 0; step < 2000; ++step) {
    fill(producer, random() % 80, 20);
    for (auto* reader : {&one, &two, &three}) {
      const std::uint64_t origin = reader->sequence() - reader->received() - reader->lost();
      for (auto i = random() % 40; i > 0; --i) take(*reader);
      const auto stats = read_stats(ring.part(reader == &one ? 0 : reader == &two ? 1 : 2)).value();
      ASSERT_EQ(stats.next, reader->sequence());
      ASSERT_EQ(stats.received, reader->received());
      ASSERT_EQ(stats.lost, reader->lost());
      ASSERT_EQ(origin + stats.received + stats.lost, stats.next);
      ASSERT_LE(stats.next, producer.sequence());
    }
  }
  EXPECT_EQ(three.lost(), 0u);
}

TEST(RecordReaders, ASuccessorWaitsForTheSameReaders) {
  ReadersFixture ring(1024, 2);
  std::optional<record_ring::Producer> producer(ring.producer());
  auto reader = ring.join(0, kReliable);
  std::uint64_t read = 0;
  for (int life = 0; life < 200; ++life) {
    while (put_next(*producer, 20)) {
    }
    // Killed with a record half written.
    std::byte* bytes = producer->try_reserve(5);
    if (bytes != nullptr) *bytes = std::byte{0xee};
    producer.emplace(ring.producer());
    for (int i = 0; i < 7 && read < producer->sequence(); ++i, ++read) {
      ASSERT_EQ(take(reader), text_of(read, 20));
    }
  }
  while (read < producer->sequence()) ASSERT_EQ(take(reader), text_of(read++, 20));
  EXPECT_GT(read, 1000u);
}

TEST(RecordReaders, ASuccessorRefusesImpossibleWords) {
  ReadersFixture ring(1024, 2);
  {
    auto producer = ring.producer();
    fill(producer, 100, 20);
  }
  const Position reclaim = ring.producer_part.reclaim;
  const Position intent = ring.producer_part.intent;
  for (const Position wrong : {reclaim + 1, reclaim + 4096, reclaim - 2048, Position{0}}) {
    ring.producer_part.reclaim = wrong;
    EXPECT_FALSE(record_ring::Producer::attach(ring.parts())) << wrong;
  }
  ring.producer_part.reclaim = reclaim;
  for (const Position wrong : {intent + 1, intent + 4096, intent - 2048, Position{0}}) {
    ring.producer_part.intent = wrong;
    EXPECT_FALSE(record_ring::Producer::attach(ring.parts())) << wrong;
  }
  ring.producer_part.intent = intent;
  EXPECT_TRUE(record_ring::Producer::attach(ring.parts()));
}

TEST(RecordReaders, AReaderThatGoesBackIsNotWaitedFor) {
  ReadersFixture ring(1024, 2);
  auto producer = ring.producer();
  auto honest = ring.join(0, kReliable);
  auto hostile = ring.join(1, kReliable);
  std::uint64_t read = 0;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(put_next(producer, 20));
    ASSERT_EQ(take(honest), text_of(read++, 20));
    take(hostile);
  }
  ring.part(1).head = 8;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(put_next(producer, 20));
    ASSERT_EQ(take(honest), text_of(read++, 20));
  }
  EXPECT_NE(producer.outcome(), ClaimOutcome::kCorrupt);
  EXPECT_EQ(honest.lost(), 0u);
}

TEST(RecordReaders, AReaderBeyondTheEndIsNotWaitedFor) {
  for (const std::uint64_t head : {std::uint64_t{1} << 63, ~std::uint64_t{7}, std::uint64_t{9}}) {
    ReadersFixture ring(1024, 2);
    auto producer = ring.producer();
    auto honest = ring.join(0, kReliable);
    [[maybe_unused]] const auto hostile = ring.join(1, kReliable);
    ring.part(1).head = head;
    std::uint64_t read = 0;
    for (int i = 0; i < 1000; ++i) {
      ASSERT_TRUE(put_next(producer, 20));
      ASSERT_EQ(take(honest), text_of(read++, 20));
    }
  }
}

TEST(RecordReaders, InheritedStatsThatNameNoRecordAreNotBelieved) {
  for (const std::uint64_t position : {8u, 33u, 4096u, 1u << 30}) {
    ReadersFixture ring(1024, 2);
    auto producer = ring.producer();
    const ReaderOptions options{.policy = kReliable, .name = "books"};
    {
      auto reader = ring.join(0, options);
      fill(producer, 10, 20);
      for (int i = 0; i < 5; ++i) take(reader);
      reader.leave();
    }
    ring.part(0).stats_copies[ring.part(0).stats_version % 2].position = position;
    auto reader = ring.join(0, options);
    EXPECT_EQ(take(reader), text_of(5, 20)) << "found by its sequence";
  }
}

// Random sends, reads, joins, leavings, evictions and successors; every reader knows which record
// must come next, or how many it must have lost.
TEST(RecordReaders, SixtyFourMixedReadersAgreeWithAPlainModel) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (const std::uint32_t count : {2u, 8u, 64u}) {
    for (int round = 0; round < 10; ++round) {
      ReadersFixture ring(std::uint64_t{256} << (random() % 4), count);
      ring.start_at(std::uint64_t{random()} << 3, random());
      std::optional<record_ring::Producer> producer(ring.producer());
      struct Reader {
        std::optional<record_ring::Consumer> consumer;
        std::uint64_t next = 0;  // the sequence after what it accounts for
      };
      std::vector<Reader> readers(count);
      for (int step = 0; step < 3000; ++step) {
        const auto who = static_cast<std::uint32_t>(random() % count);
        Reader& reader = readers[who];
        switch (random() % 16) {
          case 0:
            if (!reader.consumer) {
              const auto policy = static_cast<ReaderPolicy>(1 + random() % 3);
              reader.consumer =
                  ring.join(who, {.policy = policy,
                                  .from = static_cast<ReaderStart>(random() % 2),
                                  .after_loss = static_cast<ReaderStart>(random() % 2),
                                  .acknowledge = static_cast<Acknowledge>(random() % 2)});
              reader.next = reader.consumer->sequence();
            } else if (random() % 4 == 0) {
              reader.consumer->leave();
              reader.consumer.reset();
            }
            break;
          case 1:
            if (random() % 8 == 0) producer.emplace(ring.producer());
            break;
          case 2:
            if (const auto held = producer->gating_reader()) producer->evict(held->reader);
            break;
          default:
            if (random() % 2 == 0) {
              for (auto i = random() % 8; i > 0; --i) put_next(*producer, random() % 90);
            } else if (reader.consumer) {
              for (auto i = random() % 12; i > 0; --i) {
                const std::uint64_t lost_before = reader.consumer->lost();
                const std::string text = take(*reader.consumer);
                ASSERT_NE(text, "<corrupt>");
                reader.next += reader.consumer->lost() - lost_before;
                if (text.front() != '<') {
                  ASSERT_EQ(number_of(text), reader.next) << to_string(RingKind::kRecord);
                  ASSERT_EQ(text, text_of(reader.next, text.size()));
                  ++reader.next;
                }
                ASSERT_EQ(reader.next, reader.consumer->sequence());
                if (reader.consumer->policy() == kReliable) {
                  ASSERT_EQ(reader.consumer->lost(), 0u);
                }
              }
            }
        }
      }
    }
  }
}

}  // namespace
}  // namespace rondo
