// The life cycle of an mpmc ring, whatever its messages are; see life_cycle.hpp. The members
// of mpmc_ring<T> are what to call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "rondo/core/mpmc_ring_layout.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/segment_header.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

[[nodiscard]] RONDO_API Result<MpmcLayout> mpmc_layout_for(const MpmcParams& params);
[[nodiscard]] RONDO_API Result<MpmcParts> mpmc_create(std::span<std::byte> bytes,
                                                      const MpmcParams& params);
// A ring of any messages; to look at it needs no more.
[[nodiscard]] RONDO_API Result<MpmcParts> mpmc_attach(std::span<std::byte> bytes,
                                                      std::string_view what);
[[nodiscard]] RONDO_API Result<MpmcParts> mpmc_attach(std::span<std::byte> bytes,
                                                      const Geometry& geometry,
                                                      std::string_view what);
// These parts, which mpmc_attach() has found, if their slots are of this shape: kGeometryMismatch
// otherwise. Of sized ones, of any size.
[[nodiscard]] RONDO_API Result<MpmcParts> mpmc_shaped_as(Result<MpmcParts> parts,
                                                         const MpmcParams& shape,
                                                         std::string_view what);

}  // namespace rondo::inline RONDO_ABI::detail
