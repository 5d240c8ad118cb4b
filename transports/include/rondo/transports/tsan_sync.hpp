// What ThreadSanitizer has to be told in a program that is built with it while Rondo's library is
// not, as an installed one: it sees what the handles do inline, and nothing of a hand-over whose
// one side waited, as that is in the library. So each side says itself what it gives to the other
// and what it takes over. Nothing of this is left in other programs, and nothing is said where the
// library is built for ThreadSanitizer, too, which then judges Rondo itself.
#pragma once

#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// What stands for all messages of a channel, and for all the room given back in it; null if nothing
// is to be said. Channels of one name share it.
struct TsanSync {
  void* messages = nullptr;
  void* room = nullptr;
};

// All that was done before is there for the side that takes over `what`.
RONDO_ALWAYS_INLINE void annotate_release([[maybe_unused]] void* what) noexcept {
  if (what != nullptr) tsan_release(what);
}
RONDO_ALWAYS_INLINE void annotate_acquire([[maybe_unused]] void* what) noexcept {
  if (what != nullptr) tsan_acquire(what);
}

// While it lives, the library copies into the ring what was given before: those writes are not to
// be compared with anything.
using CopyInLibrary = TsanBlind;

}  // namespace rondo::inline RONDO_ABI::detail
