#include "rondo/core/life_cycle.hpp"

#include <string>

#include "rondo/core/instance_id.hpp"

namespace rondo::inline RONDO_ABI::detail {

Result<void> begin_ring(std::span<std::byte> bytes, Geometry geometry, std::size_t alignment) {
  if (bytes.size() != geometry.total_bytes) {
    const bool small = bytes.size() < geometry.total_bytes;
    return Error{small ? ErrorCode::kTooSmall : ErrorCode::kSizeMismatch,
                 "a ring of kind " + std::string(to_string(geometry.kind)) +
                     " with a capacity of " + std::to_string(geometry.capacity) + " takes " +
                     std::to_string(geometry.total_bytes) + " bytes in all, not " +
                     std::to_string(bytes.size())};
  }
  if (!is_aligned(bytes.data(), alignment)) {
    return Error{ErrorCode::kMisaligned,
                 "memory for a ring of kind " + std::string(to_string(geometry.kind)) +
                     " has to be aligned to " + std::to_string(alignment) + " bytes"};
  }
  if (geometry.instance_id == 0) geometry.instance_id = new_instance_id();
  initialise_header(bytes, geometry);
  return {};
}

Result<void> check_kind(const Geometry& geometry, RingKind expected, std::string_view what) {
  return check_kind(geometry.kind, layout_version_of(geometry.kind), expected, std::string(what));
}

Result<void> check_layout(const Geometry& geometry, std::uint64_t total_bytes,
                          std::uint64_t known_features, std::string_view what) {
  if (const std::uint64_t unknown = geometry.feature_bits & ~known_features; unknown != 0) {
    return Error{ErrorCode::kBadVersion,
                 std::string(what) + " has features that this program does not know (bits " +
                     std::to_string(unknown) + "); use one version of Rondo on both sides"};
  }
  if (total_bytes != geometry.total_bytes) {
    return Error{ErrorCode::kBadGeometry,
                 std::string(what) + " can't be a ring of kind " +
                     std::string(to_string(geometry.kind)) + ": with its capacity of " +
                     std::to_string(geometry.capacity) + " that takes " +
                     std::to_string(total_bytes) + " bytes, its header says " +
                     std::to_string(geometry.total_bytes)};
  }
  return {};
}

}  // namespace rondo::inline RONDO_ABI::detail
