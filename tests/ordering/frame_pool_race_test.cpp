// The frame pool as threads on one mapping, with frames in plain memory, for TSan: a frame is read
// after it was written (N1, N3, N2), and written again after it was read (U1, U2).
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "support/frame_pool_fixture.hpp"

namespace rondo {
namespace {

using testing::FramePoolFixture;
using testing::is_whole;
using testing::put_frame;

TEST(FramePoolRace, FramesAreReadAsWrittenByAll) {
  constexpr std::uint64_t kFrames = 20'000;
  FramePoolFixture pool({.frames = 5, .frame_bytes = 100, .readers = 3, .pins = 1});
  std::atomic<std::uint64_t> torn{0};
  std::vector<std::thread> readers;
  for (std::uint32_t i = 0; i < 3; ++i) {
    readers.emplace_back([&, i] {
      frame_pool::Consumer reader(pool.parts, i);
      frame_pool::Message frame;
      for (;;) {
        const ReadOutcome read = i == 0 ? reader.try_newest(frame) : reader.try_next(frame);
        if (read == ReadOutcome::kEnd) break;
        if (read == ReadOutcome::kEmpty) std::this_thread::yield();
        // relaxed: counted after the join.
        if (frame && !is_whole(frame, pool.parts)) torn.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  frame_pool::Producer producer(pool.parts);
  for (std::uint64_t n = 1; n <= kFrames; ++n) {
    ASSERT_TRUE(put_frame(producer));
    if (n % 16 == 0) std::this_thread::yield();
  }
  producer.close();
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(torn.load(std::memory_order_relaxed), 0u);
}

// The fences, which the sanitizer is shown as read-modify-writes, would order a reader before the
// producer as well. So here the reader passes none between letting go of a frame and that frame's
// being written again: it stops until the producer has done that.
TEST(FramePoolRace, AFrameIsWrittenAgainOnceItWasRead) {
  constexpr std::uint64_t kRounds = 2000;
  FramePoolFixture pool({.frames = 2, .frame_bytes = 64, .readers = 1, .pins = 1});
  std::atomic<std::uint64_t> pinned{0};   // rounds in which the reader has its frame
  std::atomic<std::uint64_t> written{0};  // rounds in which the producer has written over it
  // relaxed throughout: the pool must order the rest.
  constexpr auto kRelaxed = std::memory_order_relaxed;
  std::thread reading([&] {
    frame_pool::Consumer reader(pool.parts, 0);
    for (std::uint64_t round = 1; round <= kRounds; ++round) {
      frame_pool::Message frame;
      while (reader.try_newest(frame) != ReadOutcome::kMessage) std::this_thread::yield();
      pinned.store(round, kRelaxed);
      EXPECT_TRUE(is_whole(frame, pool.parts));
      frame.release();
      while (written.load(kRelaxed) < round) std::this_thread::yield();
    }
  });
  frame_pool::Producer producer(pool.parts);
  ASSERT_TRUE(put_frame(producer));
  for (std::uint64_t round = 1; round <= kRounds; ++round) {
    while (pinned.load(kRelaxed) < round) std::this_thread::yield();
    while (!put_frame(producer)) std::this_thread::yield();  // the other frame
    while (!put_frame(producer)) std::this_thread::yield();  // the one that was read
    written.store(round, kRelaxed);
  }
  reading.join();
}

}  // namespace
}  // namespace rondo
