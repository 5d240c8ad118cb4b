// Event flags between processes: 32 bits that anybody sets and clears, and that others wait for,
// any of some or all of them.
//
//   auto events = sync::named<sync::event_flags>("shm:plant");
//   events->set(kDoorOpen);                                  // one process
//   if (events->wait_any(kDoorOpen | kFire, deadline)) ...   // others; the bits stay
//   if (events->take_any(kJob, deadline)) ...                // or one of them, which clears them
//
// Nobody owns anything here, so no death can leave anything but a late wake. Setting is one step,
// taking is a compare-and-swap: each bit that is set is taken once. Who finds nothing says so in
// `rings`, looks once more, and sleeps on that word in slices; who sets a bit looks there, and
// wakes all. No wake is lost: of
//
//   set a bit; look at `rings`     and     say in `rings` that one sleeps; look at the bits
//
// one sees the other.
//
// Ordering. Each label stands at exactly one operation below; pairs are mutual.
//
//   E1, E2 seq_cst bits  ->  T1 acquire bits    what was done before bits were set or cleared is
//                                               done when they are seen to be (W2 acquires as well)
//   E1 seq_cst bits, E3 seq_cst rings           forbid, with W1 and W2, that who sets a bit and who
//   W1 seq_cst rings, W2 seq_cst bits           waits for it miss each other
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "rondo/core/atomic.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/member.hpp"
#include "rondo/sync/patience.hpp"
#include "rondo/sync/rings.hpp"

namespace rondo::inline RONDO_ABI::sync {

// The words in the segment. Zero is no bit set.
//
//   offset  size  field  written by  meaning
//        0     4  rings  all         see rings.hpp; the futex word
//        4     4  bits   all         the flags
struct EventFlagsPart {
  static constexpr std::uint32_t kCommonTag = 6;

  Atomic<std::uint32_t> rings;
  Atomic<std::uint32_t> bits;
};
static_assert(offsetof(EventFlagsPart, rings) == 0);
static_assert(offsetof(EventFlagsPart, bits) == 4);
static_assert(sizeof(EventFlagsPart) == 8);
static_assert(std::is_standard_layout_v<EventFlagsPart>);
static_assert(std::is_trivially_destructible_v<EventFlagsPart>);

// A handle; all threads of a process may share it, and each process has its own.
template <class System = BellSystem, class Member = member>
class basic_event_flags {
 public:
  using Part = EventFlagsPart;

  // `part` lies in the segment of which `who` is a member; both outlive this object.
  basic_event_flags(EventFlagsPart& part, const Member& who) noexcept : part_(&part), who_(&who) {}

  // Sets those bits, and wakes all who wait. Returns what was set before. Progress: wait-free while
  // nobody waits, a system call otherwise. Memory ordering: what was done before is visible to who
  // sees one of the bits.
  std::uint32_t set(std::uint32_t bits) noexcept {
    // E1 (seq_cst, pairs with T1): what was done before is done. And it stands before E3.
    const std::uint32_t before = part_->bits.fetch_or(bits, std::memory_order_seq_cst);
    // E3 (seq_cst, forbids that a waiter that missed the bits is missed here).
    if ((part_->rings.load(std::memory_order_seq_cst) & detail::kAsleep) != 0) [[unlikely]]
      detail::ring_all<System>(part_->rings);
    return before;
  }
  // Clears those bits. Returns what was set before. Progress: wait-free.
  std::uint32_t clear(std::uint32_t bits) noexcept {
    // E2 (seq_cst, pairs with T1): what was done before is done.
    return part_->bits.fetch_and(~bits, std::memory_order_seq_cst);
  }
  // What is set now. Progress: wait-free. Memory ordering: as the waits.
  [[nodiscard]] std::uint32_t get() const noexcept { return look(); }

  // Waits until any of the bits is set, or all of them, until `deadline` at most. Returns those of
  // them that are set; 0: it was not so in time. They stay set. For no bits: 0, at once.
  // Progress: blocking. Memory ordering: what was done before they were set is visible.
  [[nodiscard]] std::uint32_t wait_any(std::uint32_t bits,
                                       Deadline deadline = Deadline::never()) noexcept {
    return wait(bits, deadline, {.all = false, .take = false});
  }
  [[nodiscard]] std::uint32_t wait_all(std::uint32_t bits,
                                       Deadline deadline = Deadline::never()) noexcept {
    return wait(bits, deadline, {.all = true, .take = false});
  }
  // As above, and clears those that are returned, in the same step: of several who wait for one bit
  // one gets it.
  [[nodiscard]] std::uint32_t take_any(std::uint32_t bits,
                                       Deadline deadline = Deadline::never()) noexcept {
    return wait(bits, deadline, {.all = false, .take = true});
  }
  [[nodiscard]] std::uint32_t take_all(std::uint32_t bits,
                                       Deadline deadline = Deadline::never()) noexcept {
    return wait(bits, deadline, {.all = true, .take = true});
  }

  // Whether nothing would be lost with the words: no bit is set. For the last one to leave, under
  // the membership lock.
  [[nodiscard]] static bool settled(const EventFlagsPart& part) noexcept {
    // relaxed: the membership lock orders what others did.
    return part.bits.load(std::memory_order_relaxed) == 0;
  }

 private:
  struct How {
    bool all;
    bool take;
  };

  [[nodiscard]] std::uint32_t look() const noexcept {
    // W2 (seq_cst, forbids that a bit set by one that missed W1 is missed here).
    return part_->bits.load(std::memory_order_seq_cst);
  }
  // Those of the bits that are set, if they are what is waited for, and were taken if they are to
  // be.
  [[nodiscard]] std::uint32_t try_get(std::uint32_t bits, How how) noexcept {
    std::uint32_t seen = look();
    // A peer that changes the bits all the time makes us wait for a turn.
    for (int i = 0; i < 64; ++i) {
      const std::uint32_t found = seen & bits;
      if (how.all ? found != bits : found == 0) return 0;
      // T1 (acquire, pairs with E1, E2): what was done before the bits were set is done.
      // relaxed on failure: the next turn of this loop takes it with acquire, or another look.
      if (!how.take ||
          part_->bits.compare_exchange_weak(seen, seen & ~found, std::memory_order_acquire,
                                            std::memory_order_relaxed)) {
        return found;
      }
    }
    return 0;
  }
  [[nodiscard]] std::uint32_t wait(std::uint32_t bits, Deadline deadline, How how) noexcept {
    if (bits == 0) return 0;
    if (const std::uint32_t found = try_get(bits, how); found != 0) return found;
    return wait_slowly(bits, deadline, how);
  }
  RONDO_COLD std::uint32_t wait_slowly(std::uint32_t bits, Deadline deadline, How how) noexcept {
    Patience<System> patience(who_->looks(), deadline);
    for (;;) {
      switch (patience.next()) {
        case PatienceStep::kLook:
        case PatienceStep::kAsk: break;  // nobody is waited for
        case PatienceStep::kSleep: {
          // W1 (seq_cst, forbids that who sets a bit that W2 misses misses this).
          const std::uint32_t said =
              part_->rings.fetch_or(detail::kAsleep, std::memory_order_seq_cst) | detail::kAsleep;
          if (const std::uint32_t found = try_get(bits, how); found != 0) return found;
          patience.sleep(part_->rings, said);
          break;
        }
        case PatienceStep::kGiveUp: return 0;
      }
      if (const std::uint32_t found = try_get(bits, how); found != 0) return found;
    }
  }

  EventFlagsPart* part_;
  const Member* who_;
};

using event_flags = basic_event_flags<>;

}  // namespace rondo::inline RONDO_ABI::sync
