// Where in an array of words what one looks for was found last, and so likely is again. Of one
// handle, and of all its threads.
#pragma once

#include <atomic>
#include <cstdint>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::sync::detail {

class Guess {
 public:
  explicit Guess(std::uint32_t at) noexcept : at_(at) {}
  Guess(const Guess& other) noexcept : at_(other.get()) {}
  Guess& operator=(const Guess& other) noexcept {
    set(other.get());
    return *this;
  }

  // relaxed, both: a guess.
  [[nodiscard]] std::uint32_t get() const noexcept { return at_.load(std::memory_order_relaxed); }
  void set(std::uint32_t at) noexcept { at_.store(at, std::memory_order_relaxed); }

 private:
  std::atomic<std::uint32_t> at_;
};

}  // namespace rondo::inline RONDO_ABI::sync::detail
