#include "rondo/core/record_ring.hpp"

#include <bit>
#include <new>
#include <random>
#include <string>

namespace rondo::inline RONDO_ABI {

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

Result<void> record_ring::create(std::span<std::byte> bytes, const RecordParams& params) {
  const auto layout = layout_for(params);
  if (!layout) return layout.error();
  if (bytes.size() != layout->total_bytes) {
    return Error{ErrorCode::kTooSmall, "a ring of " + std::to_string(params.capacity) +
                                           " bytes takes " + std::to_string(layout->total_bytes) +
                                           " in all, not " + std::to_string(bytes.size())};
  }
  if (!is_aligned(bytes.data(), kSharingRange)) {
    return Error{ErrorCode::kMisaligned,
                 "memory for a ring has to be aligned to " + std::to_string(kSharingRange)};
  }
  std::random_device random;
  initialise_header(bytes, Geometry{.kind = RingKind::kRecord,
                                    .capacity = params.capacity,
                                    .participants = layout->participants,
                                    .total_bytes = layout->total_bytes,
                                    .instance_id = std::uint64_t{random()} << 32 | random()});
  new (bytes.data() + layout->producer) RecordProducerPart{};
  for (std::uint32_t i = 0; i < params.readers; ++i) {
    new (bytes.data() + layout->consumers + i * kPartAlignment) RecordConsumerPart{};
  }
  finish_header(bytes);
  return {};
}

Result<RecordParts> record_ring::attach(std::span<std::byte> bytes, std::string_view what) {
  const auto geometry = check_header(bytes, RingKind::kRecord, what);
  if (!geometry) return geometry.error();
  const std::string name(what);
  const std::uint32_t readers = geometry->participants - 1;  // 0 wraps, and is refused
  const auto layout = layout_for({geometry->capacity, readers});
  if (!layout) return Error{ErrorCode::kBadGeometry, name + ": " + layout.error().message};
  if (layout->total_bytes != geometry->total_bytes ||
      layout->participants != geometry->participants || geometry->slot_bytes != 0) {
    return Error{ErrorCode::kBadGeometry,
                 name + " can't be a record ring of " + std::to_string(geometry->capacity) +
                     " bytes: that takes " + std::to_string(layout->total_bytes) + " bytes and " +
                     std::to_string(layout->participants) + " participants, its header says " +
                     std::to_string(geometry->total_bytes) + " and " +
                     std::to_string(geometry->participants)};
  }
  if (geometry->feature_bits != 0) {
    return Error{ErrorCode::kBadVersion, name + " has features that this program does not know (" +
                                             std::to_string(geometry->feature_bits) +
                                             "); use one version of Rondo on both sides"};
  }
  std::byte* base = bytes.data();
  auto* consumers = std::launder(reinterpret_cast<RecordConsumerPart*>(base + layout->consumers));
  return RecordParts{std::launder(reinterpret_cast<RecordProducerPart*>(base + layout->producer)),
                     consumers,
                     base + layout->records,
                     geometry->capacity,
                     readers,
                     0,
                     consumers};
}

}  // namespace rondo::inline RONDO_ABI
