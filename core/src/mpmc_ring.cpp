#include <bit>
#include <string>

#include "rondo/core/life_cycle.hpp"
#include "rondo/core/mpmc_ring_segment.hpp"
#include "rondo/core/segment_header.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

// Feature bits of kind mpmc. Bits 8 to 15 hold the payload's alignment in bytes.
constexpr std::uint64_t kSizedFeature = 1;
constexpr std::uint64_t kDropFeature = 2;
constexpr std::uint32_t kAlignmentShift = 8;
constexpr std::uint64_t kKnownFeatures = kSizedFeature | kDropFeature | 0xFFull << kAlignmentShift;

// What is wrong with `params`; empty if nothing is. Every product is bounded before it is formed.
std::string problem(const MpmcParams& params, ErrorCode& code) {
  namespace limits = mpmc_limits;
  code = ErrorCode::kInvalidCapacity;
  if (params.capacity < limits::kMinCapacity || params.capacity > limits::kMaxCapacity ||
      !std::has_single_bit(params.capacity)) {
    return "an mpmc ring of " + std::to_string(params.capacity) +
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
Result<MpmcParams> params_in(const Geometry& geometry, std::string_view what) {
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
  if (const std::string has = problem(params, code); !has.empty()) {
    return Error{ErrorCode::kBadGeometry,
                 std::string(what) + " can't be a ring of kind mpmc: it has " + has};
  }
  return params;
}

}  // namespace

Result<MpmcLayout> mpmc_layout_for(const MpmcParams& params) {
  ErrorCode code{};
  if (std::string what = problem(params, code); !what.empty()) {
    return Error{code, "there can't be " + what};
  }
  return mpmc_layout_of(params);
}

Result<MpmcParts> mpmc_create(std::span<std::byte> bytes, const MpmcParams& params) {
  const Result<MpmcLayout> layout = mpmc_layout_for(params);
  if (!layout) return layout.error();
  const bool drops = params.on_consumer_death == OnConsumerDeath::kDrop;
  const Geometry geometry{.kind = RingKind::kMpmc,
                          .capacity = params.capacity,
                          .slot_bytes = params.slot_bytes,
                          .participants = params.participants,
                          .feature_bits = (params.sized ? kSizedFeature : 0) |
                                          (drops ? kDropFeature : 0) |
                                          std::uint64_t{params.alignment} << kAlignmentShift,
                          .total_bytes = layout->total_bytes,
                          .instance_id = params.instance_id};
  if (auto begun = begin_ring(bytes, geometry); !begun) return begun.error();
  // The rest is zero, which is an empty ring.
  finish_header(bytes);
  return mpmc_parts_at(bytes.data(), params);
}

Result<MpmcParts> mpmc_attach(std::span<std::byte> bytes, std::string_view what) {
  const Result<Geometry> geometry = check_header(bytes, RingKind::kMpmc, what);
  if (!geometry) return geometry.error();
  return mpmc_attach(bytes, *geometry, what);
}

Result<MpmcParts> mpmc_attach(std::span<std::byte> bytes, const Geometry& geometry,
                              std::string_view what) {
  if (auto ours = check_kind(geometry, RingKind::kMpmc, what); !ours) return ours.error();
  const Result<MpmcParams> params = params_in(geometry, what);
  if (!params) return params.error();
  const std::uint64_t needed = mpmc_layout_of(*params).total_bytes;
  const auto sound = check_layout(geometry, needed, kKnownFeatures, what);
  if (!sound) return sound.error();
  return mpmc_parts_at(bytes.data(), *params);
}

Result<MpmcParts> mpmc_shaped_as(Result<MpmcParts> parts, const MpmcParams& shape,
                                 std::string_view what) {
  if (!parts || (parts->sized && shape.sized)) return parts;
  if (shape.sized) {
    return Error{ErrorCode::kGeometryMismatch,
                 std::string(what) +
                     " has slots for values of one type, not for messages with a "
                     "size of their own; attach with that type"};
  }
  const MpmcLayout layout = mpmc_layout_of(shape);
  if (parts->sized || parts->slot_bytes != shape.slot_bytes || parts->stride != layout.stride ||
      parts->payload_offset != layout.payload_offset) {
    return Error{ErrorCode::kGeometryMismatch,
                 std::string(what) + " has slots of " + std::to_string(parts->slot_bytes) +
                     " bytes" + (parts->sized ? " for messages with a size of their own" : "") +
                     ", this program expects values of " + std::to_string(shape.slot_bytes) +
                     "; attach with the type that it was created for"};
  }
  return parts;
}

}  // namespace rondo::inline RONDO_ABI::detail
