// Messages that are written in full by the sender and read in full by the receiver.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "rondo/core/platform.hpp"

namespace rondo::bench {

// Word k of message i holds i + k. `bytes` is a multiple of 8.
RONDO_ALWAYS_INLINE void write_message(void* to, std::size_t bytes, std::uint64_t i) {
  auto* words = static_cast<std::uint64_t*>(to);
  for (std::size_t k = 0; k < bytes / 8; ++k) words[k] = i + k;
}

// Adds up what arrived, and notices when it is out of order.
class Checker {
 public:
  RONDO_ALWAYS_INLINE void read_message(const void* from, std::size_t bytes, std::uint64_t i) {
    const auto* words = static_cast<const std::uint64_t*>(from);
    disorder_ |= words[0] ^ i;
    std::uint64_t sum = 0;
    for (std::size_t k = 0; k < bytes / 8; ++k) sum += words[k];
    sum_ += sum;
  }
  // Whether messages 0 to `messages` - 1 of this size have been read, each whole and in order.
  [[nodiscard]] bool complete(std::uint64_t messages, std::size_t bytes) const {
    const std::uint64_t words = bytes / 8;
    return disorder_ == 0 && sum_ == words * sum_below(messages) + messages * sum_below(words);
  }

 private:
  static std::uint64_t sum_below(std::uint64_t n) {
    return n % 2 == 0 ? n / 2 * (n - 1) : (n - 1) / 2 * n;
  }

  std::uint64_t sum_ = 0;
  std::uint64_t disorder_ = 0;
};

}  // namespace rondo::bench
