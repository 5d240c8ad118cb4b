// A reader that is not waited for, under every reordering that the C++ memory model allows: what it
// takes for whole must be. For record_ring_weak_test.cpp and record_readers_weak_test.cpp, which
// hold the two ends of this pair of fences.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>

#include "support/readers_fixture.hpp"
#include "support/weak_memory.hpp"

namespace rondo::testing {

inline Atomic<std::uint64_t>& weak_word(const std::byte* bytes) {
  return *reinterpret_cast<Atomic<std::uint64_t>*>(const_cast<std::byte*>(bytes));
}
// A record of one word that tells which record it is.
inline bool put_weak_word(record_ring::Producer& producer) {
  std::byte* bytes = producer.try_reserve(8);
  if (bytes == nullptr) return false;
  // relaxed: the ring must order it.
  weak_word(bytes).store(1000 + producer.sequence(), std::memory_order_relaxed);
  producer.commit(8);
  return true;
}

inline void a_lossy_reader_takes_no_torn_record_for_whole(std::uint64_t first_seed,
                                                          std::uint64_t executions) {
  std::uint64_t received = 0;
  std::uint64_t lost = 0;
  for (std::uint64_t seed = first_seed; seed < first_seed + executions; ++seed) {
    // Two records to a chunk: the second one's space is taken back by the same store.
    ReadersFixture ring(256, 2);
    auto producer = ring.producer();
    auto reader = ring.join(0, ReaderPolicy::kLossy);
    constexpr std::uint64_t kRecords = 40;
    const char* wrong = nullptr;
    Atomic<std::uint64_t> nothing(0);
    weak::Execution execution(seed);
    execution.run({[&] {
                     for (std::uint64_t i = 0; i < kRecords; ++i) {
                       if (!put_weak_word(producer))
                         wrong = "a ring without reliable readers is full";
                     }
                   },
                   [&] {
                     while (reader.sequence() < kRecords && wrong == nullptr) {
                       const ReadOutcome state = reader.try_peek();
                       if (state == ReadOutcome::kEmpty || state == ReadOutcome::kLost) continue;
                       if (state != ReadOutcome::kMessage) {
                         wrong = "corrupt";
                         break;
                       }
                       // Now and then the producer gets on meanwhile. relaxed: as above.
                       for (auto pause = execution.random()() % 512; pause > 256; --pause) {
                         static_cast<void>(nothing.load(std::memory_order_relaxed));
                       }
                       const std::uint64_t word =
                           weak_word(reader.data()).load(std::memory_order_relaxed);
                       if (reader.intact() && word != 1000 + reader.sequence()) wrong = "torn";
                       reader.give_back();
                     }
                   }});
    ASSERT_EQ(wrong, nullptr) << wrong << ", RONDO_SEED=" << seed;
    ASSERT_EQ(reader.received() + reader.lost(), kRecords);
    received += reader.received();
    lost += reader.lost();
  }
  // Both happened often enough to tell something.
  EXPECT_GT(received, executions);
  EXPECT_GT(lost, executions);
}

}  // namespace rondo::testing
