// Messages that are written in full by the sender and read in full by the receiver.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "rondo/core/platform.hpp"

namespace rondo::bench {

// Words per turn of a loop. One word, or one vector, per turn takes one or two cycles depending on
// how the loop comes to lie in the code: then the loops would be measured, and not the ring.
inline constexpr std::size_t kAtOnce = 16;

// Word k of message i holds i + k. `bytes` is a multiple of 8.
RONDO_ALWAYS_INLINE void write_message(void* to, std::size_t bytes, std::uint64_t i) {
  auto* words = static_cast<std::uint64_t*>(to);
  const std::size_t count = bytes / 8;
  const std::size_t even = count / kAtOnce * kAtOnce;
  for (std::size_t k = 0; k < even; k += kAtOnce) {
    for (std::size_t n = 0; n < kAtOnce; ++n) words[k + n] = i + k + n;
  }
  for (std::size_t k = even; k < count; ++k) words[k] = i + k;
}

// Adds up what arrived, and notices when it is out of order.
class Checker {
 public:
  RONDO_ALWAYS_INLINE void read_message(const void* from, std::size_t bytes, std::uint64_t i) {
    const auto* words = static_cast<const std::uint64_t*>(from);
    disorder_ |= words[0] ^ i;
    const std::size_t count = bytes / 8;
    const std::size_t even = count / kAtOnce * kAtOnce;
    std::uint64_t sums[kAtOnce] = {};
    for (std::size_t k = 0; k < even; k += kAtOnce) {
      for (std::size_t n = 0; n < kAtOnce; ++n) sums[n] += words[k + n];
    }
    for (std::size_t k = even; k < count; ++k) sums[0] += words[k];
    for (const std::uint64_t sum : sums) sum_ += sum;
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
