// How a primitive waits for somebody who holds something: it looks for a moment, then sleeps in
// slices, and now and then asks the kernel whether the holder is still alive. All slow paths of
// the primitives are a loop around this one:
//
//   Patience<System> patience(looks, deadline);
//   for (;;) {
//     look at the word; take it if it is free, and return
//     switch (patience.next()) {
//       case kLook:   break;                                      // a pause has passed already
//       case kSleep:  say in the word that somebody sleeps; patience.sleep(word, value); break;
//       case kAsk:    take over if the holder is dead; break;     // a system call
//       case kGiveUp: return;                                     // the deadline
//     }
//   }
//
// Nothing that others do prolongs it: a wake that never comes costs the rest of a slice, wakes
// without a reason cost a turn each, and the holder is asked after by the clock. A wait that times
// out asks once more before it does, so that who tries again and again finds out, too.
#pragma once

#include <chrono>
#include <cstdint>

#include "rondo/core/atomic.hpp"
#include "rondo/core/min_max.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/futex.hpp"

namespace rondo::inline RONDO_ABI::sync {

enum class PatienceStep : std::uint8_t { kLook, kSleep, kAsk, kGiveUp };

// For one wait of one thread. `System`: what BellSystem has.
template <class System = BellSystem>
class Patience {
 public:
  // The first sleep is a short one: who has died before is found out soon. Each further one is
  // twice as long, up to System::kSlice.
  static constexpr std::chrono::nanoseconds kFirstSlice =
      min_of<std::chrono::nanoseconds>(std::chrono::milliseconds(1), System::kSlice);

  // `looks`: before the first sleep, each after twice the pause of the one before; 12 at most.
  Patience(std::uint32_t looks, Deadline deadline) noexcept
      : looks_(min_of(looks, 12u)), deadline_(deadline) {}

  [[nodiscard]] PatienceStep next() noexcept {
    // A look that is no wait takes no time, and asks.
    if (looks_ != 0 && deadline_ != Deadline::now()) {
      --looks_;
      for (std::uint32_t i = 0; i < pauses_; ++i) cpu_relax();
      pauses_ *= 2;
      return PatienceStep::kLook;
    }
    const bool passed = deadline_.passed();
    if (passed && asked_at_last_) return PatienceStep::kGiveUp;
    if (passed || (slept_ && Deadline::Clock::now() >= ask_at_)) {
      asked_at_last_ = passed;
      slept_ = false;
      return PatienceStep::kAsk;
    }
    return PatienceStep::kSleep;
  }

  // Sleeps while `word` holds `value`, for a slice at most.
  void sleep(const Atomic<std::uint32_t>& word, std::uint32_t value) noexcept {
    if (!slept_) {
      slept_ = true;
      ask_at_ = Deadline::Clock::now() + slice_;
      slice_ = min_of<std::chrono::nanoseconds>(2 * slice_, System::kSlice);
    }
    const Deadline slice_ends = Deadline::at(ask_at_);
    static_cast<void>(System::wait(word, value, System::kSlice, earlier(deadline_, slice_ends)));
  }

 private:
  std::uint32_t looks_;
  std::uint32_t pauses_ = 1;  // before the next look: who looks all the time slows the holder down
  Deadline deadline_;
  std::chrono::nanoseconds slice_ = kFirstSlice;
  Deadline::Clock::time_point ask_at_{};  // when the holder is asked after, once slept_
  bool slept_ = false;                    // since it was last asked after
  bool asked_at_last_ = false;            // when the deadline had passed
};

// Calls `attempt` with a deadline until it returns true, gives up for a reason of its own before
// that deadline, or `time` has come on its own clock, which may be set meanwhile. Returns what the
// last attempt did.
template <class Clock, class Duration, class Attempt>
[[nodiscard]] bool attempt_until(const std::chrono::time_point<Clock, Duration>& time,
                                 Attempt&& attempt) {
  for (;;) {
    const auto now = Clock::now();
    const bool passed = time <= now;
    Deadline deadline = passed ? Deadline::now() : Deadline::after(time - now);
    // So that a clock that is set forward is noticed.
    if constexpr (!Clock::is_steady) {
      deadline = earlier(deadline, Deadline::after(std::chrono::seconds(1)));
    }
    if (attempt(deadline)) return true;
    if (passed || !deadline.passed()) return false;
  }
}

}  // namespace rondo::inline RONDO_ABI::sync
