// The shared words of a doorbell: how a waiter says that it sleeps, and what a notifier changes to
// wake it. Only the layout and the meaning of the bits stand here; the protocol, and why no wake is
// lost, is in rondo/sync/doorbell.hpp. All zero is the state of a fresh segment: nothing sleeps,
// nothing was ever rung.
//
// Each word has one writer, and lies in that writer's part:
//
//   struct      offset  size  field   written by            meaning
//   BellWaiter       0     4  state   the waiting side      bits below
//   BellNotifier     0     4  rings   the publishing side   times rung, modulo 2^32; the futex word
//
//   state, bit  0       asleep: a publisher has to ring
//          bit  1       gone: the waiter has left in order, nothing published will be read
//          bit  2       must fence: the waiter can't make others fence, so they do it themselves
//          bits 3-31    episode: counts sleeps, so that one sleep is rung for once
//
// A peer may scribble over its words at any time. The worst it can do is a wake too many, or one
// that is late by a slice of sleep.
#pragma once

#include <cstdint>
#include <type_traits>

#include "rondo/core/atomic.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

struct BellWaiter {
  static constexpr std::uint32_t kAsleep = 1;
  static constexpr std::uint32_t kGone = 2;
  static constexpr std::uint32_t kMustFence = 4;
  static constexpr std::uint32_t kFlags = 7;    // all of these
  static constexpr std::uint32_t kEpisode = 8;  // one episode; it counts from here up

  Atomic<std::uint32_t> state;
};
static_assert(sizeof(BellWaiter) == 4);
static_assert(std::is_standard_layout_v<BellWaiter>);
static_assert(std::is_trivially_destructible_v<BellWaiter>);

struct BellNotifier {
  Atomic<std::uint32_t> rings;
};
static_assert(sizeof(BellNotifier) == 4);
static_assert(std::is_standard_layout_v<BellNotifier>);
static_assert(std::is_trivially_destructible_v<BellNotifier>);

}  // namespace rondo::inline RONDO_ABI
