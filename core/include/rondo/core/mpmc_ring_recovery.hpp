// Recovery: what a dead participant owned in an MPMC slot ring becomes usable again.
//
// Pure: who is dead is asked of the caller, who asks the kernel (liveness.hpp). Runs on the slow
// path of whoever is blocked, and before a participant slot is taken over. docs/mpmc.md gives the
// argument; in short:
//
// - A position below the tail whose slot still awaits its producer has exactly one owner, and that
//   owner announces it. If a dead participant announces it and no live one does, the owner is dead:
//   the slot becomes a tombstone. Likewise for taken messages, which become orphans.
// - Every step is a compare-and-swap from the one state the dead owner left, and the dead one's
//   announcement goes last. So a recoverer may die anywhere, and the next one begins anew.
// - An announcement a live participant shares stays. It is that of a call in progress, possibly
//   of a paused process; recovery is tried again later.
#pragma once

#include <concepts>
#include <cstdint>

#include "rondo/core/mpmc_ring_attendance.hpp"
#include "rondo/core/mpmc_ring_layout.hpp"
#include "rondo/core/mpmc_ring_sleepers.hpp"
#include "rondo/core/mpmc_ring_words.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/position.hpp"

namespace rondo {

// The kernel's word on who lives. Participants are numbered from 0.
//
//   is_dead(i)        nobody holds participant i's liveness lock
//   try_lock_dead(i)  takes it, if nobody holds it: true means i is dead, and stays so until
//   unlock(i)         gives it back
template <class L>
concept MpmcLiveness = requires(L& liveness, std::uint32_t participant) {
  { liveness.is_dead(participant) } -> std::same_as<bool>;
  { liveness.try_lock_dead(participant) } -> std::same_as<bool>;
  {liveness.unlock(participant)};
};

// What one recovery did.
struct MpmcRecovered {
  std::uint32_t tombstones = 0;  // claimed slots of dead producers that were given up
  std::uint32_t orphaned = 0;    // messages of dead consumers that await another one
  std::uint32_t dropped = 0;     // messages of dead consumers that are lost, as the option says
  std::uint32_t freed = 0;       // tombstones that a dead consumer had been skipping
  std::uint32_t buried = 0;      // participants who will be counted as dead from now on
  bool pending = false;          // something had to stay, as a live participant may own it
  std::uint32_t awaited = 0;     // if pending: that participant

  // Whether others who are blocked can go on now: wake the sleepers of both sides.
  [[nodiscard]] bool anything() const noexcept {
    return tombstones + orphaned + dropped + freed + buried != 0;
  }
};

// How the protocol is carried out. Anything but this is for tests and measurements, to show what
// each part of it is there for.
struct MpmcSound {
  static constexpr bool kAnnounce = true;            // who may own a position is on record
  static constexpr bool kScanLive = true;            // a live owner is never robbed
  static constexpr bool kSlotsBeforeRecords = true;  // the announcement goes last
};

template <class Policy>
class basic_mpmc_recovery {
 public:
  // `self`: the recovering participant, whose counters go up; it is alive whatever the kernel says,
  // as nobody sees a lock of their own.
  basic_mpmc_recovery(const MpmcParts& parts, std::uint32_t self) noexcept
      : parts_(parts),
        producers_(parts, MpmcSleepers::Side::kProducers),
        consumers_(parts, MpmcSleepers::Side::kConsumers),
        producing_(parts, MpmcAttendance::Side::kProducers),
        consuming_(parts, MpmcAttendance::Side::kConsumers),
        self_(self) {}

  // Recovers all who are dead. For whoever is blocked, from time to time.
  // Progress: lock-free; bounded by participants times the largest batch.
  template <MpmcLiveness L>
  MpmcRecovered all(L& liveness) noexcept {
    MpmcRecovered result;
    for (std::uint32_t i = 0; i < parts_.participant_count; ++i) {
      if (i == self_ || !has_traces(i) || !liveness.try_lock_dead(i)) continue;
      recover(i, liveness, result);
      liveness.unlock(i);
    }
    return result;
  }

  // Recovers one participant, whose liveness lock the caller holds: in order to take the slot over.
  // It may be `self`, the slot that the caller is about to have. The slot may be used unless the
  // result is pending.
  template <MpmcLiveness L>
  MpmcRecovered one(std::uint32_t dead, L& liveness) noexcept {
    MpmcRecovered result;
    recover(dead, liveness, result);
    return result;
  }

 private:
  enum class Side : bool { kProducer, kConsumer };

  [[nodiscard]] bool has_traces(std::uint32_t i) const noexcept {
    return detail::read_announcement(word(i, Side::kProducer)) != mpmc_announcement::kNone ||
           detail::read_announcement(word(i, Side::kConsumer)) != mpmc_announcement::kNone ||
           producers_.asleep(i) || consumers_.asleep(i) || producing_.present(i) ||
           consuming_.present(i);
  }

  template <MpmcLiveness L>
  void recover(std::uint32_t dead, L& liveness, MpmcRecovered& result) noexcept {
    if (producers_.asleep(dead)) producers_.leave(dead);
    if (consumers_.asleep(dead)) consumers_.leave(dead);
    recover_side(dead, Side::kProducer, liveness, result);
    recover_side(dead, Side::kConsumer, liveness, result);
    // Last: who sees them counted finds the slots turned.
    result.buried += static_cast<std::uint32_t>(producing_.bury(dead)) +
                     static_cast<std::uint32_t>(consuming_.bury(dead));
  }

  template <MpmcLiveness L>
  void recover_side(std::uint32_t dead, Side side, L& liveness, MpmcRecovered& result) noexcept {
    detail::AnnounceWord& record = word(dead, side);
    const std::uint64_t announced = detail::read_announcement(record);
    if (announced == mpmc_announcement::kNone) return;
    if constexpr (!Policy::kSlotsBeforeRecords) detail::announce_nothing(record);

    const Position reached = side == Side::kProducer ? detail::tail_for_recovery(*parts_.positions)
                                                     : detail::head_for_recovery(*parts_.positions);
    const Position first = mpmc_announcement::first_in(announced, reached);
    bool settled = true;
    for (std::uint32_t i = 0; i < mpmc_announcement::count_in(announced); ++i) {
      const Position position = first + i;
      // Only what was claimed, and not more than a lap ago, can still be anyone's.
      if (reached - position - 1 >= parts_.capacity) continue;
      settled &= side == Side::kProducer ? settle_claimed(position, dead, liveness, result)
                                         : settle_taken(position, dead, liveness, result);
    }
    if (settled) detail::announce_nothing(record);
  }

  // The slot of a position that a dead producer announced. False if it has to stay as it is.
  template <MpmcLiveness L>
  bool settle_claimed(Position position, std::uint32_t dead, L& liveness,
                      MpmcRecovered& result) noexcept {
    detail::SlotWord& state = parts_.state_at(position);
    const std::uint64_t free = parts_.lap_of(position);
    if (detail::glance(state) != free) return true;
    if (a_live_one_announces(position, dead, Side::kProducer, liveness, result)) return false;
    if (detail::turn(state, free, mpmc_state::make(free, SlotKind::kTombstone))) {
      ++result.tombstones;
      detail::count_up(mine().tombstones, 1);
    }
    return true;
  }

  // The slot of a position that a dead consumer announced. False if it has to stay as it is.
  template <MpmcLiveness L>
  bool settle_taken(Position position, std::uint32_t dead, L& liveness,
                    MpmcRecovered& result) noexcept {
    detail::SlotWord& state = parts_.state_at(position);
    const std::uint64_t lap = parts_.lap_of(position);
    const std::uint64_t adopted = mpmc_state::make(lap, SlotKind::kAdopted, dead);
    const std::uint64_t orphaned = mpmc_state::make(lap, SlotKind::kOrphaned);
    const std::uint64_t tombstone = mpmc_state::make(lap, SlotKind::kTombstone);
    const std::uint64_t seen = detail::glance(state);
    if (seen == orphaned) {
      // A recoverer may have died before it could tell.
      detail::tell_of_orphans(*parts_.positions);
      return true;
    }
    if (seen != mpmc_state::make(lap, SlotKind::kWritten) && seen != tombstone && seen != adopted) {
      return true;
    }
    // An adopted message names its owner; of the others it is known only who announced them.
    if (seen != adopted &&
        a_live_one_announces(position, dead, Side::kConsumer, liveness, result)) {
      return false;
    }
    const bool drop = parts_.on_consumer_death == OnConsumerDeath::kDrop;
    const std::uint64_t next_lap = lap + mpmc_state::kLap;
    if (!detail::turn(state, seen, seen == tombstone || drop ? next_lap : orphaned)) return true;
    if (seen == tombstone) {
      ++result.freed;
    } else if (drop) {
      ++result.dropped;
      detail::count_up(mine().dropped, 1);
    } else {
      ++result.orphaned;
      detail::count_up(mine().orphaned, 1);
      detail::tell_of_orphans(*parts_.positions);
    }
    return true;
  }

  // Whether anyone alive, other than `dead`, has `position` on record. Asked after the position was
  // seen below the tail (or head): from then on nobody can come to own it any more.
  template <MpmcLiveness L>
  bool a_live_one_announces(Position position, std::uint32_t dead, Side side, L& liveness,
                            MpmcRecovered& result) noexcept {
    if constexpr (!Policy::kScanLive) return false;
    for (std::uint32_t i = 0; i < parts_.participant_count; ++i) {
      if (i == dead) continue;
      if (!mpmc_announcement::covers(detail::read_announcement(word(i, side)), position)) continue;
      if (i != self_ && liveness.is_dead(i)) continue;
      result.pending = true;
      result.awaited = i;
      return true;
    }
    return false;
  }

  [[nodiscard]] detail::AnnounceWord& word(std::uint32_t i, Side side) const noexcept {
    return side == Side::kProducer ? parts_.participants[i].claiming
                                   : parts_.participants[i].taking;
  }
  [[nodiscard]] MpmcParticipantPart& mine() const noexcept { return parts_.participants[self_]; }

  MpmcParts parts_;
  MpmcSleepers producers_;
  MpmcSleepers consumers_;
  MpmcAttendance producing_;
  MpmcAttendance consuming_;
  std::uint32_t self_;
};

using mpmc_recovery = basic_mpmc_recovery<MpmcSound>;

}  // namespace rondo
