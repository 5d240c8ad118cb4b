// How long to look before falling asleep, and when to stop waiting at all.
//
//   mode       latency of a hand-off      while waiting
//   kSpin      the lowest                 a whole core, at its hottest
//   kPause     the same within noise      a whole core, leaving its sibling room
//   kYield     low if cores are free      a whole core, given away at each turn
//   kAdaptive  as kPause in a stream,     a core for as long as a sleep costs, then nothing
//              as kPark after a silence   (look_budget.hpp)
//   kPark      waking a core: 5 to 50 us  nothing
//
// Where the two sides share a core, no look finds anything before that core is given away. The
// adaptive mode finds out, and does not look then; kSpin and kPause give the core away each
// kGiveWay, and after each round of looks as soon as that has helped.
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
#include "rondo/sync/look_budget.hpp"

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
// What this thread has run for so far.
[[nodiscard]] RONDO_API std::chrono::nanoseconds thread_cpu_time() noexcept;

// Pauses for `ticks` of cpu_ticks() at the most; it may be for less.
using TimedPause = void (*)(std::uint64_t ticks) noexcept;
// The processor's way to do that, found once, when it runs: TPAUSE, WFET. Null: it has none.
[[nodiscard]] RONDO_API TimedPause timed_pause() noexcept;
}  // namespace detail

class RONDO_API WaitStrategy {
 public:
  // How often at least a waiter asks whether its peer is still there.
  static constexpr std::chrono::nanoseconds kProbeInterval = std::chrono::milliseconds(50);
  // How often at least kSpin and kPause give their core away, for a moment, while they wait. Less
  // than a thousandth of a core, and less than what a scheduler leaves to one thread at a time.
  static constexpr std::chrono::nanoseconds kGiveWay = std::chrono::milliseconds(1);
  // The longest timed pause between two looks, in cpu_ticks(); and no pause is for more than this
  // part of the time waited so far, so that no message is late by more of its gap.
  static constexpr std::uint64_t kMostPause = 1024;
  static constexpr std::uint64_t kPausePart = 256;

  // `stop`, if given, is a flag of this process (set by a signal handler or another thread) that
  // ends every wait with kInterrupted; it outlives this object.
  // `timed_pause`: for tests.
  explicit WaitStrategy(WaitMode mode = WaitMode::kAdaptive,
                        const std::atomic<bool>* stop = nullptr,
                        detail::TimedPause timed_pause = detail::timed_pause()) noexcept
      : mode_(mode), timed_pause_(timed_pause), stop_(stop) {}

  [[nodiscard]] WaitMode mode() const noexcept { return mode_; }
  // To be called by one that asks by other means, too, and has just found that the other side
  // lives: the next wait does not ask, nor end a sleep to ask, before kProbeInterval has passed.
  void found_peer() noexcept { asked_ = Clock::now(); }
  // What the adaptive mode has learned so far.
  [[nodiscard]] const LookBudget& look_budget() const noexcept { return budget_; }

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
  // Not worth telling from none.
  static constexpr std::chrono::nanoseconds kNoTime = std::chrono::microseconds(10);

  // Looks `times` times. Timed pauses, where there are any, stand between those of a wait that has
  // lasted for some time.
  template <class Ready>
  bool poll(int times, bool pausing, std::uint64_t wait_began, Ready& ready) const {
    const std::uint64_t begin = cpu_ticks();
    const std::uint64_t pause = min_of((begin - wait_began) / kPausePart, kMostPause);
    const bool timed = pausing && timed_pause_ != nullptr && pause > 0;
    for (int i = 1; i <= times; ++i) {
      if (timed) {
        timed_pause_(pause);
      } else if (pausing) {
        cpu_relax();
      }
      if (ready()) return true;
      if (i % kPollsPerTick == 0 && cpu_ticks() - begin > kLongRound) break;
    }
    return false;
  }

  // For the modes that look and nothing else: a round of looks, and if it is time, the core.
  template <class Ready>
  bool look_round(Clock::time_point now, std::uint64_t wait_began, Clock::time_point& gave_way,
                  Ready& ready) {
    const bool pausing = mode_ == WaitMode::kPause;
    if (poll(pausing ? kPollsPerRound : 4 * kPollsPerRound, pausing, wait_began, ready)) {
      give_way_ = kGiveWay;
      return true;
    }
    if (now - gave_way < give_way_) return false;
    gave_way = now;
    detail::yield_core();
    if (!ready()) return false;
    // Whom we waited for may have needed this core.
    give_way_ = give_way_ / 4 < kNoTime ? std::chrono::nanoseconds::zero() : give_way_ / 4;
    return true;
  }

  template <class Bell, class Ready>
  bool sleep(Bell& bell, Deadline deadline, Ready& ready) {
    if (mode_ != WaitMode::kAdaptive || !budget_.measures_next()) {
      return bell.sleep_once(ready, deadline);
    }
    const std::chrono::nanoseconds ran = detail::thread_cpu_time();
    const Clock::time_point began = Clock::now();
    const bool is_ready = bell.sleep_once(ready, deadline);
    const Clock::time_point ended = Clock::now();
    budget_.slept(ended - began, detail::thread_cpu_time() - ran);
    return is_ready;
  }

  // A wait in the adaptive mode has ended after `waited`. `let_go`: it has given its core away.
  void learn(bool found, bool let_go, bool slept, std::chrono::nanoseconds waited) noexcept {
    if (!found) {
      budget_.gave_up(waited);
    } else if (let_go) {
      budget_.found_later(waited, slept);
    } else {
      budget_.found_by_looking(waited);
    }
  }

  WaitMode mode_;
  LookBudget budget_;                             // of the adaptive mode
  std::chrono::nanoseconds give_way_ = kGiveWay;  // of kSpin and kPause
  detail::TimedPause timed_pause_;
  Clock::time_point asked_{};  // when the peer was last found to be there
  const std::atomic<bool>* stop_;
};

template <class Bell, class Ready, class Probe>
WaitResult WaitStrategy::wait(Bell& bell, Deadline deadline, Ready&& ready, Probe&& peer_gone) {
  if (ready()) return WaitResult::kReady;
  const Clock::time_point start = Clock::now();
  const std::uint64_t start_ticks = cpu_ticks();
  Clock::time_point now = start;
  Clock::time_point next_probe = start + kProbeInterval;
  Clock::time_point gave_way = start;
  const std::chrono::nanoseconds looks_for = budget_.looks_for();
  int yields = budget_.yields();
  bool asked = false;
  bool let_go = false;  // has yielded or slept, in the adaptive mode
  bool slept = false;

  for (;;) {
    // Reasons to stop; each time `ready` has the last word.
    // relaxed: the flag orders nothing.
    if (stop_ != nullptr && stop_->load(std::memory_order_relaxed)) {
      return ready() ? WaitResult::kReady : WaitResult::kInterrupted;
    }
    const bool passed = deadline.passed_at(now);
    if (passed && (asked || deadline == Deadline::now())) {
      if (ready()) return WaitResult::kReady;
      if (let_go) learn(false, let_go, slept, now - start);
      return WaitResult::kTimedOut;
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
      case WaitMode::kSpin:
      case WaitMode::kPause: is_ready = look_round(now, start_ticks, gave_way, ready); break;
      case WaitMode::kYield:
        detail::yield_core();
        is_ready = ready();
        break;
      case WaitMode::kAdaptive:
        if (now - start < looks_for) {
          is_ready = poll(kPollsPerRound, true, start_ticks, ready);
          break;
        }
        let_go = true;
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
        is_ready = sleep(bell, earlier(deadline, Deadline::at(next_probe)), ready);
        break;
    }
    if (is_ready) {
      if (mode_ == WaitMode::kAdaptive) {
        // A look that found something is not kept from it by one at the clock.
        learn(true, let_go, slept, (let_go ? Clock::now() : now) - start);
      }
      return WaitResult::kReady;
    }
    now = Clock::now();
  }
}

}  // namespace rondo::inline RONDO_ABI
