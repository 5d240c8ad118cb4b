// What the producer's and the consumer's role in an mpmc ring have in common: where the slots
// lie, known at compile time if the type of the messages says it, and how much work one call does.
#pragma once

#include <cstddef>
#include <cstdint>

#include "rondo/core/atomic.hpp"
#include "rondo/core/min_max.hpp"
#include "rondo/core/mpmc_ring_layout.hpp"
#include "rondo/core/mpmc_ring_words.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/position.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

namespace detail {

// The size of the message in a sized slot, just before its payload.
RONDO_ALWAYS_INLINE Atomic<std::uint64_t>& size_word(std::byte* payload) noexcept {
  return *reinterpret_cast<Atomic<std::uint64_t>*>(payload - 8);
}

// Where slots lie, at compile time or (zero) as the segment says.
template <std::uint32_t kStride, std::uint32_t kPayloadOffset>
class MpmcShape {
 public:
  RONDO_ALWAYS_INLINE static std::uint32_t stride(const MpmcParts& parts) noexcept {
    return kStride == 0 ? parts.stride : kStride;
  }
  RONDO_ALWAYS_INLINE static std::uint32_t payload_offset(const MpmcParts& parts) noexcept {
    return kStride == 0 ? parts.payload_offset : kPayloadOffset;
  }
  RONDO_ALWAYS_INLINE static std::byte* slot_at(const MpmcParts& parts, Position p) noexcept {
    return parts.slots + index_of(p, parts.capacity) * stride(parts);
  }
  RONDO_ALWAYS_INLINE static std::byte* end_of(const MpmcParts& parts) noexcept {
    return parts.slots + parts.capacity * stride(parts);
  }
  RONDO_ALWAYS_INLINE static SlotWord& state_at(const MpmcParts& parts, Position p) noexcept {
    return *reinterpret_cast<SlotWord*>(slot_at(parts, p));
  }
  RONDO_ALWAYS_INLINE static std::byte* payload_at(const MpmcParts& parts, Position p) noexcept {
    return slot_at(parts, p) + payload_offset(parts);
  }
  // Asks for the lines that the next calls will write: `count` slots' worth, a little ahead of
  // `next`, so that their way here passes while this call's work is done. Both roles write. Small
  // slots are done with sooner, so their lines are asked for earlier.
  RONDO_ALWAYS_INLINE static void prefetch(const MpmcParts& parts, Position next,
                                           std::uint32_t count) noexcept {
    constexpr std::uint32_t kAhead = kStride < kLineBytes ? 256 : 128;  // bytes
    if constexpr (kStride == 0) {
      prefetch_for_write(slot_at(parts, next + 1));
    } else {
      constexpr std::uint32_t kSlots = max_of(1u, kAhead / kStride);
      const std::byte* const at = slot_at(parts, next + kSlots);
      for (std::uint32_t i = 0; i < count * min_of(kStride, kAhead); i += kLineBytes) {
        prefetch_for_write(at + i);
      }
    }
  }
  // Whether consumers touch what they have read. Not in rings that the caches of two cores can't
  // hold: there a line that was only read is dropped, and a touched one is written to memory.
  RONDO_ALWAYS_INLINE static bool touches(const MpmcParts& parts) noexcept {
    constexpr std::uint64_t kMost = std::uint64_t{2} << 20;  // bytes
    return (kStride == 0 || kStride > kLineBytes) && parts.capacity * stride(parts) <= kMost;
  }
  // Writes a byte of each line of a message back as it is, save the line of its state. A line that
  // both sides write goes to the writer in one crossing; one that the consumer has only read stays
  // shared, and the producer's store to it takes several times as long.
  RONDO_ALWAYS_INLINE static void touch(const MpmcParts& parts, std::byte* payload) noexcept {
    std::byte* const slot = payload - payload_offset(parts);
    std::uint64_t used = kStride;
    if constexpr (kStride == 0) {
      // relaxed: published with the slot; and a hostile peer may have changed it since.
      const std::uint64_t size = size_word(payload).load(std::memory_order_relaxed);
      used = payload_offset(parts) + min_of<std::uint64_t>(size, parts.slot_bytes);
      if (used > kLineBytes) rewrite(slot + used - 1);
    }
    for (std::uint64_t at = kLineBytes; at < used; at += kLineBytes) rewrite(slot + at);
  }

 private:
  RONDO_ALWAYS_INLINE static void rewrite(std::byte* byte) noexcept {
    volatile std::byte* const unknown = byte;  // to the compiler
    *unknown = *unknown;
  }
};

// Stands at one slot of several that follow each other, and steps to its neighbours. Only what
// depends on the slot is computed on the way.
template <class Shape>
class MpmcCursor {
 public:
  RONDO_ALWAYS_INLINE MpmcCursor(const MpmcParts& parts, Position p) noexcept
      : begin_(parts.slots),
        end_(Shape::end_of(parts)),
        at_(Shape::slot_at(parts, p)),
        lap_(parts.lap_of(p)),
        stride_(Shape::stride(parts)),
        payload_offset_(Shape::payload_offset(parts)) {}

  RONDO_ALWAYS_INLINE void forward() noexcept {
    at_ += stride_;
    if (at_ == end_) [[unlikely]] {
      at_ = begin_;
      lap_ += mpmc_state::kLap;
    }
  }
  RONDO_ALWAYS_INLINE void backward() noexcept {
    if (at_ == begin_) [[unlikely]] {
      at_ = end_;
      lap_ -= mpmc_state::kLap;
    }
    at_ -= stride_;
  }

  [[nodiscard]] RONDO_ALWAYS_INLINE SlotWord& state() const noexcept {
    return *reinterpret_cast<SlotWord*>(at_);
  }
  [[nodiscard]] RONDO_ALWAYS_INLINE std::byte* payload() const noexcept {
    return at_ + payload_offset_;
  }
  // As mpmc_state::lap_of.
  [[nodiscard]] RONDO_ALWAYS_INLINE std::uint64_t lap() const noexcept { return lap_; }

 private:
  std::byte* begin_;
  std::byte* end_;
  std::byte* at_;
  std::uint64_t lap_;
  std::uint32_t stride_;
  std::uint32_t payload_offset_;
};

// The longest pause before another look at the other side, in pauses (pacer.hpp): some 10
// microseconds. Longer than in the single-producer rings, as a message takes longer here; for
// 64-byte messages that is twice the rate where the cores are far apart.
inline constexpr std::uint32_t kMpmcMaxPauses = 512;
// How far apart the two sides keep in a stream, in slots: as far as they can. In a long ring that
// would only be a longer pause.
[[nodiscard]] inline std::uint64_t pacing_distance(const MpmcParts& parts) noexcept {
  return min_of<std::uint64_t>(parts.capacity / 2, 1024);
}
// Slots looked at and pauses made by one call that tries to own something, a millisecond or so;
// then it is called contended. And those that one search for orphans, or for slots not given back,
// looks at.
inline constexpr std::uint32_t kMpmcMaxWork = 1u << 15;
inline constexpr std::uint32_t kMpmcSlotsPerSearch = 1u << 16;

}  // namespace detail

}  // namespace rondo::inline RONDO_ABI
