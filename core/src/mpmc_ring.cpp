#include <bit>
#include <string>

#include "rondo/core/mpmc_ring_segment.hpp"
#include "rondo/core/segment_header.hpp"

namespace rondo::inline RONDO_ABI {
namespace {

// Feature bits of kind mpmc. Bits 8 to 15 hold the payload's alignment in bytes.
constexpr std::uint64_t kSizedFeature = 1;
constexpr std::uint64_t kDropFeature = 2;
constexpr std::uint32_t kAlignmentShift = 8;

// What is wrong with `params`; empty if nothing is. Every product is bounded before it is formed.
std::string objection(const MpmcParams& params, ErrorCode& code) {
  namespace limits = mpmc_limits;
  code = ErrorCode::kInvalidCapacity;
  if (params.capacity < limits::kMinCapacity || params.capacity > limits::kMaxCapacity ||
      !std::has_single_bit(params.capacity)) {
    return "a slot ring of " + std::to_string(params.capacity) +
           " slots; it takes a power of two from 2 to 2^32";
  }
  code = ErrorCode::kInvalidOption;
  if (params.slot_bytes == 0 || params.slot_bytes > limits::kMaxSlotBytes) {
    return "slots of " + std::to_string(params.slot_bytes) + " bytes; it takes 1 to 2^30";
  }
  if (params.alignment > limits::kMaxAlignment || !std::has_single_bit(params.alignment)) {
    return "an alignment of " + std::to_string(params.alignment) +
           " bytes; it takes a power of two up to " + std::to_string(limits::kMaxAlignment);
  }
  if (params.participants == 0 || params.participants > limits::kMaxParticipants) {
    return std::to_string(params.participants) + " participants; it takes 1 to " +
           std::to_string(limits::kMaxParticipants);
  }
  code = ErrorCode::kInvalidCapacity;
  const std::uint64_t stride = limits::stride(params.slot_bytes, params.alignment, params.sized);
  if (params.capacity > kMaxSegmentBytes / 2 / stride) {
    return std::to_string(params.capacity) + " slots of " + std::to_string(params.slot_bytes) +
           " bytes; together they take more than 2^45 bytes";
  }
  return {};
}

// The parameters that a header speaks of.
Result<MpmcParams> params_in(const Geometry& geometry) {
  constexpr std::uint64_t kKnown = kSizedFeature | kDropFeature | 0xFFull << kAlignmentShift;
  if ((geometry.feature_bits & ~kKnown) != 0) {
    return Error{ErrorCode::kBadGeometry,
                 "the ring has features that this program does not know (bits " +
                     std::to_string(geometry.feature_bits & ~kKnown) +
                     "); use one version of Rondo on both sides"};
  }
  MpmcParams params;
  params.capacity = geometry.capacity;
  params.slot_bytes = geometry.slot_bytes;
  params.participants = geometry.participants;
  params.sized = (geometry.feature_bits & kSizedFeature) != 0;
  params.alignment = static_cast<std::uint32_t>(geometry.feature_bits >> kAlignmentShift & 0xFF);
  params.on_consumer_death = (geometry.feature_bits & kDropFeature) != 0
                                 ? OnConsumerDeath::kDrop
                                 : OnConsumerDeath::kRedeliver;
  ErrorCode code{};
  if (std::string what = objection(params, code); !what.empty()) {
    return Error{ErrorCode::kBadGeometry, "the segment can't be a slot ring: it has " + what};
  }
  return params;
}

}  // namespace

Result<MpmcLayout> mpmc_layout_for(const MpmcParams& params) {
  ErrorCode code{};
  if (std::string what = objection(params, code); !what.empty()) {
    return Error{code, "there can't be " + what};
  }
  return mpmc_layout_of(params);
}

Result<void> mpmc_create(std::span<std::byte> bytes, const MpmcParams& params,
                         std::uint64_t instance_id) {
  const Result<MpmcLayout> layout = mpmc_layout_for(params);
  if (!layout) return layout.error();
  if (bytes.size() != layout->total_bytes) {
    return Error{
        bytes.size() < layout->total_bytes ? ErrorCode::kTooSmall : ErrorCode::kSizeMismatch,
        "the memory for the slot ring has " + std::to_string(bytes.size()) + " bytes, it takes " +
            std::to_string(layout->total_bytes)};
  }
  if (!is_aligned(bytes.data(), kSharingRange)) {
    return Error{ErrorCode::kMisaligned, "the memory for the slot ring is not aligned to " +
                                             std::to_string(kSharingRange) + " bytes"};
  }
  Geometry geometry;
  geometry.kind = RingKind::kMpmc;
  geometry.capacity = params.capacity;
  geometry.slot_bytes = params.slot_bytes;
  geometry.participants = params.participants;
  geometry.feature_bits = (params.sized ? kSizedFeature : 0) |
                          (params.on_consumer_death == OnConsumerDeath::kDrop ? kDropFeature : 0) |
                          std::uint64_t{params.alignment} << kAlignmentShift;
  geometry.total_bytes = layout->total_bytes;
  geometry.instance_id = instance_id;
  initialise_header(bytes, geometry);
  // The rest is zero, which is an empty ring.
  finish_header(bytes);
  return {};
}

Result<MpmcParts> mpmc_attach(std::span<std::byte> bytes) {
  const Result<Geometry> geometry = check_header(bytes, RingKind::kMpmc, "the segment");
  if (!geometry) return geometry.error();
  const Result<MpmcParams> params = params_in(*geometry);
  if (!params) return params.error();
  const std::uint64_t needed = mpmc_layout_of(*params).total_bytes;
  if (needed != geometry->total_bytes) {
    return Error{ErrorCode::kBadGeometry,
                 "the segment can't be a slot ring: its slots and participants take " +
                     std::to_string(needed) + " bytes, its header says " +
                     std::to_string(geometry->total_bytes)};
  }
  return mpmc_parts_at(bytes.data(), *params);
}

Result<MpmcParts> mpmc_attach_as(std::span<std::byte> bytes, std::uint32_t slot_bytes,
                                 std::uint32_t alignment, bool sized) {
  Result<MpmcParts> parts = mpmc_attach(bytes);
  if (!parts) return parts;
  MpmcParams wanted;
  wanted.slot_bytes = slot_bytes;
  wanted.alignment = alignment;
  wanted.sized = sized;
  const MpmcLayout layout = mpmc_layout_of(wanted);
  if (parts->sized != sized || parts->slot_bytes != slot_bytes || parts->stride != layout.stride ||
      parts->payload_offset != layout.payload_offset) {
    return Error{ErrorCode::kGeometryMismatch,
                 "the ring has slots of " + std::to_string(parts->slot_bytes) + " bytes" +
                     (parts->sized ? " for messages with a size of their own" : "") +
                     ", this program expects values of " + std::to_string(slot_bytes) +
                     "; attach with the type that it was created for"};
  }
  return parts;
}

}  // namespace rondo::inline RONDO_ABI
