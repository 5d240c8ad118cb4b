// Which of two ways to run the laps of a ring is the faster one, found out by trying.
//
// Now and then a trial runs two laps the other way. The first one tells nothing, as its lines were
// treated the way before; the other way is kept if the second one was faster by an eighth. A lap
// the wrong way can take as long as twenty the right way. So a trial ends as soon as it has failed,
// and the dearer it was, the later comes the next one: trials cost a hundredth of the time at most,
// but for the first ones.
//
// A way can be fast in a trial and fall into lock step soon after it. So what a lap took the other
// way is remembered: two laps in a row that took more than twice as long, and the other way is
// taken at once. Each relapse makes the next trial later.
#pragma once

#include <cstdint>

#include "rondo/core/min_max.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// Times are in any unit, the same one in all calls; more than kLongest counts as that much. Nothing
// of it is shared.
class AbTuner {
 public:
  // Laps between trials: at first, and after one that the other way has won.
  static constexpr std::uint32_t kFirstInterval = 2;
  static constexpr std::uint32_t kMinInterval = 8;
  // After a relapse.
  static constexpr std::uint32_t kRelapsePatience = 64;
  static constexpr std::uint32_t kMaxInterval = 512;
  // How many times a trial's loss passes at least until the next one.
  static constexpr double kLossesApart = 128;
  // Of a process that was stopped for hours, or a clock that went back: no sum of such overflows.
  static constexpr std::uint64_t kLongest = std::uint64_t{1} << 56;

  // How the next lap is to be run, or the one under way. The first one: false.
  [[nodiscard]] bool way() const noexcept { return way_; }

  // A lap has taken `time`.
  void end_lap(std::uint64_t time) noexcept {
    time = min_of(time, kLongest);
    ++laps_;
    if (!trying_) {
      const std::uint64_t faster = min_of(last_, time);
      last_ = time;
      // The better of the last laps, so that a lap that was interrupted does not count.
      usual_ = laps_ <= 2 ? time : min_of(usual_ + usual_ / 8, time);
      if (laps_ >= 2 && other_ != 0 && faster / 2 > other_) return relapse(faster);
      if (laps_ >= interval_) begin_trial();
    } else if (laps_ >= 2) {
      if (time < usual_ - usual_ / 8) {
        keep(time);
      } else {
        fail(time);
      }
    }
  }

  // The lap under way has taken `time` for this part of it, more than 0. True if a trial has failed
  // by that, and ended: then a new lap begins.
  [[nodiscard]] bool cut_short(std::uint64_t time, double part) noexcept {
    // The first lap of a trial may be slow for what the way before has left behind.
    if (!trying_ || time <= (laps_ == 0 ? 4 * usual_ : usual_)) return false;
    // Bounded as what it is: a number that is no integer, for which there may be none.
    fail(static_cast<std::uint64_t>(
        min_of(static_cast<double>(time) / part, static_cast<double>(kLongest))));
    return true;
  }

 private:
  void begin_trial() noexcept {
    trying_ = true;
    switch_way();
  }
  void keep(std::uint64_t time) noexcept {
    trying_ = false;
    other_ = usual_;
    usual_ = last_ = time;
    interval_ = kMinInterval;
    laps_ = 0;
  }
  void fail(std::uint64_t time) noexcept {
    trying_ = false;
    other_ = time;
    const double lost = static_cast<double>(time) / static_cast<double>(usual_ | 1) - 1;
    const double interval = max_of(2.0 * interval_, kLossesApart * lost);
    interval_ = static_cast<std::uint32_t>(min_of<double>(interval, kMaxInterval));
    switch_way();
  }
  void relapse(std::uint64_t time) noexcept {
    if (laps_ < relapse_interval_) {
      relapse_interval_ = min_of(2 * relapse_interval_, kMaxInterval);
    }
    interval_ = relapse_interval_;
    other_ = time;
    switch_way();
  }
  void switch_way() noexcept {
    way_ = !way_;
    laps_ = 0;
  }

  std::uint64_t usual_ = 0;  // what a lap takes this way; during a trial, the way before
  std::uint64_t other_ = 0;  // what one took the other way, when that was known last; 0: never
  std::uint64_t last_ = 0;   // the last lap
  std::uint32_t laps_ = 0;   // since the way was chosen
  std::uint32_t interval_ = kFirstInterval;
  std::uint32_t relapse_interval_ = kRelapsePatience;
  bool way_ = false;
  bool trying_ = false;
};

}  // namespace rondo::inline RONDO_ABI
