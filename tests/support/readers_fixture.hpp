// A record ring with several readers on the heap, whose every word a test can arrange and look at.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>
#include <string>
#include <vector>

#include "rondo/core/record_ring.hpp"
#include "support/record_fixture.hpp"

namespace rondo::testing {

struct ReadersFixture {
  ReadersFixture(std::uint64_t capacity_bytes, std::uint32_t reader_count)
      : capacity(capacity_bytes),
        readers(reader_count),
        records(allocate(capacity_bytes)),
        consumers(allocate(reader_count * kPartAlignment)) {
    for (std::uint32_t i = 0; i < readers; ++i) {
      new (consumers.get() + i * kPartAlignment) RecordConsumerPart{};
    }
  }

  [[nodiscard]] RecordParts parts() noexcept {
    auto* first = std::launder(reinterpret_cast<RecordConsumerPart*>(consumers.get()));
    return {&producer_part, first, records.get(), capacity, readers, 0, first};
  }
  [[nodiscard]] record_ring::Producer producer() {
    return record_ring::Producer::attach(parts()).value();
  }
  [[nodiscard]] record_ring::Consumer join(std::uint32_t i, ReaderOptions options) {
    options.pacing = Pacing::kOff;
    return record_ring::Consumer::join(parts().of_reader(i), options).value();
  }
  // One that gives back at once.
  [[nodiscard]] record_ring::Consumer join(std::uint32_t i, ReaderPolicy policy,
                                           ReaderStart from = ReaderStart::kOldest) {
    return join(i, {.policy = policy, .from = from, .acknowledge = Acknowledge::kEagerly});
  }
  [[nodiscard]] RecordConsumerPart& part(std::uint32_t i) noexcept {
    return parts().consumer_at(i);
  }
  // Starts the ring's life at `position`, empty, as if `sequence` records had gone by.
  void start_at(Position position, std::uint64_t sequence) noexcept {
    producer_part.checkpoints[0].position = position;
    producer_part.checkpoints[0].sequence = sequence;
    producer_part.reclaim = position;
    producer_part.intent = position;
  }

  using Bytes = std::unique_ptr<std::byte, RecordFixture::Free>;
  static Bytes allocate(std::uint64_t bytes) {
    auto* memory = static_cast<std::byte*>(::operator new (bytes, std::align_val_t{128}));
    std::fill_n(memory, bytes, std::byte{0});
    return Bytes(memory);
  }

  std::uint64_t capacity;
  std::uint32_t readers;
  RecordProducerPart producer_part{};
  Bytes records;
  Bytes consumers;
};

// Record i as text: its number, and some more that follows from it.
inline std::string text_of(std::uint64_t i, std::size_t at_least = 0) {
  std::string text = std::to_string(i) + "#";
  while (text.size() < at_least) text += static_cast<char>('a' + (i + text.size()) % 26);
  return text;
}
inline std::uint64_t number_of(const std::string& text) { return std::stoull(text); }

// Sends the next record as its text. False if the ring is full.
inline bool put_next(record_ring::Producer& producer, std::size_t at_least = 0) {
  return put(producer, text_of(producer.sequence(), at_least));
}

}  // namespace rondo::testing
