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
  kLeft,  // it said farewell
  kDied   // it did not
};

// `presence` asks the kernel, `comings` tells how often the place was taken so far, `said_farewell`
// whether the last one did. Two system calls at most.
// Memory ordering: the kernel's lock, which the last one gave back, orders what it wrote.
template <class PresenceOf, class Comings, class Said>
[[nodiscard]] Absence look_for(PresenceOf&& presence, Comings&& comings, Said&& said_farewell) {
  const std::uint64_t before = comings();
  if (presence() != Presence::kAbsent) return Absence::kNone;
  if (said_farewell()) return Absence::kLeft;
  // Of the absent one, if none came while we looked.
  const bool the_same = presence() == Presence::kAbsent && comings() == before;
  return the_same ? Absence::kDied : Absence::kNone;
}

}  // namespace rondo::inline RONDO_ABI::detail
