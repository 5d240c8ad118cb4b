// Every access to the shared words of an mpmc ring, one function each. All orderings of the
// ring stand here; producers, consumers and recovery are written in these verbs.
//
// Ordering. Each label stands at exactly one operation below; pairs are mutual.
//
//   S1 release state  ->  S2 acquire state      a written slot is fully written
//   S1 release state  ->  S6 acquire state      the same, for the adopter of an orphaned message
//   S3 release state  ->  S4 acquire state      a slot given back is fully read
//   S5 acq_rel state  ->  S2, S4, S6            the dead owner's accesses are over
//   A1 release announce  ->  A2 acquire announce    the one announced before is committed
//   A3 release announce  ->  A2 acquire announce    the same, where the announcement is cleared
//   T1 release tail   ->  T2 acquire tail       the owner of a position below has announced it
//   H1 release head   ->  H2 acquire head       the same, for consumers
//   O1 release orphans  ->  O2 acquire orphans  the slots that the count tells of are orphaned
//
// T1 and H1 are read-modify-writes, and nothing else writes tail and head: so all of them that come
// later in modification order continue the release sequence of each, and T2 that reads any value
// above p synchronises with the very claim of p. A claim itself relies on nothing that tail
// carries, hence no acquire there.
//
//   owner of p                          recoverer
//   A1  announce = p                    T2  tail > p?
//   T1  tail: p -> p + 1                A2  no live participant announces p?
//       write the slot                  S5  state: free(p) -> tombstone(p)
//   S1  state = written(p)
//   A1  announce = something else
//
// If T2 sees T1, then A2 sees the A1 before it, or a later one; a later one carries S1 with it, and
// then S5 fails. So a slot whose owner lives is never touched, wherever that owner stands.
#pragma once

#include <cstdint>

#include "rondo/core/atomic.hpp"
#include "rondo/core/mpmc_ring_layout.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/position.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

using SlotWord = Atomic<std::uint64_t>;
using AnnounceWord = Atomic<std::uint64_t>;

// --- A slot's state ------------------------------------------------------------------------------

// What a producer finds where it wants to write.
RONDO_ALWAYS_INLINE std::uint64_t read_for_claim(const SlotWord& state) noexcept {
  // S4 (acquire, pairs with S3, S5): the message of the last lap has been fully read.
  return state.load(std::memory_order_acquire);
}

// What a consumer finds where it wants to read.
RONDO_ALWAYS_INLINE std::uint64_t read_for_take(const SlotWord& state) noexcept {
  // S2 (acquire, pairs with S1, S5): the message is fully written.
  return state.load(std::memory_order_acquire);
}

// The owner of a claimed slot publishes it, as a message or as a tombstone.
RONDO_ALWAYS_INLINE void publish(SlotWord& state, std::uint64_t word) noexcept {
  // S1 (release, pairs with S2, S6): the payload is written before it is there.
  state.store(word, std::memory_order_release);
}

// The owner of a taken slot gives it back, free for the next lap.
RONDO_ALWAYS_INLINE void give_back(SlotWord& state, std::uint64_t free_word) noexcept {
  // S3 (release, pairs with S4): the payload is read before the slot is free.
  state.store(free_word, std::memory_order_release);
}

// A look that decides nothing by itself.
inline std::uint64_t load_relaxed(const SlotWord& state) noexcept {
  // relaxed: what acts on it does so by compare-and-swap, which looks again.
  return state.load(std::memory_order_relaxed);
}

// Recovery turns a dead owner's slot. False if the slot has moved on meanwhile.
inline bool cas(SlotWord& state, std::uint64_t from, std::uint64_t to) noexcept {
  // S5 (acq_rel, pairs with S2, S4, S6): ours after the dead owner's; and S1 by the dead producer
  // stays visible through it, as it continues the release sequence.
  // Failure relaxed: the slot is left alone then.
  return state.compare_exchange_strong(from, to, std::memory_order_acq_rel,
                                       std::memory_order_relaxed);
}

// A consumer takes over an orphaned message. False if another one was faster.
inline bool adopt(SlotWord& state, std::uint64_t from, std::uint64_t to) noexcept {
  // S6 (acquire, pairs with S1, S5): the message is fully written. The order among consumers
  // comes from this being a read-modify-write: one of them wins.
  // Failure relaxed: the slot is left alone then.
  return state.compare_exchange_strong(from, to, std::memory_order_acquire,
                                       std::memory_order_relaxed);
}

// --- Announcements -------------------------------------------------------------------------------

// Before the attempt to own: the owner is announced when the attempt succeeds.
RONDO_ALWAYS_INLINE void announce(AnnounceWord& mine, Position first,
                                  std::uint32_t count) noexcept {
  // A1 (release, pairs with A2): what I announced before is committed or given back. That the
  // store comes before the attempt is T1's and H1's doing.
  mine.store(mpmc_announcement::make(first, count), std::memory_order_release);
}

// A call that ends without owning leaves nothing on record. Also at the end of recovery, for a dead
// participant.
inline void announce_nothing(AnnounceWord& word) noexcept {
  // A3 (release, pairs with A2): what was announced before is committed, given back or recovered.
  word.store(mpmc_announcement::kNone, std::memory_order_release);
}

// What a participant has on record.
inline std::uint64_t read_announcement(const AnnounceWord& theirs) noexcept {
  // A2 (acquire, pairs with A1, A3): what they announced before this is committed; so a slot that
  // still looks theirs, after this, never was.
  return theirs.load(std::memory_order_acquire);
}

// --- Positions -----------------------------------------------------------------------------------

// Claims `count` positions from `expected` on. On failure `expected` becomes the tail.
RONDO_ALWAYS_INLINE bool advance_tail(MpmcPositions& positions, Position& expected,
                                      std::uint32_t count) noexcept {
  // T1 (release, pairs with T2): the announcement is visible to a participant that sees the claim.
  // Failure relaxed: the value is a guess to start from; the slot's state decides.
  return positions.tail.compare_exchange_strong(
      expected, expected + count, std::memory_order_release, std::memory_order_relaxed);
}

// Takes `count` positions from `expected` on. On failure `expected` becomes the head.
RONDO_ALWAYS_INLINE bool advance_head(MpmcPositions& positions, Position& expected,
                                      std::uint32_t count) noexcept {
  // H1 (release, pairs with H2): the announcement is visible to a participant that sees the taking.
  // Failure relaxed: the value is a guess to start from; the slot's state decides.
  return positions.head.compare_exchange_strong(
      expected, expected + count, std::memory_order_release, std::memory_order_relaxed);
}

inline Position tail_for_recovery(const MpmcPositions& positions) noexcept {
  // T2 (acquire, pairs with T1): each owner below has announced what it owns.
  return positions.tail.load(std::memory_order_acquire);
}

inline Position head_for_recovery(const MpmcPositions& positions) noexcept {
  // H2 (acquire, pairs with H1): each owner below has announced what it owns.
  return positions.head.load(std::memory_order_acquire);
}

inline Position guess_tail(const MpmcPositions& positions) noexcept {
  // relaxed: a place to look; the slot's state decides. After S4 has shown a slot of position p
  // claimed, coherence gives a tail above p, as the claim comes before what S4 has read.
  return positions.tail.load(std::memory_order_relaxed);
}

inline Position guess_head(const MpmcPositions& positions) noexcept {
  // relaxed: a place to look; the slot's state decides. As with guess_tail, and S2.
  return positions.head.load(std::memory_order_relaxed);
}

// --- Orphans -------------------------------------------------------------------------------------

inline void signal_orphans(MpmcPositions& positions) noexcept {
  // O1 (release, pairs with O2): the slots are orphaned before the count says so.
  positions.orphans.fetch_add(1, std::memory_order_release);
}

inline std::uint64_t orphan_epoch(const MpmcPositions& positions) noexcept {
  // O2 (acquire, pairs with O1): a search that begins after this finds them.
  return positions.orphans.load(std::memory_order_acquire);
}

inline bool more_orphans_than(const MpmcPositions& positions, std::uint64_t known) noexcept {
  // relaxed: whether to search at all; the search begins with O2.
  return positions.orphans.load(std::memory_order_relaxed) != known;
}

// --- Counters ------------------------------------------------------------------------------------

inline void count_up(Atomic<std::uint64_t>& counter, std::uint64_t by) noexcept {
  // relaxed: statistics; nothing is concluded from their order.
  counter.fetch_add(by, std::memory_order_relaxed);
}

}  // namespace rondo::inline RONDO_ABI::detail
