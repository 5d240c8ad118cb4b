// One producer and several readers of a frame pool, each a process of its own that may be killed,
// stopped or hostile, while the others check every byte and every count. Used by a short test and
// by a soak.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "rondo/core/participants.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/segment_header.hpp"
#include "support/frame_pool_fixture.hpp"
#include "support/processes.hpp"

namespace rondo::testing {

// What a reader found wrong; 0: nothing.
enum WrongFrame : std::uint64_t {
  kNoneWrong,
  kNotLetIn,
  kTornFrame,
  kOverwrittenFrame,
  kMiscountedFrames,
  kCorruptPool
};

// A pool in a segment, with participants as they are in earnest, and what each process says.
class LivePool {
 public:
  struct Log {
    std::atomic<std::uint64_t> committed;
    std::array<std::atomic<std::uint64_t>, kMaxFrameReaders> wrong;
    std::array<std::atomic<std::uint64_t>, kMaxFrameReaders> got;
  };

  explicit LivePool(const FramePoolParams& params)
      : segment_(Segment::create({Backing::kMemfd, {}},
                                 frame_pool::layout_for(params).value().total_bytes, {},
                                 [&](std::span<std::byte> memory) -> Result<void> {
                                   const auto made = frame_pool::create(memory, params);
                                   if (!made) return made.error();
                                   return {};
                                 })
                     .value()),
        parts_(frame_pool::attach(segment_.bytes()).value()) {}

  [[nodiscard]] const FramePoolParts& parts() const { return parts_; }
  [[nodiscard]] Log& log() const { return *log_; }
  [[nodiscard]] Participants participants() const {
    return Participants::open(
               segment_, check_header(segment_.bytes(), RingKind::kFramePool, "the pool").value())
        .value();
  }
  [[nodiscard]] std::uint64_t first_wrong() const {
    for (const auto& wrong : log_->wrong) {
      if (wrong != kNoneWrong) return wrong;
    }
    return kNoneWrong;
  }

 private:
  Segment segment_;
  FramePoolParts parts_;
  Shared<Log> log_;
};

// Takes the slot of reader i, as a successor does it.
inline bool take_reader_slot(const LivePool& pool, Participants& participants, std::uint32_t i) {
  const auto clear = [&](std::uint32_t) {
    clear_pins(pool.parts(), i);
    return true;
  };
  for (;;) {
    const auto joined = participants.join(
        {.first_slot = frame_pool::kFirstReaderSlot + i, .role = Role::kConsumer}, clear);
    if (joined) return true;
    // The recoverer of what was held in this slot has its lock for a moment.
    if (joined.error().code != ErrorCode::kBusy) return false;
    sched_yield();
  }
}

// Reads until killed, holds frames for a while, and checks each of them when it comes and before it
// goes.
inline int read_frames_until_killed(const LivePool& pool, std::uint32_t i, std::uint32_t seed) {
  std::mt19937 random(seed + i);
  const auto fail = [&](WrongFrame wrong) {
    pool.log().wrong[i] = wrong;
    return 1;
  };
  Participants participants = pool.participants();
  if (!take_reader_slot(pool, participants, i)) return fail(kNotLetIn);
  frame_pool::Consumer reader(pool.parts(), i, FrameStart::kResume);
  std::vector<frame_pool::Message> held(pool.parts().pin_count);
  std::uint64_t last = reader.stats().last;
  std::uint64_t lost = reader.stats().lost;
  for (;;) {
    frame_pool::Message& frame = held[random() % held.size()];
    if (frame && !is_whole(frame, pool.parts())) return fail(kOverwrittenFrame);
    const auto read = random() % 4 == 0 ? reader.try_newest(frame) : reader.try_next(frame);
    if (read == ReadOutcome::kCorrupt) return fail(kCorruptPool);
    if (read == ReadOutcome::kMessage) {
      if (!is_whole(frame, pool.parts())) return fail(kTornFrame);
      const FrameReaderStats& stats = reader.stats();
      if (frame.number() - last - 1 != stats.lost - lost ||
          stats.received + stats.lost != stats.last - stats.origin) {
        return fail(kMiscountedFrames);
      }
      last = frame.number();
      lost = stats.lost;
      pool.log().got[i].fetch_add(1);
    }
    const auto drawn = static_cast<unsigned>(random());
    if (drawn % 256 == 0) usleep(drawn / 256 % 300);
    if (drawn % 16 == 1) sched_yield();
  }
}

inline bool put_and_count(frame_pool::Producer& producer, const LivePool& pool) {
  if (!put_frame(producer)) return false;
  pool.log().committed = producer.number();
  return true;
}

// Readers are killed at random, with frames in their hands, and replaced only later, while this
// process publishes into a pool that has too few frames to do without what the dead ones hold.
inline void kill_frame_readers(unsigned kills, std::uint32_t seed, std::uint32_t readers,
                               std::uint32_t pins) {
  SCOPED_TRACE("seed " + std::to_string(seed) + ", " + std::to_string(readers) + " readers");
  std::mt19937 random(seed);
  const LivePool pool(
      {.frames = readers * pins + 1, .frame_bytes = 1500, .readers = readers, .pins = pins});
  Participants participants = pool.participants();
  frame_pool::Producer producer(pool.parts());
  std::vector<std::unique_ptr<Child>> children(readers);
  const auto start = [&](std::uint32_t i) {
    pool.log().got[i] = 0;
    const auto drawn = static_cast<std::uint32_t>(random());
    children[i] = std::make_unique<Child>(
        [&pool, i, drawn] { return read_frames_until_killed(pool, i, drawn); });
  };
  for (std::uint32_t i = 0; i < readers; ++i) start(i);
  unsigned held_by_the_dead = 0;
  for (unsigned killed = 0; killed < kills;) {
    for (int burst = 0; burst < 300; ++burst) {
      if (put_and_count(producer, pool)) continue;
      static_cast<void>(recover_dead_readers(pool.parts(), participants));
      sched_yield();
    }
    const std::uint64_t wrong = pool.first_wrong();
    ASSERT_EQ(wrong, kNoneWrong);
    const auto i = static_cast<std::uint32_t>(random() % readers);
    if (children[i] != nullptr && pool.log().got[i] != 0) {
      children[i].reset();  // SIGKILL, and waits for it
      ++killed;
      for_each_held(pool.parts(), [&](const HeldFrame& frame) {
        if (frame.reader == i) ++held_by_the_dead;
      });
    } else if (children[i] == nullptr) {
      start(i);
    }
  }
  children.clear();
  // All are dead now: whatever they hold, the producer gets it back.
  static_cast<void>(recover_dead_readers(pool.parts(), participants));
  for (std::uint32_t i = 0; i < 2 * pool.parts().frame_count; ++i) {
    ASSERT_TRUE(put_and_count(producer, pool));
  }
  EXPECT_GT(held_by_the_dead, 0u) << "no reader died with a frame in its hands";
}

// Producers killed at random; readers go on with the successor, and find all that was counted.
inline void kill_frame_producers(unsigned kills, std::uint32_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  constexpr std::uint32_t kReaders = 2;
  const LivePool pool({.frames = 5, .frame_bytes = 1500, .readers = kReaders, .pins = 2});
  std::vector<std::unique_ptr<Child>> children;
  for (std::uint32_t i = 0; i < kReaders; ++i) {
    children.push_back(std::make_unique<Child>(
        [&pool, i, seed] { return read_frames_until_killed(pool, i, seed); }));
  }
  for (unsigned killed = 0; killed < kills; ++killed) {
    const std::uint64_t committed = pool.log().committed;
    const std::uint64_t enough = committed + 1 + random() % 100;
    const Child producer([&] {
      frame_pool::Producer mine(pool.parts());
      if (mine.number() < committed || mine.number() > committed + 1) {
        pool.log().wrong[kReaders] = kMiscountedFrames;
        return 1;
      }
      for (;;) {
        if (!put_and_count(mine, pool)) sched_yield();
      }
    });
    while (pool.log().committed < enough && pool.first_wrong() == kNoneWrong) sched_yield();
    const std::uint64_t wrong = pool.first_wrong();
    ASSERT_EQ(wrong, kNoneWrong);
  }  // SIGKILL, and waits for it
  for (std::uint32_t i = 0; i < kReaders; ++i) EXPECT_GT(pool.log().got[i], 0u) << i;
}

}  // namespace rondo::testing
