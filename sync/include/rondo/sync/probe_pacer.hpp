// When a caller that polls asks the kernel after its peer.
#pragma once

#include <chrono>
#include <cstdint>

#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"

namespace rondo::inline RONDO_ABI::detail {

// When a handle that polls asks whether the other side lives: a look at the ring costs nanoseconds,
// asking is a system call.
class ProbePacer {
 public:
  static constexpr std::uint32_t kPolls = 256;
  static constexpr std::chrono::milliseconds kInterval{10};

  // To be called at every look that finds nothing; true if it is time to ask.
  [[nodiscard]] bool due() noexcept { return ++polls_ % kPolls == 0 && due_by_time(); }
  [[nodiscard]] bool due_by_time() noexcept {
    const auto now = Deadline::Clock::now();
    if (now - last_ < kInterval) return false;
    last_ = now;
    return true;
  }
  // It is time to ask at the next look.
  void hurry() noexcept {
    polls_ = kPolls - 1;
    last_ = {};
  }

 private:
  std::uint32_t polls_ = 0;
  Deadline::Clock::time_point last_{};
};

}  // namespace rondo::inline RONDO_ABI::detail
