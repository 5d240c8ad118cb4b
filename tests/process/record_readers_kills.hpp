// One producer and several readers of a record ring, each a process of its own that may be killed,
// stopped for a moment, or hostile, while the others check every byte and every count. Used by a
// short test and by a soak.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "process/record_ring_kills.hpp"

namespace rondo::testing {

// What a reader found wrong; 0: nothing.
enum Wrong : std::uint64_t { kNothingWrong, kNoRing, kTorn, kMiscounted, kLostThoughReliable };

class ReadersRing {
 public:
  struct Log {
    std::atomic<std::uint64_t> committed;
    std::array<std::atomic<std::uint64_t>, kMaxReaders> wrong;
    std::array<std::atomic<std::uint64_t>, kMaxReaders> read;  // records of it read whole
    std::array<std::atomic<std::uint64_t>, kMaxReaders> lost;
  };

  ReadersRing(std::uint64_t capacity, std::uint32_t readers)
      : params_{capacity, readers}, size_(record_ring::layout_for(params_).value().total_bytes) {
    void* memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<std::byte*>(memory);
    if (!record_ring::create(bytes(), params_)) throw std::bad_alloc();
  }
  ReadersRing(const ReadersRing&) = delete;
  ~ReadersRing() { munmap(base_, size_); }

  [[nodiscard]] std::span<std::byte> bytes() const { return {base_, size_}; }
  [[nodiscard]] RecordParts parts() const { return record_ring::attach(bytes()).value(); }
  [[nodiscard]] Log& log() const { return *log_; }

 private:
  RecordParams params_;
  std::size_t size_;
  std::byte* base_;
  Shared<Log> log_;
};

// Whether a reader asks for intact() before it believes what it read. One that does not has to be
// caught by these tests.
enum class Care { kTaken, kNot };

// Reads until killed, sleeping now and then at each step of its read, and checks every byte and
// every count.
inline int read_until_killed(const ReadersRing& ring, std::uint32_t i, ReaderPolicy policy,
                             std::uint32_t seed, Care care = Care::kTaken) {
  std::mt19937 random(seed + i);
  const auto pause = [&] {
    const auto drawn = static_cast<unsigned>(random());
    if (drawn % 1024 == 0) usleep(drawn / 1024 % 300);
    if (drawn % 64 == 1) sched_yield();
  };
  const auto fail = [&](Wrong wrong) {
    ring.log().wrong[i] = wrong;
    return 1;
  };
  auto reader = record_ring::Consumer::join(
      ring.parts().of_reader(i),
      {.policy = policy,
       .after_loss = random() % 2 == 0 ? ReaderStart::kOldest : ReaderStart::kNewest,
       .name = "reader " + std::to_string(i)});
  if (!reader) return fail(kNoRing);
  std::uint64_t next = reader->sequence();
  std::uint64_t lost = reader->lost();
  std::vector<std::byte> copy;
  for (;;) {
    pause();
    const ReadOutcome state = reader->try_peek();
    // What it lost is how far it jumped, exactly.
    next += reader->lost() - lost;
    lost = reader->lost();
    ring.log().lost[i] = lost;
    if (next != reader->sequence()) return fail(kMiscounted);
    if (policy == ReaderPolicy::kReliable && !reader->evicted() && state == ReadOutcome::kLost) {
      return fail(kLostThoughReliable);
    }
    if (state == ReadOutcome::kCorrupt) return fail(kTorn);
    if (state == ReadOutcome::kEmpty) sched_yield();
    if (state != ReadOutcome::kMessage) continue;
    pause();
    copy.assign(reader->data(), reader->data() + reader->size());
    pause();
    const bool whole = care == Care::kNot || reader->intact();
    if (whole) {
      if (!is_record(copy.data(), copy.size(), next)) return fail(kTorn);
      ++next;
      ring.log().read[i].fetch_add(1);
    }
    pause();
    // What was whole when we looked may be overwritten by now: then it counts as lost after all.
    const std::uint64_t sequence = reader->sequence();
    reader->give_back();
    if (reader->sequence() == sequence && whole) --next;
  }
}

inline bool put_record(record_ring::Producer& producer, const ReadersRing& ring) {
  const std::uint64_t i = producer.sequence();
  std::byte* bytes = producer.try_reserve(size_of_record(i));
  if (bytes == nullptr) return false;
  write_record(bytes, i);
  producer.commit(size_of_record(i));
  ring.log().committed = producer.sequence();
  return true;
}

// Readers of all policies, killed at random and replaced under their names, while this process
// sends at full speed and waits for the living reliable ones alone.
inline void kill_readers(unsigned kills, std::uint32_t seed, std::uint32_t readers) {
  SCOPED_TRACE("seed " + std::to_string(seed) + ", " + std::to_string(readers) + " readers");
  std::mt19937 random(seed);
  ReadersRing ring(16384, readers);
  auto producer = record_ring::Producer::attach(ring.parts()).value();
  const auto policy = [](std::uint32_t i) { return static_cast<ReaderPolicy>(1 + i % 3); };
  std::vector<std::unique_ptr<Child>> children(readers);
  const auto start = [&](std::uint32_t i) {
    const auto drawn = static_cast<std::uint32_t>(random());
    children[i] = std::make_unique<Child>(
        [&ring, i, p = policy(i), drawn] { return read_until_killed(ring, i, p, drawn); });
  };
  for (std::uint32_t i = 0; i < readers; ++i) start(i);
  for (unsigned killed = 0; killed < kills;) {
    for (int burst = 0; burst < 2000; ++burst) {
      if (!put_record(producer, ring)) {
        ASSERT_TRUE(producer.gating_reader()) << "full, and nobody to wait for";
        sched_yield();
      }
    }
    const auto i = static_cast<std::uint32_t>(random() % readers);
    const std::uint64_t read = ring.log().read[i];
    if (read == 0) continue;  // it has not come far enough
    children[i].reset();      // SIGKILL, and waits for it
    ++killed;
    if (policy(i) == ReaderPolicy::kReliable) producer.evict(i);  // its death is proved
    ring.log().read[i] = 0;
    start(i);
    for (std::uint32_t other = 0; other < readers; ++other) {
      ASSERT_EQ(ring.log().wrong[other], kNothingWrong) << "reader " << other;
    }
  }
  std::uint64_t lost = 0;
  for (std::uint32_t i = 0; i < readers; ++i) {
    ASSERT_EQ(ring.log().wrong[i], kNothingWrong) << "reader " << i;
    lost += ring.log().lost[i];
  }
  EXPECT_GT(lost, 0u) << "nobody was overrun";
}

// Producers killed at random; readers of all policies go on with the successor.
inline void kill_producers_of_readers(unsigned kills, std::uint32_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  constexpr std::uint32_t kReaders = 3;
  ReadersRing ring(4096, kReaders);
  std::vector<std::unique_ptr<Child>> children;
  for (std::uint32_t i = 0; i < kReaders; ++i) {
    children.push_back(std::make_unique<Child>([&ring, i, seed] {
      return read_until_killed(ring, i, static_cast<ReaderPolicy>(1 + i), seed);
    }));
  }
  for (unsigned killed = 0; killed < kills; ++killed) {
    const std::uint64_t committed = ring.log().committed;
    const std::uint64_t enough = committed + random() % 400;
    const Child producer([&] {
      auto mine = record_ring::Producer::attach(ring.parts());
      if (!mine || mine->sequence() < committed) {
        ring.log().wrong[0] = kNoRing;
        return 1;
      }
      for (;;) {
        if (!put_record(*mine, ring)) sched_yield();
      }
    });
    while (ring.log().committed <= enough && ring.log().wrong[0] == kNothingWrong) sched_yield();
    random_moment(random);
    for (const auto& wrong : ring.log().wrong) ASSERT_EQ(wrong, kNothingWrong);
  }  // SIGKILL, and waits for it
  for (std::uint32_t i = 0; i < kReaders; ++i) EXPECT_GT(ring.log().read[i], 0u) << i;
}

// A reader scribbles over every byte that it may write, its own part, while two others check what
// they get, and the producer must neither stop nor go wrong.
inline void scribble(std::uint64_t records, std::uint32_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  ReadersRing ring(4096, 3);
  auto producer = record_ring::Producer::attach(ring.parts()).value();
  const Child reliable([&] { return read_until_killed(ring, 0, ReaderPolicy::kReliable, seed); });
  const Child lossy([&] { return read_until_killed(ring, 1, ReaderPolicy::kLossy, seed); });
  const Child hostile([&]() -> int {
    std::mt19937_64 random(seed);
    RecordConsumerPart& part = ring.parts().consumer_at(2);
    auto* words = reinterpret_cast<std::atomic<std::uint64_t>*>(&part);
    for (;;) {
      const std::uint64_t drawn = random();
      std::uint64_t word = random();
      if (drawn % 4 == 0) word = reader_state::next(word, ReaderPolicy::kReliable);
      if (drawn % 4 == 1) word = (ring.log().committed * 100 + word % 8192) & ~std::uint64_t{7};
      const std::size_t at = drawn % 8 < 6 ? drawn / 8 % 2 : drawn / 8 % (sizeof part / 8);
      words[at].store(word, std::memory_order_relaxed);
    }
  });
  // Once the honest ones are there.
  for (const std::uint32_t i : {0u, 1u}) {
    while (ring.parts().consumer_at(i).state.load(std::memory_order_acquire) == 0) sched_yield();
  }
  for (std::uint64_t full = 0; producer.sequence() < records;) {
    if (put_record(producer, ring)) {
      full = 0;
      continue;
    }
    sched_yield();
    ASSERT_NE(producer.outcome(), ClaimOutcome::kCorrupt);
    // A hostile reader may stand still, as any slow one may; the policy for slow ones helps.
    const auto held = producer.gating_reader();
    if (++full > 1000 && held && held->reader == 2) producer.evict(2);
  }
  ASSERT_EQ(ring.log().wrong[0], kNothingWrong);
  ASSERT_EQ(ring.log().wrong[1], kNothingWrong);
  EXPECT_GT(ring.log().read[0], records / 2);
}

}  // namespace rondo::testing
