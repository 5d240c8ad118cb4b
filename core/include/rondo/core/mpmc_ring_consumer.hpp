// The consumer's role in an mpmc ring, in positions: which to take, and giving them back. The
// mirror image of the producer's (mpmc_ring_producer.hpp), with the head for the tail; and it looks
// for messages whose consumers died. The typed handle that users hold is in mpmc_ring_handles.hpp.
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

// Takes messages and gives their slots back. One taking at a time; one thread at a time.
template <class Shape, class Policy>
class alignas(kLineBytes) MpmcConsumerCore : private detail::MoveOnly {
 public:
  MpmcConsumerCore(const MpmcParts& parts, std::uint32_t participant, Pacing pacing) noexcept
      : parts_(parts),
        announcement_(&parts.participants[participant].taking),
        next_(detail::guess_head(*parts.positions)),
        looked_empty_(next_ - 1),
        pacer_(pacing, next_, /*aim=*/0, detail::kMpmcMaxPauses),
        participant_(participant),
        touches_(Shape::touches(parts)) {
    assert(participant < parts.participant_count);
  }

  // Takes one message. Progress: lock-free.
  RONDO_ALWAYS_INLINE bool take() noexcept {
    assert(count_ == 0);
    Position p = next_;
    const std::uint64_t word = detail::read_for_take(state_at(p));
    const std::uint64_t free = parts_.lap_of(p);
    if (word == mpmc_state::make(free, SlotKind::kWritten)) [[likely]] {
      if (try_own(p, 1)) [[likely]]
        return true;
      back_off_.lost();
      return take_slowly(1, true);
    }
    // Polling: still nothing there, as outcome() says already.
    if (word == free && p == looked_empty_ &&
        !detail::more_orphans_than(*parts_.positions, orphans_known_)) {
      return false;
    }
    return take_slowly(1, false);
  }

  // Takes 1 to `wanted` adjacent messages, as many as are there now. Progress: lock-free.
  bool take(std::uint32_t wanted) noexcept {
    assert(count_ == 0 && wanted > 0);
    wanted = min_of(wanted, mpmc_announcement::kMaxCount);
    const std::uint32_t ready = written_from(next_, wanted);
    if (ready != 0) [[likely]] {
      Position p = next_;
      if (try_own(p, ready)) [[likely]]
        return true;
      back_off_.lost();
      return take_slowly(wanted, true);
    }
    return take_slowly(wanted, false);
  }

  // Whether take() might find something, for a waiter, which takes nothing yet. At times true for
  // no reason; so it is again until take() has found nothing. Progress: wait-free.
  [[nodiscard]] bool might_take() const noexcept {
    const std::uint64_t word = detail::read_for_take(state_at(next_));
    const std::uint64_t free = parts_.lap_of(next_);
    // Not written yet, or still held from the lap before.
    const bool nothing =
        word == free || static_cast<std::int64_t>(mpmc_state::lap_in(word) - free) < 0;
    return !nothing || detail::more_orphans_than(*parts_.positions, orphans_known_);
  }

  // The taken positions are first() to first() + count() - 1.
  [[nodiscard]] Position first() const noexcept { return first_; }
  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
  // Whether what was taken had been held by a consumer that died.
  [[nodiscard]] bool redelivered() const noexcept { return redelivered_; }

  RONDO_ALWAYS_INLINE void give_back() noexcept {
    give_back_each([](std::uint32_t, const std::byte*) {});
  }
  // `read(i, payload)` reads message i, which is given back at once after it.
  template <class Read>
  RONDO_ALWAYS_INLINE void give_back_each(Read read) noexcept {
    const std::uint32_t count = count_;
    const bool touch = touches_ && streaming();
    detail::MpmcCursor<Shape> at(parts_, first_);
    for (std::uint32_t i = 0; i < count; ++i, at.forward()) {
      read(i, at.payload());
      if (touch) Shape::touch(parts_, at.payload());
      detail::give_back(at.state(), at.lap() + mpmc_state::kLap);
    }
    count_ = 0;
  }
  RONDO_ALWAYS_INLINE void give_back_one() noexcept {
    assert(count_ == 1);
    if (touches_ && streaming()) Shape::touch(parts_, payload(0));
    give_back_slot(first_);
    count_ = 0;
  }

  [[nodiscard]] RONDO_ALWAYS_INLINE std::byte* payload(std::uint32_t i) const noexcept {
    return Shape::payload_at(parts_, first_ + i);
  }
  void report_corrupt() noexcept { outcome_ = ReadOutcome::kCorrupt; }
  [[nodiscard]] ReadOutcome outcome() const noexcept { return outcome_; }
  [[nodiscard]] const MpmcParts& parts() const noexcept { return parts_; }

 private:
  RONDO_ALWAYS_INLINE detail::SlotWord& state_at(Position p) const noexcept {
    return Shape::state_at(parts_, p);
  }
  RONDO_ALWAYS_INLINE void give_back_slot(Position p) noexcept {
    detail::give_back(state_at(p), parts_.lap_of(p) + mpmc_state::kLap);
  }

  // How many messages stand from `p` on, up to `wanted` and to one lap.
  RONDO_ALWAYS_INLINE std::uint32_t written_from(Position p, std::uint32_t wanted) const noexcept {
    const std::uint32_t most = parts_.at_most_a_lap(wanted);
    detail::MpmcCursor<Shape> at(parts_, p);
    std::uint32_t ready = 0;
    for (; ready < most; ++ready, at.forward()) {
      const std::uint64_t written = mpmc_state::make(at.lap(), SlotKind::kWritten);
      if (detail::read_for_take(at.state()) != written) break;
    }
    return ready;
  }

  // Whether messages come one after the other. Lines are asked for and touched then only: a
  // consumer that waits for one message must not take its line from the producer.
  [[nodiscard]] RONDO_ALWAYS_INLINE bool streaming() const noexcept {
    return next_ - looked_empty_ > Pacer::kStream;
  }

  // Announces and takes. On failure next_ is the head.
  RONDO_ALWAYS_INLINE bool try_own(Position p, std::uint32_t count) noexcept {
    if constexpr (Policy::kAnnounce) detail::announce(*announcement_, p, count);
    if (!detail::advance_head(*parts_.positions, p, count)) [[unlikely]] {
      next_ = p;
      return false;
    }
    first_ = p;
    count_ = count;
    next_ = p + count;
    redelivered_ = false;
    if (streaming()) Shape::prefetch(parts_, next_, count);
    return true;
  }

  RONDO_COLD bool take_slowly(std::uint32_t wanted, bool announced) noexcept {
    bool paced = false;
    for (std::uint32_t work = 0; work < detail::kMpmcMaxWork; ++work) {
      const Position p = next_;
      if (const std::uint32_t ready = written_from(p, wanted); ready != 0) {
        announced = true;
        if (try_own(p, ready)) return true;
        back_off_.lost();
        work += ready + back_off_.pauses();
        continue;
      }
      const std::uint64_t word = detail::read_for_take(state_at(p));
      const std::uint64_t free = parts_.lap_of(p);
      if (word == mpmc_state::make(free, SlotKind::kTombstone)) {
        announced = true;
        if (try_own(p, 1)) {
          give_back_slot(p);
          count_ = 0;
        }
        continue;
      }
      const auto ahead = static_cast<std::int64_t>(mpmc_state::lap_in(word) - free);
      if (word == free || ahead < 0) {
        // Not written yet, or still held from the lap before. Nothing older can be here.
        if (ahead < -static_cast<std::int64_t>(mpmc_state::kLap)) {
          return give_up(ReadOutcome::kCorrupt, announced);
        }
        if (p != looked_empty_ || paced) {
          looked_empty_ = p;
          work += pacer_.pauses();
          paced = pace(p);
          if (paced) continue;
        }
        if (adopt_orphan(announced)) return true;
        const bool searched = !detail::more_orphans_than(*parts_.positions, orphans_known_);
        return give_up(searched ? ReadOutcome::kEmpty : ReadOutcome::kContended, announced);
      }
      if (word == mpmc_state::make(free, SlotKind::kWritten)) continue;  // written since
      // p has had an owner already, so the head is beyond it.
      const Position head = detail::guess_head(*parts_.positions);
      if (static_cast<std::int64_t>(head - p) <= 0) {
        return give_up(ReadOutcome::kCorrupt, announced);
      }
      next_ = head;
    }
    return give_up(ReadOutcome::kContended, announced);
  }

  // Looks for a message whose consumer died, through one lap of slots behind the head. Only after
  // orphans were told of; goes on where the last search found one, or had looked long enough.
  bool adopt_orphan(bool& announced) noexcept {
    if (!detail::more_orphans_than(*parts_.positions, orphans_known_)) return false;
    const std::uint64_t told = detail::orphan_epoch(*parts_.positions);
    const Position head = detail::head_for_recovery(*parts_.positions);
    Position q = head - parts_.capacity;
    if (told == orphans_searched_ && head - search_from_ < parts_.capacity) q = search_from_;
    orphans_searched_ = told;
    for (std::uint32_t looked = 0; q != head; ++q, ++looked) {
      if (looked == detail::kMpmcSlotsPerSearch) {
        search_from_ = q;
        return false;
      }
      detail::SlotWord& state = state_at(q);
      const std::uint64_t orphaned = mpmc_state::make(parts_.lap_of(q), SlotKind::kOrphaned);
      if (detail::load_relaxed(state) != orphaned) continue;
      if constexpr (Policy::kAnnounce) detail::announce(*announcement_, q, 1);
      announced = true;
      const std::uint64_t adopted =
          mpmc_state::make(parts_.lap_of(q), SlotKind::kAdopted, participant_);
      if (!detail::adopt(state, orphaned, adopted)) continue;
      search_from_ = q + 1;
      first_ = q;
      count_ = 1;
      redelivered_ = true;
      detail::count_up(parts_.participants[participant_].redelivered, 1);
      return true;
    }
    orphans_known_ = told;
    return false;
  }

  // Whether it paused: until the producers have written half of the ring, or for so long.
  bool pace(Position p) noexcept {
    const Position q = p + detail::pacing_distance(parts_);
    return pacer_.pace_until(p, [&] {
      return static_cast<std::int64_t>(detail::load_relaxed(state_at(q)) - parts_.lap_of(q)) > 0;
    });
  }

  bool give_up(ReadOutcome why, bool announced) noexcept {
    outcome_ = why;
    // Only a call in progress may hold a stale announcement.
    if (Policy::kAnnounce && announced) detail::announce_nothing(*announcement_);
    // After corruption start anew: the guess may be what misled us.
    if (why == ReadOutcome::kCorrupt) next_ = detail::guess_head(*parts_.positions);
    // The next poll looks closely, and says anew why it got nothing.
    if (why != ReadOutcome::kEmpty) looked_empty_ = next_ - 1;
    return false;
  }

  MpmcParts parts_;
  detail::AnnounceWord* announcement_;  // ours alone
  Position next_;                       // a guess of the head
  Position first_ = 0;
  std::uint32_t count_ = 0;  // of the positions that we own
  ReadOutcome outcome_ = ReadOutcome::kMessage;
  bool redelivered_ = false;
  Position looked_empty_;  // where we last ran into producers
  BackOff back_off_{detail::kMpmcMaxPauses};
  std::uint64_t orphans_known_ = 0;     // all told of up to here were looked for
  std::uint64_t orphans_searched_ = 0;  // what search_from_ belongs to
  Position search_from_ = 0;
  Pacer pacer_;
  std::uint32_t participant_;
  bool touches_;  // what was read
};

}  // namespace rondo::inline RONDO_ABI
