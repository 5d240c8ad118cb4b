// When a consumer tells the producer that it has read.
#pragma once

#include <cstdint>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

enum class Acknowledge : std::uint8_t {
  kLazily,     // after a share of the capacity, and whenever the ring is empty: the fastest
  kEagerly,    // after each call: at most that call's messages are delivered again after a crash
  kExplicitly  // when the reader says so: what it has read and not acknowledged comes again
};

}  // namespace rondo::inline RONDO_ABI
