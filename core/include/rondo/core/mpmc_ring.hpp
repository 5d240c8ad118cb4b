// mpmc_ring: many producers, many consumers, each message to one of them, in slots.
//
// Bounded, first in first out by position, and in order for each producer. Any participant may be
// killed at any instruction: what it had committed arrives, what it was writing becomes a tombstone
// that consumers skip, and what it was reading goes to another consumer, marked as redelivered (or
// is dropped and counted, by option). A participant that is only paused is never robbed.
//
// The ring is memory and arithmetic alone: no call waits, allocates or enters the system. Whoever
// is blocked runs recovery from time to time, and tells it who is dead (mpmc_ring_recovery.hpp).
//
//   mpmc_ring_layout.hpp     bytes, parameters, the words' encoding
//   mpmc_ring_words.hpp      every access to a shared word, and all memory orderings
//   mpmc_ring_slots.hpp      where slots lie
//   mpmc_ring_producer.hpp   owning and publishing positions
//   mpmc_ring_consumer.hpp   taking and giving back positions
//   mpmc_ring_recovery.hpp   what the dead leave behind
//   mpmc_ring_sleepers.hpp   who sleeps, for those who wake
//   mpmc_ring_attendance.hpp who takes part, and how those who did have gone
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
#include <type_traits>
#include <utility>

#include "rondo/core/min_max.hpp"
#include "rondo/core/mpmc_ring_attendance.hpp"
#include "rondo/core/mpmc_ring_consumer.hpp"
#include "rondo/core/mpmc_ring_layout.hpp"
#include "rondo/core/mpmc_ring_producer.hpp"
#include "rondo/core/mpmc_ring_recovery.hpp"
#include "rondo/core/mpmc_ring_segment.hpp"
#include "rondo/core/mpmc_ring_sleepers.hpp"
#include "rondo/core/mpmc_ring_slots.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/result.hpp"

namespace rondo::inline RONDO_ABI {

// A ring of T. T = std::byte (the default) makes raw slots: messages of bytes, each with a size of
// its own up to slot_bytes. Any other T is passed as one value per slot.
//
// A view of memory that someone else owns; cheap to copy. Handles made from it have to go before
// the memory.
template <class T = std::byte, class Policy = MpmcSound>
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

  // Parameters of a ring of T. (For raw slots set slot_bytes.)
  [[nodiscard]] static MpmcParams params(std::uint64_t capacity, std::uint32_t participants = 64) {
    MpmcParams result;
    result.capacity = capacity;
    result.participants = participants;
    result.sized = kSized;
    result.slot_bytes = static_cast<std::uint32_t>(sizeof(T));
    result.alignment = static_cast<std::uint32_t>(max_of(alignof(T), alignof(std::uint64_t)));
    return result;
  }

  // See mpmc_ring_segment.hpp.
  [[nodiscard]] static Result<MpmcLayout> layout_for(const MpmcParams& params) {
    return mpmc_layout_for(params);
  }
  [[nodiscard]] static Result<void> create(std::span<std::byte> bytes, const MpmcParams& params,
                                           std::uint64_t instance_id = 1) {
    return mpmc_create(bytes, params, instance_id);
  }
  [[nodiscard]] static Result<mpmc_ring> attach(std::span<std::byte> bytes) {
    Result<MpmcParts> parts =
        kSized ? mpmc_attach(bytes)
               : mpmc_attach_as(bytes, params(2).slot_bytes, params(2).alignment, kSized);
    if (!parts) return std::move(parts).error();
    if (parts->sized != kSized) {
      return Error{ErrorCode::kGeometryMismatch,
                   "the ring's slots hold values of one type, not messages with a size of their "
                   "own: attach with that type"};
    }
    return mpmc_ring(*parts);
  }

  explicit mpmc_ring(const MpmcParts& parts) noexcept : parts_(parts) {}

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
  // little. Who must not stay long looks at `most` slots in one call, and is told false if there
  // are more of them. `until` is at most claimed(). Progress: wait-free, one lap of slots at most.
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

  // Who recovers: participant `self`, or one who is about to be. See mpmc_ring_recovery.hpp.
  [[nodiscard]] basic_mpmc_recovery<Policy> recovery(std::uint32_t self) const noexcept {
    return basic_mpmc_recovery<Policy>(parts_, self);
  }

  // Those who wait for a free slot, and those who wait for a message. See mpmc_ring_sleepers.hpp.
  [[nodiscard]] MpmcSleepers sleeping_producers() const noexcept {
    return MpmcSleepers(parts_, MpmcSleepers::Side::kProducers);
  }
  [[nodiscard]] MpmcSleepers sleeping_consumers() const noexcept {
    return MpmcSleepers(parts_, MpmcSleepers::Side::kConsumers);
  }

  // Who is there, and how the others have gone. See mpmc_ring_attendance.hpp.
  [[nodiscard]] MpmcAttendance producing() const noexcept {
    return MpmcAttendance(parts_, MpmcAttendance::Side::kProducers);
  }
  [[nodiscard]] MpmcAttendance consuming() const noexcept {
    return MpmcAttendance(parts_, MpmcAttendance::Side::kConsumers);
  }

 private:
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
