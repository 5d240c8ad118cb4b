// How a shared_mutex waits, and what it does about the dead. Included by shared_mutex.hpp, where
// the protocol and the table of the labels are.
#pragma once

#include <cstdint>

#include "rondo/core/atomic.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/mutex.hpp"
#include "rondo/sync/patience.hpp"
#include "rondo/sync/rings.hpp"
#include "rondo/sync/shared_mutex.hpp"

namespace rondo::inline RONDO_ABI::sync {

template <std::uint32_t Readers, class System, class Member>
LockResult basic_shared_mutex<Readers, System, Member>::acquire_slowly(std::uint32_t mine,
                                                                       Deadline deadline) noexcept {
  if (mine == 0) return LockResult::kNoMember;
  Patience<System> patience(who_->looks(), deadline);
  for (;;) {
    // relaxed: taking it orders.
    std::uint32_t seen = part_->writer.load(std::memory_order_relaxed);
    const std::uint32_t owner = seen & Part::kOwner;
    if (owner == Part::kLost) return LockResult::kNotRecoverable;
    if (owner == 0) {
      // L2 (seq_cst, pairs with U1, U2): what the writer before did is done. And it stands before
      // S1.
      // relaxed on failure: we look again.
      if (part_->writer.compare_exchange_strong(seen, seen | mine, std::memory_order_seq_cst,
                                                std::memory_order_relaxed)) {
        return await_readers(mine, deadline);
      }
    }
    switch (patience.next()) {
      case PatienceStep::kLook: break;
      case PatienceStep::kSleep:
        if (owner == 0 || !mark_contended(seen)) break;
        patience.sleep(part_->writer, seen | Part::kContended);
        break;
      case PatienceStep::kAsk:
        // Another thread of ours that writes lives as we do.
        if (owner == 0 || owner == mine || !who_->ended(owner)) break;
        // Once more at once if another one has but said that it waits.
        for (int tries = 0; tries < 4 && (seen & Part::kOwner) == owner; ++tries) {
          const std::uint32_t next = inherited(seen, mine) | (seen & Part::kContended);
          // L3 (seq_cst, pairs with U1, U2): what the writers before the dead one did is done. And
          // it stands before S1.
          // relaxed on failure: `seen` is what stands there instead.
          if (part_->writer.compare_exchange_strong(seen, next, std::memory_order_seq_cst,
                                                    std::memory_order_relaxed)) {
            return await_readers(mine, deadline);
          }
        }
        break;
      case PatienceStep::kGiveUp: return LockResult::kTimedOut;
    }
  }
}

// The caller has the writer's word.
template <std::uint32_t Readers, class System, class Member>
LockResult basic_shared_mutex<Readers, System, Member>::await_readers(std::uint32_t mine,
                                                                      Deadline deadline) noexcept {
  say_waiting(mine);
  Patience<System> patience(who_->looks(), deadline);
  while (any_reader()) {
    switch (patience.next()) {
      case PatienceStep::kLook: break;
      case PatienceStep::kSleep: {
        // W1 (seq_cst, forbids that a reader that goes, and that S1 misses going, misses this).
        const std::uint32_t said =
            part_->rings.fetch_or(detail::kAsleep, std::memory_order_seq_cst) | detail::kAsleep;
        if (any_reader()) patience.sleep(part_->rings, said);
        break;
      }
      case PatienceStep::kAsk: clear_dead_readers(); break;
      case PatienceStep::kGiveUp:
        say_waiting(0);
        give_up_writing(mine, Part::kSuspect);
        return LockResult::kTimedOut;
    }
  }
  say_waiting(0);
  return owner_died() ? LockResult::kOwnerDied : LockResult::kLocked;
}

template <std::uint32_t Readers, class System, class Member>
LockResult basic_shared_mutex<Readers, System, Member>::acquire_shared_slowly(
    std::uint32_t mine, Deadline deadline) noexcept {
  if (mine == 0) return LockResult::kNoMember;
  const auto result_of = [](Entry entry) {
    return entry == Entry::kIn ? LockResult::kLocked : LockResult::kOwnerDied;
  };
  Patience<System> patience(who_->looks(), deadline);
  for (;;) {
    // relaxed: R2 orders.
    const std::uint32_t seen = part_->writer.load(std::memory_order_relaxed);
    const std::uint32_t owner = seen & Part::kOwner;
    if (owner == Part::kLost) return LockResult::kNotRecoverable;
    Entry entry = owner == 0 ? enter(mine) : Entry::kWriter;
    if (entry <= Entry::kSuspect) return result_of(entry);
    switch (patience.next()) {
      case PatienceStep::kLook: break;
      case PatienceStep::kSleep:
        if (entry == Entry::kFull) {
          // W2 (seq_cst, forbids that a reader that goes, and that R4 misses going, misses this).
          const std::uint32_t said =
              part_->rings.fetch_or(detail::kAsleep, std::memory_order_seq_cst) | detail::kAsleep;
          entry = enter(mine);
          if (entry <= Entry::kSuspect) return result_of(entry);
          if (entry == Entry::kFull) patience.sleep(part_->rings, said);
        } else if (owner != 0 && mark_contended(seen)) {
          patience.sleep(part_->writer, seen | Part::kContended);
        }
        break;
      case PatienceStep::kAsk:
        if (owner != 0) {
          if (owner == mine || !who_->ended(owner)) break;
          clear_dead_writer(seen);
          entry = enter(mine);
        }
        if (entry == Entry::kFull) entry = enter_for_the_dead(mine);
        if (entry <= Entry::kSuspect) return result_of(entry);
        break;
      case PatienceStep::kGiveUp: return LockResult::kTimedOut;
    }
  }
}

// `if_suspect`: what is left in the word if a writer before died inside.
template <std::uint32_t Readers, class System, class Member>
bool basic_shared_mutex<Readers, System, Member>::give_up_writing(
    std::uint32_t mine, std::uint32_t if_suspect) noexcept {
  // relaxed: the writer's own word; others change nothing in it but `contended`.
  std::uint32_t seen = part_->writer.load(std::memory_order_relaxed);
  for (;;) {
    if (mine == 0 || (seen & Part::kOwner) != mine) return false;
    const std::uint32_t left = (seen & Part::kSuspect) != 0 ? if_suspect : 0;
    // U2 (release, pairs with L1, L2, L3, R2): what this writer did is done.
    // relaxed on failure: looked at anew.
    if (part_->writer.compare_exchange_weak(seen, left, std::memory_order_release,
                                            std::memory_order_relaxed)) {
      // All: whoever of them reads can be in beside the others.
      if ((seen & Part::kContended) != 0) wake_all();
      return true;
    }
  }
}

template <std::uint32_t Readers, class System, class Member>
void basic_shared_mutex<Readers, System, Member>::clear_dead_writer(std::uint32_t seen) noexcept {
  // Once more at once if another one has but said that it waits.
  const std::uint32_t owner = seen & Part::kOwner;
  for (int tries = 0; tries < 4 && (seen & Part::kOwner) == owner; ++tries) {
    // relaxed, both: a read-modify-write, so what writers before have released is still to be had.
    if (part_->writer.compare_exchange_strong(seen, inherited(seen, 0), std::memory_order_relaxed,
                                              std::memory_order_relaxed)) {
      if ((seen & Part::kContended) != 0) wake_all();
      return;
    }
  }
}

}  // namespace rondo::inline RONDO_ABI::sync
