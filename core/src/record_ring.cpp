#include "rondo/core/record_ring.hpp"

#include <bit>
#include <new>
#include <string>

#include "rondo/core/life_cycle.hpp"

namespace rondo::inline RONDO_ABI {
namespace {

RecordParts parts_at(std::byte* base, const RecordLayout& layout, const RecordParams& params) {
  auto* consumers = std::launder(reinterpret_cast<RecordConsumerPart*>(base + layout.consumers));
  return {std::launder(reinterpret_cast<RecordProducerPart*>(base + layout.producer)),
          consumers,
          base + layout.records,
          params.capacity,
          params.readers,
          0,
          consumers};
}

}  // namespace

Result<RecordLayout> record_ring::layout_for(const RecordParams& params) {
  const std::uint64_t capacity = params.capacity;
  if (!std::has_single_bit(capacity) || capacity < kMinCapacity || capacity > kMaxCapacity) {
    return Error{ErrorCode::kInvalidCapacity,
                 "a capacity of " + std::to_string(capacity) +
                     " bytes is impossible; it has to be a power of two from " +
                     std::to_string(kMinCapacity) + " to " + std::to_string(kMaxCapacity)};
  }
  if (params.readers < 1 || params.readers > kMaxReaders) {
    return Error{ErrorCode::kInvalidCapacity, "a ring for " + std::to_string(params.readers) +
                                                  " readers is impossible; it takes 1 to " +
                                                  std::to_string(kMaxReaders)};
  }
  static_assert(sizeof(RecordConsumerPart) <= kPartAlignment);
  const std::uint32_t participants = 1 + params.readers;
  const std::uint64_t producer = after_participants(participants);
  const std::uint64_t consumers = producer + round_up(sizeof(RecordProducerPart), kPartAlignment);
  const std::uint64_t records = consumers + params.readers * kPartAlignment;
  return RecordLayout{producer, consumers, records, round_up(records + capacity, kPartAlignment),
                      participants};
}

Result<RecordParts> record_ring::create(std::span<std::byte> bytes, const RecordParams& params) {
  const auto layout = layout_for(params);
  if (!layout) return layout.error();
  const Geometry geometry{.kind = RingKind::kRecord,
                          .capacity = params.capacity,
                          .participants = layout->participants,
                          .total_bytes = layout->total_bytes,
                          .instance_id = params.instance_id};
  if (auto begun = detail::begin_ring(bytes, geometry); !begun) return begun.error();
  new (bytes.data() + layout->producer) RecordProducerPart{};
  for (std::uint32_t i = 0; i < params.readers; ++i) {
    new (bytes.data() + layout->consumers + i * kPartAlignment) RecordConsumerPart{};
  }
  finish_header(bytes);
  return parts_at(bytes.data(), *layout, params);
}

Result<RecordParts> record_ring::attach(std::span<std::byte> bytes, std::string_view what) {
  const auto geometry = check_header(bytes, RingKind::kRecord, what);
  if (!geometry) return geometry.error();
  return attach(bytes, *geometry, what);
}

Result<RecordParts> record_ring::attach(std::span<std::byte> bytes, const Geometry& geometry,
                                        std::string_view what) {
  if (auto ours = detail::check_kind(geometry, RingKind::kRecord, what); !ours) return ours.error();
  const std::string name(what);
  // No participants at all wrap, and are refused.
  const RecordParams params{.capacity = geometry.capacity, .readers = geometry.participants - 1};
  const auto layout = layout_for(params);
  if (!layout) return Error{ErrorCode::kBadGeometry, name + ": " + layout.error().message};
  if (geometry.slot_bytes != 0) {
    return Error{ErrorCode::kBadGeometry,
                 name + " can't be a record ring: its header speaks of slots of " +
                     std::to_string(geometry.slot_bytes) + " bytes"};
  }
  const auto sound = detail::check_layout(geometry, layout->total_bytes, 0, what);
  if (!sound) return sound.error();
  return parts_at(bytes.data(), *layout, params);
}

}  // namespace rondo::inline RONDO_ABI
