// What an spsc ring for one producer and one consumer looks like in memory.
//
//   offset             what                     written by
//   0                  segment header           creator       (segment_header.hpp)
//   4096               participant table        participants  (participants.hpp; may be empty)
//   layout.producer    SpscProducerPart         the producer
//   layout.consumer    SpscConsumerPart         the consumer
//   layout.slots       slots                    the producer
//
// Parts of different writers start on pages of their own, so that they may also lie in separate
// files. Position p lives in slot p & (capacity - 1).
//
// Invariant: tail - head <= capacity (mod 2^64).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>

#include "rondo/core/atomic.hpp"
#include "rondo/core/bell.hpp"
#include "rondo/core/min_max.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/position.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/segment_header.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// The producer's words.
//
//   offset  size  field             meaning
//        0     8  tail              slots ever published
//      128     4  space_waiter      the producer sleeps for space, or has left
//      256     4  message_notifier  rung when tail moved
struct SpscProducerPart {
  alignas(kSharingRange) Atomic<std::uint64_t> tail;
  alignas(kSharingRange) BellWaiter space_waiter;
  alignas(kSharingRange) BellNotifier message_notifier;
};
static_assert(offsetof(SpscProducerPart, tail) == 0);
static_assert(offsetof(SpscProducerPart, space_waiter) == 128);
static_assert(offsetof(SpscProducerPart, message_notifier) == 256);
static_assert(sizeof(SpscProducerPart) == 384);
static_assert(std::is_standard_layout_v<SpscProducerPart>);
static_assert(std::is_trivially_destructible_v<SpscProducerPart>);

// The consumer's words.
//
//   offset  size  field           meaning
//        0     8  head            slots ever given back
//      128     4  message_waiter  the consumer sleeps for messages, or has left
//      256     4  space_notifier  rung when head moved
struct SpscConsumerPart {
  alignas(kSharingRange) Atomic<std::uint64_t> head;
  alignas(kSharingRange) BellWaiter message_waiter;
  alignas(kSharingRange) BellNotifier space_notifier;
};
static_assert(offsetof(SpscConsumerPart, head) == 0);
static_assert(offsetof(SpscConsumerPart, message_waiter) == 128);
static_assert(offsetof(SpscConsumerPart, space_notifier) == 256);
static_assert(sizeof(SpscConsumerPart) == 384);
static_assert(std::is_standard_layout_v<SpscConsumerPart>);
static_assert(std::is_trivially_destructible_v<SpscConsumerPart>);

// Where the parts of a ring lie in its segment, in bytes from the segment's start.
struct SpscLayout {
  std::uint64_t producer;
  std::uint64_t consumer;
  std::uint64_t slots;
  std::uint64_t total_bytes;
};

inline constexpr std::uint64_t kMaxSpscCapacity = std::uint64_t{1} << 40;
inline constexpr std::uint32_t kMaxSpscSlotBytes = std::uint32_t{1} << 30;
inline constexpr std::uint32_t kMaxSpscParticipants = 65;

// Tag: slots of a size known at run time, handled as bytes.
struct raw_slots {};

// A process's own copy of where everything lies; taken at attach, never read again from the
// segment. The parts may lie in one segment or in several.
template <class T>
struct SpscParts {
  using Element = T;
  static constexpr std::size_t slot_elements() noexcept { return 1; }

  SpscProducerPart* producer;
  SpscConsumerPart* consumer;
  T* slots;
  std::uint64_t capacity;  // slots, a power of two
};
template <>
struct SpscParts<raw_slots> {
  using Element = std::byte;
  [[nodiscard]] std::size_t slot_elements() const noexcept { return slot_bytes; }

  SpscProducerPart* producer;
  SpscConsumerPart* consumer;
  std::byte* slots;
  std::uint64_t capacity;
  std::size_t slot_bytes;  // a multiple of 8
};

// What a new ring shall be like.
struct SpscParams {
  std::uint64_t capacity;          // slots, a power of two
  std::uint32_t slot_bytes = 0;    // of raw slots: a multiple of 8; of others 0, or their size
  std::uint32_t participants = 0;  // entries in the participant table
  std::uint64_t instance_id = 0;   // 0: a random one
  std::uint64_t type_tag = 0;      // segment_header.hpp
};

namespace detail {

// Why a ring can't have this geometry; empty if it can.
[[nodiscard]] inline std::string spsc_problem(std::uint64_t capacity, std::uint64_t slot_bytes,
                                              std::uint64_t participants) {
  if (!std::has_single_bit(capacity) || capacity > kMaxSpscCapacity) {
    return "the capacity is " + std::to_string(capacity) +
           " slots; it has to be a power of two, at most 2^40";
  }
  if (slot_bytes == 0 || slot_bytes > kMaxSpscSlotBytes) {
    return "a slot is " + std::to_string(slot_bytes) + " bytes; possible are 1 to 2^30";
  }
  // No overflow: the factors are below 2^41 and 2^31.
  if (capacity > kMaxSegmentBytes / slot_bytes) {
    return std::to_string(capacity) + " slots of " + std::to_string(slot_bytes) +
           " bytes are more than 2^46 bytes in all";
  }
  if (participants > kMaxSpscParticipants) {
    return "the participant table has " + std::to_string(participants) +
           " entries; possible are 0 to 65";
  }
  return {};
}

// Offsets for a geometry without objection.
[[nodiscard]] constexpr SpscLayout spsc_layout(std::uint64_t capacity, std::uint64_t slot_bytes,
                                               std::uint64_t participants) noexcept {
  SpscLayout layout{};
  layout.producer = after_participants(participants);
  layout.consumer = layout.producer + kPartAlignment;
  layout.slots = layout.consumer + kPartAlignment;
  layout.total_bytes = round_up(layout.slots + capacity * slot_bytes, kPartAlignment);
  return layout;
}

template <class Parts>
[[nodiscard]] RONDO_ALWAYS_INLINE typename Parts::Element* slot_at(const Parts& parts,
                                                                   Position position) noexcept {
  return parts.slots + index_of(position, parts.capacity) * parts.slot_elements();
}

template <class Parts>
[[nodiscard]] std::size_t slot_bytes_of(const Parts& parts) noexcept {
  return parts.slot_elements() * sizeof(typename Parts::Element);
}

// Slots in two runs: up to the end of the ring, and on from its start.
template <class Element>
struct SpscSlots {
  std::span<Element> first;
  std::span<Element> second;
};

// The `count` slots from `position` on; at most the capacity.
template <class Parts>
[[nodiscard]] RONDO_ALWAYS_INLINE auto slots_at(const Parts& parts, Position position,
                                                std::size_t count) noexcept
    -> SpscSlots<typename Parts::Element> {
  const std::size_t elements = count * parts.slot_elements();
  const std::size_t to_end =
      (parts.capacity - index_of(position, parts.capacity)) * parts.slot_elements();
  const std::size_t first = min_of(elements, to_end);
  return {{slot_at(parts, position), first}, {parts.slots, elements - first}};
}

template <class T>
RONDO_ALWAYS_INLINE void copy_slots(const T* from, std::size_t count, T* to) noexcept {
  if (count != 0) std::memcpy(to, from, count * sizeof(T));
}

}  // namespace detail
}  // namespace rondo::inline RONDO_ABI
