// Positions, indices and the arithmetic of alignment that layouts share.
//
// A position is a monotone 64-bit count of bytes or slots. It never wraps in practice, but every
// comparison is made on differences, so that it may. An index is a position modulo the capacity.
#pragma once

#include <cstddef>
#include <cstdint>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

using Position = std::uint64_t;

// The index of `position` in a ring of `capacity` places, a power of two.
[[nodiscard]] constexpr std::uint64_t index_of(Position position, std::uint64_t capacity) noexcept {
  return position & (capacity - 1);
}

// `size` rounded up to a multiple of `alignment`, a power of two. The caller keeps it from
// overflowing: sizes that come from a peer are bounded before they get here.
[[nodiscard]] constexpr std::uint64_t round_up(std::uint64_t size,
                                               std::uint64_t alignment) noexcept {
  return (size + alignment - 1) & ~(alignment - 1);
}

[[nodiscard]] inline bool is_aligned(const void* address, std::size_t alignment) noexcept {
  return (reinterpret_cast<std::uintptr_t>(address) & (alignment - 1)) == 0;
}

}  // namespace rondo::inline RONDO_ABI
