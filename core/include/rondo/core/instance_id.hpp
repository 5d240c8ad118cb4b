// The number that tells a segment from others that bore its name.
#pragma once

#include <cstdint>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// Draws one, never 0. It is no secret. Progress: may enter the system.
[[nodiscard]] RONDO_API std::uint64_t new_instance_id() noexcept;

}  // namespace rondo::inline RONDO_ABI
