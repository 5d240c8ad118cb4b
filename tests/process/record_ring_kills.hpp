// Kills one side of a record ring at random instants, replaces it, and lets the other side check
// every byte. Used by a short test and by a soak.
#pragma once

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <optional>
#include <random>
#include <string>

#include "rondo/core/record_ring.hpp"
#include "support/processes.hpp"

namespace rondo::testing {

// A ring in memory that survives the processes which use it, and what each side says of itself.
class SharedRing {
 public:
  struct Log {
    std::atomic<std::uint64_t> begun;      // records whose commit was begun
    std::atomic<std::uint64_t> committed;  // records whose commit had returned
    std::atomic<std::uint64_t> read;       // records read and checked
    std::atomic<std::uint64_t> wrong;      // what a child found wrong; 0: nothing
  };

  explicit SharedRing(std::uint64_t capacity)
      : layout_(record_ring::layout_for({capacity}).value()), size_(layout_.total_bytes + 4096) {
    void* memory = mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    base_ = static_cast<std::byte*>(memory);
    log_ = new (base_ + layout_.total_bytes) Log{};
    if (!record_ring::create(bytes(), {capacity})) throw std::bad_alloc();
  }
  SharedRing(const SharedRing&) = delete;
  ~SharedRing() { munmap(base_, size_); }

  [[nodiscard]] std::span<std::byte> bytes() const { return {base_, layout_.total_bytes}; }
  // The ring and the log.
  [[nodiscard]] std::span<std::byte> memory() const { return {base_, size_}; }
  [[nodiscard]] RecordParts parts() const { return record_ring::attach(bytes()).value(); }
  [[nodiscard]] Log& log() const { return *log_; }

 private:
  RecordLayout layout_;
  std::size_t size_;
  std::byte* base_;
  Log* log_;
};

// Record i: its number, then bytes that follow from it, 8 to 207 in all.
inline std::size_t size_of_record(std::uint64_t i) { return 8 + i * 37 % 200; }
inline void write_record(std::byte* bytes, std::uint64_t i) {
  std::memcpy(bytes, &i, sizeof i);
  for (std::size_t at = sizeof i; at < size_of_record(i); ++at) {
    bytes[at] = static_cast<std::byte>(i * 31 + at);
  }
}
inline bool is_record(const std::byte* bytes, std::size_t size, std::uint64_t i) {
  std::uint64_t number;
  if (size != size_of_record(i)) return false;
  std::memcpy(&number, bytes, sizeof number);
  if (number != i) return false;
  for (std::size_t at = sizeof i; at < size; ++at) {
    if (bytes[at] != static_cast<std::byte>(i * 31 + at)) return false;
  }
  return true;
}

// A moment that ends anywhere in the other process's work.
inline void random_moment(std::mt19937& random) {
  const auto drawn = static_cast<unsigned>(random());
  const unsigned kind = drawn % 4;
  if (kind == 0) usleep(drawn / 4 % 1500);
  const unsigned spins = drawn / 4 % (kind == 1 ? 20 : 20000);
  for (unsigned i = 0; i < spins; ++i) cpu_relax();
}

// Writes until killed: single records, claims that are forgotten, and batches.
inline int produce_until_killed(const SharedRing& ring) {
  // So that it goes back early, and leaps when the reader is behind (early_wrap.hpp).
  auto producer = record_ring::Producer::attach(ring.parts(), 1024);
  if (!producer) {
    ring.log().wrong = 1;
    return 1;
  }
  const auto put = [&](std::uint64_t i) {
    std::byte* bytes = producer->try_reserve(size_of_record(i));
    if (bytes == nullptr) return false;
    write_record(bytes, i);
    producer->commit(size_of_record(i));
    return true;
  };
  for (;;) {
    const std::uint64_t i = producer->sequence();
    if (producer->outcome() == ClaimOutcome::kCorrupt) ring.log().wrong = 2;
    if (i % 16 == 3) {
      ring.log().begun = i + 3;
      producer->begin_batch();
      if (put(i) && put(i + 1) && put(i + 2)) {
        producer->end_batch();
      } else {
        producer->abandon_batch();
      }
    } else {
      if (i % 7 == 0) (void)producer->try_reserve(40);
      ring.log().begun = i + 1;
      if (!put(i)) sched_yield();
    }
    ring.log().committed = producer->sequence();
  }
}

// Reads until killed, and checks every byte.
inline int consume_until_killed(const SharedRing& ring, Acknowledge acknowledge) {
  auto consumer = record_ring::Consumer::attach(ring.parts(), acknowledge);
  if (!consumer) {
    ring.log().wrong = 3;
    return 1;
  }
  const std::uint64_t read_before = ring.log().read;
  // Everything that was read and not given back comes again; nothing is passed over.
  if (consumer->sequence() > read_before) ring.log().wrong = 4;
  if (acknowledge == Acknowledge::kEagerly && read_before - consumer->sequence() > 1) {
    ring.log().wrong = 5;
  }
  for (;;) {
    const ReadOutcome state = consumer->try_peek();
    if (state == ReadOutcome::kEmpty) {
      sched_yield();
      continue;
    }
    if (state != ReadOutcome::kMessage ||
        !is_record(consumer->data(), consumer->size(), consumer->sequence())) {
      ring.log().wrong = 6;
      return 1;
    }
    const std::uint64_t through = consumer->sequence() + 1;
    consumer->give_back();
    // After the giving back: a kill in between makes `read` one too small, and 5 above allows it.
    if (through > ring.log().read) ring.log().read = through;
  }
}

// Kills `kills` producers; this process reads, and knows what each of them had committed.
inline void kill_producers(unsigned kills, std::uint32_t seed) {
  std::mt19937 random(seed);
  SharedRing ring(4096);
  auto consumer = record_ring::Consumer::attach(ring.parts()).value();
  for (unsigned killed = 0; killed < kills; ++killed) {
    SCOPED_TRACE("seed " + std::to_string(seed) + ", kill " + std::to_string(killed));
    std::optional<Child> child(std::in_place, [&] { return produce_until_killed(ring); });
    auto countdown = static_cast<unsigned>(random() % 3000);
    for (;;) {
      const ReadOutcome state = consumer.try_peek();
      if (state == ReadOutcome::kMessage) {
        ASSERT_TRUE(is_record(consumer.data(), consumer.size(), consumer.sequence()))
            << "torn, lost or doubled at " << consumer.sequence();
        consumer.give_back();
      } else {
        ASSERT_EQ(state, ReadOutcome::kEmpty);
        if (!child) break;
        // Half of the producers are killed against a full ring, half while they run free.
        if (killed % 2 == 0) random_moment(random);
      }
      if (child && (countdown-- == 0 || state == ReadOutcome::kEmpty) && random() % 8 == 0) {
        random_moment(random);
        child.reset();  // SIGKILL, and waits for it
      }
    }
    ASSERT_EQ(ring.log().wrong, 0u);
    ASSERT_GE(consumer.sequence(), ring.log().committed) << "a committed record was lost";
    ASSERT_LE(consumer.sequence(), ring.log().begun) << "a record that nobody wrote";
  }
  ASSERT_GT(consumer.sequence(), kills) << "the producers hardly ran";
}

// Kills `kills` consumers; this process writes.
inline void kill_consumers(unsigned kills, std::uint32_t seed, Acknowledge acknowledge) {
  std::mt19937 random(seed);
  SharedRing ring(4096);
  auto producer = record_ring::Producer::attach(ring.parts()).value();
  for (unsigned killed = 0; killed < kills; ++killed) {
    SCOPED_TRACE("seed " + std::to_string(seed) + ", kill " + std::to_string(killed));
    const std::uint64_t read_before = ring.log().read;
    const Child child([&] { return consume_until_killed(ring, acknowledge); });
    // Every successor has to get on: killed once it has read some.
    const std::uint64_t enough = read_before + random() % 400;
    while (ring.log().read <= enough && ring.log().wrong == 0) {
      const std::uint64_t i = producer.sequence();
      if (std::byte* bytes = producer.try_reserve(size_of_record(i))) {
        write_record(bytes, i);
        producer.commit(size_of_record(i));
      } else {
        sched_yield();
      }
      ASSERT_NE(producer.outcome(), ClaimOutcome::kCorrupt);
    }
    random_moment(random);
    ASSERT_EQ(ring.log().wrong, 0u);
  }  // SIGKILL, and waits for it
  ASSERT_EQ(ring.log().wrong, 0u);
}

}  // namespace rondo::testing
