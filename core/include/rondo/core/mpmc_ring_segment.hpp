// Life cycle of an MPMC slot ring in memory that someone else owns: layout_for, create, attach.
#pragma once

#include <cstddef>
#include <span>

#include "rondo/core/mpmc_ring_layout.hpp"
#include "rondo/core/result.hpp"

namespace rondo {

// Where everything lies in a ring with these parameters, or what is wrong with them.
[[nodiscard]] Result<MpmcLayout> mpmc_layout_for(const MpmcParams& params);

// Makes an empty ring in `bytes`, which is at least layout.total_bytes long, aligned to
// kPartAlignment, and seen by nobody else yet. The header is finished last.
[[nodiscard]] Result<void> mpmc_create(std::span<std::byte> bytes, const MpmcParams& params);

// Checks what lies in `bytes` and returns a private copy of where everything is. All that a peer
// may have written is checked; the words that change while the ring runs are checked as they are
// used. Errors name what was found.
[[nodiscard]] Result<MpmcParts> mpmc_attach(std::span<std::byte> bytes);

// As mpmc_attach, and the slots have to be of this shape: kGeometryMismatch otherwise.
[[nodiscard]] Result<MpmcParts> mpmc_attach_as(std::span<std::byte> bytes, std::uint32_t slot_bytes,
                                               std::uint32_t alignment, bool sized);

}  // namespace rondo
