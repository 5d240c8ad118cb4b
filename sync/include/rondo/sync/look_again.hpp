// When to look at a file's locks once the kernel has told that somebody opened or closed the file:
// it tells just before it frees the lock of one that has died. So at once, and again after 0.1, 1,
// 10, 100 and 1000 ms.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>

#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"

namespace rondo::inline RONDO_ABI::detail {

class LookAgain {
 public:
  using Clock = Deadline::Clock;
  static constexpr std::array<std::chrono::nanoseconds, 5> kAfter = {
      std::chrono::microseconds(100), std::chrono::milliseconds(1), std::chrono::milliseconds(10),
      std::chrono::milliseconds(100), std::chrono::seconds(1)};

  // The kernel has told something.
  void begin(Clock::time_point now) noexcept {
    next_ = Deadline::at(now);
    looks_ = 0;
  }
  // Whether it is time to look; true: the caller does.
  [[nodiscard]] bool due(Clock::time_point now) noexcept {
    if (!next_.passed_at(now)) return false;
    next_ = looks_ == kAfter.size() ? Deadline::never() : Deadline::at(now + kAfter[looks_++]);
    return true;
  }
  [[nodiscard]] Deadline next() const noexcept { return next_; }

 private:
  Deadline next_ = Deadline::never();
  std::size_t looks_ = 0;
};

}  // namespace rondo::inline RONDO_ABI::detail
