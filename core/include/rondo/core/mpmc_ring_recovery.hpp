// Recovery: what a dead participant owned in an mpmc ring becomes usable again.
//
// Pure: which ones are dead is asked of the caller, which asks the kernel (liveness.hpp). Runs on
// the slow path of blocked participants, and before a participant slot is taken over. docs/mpmc.md
// gives the argument; in short:
//
// - A position below the tail whose slot still awaits its producer has exactly one owner, and that
//   owner announces it. If a dead participant announces it and no live one does, the owner is dead:
//   the slot becomes a tombstone. Likewise for taken messages, which become orphans.
// - Every step is a compare-and-swap from the one state the dead owner left, and the dead one's
//   announcement goes last. So a recoverer may die anywhere, and the next one begins anew.
// - An announcement a live participant shares stays. It is that of a call in progress, possibly
//   of a paused process; recovery is tried again later.
//
// One pass asks the kernel about each participant at most once, before anything else, and holds the
// locks of the dead until its end. So all of them stay dead; any other that announces counts as
// alive, if only as being recovered by another one. The positions that were claimed, and then what
// the living have on record, are read after that: the order on which the argument rests.
#pragma once

#include <array>
#include <bitset>
#include <concepts>
#include <cstdint>

#include "rondo/core/mpmc_ring_layout.hpp"
#include "rondo/core/mpmc_ring_presence.hpp"
#include "rondo/core/mpmc_ring_waiters.hpp"
#include "rondo/core/mpmc_ring_words.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/position.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// The kernel's word on which participants live. They are numbered from 0.
//
//   try_lock_dead(i)  takes it, if it is free: true means i is dead, and stays so until
//   unlock(i)         gives it back
template <class L>
concept MpmcLiveness = requires(L& liveness, std::uint32_t participant) {
  { liveness.try_lock_dead(participant) } -> std::same_as<bool>;
  {liveness.unlock(participant)};
};

// What one recovery did.
struct MpmcRecovered {
  std::uint32_t tombstones = 0;   // claimed slots of dead producers that were given up
  std::uint32_t orphaned = 0;     // messages of dead consumers that await another one
  std::uint32_t dropped = 0;      // messages of dead consumers that are lost, as the option says
  std::uint32_t freed = 0;        // tombstones that a dead consumer had been skipping
  std::uint32_t marked_dead = 0;  // participants that will be counted as dead from now on
  bool pending = false;           // something had to stay, as a live participant may own it
  std::uint32_t awaited = 0;      // if pending: that participant

  // Whether blocked participants can go on now: wake the waiters of both sides.
  [[nodiscard]] bool anything() const noexcept {
    return tombstones + orphaned + dropped + freed + marked_dead != 0;
  }
};

// How the protocol is carried out. Anything but this is for tests and measurements, to show what
// each part of it is there for.
struct MpmcDefaultPolicy {
  static constexpr bool kAnnounce = true;  // possible owners of a position announce it
  static constexpr bool kScanLive = true;  // a live owner is never robbed
  static constexpr bool kSlotsBeforeAnnouncements = true;  // the announcement goes last
};

template <class Policy>
class basic_mpmc_recovery {
 public:
  // `self`: the recovering participant, whose counters go up; it is alive whatever the kernel says,
  // as no process sees a lock of its own.
  basic_mpmc_recovery(const MpmcParts& parts, std::uint32_t self) noexcept
      : parts_(parts),
        producers_(parts, MpmcWaiterSet::Side::kProducers),
        consumers_(parts, MpmcWaiterSet::Side::kConsumers),
        producing_(parts, MpmcPresence::Side::kProducers),
        consuming_(parts, MpmcPresence::Side::kConsumers),
        self_(self) {}

  // Recovers all that are dead. For blocked participants, from time to time.
  // Progress: lock-free; two system calls for each participant at most, and bounded by the dead
  // times the largest batch times the living, whatever a hostile peer has put on record.
  template <MpmcLiveness L>
  MpmcRecovered all(L& liveness) noexcept {
    MpmcRecovered result;
    const Participants dead = lock_dead(liveness, self_, &basic_mpmc_recovery::has_traces);
    if (dead.none()) return result;
    look(dead);
    for (std::uint32_t i = 0; i < parts_.participant_count; ++i) {
      if (dead[i]) recover(i, result);
    }
    unlock(dead, liveness);
    return result;
  }

  // Recovers one participant, whose liveness lock the caller holds: in order to take the slot over.
  // It may be `self`, the slot that the caller is about to have. The slot may be used unless the
  // result is pending. Progress: as all().
  template <MpmcLiveness L>
  MpmcRecovered one(std::uint32_t dead, L& liveness) noexcept {
    MpmcRecovered result;
    Participants others;
    if (has_announcement(dead)) {
      others = lock_dead(liveness, dead, &basic_mpmc_recovery::has_announcement);
    }
    look(Participants(others).set(dead));
    recover(dead, result);
    unlock(others, liveness);
    return result;
  }

 private:
  enum class Side : bool { kProducer, kConsumer };

  using Participants = std::bitset<mpmc_limits::kMaxParticipants>;

  // One side as a pass sees it.
  struct View {
    Position reached = 0;  // the tail or the head
    std::uint32_t announcements = 0;
    // Of those not known to be dead.
    std::array<std::uint64_t, mpmc_limits::kMaxParticipants> announcement;
    std::array<std::uint32_t, mpmc_limits::kMaxParticipants> owner;
  };

  [[nodiscard]] bool has_announcement(std::uint32_t i) const noexcept {
    return detail::read_announcement(word(i, Side::kProducer)) != mpmc_announcement::kNone ||
           detail::read_announcement(word(i, Side::kConsumer)) != mpmc_announcement::kNone;
  }
  [[nodiscard]] bool has_traces(std::uint32_t i) const noexcept {
    return has_announcement(i) || producers_.asleep(i) || consumers_.asleep(i) ||
           producing_.present(i) || consuming_.present(i);
  }

  // The dead ones of those for which `asked` holds, save `not_this`. They are locked now.
  template <MpmcLiveness L>
  [[nodiscard]] Participants lock_dead(L& liveness, std::uint32_t not_this,
                                       bool (basic_mpmc_recovery::*asked)(std::uint32_t)
                                           const noexcept) const noexcept {
    Participants dead;
    for (std::uint32_t i = 0; i < parts_.participant_count; ++i) {
      if (i == self_ || i == not_this || !(this->*asked)(i)) continue;
      if (liveness.try_lock_dead(i)) dead.set(i);
    }
    return dead;
  }
  template <MpmcLiveness L>
  void unlock(const Participants& dead, L& liveness) const noexcept {
    for (std::uint32_t i = 0; i < parts_.participant_count; ++i) {
      if (dead[i]) liveness.unlock(i);
    }
  }

  // To be called when `dead` are known to be: what they claimed lies before what is read here.
  // After a position was seen below the tail (or head), no participant can come to own it any more;
  // so what the living announce is read then, and for all positions at once.
  void look(const Participants& dead) noexcept {
    claimed_.reached = detail::tail_for_recovery(*parts_.positions);
    taken_.reached = detail::head_for_recovery(*parts_.positions);
    for (const Side side : {Side::kProducer, Side::kConsumer}) {
      View& view = view_of(side);
      view.announcements = 0;
      for (std::uint32_t i = 0; i < parts_.participant_count; ++i) {
        if (dead[i]) continue;
        const std::uint64_t announcement = detail::read_announcement(word(i, side));
        if (mpmc_announcement::count_in(announcement) == 0) continue;
        view.announcement[view.announcements] = announcement;
        view.owner[view.announcements++] = i;
      }
    }
  }

  void recover(std::uint32_t dead, MpmcRecovered& result) noexcept {
    if (producers_.asleep(dead)) producers_.leave(dead);
    if (consumers_.asleep(dead)) consumers_.leave(dead);
    recover_side(dead, Side::kProducer, result);
    recover_side(dead, Side::kConsumer, result);
    // Last: a participant that sees them counted finds the slots turned.
    result.marked_dead += static_cast<std::uint32_t>(producing_.mark_dead(dead)) +
                          static_cast<std::uint32_t>(consuming_.mark_dead(dead));
  }

  void recover_side(std::uint32_t dead, Side side, MpmcRecovered& result) noexcept {
    detail::AnnounceWord& announcement = word(dead, side);
    const std::uint64_t announced = detail::read_announcement(announcement);
    if (announced == mpmc_announcement::kNone) return;
    if constexpr (!Policy::kSlotsBeforeAnnouncements) detail::announce_nothing(announcement);

    const Position reached = view_of(side).reached;
    const Position first = mpmc_announcement::first_in(announced, reached);
    bool settled = true;
    for (std::uint32_t i = 0; i < mpmc_announcement::count_in(announced); ++i) {
      const Position position = first + i;
      // Only what was claimed, and not more than a lap ago, can still be owned.
      if (reached - position - 1 >= parts_.capacity) continue;
      settled &= side == Side::kProducer ? settle_claimed(position, result)
                                         : settle_taken(position, dead, result);
    }
    if (settled) detail::announce_nothing(announcement);
  }

  // The slot of a position that a dead producer announced. False if it has to stay as it is.
  bool settle_claimed(Position position, MpmcRecovered& result) noexcept {
    detail::SlotWord& state = parts_.state_at(position);
    const std::uint64_t free = parts_.lap_of(position);
    if (detail::load_relaxed(state) != free) return true;
    if (announced_by_a_live_one(position, Side::kProducer, result)) return false;
    if (detail::cas(state, free, mpmc_state::make(free, SlotKind::kTombstone))) {
      ++result.tombstones;
      detail::count_up(mine().tombstones, 1);
    }
    return true;
  }

  // The slot of a position that a dead consumer announced. False if it has to stay as it is.
  bool settle_taken(Position position, std::uint32_t dead, MpmcRecovered& result) noexcept {
    detail::SlotWord& state = parts_.state_at(position);
    const std::uint64_t lap = parts_.lap_of(position);
    const std::uint64_t adopted = mpmc_state::make(lap, SlotKind::kAdopted, dead);
    const std::uint64_t orphaned = mpmc_state::make(lap, SlotKind::kOrphaned);
    const std::uint64_t tombstone = mpmc_state::make(lap, SlotKind::kTombstone);
    const std::uint64_t seen = detail::load_relaxed(state);
    if (seen == orphaned) {
      // A recoverer may have died before it could tell.
      detail::signal_orphans(*parts_.positions);
      return true;
    }
    if (seen != mpmc_state::make(lap, SlotKind::kWritten) && seen != tombstone && seen != adopted) {
      return true;
    }
    // An adopted message names its owner; of the others it is known only which ones announced them.
    if (seen != adopted && announced_by_a_live_one(position, Side::kConsumer, result)) return false;
    const bool drop = parts_.on_consumer_death == OnConsumerDeath::kDrop;
    const std::uint64_t next_lap = lap + mpmc_state::kLap;
    if (!detail::cas(state, seen, seen == tombstone || drop ? next_lap : orphaned)) return true;
    if (seen == tombstone) {
      ++result.freed;
    } else if (drop) {
      ++result.dropped;
      detail::count_up(mine().dropped, 1);
    } else {
      ++result.orphaned;
      detail::count_up(mine().orphaned, 1);
      detail::signal_orphans(*parts_.positions);
    }
    return true;
  }

  // Whether a live participant announces `position`.
  bool announced_by_a_live_one(Position position, Side side, MpmcRecovered& result) noexcept {
    if constexpr (!Policy::kScanLive) return false;
    const View& view = view_of(side);
    for (std::uint32_t i = 0; i < view.announcements; ++i) {
      if (!mpmc_announcement::covers(view.announcement[i], position)) continue;
      result.pending = true;
      result.awaited = view.owner[i];
      return true;
    }
    return false;
  }

  [[nodiscard]] View& view_of(Side side) noexcept {
    return side == Side::kProducer ? claimed_ : taken_;
  }
  [[nodiscard]] detail::AnnounceWord& word(std::uint32_t i, Side side) const noexcept {
    return side == Side::kProducer ? parts_.participants[i].claiming
                                   : parts_.participants[i].taking;
  }
  [[nodiscard]] MpmcParticipantPart& mine() const noexcept { return parts_.participants[self_]; }

  MpmcParts parts_;
  MpmcWaiterSet producers_;
  MpmcWaiterSet consumers_;
  MpmcPresence producing_;
  MpmcPresence consuming_;
  std::uint32_t self_;
  View claimed_;
  View taken_;
};

using mpmc_recovery = basic_mpmc_recovery<MpmcDefaultPolicy>;

}  // namespace rondo::inline RONDO_ABI
