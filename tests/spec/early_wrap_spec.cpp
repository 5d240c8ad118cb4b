// Contract of going back early in a record ring (early_wrap.hpp). Each line has a test of the same
// name, in this order.
//
//   1. WhileAllIsReadAWindowIsUsedOverAndOver
//   2. WhileTheConsumerIsCloseAWindowIsUsedOverAndOver
//   3. AConsumerThatFallsBehindGetsTheWholeRing
//   4. ARingNoLargerThanTheWindowIsNotWrappedEarly
//   5. WhatFitsUnreadIsWhatFitsIntoAFreshRing
//   6. TheLargestRecordFitsWheneverTheRingIsDrained
//   7. ALeapGoesOverRecordsThatAreStillUnread
//   8. ASuccessorNeedsNotKnowOfTheGap
//   9. AConsumerAttachesOnEitherSideOfALeap
//  10. ABatchDoesNotLeapAndFitsWhenTheConsumerHasPassedTheGap
//  11. ALeapIsAbandonedWithItsBatch
//  12. OrdinaryPaddingIsNoGap
//  13. ASuccessorLeapsIntoTheGapOfItsPredecessor
//  14. ASuccessorBehindALeapClosesTheStream
//  15. ASingleRecordAmongBatchesGoesBack
//  16. AStreamMayEndWhereverTheProducerStands
//  17. AHeadInTheMiddleOfAGapHarmsNobodyElse
//  18. AReservationThatIsForgottenLeavesNoTrace
//  19. TheLinesOfAGapAreNotEvicted
//  20. UnreadBytesLeaveThePaddingOut
#include "rondo/core/early_wrap.hpp"

#include <gtest/gtest.h>

#include <string>

#include "rondo/core/record_ring.hpp"
#include "support/record_fixture.hpp"

namespace rondo {
namespace {

using testing::put;
using testing::RecordFixture;
using testing::take;

constexpr std::uint64_t kWindow = 512;
constexpr std::uint64_t kCapacity = 4096;

std::string text(std::uint64_t i, std::size_t bytes) {
  std::string text = std::to_string(i) + ":";
  text.resize(bytes, static_cast<char>('a' + i % 26));
  return text;
}

// A ring, its sides, and the numbers of the next record to send and to take. All records have
// `bytes` bytes.
struct Channel {
  explicit Channel(std::size_t bytes_each, std::uint64_t capacity = kCapacity,
                   std::uint64_t window = kWindow, Acknowledge acknowledge = Acknowledge::kEagerly)
      : bytes(bytes_each),
        ring(capacity),
        producer(ring.producer(window)),
        consumer(ring.consumer(acknowledge)) {}

  bool send() {
    if (!put(producer, text(sent, bytes))) return false;
    ++sent;
    return true;
  }
  void read() {
    ASSERT_EQ(take(consumer), text(taken, bytes));
    ++taken;
  }
  void read_all() {
    while (taken < sent) {
      ASSERT_NO_FATAL_FAILURE(read());
    }
    ASSERT_EQ(take(consumer), "<empty>");
  }
  std::uint64_t fill() {
    const std::uint64_t before = sent;
    while (send()) {
    }
    return sent - before;
  }
  // Sends and reads until the producer has gone back early and stands at the start of a lap, with
  // nothing unread but the first record of that lap: the gap is still to be passed.
  void go_back_early() {
    for (;;) {
      const std::uint64_t before = index();
      ASSERT_TRUE(send());
      if (index() < before) return;
      ASSERT_NO_FATAL_FAILURE(read_all());
    }
  }
  std::uint64_t index() const { return index_of(producer.position(), ring.capacity); }

  std::size_t bytes;
  RecordFixture ring;
  record_ring::Producer producer;
  record_ring::Consumer consumer;
  std::uint64_t sent = 0;
  std::uint64_t taken = 0;
};

TEST(EarlyWrap, WhileAllIsReadAWindowIsUsedOverAndOver) {
  Channel channel(24);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(channel.send());
    ASSERT_NO_FATAL_FAILURE(channel.read_all());
    ASSERT_LE(channel.index(), kWindow);
  }
  EXPECT_GT(channel.producer.position(), 50 * kCapacity);
}

TEST(EarlyWrap, WhileTheConsumerIsCloseAWindowIsUsedOverAndOver) {
  Channel channel(24);
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(channel.send());
  std::uint64_t furthest = 0;
  for (int i = 0; i < 4000; ++i) {
    ASSERT_TRUE(channel.send());
    ASSERT_NO_FATAL_FAILURE(channel.read());
    if (i > 1000) furthest = std::max(furthest, channel.index());
  }
  EXPECT_LE(furthest, kWindow);
  EXPECT_GT(furthest, kWindow / 2);
  EXPECT_GT(channel.producer.position(), 50 * kCapacity);
}

TEST(EarlyWrap, AConsumerThatFallsBehindGetsTheWholeRing) {
  Channel channel(24);
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(channel.send());  // more than half a window
  std::uint64_t furthest = 0;
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(channel.send());
    ASSERT_NO_FATAL_FAILURE(channel.read());
    furthest = std::max(furthest, channel.index());
  }
  EXPECT_GT(furthest, kCapacity - 64);
  // Every record of 32 bytes moves the position by just that: nothing was padded over.
  EXPECT_EQ(channel.producer.position(), channel.sent * 32);
}

TEST(EarlyWrap, ARingNoLargerThanTheWindowIsNotWrappedEarly) {
  Channel channel(24, kWindow);
  for (int i = 0; i < 1000; ++i) {
    ASSERT_TRUE(channel.send());
    ASSERT_NO_FATAL_FAILURE(channel.read_all());
  }
  EXPECT_EQ(channel.producer.position(), channel.sent * 32);
}

TEST(EarlyWrap, WhatFitsUnreadIsWhatFitsIntoAFreshRing) {
  for (const std::size_t bytes : {0u, 8u, 24u, 56u, 120u}) {
    SCOPED_TRACE(bytes);
    std::uint64_t fresh = Channel(bytes).fill();
    Channel channel(bytes);
    // Wherever the consumer stops while the producer goes round early.
    for (int stop = 0; stop < 200; ++stop) {
      ASSERT_TRUE(channel.send());
      if (stop % 3 != 0) continue;
      channel.fill();
      // A record's worth is lost before the unread ones, one at the end of the ring, and two
      // headers' worth at the gap.
      const std::uint64_t unread = channel.sent - channel.taken;
      ASSERT_GE(unread + 2 + 2 * (bytes < 16), fresh) << "at record " << channel.taken;
      ASSERT_NO_FATAL_FAILURE(channel.read_all());
    }
  }
}

TEST(EarlyWrap, TheLargestRecordFitsWheneverTheRingIsDrained) {
  RecordFixture ring(kCapacity);
  auto producer = ring.producer(kWindow);
  auto consumer = ring.consumer(Acknowledge::kEagerly);
  const std::string largest(producer.max_record_bytes(), 'x');
  for (std::size_t bytes = 0; bytes < 600; bytes += 8) {
    ASSERT_TRUE(put(producer, std::string(bytes, 'y')));
    ASSERT_EQ(take(consumer).size(), bytes);
    ASSERT_EQ(take(consumer), "<empty>");
    ASSERT_TRUE(put(producer, largest)) << bytes;
    ASSERT_EQ(take(consumer), largest);
    ASSERT_EQ(take(consumer), "<empty>");
  }
}

TEST(EarlyWrap, ALeapGoesOverRecordsThatAreStillUnread) {
  Channel channel(24);
  ASSERT_NO_FATAL_FAILURE(channel.go_back_early());
  const Position before = channel.producer.position();
  channel.fill();
  // Behind the gap's start, a lap later.
  EXPECT_GT(channel.producer.position(), before + kWindow + 2048);
  EXPECT_GT(channel.index(), kCapacity - 128);
  ASSERT_NO_FATAL_FAILURE(channel.read_all());
  for (int i = 0; i < 300; ++i) {
    ASSERT_TRUE(channel.send());
    ASSERT_NO_FATAL_FAILURE(channel.read_all());
  }
}

TEST(EarlyWrap, ASuccessorNeedsNotKnowOfTheGap) {
  for (std::uint64_t unread = 1; unread < 120; ++unread) {
    Channel channel(24);
    ASSERT_NO_FATAL_FAILURE(channel.go_back_early());
    while (channel.sent - channel.taken < unread && channel.send()) {
    }
    channel.producer = channel.ring.producer(kWindow);  // walks to the end
    ASSERT_EQ(channel.producer.sequence(), channel.sent);
    channel.fill();
    channel.producer = channel.ring.producer(kWindow);
    ASSERT_NO_FATAL_FAILURE(channel.read_all());
    ASSERT_GT(channel.fill(), 120u);
    ASSERT_NO_FATAL_FAILURE(channel.read_all());
  }
}

TEST(EarlyWrap, AConsumerAttachesOnEitherSideOfALeap) {
  Channel channel(24);
  ASSERT_NO_FATAL_FAILURE(channel.go_back_early());
  channel.fill();
  while (channel.taken < channel.sent) {
    channel.consumer = channel.ring.consumer(Acknowledge::kEagerly);
    ASSERT_EQ(channel.consumer.sequence(), channel.taken);
    ASSERT_NO_FATAL_FAILURE(channel.read());
  }
  ASSERT_NO_FATAL_FAILURE(channel.read_all());
}

TEST(EarlyWrap, ABatchDoesNotLeapAndFitsWhenTheConsumerHasPassedTheGap) {
  Channel channel(24);
  ASSERT_NO_FATAL_FAILURE(channel.go_back_early());
  channel.producer.begin_batch();
  const std::uint64_t few = channel.fill();
  EXPECT_LT(few, kWindow / 32);
  channel.sent -= few;
  ASSERT_NO_FATAL_FAILURE(channel.read_all());
  channel.sent += few;
  const std::uint64_t more = channel.fill();
  EXPECT_GE(few + more, kCapacity / 32 - 2);
  channel.producer.end_batch();
  ASSERT_NO_FATAL_FAILURE(channel.read_all());
}

// Reserved with a leap, committed in a batch, and abandoned with it: the room behind the leap is no
// room for what goes before the gap.
TEST(EarlyWrap, ALeapIsAbandonedWithItsBatch) {
  Channel channel(24);
  ASSERT_NO_FATAL_FAILURE(channel.go_back_early());
  ASSERT_NE(channel.producer.try_reserve(1000), nullptr);
  channel.producer.begin_batch();
  channel.producer.commit(1000);
  channel.producer.abandon_batch();
  for (int i = 0; i < 60 && channel.send(); ++i) {
  }
  ASSERT_NO_FATAL_FAILURE(channel.read_all());
}

// Padding that only fills the end of the ring is no gap: a leap there would strand a lap.
TEST(EarlyWrap, OrdinaryPaddingIsNoGap) {
  RecordFixture ring(kCapacity);
  auto producer = ring.producer();
  auto consumer = ring.consumer(Acknowledge::kEagerly);
  const auto record = [](std::size_t bytes) { return std::string(bytes, 'x'); };
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(put(producer, record(1000)));
  for (int i = 0; i < 2; ++i) ASSERT_EQ(take(consumer).size(), 1000u);
  ASSERT_TRUE(put(producer, record(1200)));
  const Position before = producer.position();
  EXPECT_FALSE(put(producer, record(800)));
  EXPECT_EQ(producer.position(), before);
  while (take(consumer) != "<empty>") {
  }
  producer.begin_batch();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(put(producer, record(800))) << i;
  producer.end_batch();
}

TEST(EarlyWrap, ASuccessorLeapsIntoTheGapOfItsPredecessor) {
  Channel same(24);
  ASSERT_NO_FATAL_FAILURE(same.go_back_early());
  const std::uint64_t fits = same.fill();
  for (const std::uint64_t more : {0u, 5u, 50u}) {
    Channel channel(24);
    ASSERT_NO_FATAL_FAILURE(channel.go_back_early());
    for (std::uint64_t i = 0; i < more; ++i) ASSERT_TRUE(channel.send());
    channel.producer = channel.ring.producer(kWindow);
    EXPECT_EQ(more + channel.fill(), fits);
    ASSERT_NO_FATAL_FAILURE(channel.read_all());
  }
}

// A gap that is less than half of the ring is known by the leap into it alone.
TEST(EarlyWrap, ASuccessorBehindALeapClosesTheStream) {
  Channel channel(24, 2048, 512);
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(channel.send());  // on to the second half
  while (channel.sent - channel.taken > 4) ASSERT_NO_FATAL_FAILURE(channel.read());
  while (channel.producer.position() <= 2048) {
    ASSERT_TRUE(channel.send());
    ASSERT_NO_FATAL_FAILURE(channel.read());
  }
  channel.fill();
  ASSERT_GT(channel.producer.position() - channel.consumer.position(), 2048u);
  channel.producer = channel.ring.producer();
  channel.producer.close();
  while (channel.taken < channel.sent) ASSERT_NO_FATAL_FAILURE(channel.read());
  EXPECT_EQ(take(channel.consumer), "<end>");
}

TEST(EarlyWrap, ASingleRecordAmongBatchesGoesBack) {
  Channel channel(24);
  std::uint64_t furthest = 0;
  for (int i = 0; i < 2000; ++i) {
    if (i % 5 == 0) channel.producer.begin_batch();
    ASSERT_TRUE(channel.send());
    if (i % 5 == 0) channel.producer.end_batch();
    ASSERT_NO_FATAL_FAILURE(channel.read_all());
    furthest = std::max(furthest, channel.index());
  }
  EXPECT_LE(furthest, 3 * kWindow);
}

TEST(EarlyWrap, AStreamMayEndWhereverTheProducerStands) {
  for (std::uint64_t more = 0; more < 130; ++more) {
    Channel channel(24);
    ASSERT_NO_FATAL_FAILURE(channel.go_back_early());
    for (std::uint64_t i = 0; i < more && channel.send(); ++i) {
    }
    // Also by a successor that knows nothing of it all.
    if (more % 2 == 0) channel.producer = channel.ring.producer();
    channel.producer.close();
    // A successor writes behind the mark.
    channel.producer = channel.ring.producer(kWindow);
    const std::uint64_t marked = channel.sent;
    channel.send();
    while (channel.taken < marked) {
      ASSERT_NO_FATAL_FAILURE(channel.read());
    }
    ASSERT_EQ(take(channel.consumer), "<end>") << more;
    channel.consumer.pass_end();
    ASSERT_NO_FATAL_FAILURE(channel.read_all());
  }
}

TEST(EarlyWrap, AHeadInTheMiddleOfAGapHarmsNobodyElse) {
  Channel channel(24);
  ASSERT_NO_FATAL_FAILURE(channel.go_back_early());
  channel.ring.consumer_part.head = channel.producer.position() - 512;  // where nothing lies
  channel.fill();
  EXPECT_EQ(channel.producer.outcome(), ClaimOutcome::kFull);
  EXPECT_LT(channel.producer.position() - channel.ring.consumer_part.head.load(), 2 * kCapacity);
  // And one that no consumer had.
  channel.ring.consumer_part.head = channel.producer.position() + 8;
  channel.fill();
  EXPECT_EQ(channel.producer.outcome(), ClaimOutcome::kCorrupt);
}

TEST(EarlyWrap, AReservationThatIsForgottenLeavesNoTrace) {
  for (const bool leaps : {false, true}) {
    Channel channel(24);
    ASSERT_NO_FATAL_FAILURE(channel.go_back_early());
    if (leaps) {
      while (channel.index() < kWindow / 2) ASSERT_TRUE(channel.send());
    }
    // Too large for what is before the consumer, so that it would go into the gap; or at the end of
    // a window, and back to the start.
    for (int i = 0; i < 100; ++i) {
      static_cast<void>(channel.producer.try_reserve(1000));
      if (!channel.send()) break;
      if (!leaps) {
        ASSERT_NO_FATAL_FAILURE(channel.read_all());
      }
    }
    channel.fill();
    ASSERT_NO_FATAL_FAILURE(channel.read_all());
  }
}

// A line that is evicted must be one that was read: the gap may be gigabytes.
TEST(EarlyWrap, TheLinesOfAGapAreNotEvicted) {
  Channel channel(24, kCapacity, kWindow, Acknowledge::kExplicitly);
  while (channel.index() < kWindow - 32) {
    ASSERT_TRUE(channel.send());
    ASSERT_NO_FATAL_FAILURE(channel.read());
    channel.consumer.publish();
  }
  ASSERT_NO_FATAL_FAILURE(channel.go_back_early());
  ASSERT_NO_FATAL_FAILURE(channel.read());  // over the gap, and not published yet
  ASSERT_TRUE(channel.consumer.publish());
  EXPECT_EQ(channel.ring.consumer_part.head.load(), channel.producer.position());
}

TEST(EarlyWrap, UnreadBytesLeaveThePaddingOut) {
  Channel channel(24);
  EXPECT_EQ(detail::unread_bytes(channel.ring.parts(), channel.producer.position()), 0u);
  ASSERT_NO_FATAL_FAILURE(channel.go_back_early());
  EXPECT_EQ(detail::unread_bytes(channel.ring.parts(), channel.producer.position()), 32u);
  channel.fill();
  EXPECT_EQ(detail::unread_bytes(channel.ring.parts(), channel.producer.position()),
            (channel.sent - channel.taken) * 32);
  channel.ring.consumer_part.head = 4;
  EXPECT_EQ(detail::unread_bytes(channel.ring.parts(), channel.producer.position()), 0u);
}

}  // namespace
}  // namespace rondo
