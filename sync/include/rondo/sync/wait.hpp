// How long to look before falling asleep, and when to stop waiting at all.
//
//   mode       latency of a hand-off      while waiting
//   kSpin      the lowest                 a whole core, at its hottest
//   kPause     the same within noise      a whole core, leaving its sibling room
//   kYield     low if cores are free      a whole core, given away at each turn
//   kAdaptive  as kPause in a stream,     a core for some microseconds, then nothing
//              as kPark after a silence
//   kPark      waking a core: 5 to 50 us  nothing
//
// The mode is a matter of one handle; nothing of it is shared, and it is not on the fast path: who
// finds a message does not come here.
//
// A wait ends with kReady whenever `ready` holds at its end: also when at that moment the deadline
// passes, the peer dies or the caller is interrupted. So what a peer published before it died is
// delivered first.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>

#include "rondo/core/min_max.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"

namespace rondo::inline RONDO_ABI {

enum class WaitMode : std::uint8_t { kSpin, kPause, kYield, kAdaptive, kPark };

// "spin", "pause", "yield", "adaptive" or "park", as in URLs; empty for anything else.
[[nodiscard]] RONDO_API std::optional<WaitMode> parse_wait_mode(std::string_view text) noexcept;
[[nodiscard]] RONDO_API std::string_view to_string(WaitMode mode) noexcept;
// All names, for messages: "spin, pause, yield, adaptive, park".
[[nodiscard]] RONDO_API std::string_view wait_mode_names() noexcept;

enum class WaitResult : std::uint8_t {
  kReady,       // `ready` holds
  kTimedOut,    // the deadline passed
  kPeerGone,    // `peer_gone` said so
  kInterrupted  // the stop flag is set
};

namespace detail {
RONDO_API void yield_core() noexcept;  // to a thread that may run on it
}  // namespace detail

class RONDO_API WaitStrategy {
 public:
  // How often at least a waiter asks whether its peer is still there.
  static constexpr std::chrono::nanoseconds kProbeInterval = std::chrono::milliseconds(50);
  // How long the adaptive mode looks before it parks: about what parking and being woken costs, so
  // that it takes no more than twice the time of the better choice. Where the last waits were so
  // long that looking could not have saved the sleep, it looks for less, and gives its core away
  // less often before. docs/waiting.md has figures.
  static constexpr std::chrono::nanoseconds kAdaptiveSpin = std::chrono::microseconds(20);
  static constexpr std::chrono::nanoseconds kLeastAdaptiveSpin = std::chrono::nanoseconds(2500);
  static constexpr int kAdaptiveYields = 4;

  // `stop`, if given, is a flag of this process (set by a signal handler or another thread) that
  // ends every wait with kInterrupted; it outlives this object.
  explicit WaitStrategy(WaitMode mode = WaitMode::kAdaptive,
                        const std::atomic<bool>* stop = nullptr) noexcept;

  [[nodiscard]] WaitMode mode() const noexcept { return mode_; }
  // How long the next wait in the adaptive mode looks before it sleeps.
  [[nodiscard]] std::chrono::nanoseconds adaptive_spin() const noexcept { return spin_; }

  // Waits until `ready()` holds, for the reasons above, and says why it stopped.
  //   bell       a Waiter or SetWaiter of the waiting side (only the parking modes use it)
  //   ready      bool(): looks at the ring, with acquire; without effect, called any number of
  //              times
  //   peer_gone  bool(): asks the kernel whether the other side lives; may be a system call.
  //              Called every kProbeInterval at least, before a sleep if the last time, in any
  //              wait, was longer ago, and once by a wait that times out before (but not for
  //              Deadline::now()): so a caller that waits again and again, each time for a moment,
  //              finds out too.
  // After kReady from a waiter set's bell the caller has to try to take what is there.
  // Progress: blocking. Memory ordering: that of `ready`.
  template <class Bell, class Ready, class Probe>
  [[nodiscard]] WaitResult wait(Bell& bell, Deadline deadline, Ready&& ready, Probe&& peer_gone);

 private:
  using Clock = Deadline::Clock;
  static constexpr int kPollsPerRound = 64;
  // A look takes nanoseconds, but a hostile peer can make it take a thousand times as long: a turn
  // that has taken so much, in cpu_ticks(), is over, and the deadline is looked at.
  static constexpr int kPollsPerTick = 8;
  static constexpr std::uint64_t kLongRound = 1'000'000;

  template <class Ready>
  static bool poll(int times, bool pausing, Ready& ready) {
    const std::uint64_t begin = cpu_ticks();
    for (int i = 1; i <= times; ++i) {
      if (pausing) cpu_relax();
      if (ready()) return true;
      if (i % kPollsPerTick == 0 && cpu_ticks() - begin > kLongRound) break;
    }
    return false;
  }

  // Called when a wait that slept has ended after `waited`.
  void adapt(std::chrono::nanoseconds waited) noexcept {
    if (most_spin_ == most_spin_.zero()) return;
    const bool brief = waited < 2 * kAdaptiveSpin;
    spin_ = brief ? most_spin_ : max_of(spin_ / 2, kLeastAdaptiveSpin);
    yields_ = brief ? kAdaptiveYields : yields_ / 2;
  }

  WaitMode mode_;
  std::chrono::nanoseconds most_spin_;  // zero where there is one processor
  std::chrono::nanoseconds spin_;
  int yields_ = kAdaptiveYields;  // of the next wait in the adaptive mode
  Clock::time_point asked_{};     // when the peer was last found to be there
  const std::atomic<bool>* stop_;
};

template <class Bell, class Ready, class Probe>
WaitResult WaitStrategy::wait(Bell& bell, Deadline deadline, Ready&& ready, Probe&& peer_gone) {
  if (ready()) return WaitResult::kReady;
  const Clock::time_point start = Clock::now();
  Clock::time_point now = start;
  Clock::time_point next_probe = start + kProbeInterval;
  int yields = yields_;
  bool asked = false;
  bool slept = false;

  for (;;) {
    // Reasons to stop; each time `ready` has the last word.
    // relaxed: the flag orders nothing.
    if (stop_ != nullptr && stop_->load(std::memory_order_relaxed)) {
      return ready() ? WaitResult::kReady : WaitResult::kInterrupted;
    }
    const bool passed = deadline.passed_at(now);
    if (passed && (asked || deadline == Deadline::now())) {
      return ready() ? WaitResult::kReady : WaitResult::kTimedOut;
    }
    if (passed || now >= next_probe) {
      asked = true;
      if (peer_gone()) return ready() ? WaitResult::kReady : WaitResult::kPeerGone;
      if (passed) continue;
      now = Clock::now();
      asked_ = now;
      next_probe = now + kProbeInterval;
    }

    // One turn of waiting.
    bool is_ready = false;
    switch (mode_) {
      case WaitMode::kSpin: is_ready = poll(4 * kPollsPerRound, false, ready); break;
      case WaitMode::kPause: is_ready = poll(kPollsPerRound, true, ready); break;
      case WaitMode::kYield:
        detail::yield_core();
        is_ready = ready();
        break;
      case WaitMode::kAdaptive:
        if (now - start < spin_) {
          is_ready = poll(kPollsPerRound, true, ready);
          break;
        }
        if (yields > 0) {
          --yields;
          detail::yield_core();
          is_ready = ready();
          break;
        }
        [[fallthrough]];
      case WaitMode::kPark:
        if (!std::exchange(slept, true)) {
          // No sleep on a peer that has been dead for longer.
          next_probe = asked_ + kProbeInterval;
          if (now >= next_probe) continue;
        }
        is_ready = bell.sleep_once(ready, earlier(deadline, Deadline::at(next_probe)));
        if (is_ready && mode_ == WaitMode::kAdaptive) adapt(Clock::now() - start);
        break;
    }
    if (is_ready) return WaitResult::kReady;
    now = Clock::now();
  }
}

}  // namespace rondo::inline RONDO_ABI
