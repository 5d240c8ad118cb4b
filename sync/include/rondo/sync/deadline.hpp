// A point in time up to which a caller is willing to wait. Absolute and monotonic: a wait that is
// interrupted and taken up again keeps its deadline, and setting the wall clock changes nothing.
#pragma once

#include <chrono>
#include <cstdint>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

class Deadline {
 public:
  // CLOCK_MONOTONIC on Linux, the clock of the futex calls.
  using Clock = std::chrono::steady_clock;

  // Waits without end. The default, because it is what a forgotten argument should mean.
  constexpr Deadline() noexcept = default;
  [[nodiscard]] static constexpr Deadline never() noexcept { return Deadline(); }

  // Passed from the start: look once, do not wait. Costs no look at the clock.
  [[nodiscard]] static constexpr Deadline now() noexcept { return at(Clock::time_point::min()); }

  [[nodiscard]] static constexpr Deadline at(Clock::time_point time) noexcept {
    Deadline deadline;
    deadline.time_ = time;
    return deadline;
  }

  // From here on for `duration`, in any unit. Zero and less have passed already; more than the
  // clock can count is never().
  template <class Rep, class Period>
  [[nodiscard]] static Deadline after(std::chrono::duration<Rep, Period> duration) noexcept {
    if (!(duration > duration.zero())) return now();  // also what is not a number
    const Clock::time_point start = Clock::now();
    using Seconds = std::chrono::duration<double>;
    // A second less than there is: doubles of this size are not exact to the nanosecond.
    if (Seconds(duration) >= Seconds(Clock::time_point::max() - start) - Seconds(1)) return never();
    return at(start + std::chrono::ceil<Clock::duration>(duration));
  }

  [[nodiscard]] constexpr bool is_never() const noexcept {
    return time_ == Clock::time_point::max();
  }
  [[nodiscard]] bool passed() const noexcept {
    if (is_never()) return false;
    if (time_ == Clock::time_point::min()) return true;
    return passed_at(Clock::now());
  }
  // As passed(), for callers that have looked at the clock.
  [[nodiscard]] constexpr bool passed_at(Clock::time_point time) const noexcept {
    return !is_never() && time_ <= time;
  }

  // How long is left: zero if passed, Clock::duration::max() if never.
  [[nodiscard]] Clock::duration remaining() const noexcept {
    if (is_never()) return Clock::duration::max();
    if (time_ == Clock::time_point::min()) return Clock::duration::zero();
    const Clock::time_point time = Clock::now();
    return time_ <= time ? Clock::duration::zero() : time_ - time;
  }

  [[nodiscard]] constexpr Clock::time_point time() const noexcept { return time_; }

  // Deadlines are ordered by their time; never() is the last.
  friend constexpr auto operator<=>(const Deadline&, const Deadline&) noexcept = default;

 private:
  Clock::time_point time_ = Clock::time_point::max();
};

[[nodiscard]] constexpr Deadline earlier(Deadline a, Deadline b) noexcept { return b < a ? b : a; }

}  // namespace rondo::inline RONDO_ABI
