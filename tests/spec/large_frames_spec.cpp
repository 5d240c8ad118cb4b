// Contract of frame_pool with large frames, of which the producer takes back first what all readers
// have passed. Each line has a test of the same name, in this order.
//
//   1. WhileReadersKeepUpAPoolGoesRoundInAFewFrames
//   2. AReaderThatFallsBehindFindsAllThatThePoolHasRoomFor
//   3. WhatOneReaderHasNotPassedIsKeptForIt
//   4. AReaderThatHasLeftHoldsNothingBack
//   5. WithoutReadersTheOldestGoesFirst
//   6. AReaderThatComesLateStartsBehindTheLastGap
//   7. AReaderThatLiesAboutHowFarItIsCostsOthersNothing
//   8. AFrameThatIsHeldIsNotTakenHoweverFarItsReaderSaysItIs
#include <gtest/gtest.h>

#include <optional>
#include <set>

#include "rondo/core/frame_pool.hpp"
#include "rondo/core/record_layout.hpp"
#include "support/frame_pool_fixture.hpp"

namespace rondo {
namespace {

using testing::FramePoolFixture;
using testing::is_whole;
using testing::put_frame;

constexpr FramePoolParams kLarge{.frames = 8, .frame_bytes = 256 << 10, .readers = 2, .pins = 1};

// Reads one frame and lets go of it; its number, 0 if there is none.
std::uint64_t read_one(frame_pool::Consumer& reader, const FramePoolFixture& pool) {
  frame_pool::Message frame;
  if (reader.try_next(frame) != ReadOutcome::kMessage) return 0;
  EXPECT_TRUE(is_whole(frame, pool.parts));
  return frame.number();
}

TEST(LargeFrames, WhileReadersKeepUpAPoolGoesRoundInAFewFrames) {
  FramePoolFixture pool(kLarge);
  frame_pool::Producer producer(pool.parts);
  frame_pool::Consumer reader(pool.parts, 0);
  std::set<const std::byte*> used;
  for (std::uint64_t n = 1; n <= 20; ++n) {
    used.insert(producer.try_reserve());
    ASSERT_TRUE(put_frame(producer));
    EXPECT_EQ(read_one(reader, pool), n);
  }
  EXPECT_LE(used.size(), 3u);
}

TEST(LargeFrames, AReaderThatFallsBehindFindsAllThatThePoolHasRoomFor) {
  FramePoolFixture pool(kLarge);
  frame_pool::Producer producer(pool.parts);
  frame_pool::Consumer reader(pool.parts, 0);
  for (std::uint64_t n = 1; n <= 10; ++n) {
    ASSERT_TRUE(put_frame(producer));
    ASSERT_EQ(read_one(reader, pool), n);
  }
  for (std::uint32_t i = 0; i < kLarge.frames; ++i) ASSERT_TRUE(put_frame(producer));
  for (std::uint64_t n = 11; n <= 10 + kLarge.frames; ++n) EXPECT_EQ(read_one(reader, pool), n);
  EXPECT_EQ(reader.stats().lost, 0u);
}

TEST(LargeFrames, WhatOneReaderHasNotPassedIsKeptForIt) {
  FramePoolFixture pool(kLarge);
  frame_pool::Producer producer(pool.parts);
  frame_pool::Consumer quick(pool.parts, 0);
  frame_pool::Consumer slow(pool.parts, 1);
  for (std::uint64_t n = 1; n <= kLarge.frames; ++n) {
    ASSERT_TRUE(put_frame(producer));
    EXPECT_EQ(read_one(quick, pool), n);
  }
  for (std::uint64_t n = 1; n <= kLarge.frames; ++n) EXPECT_EQ(read_one(slow, pool), n);
  EXPECT_EQ(slow.stats().lost, 0u);
}

TEST(LargeFrames, AReaderThatHasLeftHoldsNothingBack) {
  FramePoolFixture pool(kLarge);
  frame_pool::Producer producer(pool.parts);
  frame_pool::Consumer reader(pool.parts, 0);
  const frame_pool::Consumer gone(pool.parts, 1);
  pool.parts.reader(1).policy.store(static_cast<std::uint64_t>(ReaderPolicy::kDetached),
                                    std::memory_order_relaxed);
  std::set<const std::byte*> used;
  for (int i = 0; i < 20; ++i) {
    used.insert(producer.try_reserve());
    ASSERT_TRUE(put_frame(producer));
    ASSERT_NE(read_one(reader, pool), 0u);
  }
  EXPECT_LE(used.size(), 3u);
}

TEST(LargeFrames, WithoutReadersTheOldestGoesFirst) {
  FramePoolFixture pool(kLarge);
  frame_pool::Producer producer(pool.parts);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(put_frame(producer));
  frame_pool::Consumer reader(pool.parts, 0);
  for (std::uint64_t n = 13; n <= 20; ++n) EXPECT_EQ(read_one(reader, pool), n);
}

TEST(LargeFrames, AReaderThatComesLateStartsBehindTheLastGap) {
  FramePoolFixture pool(kLarge);
  frame_pool::Producer producer(pool.parts);
  frame_pool::Consumer reader(pool.parts, 0);
  // Some that stay, then some that take each other's place, then some that are not passed yet.
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(put_frame(producer));
  while (read_one(reader, pool) != 0) {
  }
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(put_frame(producer));
    ASSERT_NE(read_one(reader, pool), 0u);
  }
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(put_frame(producer));
  frame_pool::Consumer late(pool.parts, 1);
  std::uint64_t n = late.stats().origin + 1;
  EXPECT_GT(n, 4u);
  EXPECT_LE(n, 15u);
  for (; n <= 17; ++n) EXPECT_EQ(read_one(late, pool), n);
  EXPECT_EQ(late.stats().lost, 0u);
}

TEST(LargeFrames, AReaderThatLiesAboutHowFarItIsCostsOthersNothing) {
  for (const std::uint64_t lie : {std::uint64_t{0}, std::uint64_t{5}, ~std::uint64_t{0}}) {
    FramePoolFixture pool(kLarge);
    frame_pool::Producer producer(pool.parts);
    frame_pool::Consumer honest(pool.parts, 0);
    latest<FrameReaderStats>::Writer(pool.parts.stats(1)).store({0, lie, lie, 0});
    for (std::uint64_t n = 1; n <= 2 * kLarge.frames; ++n) {
      ASSERT_TRUE(put_frame(producer));
      if (n <= kLarge.frames / 2) continue;
      EXPECT_EQ(read_one(honest, pool), n - kLarge.frames / 2);
    }
    EXPECT_EQ(honest.stats().lost, 0u);
  }
}

TEST(LargeFrames, AFrameThatIsHeldIsNotTakenHoweverFarItsReaderSaysItIs) {
  FramePoolFixture pool(kLarge);
  frame_pool::Producer producer(pool.parts);
  frame_pool::Consumer reader(pool.parts, 0);
  ASSERT_TRUE(put_frame(producer));
  frame_pool::Message held;
  ASSERT_EQ(reader.try_next(held), ReadOutcome::kMessage);
  latest<FrameReaderStats>::Writer(pool.parts.stats(0)).store({0, 1000, 1000, 0});
  for (int i = 0; i < 20; ++i) {
    ASSERT_NE(producer.try_reserve(), held.bytes().data());
    ASSERT_TRUE(put_frame(producer));
  }
  EXPECT_EQ(held.number(), 1u);
  EXPECT_TRUE(is_whole(held, pool.parts));
}

}  // namespace
}  // namespace rondo
