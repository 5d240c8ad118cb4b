// Waiting for a byte lock (os.hpp).
#pragma once

#include <chrono>
#include <cstdint>

#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Takes the lock of one byte, again and again for `timeout` at most. 0, or the last error.
[[nodiscard]] int lock_byte_within(NativeHandle file, std::uint64_t byte,
                                   std::chrono::nanoseconds timeout) noexcept;

}  // namespace rondo::inline RONDO_ABI::detail
