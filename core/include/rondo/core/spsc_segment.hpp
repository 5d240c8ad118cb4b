// The life-cycle verbs of spsc_ring.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <string>
#include <string_view>

#include "rondo/core/life_cycle.hpp"
#include "rondo/core/min_max.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/segment_header.hpp"
#include "rondo/core/spsc_layout.hpp"
#include "rondo/core/spsc_ring.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {
namespace detail {

template <class T>
[[nodiscard]] constexpr std::uint32_t spsc_slot_bytes(std::uint32_t raw_slot_bytes) noexcept {
  if constexpr (std::is_same_v<T, raw_slots>) {
    return raw_slot_bytes;
  } else {
    static_assert(sizeof(T) <= kMaxSpscSlotBytes);
    return static_cast<std::uint32_t>(sizeof(T));
  }
}

// Of a ring of T: that the parameters ask for slots of another size. Errors: kInvalidOption.
template <class T>
[[nodiscard]] Result<void> check_slot_bytes(std::uint32_t asked) {
  const std::uint32_t own = spsc_slot_bytes<T>(asked);
  if (asked == 0 || asked == own) return {};
  return Error{ErrorCode::kInvalidOption,
               "slot_bytes=" + std::to_string(asked) + " is asked for, but this ring is one of a " +
                   "type, whose slots are " + std::to_string(own) +
                   " bytes; leave slot_bytes out, or take spsc_ring<raw_slots>"};
}

template <class T>
[[nodiscard]] SpscParts<T> spsc_parts_at(std::byte* memory, const SpscLayout& layout,
                                         std::uint64_t capacity,
                                         std::uint32_t slot_bytes) noexcept {
  auto* producer = std::launder(reinterpret_cast<SpscProducerPart*>(memory + layout.producer));
  auto* consumer = std::launder(reinterpret_cast<SpscConsumerPart*>(memory + layout.consumer));
  if constexpr (std::is_same_v<T, raw_slots>) {
    return {producer, consumer, memory + layout.slots, capacity, slot_bytes};
  } else {
    return {producer, consumer, reinterpret_cast<T*>(memory + layout.slots), capacity};
  }
}

}  // namespace detail

template <class T>
Result<SpscLayout> spsc_ring<T>::layout_for(const SpscParams& params) {
  if (auto own = detail::check_slot_bytes<T>(params.slot_bytes); !own) return own.error();
  const std::uint32_t slot_bytes = detail::spsc_slot_bytes<T>(params.slot_bytes);
  std::string problem = detail::spsc_problem(params.capacity, slot_bytes, params.participants);
  if (problem.empty() && kRaw && slot_bytes % 8 != 0) {
    problem =
        "a raw slot is " + std::to_string(slot_bytes) + " bytes; it has to be a multiple of 8";
  }
  if (!problem.empty()) {
    return Error{ErrorCode::kInvalidCapacity, "no such ring: " + problem};
  }
  return detail::spsc_layout(params.capacity, slot_bytes, params.participants);
}

template <class T>
auto spsc_ring<T>::create(std::span<std::byte> memory, const SpscParams& params) -> Result<Parts> {
  const Result<SpscLayout> layout = layout_for(params);
  if (!layout) return layout.error();
  const std::uint32_t slot_bytes = detail::spsc_slot_bytes<T>(params.slot_bytes);
  const Geometry geometry{.kind = RingKind::kSpsc,
                          .capacity = params.capacity,
                          .slot_bytes = slot_bytes,
                          .participants = params.participants,
                          .total_bytes = layout->total_bytes,
                          .instance_id = params.instance_id,
                          .type_tag = params.type_tag};
  const std::size_t alignment = max_of(kSharingRange, alignof(Element));
  if (auto begun = detail::begin_ring(memory, geometry, alignment); !begun) return begun.error();
  new (memory.data() + layout->producer) SpscProducerPart{};
  new (memory.data() + layout->consumer) SpscConsumerPart{};
  finish_header(memory);
  return detail::spsc_parts_at<T>(memory.data(), *layout, params.capacity, slot_bytes);
}

template <class T>
auto spsc_ring<T>::attach(std::span<std::byte> memory, std::string_view what) -> Result<Parts> {
  const Result<Geometry> geometry = check_header(memory, RingKind::kSpsc, what);
  if (!geometry) return geometry.error();
  return attach(memory, *geometry, what);
}

template <class T>
auto spsc_ring<T>::attach(std::span<std::byte> memory, const Geometry& geometry,
                          std::string_view what) -> Result<Parts> {
  if (auto ours = detail::check_kind(geometry, RingKind::kSpsc, what); !ours) return ours.error();
  const std::string name(what);
  if (!kRaw && geometry.slot_bytes != sizeof(Element)) {
    return Error{ErrorCode::kGeometryMismatch,
                 name + " has slots of " + std::to_string(geometry.slot_bytes) +
                     " bytes, this program's are " + std::to_string(sizeof(Element)) +
                     "; build both sides with the same message type"};
  }
  const Result<SpscLayout> layout = layout_for({.capacity = geometry.capacity,
                                                .slot_bytes = geometry.slot_bytes,
                                                .participants = geometry.participants});
  if (!layout) {
    return Error{ErrorCode::kBadGeometry, name + " can't be used: " + layout.error().message};
  }
  const auto sound = detail::check_layout(geometry, layout->total_bytes, 0, what);
  if (!sound) return sound.error();
  if (!is_aligned(memory.data(), max_of(kSharingRange, alignof(Element)))) {
    return Error{ErrorCode::kMisaligned, name + " is not aligned as its slots need"};
  }
  return detail::spsc_parts_at<T>(memory.data(), *layout, geometry.capacity, geometry.slot_bytes);
}

}  // namespace rondo::inline RONDO_ABI
