// Pacer: how far apart the two sides of a ring work, steered by the side that runs into the
// other.
//
// The same code sits in one of two regimes. In lock step the consumer reads the line that the
// producer is still writing, and each line crosses between the two cores' caches one by one. When
// the producer is far ahead, the consumer streams through lines that are no longer fought over, and
// the prefetcher helps: several times faster. Nothing leads from the first regime into the second
// by itself, because a consumer that is faster than the producer catches up and stays in step.
//
// So a consumer that runs dry in the middle of a stream pauses for a moment (a
// slip), and finds a batch when it looks again. There is one slip per dry spell: a consumer that is
// still without a message after it returns empty-handed, and does not slip again until another
// stream has passed. A single message that is waited for is never delayed.
//
// How long a pause is best depends on the machine and on the work, so it adapts to what the last
// one yielded, the length of the run after it. Or, where the caller sees how far the other side has
// got, it ends when that is far enough (pace_until()), which is better where both sides are
// nearly as fast: then even a short distance makes a long run. And where a pause yields nothing, as
// with a sender that waits for answers, the stream has to be longer before the next one. All of
// this happens where the ring looks empty; passing a message costs nothing.
#pragma once

#include <cstdint>

#include "rondo/core/min_max.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// Whether a handle is paced. A matter of one process: nothing of it is shared.
enum class Pacing : std::uint8_t {
  kOff,  // look again at once, always
  kOn    // in a stream, pause for a moment
};

// One side's rule. Held by value in a handle.
class Pacer {
 public:
  // More messages than this in a row make a stream; more than kLongStream always do.
  static constexpr std::uint64_t kStream = 8;
  static constexpr std::uint64_t kLongStream = 256;
  // Bounds of a pause, in pauses (cpu_relax(), some 10 to 40 ns each).
  static constexpr std::uint32_t kMinPauses = 4;
  static constexpr std::uint32_t kMaxPauses = 128;

  // `messages` is the caller's running count of messages now, for instance its position in slots.
  // A pace() should yield `aim` messages, a fair share of what the ring holds. No pause takes
  // more than `max_pauses`.
  constexpr explicit Pacer(Pacing pacing, std::uint64_t messages = 0, std::uint64_t aim = 256,
                           std::uint32_t max_pauses = kMaxPauses) noexcept
      : at_last_dry_spell_(messages),
        aim_(max_of<std::uint64_t>(aim, 1)),
        max_pauses_(max_pauses),
        pacing_(pacing) {}

  // To be called on finding the ring empty, with the caller's running count of messages (not of
  // bytes). Either returns false at once; or pauses for a moment and returns true, and the
  // caller looks once more.
  // Progress: wait-free, at most max_pauses pauses.
  RONDO_COLD bool pace(std::uint64_t messages) noexcept {
    const std::uint64_t run = messages - at_last_dry_spell_;
    if (!is_stream(messages)) return false;
    if (run < aim_) pauses_ = min_of(pauses_ * 2, max_pauses_);
    if (run > 2 * aim_) pauses_ = max_of(pauses_ / 2, kMinPauses);
    for (std::uint32_t i = 0; i < pauses_; ++i) cpu_relax();
    return true;
  }

  // The same, but the pause ends as soon as `enough()` holds, which is asked after every few
  // pauses. The next one then takes four times as long at most; if it never held, twice as long.
  // Progress: wait-free if enough() is, at most max_pauses pauses.
  template <class Enough>
  RONDO_COLD bool pace_until(std::uint64_t messages, Enough enough) noexcept {
    if (!is_stream(messages)) return false;
    for (std::uint32_t i = 1; i <= pauses_; ++i) {
      cpu_relax();
      if (i % kMinPauses != 0 || !enough()) continue;
      pauses_ = min_of(i * 4, max_pauses_);
      return true;
    }
    pauses_ = min_of(pauses_ * 2, max_pauses_);
    return true;
  }

  // To be called when the look after a pause found nothing. Returns false.
  constexpr bool came_back_empty() noexcept {
    stream_ = min_of(stream_ * 2, kLongStream);
    paced_ = false;
    return false;
  }

  [[nodiscard]] constexpr Pacing pacing() const noexcept { return pacing_; }
  // How long the next pause would be, at most.
  [[nodiscard]] constexpr std::uint32_t pauses() const noexcept { return pauses_; }

 private:
  // Whether so many messages have come since the last dry spell that the next may be waited for.
  bool is_stream(std::uint64_t messages) noexcept {
    const std::uint64_t run = messages - at_last_dry_spell_;
    at_last_dry_spell_ = messages;
    if (run <= stream_ || pacing_ == Pacing::kOff) {
      if (run == 0 && paced_) stream_ = min_of(stream_ * 2, kLongStream);
      paced_ = false;
      return false;
    }
    if (paced_) stream_ = kStream;
    paced_ = true;
    return true;
  }

  std::uint64_t at_last_dry_spell_;
  std::uint64_t aim_;
  std::uint64_t stream_ = kStream;
  std::uint32_t max_pauses_;
  std::uint32_t pauses_ = 8;
  Pacing pacing_;
  bool paced_ = false;  // and has not returned empty-handed since
};

}  // namespace rondo::inline RONDO_ABI
