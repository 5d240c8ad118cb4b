// mpmc_ring: many producers, many consumers, each message to one of them, in slots.
//
// Bounded, first in first out by position, and in order for each producer. Any participant may be
// killed at any instruction: what it had committed arrives, what it was writing becomes a tombstone
// that consumers skip, and what it was reading goes to another consumer, marked as redelivered (or
// is dropped and counted, by option). A participant that is only paused is never robbed.
//
// The ring is memory and arithmetic alone: no call waits, allocates or enters the system. A blocked
// participant runs recovery from time to time, and tells it which ones are dead
// (mpmc_ring_recovery.hpp).
//
//   mpmc_ring_layout.hpp     bytes, parameters, the words' encoding
//   mpmc_ring_words.hpp      every access to a shared word, and all memory orderings
//   mpmc_ring_slots.hpp      where slots lie
//   mpmc_ring_producer.hpp   owning and publishing positions
//   mpmc_ring_consumer.hpp   taking and giving back positions
//   mpmc_ring_recovery.hpp   what the dead leave behind
//   mpmc_ring_waiters.hpp    which participants sleep, for those that wake
//   mpmc_ring_presence.hpp which participants are there, how others have gone
//   mpmc_ring_segment.hpp    create and attach
//
// docs/mpmc.md has the argument why it is safe, and the measurements.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "rondo/core/min_max.hpp"
#include "rondo/core/mpmc_ring_consumer.hpp"
#include "rondo/core/mpmc_ring_layout.hpp"
#include "rondo/core/mpmc_ring_presence.hpp"
#include "rondo/core/mpmc_ring_producer.hpp"
#include "rondo/core/mpmc_ring_recovery.hpp"
#include "rondo/core/mpmc_ring_segment.hpp"
#include "rondo/core/mpmc_ring_slots.hpp"
#include "rondo/core/mpmc_ring_waiters.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/result.hpp"

namespace rondo::inline RONDO_ABI {

// A ring of T. T = std::byte (the default) makes raw slots: messages of bytes, each with a size of
// its own up to slot_bytes. Any other T is passed as one value per slot.
//
// A view of memory that the caller owns, by its parts; cheap to copy. Handles made from it have to
// go before the memory.
template <class T = std::byte, class Policy = MpmcDefaultPolicy>
class mpmc_ring {
 public:
  static constexpr bool kSized = std::is_same_v<T, std::byte>;
  static_assert(std::is_trivially_copyable_v<T>, "slots cross process boundaries as bytes");
  static_assert(alignof(T) <= mpmc_limits::kMaxAlignment);

  class Producer;
  class Consumer;

  // What a slot looks like to its owner: T&, or bytes.
  using Writable = std::conditional_t<kSized, std::span<std::byte>, T&>;
  using Readable = std::conditional_t<kSized, std::span<const std::byte>, const T&>;

  using Parts = MpmcParts;

  // The life cycle; see life_cycle.hpp.
  [[nodiscard]] static Result<MpmcLayout> layout_for(const MpmcParams& params) {
    return detail::mpmc_layout_for(shaped(params));
  }
  [[nodiscard]] static Result<Parts> create(std::span<std::byte> bytes, const MpmcParams& params) {
    return detail::mpmc_create(bytes, shaped(params));
  }
  [[nodiscard]] static Result<Parts> attach(std::span<std::byte> bytes,
                                            std::string_view what = "the ring") {
    return detail::mpmc_shaped_as(detail::mpmc_attach(bytes, what), shaped({}), what);
  }
  [[nodiscard]] static Result<Parts> attach(std::span<std::byte> bytes, const Geometry& geometry,
                                            std::string_view what) {
    return detail::mpmc_shaped_as(detail::mpmc_attach(bytes, geometry, what), shaped({}), what);
  }

  mpmc_ring(const Parts& parts) noexcept : parts_(parts) {}

  [[nodiscard]] const MpmcParts& parts() const noexcept { return parts_; }
  [[nodiscard]] std::uint64_t capacity() const noexcept { return parts_.capacity; }

  // Claimed and not yet taken, more or less, while others are at it. Clamped to the capacity.
  [[nodiscard]] std::uint64_t size() const noexcept {
    const Position head = detail::guess_head(*parts_.positions);
    const Position tail = detail::guess_tail(*parts_.positions);
    const auto size = static_cast<std::int64_t>(tail - head);
    return size < 0 ? 0 : min_of(static_cast<std::uint64_t>(size), parts_.capacity);
  }

  // Positions ever claimed: what is claimed later lies at this one or behind it.
  [[nodiscard]] Position claimed() const noexcept { return detail::guess_tail(*parts_.positions); }

  // Whether every position before `until` has been given back. Moves `from`, which the caller keeps
  // for its next look and which starts anywhere (at 0), past those that have; so a look costs
  // little. A caller that must not stay long looks at `most` slots in one call, and is told false
  // if there are more of them. `until` is at most claimed(). Progress: wait-free, one lap of slots
  // at most.
  // Memory ordering: what the consumers did before they gave the slots back is visible.
  [[nodiscard]] bool given_back(Position& from, Position until,
                                std::uint64_t most = mpmc_limits::kMaxCapacity) const noexcept {
    const Position oldest = until - parts_.capacity;  // those before it are overwritten
    if (until - from > parts_.capacity) from = oldest;
    for (std::uint64_t looked = 0; from != until; ++from, ++looked) {
      if (looked == most) return false;
      const std::uint64_t next_lap = parts_.lap_of(from) + mpmc_state::kLap;
      const std::uint64_t seen = mpmc_state::lap_in(detail::read_for_claim(parts_.state_at(from)));
      if (static_cast<std::int64_t>(seen - next_lap) < 0) return false;
    }
    return true;
  }

  // For recovery by participant `self`, or one that is about to be it. See mpmc_ring_recovery.hpp.
  [[nodiscard]] basic_mpmc_recovery<Policy> recovery(std::uint32_t self) const noexcept {
    return basic_mpmc_recovery<Policy>(parts_, self);
  }

  // The participants that wait for a free slot, and those that wait for a message. See
  // mpmc_ring_waiters.hpp.
  [[nodiscard]] MpmcWaiterSet sleeping_producers() const noexcept {
    return MpmcWaiterSet(parts_, MpmcWaiterSet::Side::kProducers);
  }
  [[nodiscard]] MpmcWaiterSet sleeping_consumers() const noexcept {
    return MpmcWaiterSet(parts_, MpmcWaiterSet::Side::kConsumers);
  }

  // Which participants are there, and how the others have gone. See mpmc_ring_presence.hpp.
  [[nodiscard]] MpmcPresence producing() const noexcept {
    return MpmcPresence(parts_, MpmcPresence::Side::kProducers);
  }
  [[nodiscard]] MpmcPresence consuming() const noexcept {
    return MpmcPresence(parts_, MpmcPresence::Side::kConsumers);
  }

 private:
  // These parameters, with slots for messages of type T.
  [[nodiscard]] static constexpr MpmcParams shaped(MpmcParams params) noexcept {
    params.sized = kSized;
    if constexpr (!kSized) {
      params.slot_bytes = static_cast<std::uint32_t>(sizeof(T));
      params.alignment = static_cast<std::uint32_t>(max_of(alignof(T), alignof(std::uint64_t)));
    }
    return params;
  }

  using Shape = detail::MpmcShape<
      kSized ? 0
             : mpmc_limits::stride(static_cast<std::uint32_t>(sizeof(T)),
                                   static_cast<std::uint32_t>(alignof(T)), false),
      kSized ? 0 : mpmc_limits::payload_offset(static_cast<std::uint32_t>(alignof(T)), false)>;

  MpmcParts parts_;
};

}  // namespace rondo::inline RONDO_ABI

#include "rondo/core/mpmc_ring_handles.hpp"
#include "rondo/core/version.hpp"
