// What create() and attach() of all rings have in common. The three life-cycle verbs are the same
// everywhere, and all of them are for set-up:
//
//   layout_for(params)     Where everything lies in a ring with these parameters, and its size.
//                          Errors: kInvalidCapacity, kInvalidOption.
//   create(bytes, params)  Makes an empty ring in `bytes`: zeros, layout_for(params).total_bytes of
//                          them, aligned to kSharingRange, and not seen by others yet. The header
//                          is finished last. An instance_id of 0 in `params` stands for a random
//                          one. Returns what attach() would.
//                          Errors: layout_for()'s, kTooSmall, kSizeMismatch, kMisaligned.
//   attach(bytes, what)    Checks what lies in `bytes`, hostile until proved sound, and returns the
//                          caller's own copy of where everything is: the Parts, of which handles
//                          are made. `what` names the ring in messages.
//                          Errors: check_header()'s, kBadGeometry, kBadVersion (features that this
//                          program does not know), kGeometryMismatch (another type of message).
//   attach(bytes, geometry, what)   The same, of a header that check_header() has judged already:
//                          it is not read again, as a hostile peer may have changed it since.
//                          Errors: kBadKind, and attach()'s but check_header()'s.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "rondo/core/platform.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/segment_header.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// What create() does first: sees that `bytes` can hold a ring of this geometry, and writes all of
// its header but the magic. The ring then writes its parts and finishes the header.
// Errors: kTooSmall, kSizeMismatch, kMisaligned.
[[nodiscard]] RONDO_API Result<void> begin_ring(std::span<std::byte> bytes, Geometry geometry,
                                                std::size_t alignment = kSharingRange);

// What attach() does first with a header that was judged for any kind. Errors: kBadKind.
[[nodiscard]] RONDO_API Result<void> check_kind(const Geometry& geometry, RingKind expected,
                                                std::string_view what);

// What attach() does last: compares a header's size with the layout's, and its feature bits with
// those that the ring knows. Errors: kBadVersion, kBadGeometry.
[[nodiscard]] RONDO_API Result<void> check_layout(const Geometry& geometry,
                                                  std::uint64_t total_bytes,
                                                  std::uint64_t known_features,
                                                  std::string_view what);

}  // namespace rondo::inline RONDO_ABI::detail
