// What Caller and Service share about sessions.
#pragma once

#include <cstdint>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Of a caller's session and requests, so that those of an earlier life are not met; never 0.
[[nodiscard]] std::uint64_t random_number();

}  // namespace rondo::inline RONDO_ABI::detail
