// The handles of a record ring, which own what they stand for; part of record_ring.hpp, which
// includes it.
#pragma once

#include <cassert>
#include <cstddef>
#include <optional>
#include <span>
#include <utility>

#include "rondo/core/record_ring.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// A claimed record. Destroying it without commit() leaves no trace, so an early return in the
// caller never blocks the consumer.
class [[nodiscard]] record_ring::Claim {
 public:
  Claim(Producer& producer, std::span<std::byte> bytes) noexcept
      : producer_(&producer), bytes_(bytes) {}

  // Where to write the record, `size_bytes` as claimed (or as shrunk).
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }
  // Keeps only the first `size_bytes`, at most bytes().size().
  void shrink(std::size_t size_bytes) noexcept {
    assert(size_bytes <= bytes_.size());
    bytes_ = bytes_.first(size_bytes);
  }
  // Publishes the record; see Producer::commit().
  void commit() && noexcept { producer_->commit(bytes_.size()); }

 private:
  Producer* producer_;
  std::span<std::byte> bytes_;
};

// A record as its reader sees it, in place. Given back on destruction.
class [[nodiscard]] record_ring::Message {
 public:
  Message(Consumer& consumer, std::span<const std::byte> bytes) noexcept
      : consumer_(&consumer), bytes_(bytes) {}
  Message(Message&& other) noexcept
      : consumer_(std::exchange(other.consumer_, nullptr)), bytes_(other.bytes_) {}
  Message& operator=(Message&&) = delete;
  ~Message() {
    if (consumer_ != nullptr) consumer_->give_back();
  }

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  Consumer* consumer_;
  std::span<const std::byte> bytes_;
};

inline std::optional<record_ring::Claim> record_ring::Producer::try_claim(
    std::size_t size_bytes) noexcept {
  std::byte* bytes = try_reserve(size_bytes);
  if (bytes == nullptr) return std::nullopt;
  return Claim(*this, {bytes, size_bytes});
}

inline std::optional<record_ring::Message> record_ring::Consumer::try_next() noexcept {
  if (try_peek() != ReadOutcome::kMessage) return std::nullopt;
  return std::optional<Message>(std::in_place, *this, std::span(data_, size_));
}

}  // namespace rondo::inline RONDO_ABI
