// How long to sleep between two looks at what no doorbell is rung for.
#pragma once

#include <algorithm>
#include <chrono>
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

  // Blocking, until `deadline` at most.
  void sleep(Deadline deadline) noexcept {
    const CancellationDisabled here;
    const auto waited = Deadline::Clock::now() - began_;
    const Deadline::Clock::duration length =
        std::clamp<Deadline::Clock::duration>(waited / 4, kShortest, kLongest);
    std::this_thread::sleep_for(std::min(length, deadline.remaining()));
  }

 private:
  Deadline::Clock::time_point began_ = Deadline::Clock::now();
};

}  // namespace rondo::inline RONDO_ABI::detail
