// How long to sleep between two looks at what no doorbell is rung for.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <thread>

#include "rondo/core/cancellation_disabled.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"

namespace rondo::inline RONDO_ABI::detail {

// A quarter of the time since the wait began, from 1 to 50 ms: what comes soon is found soon, a
// wait takes at most a quarter longer than it has to, or 50 ms, and a long one costs 20 looks a
// second.
class GrowingPause {
 public:
  static constexpr std::chrono::milliseconds kShortest{1};
  static constexpr std::chrono::milliseconds kLongest{50};

  // Up to `longest` instead, where each look costs others something. Above 50 ms a pause is up to a
  // quarter shorter, by chance: those who have lost the same thing do not look in step.
  explicit GrowingPause(std::chrono::nanoseconds longest = kLongest) noexcept : longest_(longest) {}

  // When a pause that begins now ends.
  [[nodiscard]] Deadline end() const noexcept {
    const auto now = Deadline::Clock::now();
    Deadline::Clock::duration length =
        std::clamp<Deadline::Clock::duration>((now - began_) / 4, kShortest, longest_);
    if (length > kLongest) {
      const auto mixed =
          static_cast<std::uint64_t>(now.time_since_epoch().count()) * 0x9E3779B97F4A7C15u;
      length -= length / 1024 * static_cast<int>(mixed >> 56);
    }
    return Deadline::at(now + length);
  }
  // Blocking, until `deadline` at most.
  void sleep(Deadline deadline) const noexcept {
    const CancellationDisabled here;
    std::this_thread::sleep_for(earlier(end(), deadline).remaining());
  }

 private:
  std::chrono::nanoseconds longest_;
  Deadline::Clock::time_point began_ = Deadline::Clock::now();
};

}  // namespace rondo::inline RONDO_ABI::detail
