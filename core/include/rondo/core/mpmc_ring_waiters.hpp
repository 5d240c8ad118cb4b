// Which participants sleep on an mpmc ring: one bit per participant and side, so that a
// publisher wakes exactly as many as there is work for, each of them once, and a dead waiter's bit
// can be told from a live one's. The sleeping and waking itself is the operating system's (sync/).
//
//   waiter i                               publisher
//   b = bell of i; set bit i               publish slots        (S1, S3)
//   heavy fence                            any() -> relaxed load, nothing more if none sleeps
//   look at the ring again                 wake_one(): take a bit, move that participant's bell,
//   sleep on the bell while it is b        wake it; repeat for each slot published
//   clear bit i
//
// The heavy fence (sync/asymmetric_fence.hpp) makes one of the two see the other. Where publishers
// can't be reached by it, they run a sequentially consistent fence before any().
//
// Ordering. Each label stands at exactly one operation below; pairs are mutual.
//
//   B1 release bell  ->  B2 acquire bell   what was published before the bell moved is visible
#pragma once

#include <bit>
#include <cstdint>

#include "rondo/core/atomic.hpp"
#include "rondo/core/mpmc_ring_layout.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// The waiters of one side of a ring. A view; cheap to copy.
class MpmcWaiterSet {
 public:
  enum class Side : std::uint8_t { kProducers, kConsumers };
  static constexpr std::uint32_t kNoParticipant = ~std::uint32_t{0};

  MpmcWaiterSet(const MpmcParts& parts, Side side) noexcept
      : bits_(side == Side::kProducers ? parts.positions->producer_waiters
                                       : parts.positions->consumer_waiters),
        participants_(parts.participants),
        count_(parts.participant_count),
        words_((parts.participant_count + 63) / 64) {}

  // Whether a publisher has a waiter to wake. Progress: wait-free, one line read by all.
  [[nodiscard]] RONDO_ALWAYS_INLINE bool any() const noexcept {
    std::uint64_t bits = 0;
    // relaxed: the waiter's heavy fence orders this load after the publisher's store.
    for (std::uint32_t i = 0; i < words_; ++i) bits |= bits_[i].load(std::memory_order_relaxed);
    return bits != 0;
  }

  // Takes one waiter off the list and moves its bell. Returns the participant, whose bell() the
  // caller then wakes by futex; kNoParticipant if none is left. If the futex woke none, that waiter
  // is awake by itself or dead: take another one.
  // Progress: lock-free; bounded by the participants, whatever a hostile peer does.
  std::uint32_t take_one() noexcept {
    for (std::uint32_t i = 0; i < words_; ++i) {
      // relaxed: a candidate only; the read-modify-write below decides.
      std::uint64_t bits = bits_[i].load(std::memory_order_relaxed);
      for (; bits != 0; bits &= bits - 1) {
        const std::uint64_t bit = bits & (~bits + 1);
        // relaxed: what the waiter needs to see comes with its bell.
        if ((bits_[i].fetch_and(~bit, std::memory_order_relaxed) & bit) == 0) continue;
        const std::uint32_t who = i * 64 + static_cast<std::uint32_t>(std::countr_zero(bit));
        // A bit beyond the last participant is a hostile peer's.
        if (who >= count_) continue;
        // B1 (release, pairs with B2): what was published before is there when the bell has moved.
        participants_[who].bell.fetch_add(1, std::memory_order_release);
        return who;
      }
    }
    return kNoParticipant;
  }

  // The futex word of participant `who`.
  [[nodiscard]] Atomic<std::uint32_t>& bell(std::uint32_t who) const noexcept {
    return participants_[who].bell;
  }

  // Before sleeping: read the bell, then enter, then fence, then look at the ring again.
  [[nodiscard]] std::uint32_t read_bell(std::uint32_t me) const noexcept {
    // B2 (acquire, pairs with B1): what was published before the bell moved is visible.
    return participants_[me].bell.load(std::memory_order_acquire);
  }
  void enter(std::uint32_t me) noexcept {
    // relaxed: the heavy fence that follows orders it.
    bits_[me / 64].fetch_or(bit_of(me), std::memory_order_relaxed);
  }
  // After sleeping, whether woken or not. Returns whether a publisher had taken us off the list,
  // which means that a wake-up was spent on us: if we now leave the ring without taking anything,
  // another waiter is to be woken in our place.
  bool leave(std::uint32_t me) noexcept {
    // relaxed: nothing about the ring is concluded from it.
    return (bits_[me / 64].fetch_and(~bit_of(me), std::memory_order_relaxed) & bit_of(me)) == 0;
  }
  [[nodiscard]] bool asleep(std::uint32_t who) const noexcept {
    // relaxed: for people, and for recovery, which asks the kernel.
    return (bits_[who / 64].load(std::memory_order_relaxed) & bit_of(who)) != 0;
  }

 private:
  [[nodiscard]] static constexpr std::uint64_t bit_of(std::uint32_t who) noexcept {
    return std::uint64_t{1} << (who % 64);
  }

  Atomic<std::uint64_t>* bits_;
  MpmcParticipantPart* participants_;
  std::uint32_t count_;
  std::uint32_t words_;
};

}  // namespace rondo::inline RONDO_ABI
