// A barrier between processes: so many come to a point, none goes on before all are there, and then
// again at the next point. A party that dies is removed, and the others are told.
//
//   auto step = sync::named<sync::barrier>("shm:step",
//                                          {.begin = [](auto& part) { part.begin(3); }});
//   for (;;) {
//     work();
//     switch (step->arrive_and_wait()) {        // each of three
//       case sync::BarrierResult::kDone: break;
//       case sync::BarrierResult::kPartyDied: share_out_its_work(); break;
//       default: return;
//     }
//   }
//
// It has a seat for each party, and the seat says whose it is (a tenure, member.hpp), and up to
// which phase it has arrived. A process takes a seat when it first arrives, or with take_seat();
// one whose threads are parties has a seat for each. The phase is over when all seats have arrived
// in it or are nobody's any more: there is no count that a kill could leave wrong.
//
//   seat     free -> (me, phase) -> (me, phase + 1): arrived -> ... -> dropped, or died
//   phase    phase -> phase + 1: by anybody who sees that all have arrived
//
// Each step is one compare-and-swap. Whoever arrives, or waits and looks, takes the last one, so
// the death of one that was about to harms nobody. Who waits sleeps on `phase`, marks it, and asks
// the kernel at the end of each slice (patience.hpp) after those who have not arrived: the seat of
// a dead one is marked `died` with the phase in which that was found out, and all who wait in that
// phase find it there. Later it counts as dropped. A process that dies before it has taken a seat
// is not known here: then the others wait for it; take seats early, or wait with a deadline.
//
// A peer that scribbles over the words can let the others go too early, or never, as by not coming.
// A seat of nobody passes for a dead one's.
//
// Ordering. Each label stands at exactly one operation below; pairs are mutual.
//
//   A1 seq_cst seats  ->  S1, S2 seats  what was done before arriving or dropping is done when the
//                                       phase is over; who has arrived had seen the one before over
//   A1, S1 seq_cst seats                forbid that two who arrive or drop at once miss each other,
//                                       and nobody ends the phase
//   P1 release phase  ->  P2 phase      what all did before they arrived is done, and the deaths
//                                       are marked, when the phase is seen to be over
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "rondo/core/atomic.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/guess.hpp"
#include "rondo/sync/member.hpp"
#include "rondo/sync/patience.hpp"

namespace rondo::inline RONDO_ABI::sync {

// The words in the segment. Zero is a barrier of nobody.
//
//   offset  size      field  written by     meaning
//        0     4      phase  all            bits 0-30 phases that are over, modulo 2^31; 31
//                                           somebody sleeps; the futex word
//        4     4      begun  the creator    seats that it was made with
//        8    56      (zero)
//       64  8 * Most  seats  who sits there bits 0-31 whose: 0, kDropped, kDied, or a tenure; 32-63
//                                           the phase after the last one it arrived in; of the
//                                           dead: after the one in which that was found out
template <std::uint32_t Most>
struct BarrierPart {
  static_assert(Most >= 1 && Most <= 1024);
  static constexpr std::uint32_t kCommonTag = 9;
  static constexpr std::uint32_t kAsleep = std::uint32_t{1} << 31;
  static constexpr std::uint32_t kPhase = kAsleep - 1;
  static constexpr std::uint32_t kDropped = 1;  // no tenure is so small
  static constexpr std::uint32_t kDied = 2;

  Atomic<std::uint32_t> phase;
  Atomic<std::uint32_t> begun;
  std::byte zero[56];
  Atomic<std::uint64_t> seats[Most];

  // Makes seats for so many parties, Most at most. Caller: the creator, before anybody else sees
  // it.
  void begin(std::uint32_t parties) noexcept {
    // relaxed: nobody sees it yet.
    begun.store(parties < Most ? parties : Most, std::memory_order_relaxed);
  }
};
static_assert(offsetof(BarrierPart<2>, begun) == 4);
static_assert(offsetof(BarrierPart<2>, seats) == kLineBytes);
static_assert(sizeof(BarrierPart<2>) == kLineBytes + 16);
static_assert(std::is_standard_layout_v<BarrierPart<2>>);
static_assert(std::is_trivially_destructible_v<BarrierPart<2>>);
static_assert(kFirstTenure > BarrierPart<1>::kDied);

enum class BarrierResult : std::uint8_t {
  kDone,       // all have arrived
  kPartyDied,  // all have arrived but those that died since the last phase, and are parties no more
  kTimedOut,   // the deadline passed; the arrival stands, and can be waited for again
  kNoSeat,     // not arrived: all seats are other ones', or have been dropped
  kNoMember    // this process is no member: it has left the segment, or is a forked child
};

// A handle; all threads of a process may share it, and each process has its own. Seats are the
// process's: those of its threads that arrive in one phase take one each. A forked child has none
// of its parent's. A process that leaves the segment with a seat counts as dead.
//
// Progress: as said; all loops are over the seats. A death costs those who wait up to 50 ms.
template <std::uint32_t Most, class System = BellSystem, class Member = member>
class basic_barrier {
 public:
  using Part = BarrierPart<Most>;

  // That one has arrived in a phase, to be waited for. Asked as a bool: whether one has; if not,
  // wait() says why.
  class [[nodiscard]] arrival_token {
   public:
    explicit operator bool() const noexcept { return result_ == BarrierResult::kDone; }

   private:
    friend basic_barrier;
    arrival_token(BarrierResult result, std::uint32_t phase) noexcept
        : result_(result), phase_(phase) {}
    BarrierResult result_;
    std::uint32_t phase_;
  };

  // `part` lies in the segment of which `who` is a member; both outlive this object.
  basic_barrier(Part& part, const Member& who) noexcept : part_(&part), who_(&who), near_(0) {}

  [[nodiscard]] static constexpr std::uint32_t max() noexcept { return Most; }

  // Takes a free seat, for a party that has not arrived yet: from now on its death is noticed.
  // False if there is none. Progress: wait-free.
  bool take_seat() noexcept {
    const std::uint32_t mine = who_->tenure();
    return mine != 0 && take(0, seat_of(mine, phase_now()));
  }

  // Arrives in the phase that goes on, and ends it if all others have. Progress: lock-free, a
  // system call if that ends it and others sleep. Memory ordering: what was done before is visible
  // to all who see the phase over.
  arrival_token arrive() noexcept {
    const std::uint32_t mine = who_->tenure();
    if (mine == 0) return {BarrierResult::kNoMember, 0};
    const std::uint32_t phase = phase_now();
    const std::uint64_t arrived = seat_of(mine, next(phase));
    if (!take(mine, arrived) && !take(0, arrived)) return {BarrierResult::kNoSeat, 0};
    end_if_all_arrived(phase);
    return {BarrierResult::kDone, phase};
  }
  // Arrives in it, and is no party any more in those that follow. False if it had no seat and none
  // was free. Progress and memory ordering: as arrive().
  bool arrive_and_drop() noexcept {
    const std::uint32_t mine = who_->tenure();
    if (mine == 0) return false;
    const std::uint32_t phase = phase_now();
    const std::uint64_t arrived = seat_of(mine, next(phase));
    if (!take(mine, Part::kDropped, arrived) && !take(0, Part::kDropped, arrived)) return false;
    end_if_all_arrived(phase);
    return true;
  }

  // Whether the phase is over. Progress: lock-free.
  [[nodiscard]] bool try_wait(const arrival_token& arrival) noexcept {
    return arrival && end_if_all_arrived(arrival.phase_);
  }
  // Waits until the phase is over, until `deadline` at most, and says how that went; may be called
  // again, until the next arrival. Progress: blocking. Memory ordering: if it is over, what all did
  // before they arrived is visible; what the dead did, too.
  [[nodiscard]] BarrierResult wait(const arrival_token& arrival,
                                   Deadline deadline = Deadline::never()) noexcept {
    if (!arrival) return arrival.result_;
    if (who_->tenure() == 0) return BarrierResult::kNoMember;
    if (end_if_all_arrived(arrival.phase_)) return outcome(arrival.phase_);
    return wait_slowly(arrival.phase_, deadline);
  }
  template <class Rep, class Period>
  [[nodiscard]] BarrierResult wait_for(const arrival_token& arrival,
                                       std::chrono::duration<Rep, Period> duration) noexcept {
    return wait(arrival, Deadline::after(duration));
  }
  template <class Clock, class Duration>
  [[nodiscard]] BarrierResult wait_until(const arrival_token& arrival,
                                         const std::chrono::time_point<Clock, Duration>& time) {
    BarrierResult result = BarrierResult::kTimedOut;
    static_cast<void>(attempt_until(time, [&](Deadline deadline) {
      result = wait(arrival, deadline);
      return result != BarrierResult::kTimedOut;
    }));
    return result;
  }
  // Both. With a deadline take arrive() and wait(): an arrival can't be taken back.
  [[nodiscard]] BarrierResult arrive_and_wait() noexcept { return wait(arrive()); }

  // How many seats there are, free and taken, without those that were dropped or whose owner was
  // found dead. Progress: wait-free.
  [[nodiscard]] std::uint32_t parties() const noexcept {
    std::uint32_t found = 0;
    for (std::uint32_t at = 0; at < seats(); ++at) {
      // relaxed: old news when it is returned.
      const std::uint32_t whose = whose_of(part_->seats[at].load(std::memory_order_relaxed));
      found += whose != Part::kDropped && whose != Part::kDied ? 1 : 0;
    }
    return found;
  }

  // Whether nothing would be lost with the words: when all have left, all seats are the dead's.
  [[nodiscard]] static bool settled(const Part&) noexcept { return true; }

 private:
  [[nodiscard]] static std::uint64_t seat_of(std::uint32_t whose, std::uint32_t phase) noexcept {
    return std::uint64_t{phase} << 32 | whose;
  }
  [[nodiscard]] static std::uint32_t whose_of(std::uint64_t seat) noexcept {
    return static_cast<std::uint32_t>(seat);
  }
  [[nodiscard]] static std::uint32_t phase_of(std::uint64_t seat) noexcept {
    return static_cast<std::uint32_t>(seat >> 32);
  }
  [[nodiscard]] static std::uint32_t next(std::uint32_t phase) noexcept {
    return (phase + 1) & Part::kPhase;
  }
  // Phases go round: whether `one` lies in the half behind `other`.
  [[nodiscard]] static bool is_before(std::uint32_t one, std::uint32_t other) noexcept {
    const std::uint32_t age = (other - one) & Part::kPhase;
    return age != 0 && age <= Part::kPhase / 2;
  }
  // The creator's word, so as much as there can be.
  [[nodiscard]] std::uint32_t seats() const noexcept {
    // relaxed: written before anybody came.
    const std::uint32_t begun = part_->begun.load(std::memory_order_relaxed);
    return begun < Most ? begun : Most;
  }
  // The phase that goes on, for one with a seat that has not arrived in it: it stays.
  [[nodiscard]] std::uint32_t phase_now() const noexcept {
    // relaxed: whoever had arrived before has waited.
    return part_->phase.load(std::memory_order_relaxed) & Part::kPhase;
  }

  // Changes a seat of `whose` that is not `arrived` yet to that, or to `as`. False if there is
  // none.
  bool take(std::uint32_t whose, std::uint64_t arrived) noexcept {
    return take(whose, arrived, arrived);
  }
  bool take(std::uint32_t whose, std::uint64_t as, std::uint64_t arrived) noexcept {
    const std::uint32_t count = seats();
    for (std::uint32_t i = 0, at = near_.get(); i < kTurns * count; ++i, ++at) {
      if (at >= count) at = 0;
      auto& seat = part_->seats[at];
      // relaxed: A1 decides.
      std::uint64_t seen = seat.load(std::memory_order_relaxed);
      if (whose_of(seen) != whose || seen == arrived) continue;
      // A1 (seq_cst, pairs with S1, S2): what was done before is done. And this party and another
      // one that arrives or drops do not miss each other.
      // relaxed on failure: another one was faster.
      if (seat.compare_exchange_strong(seen, as, std::memory_order_seq_cst,
                                       std::memory_order_relaxed)) {
        near_.set(at);
        return true;
      }
    }
    return false;
  }

  // Whether nobody holds the phase up.
  [[nodiscard]] bool all_arrived(std::uint32_t phase) noexcept;
  // Ends it then; whether it is over.
  bool end_if_all_arrived(std::uint32_t phase) noexcept;
  [[nodiscard]] BarrierResult outcome(std::uint32_t phase) const noexcept {
    for (std::uint32_t at = 0; at < seats(); ++at) {
      // relaxed: P2 brought what was marked in this phase.
      if (part_->seats[at].load(std::memory_order_relaxed) == seat_of(Part::kDied, next(phase))) {
        return BarrierResult::kPartyDied;
      }
    }
    return BarrierResult::kDone;
  }
  RONDO_COLD BarrierResult wait_slowly(std::uint32_t phase, Deadline deadline) noexcept;
  RONDO_COLD void remove_the_dead(std::uint32_t phase) noexcept;

  // All seats are looked at so often before it is said that there is none: other threads of this
  // process may take what was just passed, each time it is looked at.
  static constexpr std::uint32_t kTurns = 2;

  Part* part_;
  const Member* who_;
  detail::Guess near_;  // the seat that was taken last
};

template <std::uint32_t Most, class System, class Member>
bool basic_barrier<Most, System, Member>::all_arrived(std::uint32_t phase) noexcept {
  for (std::uint32_t at = 0; at < seats(); ++at) {
    auto& seat = part_->seats[at];
    // S1 (seq_cst, pairs with A1): what this one did before it arrived is done. And one of two who
    // come at once sees both.
    std::uint64_t seen = seat.load(std::memory_order_seq_cst);
    switch (whose_of(seen)) {
      case 0: return false;
      case Part::kDropped: break;
      case Part::kDied:
        // All have been told that wait for a phase before the last one. A mark of a later phase is
        // not for us, who look at one that is over. relaxed, both: for those alone who come 2^31
        // phases later.
        if (is_before(phase_of(seen), phase)) {
          seat.compare_exchange_strong(seen, Part::kDropped, std::memory_order_relaxed,
                                       std::memory_order_relaxed);
        }
        break;
      default:
        if (phase_of(seen) != next(phase)) return false;
    }
  }
  return true;
}

template <std::uint32_t Most, class System, class Member>
bool basic_barrier<Most, System, Member>::end_if_all_arrived(std::uint32_t phase) noexcept {
  // Once more if one has but said that it sleeps; a peer that changes the word all the time makes
  // us wait for a turn.
  for (int tries = 0; tries < 64; ++tries) {
    // P2 (acquire, pairs with P1): what all did before they arrived is done, if the phase is over.
    std::uint32_t seen = part_->phase.load(std::memory_order_acquire);
    if ((seen & Part::kPhase) != phase) return true;
    if (!all_arrived(phase)) return false;
    // P1 (release, pairs with P2): what all did before they arrived is done.
    // relaxed on failure: P2 is asked again.
    if (part_->phase.compare_exchange_strong(seen, next(phase), std::memory_order_release,
                                             std::memory_order_relaxed)) {
      if ((seen & Part::kAsleep) != 0) {
        System::wake(part_->phase, std::numeric_limits<int>::max());
      }
      return true;
    }
  }
  return false;
}

template <std::uint32_t Most, class System, class Member>
void basic_barrier<Most, System, Member>::remove_the_dead(std::uint32_t phase) noexcept {
  for (std::uint32_t at = 0; at < seats(); ++at) {
    auto& seat = part_->seats[at];
    // S2 (acquire, pairs with A1): one that has arrived in the next phase shows that this one is
    // over.
    std::uint64_t seen = seat.load(std::memory_order_acquire);
    const std::uint32_t whose = whose_of(seen);
    if (whose <= Part::kDied || whose == who_->tenure() || phase_of(seen) == next(phase) ||
        !who_->ended(whose)) {
      continue;
    }
    // relaxed: S2 orders. If the phase is over by now, this one may have arrived in it.
    if ((part_->phase.load(std::memory_order_relaxed) & Part::kPhase) != phase) return;
    // relaxed, both: who ends the phase has seen it, and P1 says so to the others. One that arrives
    // at this moment and misses it is ended for by us, or at the end of a slice.
    seat.compare_exchange_strong(seen, seat_of(Part::kDied, next(phase)), std::memory_order_relaxed,
                                 std::memory_order_relaxed);
  }
}

template <std::uint32_t Most, class System, class Member>
BarrierResult basic_barrier<Most, System, Member>::wait_slowly(std::uint32_t phase,
                                                               Deadline deadline) noexcept {
  Patience<System> patience(who_->looks(), deadline);
  while (!end_if_all_arrived(phase)) {
    switch (patience.next()) {
      case PatienceStep::kLook: break;
      case PatienceStep::kSleep: {
        // relaxed, all: says nothing about what was done.
        std::uint32_t seen = part_->phase.load(std::memory_order_relaxed);
        if ((seen & Part::kPhase) != phase) break;
        const std::uint32_t said = seen | Part::kAsleep;
        if (seen != said && !part_->phase.compare_exchange_strong(
                                seen, said, std::memory_order_relaxed, std::memory_order_relaxed)) {
          break;
        }
        patience.sleep(part_->phase, said);
        break;
      }
      case PatienceStep::kAsk: remove_the_dead(phase); break;
      case PatienceStep::kGiveUp: return BarrierResult::kTimedOut;
    }
  }
  return outcome(phase);
}

// `Most` seats, of which begin() says how many are there.
template <std::uint32_t Most = 64>
using counting_barrier = basic_barrier<Most>;
using barrier = counting_barrier<>;

}  // namespace rondo::inline RONDO_ABI::sync
