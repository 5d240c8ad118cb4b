// How long a wait looks before it sleeps, learned by one handle from its own waits.
//
// What a wait costs is the processor time that it takes from anybody, and how late it sees the
// message; a microsecond of either counts the same. To look costs what it takes. To sleep costs S:
// falling asleep and waking up, the publisher's wake, and what the message is late by. Who looks
// for S at the most, and then sleeps, never pays more than twice what the better choice costs
// (Karlin and others, 1991).
//
//  1. S is measured. A sleep takes so much of this thread's own processor time, and the wake about
//     as much of the publisher's. What the message is late by is seen when a look finds one, of
//     those that come at like intervals, sooner than any sleep before it was over (4).
//  2. Where the message came late, looking was for nothing: next time it is for half as long, and
//     for an eighth of S in the end; but while single ones are found, for twice what the last of
//     these took, up to half of S. Where it came soon after all, it is for all of S again.
//  3. Where looking for all of S found nothing, and yet the message came soon after we had given
//     our processor away, whom we wait for may need that very one (or takes a little more than S).
//     After three such waits in a row we look no more. So nobody spins against himself, whatever
//     the reason that the two share a processor, and no one has to be asked which they may use.
//  4. One wait of 64 looks again, in case 3 for S, else for longer, at a part of what sleeping
//     costs meanwhile. If it finds something, all is as at the beginning. And where looking has
//     taken 64 times S since a sleep was last measured, one wait sleeps at once, to measure it.
#pragma once

#include <chrono>
#include <cstdint>

#include "rondo/core/min_max.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

class LookBudget {
 public:
  using Time = std::chrono::nanoseconds;

  // S until a sleep has been measured.
  static constexpr Time kFirstGuess = std::chrono::microseconds(20);
  // S is never taken for less or more: a sleep is two switches at least, and no processor that is
  // worth waiting on takes longer to wake up.
  static constexpr Time kLeastCost = std::chrono::microseconds(1);
  static constexpr Time kMostCost = std::chrono::microseconds(200);
  static constexpr int kMostHalvings = 3;
  static constexpr int kMostFailures = 3;
  static constexpr int kPeriod = 64;   // one wait of so many looks again
  static constexpr int kLongLook = 8;  // for so many times S
  static constexpr int kMostYields = 4;

  // How long the next wait is to look.
  [[nodiscard]] Time looks_for() const noexcept {
    if (sleeps_at_once()) return Time::zero();
    const bool for_nothing = failures_ == kMostFailures;
    if (turn_ == 0) return for_nothing ? sleep_cost() : min_of(kLongLook * sleep_cost(), kMostCost);
    if (for_nothing) return Time::zero();
    return max_of(sleep_cost() / (1 << halvings_), min_of(sleep_cost() / 2, 2 * looked_last_));
  }
  // How often it is to give its processor away before it sleeps.
  [[nodiscard]] int yields() const noexcept { return sleeps_at_once() ? 0 : yields_; }
  // S.
  [[nodiscard]] Time sleep_cost() const noexcept {
    return min_of(max_of(2 * ran_ + max_of(late_, ran_), kLeastCost), kMostCost);
  }

  // A wait ended while it looked, `waited` after its beginning.
  void found_by_looking(Time waited) noexcept {
    failures_ = 0;
    looked_ += waited;
    looked_last_ = waited;
    if (turn_ != 0) return;
    halvings_ = 0;
    compare();
    next_turn();
  }
  // A wait ended after it had looked for looks_for() and then given its processor away; `slept`:
  // not only for a moment.
  void found_later(Time waited, bool slept) noexcept {
    if (slept) note_sleep(waited);
    if (sleeps_at_once()) {
      compare();
      looked_ = Time::zero();
      return;
    }
    const Time looked = looks_for();
    looked_ += looked;
    if (turn_ == 0) looked_last_ = Time::zero();  // there is nothing to be found
    if (slept && is_late(waited)) {
      came_late();
    } else {
      if (looked >= sleep_cost() || is_late(waited)) {
        failures_ = min_of(failures_ + 1, kMostFailures);
      }
      halvings_ = 0;
      yields_ = kMostYields;
    }
    next_turn();
  }
  // A wait ended without a message.
  void gave_up(Time waited) noexcept {
    looked_ = sleeps_at_once() ? Time::zero() : looked_ + looks_for();
    if (!is_late(waited)) return;
    came_late();
    next_turn();
  }

  // To be asked before each sleep: whether it is to be measured. The first ones are, then some.
  [[nodiscard]] bool measures_next() noexcept {
    ++sleeps_;
    if (sleeps_at_once()) return true;
    return sleeps_ <= kSomeSleeps || sleeps_ % kSomeSleeps == 0;
  }
  // A sleep took `elapsed`, of which this thread ran for `ran`. After the first one, each changes
  // what is known by an eighth at the most: whatever single ones say, it stays near what half of
  // them exceed.
  void slept(Time elapsed, Time ran) noexcept {
    // It was woken before it slept, or the kernel does not tell.
    if (elapsed < 2 * ran || ran <= Time::zero()) return;
    const Time step = measured_ ? ran_ / 8 : kMostCost;
    measured_ = true;
    ran_ = min_of(max_of(ran, ran_ - step), ran_ + step);
  }

 private:
  static constexpr std::uint32_t kSomeSleeps = 8;
  static constexpr int kEnough = 4;  // sleeps, to compare with

  [[nodiscard]] bool is_late(Time waited) const noexcept { return waited >= 2 * sleep_cost(); }
  [[nodiscard]] bool sleeps_at_once() const noexcept { return looked_ >= kPeriod * sleep_cost(); }
  void came_late() noexcept {
    failures_ = max_of(failures_ - 1, 0);
    halvings_ = min_of(halvings_ + 1, kMostHalvings);
    yields_ /= 2;
  }
  void note_sleep(Time waited) noexcept {
    shortest_ = min_of(shortest_, waited);
    waited_ += waited;
    ++waits_;
  }
  // What sleeping makes a message late by, if the waits that slept were alike, and one that did not
  // is known beside them. As that one may have been different, a step at a time.
  void compare() noexcept {
    if (looked_last_ == Time::zero() || waits_ < kEnough || waited_ > shortest_ * waits_ * 3 / 2) {
      return;
    }
    const Time known = max_of(late_, ran_);
    late_ = min_of(max_of(shortest_ - looked_last_, known / 2), 2 * known);
    forget();
  }
  void forget() noexcept {
    shortest_ = kMostCost * 2;
    waited_ = Time::zero();
    waits_ = 0;
  }
  void next_turn() noexcept {
    if (turn_ == 0) forget();
    turn_ = (turn_ + 1) % kPeriod;
  }

  Time ran_ = kFirstGuess / 3;  // by a sleep
  Time late_{};                 // a message that a sleeper is woken for
  Time looked_{};               // altogether, since a sleep was measured
  Time looked_last_{};          // and found something
  // Waits that slept, since they were last compared.
  Time shortest_ = 2 * kMostCost;
  Time waited_{};
  int waits_ = 0;
  bool measured_ = false;
  std::uint32_t sleeps_ = 0;  // before the next one; may wrap
  int turn_ = 1;
  int halvings_ = 0;
  int failures_ = 0;  // looks for all of S, in a row
  int yields_ = kMostYields;
};

}  // namespace rondo::inline RONDO_ABI
