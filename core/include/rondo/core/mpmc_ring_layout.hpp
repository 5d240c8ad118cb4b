// What an mpmc ring looks like in memory, and how its words are read and written.
//
//   offset                          what                    written by
//   0                               segment header          creator         (segment_header.hpp)
//   4096                            participant table       participants    (participants.hpp)
//   layout.positions                MpmcPositions           all, by read-modify-write
//   layout.participants + i * 256   MpmcParticipantPart i   participant i (its bell: its wakers)
//   layout.slots                    capacity slots          the owner of the slot
//
// A slot is a state word followed by its payload:
//
//   offset          size        what
//        0             8        state word
//        8             8        size of the message in bytes; sized slots only
//   payload_offset  slot_bytes  payload, aligned to its type (sized slots: to 16)
//
// Slots are packed: neighbours share a line. Measured against slots on lines of their own, that is
// three times faster for 8-byte messages and level at 64 bytes (docs/mpmc.md, "Spacing").
//
// State word, from the low bits up. Position p is lap p / capacity of slot p % capacity.
//
//   bits   0-2   kind    0 free, 1 written, 2 tombstone, 3 orphaned, 4 adopted
//   bits   3-10  owner   participant that holds an adopted message, else 0
//   bits  11-63  lap     low 53 bits of the position's lap; a slot given back is free in the next
//   lap
//
// So a ring of zeros is an empty ring, and no value comes twice in any practical time.
//
// Announce word, from the low bits up: what a participant is about to own, or owns.
//
//   bits   0-8   count     positions announced, 1 to 256; 0: none
//   bits   9-63  position  low 55 bits of the first
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "rondo/core/atomic.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/position.hpp"
#include "rondo/core/segment_header.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// What a slot's state word says of it.
enum class SlotKind : std::uint8_t {
  kFree = 0,       // awaits the producer of its lap
  kWritten = 1,    // holds a message; taken already if the head has passed it
  kTombstone = 2,  // its producer gave it up or died; consumers skip it
  kOrphaned = 3,   // its consumer died; awaits another one
  kAdopted = 4     // taken over by the consumer that the word names
};

namespace mpmc_state {

inline constexpr std::uint32_t kOwnerShift = 3;
inline constexpr std::uint32_t kLapShift = 11;
inline constexpr std::uint64_t kLap = std::uint64_t{1} << kLapShift;  // one lap's step

// The word of a free slot at `position` in a ring of 2^`capacity_bits` slots. Other kinds are
// added to it.
[[nodiscard]] constexpr std::uint64_t lap_of(Position position,
                                             std::uint32_t capacity_bits) noexcept {
  return (position >> capacity_bits) << kLapShift;
}
[[nodiscard]] constexpr std::uint64_t make(std::uint64_t lap, SlotKind kind,
                                           std::uint32_t owner = 0) noexcept {
  return lap | std::uint64_t{owner} << kOwnerShift | static_cast<std::uint64_t>(kind);
}
[[nodiscard]] constexpr std::uint64_t lap_in(std::uint64_t word) noexcept {
  return word & ~(kLap - 1);
}

}  // namespace mpmc_state

namespace mpmc_announcement {

inline constexpr std::uint64_t kNone = 0;
inline constexpr std::uint32_t kCountBits = 9;
inline constexpr std::uint32_t kMaxCount = 256;

[[nodiscard]] constexpr std::uint64_t make(Position first, std::uint32_t count) noexcept {
  return first << kCountBits | count;
}
// 0 to kMaxCount, whatever the word: it may be a hostile peer's.
[[nodiscard]] constexpr std::uint32_t count_in(std::uint64_t word) noexcept {
  const auto count = static_cast<std::uint32_t>(word & ((1u << kCountBits) - 1));
  return count <= kMaxCount ? count : kMaxCount;
}
// The first position, made whole: of all that have these low bits, the one nearest below or at
// `reference`.
[[nodiscard]] constexpr Position first_in(std::uint64_t word, Position reference) noexcept {
  const std::uint64_t below = (reference << kCountBits) - (word & ~((1ull << kCountBits) - 1));
  return reference - (below >> kCountBits);
}
[[nodiscard]] constexpr bool covers(std::uint64_t word, Position position) noexcept {
  return position - first_in(word, position) < count_in(word);
}

}  // namespace mpmc_announcement

// The words that all participants share.
//
//   offset  size  field              meaning
//        0     8  tail               positions ever claimed by producers
//      128     8  head               positions ever taken by consumers
//      256    32  producer_waiters   one bit per participant that sleeps for a free slot
//      384    32  consumer_waiters   one bit per participant that sleeps for a message
//      512     8  orphans            grows whenever messages were orphaned: look for them
//      520     8  presence_epoch     grows whenever a participant has joined or left: count anew
struct MpmcPositions {
  alignas(kSharingRange) Atomic<std::uint64_t> tail;
  alignas(kSharingRange) Atomic<std::uint64_t> head;
  alignas(kSharingRange) Atomic<std::uint64_t> producer_waiters[4];
  alignas(kSharingRange) Atomic<std::uint64_t> consumer_waiters[4];
  alignas(kSharingRange) Atomic<std::uint64_t> orphans;
  Atomic<std::uint64_t> presence_epoch;
};
static_assert(offsetof(MpmcPositions, tail) == 0);
static_assert(offsetof(MpmcPositions, head) == 128);
static_assert(offsetof(MpmcPositions, producer_waiters) == 256);
static_assert(offsetof(MpmcPositions, consumer_waiters) == 384);
static_assert(offsetof(MpmcPositions, orphans) == 512);
static_assert(offsetof(MpmcPositions, presence_epoch) == 520);
static_assert(sizeof(MpmcPositions) == 640);
static_assert(std::is_standard_layout_v<MpmcPositions>);
static_assert(std::is_trivially_destructible_v<MpmcPositions>);

// One participant's words. It alone writes the first range (and its recoverer, after its
// death); `bell` is written by those that wake it. The counters go on through all owners of the
// slot.
//
//   offset  size  field        meaning
//        0     8  claiming     announce word of its producer
//        8     8  taking       announce word of its consumer
//       16     8  tombstones   slots that it turned into tombstones for dead producers
//       24     8  orphaned     messages that it set free for redelivery
//       32     8  redelivered  messages that it took over
//       40     8  dropped      messages that it dropped with their dead consumers
//       48     8  producing    as a producer: whether it is there, how its predecessors have gone
//       56     8  consuming    the same as a consumer (mpmc_ring_presence.hpp)
//      128     4  bell         the futex word it sleeps on
struct MpmcParticipantPart {
  alignas(kSharingRange) Atomic<std::uint64_t> claiming;
  Atomic<std::uint64_t> taking;
  Atomic<std::uint64_t> tombstones;
  Atomic<std::uint64_t> orphaned;
  Atomic<std::uint64_t> redelivered;
  Atomic<std::uint64_t> dropped;
  Atomic<std::uint64_t> producing;
  Atomic<std::uint64_t> consuming;
  alignas(kSharingRange) Atomic<std::uint32_t> bell;
};
static_assert(offsetof(MpmcParticipantPart, taking) == 8);
static_assert(offsetof(MpmcParticipantPart, tombstones) == 16);
static_assert(offsetof(MpmcParticipantPart, orphaned) == 24);
static_assert(offsetof(MpmcParticipantPart, redelivered) == 32);
static_assert(offsetof(MpmcParticipantPart, dropped) == 40);
static_assert(offsetof(MpmcParticipantPart, producing) == 48);
static_assert(offsetof(MpmcParticipantPart, consuming) == 56);
static_assert(offsetof(MpmcParticipantPart, bell) == 128);
static_assert(sizeof(MpmcParticipantPart) == 256);
static_assert(std::is_standard_layout_v<MpmcParticipantPart>);
static_assert(std::is_trivially_destructible_v<MpmcParticipantPart>);

// What happens to a message whose consumer died holding it.
enum class OnConsumerDeath : std::uint8_t {
  kRedeliver,  // another consumer gets it, marked as redelivered
  kDrop        // it is dropped and counted
};

// What a new ring shall be like.
struct MpmcParams {
  std::uint64_t capacity = 1024;    // slots; a power of two, at least 2
  std::uint32_t slot_bytes = 8;     // payload of a slot; raw slots only
  std::uint32_t alignment = 8;      // of the payload; a power of two, at most 64; raw slots only
  std::uint32_t participants = 64;  // at most kMaxParticipants
  OnConsumerDeath on_consumer_death = OnConsumerDeath::kRedeliver;
  std::uint64_t instance_id = 0;  // 0: a random one
  bool sized =
      true;  // each message has a size of its own, up to slot_bytes; as the ring's type says
};

// Where everything lies, as offsets from the segment's base.
struct MpmcLayout {
  std::uint64_t participant_table;
  std::uint64_t positions;
  std::uint64_t participants;
  std::uint64_t slots;
  std::uint64_t total_bytes;
  std::uint32_t payload_offset;  // within a slot
  std::uint32_t stride;          // from one slot to the next
};

namespace mpmc_limits {

inline constexpr std::uint64_t kMinCapacity = 2;
inline constexpr std::uint64_t kMaxCapacity = std::uint64_t{1} << 32;
inline constexpr std::uint32_t kMaxSlotBytes = std::uint32_t{1} << 30;
inline constexpr std::uint32_t kMaxParticipants = 256;
inline constexpr std::uint32_t kMaxAlignment = 64;

[[nodiscard]] constexpr std::uint32_t payload_offset(std::uint32_t alignment, bool sized) noexcept {
  const std::uint32_t words = sized ? 16 : 8;
  return alignment > words ? alignment : words;
}
[[nodiscard]] constexpr std::uint32_t stride(std::uint32_t slot_bytes, std::uint32_t alignment,
                                             bool sized) noexcept {
  const std::uint32_t unit = sized && alignment < 16 ? 16 : (alignment < 8 ? 8 : alignment);
  return static_cast<std::uint32_t>(round_up(payload_offset(alignment, sized) + slot_bytes, unit));
}

}  // namespace mpmc_limits

// A process's own copy of where everything lies; taken at attach, never read again from the
// segment.
struct MpmcParts {
  MpmcPositions* positions;
  MpmcParticipantPart* participants;
  std::byte* slots;
  std::uint64_t capacity;        // slots, a power of two
  std::uint32_t capacity_bits;   // its logarithm
  std::uint32_t slot_bytes;      // payload of a slot
  std::uint32_t stride;          // bytes from slot to slot
  std::uint32_t payload_offset;  // within a slot
  std::uint32_t participant_count;
  bool sized;
  OnConsumerDeath on_consumer_death;

  // Inside the ring whatever the position.
  [[nodiscard]] std::byte* slot_at(Position position) const noexcept {
    return slots + index_of(position, capacity) * stride;
  }
  [[nodiscard]] Atomic<std::uint64_t>& state_at(Position position) const noexcept {
    return *reinterpret_cast<Atomic<std::uint64_t>*>(slot_at(position));
  }
  [[nodiscard]] std::uint64_t lap_of(Position position) const noexcept {
    return mpmc_state::lap_of(position, capacity_bits);
  }
  [[nodiscard]] std::uint32_t at_most_a_lap(std::uint32_t slots_wanted) const noexcept {
    return slots_wanted < capacity ? slots_wanted : static_cast<std::uint32_t>(capacity);
  }
};

namespace detail {

// Where everything lies with parameters that are known to be sound (layout_for() checks them).
// Bounded as mpmc_limits says, nothing here overflows.
[[nodiscard]] constexpr MpmcLayout mpmc_layout_of(const MpmcParams& params) noexcept {
  MpmcLayout layout{};
  layout.participant_table = kParticipantTable;
  layout.positions = after_participants(params.participants);
  layout.participants = layout.positions + round_up(sizeof(MpmcPositions), kPartAlignment);
  layout.slots = layout.participants +
                 round_up(params.participants * sizeof(MpmcParticipantPart), kPartAlignment);
  layout.payload_offset = mpmc_limits::payload_offset(params.alignment, params.sized);
  layout.stride = mpmc_limits::stride(params.slot_bytes, params.alignment, params.sized);
  layout.total_bytes = layout.slots + round_up(params.capacity * layout.stride, kPartAlignment);
  return layout;
}

// The parts of a ring at `base`, with parameters that are known to be sound.
[[nodiscard]] inline MpmcParts mpmc_parts_at(std::byte* base, const MpmcParams& params) noexcept {
  const MpmcLayout layout = mpmc_layout_of(params);
  MpmcParts parts{};
  parts.positions = reinterpret_cast<MpmcPositions*>(base + layout.positions);
  parts.participants = reinterpret_cast<MpmcParticipantPart*>(base + layout.participants);
  parts.slots = base + layout.slots;
  parts.capacity = params.capacity;
  parts.capacity_bits = static_cast<std::uint32_t>(std::countr_zero(params.capacity));
  parts.slot_bytes = params.slot_bytes;
  parts.stride = layout.stride;
  parts.payload_offset = layout.payload_offset;
  parts.participant_count = params.participants;
  parts.sized = params.sized;
  parts.on_consumer_death = params.on_consumer_death;
  return parts;
}

}  // namespace detail
}  // namespace rondo::inline RONDO_ABI
