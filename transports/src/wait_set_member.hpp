// A member of a wait set: a handle, a descriptor or a timer, and what was found out about it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "poller.hpp"
#include "rondo/core/callback.hpp"
#include "rondo/core/descriptor.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/close_watch.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/transports/wait_set.hpp"
#include "wait_set_end.hpp"

namespace rondo::inline RONDO_ABI::detail {

class Timer {
 public:
  using Clock = Deadline::Clock;

  Timer(Deadline first, std::chrono::nanoseconds period, Clock::time_point now) noexcept
      : due_(first < Deadline::at(now) ? Deadline::at(now) : first), period_(period) {}

  [[nodiscard]] Deadline due() const noexcept { return due_; }
  // To the next time behind `now`; false: there is none. It was due.
  [[nodiscard]] bool advance(Clock::time_point now) noexcept {
    if (period_ <= period_.zero()) return false;
    const Clock::time_point last = now - (now - due_.time()) % period_;
    due_ = period_ < Clock::time_point::max() - last ? Deadline::at(last + period_)
                                                     : Deadline::never();
    return true;
  }

 private:
  Deadline due_;
  std::chrono::nanoseconds period_;
};

struct WaitSetMember {
  using Clock = Deadline::Clock;
  // How long it may be left alone when nothing is told: as long as a wake may be late that a
  // hostile peer has kept back.
  static constexpr std::chrono::nanoseconds kQuietSlice = std::chrono::milliseconds(500);
  // When to ask anew for what the system refused, descriptors maybe.
  static constexpr std::chrono::seconds kRefused{10};

  WaitSet::Key key = 0;
  std::uint64_t number = 0;
  // One of these, or a descriptor alone.
  std::optional<WaitSetEnd> end{};
  std::optional<Timer> timer{};
  std::optional<Poller::Watched> watched{};
  bool reported = false;  // the descriptor, by the poller
  bool armed = false;     // a wait is announced
  bool owed = false;      // there was something when it was not its turn; or a wake was spent on it
  bool spent = false;     // such a wake, and nobody was told

  // Of one that sleeps on a word: what tells when the kernel is to be asked. Else that is by time.
  std::unique_ptr<CloseWatch> closing{};
  bool deathless = false;         // there is nothing to ask
  Clock::time_point tried{};      // to have such a thing
  Clock::time_point asked_all{};  // when it was asked without being told to

  [[nodiscard]] bool sleeps_on_word() const noexcept { return end && !watched; }
  [[nodiscard]] bool is_told() const noexcept { return closing != nullptr && closing->stands(); }
  // `thorough`: the kernel is asked by time, and not at each of so many looks.
  [[nodiscard]] bool ready(Clock::time_point now, bool thorough) noexcept {
    if (owed || reported) return true;
    if (timer) return timer->due().passed_at(now);
    if (watched) return watched->always_ready || (end && end->is_over());
    return end->has_something(is_to_ask(now, thorough));
  }
  // True: a wake has been spent on it.
  bool disarm() noexcept {
    if (!std::exchange(armed, false) || !end->disarm()) return false;
    return owed = spent = true;
  }
  // Such a wake goes to another participant.
  void pass_on() noexcept {
    if (!std::exchange(spent, false)) return;
    owed = false;
    end->pass_on();
  }
  // When it is to be looked at again, though nothing is told.
  [[nodiscard]] Deadline rests_until(Clock::time_point now) const noexcept {
    if (!sleeps_on_word()) return Deadline::never();
    const bool quiet = (deathless || is_told()) && !end->has_pulse();
    const Deadline slice = Deadline::at(now + (quiet ? kQuietSlice : BellSystem::kSlice));
    return is_told() ? earlier(closing->next(), slice) : slice;
  }
  // Something has been waited for in vain: `tell` says from now on when there may be news.
  void listen(Clock::time_point now, const Callback<void()>& tell) {
    if (!sleeps_on_word() || deathless || is_told()) return;
    // One that was told of before has been there, and may be again.
    if (closing == nullptr && now - tried < kRefused) return;
    closing.reset();
    tried = now;
    const auto file = end->closing();
    if (!file) return;
    if (is_handle(*file)) {
      closing = CloseWatch::of(*file, tell);
    } else {
      deathless = true;
    }
  }

 private:
  [[nodiscard]] bool is_to_ask(Clock::time_point now, bool thorough) noexcept {
    if (!is_told()) return thorough;
    const bool due = closing->due(now);
    if (due) {
      end->expect_news();
    } else if (!thorough || now - asked_all < CloseWatch::kAtLast) {
      return false;
    } else {
      asked_all = now;
    }
    return true;
  }
};

}  // namespace rondo::inline RONDO_ABI::detail
