// The life-cycle verbs of latest.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <string>
#include <string_view>

#include "rondo/core/latest.hpp"
#include "rondo/core/life_cycle.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/segment_header.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {
namespace detail {

[[nodiscard]] inline LatestParts latest_parts_at(std::byte* memory, const LatestLayout& layout,
                                                 std::uint64_t buffers) noexcept {
  return {std::launder(reinterpret_cast<LatestWriterPart*>(memory + layout.writer)),
          reinterpret_cast<Atomic<std::uint64_t>*>(memory + layout.values),
          layout.stride / 8,
          buffers,
          reinterpret_cast<LatestWaiterPart*>(memory + layout.waiters),
          kPartAlignment / sizeof(LatestWaiterPart),
          layout.participants - 1};
}

}  // namespace detail

template <class T>
Result<LatestLayout> latest<T>::layout_for(const LatestParams& params) {
  std::string problem = detail::latest_problem(params.buffers, params.waiters, sizeof(T));
  if (!problem.empty()) {
    return Error{ErrorCode::kInvalidCapacity, "no such cell: " + problem};
  }
  return detail::latest_layout(params.buffers, params.waiters, sizeof(T));
}

template <class T>
auto latest<T>::create(std::span<std::byte> memory, const LatestParams& params) -> Result<Parts> {
  const Result<LatestLayout> layout = layout_for(params);
  if (!layout) return layout.error();
  const Geometry geometry{.kind = RingKind::kLatest,
                          .capacity = params.buffers,
                          .slot_bytes = sizeof(T),
                          .participants = layout->participants,
                          .total_bytes = layout->total_bytes,
                          .instance_id = params.instance_id,
                          .type_tag = params.type_tag};
  if (auto begun = detail::begin_ring(memory, geometry); !begun) return begun.error();
  new (memory.data() + layout->writer) LatestWriterPart{};
  auto* words = memory.data() + layout->values;
  for (std::uint64_t i = 0; i < params.buffers * layout->stride; i += 8) {
    new (words + i) Atomic<std::uint64_t>{0};
  }
  for (std::uint32_t i = 0; i < params.waiters; ++i) {
    new (memory.data() + layout->waiters + i * kPartAlignment) LatestWaiterPart{};
  }
  finish_header(memory);
  return detail::latest_parts_at(memory.data(), *layout, params.buffers);
}

template <class T>
auto latest<T>::attach(std::span<std::byte> memory, std::string_view what) -> Result<Parts> {
  const Result<Geometry> geometry = check_header(memory, RingKind::kLatest, what);
  if (!geometry) return geometry.error();
  return attach(memory, *geometry, what);
}

template <class T>
auto latest<T>::attach(std::span<std::byte> memory, const Geometry& geometry, std::string_view what)
    -> Result<Parts> {
  if (auto ours = detail::check_kind(geometry, RingKind::kLatest, what); !ours) {
    return ours.error();
  }
  const std::string name(what);
  if (geometry.slot_bytes != sizeof(T)) {
    return Error{ErrorCode::kGeometryMismatch,
                 name + " has a value of " + std::to_string(geometry.slot_bytes) +
                     " bytes, this program's has " + std::to_string(sizeof(T)) +
                     "; build both sides with the same type"};
  }
  if (geometry.participants == 0) {
    return Error{ErrorCode::kBadGeometry, name + " has no participant slot for a writer"};
  }
  const std::uint32_t waiters = geometry.participants - 1;
  const std::string problem = detail::latest_problem(geometry.capacity, waiters, sizeof(T));
  if (!problem.empty()) {
    return Error{ErrorCode::kBadGeometry, name + " can't be a cell: " + problem};
  }
  const LatestLayout layout = detail::latest_layout(geometry.capacity, waiters, sizeof(T));
  const auto sound = detail::check_layout(geometry, layout.total_bytes, 0, what);
  if (!sound) return sound.error();
  return detail::latest_parts_at(memory.data(), layout, geometry.capacity);
}

}  // namespace rondo::inline RONDO_ABI
