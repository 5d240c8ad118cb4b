// The frame pool under every reordering that the C++ memory model allows of its loads. Built with
// RONDO_ATOMIC_HEADER=support/weak_atomic.hpp.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <vector>

#include "support/frame_pool_fixture.hpp"
#include "support/weak_memory.hpp"

namespace rondo {
namespace {

using testing::FramePoolFixture;

constexpr std::uint64_t kExecutions = 400;

std::uint64_t first_seed() {
  const char* given = std::getenv("RONDO_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

// A frame of one word, which tells which frame it is.
Atomic<std::uint64_t>& word_of(const std::byte* bytes) {
  return *reinterpret_cast<Atomic<std::uint64_t>*>(const_cast<std::byte*>(bytes));
}
bool put_word(frame_pool::Producer& producer) {
  std::byte* const bytes = producer.try_reserve();
  if (bytes == nullptr) return false;
  // relaxed, here and below: the pool must order it.
  word_of(bytes).store(1000 + producer.number() + 1, std::memory_order_relaxed);
  producer.commit(8);
  return true;
}

struct Flow {
  std::uint32_t readers = 2;
  std::uint32_t pins = 1;
  std::uint64_t frames_sent = 14;
  bool newest_only = false;
  std::uint64_t producers = 1;  // one after the other
};

// Readers hold each frame for a while, and look at it again and again. Adds the frames they got to
// `received`, those they lost to `lost`; what was wrong, or nothing.
const char* run(const Flow& flow, std::uint64_t seed, std::uint64_t& received,
                std::uint64_t& lost) {
  const char* wrong = nullptr;
  // So many that the producer never has to wait.
  FramePoolFixture pool({.frames = flow.readers * flow.pins + 2,
                         .frame_bytes = 8,
                         .readers = flow.readers,
                         .pins = flow.pins});
  weak::Execution execution(seed);
  Atomic<std::uint64_t> turn(0);
  std::vector<std::function<void()>> bodies;
  for (std::uint64_t mine = 0; mine < flow.producers; ++mine) {
    bodies.emplace_back([&, mine] {
      // acquire: the kernel's lock, which a successor of the producer takes, orders the two.
      while (turn.load(std::memory_order_acquire) != mine) {
      }
      frame_pool::Producer producer(pool.parts);
      const std::uint64_t upto = flow.frames_sent * (mine + 1) / flow.producers;
      while (producer.number() < upto && wrong == nullptr) {
        if (!put_word(producer)) wrong = "the producer found no frame";
      }
      // Dies with a frame claimed.
      if (mine + 1 < flow.producers && producer.try_reserve() != nullptr) {
        word_of(producer.try_reserve()).store(1, std::memory_order_relaxed);
      }
      if (mine + 1 == flow.producers) producer.close();
      turn.store(mine + 1, std::memory_order_release);
    });
  }
  for (std::uint32_t i = 0; i < flow.readers; ++i) {
    bodies.emplace_back([&, i] {
      frame_pool::Consumer reader(pool.parts, i);
      std::vector<frame_pool::Message> held(flow.pins);
      for (std::size_t at = 0; wrong == nullptr; at = (at + 1) % flow.pins) {
        const auto read =
            flow.newest_only ? reader.try_newest(held[at]) : reader.try_next(held[at]);
        if (read == ReadOutcome::kEnd) break;
        if (read == ReadOutcome::kCorrupt) wrong = "corrupt";
        if (read == ReadOutcome::kContended) wrong = "busy";
        if (read == ReadOutcome::kNoPin) wrong = "no pin";
        for (auto looks = execution.random()() % 8 + 1; looks > 0; --looks) {
          for (const frame_pool::Message& frame : held) {
            if (!frame) continue;
            const std::uint64_t word =
                word_of(frame.bytes().data()).load(std::memory_order_relaxed);
            if (word < 1000 + frame.number()) wrong = "not written yet";
            if (word > 1000 + frame.number()) wrong = "overwritten";
          }
        }
      }
      const FrameReaderStats& stats = reader.stats();
      if (stats.received + stats.lost != stats.last - stats.origin) wrong = "miscounted";
      if (wrong == nullptr && stats.last != flow.frames_sent) wrong = "not read to the end";
      received += stats.received;
      lost += stats.lost;
    });
  }
  execution.run(std::move(bodies));
  return wrong;
}

void never_wrong(const Flow& flow) {
  std::uint64_t received = 0;
  std::uint64_t lost = 0;
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    const char* wrong = run(flow, seed, received, lost);
    ASSERT_EQ(wrong, nullptr) << wrong << ", RONDO_SEED=" << seed;
  }
  // Both happened often enough to tell something.
  EXPECT_GT(received, kExecutions);
  EXPECT_GT(lost, kExecutions / 4);
}

TEST(FramePoolWeak, AFrameThatIsHeldStaysAsItIs) { never_wrong({}); }
TEST(FramePoolWeak, ReadersOfTheNewestAlone) { never_wrong({.newest_only = true}); }
TEST(FramePoolWeak, SeveralPinsForEach) { never_wrong({.pins = 2}); }
TEST(FramePoolWeak, ProducersFollowEachOther) { never_wrong({.producers = 4}); }

// The end is the first that a reader sees of the stream.
TEST(FramePoolWeak, WhatCameBeforeTheEndIsThere) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    FramePoolFixture pool({.frames = 2, .frame_bytes = 8});
    const char* wrong = nullptr;
    weak::Execution execution(seed);
    execution.run({[&] {
                     frame_pool::Producer producer(pool.parts);
                     put_word(producer);
                     producer.close();
                   },
                   [&] {
                     frame_pool::Consumer reader(pool.parts, 0);
                     frame_pool::Message frame;
                     while (reader.try_next(frame) == ReadOutcome::kEmpty) {
                     }
                     if (!frame || frame.bytes().size() != 8) {
                       wrong = "no frame";
                     } else if (word_of(frame.bytes().data()).load(std::memory_order_relaxed) !=
                                1001) {
                       wrong = "not written yet";
                     }
                   }});
    ASSERT_EQ(wrong, nullptr) << wrong << ", RONDO_SEED=" << seed;
  }
}

}  // namespace
}  // namespace rondo
