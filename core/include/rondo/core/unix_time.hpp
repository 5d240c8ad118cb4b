// The time of day, for people: when something was made, or a participant joined.
#pragma once

#include <cstdint>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// Nanoseconds since 1970, by the system's clock, which may be set back. Progress: wait-free.
[[nodiscard]] RONDO_API std::uint64_t unix_nanoseconds() noexcept;

}  // namespace rondo::inline RONDO_ABI
