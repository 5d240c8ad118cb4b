// Which participants an mpmc ring has, and how those that left have gone: what tells its
// consumers that a stream is over, and how it ended.
//
// Each participant has a word for either side:
//
//   bits  0      whether its owner is there
//   bits  1-31   how many of its owners have left in order
//   bits 32-63   how many have died, or given up
//
// Only the owner writes it, and after the owner's death its recoverer, which holds its liveness
// lock. One store says that an owner is gone and how, so that no kill comes in between: killed
// before it, the owner is found dead and counted as that; after it, the owner has left.
//
// That a participant is there is the word's claim; that one has died is proved by the kernel before
// the word says so (mpmc_ring_recovery.hpp). Nothing here guards memory: a peer that scribbles over
// it makes a stream end too soon, or never.
//
// Ordering. Each label stands at exactly one operation below; pairs are mutual.
//
//   P1 release word   ->  P2 acquire word   all that the leaving one had published is visible
//   P3 release word   ->  P2 acquire word   the same of the dead, as its recoverer has seen it
//   N1 release epoch  ->  N2 acquire epoch  the words have changed before the epoch advances
#pragma once

#include <cstdint>

#include "rondo/core/atomic.hpp"
#include "rondo/core/mpmc_ring_layout.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// One side's presence. A view; cheap to copy.
class MpmcPresence {
 public:
  enum class Side : std::uint8_t { kProducers, kConsumers };

  // Summed over all participants.
  struct Count {
    std::uint32_t present = 0;  // those that died unnoticed included
    std::uint64_t left = 0;     // in order
    std::uint64_t died = 0;
    [[nodiscard]] std::uint64_t gone() const noexcept { return left + died; }
  };

  MpmcPresence(const MpmcParts& parts, Side side) noexcept
      : epoch_(&parts.positions->presence_epoch),
        participants_(parts.participants),
        count_(parts.participant_count),
        word_(side == Side::kProducers ? &MpmcParticipantPart::producing
                                       : &MpmcParticipantPart::consuming) {}

  // The caller, which owns participant `me`, is there from now on.
  void enter(std::uint32_t me) noexcept {
    // relaxed, both: we are the only writer; one that misses it takes us for a later one.
    word(me).store(word(me).load(std::memory_order_relaxed) | kPresent, std::memory_order_relaxed);
    advance_epoch();
  }
  // Leaves in order. Memory ordering: what the caller published before is visible to a participant
  // that sees it counted.
  void leave(std::uint32_t me) noexcept {
    // relaxed: we are the only writer.
    const std::uint64_t now = word(me).load(std::memory_order_relaxed);
    if ((now & kPresent) == 0) return;
    const std::uint64_t left = (now + kLeft) & kLeftMask;
    // P1 (release, pairs with P2): what we published is there for those that count us as gone.
    word(me).store((now & ~(kLeftMask | kPresent)) | left, std::memory_order_release);
    advance_epoch();
  }
  // Leaves for good, and is counted with the dead: not all that it had to send was sent. Memory
  // ordering: as leave().
  void give_up(std::uint32_t me) noexcept { static_cast<void>(mark_dead(me)); }
  // Leaves without being counted: a participant that has found no other and never took part.
  void withdraw(std::uint32_t me) noexcept {
    // relaxed, both: we are the only writer, and have published nothing.
    word(me).store(word(me).load(std::memory_order_relaxed) & ~kPresent, std::memory_order_relaxed);
    advance_epoch();
  }
  // Counts the owner of `dead` as dead, if it was there. The caller holds its liveness lock, or is
  // that owner.
  bool mark_dead(std::uint32_t dead) noexcept {
    // relaxed: we are the only writer.
    const std::uint64_t now = word(dead).load(std::memory_order_relaxed);
    if ((now & kPresent) == 0) return false;
    // P3 (release, pairs with P2): what the dead one published, and became of it, is there for
    // those that count it as gone.
    word(dead).store((now & ~kPresent) + kDied, std::memory_order_release);
    advance_epoch();
    return true;
  }
  // Forgets all that have gone. The caller knows that no other is attached, and that none comes
  // meanwhile.
  void reset() noexcept {
    // relaxed: later participants are ordered by the lock under which they join.
    for (std::uint32_t i = 0; i < count_; ++i) word(i).store(0, std::memory_order_relaxed);
    advance_epoch();
  }

  [[nodiscard]] bool present(std::uint32_t who) const noexcept {
    // relaxed: a hint of which ones to ask the kernel about.
    return (word(who).load(std::memory_order_relaxed) & kPresent) != 0;
  }
  // Progress: wait-free; reads a line of each participant. Memory ordering: what those that are
  // counted as gone had published is visible.
  [[nodiscard]] Count count() const noexcept {
    Count sum;
    for (std::uint32_t i = 0; i < count_; ++i) {
      // P2 (acquire, pairs with P1, P3): what the gone had published is visible.
      const std::uint64_t now = word(i).load(std::memory_order_acquire);
      sum.present += static_cast<std::uint32_t>(now & kPresent);
      sum.left += (now & kLeftMask) / kLeft;
      sum.died += now / kDied;
    }
    return sum;
  }
  // A number that changes with every coming and going on either side, some time after it. For
  // polling: while it stays the same, there is hardly anything new to count.
  [[nodiscard]] std::uint64_t epoch() const noexcept {
    // N2 (acquire, pairs with N1): a count that follows takes in what the epoch counts.
    return epoch_->load(std::memory_order_acquire);
  }

 private:
  static constexpr std::uint64_t kPresent = 1;
  static constexpr std::uint64_t kLeft = 2;
  static constexpr std::uint64_t kLeftMask = 0xFFFF'FFFE;
  static constexpr std::uint64_t kDied = std::uint64_t{1} << 32;

  [[nodiscard]] Atomic<std::uint64_t>& word(std::uint32_t who) const noexcept {
    return participants_[who].*word_;
  }
  void advance_epoch() noexcept {
    // N1 (release, pairs with N2): the word has changed before the epoch advances.
    epoch_->fetch_add(1, std::memory_order_release);
  }

  Atomic<std::uint64_t>* epoch_;
  MpmcParticipantPart* participants_;
  std::uint32_t count_;
  Atomic<std::uint64_t> MpmcParticipantPart::*word_;
};

}  // namespace rondo::inline RONDO_ABI
