// The producer or a reader of a frame pool dies after each of its instructions, and the others go
// on each time. As record_readers_step_test.cpp: the victim is single-stepped once; whenever the
// memory has changed, a copy of it is judged.
//
// Reader 0 holds a frame through the whole story, alive, and its frame must stay as it is. Reader 1
// is the victim, where the producer is not. Reader 2 is the judge's own.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "process/stepper.hpp"
#include "support/frame_pool_fixture.hpp"
#include "support/processes.hpp"

namespace rondo::testing {
namespace {

constexpr FramePoolParams kParams{.frames = 5, .frame_bytes = 40, .readers = 3, .pins = 1};
constexpr std::uint32_t kHolder = 0;
constexpr std::uint32_t kVictim = 1;
constexpr std::uint32_t kJudge = 2;

// A pool in shared memory, and behind it what its users say of themselves.
class SharedPool {
 public:
  struct Log {
    std::uint64_t committed;  // frames whose commit had returned
    std::uint64_t held;       // the number of reader 0's frame
  };

  SharedPool() : size_(frame_pool::layout_for(kParams)->total_bytes) {
    void* memory = mmap(nullptr, size_ + kPartAlignment, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    base_ = static_cast<std::byte*>(memory);
    log_ = new (base_ + size_) Log{};
    parts_ = frame_pool::create({base_, size_}, kParams).value();
  }
  SharedPool(const SharedPool&) = delete;
  SharedPool& operator=(const SharedPool&) = delete;
  ~SharedPool() { munmap(base_, size_ + kPartAlignment); }

  [[nodiscard]] std::span<std::byte> memory() const { return {base_, size_ + kPartAlignment}; }
  [[nodiscard]] const FramePoolParts& parts() const { return parts_; }
  [[nodiscard]] Log& log() const { return *log_; }

 private:
  std::size_t size_;
  std::byte* base_;
  Log* log_ = nullptr;
  FramePoolParts parts_{};
};

void put_and_log(frame_pool::Producer& producer, const SharedPool& pool) {
  if (put_frame(producer)) pool.log().committed = producer.number();
}

// The frame that a pin names, as its holder sees it. Empty if all is well.
std::string look_at_pin(const SharedPool& pool, std::uint32_t reader, std::uint64_t number) {
  const FramePoolParts& parts = pool.parts();
  const std::uint64_t ticket = parts.reader(reader).pins[0].load(std::memory_order_relaxed);
  if (frame_ticket::number_of(ticket) != number) return "the pin is gone";
  const std::uint32_t f = frame_ticket::frame_of(ticket);
  const std::span<const std::byte> bytes(parts.frame(f), size_of_frame(number, parts.frame_bytes));
  return is_frame(bytes, number, parts.frame_bytes) ? "" : "a frame that is held was overwritten";
}

// What is wrong with the pool that a dead victim left; empty if nothing.
std::string judge(const SharedPool& pool) {
  const FramePoolParts& parts = pool.parts();
  const std::uint64_t committed = pool.log().committed;
  frame_pool::Producer producer(parts);
  if (producer.number() < committed) return "a published frame was lost";
  if (producer.number() > committed + 1) return "a frame that nobody published";
  // What the dead producer left: the newest at least, and each of them whole.
  frame_pool::Consumer late(parts, kJudge);
  frame_pool::Message mine;
  std::uint64_t seen = 0;
  while (late.try_next(mine) == ReadOutcome::kMessage) {
    if (!is_whole(mine, parts)) return "torn";
    seen = mine.number();
  }
  if (seen != producer.number()) return "the newest frame is not there";
  mine.release();
  // While the reader is not known yet to be dead.
  for (int i = 0; i < 3; ++i) {
    if (!put_frame(producer)) return "the producer is held back by a dead reader";
  }
  frame_pool::Consumer successor(parts, kVictim, FrameStart::kResume);
  if (successor.stats().last > producer.number()) return "the reader's account is ahead";
  frame_pool::Message theirs;
  while (successor.try_next(theirs) == ReadOutcome::kMessage) {
    if (!is_whole(theirs, parts)) return "torn after resuming";
  }
  theirs.release();
  if (late.try_newest(mine) != ReadOutcome::kMessage) return "the newest frame does not come";
  for (int i = 0; i < 12; ++i) {
    if (!put_frame(producer)) return "the producer finds no frame";
    if (late.try_next(mine) != ReadOutcome::kMessage || mine.number() != producer.number()) {
      return "a frame does not come";
    }
    if (!is_whole(mine, parts)) return "torn afterwards";
    if (successor.try_newest(theirs) != ReadOutcome::kMessage || !is_whole(theirs, parts)) {
      return "the successor does not read on";
    }
    for (const frame_pool::Consumer* reader : {&successor, &late}) {
      const FrameReaderStats& stats = reader->stats();
      if (stats.received + stats.lost != stats.last - stats.origin) return "miscounted";
    }
  }
  return look_at_pin(pool, kHolder, pool.log().held);
}

struct Outcome {
  std::uint64_t instructions = 0;
  std::uint64_t states = 0;
  std::uint64_t failures = 0;
  std::string first_failure;
};

using Act = std::function<void(const SharedPool&)>;

void tell(std::uint64_t before, std::uint64_t after, const Act& act, Outcome& outcome) {
  SharedPool pool;
  SharedPool copy;
  frame_pool::Producer producer(pool.parts());
  for (std::uint64_t i = 0; i < before; ++i) put_and_log(producer, pool);
  frame_pool::Consumer holder(pool.parts(), kHolder, FrameStart::kNewest);
  frame_pool::Message held;
  ASSERT_EQ(holder.try_newest(held), ReadOutcome::kMessage);
  pool.log().held = held.number();
  for (std::uint64_t i = 0; i < after; ++i) put_and_log(producer, pool);

  std::vector<std::byte> last(pool.memory().size());
  Stepper victim([&] {
    Stepper::begin();
    act(pool);
    Stepper::end();
  });
  do {
    if (std::memcmp(pool.memory().data(), last.data(), last.size()) == 0) continue;
    std::memcpy(last.data(), pool.memory().data(), last.size());
    std::memcpy(copy.memory().data(), last.data(), last.size());
    ++outcome.states;
    const std::string wrong = judge(copy);
    if (!wrong.empty() && outcome.failures++ == 0) {
      outcome.first_failure = wrong + " after instruction " + std::to_string(victim.steps()) +
                              ", " + std::to_string(before) + " frames on";
    }
  } while (victim.step());
  outcome.instructions += victim.steps();
  EXPECT_TRUE(victim.finished()) << "the victim did not come to its end";
}

Outcome tell_everywhere(const Act& act) {
  Outcome outcome;
  for (const std::uint64_t before : {1u, 7u}) {
    for (const std::uint64_t after : {1u, 3u, 6u}) tell(before, after, act, outcome);
  }
  std::printf("died after each of %llu instructions, %llu states: %llu failures\n",
              static_cast<unsigned long long>(outcome.instructions),
              static_cast<unsigned long long>(outcome.states),
              static_cast<unsigned long long>(outcome.failures));
  return outcome;
}

void publish_some(const SharedPool& pool) {
  frame_pool::Producer producer(pool.parts());
  for (int i = 0; i < 8; ++i) put_and_log(producer, pool);
}
// Takes the oldest frame without a look at the pins.
void publish_over_pins(const SharedPool& pool) {
  frame_pool::Producer producer(pool.parts());
  for (int i = 0; i < 8; ++i) {
    std::uint32_t oldest = 0;
    for (std::uint32_t f = 1; f < kParams.frames; ++f) {
      const auto& states = pool.parts().producer->states;
      // relaxed: ours alone.
      if (states[f].load(std::memory_order_relaxed) >> frame_ticket::kFrameBits <
          states[oldest].load(std::memory_order_relaxed) >> frame_ticket::kFrameBits) {
        oldest = f;
      }
    }
    pool.parts().producer->states[oldest].store(0, std::memory_order_relaxed);
    put_and_log(producer, pool);
  }
}
// Counts a frame before it is written.
void count_first(const SharedPool& pool) {
  frame_pool::Producer producer(pool.parts());
  for (int i = 0; i < 2; ++i) {
    const std::span bytes(producer.try_reserve(), pool.parts().frame_bytes);
    const std::uint64_t n = producer.number() + 1;
    producer.commit(size_of_frame(n, bytes.size()));
    write_frame(bytes, n);
    pool.log().committed = n;
  }
}
void read_some(const SharedPool& pool) {
  frame_pool::Consumer reader(pool.parts(), kVictim);
  frame_pool::Message frame;
  for (int i = 0; i < 3; ++i) {
    if (reader.try_next(frame) != ReadOutcome::kMessage) break;
  }
  static_cast<void>(reader.try_newest(frame));
}

class FramePoolSteps : public Watchdog {};

TEST_F(FramePoolSteps, AProducerMayDieAfterAnyInstruction) {
  const Outcome outcome = tell_everywhere(publish_some);
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  EXPECT_GT(outcome.states, 500u);
}
TEST_F(FramePoolSteps, AReaderMayDieAfterAnyInstruction) {
  const Outcome outcome = tell_everywhere(read_some);
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  EXPECT_GT(outcome.states, 50u);
}
TEST_F(FramePoolSteps, AProducerThatDoesNotLookAtThePinsIsCaught) {
  EXPECT_GT(tell_everywhere(publish_over_pins).failures, 0u);
}
TEST_F(FramePoolSteps, AProducerThatCountsBeforeItWritesIsCaught) {
  EXPECT_GT(tell_everywhere(count_first).failures, 0u);
}

}  // namespace
}  // namespace rondo::testing
