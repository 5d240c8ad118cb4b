// Contract of frame_pool. Each line has a test of the same name, in this order.
//
//  Publishing and reading
//   1. AnEmptyPoolHoldsNothing
//   2. FramesArriveInOrderInPlace
//   3. AReaderOfTheNewestPassesOverTheOthersAndCountsThem
//   4. AClaimIsTheSameUntilItIsPublishedOrGivenUp
//   5. TheEndIsToldAfterTheLastFrameAndMayBeTakenBack
//  Pins
//   6. ASlowReaderHoldsOneFrameAndNotThePool
//   7. AReaderHoldsAsManyFramesAsItHasPins
//   8. WhatIsHeldIsKeptUntilThereIsANewerOne
//   9. WhenAllArePinnedTheProducerIsToldByWhom
//  10. WithAFrameForEachPinAndTwoMoreTheProducerNeverFails
//  11. AReaderThatIsQuickerThanTheProducersLookCostsItNoFrame
//  12. AFrameMayBeHandedOnAndLetGoOfElsewhere
//  Counting
//  13. FramesThatAreGoneAreCountedExactly
//  14. AReaderStartsWhereItAsksTo
//  15. ASuccessorOfAReaderMayResume
//  16. StatsThatNoHonestReaderWroteAreNotResumed
//  17. AnyoneReadsAReadersStats
//  Death
//  18. ASuccessorOfTheProducerFreesWhatWasBegun
//  19. ASuccessorOfTheProducerRestoresWhatWasTakenBack
//  20. ADeadReadersPinsAreClearedAndALiveOnesAreNot
//  21. ANewReaderClearsThePinsOfTheOneBefore
//  Hostile peers
//  22. HostilePinsHoldAsManyFramesAsTheyAreAndNoMore
//  23. StatesAndSizesBeyondThePoolAreReported
//  24. ANewestThatIsNowhereIsNeverWaitedForForever
//  25. AFrameThatIsNotCountedYetIsNotRead
//  26. ASuccessorTakesImpossibleStatesForFree
//  Life cycle
//  27. APoolIsCreatedOnceAndAttachedToByOthers
//  28. ImpossiblePoolsAreRefused
//  29. ForeignMemoryIsRefused
//  30. AttachRefusesEveryGeometryThatDoesNotAddUp
//  Waiting
//  31. AReaderIsWokenByTheNextFrame
//  32. AProducerIsWokenWhenAFrameIsLetGoOf
#include "rondo/core/frame_pool.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

#include "rondo/core/segment_header.hpp"
#include "rondo/sync/doorbell.hpp"
#include "spec/mpmc_ring_fixture.hpp"
#include "support/frame_pool_fixture.hpp"

namespace rondo {
namespace {

using frame_ticket::kFlag;
using testing::FramePoolFixture;
using testing::is_whole;
using testing::put_frame;

constexpr FramePoolParams kFour{.frames = 4, .frame_bytes = 200, .readers = 2, .pins = 1};

TEST(FramePool, AnEmptyPoolHoldsNothing) {
  FramePoolFixture pool(kFour);
  frame_pool::Consumer reader(pool.parts, 0);
  frame_pool::Message frame;
  EXPECT_EQ(reader.try_next(frame), ReadOutcome::kEmpty);
  EXPECT_EQ(reader.try_newest(frame), ReadOutcome::kEmpty);
  EXPECT_FALSE(frame);
  EXPECT_FALSE(reader.changed());
  EXPECT_EQ(pool.pin(0), 0u);
}

TEST(FramePool, FramesArriveInOrderInPlace) {
  FramePoolFixture pool(kFour);
  frame_pool::Producer producer(pool.parts);
  frame_pool::Consumer one(pool.parts, 0);
  frame_pool::Consumer two(pool.parts, 1);
  for (std::uint64_t n = 1; n <= 50; ++n) {
    const std::byte* written = producer.try_reserve();
    ASSERT_TRUE(put_frame(producer));
    EXPECT_EQ(producer.number(), n);
    EXPECT_TRUE(one.changed());
    frame_pool::Message mine;
    frame_pool::Message theirs;
    ASSERT_EQ(one.try_next(mine), ReadOutcome::kMessage);
    ASSERT_EQ(two.try_next(theirs), ReadOutcome::kMessage);
    EXPECT_EQ(mine.number(), n);
    EXPECT_EQ(theirs.number(), n);
    EXPECT_EQ(mine.bytes().data(), written);
    EXPECT_EQ(theirs.bytes().data(), written);
    EXPECT_TRUE(is_whole(mine, pool.parts));
    EXPECT_FALSE(one.changed());
  }
  EXPECT_EQ(one.stats().received, 50u);
  EXPECT_EQ(one.stats().lost, 0u);
}

TEST(FramePool, AReaderOfTheNewestPassesOverTheOthersAndCountsThem) {
  FramePoolFixture pool(kFour);
  frame_pool::Producer producer(pool.parts);
  frame_pool::Consumer reader(pool.parts, 0);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(put_frame(producer));
  frame_pool::Message frame;
  ASSERT_EQ(reader.try_newest(frame), ReadOutcome::kMessage);
  EXPECT_EQ(frame.number(), 3u);
  EXPECT_EQ(reader.stats().lost, 2u);
  EXPECT_EQ(reader.try_newest(frame), ReadOutcome::kEmpty);
  ASSERT_TRUE(put_frame(producer));
  ASSERT_EQ(reader.try_newest(frame), ReadOutcome::kMessage);
  EXPECT_EQ(frame.number(), 4u);
  EXPECT_EQ(reader.stats().lost, 2u);
}

TEST(FramePool, AClaimIsTheSameUntilItIsPublishedOrGivenUp) {
  FramePoolFixture pool(kFour);
  frame_pool::Producer producer(pool.parts);
  const std::byte* const reserved = producer.try_reserve();
  ASSERT_NE(reserved, nullptr);
  EXPECT_EQ(producer.try_reserve(), reserved);
  producer.discard();
  frame_pool::Consumer reader(pool.parts, 0);
  frame_pool::Message frame;
  EXPECT_EQ(reader.try_next(frame), ReadOutcome::kEmpty);
  EXPECT_EQ(producer.try_reserve(), reserved);  // free, so it is used first
  producer.commit(0);
  EXPECT_NE(producer.try_reserve(), reserved);
  ASSERT_EQ(reader.try_next(frame), ReadOutcome::kMessage);
  EXPECT_TRUE(frame);
  EXPECT_EQ(frame.bytes().size(), 0u);
}

TEST(FramePool, TheEndIsToldAfterTheLastFrameAndMayBeTakenBack) {
  FramePoolFixture pool(kFour);
  frame_pool::Producer producer(pool.parts);
  ASSERT_TRUE(put_frame(producer));
  producer.close();
  frame_pool::Consumer reader(pool.parts, 0);
  frame_pool::Message frame;
  EXPECT_TRUE(reader.changed());
  ASSERT_EQ(reader.try_next(frame), ReadOutcome::kMessage);
  EXPECT_TRUE(reader.changed());
  EXPECT_EQ(reader.try_next(frame), ReadOutcome::kEnd);
  EXPECT_TRUE(is_whole(frame, pool.parts));  // still held
  frame_pool::Producer successor(pool.parts);
  ASSERT_TRUE(put_frame(successor));
  ASSERT_EQ(reader.try_next(frame), ReadOutcome::kMessage);
  EXPECT_EQ(frame.number(), 2u);
  EXPECT_EQ(reader.try_next(frame), ReadOutcome::kEmpty);
}

TEST(FramePool, ASlowReaderHoldsOneFrameAndNotThePool) {
  FramePoolFixture pool(kFour);
  frame_pool::Producer producer(pool.parts);
  frame_pool::Consumer slow(pool.parts, 0);
  frame_pool::Consumer quick(pool.parts, 1);
  ASSERT_TRUE(put_frame(producer));
  frame_pool::Message held;
  ASSERT_EQ(slow.try_next(held), ReadOutcome::kMessage);
  frame_pool::Message frame;
  for (std::uint64_t n = 1; n <= 1000; ++n) {
    ASSERT_EQ(quick.try_next(frame), ReadOutcome::kMessage);
    ASSERT_EQ(frame.number(), n);
    ASSERT_TRUE(is_whole(frame, pool.parts));
    ASSERT_TRUE(put_frame(producer));
  }
  EXPECT_EQ(quick.stats().lost, 0u);
  EXPECT_EQ(held.number(), 1u);
  EXPECT_TRUE(is_whole(held, pool.parts));
  // Three frames went on; the oldest of them is where it goes on itself.
  ASSERT_EQ(slow.try_next(held), ReadOutcome::kMessage);
  EXPECT_EQ(held.number(), 999u);
  EXPECT_EQ(slow.stats().lost, 997u);
}

TEST(FramePool, AReaderHoldsAsManyFramesAsItHasPins) {
  FramePoolFixture pool({.frames = 8, .frame_bytes = 200, .readers = 1, .pins = 3});
  frame_pool::Producer producer(pool.parts);
  frame_pool::Consumer reader(pool.parts, 0);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(put_frame(producer));
  std::vector<frame_pool::Message> held(3);
  for (auto& frame : held) ASSERT_EQ(reader.try_next(frame), ReadOutcome::kMessage);
  frame_pool::Message fourth;
  EXPECT_EQ(reader.try_next(fourth), ReadOutcome::kNoPin);
  EXPECT_EQ(reader.stats().received, 3u);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(put_frame(producer));
  for (std::uint64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(held[i].number(), i + 1);
    EXPECT_TRUE(is_whole(held[i], pool.parts));
  }
  held[1].release();
  EXPECT_EQ(reader.try_next(fourth), ReadOutcome::kMessage);
}

TEST(FramePool, WhatIsHeldIsKeptUntilThereIsANewerOne) {
  FramePoolFixture pool(kFour);
  frame_pool::Producer producer(pool.parts);
  frame_pool::Consumer reader(pool.parts, 0);
  ASSERT_TRUE(put_frame(producer));
  frame_pool::Message frame;
  ASSERT_EQ(reader.try_newest(frame), ReadOutcome::kMessage);
  EXPECT_EQ(reader.try_newest(frame), ReadOutcome::kEmpty);
  EXPECT_EQ(frame.number(), 1u);
  ASSERT_TRUE(put_frame(producer));
  ASSERT_EQ(reader.try_newest(frame), ReadOutcome::kMessage);  // with one pin
  EXPECT_EQ(frame.number(), 2u);
  frame.release();
  EXPECT_FALSE(frame);
  EXPECT_EQ(pool.pin(0), 0u);
}

TEST(FramePool, WhenAllArePinnedTheProducerIsToldByWhom) {
  FramePoolFixture pool({.frames = 2, .frame_bytes = 200, .readers = 2, .pins = 1});
  frame_pool::Producer producer(pool.parts);
  frame_pool::Consumer slow(pool.parts, 1);
  ASSERT_TRUE(put_frame(producer));
  frame_pool::Message held;
  ASSERT_EQ(slow.try_next(held), ReadOutcome::kMessage);
  ASSERT_TRUE(put_frame(producer));
  EXPECT_EQ(producer.try_reserve(), nullptr);
  std::vector<HeldFrame> holders;
  for_each_held(pool.parts, [&](const HeldFrame& frame) { holders.push_back(frame); });
  ASSERT_EQ(holders.size(), 1u);
  EXPECT_EQ(holders[0].reader, 1u);
  EXPECT_EQ(holders[0].number, 1u);
  EXPECT_EQ(holders[0].behind, 1u);
  EXPECT_TRUE(is_whole(held, pool.parts));
  held.release();
  EXPECT_NE(producer.try_reserve(), nullptr);
}

TEST(FramePool, WithAFrameForEachPinAndTwoMoreTheProducerNeverFails) {
  for (const std::uint32_t readers : {1u, 3u, 64u}) {
    for (const std::uint32_t pins : {1u, 2u, 8u}) {
      FramePoolFixture pool(
          {.frames = readers * pins + 2, .frame_bytes = 64, .readers = readers, .pins = pins});
      frame_pool::Producer producer(pool.parts);
      std::vector<frame_pool::Message> held;
      // Each pin holds a frame of its own.
      for (std::uint32_t i = 0; i < readers; ++i) {
        frame_pool::Consumer reader(pool.parts, i);
        for (std::uint32_t p = 0; p < pins; ++p) {
          ASSERT_TRUE(put_frame(producer));
          ASSERT_EQ(reader.try_newest(held.emplace_back()), ReadOutcome::kMessage);
        }
      }
      for (int i = 0; i < 10; ++i) ASSERT_TRUE(put_frame(producer)) << readers << "x" << pins;
      for (const frame_pool::Message& frame : held) ASSERT_TRUE(is_whole(frame, pool.parts));
    }
  }
  // One less does not do.
  FramePoolFixture pool({.frames = 3, .frame_bytes = 64, .readers = 2, .pins = 1});
  frame_pool::Producer producer(pool.parts);
  std::vector<frame_pool::Message> held(2);
  for (std::uint32_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(put_frame(producer));
    frame_pool::Consumer reader(pool.parts, i);
    ASSERT_EQ(reader.try_newest(held[i]), ReadOutcome::kMessage);
  }
  ASSERT_TRUE(put_frame(producer));
  EXPECT_FALSE(put_frame(producer));
}

// Readers that never stop, without a pause, beside a producer with just enough frames.
TEST(FramePool, AReaderThatIsQuickerThanTheProducersLookCostsItNoFrame) {
  FramePoolFixture pool({.frames = 4, .frame_bytes = 64, .readers = 2, .pins = 1});
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> torn{0};
  std::vector<std::thread> reading;
  for (std::uint32_t i = 0; i < 2; ++i) {
    reading.emplace_back([&, i] {
      frame_pool::Consumer reader(pool.parts, i);
      frame_pool::Message frame;
      while (!stop.load(std::memory_order_relaxed)) {
        if (reader.try_next(frame) != ReadOutcome::kMessage) continue;
        if (!is_whole(frame, pool.parts)) torn.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  frame_pool::Producer producer(pool.parts);
  std::uint64_t failed = 0;
  for (int i = 0; i < 100'000; ++i) failed += put_frame(producer) ? 0 : 1;
  stop.store(true, std::memory_order_relaxed);
  for (std::thread& thread : reading) thread.join();
  EXPECT_EQ(failed, 0u);
  EXPECT_EQ(torn.load(std::memory_order_relaxed), 0u);
}

TEST(FramePool, AFrameMayBeHandedOnAndLetGoOfElsewhere) {
  FramePoolFixture pool({.frames = 2, .frame_bytes = 200, .readers = 1, .pins = 1});
  frame_pool::Producer producer(pool.parts);
  frame_pool::Consumer reader(pool.parts, 0);
  ASSERT_TRUE(put_frame(producer));
  frame_pool::Message frame;
  ASSERT_EQ(reader.try_next(frame), ReadOutcome::kMessage);
  std::thread elsewhere([&pool, handed = std::move(frame)]() mutable {
    EXPECT_TRUE(is_whole(handed, pool.parts));
    handed.release();
  });
  EXPECT_FALSE(frame);  // NOLINT: moved from, and empty
  ASSERT_TRUE(put_frame(producer));
  while (!put_frame(producer)) std::this_thread::yield();
  elsewhere.join();
  ASSERT_EQ(reader.try_next(frame), ReadOutcome::kMessage);
}

TEST(FramePool, FramesThatAreGoneAreCountedExactly) {
  FramePoolFixture pool(kFour);
  frame_pool::Producer producer(pool.parts);
  frame_pool::Consumer reader(pool.parts, 0);
  frame_pool::Message frame;
  std::uint64_t next = 1;
  std::uint64_t lost = 0;
  for (std::uint64_t round = 0; round < 200; ++round) {
    for (std::uint64_t i = 0; i < round % 11; ++i) ASSERT_TRUE(put_frame(producer));
    for (std::uint64_t i = 0; i < round % 4; ++i) {
      if (reader.try_next(frame) != ReadOutcome::kMessage) break;
      lost += frame.number() - next;
      next = frame.number() + 1;
      ASSERT_TRUE(is_whole(frame, pool.parts));
    }
    const FrameReaderStats& stats = reader.stats();
    ASSERT_EQ(stats.lost, lost);
    ASSERT_EQ(stats.received + stats.lost, stats.last);
  }
  EXPECT_GT(lost, 0u);
}

TEST(FramePool, AReaderStartsWhereItAsksTo) {
  FramePoolFixture pool(kFour);
  frame_pool::Producer producer(pool.parts);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(put_frame(producer));
  const auto first = [&](FrameStart from) {
    frame_pool::Consumer reader(pool.parts, 0, from);
    frame_pool::Message frame;
    EXPECT_EQ(reader.stats().lost, 0u);
    if (reader.try_next(frame) != ReadOutcome::kMessage) return std::uint64_t{0};
    EXPECT_EQ(reader.stats().lost, 0u);
    return frame.number();
  };
  EXPECT_EQ(first(FrameStart::kOldest), 7u);
  EXPECT_EQ(first(FrameStart::kNewest), 10u);
  EXPECT_EQ(first(FrameStart::kNext), 0u);
}

TEST(FramePool, ASuccessorOfAReaderMayResume) {
  FramePoolFixture pool(kFour);
  frame_pool::Producer producer(pool.parts);
  frame_pool::Message frame;
  {
    frame_pool::Consumer reader(pool.parts, 0);
    for (int i = 0; i < 2; ++i) {
      ASSERT_TRUE(put_frame(producer));
      ASSERT_EQ(reader.try_next(frame), ReadOutcome::kMessage);
    }
    frame.release();
  }
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(put_frame(producer));
  frame_pool::Consumer successor(pool.parts, 0, FrameStart::kResume);
  ASSERT_EQ(successor.try_next(frame), ReadOutcome::kMessage);
  EXPECT_EQ(frame.number(), 9u);
  EXPECT_EQ(successor.stats().received, 3u);
  EXPECT_EQ(successor.stats().lost, 6u);
  frame.release();
  // Where no reader was before: at the oldest.
  frame_pool::Consumer first(pool.parts, 1, FrameStart::kResume);
  ASSERT_EQ(first.try_next(frame), ReadOutcome::kMessage);
  EXPECT_EQ(first.stats().lost, 0u);
}

TEST(FramePool, StatsThatNoHonestReaderWroteAreNotResumed) {
  for (const FrameReaderStats& stats :
       {FrameReaderStats{0, 1'000'000, 1'000'000, 0}, FrameReaderStats{7, 3, 0, 0},
        FrameReaderStats{0, 3, 1, 1}}) {
    FramePoolFixture pool(kFour);
    frame_pool::Producer producer(pool.parts);
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(put_frame(producer));
    latest<FrameReaderStats>::Writer(pool.parts.stats(0)).store(stats);
    frame_pool::Consumer reader(pool.parts, 0, FrameStart::kResume);
    frame_pool::Message frame;
    ASSERT_EQ(reader.try_next(frame), ReadOutcome::kMessage);
    EXPECT_EQ(frame.number(), 7u);
  }
}

TEST(FramePool, AnyoneReadsAReadersStats) {
  FramePoolFixture pool(kFour);
  frame_pool::Producer producer(pool.parts);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(put_frame(producer));
  frame_pool::Consumer reader(pool.parts, 1);
  frame_pool::Message frame;
  ASSERT_EQ(reader.try_next(frame), ReadOutcome::kMessage);
  ASSERT_EQ(reader.try_newest(frame), ReadOutcome::kMessage);
  const auto stats = read_frame_stats(pool.parts, 1);
  ASSERT_TRUE(stats);
  EXPECT_EQ(stats->origin, 6u);
  EXPECT_EQ(stats->last, 10u);
  EXPECT_EQ(stats->received, 2u);
  EXPECT_EQ(stats->lost, 2u);
  EXPECT_EQ(read_frame_stats(pool.parts, 0)->last, 0u);
}

TEST(FramePool, ASuccessorOfTheProducerFreesWhatWasBegun) {
  FramePoolFixture pool({.frames = 3, .frame_bytes = 200, .readers = 1, .pins = 1});
  {
    frame_pool::Producer producer(pool.parts);
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(put_frame(producer));
    ASSERT_NE(producer.try_reserve(), nullptr);
  }
  // It died before it counted what it had published.
  const std::uint64_t uncounted = frame_ticket::make(4, 0);
  ASSERT_EQ(pool.state(0), 0u);
  pool.set_state(0, uncounted);
  frame_pool::Producer successor(pool.parts);
  EXPECT_EQ(successor.number(), 3u);
  EXPECT_EQ(pool.state(0), 0u);
  frame_pool::Consumer reader(pool.parts, 0);
  frame_pool::Message frame;
  for (const std::uint64_t number : {2u, 3u}) {
    ASSERT_EQ(reader.try_next(frame), ReadOutcome::kMessage);
    EXPECT_EQ(frame.number(), number);
    EXPECT_TRUE(is_whole(frame, pool.parts));
  }
  ASSERT_TRUE(put_frame(successor));
  ASSERT_EQ(reader.try_next(frame), ReadOutcome::kMessage);
  EXPECT_EQ(frame.number(), 4u);
}

TEST(FramePool, ASuccessorOfTheProducerRestoresWhatWasTakenBack) {
  FramePoolFixture pool(kFour);
  frame_pool::Consumer holder(pool.parts, 1);
  frame_pool::Message held;
  {
    frame_pool::Producer producer(pool.parts);
    ASSERT_TRUE(put_frame(producer));
    ASSERT_EQ(holder.try_next(held), ReadOutcome::kMessage);
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(put_frame(producer));
  }
  for (const std::uint32_t f : {0u, 1u}) pool.set_state(f, pool.state(f) | kFlag);  // died here
  frame_pool::Consumer reader(pool.parts, 0);
  frame_pool::Message frame;
  ASSERT_EQ(reader.try_next(frame), ReadOutcome::kMessage);
  EXPECT_EQ(frame.number(), 3u);  // what is being taken back is gone
  frame.release();
  frame_pool::Producer successor(pool.parts);
  frame_pool::Consumer again(pool.parts, 0);
  ASSERT_EQ(again.try_next(frame), ReadOutcome::kMessage);
  EXPECT_EQ(frame.number(), 1u);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(put_frame(successor));
  EXPECT_TRUE(is_whole(held, pool.parts));
}

TEST(FramePool, ADeadReadersPinsAreClearedAndALiveOnesAreNot) {
  FramePoolFixture pool({.frames = 3, .frame_bytes = 200, .readers = 2, .pins = 1});
  frame_pool::Producer producer(pool.parts);
  std::vector<frame_pool::Message> held(2);
  for (std::uint32_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(put_frame(producer));
    frame_pool::Consumer reader(pool.parts, i);
    ASSERT_EQ(reader.try_newest(held[i]), ReadOutcome::kMessage);
  }
  ASSERT_TRUE(put_frame(producer));
  EXPECT_FALSE(put_frame(producer));
  FakeLiveness liveness;
  EXPECT_EQ(recover_dead_readers(pool.parts, liveness), 0u);
  EXPECT_FALSE(put_frame(producer));
  liveness.dead.insert(frame_pool::kFirstReaderSlot + 1);
  EXPECT_EQ(recover_dead_readers(pool.parts, liveness), 1u);
  EXPECT_TRUE(liveness.locked.empty());
  EXPECT_EQ(pool.pin(1), 0u);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(put_frame(producer));
  EXPECT_TRUE(is_whole(held[0], pool.parts));
}

TEST(FramePool, ANewReaderClearsThePinsOfTheOneBefore) {
  FramePoolFixture pool({.frames = 2, .frame_bytes = 200, .readers = 1, .pins = 1});
  frame_pool::Producer producer(pool.parts);
  ASSERT_TRUE(put_frame(producer));
  pool.parts.reader(0).pins[0].store(pool.state(0), std::memory_order_relaxed);  // died so
  ASSERT_TRUE(put_frame(producer));
  ASSERT_FALSE(put_frame(producer));
  frame_pool::Consumer reader(pool.parts, 0);
  EXPECT_TRUE(put_frame(producer));
}

TEST(FramePool, HostilePinsHoldAsManyFramesAsTheyAreAndNoMore) {
  FramePoolFixture pool({.frames = 4, .frame_bytes = 200, .readers = 1, .pins = 2});
  frame_pool::Producer producer(pool.parts);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(put_frame(producer));
  auto& pins = pool.parts.reader(0).pins;
  std::uint64_t drawn = 1;
  for (int round = 0; round < 1000; ++round) {
    for (std::uint32_t p = 0; p < kMaxFramePins; ++p) {
      drawn = drawn * 6364136223846793005u + 1442695040888963407u;
      // Frames that are there, frames beyond the pool, anything.
      const std::uint64_t pin =
          drawn >> 62 == 0 ? drawn : pool.state(static_cast<std::uint32_t>(drawn >> 60) % 4);
      pins[p].store(pin, std::memory_order_relaxed);
    }
    ASSERT_TRUE(put_frame(producer));
  }
}

TEST(FramePool, StatesAndSizesBeyondThePoolAreReported) {
  FramePoolFixture pool(kFour);
  frame_pool::Producer producer(pool.parts);
  ASSERT_TRUE(put_frame(producer));
  frame_pool::Consumer reader(pool.parts, 0);
  frame_pool::Message frame;
  pool.producer_part.sizes[0].store(201, std::memory_order_relaxed);
  EXPECT_EQ(reader.try_next(frame), ReadOutcome::kCorrupt);
  EXPECT_EQ(pool.pin(0), 0u);
  const std::uint64_t beyond = frame_ticket::make(1, 4);
  pool.producer_part.newest.store(beyond, std::memory_order_relaxed);
  pool.producer_part.states[4].store(beyond, std::memory_order_relaxed);
  EXPECT_EQ(reader.try_newest(frame), ReadOutcome::kCorrupt);
  EXPECT_FALSE(frame);
}

TEST(FramePool, ANewestThatIsNowhereIsNeverWaitedForForever) {
  FramePoolFixture pool(kFour);
  pool.producer_part.newest.store(frame_ticket::make(77, 2), std::memory_order_relaxed);
  frame_pool::Consumer reader(pool.parts, 0, FrameStart::kOldest);
  frame_pool::Message frame;
  EXPECT_EQ(reader.try_next(frame), ReadOutcome::kEmpty);
  pool.producer_part.newest.store(frame_ticket::make(99, 2), std::memory_order_relaxed);
  EXPECT_EQ(reader.try_next(frame), ReadOutcome::kContended);
  EXPECT_EQ(reader.try_newest(frame), ReadOutcome::kContended);
  EXPECT_EQ(pool.pin(0), 0u);
}

// What a reader sees that was overtaken while it looked: all that it knows to be counted is gone,
// and in their place stands the next one, of which it does not know yet that it is written.
TEST(FramePool, AFrameThatIsNotCountedYetIsNotRead) {
  FramePoolFixture pool(kFour);
  frame_pool::Producer producer(pool.parts);
  ASSERT_TRUE(put_frame(producer));
  frame_pool::Consumer reader(pool.parts, 0);
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(put_frame(producer));
  const std::uint64_t second = pool.state(1);
  const std::uint64_t third = pool.state(2);
  pool.producer_part.newest.store(second, std::memory_order_relaxed);
  pool.set_state(0, 0);
  pool.set_state(1, second | kFlag);
  frame_pool::Message frame;
  EXPECT_EQ(reader.try_next(frame), ReadOutcome::kContended);
  EXPECT_EQ(pool.pin(0), 0u);
  EXPECT_EQ(reader.stats().last, 0u);

  pool.producer_part.newest.store(third, std::memory_order_relaxed);
  ASSERT_EQ(reader.try_next(frame), ReadOutcome::kMessage);
  EXPECT_EQ(frame.number(), 3u);
  EXPECT_EQ(reader.stats().lost, 2u);
}

TEST(FramePool, ASuccessorTakesImpossibleStatesForFree) {
  FramePoolFixture pool(kFour);
  {
    frame_pool::Producer producer(pool.parts);
    ASSERT_TRUE(put_frame(producer));
  }
  pool.set_state(1, frame_ticket::make(1, 0));   // another frame's
  pool.set_state(2, frame_ticket::make(88, 2));  // never counted
  pool.set_state(3, kFlag);
  frame_pool::Producer successor(pool.parts);
  for (const std::uint32_t f : {1u, 2u, 3u}) EXPECT_EQ(pool.state(f), 0u);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(put_frame(successor));
}

// Memory of a whole pool, for the life-cycle verbs.
struct Memory {
  explicit Memory(const FramePoolParams& params)
      : size(frame_pool::layout_for(params)->total_bytes),
        bytes(FramePoolFixture::allocate(size)) {}
  [[nodiscard]] std::span<std::byte> span() const { return {bytes.get(), size}; }
  [[nodiscard]] SegmentHeader& header() const {
    return *reinterpret_cast<SegmentHeader*>(bytes.get());
  }
  std::uint64_t size;
  FramePoolFixture::Bytes bytes;
};

TEST(FramePool, APoolIsCreatedOnceAndAttachedToByOthers) {
  const FramePoolParams params{
      .frames = 5, .frame_bytes = 5000, .readers = 3, .pins = 2, .instance_id = 99};
  Memory memory(params);
  const auto created = frame_pool::create(memory.span(), params);
  ASSERT_TRUE(created) << created.error().message;
  const auto parts = frame_pool::attach(memory.span());
  ASSERT_TRUE(parts) << parts.error().message;
  EXPECT_EQ(parts->frame_count, 5u);
  EXPECT_EQ(parts->frame_bytes, 5000u);
  EXPECT_EQ(parts->reader_count, 3u);
  EXPECT_EQ(parts->pin_count, 2u);
  EXPECT_EQ(parts->stride, 8192u);
  EXPECT_TRUE(is_aligned(parts->frame(1), kPartAlignment));
  EXPECT_EQ(parts->frame(4) + parts->stride, memory.span().data() + memory.size);
  frame_pool::Producer producer(*created);
  frame_pool::Consumer reader(*parts, 2);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(put_frame(producer));
    frame_pool::Message frame;
    ASSERT_EQ(reader.try_next(frame), ReadOutcome::kMessage);
    ASSERT_TRUE(is_whole(frame, *parts));
  }
}

TEST(FramePool, ImpossiblePoolsAreRefused) {
  const auto refused = [](FramePoolParams params) {
    const auto layout = frame_pool::layout_for(params);
    return !layout && layout.error().code == ErrorCode::kInvalidCapacity;
  };
  EXPECT_FALSE(refused(kFour));
  EXPECT_TRUE(refused({.frames = 1, .frame_bytes = 100}));
  EXPECT_TRUE(refused({.frames = kMaxFrames + 1, .frame_bytes = 100}));
  EXPECT_TRUE(refused({.frames = 4, .frame_bytes = 0}));
  EXPECT_TRUE(refused({.frames = 4, .frame_bytes = 100, .readers = 0}));
  EXPECT_TRUE(refused({.frames = 4, .frame_bytes = 100, .readers = 65}));
  EXPECT_TRUE(refused({.frames = 4, .frame_bytes = 100, .pins = 0}));
  EXPECT_TRUE(refused({.frames = 4, .frame_bytes = 100, .pins = 9}));
}

TEST(FramePool, ForeignMemoryIsRefused) {
  Memory memory(kFour);
  const auto code = [](const Result<FramePoolParts>& result) {
    return result ? ErrorCode::kSystem : result.error().code;
  };
  EXPECT_EQ(code(frame_pool::create(memory.span().first(memory.size - 8), kFour)),
            ErrorCode::kTooSmall);
  Memory large({.frames = 5, .frame_bytes = 200, .readers = 2});
  EXPECT_EQ(code(frame_pool::create(large.span(), kFour)), ErrorCode::kSizeMismatch);
  EXPECT_EQ(code(frame_pool::create(large.span().subspan(8, memory.size), kFour)),
            ErrorCode::kMisaligned);
  EXPECT_EQ(code(frame_pool::attach(memory.span())), ErrorCode::kNotReady);
}

TEST(FramePool, AttachRefusesEveryGeometryThatDoesNotAddUp) {
  const auto refused_with = [](auto field, auto value) {
    Memory memory(kFour);
    EXPECT_TRUE(frame_pool::create(memory.span(), kFour));
    (memory.header().*field).store(value, std::memory_order_relaxed);
    const auto parts = frame_pool::attach(memory.span(), "shm:frames");
    if (parts) return ErrorCode::kSystem;
    EXPECT_THAT(parts.error().message, ::testing::HasSubstr("shm:frames"));
    return parts.error().code;
  };
  using Header = SegmentHeader;
  for (const std::uint64_t frames : {0u, 1u, 3u, 5u, 1025u}) {
    EXPECT_EQ(refused_with(&Header::capacity, frames), ErrorCode::kBadGeometry) << frames;
  }
  for (const std::uint32_t bytes : {0u, 4097u, 0xFFFF'FFFFu}) {
    EXPECT_EQ(refused_with(&Header::slot_bytes, bytes), ErrorCode::kBadGeometry) << bytes;
  }
  for (const std::uint32_t participants : {0u, 1u, 2u, 66u}) {
    EXPECT_EQ(refused_with(&Header::participants, participants), ErrorCode::kBadGeometry)
        << participants;
  }
  for (const std::uint64_t pins : {std::uint64_t{0}, std::uint64_t{9}, ~std::uint64_t{0}}) {
    EXPECT_EQ(refused_with(&Header::feature_bits, pins), ErrorCode::kBadGeometry) << pins;
  }
  EXPECT_EQ(refused_with(&Header::kind, 2u), ErrorCode::kBadKind);
  EXPECT_EQ(refused_with(&Header::magic, std::uint64_t{0}), ErrorCode::kNotReady);
  EXPECT_EQ(refused_with(&Header::total_bytes, std::uint64_t{4096}), ErrorCode::kSizeMismatch);
}

TEST(FramePool, AReaderIsWokenByTheNextFrame) {
  FramePoolFixture pool(kFour);
  constexpr std::uint64_t kFrames = 1000;
  std::atomic<std::uint64_t> got{0};
  std::thread reading([&] {
    frame_pool::Consumer reader(pool.parts, 1);
    Waiter waiter(pool.parts.reader(1).publish_waiter, pool.producer_part.publish_notifier);
    frame_pool::Message frame;
    while (frame.number() < kFrames) {
      while (!waiter.sleep_once([&] { return reader.changed(); }, Deadline::never())) {
      }
      if (reader.try_next(frame) == ReadOutcome::kMessage) {
        got.store(frame.number(), std::memory_order_relaxed);
      }
    }
    EXPECT_EQ(reader.stats().lost, 0u);
  });
  frame_pool::Producer producer(pool.parts);
  BroadcastNotifier notifier(pool.producer_part.publish_notifier);
  for (std::uint32_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(notifier.watch(pool.parts.reader(i).publish_waiter));
  }
  for (std::uint64_t n = 1; n <= kFrames; ++n) {
    ASSERT_TRUE(put_frame(producer));
    notifier.notify();
    // Each frame in turn, so that every one of them has to wake the reader.
    while (got.load(std::memory_order_relaxed) < n) std::this_thread::yield();
  }
  reading.join();
}

TEST(FramePool, AProducerIsWokenWhenAFrameIsLetGoOf) {
  FramePoolFixture pool({.frames = 2, .frame_bytes = 64, .readers = 1, .pins = 1});
  constexpr std::uint64_t kFrames = 1000;
  std::thread reading([&] {
    frame_pool::Consumer reader(pool.parts, 0);
    Notifier notifier(pool.producer_part.unpin_waiter, pool.parts.reader(0).unpin_notifier);
    frame_pool::Message frame;
    for (std::uint64_t last = 0; last < kFrames;) {
      // What it held before is let go of.
      if (reader.try_newest(frame) == ReadOutcome::kMessage) notifier.notify();
      last = frame.number();
      // Mostly until the producer sleeps, so that letting go has to wake it.
      while (last < kFrames && !notifier.wanted() && !reader.changed()) std::this_thread::yield();
      frame.release();
      notifier.notify();
    }
  });
  frame_pool::Producer producer(pool.parts);
  Waiter waiter(pool.producer_part.unpin_waiter, pool.parts.reader(0).unpin_notifier);
  for (std::uint64_t n = 1; n <= kFrames; ++n) {
    while (
        !waiter.sleep_once([&] { return producer.try_reserve() != nullptr; }, Deadline::never())) {
    }
    ASSERT_TRUE(put_frame(producer));
  }
  reading.join();
}

}  // namespace
}  // namespace rondo
