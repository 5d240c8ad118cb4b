// BackOff: what one does after losing a race for a word that many advance by compare-and-swap. It
// lets the winner run.
//
// Two that take turns move the word's line to and fro for each step, and with it whatever they do
// next to each other; one that runs alone keeps it. Nothing leads from the first regime into the
// second by itself. So where races are lost again soon after a stay, the next stay is longer; where
// they are rare, it is a single pause, and in between the stays are a small share of the time.
//
// Nothing of it is shared, and a handle that loses no race does not come here.
#pragma once

#include <cstdint>

#include "rondo/core/min_max.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

class BackOff {
 public:
  // A stay is `most_pauses` pauses at most (cpu_relax(), some 10 to 40 ns each).
  constexpr explicit BackOff(std::uint32_t most_pauses) noexcept : most_pauses_(most_pauses) {}

  // To be called after each race lost. Progress: wait-free, at most most_pauses pauses.
  RONDO_COLD void lost() noexcept { lost_at(cpu_ticks()); }

  // The same, with the time told by the caller, in cpu_ticks().
  void lost_at(std::uint64_t now) noexcept {
    const bool soon = now - end_ < kSoon * length_;
    pauses_ = soon ? min_of(pauses_ * 2, most_pauses_) : max_of(pauses_ / 2, 1u);
    const std::uint64_t begin = cpu_ticks();
    for (std::uint32_t i = 0; i < pauses_; ++i) cpu_relax();
    length_ = cpu_ticks() - begin;
    end_ = now + length_;
  }

  // Of the last stay.
  [[nodiscard]] constexpr std::uint32_t pauses() const noexcept { return pauses_; }
  [[nodiscard]] constexpr std::uint64_t ticks() const noexcept { return length_; }

 private:
  static constexpr std::uint64_t kSoon = 32;  // times the length of the last stay

  std::uint64_t end_ = 0;     // of the last stay, in ticks
  std::uint64_t length_ = 0;  // of the last stay, in ticks
  std::uint32_t most_pauses_;
  std::uint32_t pauses_ = 1;
};

}  // namespace rondo::inline RONDO_ABI
