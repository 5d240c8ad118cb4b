// Whether nobody is on the other side of a channel, and if so, whether whoever was there last left
// in order or died. What he said, and the word that tells how often his place was taken, may be a
// successor's by the time that it is read: then there is somebody, or there will be a next look.
#pragma once

#include <cstdint>

#include "rondo/core/liveness.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

enum class Absence : std::uint8_t {
  kNone,  // somebody is there, or may be
  kLeft,  // he said farewell
  kDied   // he did not
};

// `presence` asks the kernel, `comings` tells how often the place was taken so far, `said_farewell`
// whether the last one did. Two system calls at most.
// Memory ordering: the kernel's lock, which the last one gave back, orders what it wrote.
template <class PresenceOf, class Comings, class Said>
[[nodiscard]] Absence look_for(PresenceOf&& presence, Comings&& comings, Said&& said_farewell) {
  const std::uint64_t before = comings();
  if (presence() != Presence::kAbsent) return Absence::kNone;
  if (said_farewell()) return Absence::kLeft;
  // Of the one who was absent, if nobody came while we looked.
  const bool the_same = presence() == Presence::kAbsent && comings() == before;
  return the_same ? Absence::kDied : Absence::kNone;
}

}  // namespace rondo::inline RONDO_ABI::detail
