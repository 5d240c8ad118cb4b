// Whether no peer is on the other side of a channel, and if so, whether the last one left in order
// or died. What it said, and the word that tells how often its place was taken, may be a
// successor's by the time that it is read: then there is a peer, or there will be a next look.
#pragma once

#include <cstdint>

#include "rondo/core/liveness.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

enum class Absence : std::uint8_t {
  kNone,  // a peer is there, or may be
  kLeft,  // it closed in order
  kDied   // it did not
};

// What the one dead owner of a place, which was the `joins`th there, adds to a number that changes
// with each death: also with one whose place was dead before, and had a successor that nobody saw.
[[nodiscard]] constexpr std::uint64_t death_mark(std::uint32_t place,
                                                 std::uint64_t joins) noexcept {
  // The last steps of SplitMix64: sums of several are different, too.
  std::uint64_t mark = (joins << 8) + place + 1;
  mark = (mark ^ mark >> 30) * 0xBF58476D1CE4E5B9;
  mark = (mark ^ mark >> 27) * 0x94D049BB133111EB;
  return mark ^ mark >> 31;
}

// `presence` asks the kernel, `join_count` tells how often the place was taken so far,
// `peer_closed` whether the last one did. Two system calls at most.
// Memory ordering: the kernel's lock, which the last one gave back, orders what it wrote.
template <class PresenceOf, class JoinCount, class PeerClosed>
[[nodiscard]] Absence probe_absence(PresenceOf&& presence, JoinCount&& join_count,
                                    PeerClosed&& peer_closed) {
  const std::uint64_t before = join_count();
  if (presence() != Presence::kAbsent) return Absence::kNone;
  if (peer_closed()) return Absence::kLeft;
  // Of the absent one, if none came while we looked.
  const bool the_same = presence() == Presence::kAbsent && join_count() == before;
  return the_same ? Absence::kDied : Absence::kNone;
}

}  // namespace rondo::inline RONDO_ABI::detail
