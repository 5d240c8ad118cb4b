#include "rondo/core/frame_pool.hpp"

#include <new>
#include <string>

#include "rondo/core/life_cycle.hpp"
#include "rondo/core/segment_header.hpp"

namespace rondo::inline RONDO_ABI {
namespace {

// Why there is no such pool; empty if there is.
std::string problem_with(std::uint64_t frames, std::uint64_t frame_bytes, std::uint64_t readers,
                         std::uint64_t pins) {
  const auto out_of = [](std::uint64_t value, std::uint64_t least, std::uint64_t most,
                         const char* what) {
    if (value >= least && value <= most) return std::string();
    return "it has " + std::to_string(value) + ' ' + what + "; possible are " +
           std::to_string(least) + " to " + std::to_string(most);
  };
  for (const std::string& problem :
       {out_of(frames, 2, kMaxFrames, "frames"),
        out_of(frame_bytes, 1, ~std::uint32_t{0}, "bytes for each frame"),
        out_of(readers, 1, kMaxFrameReaders, "readers"),
        out_of(pins, 1, kMaxFramePins, "pins for each reader")}) {
    if (!problem.empty()) return problem;
  }
  return {};
}

// Of parameters without an objection.
FramePoolLayout layout_of(std::uint64_t frames, std::uint64_t frame_bytes, std::uint32_t readers) {
  static_assert(sizeof(FrameReaderPart) <= kPartAlignment);
  const std::uint32_t participants = frame_pool::kFirstReaderSlot + readers;
  const std::uint64_t producer = after_participants(participants);
  const std::uint64_t parts = producer + round_up(sizeof(FrameProducerPart), kPartAlignment);
  const std::uint64_t first_frame = parts + readers * kPartAlignment;
  const std::uint64_t stride = round_up(frame_bytes, kPartAlignment);
  return {producer, parts, first_frame, stride, first_frame + frames * stride, participants};
}

FramePoolParts parts_at(std::byte* memory, const FramePoolLayout& layout, std::uint32_t frames,
                        std::uint32_t frame_bytes, std::uint32_t readers, std::uint32_t pins) {
  return {std::launder(reinterpret_cast<FrameProducerPart*>(memory + layout.producer)),
          memory + layout.readers,
          memory + layout.frames,
          layout.stride,
          frames,
          frame_bytes,
          readers,
          pins};
}

}  // namespace

Result<FramePoolLayout> frame_pool::layout_for(const FramePoolParams& params) {
  const std::string problem =
      problem_with(params.frames, params.frame_bytes, params.readers, params.pins);
  if (!problem.empty()) {
    return Error{ErrorCode::kInvalidCapacity, "no such pool of frames: " + problem};
  }
  return layout_of(params.frames, params.frame_bytes, params.readers);
}

Result<FramePoolParts> frame_pool::create(std::span<std::byte> memory,
                                          const FramePoolParams& params) {
  const auto layout = layout_for(params);
  if (!layout) return layout.error();
  const Geometry geometry{.kind = RingKind::kFramePool,
                          .capacity = params.frames,
                          .slot_bytes = params.frame_bytes,
                          .participants = layout->participants,
                          .feature_bits = params.pins,
                          .total_bytes = layout->total_bytes,
                          .instance_id = params.instance_id};
  if (auto begun = detail::begin_ring(memory, geometry); !begun) return begun.error();
  new (memory.data() + layout->producer) FrameProducerPart{};
  for (std::uint32_t i = 0; i < params.readers; ++i) {
    new (memory.data() + layout->readers + i * kPartAlignment) FrameReaderPart{};
  }
  finish_header(memory);
  return parts_at(memory.data(), *layout, params.frames, params.frame_bytes, params.readers,
                  params.pins);
}

Result<FramePoolParts> frame_pool::attach(std::span<std::byte> memory, std::string_view what) {
  const Result<Geometry> geometry = check_header(memory, RingKind::kFramePool, what);
  if (!geometry) return geometry.error();
  return attach(memory, *geometry, what);
}

Result<FramePoolParts> frame_pool::attach(std::span<std::byte> memory, const Geometry& geometry,
                                          std::string_view what) {
  if (auto ours = detail::check_kind(geometry, RingKind::kFramePool, what); !ours) {
    return ours.error();
  }
  const std::string name(what);
  const std::uint32_t readers = geometry.participants - kFirstReaderSlot;  // 0 wraps: refused
  const std::string problem =
      problem_with(geometry.capacity, geometry.slot_bytes, readers, geometry.feature_bits);
  if (!problem.empty()) {
    return Error{ErrorCode::kBadGeometry, name + " can't be a pool of frames: " + problem};
  }
  const auto frames = static_cast<std::uint32_t>(geometry.capacity);
  const FramePoolLayout layout = layout_of(frames, geometry.slot_bytes, readers);
  constexpr std::uint64_t kPins = ~std::uint64_t{0};  // judged above, as the number that they are
  const auto sound = detail::check_layout(geometry, layout.total_bytes, kPins, what);
  if (!sound) return sound.error();
  return parts_at(memory.data(), layout, frames, geometry.slot_bytes, readers,
                  static_cast<std::uint32_t>(geometry.feature_bits));
}

}  // namespace rondo::inline RONDO_ABI
