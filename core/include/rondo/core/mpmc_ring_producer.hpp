// The producer's role in an mpmc ring, in positions: which to own, and publishing them. The
// typed handle that users hold is in mpmc_ring_handles.hpp.
//
// It keeps a guess of the next free position and lets the slot's state word judge it, so a handle
// that is alone on its side never loads the shared position: the word says whether the guess is
// right, stale, or ahead of the other side. A position is owned by advancing the tail from it by
// compare-and-swap, after announcing it (mpmc_ring_words.hpp has the orderings).
//
// Nothing here trusts a word: every loop is bounded, every index masked, and a state that no honest
// participant leaves is reported as corrupt.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>

#include "rondo/core/back_off.hpp"
#include "rondo/core/min_max.hpp"
#include "rondo/core/move_only.hpp"
#include "rondo/core/mpmc_ring_layout.hpp"
#include "rondo/core/mpmc_ring_slots.hpp"
#include "rondo/core/mpmc_ring_words.hpp"
#include "rondo/core/outcome.hpp"
#include "rondo/core/pacer.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/position.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// Claims positions and publishes them. One claim at a time; one thread at a time.
template <class Shape, class Policy>
class alignas(kLineBytes) MpmcProducerCore : private detail::MoveOnly {
 public:
  MpmcProducerCore(const MpmcParts& parts, std::uint32_t participant, Pacing pacing) noexcept
      : parts_(parts),
        announcement_(&parts.participants[participant].claiming),
        next_(detail::guess_tail(*parts.positions)),
        looked_full_(next_ - 1),
        pacer_(pacing, next_, /*aim=*/0, detail::kMpmcMaxPauses) {
    assert(participant < parts.participant_count);
  }

  // Claims one position. Progress: lock-free.
  RONDO_ALWAYS_INLINE bool claim() noexcept {
    assert(count_ == 0);
    Position p = next_;
    if (detail::read_for_claim(state_at(p)) == parts_.lap_of(p)) [[likely]] {
      if (try_own(p, 1)) [[likely]]
        return true;
      back_off_.lost();
      return claim_slowly(1, true);
    }
    return claim_slowly(1, false);
  }

  // Claims `least` to `wanted` adjacent positions, as many as are free now. Progress: lock-free.
  bool claim(std::uint32_t wanted, std::uint32_t least = 1) noexcept {
    assert(count_ == 0 && 0 < least && least <= wanted && least <= mpmc_announcement::kMaxCount);
    wanted = min_of(wanted, mpmc_announcement::kMaxCount);
    const std::uint32_t ready = free_from(next_, wanted);
    if (ready >= least) [[likely]] {
      Position p = next_;
      if (try_own(p, ready)) [[likely]]
        return true;
      back_off_.lost();
      return claim_slowly(wanted, true, least);
    }
    return claim_slowly(wanted, false, least);
  }

  // Whether claim() might find a free slot, for a waiter, which claims nothing yet. At times true
  // for no reason; so it is again until claim() has found nothing. Progress: wait-free.
  [[nodiscard]] bool might_claim() const noexcept {
    const std::uint64_t word = detail::read_for_claim(state_at(next_));
    return static_cast<std::int64_t>(mpmc_state::lap_in(word) - parts_.lap_of(next_)) >= 0;
  }

  // The claimed positions are first() to first() + count() - 1.
  [[nodiscard]] Position first() const noexcept { return first_; }
  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }

  // Ends a claim of one position.
  RONDO_ALWAYS_INLINE void publish(SlotKind kind) noexcept {
    assert(count_ == 1);
    detail::publish(state_at(first_), mpmc_state::make(parts_.lap_of(first_), kind));
    count_ = 0;
  }
  // Ends a claim: its positions become messages. Backwards: as long as the first is not there
  // no consumer gets past it, so all of them become visible at once.
  RONDO_ALWAYS_INLINE void publish_all() noexcept { publish_down_to(0, SlotKind::kWritten); }
  // Keeps the first `kept` of the claimed positions; the rest become tombstones, also backwards.
  void shrink(std::uint32_t kept) noexcept {
    assert(kept <= count_);
    publish_down_to(kept, SlotKind::kTombstone);
  }
  // Ends a claim: `write(i, payload)` writes message i, which is published at once after it. Also
  // backwards, as above.
  template <class Write>
  RONDO_ALWAYS_INLINE void publish_each(Write write) noexcept {
    detail::MpmcCursor<Shape> at(parts_, first_ + count_ - 1);
    for (std::uint32_t i = count_; i-- > 0; at.backward()) {
      write(i, at.payload());
      detail::publish(at.state(), mpmc_state::make(at.lap(), SlotKind::kWritten));
    }
    count_ = 0;
  }

  [[nodiscard]] RONDO_ALWAYS_INLINE std::byte* payload(std::uint32_t i) const noexcept {
    return Shape::payload_at(parts_, first_ + i);
  }
  [[nodiscard]] ClaimOutcome outcome() const noexcept { return outcome_; }
  [[nodiscard]] const MpmcParts& parts() const noexcept { return parts_; }

 private:
  RONDO_ALWAYS_INLINE void publish_down_to(std::uint32_t kept, SlotKind kind) noexcept {
    detail::MpmcCursor<Shape> at(parts_, first_ + count_ - 1);
    for (std::uint32_t i = count_; i-- > kept; at.backward()) {
      detail::publish(at.state(), mpmc_state::make(at.lap(), kind));
    }
    count_ = kept;
  }
  RONDO_ALWAYS_INLINE detail::SlotWord& state_at(Position p) const noexcept {
    return Shape::state_at(parts_, p);
  }

  // How many slots from `p` on are free, up to `wanted` and to one lap.
  RONDO_ALWAYS_INLINE std::uint32_t free_from(Position p, std::uint32_t wanted) const noexcept {
    const std::uint32_t most = parts_.at_most_a_lap(wanted);
    detail::MpmcCursor<Shape> at(parts_, p);
    std::uint32_t ready = 0;
    for (; ready < most; ++ready, at.forward()) {
      if (detail::read_for_claim(at.state()) != at.lap()) break;
    }
    return ready;
  }

  // Announces and claims. On failure next_ is the tail.
  RONDO_ALWAYS_INLINE bool try_own(Position p, std::uint32_t count) noexcept {
    if constexpr (Policy::kAnnounce) detail::announce(*announcement_, p, count);
    if (!detail::advance_tail(*parts_.positions, p, count)) [[unlikely]] {
      next_ = p;
      return false;
    }
    first_ = p;
    count_ = count;
    next_ = p + count;
    Shape::prefetch(parts_, next_, count);
    return true;
  }

  RONDO_COLD bool claim_slowly(std::uint32_t wanted, bool announced,
                               std::uint32_t least = 1) noexcept {
    bool paced = false;
    for (std::uint32_t work = 0; work < detail::kMpmcMaxWork; ++work) {
      const Position p = next_;
      const std::uint32_t ready = free_from(p, wanted);
      work += ready;
      if (ready >= least) {
        announced = true;
        if (try_own(p, ready)) return true;
        back_off_.lost();
        work += back_off_.pauses();
        continue;
      }
      if (ready != 0) {
        // Some are free, unless another producer owns them already and is still writing.
        next_ = detail::guess_tail(*parts_.positions);
        if (next_ == p) return give_up(ClaimOutcome::kFull, announced);
        continue;
      }
      const std::uint64_t word = detail::read_for_claim(state_at(p));
      const auto ahead = static_cast<std::int64_t>(mpmc_state::lap_in(word) - parts_.lap_of(p));
      if (ahead < 0) {
        // The lap before: still held or unread. Anything older was never ours to wait for.
        if (ahead < -static_cast<std::int64_t>(mpmc_state::kLap)) {
          return give_up(ClaimOutcome::kCorrupt, announced);
        }
        if (p != looked_full_ || paced) {
          looked_full_ = p;
          work += pacer_.pauses();
          paced = pace(p);
          if (paced) continue;
        }
        return give_up(ClaimOutcome::kFull, announced);
      }
      if (word == parts_.lap_of(p)) continue;  // given back since
      // p has had an owner already, so the tail is beyond it.
      const Position tail = detail::guess_tail(*parts_.positions);
      if (static_cast<std::int64_t>(tail - p) <= 0) {
        return give_up(ClaimOutcome::kCorrupt, announced);
      }
      next_ = tail;
    }
    return give_up(ClaimOutcome::kContended, announced);
  }

  // Whether it paused: until the consumers have given back half of the ring, or for so long.
  bool pace(Position p) noexcept {
    const Position q = p + detail::pacing_distance(parts_);
    return pacer_.pace_until(p,
                             [&] { return detail::load_relaxed(state_at(q)) == parts_.lap_of(q); });
  }

  bool give_up(ClaimOutcome why, bool announced) noexcept {
    outcome_ = why;
    // Only a call in progress may hold a stale announcement.
    if (Policy::kAnnounce && announced) detail::announce_nothing(*announcement_);
    // After corruption start anew: the guess may be what misled us.
    if (why == ClaimOutcome::kCorrupt) next_ = detail::guess_tail(*parts_.positions);
    return false;
  }

  MpmcParts parts_;
  detail::AnnounceWord* announcement_;  // ours alone
  Position next_;                       // a guess of the tail
  Position first_ = 0;
  std::uint32_t count_ = 0;  // of the positions that we own
  ClaimOutcome outcome_ = ClaimOutcome::kClaimed;
  Position looked_full_;  // where we last ran into consumers
  BackOff back_off_{detail::kMpmcMaxPauses};
  Pacer pacer_;
};

}  // namespace rondo::inline RONDO_ABI
