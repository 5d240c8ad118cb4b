// Life cycle of an MPMC slot ring in memory that someone else owns: layout_for, create, attach.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "rondo/core/mpmc_ring_layout.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// Where everything lies in a ring with these parameters, or what is wrong with them.
[[nodiscard]] Result<MpmcLayout> mpmc_layout_for(const MpmcParams& params);

// Makes an empty ring in `bytes`, which is layout.total_bytes of zeros, aligned to kSharingRange,
// and seen by nobody else yet. The header is finished last. `instance_id`: new_instance_id()
// (segment.hpp) for memory that others find by name.
// Errors: kInvalidCapacity, kInvalidOption, kTooSmall, kSizeMismatch, kMisaligned.
[[nodiscard]] Result<void> mpmc_create(std::span<std::byte> bytes, const MpmcParams& params,
                                       std::uint64_t instance_id = 1);

// Checks what lies in `bytes` and returns a private copy of where everything is. All that a peer
// may have written is checked; the words that change while the ring runs are checked as they are
// used. Errors: check_header()'s; kBadGeometry.
[[nodiscard]] Result<MpmcParts> mpmc_attach(std::span<std::byte> bytes);

// As mpmc_attach, and the slots have to be of this shape: kGeometryMismatch otherwise.
[[nodiscard]] Result<MpmcParts> mpmc_attach_as(std::span<std::byte> bytes, std::uint32_t slot_bytes,
                                               std::uint32_t alignment, bool sized);

}  // namespace rondo::inline RONDO_ABI
