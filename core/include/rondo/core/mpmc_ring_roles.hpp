// The two roles of an MPMC slot ring, in positions: what to own, publish and give back. The typed
// handles that users hold are in mpmc_ring.hpp.
//
// Both keep a guess of the next free position and let the slot's state word judge it, so a handle
// that is alone on its side never loads the shared position: the word says whether the guess is
// right, stale, or ahead of the other side. A position is owned by advancing the tail (head) from
// it by compare-and-swap, after announcing it (mpmc_ring_words.hpp has the orderings).
//
// Nothing here trusts a word: every loop is bounded, every index masked, and a state that no honest
// participant leaves is reported as corrupt.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>

#include "rondo/core/atomic.hpp"
#include "rondo/core/back_off.hpp"
#include "rondo/core/distance.hpp"
#include "rondo/core/mpmc_ring_layout.hpp"
#include "rondo/core/mpmc_ring_recovery.hpp"
#include "rondo/core/mpmc_ring_words.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/position.hpp"

namespace rondo {

// Why the last attempt to own a position got nothing.
enum class MpmcBlocked : std::uint8_t {
  kNot,        // it got something
  kFull,       // the next slot is still held or unread
  kEmpty,      // no message is waiting; perhaps one is on the way
  kContended,  // others were faster too many times in a row: try again at once
  kCorrupt     // a word holds what no honest participant writes
};

namespace detail {

// Where slots lie, at compile time or (zero) as the segment says.
template <std::uint32_t kStride, std::uint32_t kPayloadOffset>
struct MpmcShape {
  RONDO_ALWAYS_INLINE static std::uint32_t stride(const MpmcParts& parts) noexcept {
    return kStride == 0 ? parts.stride : kStride;
  }
  RONDO_ALWAYS_INLINE static std::uint32_t payload_offset(const MpmcParts& parts) noexcept {
    return kStride == 0 ? parts.payload_offset : kPayloadOffset;
  }
  RONDO_ALWAYS_INLINE static std::byte* slot_at(const MpmcParts& parts, Position p) noexcept {
    return parts.slots + index_of(p, parts.capacity) * stride(parts);
  }
  RONDO_ALWAYS_INLINE static std::byte* end_of(const MpmcParts& parts) noexcept {
    return parts.slots + parts.capacity * stride(parts);
  }
  RONDO_ALWAYS_INLINE static SlotWord& state_at(const MpmcParts& parts, Position p) noexcept {
    return *reinterpret_cast<SlotWord*>(slot_at(parts, p));
  }
  RONDO_ALWAYS_INLINE static std::byte* payload_at(const MpmcParts& parts, Position p) noexcept {
    return slot_at(parts, p) + payload_offset(parts);
  }
  // Asks for the lines that the next calls will write: `count` slots' worth, a little ahead of
  // `next`, so that their way here passes while this call's work is done. Both roles write. Small
  // slots are done with sooner, so their lines are asked for earlier.
  RONDO_ALWAYS_INLINE static void prefetch(const MpmcParts& parts, Position next,
                                           std::uint32_t count) noexcept {
    constexpr std::uint32_t kAhead = kStride < kLineBytes ? 256 : 128;  // bytes
    if constexpr (kStride == 0) {
      prefetch_for_write(slot_at(parts, next + 1));
    } else {
      constexpr std::uint32_t kSlots = std::max(1u, kAhead / kStride);
      const std::byte* const at = slot_at(parts, next + kSlots);
      for (std::uint32_t i = 0; i < count * std::min(kStride, kAhead); i += kLineBytes) {
        prefetch_for_write(at + i);
      }
    }
  }
};

// Stands at one slot of several that follow each other, and steps to its neighbours. Only what
// depends on the slot is computed on the way.
template <class Shape>
class MpmcCursor {
 public:
  RONDO_ALWAYS_INLINE MpmcCursor(const MpmcParts& parts, Position p) noexcept
      : begin_(parts.slots),
        end_(Shape::end_of(parts)),
        at_(Shape::slot_at(parts, p)),
        lap_(parts.lap_of(p)),
        stride_(Shape::stride(parts)),
        payload_offset_(Shape::payload_offset(parts)) {}

  RONDO_ALWAYS_INLINE void forward() noexcept {
    at_ += stride_;
    if (at_ == end_) [[unlikely]] {
      at_ = begin_;
      lap_ += mpmc_state::kLap;
    }
  }
  RONDO_ALWAYS_INLINE void backward() noexcept {
    if (at_ == begin_) [[unlikely]] {
      at_ = end_;
      lap_ -= mpmc_state::kLap;
    }
    at_ -= stride_;
  }

  [[nodiscard]] RONDO_ALWAYS_INLINE SlotWord& state() const noexcept {
    return *reinterpret_cast<SlotWord*>(at_);
  }
  [[nodiscard]] RONDO_ALWAYS_INLINE std::byte* payload() const noexcept {
    return at_ + payload_offset_;
  }
  // As mpmc_state::lap_of.
  [[nodiscard]] RONDO_ALWAYS_INLINE std::uint64_t lap() const noexcept { return lap_; }

 private:
  std::byte* begin_;
  std::byte* end_;
  std::byte* at_;
  std::uint64_t lap_;
  std::uint32_t stride_;
  std::uint32_t payload_offset_;
};

// The longest stay away from the other side, in pauses (distance.hpp): some 10 microseconds. Longer
// than in the single-producer rings, as a message takes longer here; for 64-byte messages that is
// twice the rate where the cores are far apart.
inline constexpr std::uint32_t kMpmcMaxPauses = 512;
inline constexpr std::uint32_t kMpmcMaxAttempts = 4096;  // then it is called contended

}  // namespace detail

// Claims positions and publishes them. One claim at a time; one thread at a time.
template <class Shape, class Policy>
class MpmcProducerCore {
 public:
  MpmcProducerCore(const MpmcParts& parts, std::uint32_t participant, Steering steering) noexcept
      : parts_(parts),
        record_(&parts.participants[participant].claiming),
        next_(detail::guess_tail(*parts.positions)),
        looked_full_(next_ - 1),
        distance_(steering, next_, Distance::kJudged, detail::kMpmcMaxPauses) {
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
    wanted = std::min(wanted, mpmc_announcement::kMaxCount);
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

  // The claimed positions are first() to first() + count() - 1.
  [[nodiscard]] Position first() const noexcept { return first_; }
  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }

  // Ends a claim of one position.
  RONDO_ALWAYS_INLINE void publish(SlotKind kind) noexcept {
    assert(count_ == 1);
    detail::publish(state_at(first_), mpmc_state::make(parts_.lap_of(first_), kind));
    count_ = 0;
  }
  // Ends a claim: the first `written` positions become messages, the rest tombstones. Backwards: as
  // long as the first is not there nobody gets past it, so all of them become visible at once.
  RONDO_ALWAYS_INLINE void publish_first(std::uint32_t written) noexcept {
    assert(written <= count_);
    detail::MpmcCursor<Shape> at(parts_, first_ + count_ - 1);
    for (std::uint32_t i = count_; i-- > 0; at.backward()) {
      const SlotKind kind = i < written ? SlotKind::kWritten : SlotKind::kTombstone;
      detail::publish(at.state(), mpmc_state::make(at.lap(), kind));
    }
    count_ = 0;
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
  [[nodiscard]] MpmcBlocked blocked() const noexcept { return blocked_; }
  [[nodiscard]] const MpmcParts& parts() const noexcept { return parts_; }

 private:
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
    if constexpr (Policy::kAnnounce) detail::announce(*record_, p, count);
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
    bool stayed = false;
    for (std::uint32_t attempt = 0; attempt < detail::kMpmcMaxAttempts; ++attempt) {
      const Position p = next_;
      const std::uint32_t ready = free_from(p, wanted);
      if (ready >= least) {
        announced = true;
        if (try_own(p, ready)) return true;
        back_off_.lost();
        continue;
      }
      if (ready != 0) {
        // Some are free, unless somebody owns them already and is still writing.
        next_ = detail::guess_tail(*parts_.positions);
        if (next_ == p) return give_up(MpmcBlocked::kFull, announced);
        continue;
      }
      const std::uint64_t word = detail::read_for_claim(state_at(p));
      const auto ahead = static_cast<std::int64_t>(mpmc_state::lap_in(word) - parts_.lap_of(p));
      if (ahead < 0) {
        // The lap before: still held or unread. Anything older was never ours to wait for.
        if (ahead < -static_cast<std::int64_t>(mpmc_state::kLap)) {
          return give_up(MpmcBlocked::kCorrupt, announced);
        }
        if (p != looked_full_ || stayed) {
          looked_full_ = p;
          stayed = stay_away(p);
          if (stayed) continue;
        }
        return give_up(MpmcBlocked::kFull, announced);
      }
      if (word == parts_.lap_of(p)) continue;  // given back since
      // Somebody has owned p already, so the tail is beyond it.
      const Position tail = detail::guess_tail(*parts_.positions);
      if (static_cast<std::int64_t>(tail - p) <= 0) {
        return give_up(MpmcBlocked::kCorrupt, announced);
      }
      next_ = tail;
    }
    return give_up(MpmcBlocked::kContended, announced);
  }

  // Whether it stayed. It was enough if the consumers have given back a quarter of the ring
  // meanwhile: as the next stay is twice or half as long, they get a quarter to a half ahead.
  bool stay_away(Position p) noexcept {
    if (!distance_.stay_away(p)) return false;
    const Position q = p + parts_.capacity / 4;
    distance_.yielded(detail::glance(state_at(q)) == parts_.lap_of(q));
    return true;
  }

  bool give_up(MpmcBlocked why, bool announced) noexcept {
    blocked_ = why;
    // Only a call in progress may hold a stale announcement.
    if (Policy::kAnnounce && announced) detail::announce_nothing(*record_);
    // After corruption start anew: the guess may be what misled us.
    if (why == MpmcBlocked::kCorrupt) next_ = detail::guess_tail(*parts_.positions);
    return false;
  }

  MpmcParts parts_;
  detail::AnnounceWord* record_;  // ours alone
  Position next_;                 // a guess of the tail
  Position first_ = 0;
  std::uint32_t count_ = 0;  // of the positions that we own
  MpmcBlocked blocked_ = MpmcBlocked::kNot;
  Position looked_full_;  // where we last ran into consumers
  BackOff back_off_{detail::kMpmcMaxPauses};
  Distance distance_;
};

// Takes messages and gives their slots back. One taking at a time; one thread at a time.
template <class Shape, class Policy>
class MpmcConsumerCore {
 public:
  MpmcConsumerCore(const MpmcParts& parts, std::uint32_t participant, Steering steering) noexcept
      : parts_(parts),
        record_(&parts.participants[participant].taking),
        next_(detail::guess_head(*parts.positions)),
        looked_empty_(next_ - 1),
        distance_(steering, next_, Distance::kJudged, detail::kMpmcMaxPauses),
        participant_(participant) {
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
    // Polling: still nothing there.
    if (word == free && p == looked_empty_ &&
        !detail::more_orphans_than(*parts_.positions, orphans_known_)) {
      return false;
    }
    return take_slowly(1, false);
  }

  // Takes 1 to `wanted` adjacent messages, as many as are there now. Progress: lock-free.
  bool take(std::uint32_t wanted) noexcept {
    assert(count_ == 0 && wanted > 0);
    wanted = std::min(wanted, mpmc_announcement::kMaxCount);
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

  // The taken positions are first() to first() + count() - 1.
  [[nodiscard]] Position first() const noexcept { return first_; }
  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
  // Whether what was taken had been in the hands of a consumer who died.
  [[nodiscard]] bool redelivered() const noexcept { return redelivered_; }

  RONDO_ALWAYS_INLINE void give_back() noexcept {
    give_back_each([](std::uint32_t, const std::byte*) {});
  }
  // `read(i, payload)` reads message i, which is given back at once after it.
  template <class Read>
  RONDO_ALWAYS_INLINE void give_back_each(Read read) noexcept {
    const std::uint32_t count = count_;
    detail::MpmcCursor<Shape> at(parts_, first_);
    for (std::uint32_t i = 0; i < count; ++i, at.forward()) {
      read(i, at.payload());
      detail::give_back(at.state(), at.lap() + mpmc_state::kLap);
    }
    count_ = 0;
  }
  RONDO_ALWAYS_INLINE void give_back_one() noexcept {
    assert(count_ == 1);
    give_back_slot(first_);
    count_ = 0;
  }

  [[nodiscard]] RONDO_ALWAYS_INLINE std::byte* payload(std::uint32_t i) const noexcept {
    return Shape::payload_at(parts_, first_ + i);
  }
  void report_corrupt() noexcept { blocked_ = MpmcBlocked::kCorrupt; }
  [[nodiscard]] MpmcBlocked blocked() const noexcept { return blocked_; }
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

  // Announces and takes. On failure next_ is the head.
  RONDO_ALWAYS_INLINE bool try_own(Position p, std::uint32_t count) noexcept {
    if constexpr (Policy::kAnnounce) detail::announce(*record_, p, count);
    if (!detail::advance_head(*parts_.positions, p, count)) [[unlikely]] {
      next_ = p;
      return false;
    }
    first_ = p;
    count_ = count;
    next_ = p + count;
    redelivered_ = false;
    // In a stream only: who waits for one message must not take the line from its producer.
    if (next_ - looked_empty_ > Distance::kStream) Shape::prefetch(parts_, next_, count);
    return true;
  }

  RONDO_COLD bool take_slowly(std::uint32_t wanted, bool announced) noexcept {
    bool stayed = false;
    for (std::uint32_t attempt = 0; attempt < detail::kMpmcMaxAttempts; ++attempt) {
      const Position p = next_;
      if (const std::uint32_t ready = written_from(p, wanted); ready != 0) {
        announced = true;
        if (try_own(p, ready)) return true;
        back_off_.lost();
        continue;
      }
      const std::uint64_t word = detail::read_for_take(state_at(p));
      const std::uint64_t free = parts_.lap_of(p);
      if (word == mpmc_state::make(free, SlotKind::kTombstone)) {
        announced = true;
        if (try_own(p, 1)) give_back_one();
        continue;
      }
      const auto ahead = static_cast<std::int64_t>(mpmc_state::lap_in(word) - free);
      if (word == free || ahead < 0) {
        // Not written yet, or still held from the lap before. Nothing older can be here.
        if (ahead < -static_cast<std::int64_t>(mpmc_state::kLap)) {
          return give_up(MpmcBlocked::kCorrupt, announced);
        }
        if (p != looked_empty_ || stayed) {
          looked_empty_ = p;
          blocked_ = MpmcBlocked::kEmpty;
          stayed = stay_away(p);
          if (stayed) continue;
        }
        if (adopt_orphan(announced)) return true;
        return give_up(MpmcBlocked::kEmpty, announced);
      }
      if (word == mpmc_state::make(free, SlotKind::kWritten)) continue;  // written since
      // Somebody has owned p already, so the head is beyond it.
      const Position head = detail::guess_head(*parts_.positions);
      if (static_cast<std::int64_t>(head - p) <= 0) {
        return give_up(MpmcBlocked::kCorrupt, announced);
      }
      next_ = head;
    }
    return give_up(MpmcBlocked::kContended, announced);
  }

  // Looks for a message whose consumer died, through one lap of slots behind the head. Only after
  // somebody told of orphans; goes on where the last search found one.
  bool adopt_orphan(bool& announced) noexcept {
    if (!detail::more_orphans_than(*parts_.positions, orphans_known_)) return false;
    const std::uint64_t told = detail::heard_of_orphans(*parts_.positions);
    const Position head = detail::head_for_recovery(*parts_.positions);
    Position q = head - parts_.capacity;
    if (told == orphans_searched_ && head - search_from_ < parts_.capacity) q = search_from_;
    orphans_searched_ = told;
    for (; q != head; ++q) {
      detail::SlotWord& state = state_at(q);
      const std::uint64_t orphaned = mpmc_state::make(parts_.lap_of(q), SlotKind::kOrphaned);
      if (detail::glance(state) != orphaned) continue;
      if constexpr (Policy::kAnnounce) detail::announce(*record_, q, 1);
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

  // Whether it stayed. It was enough if the producers have written a quarter of the ring meanwhile.
  bool stay_away(Position p) noexcept {
    if (!distance_.stay_away(p)) return false;
    const Position q = p + parts_.capacity / 4;
    const std::uint64_t word = detail::glance(state_at(q));
    distance_.yielded(static_cast<std::int64_t>(word - parts_.lap_of(q)) > 0);
    return true;
  }

  bool give_up(MpmcBlocked why, bool announced) noexcept {
    blocked_ = why;
    // Only a call in progress may hold a stale announcement.
    if (Policy::kAnnounce && announced) detail::announce_nothing(*record_);
    // After corruption start anew: the guess may be what misled us.
    if (why == MpmcBlocked::kCorrupt) next_ = detail::guess_head(*parts_.positions);
    return false;
  }

  MpmcParts parts_;
  detail::AnnounceWord* record_;  // ours alone
  Position next_;                 // a guess of the head
  Position first_ = 0;
  std::uint32_t count_ = 0;  // of the positions that we own
  MpmcBlocked blocked_ = MpmcBlocked::kNot;
  bool redelivered_ = false;
  Position looked_empty_;  // where we last ran into producers
  BackOff back_off_{detail::kMpmcMaxPauses};
  std::uint64_t orphans_known_ = 0;     // all told of up to here were looked for
  std::uint64_t orphans_searched_ = 0;  // what search_from_ belongs to
  Position search_from_ = 0;
  Distance distance_;
  std::uint32_t participant_;
};

}  // namespace rondo
