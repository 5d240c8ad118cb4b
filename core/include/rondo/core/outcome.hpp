// Why a try_ got nothing, in the same words in every ring. Each handle's outcome() says it of its
// last try_ that got nothing; after one that got something it means nothing. No ring has all of
// them: what it can't meet, it never says.
#pragma once

#include <cstdint>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// What a producer meets.
enum class ClaimOutcome : std::uint8_t {
  kClaimed,    // room for what it wants
  kFull,       // what has to be given back first is still unread or held
  kContended,  // others were faster too many times in a row: try again at once     (mpmc)
  kCorrupt     // a word holds what no honest participant writes
};

// What a consumer meets.
enum class ReadOutcome : std::uint8_t {
  kMessage,    // a message
  kEmpty,      // nothing yet; perhaps one is on the way
  kEnd,        // nor will there be: the stream was closed in order          (record, frames)
  kBrokenOff,  // the producer gave up: not all of the stream came                   (record)
  kLost,       // messages were overwritten or passed over unread; lost() has grown;
               // look again                                                         (record)
  kCorrupt,    // a word holds what no honest participant writes
  kContended,  // others were faster too many times in a row, or there is more to search than
               // one call does: try again at once                             (mpmc, frames)
  kNoPin       // all pins of this consumer hold frames; let go of one               (frames)
};

}  // namespace rondo::inline RONDO_ABI
