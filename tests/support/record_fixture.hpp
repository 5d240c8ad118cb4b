// A record ring on the heap whose every word a test can arrange and look at.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rondo/core/record_ring.hpp"

namespace rondo::testing {

struct RecordFixture {
  explicit RecordFixture(std::uint64_t capacity_bytes)
      : capacity(capacity_bytes),
        records(static_cast<std::byte*>(::operator new (capacity_bytes, std::align_val_t{128}))) {
    std::fill_n(records.get(), capacity, std::byte{0});
  }

  [[nodiscard]] RecordParts parts() noexcept {
    return {&producer_part, &consumer_part, records.get(), capacity};
  }
  [[nodiscard]] record_ring::Producer producer(std::uint64_t window = EarlyWrap::kWindow) {
    return record_ring::Producer::attach(parts(), window).value();
  }
  [[nodiscard]] record_ring::Consumer consumer(Acknowledge acknowledge = Acknowledge::kLazily) {
    return record_ring::Consumer::attach(parts(), acknowledge, Pacing::kOff).value();
  }

  // The header word at byte `offset` of the ring.
  [[nodiscard]] std::uint64_t header(std::uint64_t offset) const noexcept {
    std::uint64_t word;
    std::memcpy(&word, records.get() + offset, sizeof word);
    return word;
  }
  void set_header(std::uint64_t offset, std::uint64_t word) noexcept {
    std::memcpy(records.get() + offset, &word, sizeof word);
  }
  // Starts the ring's life at `position`, empty, as if `sequence` records had gone by.
  void start_at(Position position, std::uint64_t sequence) noexcept {
    producer_part.checkpoints[0].position = position;
    producer_part.checkpoints[0].sequence = sequence;
    consumer_part.head = position;
  }

  struct Free {
    void operator()(std::byte* bytes) const noexcept {
      ::operator delete (bytes, std::align_val_t{128});
    }
  };

  std::uint64_t capacity;
  RecordProducerPart producer_part{};
  RecordConsumerPart consumer_part{};
  std::unique_ptr<std::byte, Free> records;
};

// Sends `text` as one record; false if the ring is full.
inline bool put(record_ring::Producer& producer, std::string_view text) {
  std::byte* bytes = producer.try_reserve(text.size());
  if (bytes == nullptr) return false;
  std::memcpy(bytes, text.data(), text.size());
  producer.commit(text.size());
  return true;
}

// The next record as text, or what stands there instead, in angle brackets.
inline std::string take(record_ring::Consumer& consumer) {
  switch (consumer.try_peek()) {
    case ReadOutcome::kMessage: {
      std::string text(reinterpret_cast<const char*>(consumer.data()), consumer.size());
      const bool intact = consumer.intact();
      consumer.give_back();
      return intact ? text : "<overwritten>";
    }
    case ReadOutcome::kEmpty: return "<empty>";
    case ReadOutcome::kEnd: return "<end>";
    case ReadOutcome::kBrokenOff: return "<broken off>";
    case ReadOutcome::kLost: return "<lost>";
    case ReadOutcome::kContended:  // no record ring says so, nor the next one
    case ReadOutcome::kNoPin:
    case ReadOutcome::kCorrupt: return "<corrupt>";
  }
  return "<impossible>";
}

}  // namespace rondo::testing
