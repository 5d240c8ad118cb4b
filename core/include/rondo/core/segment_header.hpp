// The first page of every segment: what it is, for whom, and how large.
//
//   offset  size  field             meaning
//        0     8  magic             kSegmentMagic; stored last, publishes the rest
//        8     4  layout_version    layout_version_of(kind)
//       12     4  kind              RingKind
//       16     4  byte_order        0x01020304 as the creator's machine stores it
//       20     4  word_bits         64; of the creator's pointers
//       24     8  instance_id       random; tells this segment from others that bore its name
//       32     8  total_bytes       of the whole segment
//       40     8  feature_bits      the ring refuses bits that it does not know; those from
//                                   kUserHeaderShift up are a channel's
//       48     8  capacity          bytes or slots, as the kind has it
//       56     4  slot_bytes        0 where records have sizes of their own
//       60     4  participants      entries in the participant table
//       64     8  created_unix_ns   when, for people
//       72     8  type_tag          a number of the user's for the type of the messages; 0: none
//       80  4016  (zero)
//
// The creator writes all of it before the segment has a name; it is never written afterwards. The
// participant table follows at kParticipantTable (participants.hpp). Where everything else lies is
// computed from these few numbers by each ring's layout_for(); no offset is stored, so no parts can
// overlap.
//
// Ordering. The label stands at exactly one operation below.
//
//   H1 release magic  ->  H2 acquire magic   all of a finished segment's contents are there
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "rondo/core/atomic.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/position.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/unix_time.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

enum class RingKind : std::uint32_t {
  kSpsc = 1,
  kRecord = 2,
  kMpmc = 3,
  kLatest = 4,
  kFramePool = 5,
  kCommon = 6
};

// For check_header(). A value and not an empty optional: compilers branch on what an empty one
// holds before they ask whether it is empty, and valgrind tells the user that.
inline constexpr RingKind kAnyKind{};

// What there is to know of a kind of ring before its own code is asked.
struct RingKindEntry {
  RingKind kind;
  std::string_view name;         // as it stands in URLs and in what `rondo info` prints
  std::uint32_t layout_version;  // of what lies in such a segment, this page included
  bool power_of_two;             // its capacity has to be one
};
inline constexpr std::array kRingKinds{
    RingKindEntry{RingKind::kSpsc, "spsc", 2, true},
    RingKindEntry{RingKind::kRecord, "record", 3, true},
    RingKindEntry{RingKind::kMpmc, "mpmc", 2, true},
    RingKindEntry{RingKind::kLatest, "latest", 2, false},
    RingKindEntry{RingKind::kFramePool, "frames", 2, false},
    RingKindEntry{RingKind::kCommon, "common", 1, false},
};

namespace detail {

// Of a kind that this program does not know: "unknown", in layout version 0. By value, and nothing
// like it asks whether a pointer is null: for g++ with UBSan that is no constant expression.
[[nodiscard]] constexpr RingKindEntry entry_of(RingKind kind) noexcept {
  for (const RingKindEntry& entry : kRingKinds) {
    if (entry.kind == kind) return entry;
  }
  return {kind, "unknown", 0, false};
}

}  // namespace detail

// "unknown" for one that is none of the above.
[[nodiscard]] constexpr std::string_view to_string(RingKind kind) noexcept {
  return detail::entry_of(kind).name;
}

// The one that this program writes and reads: raised, for this kind alone, whenever another
// program would misunderstand what lies there. 0 for a kind that is none of the above.
[[nodiscard]] constexpr std::uint32_t layout_version_of(RingKind kind) noexcept {
  return detail::entry_of(kind).layout_version;
}

inline constexpr std::uint64_t kSegmentMagic = 0x4745'534F'444E'4F52;  // "RONDOSEG" in memory
inline constexpr std::uint32_t kByteOrderMark = 0x0102'0304;
inline constexpr std::uint32_t kWordBits = sizeof(void*) * 8;
inline constexpr std::uint64_t kMaxSegmentBytes = std::uint64_t{1} << 46;
inline constexpr std::uint32_t kMaxParticipants = 1024;

// In feature_bits: how many bytes of each message are the user's header (header= in a channel's
// URL); and, as a power of two, of what each message begins at a multiple (align=), 0: of 8. A
// channel takes them out before its ring sees them, so that a ring opened without a channel, and a
// program that does not know them, refuses such a segment.
inline constexpr unsigned kUserHeaderShift = 48;
inline constexpr unsigned kUserAlignmentShift = 60;

// Where the participant table lies, and how much of it one participant takes.
inline constexpr std::uint64_t kParticipantTable = kPartAlignment;
inline constexpr std::uint64_t kParticipantBytes = 128;

// The first byte behind a table of `participants` entries, where a ring's own parts begin.
[[nodiscard]] constexpr std::uint64_t after_participants(std::uint64_t participants) noexcept {
  return round_up(kParticipantTable + participants * kParticipantBytes, kPartAlignment);
}

struct SegmentHeader {
  Atomic<std::uint64_t> magic;
  Atomic<std::uint32_t> layout_version;
  Atomic<std::uint32_t> kind;
  Atomic<std::uint32_t> byte_order;
  Atomic<std::uint32_t> word_bits;
  Atomic<std::uint64_t> instance_id;
  Atomic<std::uint64_t> total_bytes;
  Atomic<std::uint64_t> feature_bits;
  Atomic<std::uint64_t> capacity;
  Atomic<std::uint32_t> slot_bytes;
  Atomic<std::uint32_t> participants;
  Atomic<std::uint64_t> created_unix_ns;
  Atomic<std::uint64_t> type_tag;
};
static_assert(offsetof(SegmentHeader, layout_version) == 8);
static_assert(offsetof(SegmentHeader, kind) == 12);
static_assert(offsetof(SegmentHeader, byte_order) == 16);
static_assert(offsetof(SegmentHeader, word_bits) == 20);
static_assert(offsetof(SegmentHeader, instance_id) == 24);
static_assert(offsetof(SegmentHeader, total_bytes) == 32);
static_assert(offsetof(SegmentHeader, feature_bits) == 40);
static_assert(offsetof(SegmentHeader, capacity) == 48);
static_assert(offsetof(SegmentHeader, slot_bytes) == 56);
static_assert(offsetof(SegmentHeader, participants) == 60);
static_assert(offsetof(SegmentHeader, created_unix_ns) == 64);
static_assert(offsetof(SegmentHeader, type_tag) == 72);
static_assert(sizeof(SegmentHeader) == 80);
static_assert(std::is_standard_layout_v<SegmentHeader>);
static_assert(std::is_trivially_destructible_v<SegmentHeader>);

// A process's own copy of the header; taken once at attach, never read again from the segment.
struct Geometry {
  RingKind kind{};
  std::uint64_t capacity = 0;      // bytes or slots
  std::uint32_t slot_bytes = 0;    // 0: records have sizes of their own
  std::uint32_t participants = 0;  // entries in the participant table
  std::uint64_t feature_bits = 0;
  std::uint64_t total_bytes = 0;
  std::uint64_t instance_id = 0;
  std::uint64_t created_unix_ns = 0;  // initialise_header() fills in the present if it is 0
  std::uint64_t type_tag = 0;         // the rings don't look at it
};

// Writes everything but the magic into the first page of `segment`, which is zero, aligned to
// kSharingRange, and no smaller than a page. The caller then writes the other parts.
// Caller: the creator, before any other process can see the segment.
inline void initialise_header(std::span<std::byte> segment, const Geometry& geometry) noexcept {
  // relaxed throughout: H1 publishes these.
  constexpr auto kRelaxed = std::memory_order_relaxed;
  auto* header = new (segment.data()) SegmentHeader;
  header->magic.store(0, kRelaxed);
  header->layout_version.store(layout_version_of(geometry.kind), kRelaxed);
  header->kind.store(static_cast<std::uint32_t>(geometry.kind), kRelaxed);
  header->byte_order.store(kByteOrderMark, kRelaxed);
  header->word_bits.store(kWordBits, kRelaxed);
  header->instance_id.store(geometry.instance_id, kRelaxed);
  header->total_bytes.store(geometry.total_bytes, kRelaxed);
  header->feature_bits.store(geometry.feature_bits, kRelaxed);
  header->capacity.store(geometry.capacity, kRelaxed);
  header->slot_bytes.store(geometry.slot_bytes, kRelaxed);
  header->participants.store(geometry.participants, kRelaxed);
  const bool now = geometry.created_unix_ns == 0;
  header->created_unix_ns.store(now ? unix_nanoseconds() : geometry.created_unix_ns, kRelaxed);
  header->type_tag.store(geometry.type_tag, kRelaxed);
}

// Declares the segment finished: it will pass check_header() from now on.
// Memory ordering: what the caller wrote before is visible to a process that passes check_header().
inline void finish_header(std::span<std::byte> segment) noexcept {
  auto* header = std::launder(reinterpret_cast<SegmentHeader*>(segment.data()));
  // H1 (release, pairs with H2): the header's fields and all parts are written.
  header->magic.store(kSegmentMagic, std::memory_order_release);
}

namespace detail {

// Why the geometry of a header of a known kind is impossible; empty if it is possible.
// Every product is bounded before it is formed.
[[nodiscard]] inline std::string header_problem(const Geometry& geometry) {
  if (geometry.total_bytes > kMaxSegmentBytes) {
    return "its size is " + std::to_string(geometry.total_bytes) + " bytes, more than 2^46";
  }
  if (geometry.participants > kMaxParticipants) {
    return "it has " + std::to_string(geometry.participants) + " participant slots, more than " +
           std::to_string(kMaxParticipants);
  }
  const std::uint64_t parts = after_participants(geometry.participants);
  if (parts > geometry.total_bytes) {
    return "its participant table does not fit into its " + std::to_string(geometry.total_bytes) +
           " bytes";
  }
  const std::uint64_t room = geometry.total_bytes - parts;
  const std::uint64_t unit = geometry.slot_bytes == 0 ? 1 : geometry.slot_bytes;
  if (geometry.capacity == 0 || geometry.capacity > room / unit) {
    return "a capacity of " + std::to_string(geometry.capacity) + " units of " +
           std::to_string(unit) + " bytes does not fit into the " + std::to_string(room) +
           " bytes behind its participant table";
  }
  if (entry_of(geometry.kind).power_of_two && !std::has_single_bit(geometry.capacity)) {
    return "its capacity is " + std::to_string(geometry.capacity) + ", no power of two";
  }
  return {};
}

// Reads magic, byte order and word size; an error if any is not ours.
[[nodiscard]] inline Result<void> check_header_words(const SegmentHeader& header,
                                                     const std::string& what) {
  // H2 (acquire, pairs with H1): a segment with this magic is completely written.
  const std::uint64_t magic = header.magic.load(std::memory_order_acquire);
  // relaxed: H2 orders them. Each word is read once: a hostile peer may change it at any time.
  const std::uint32_t byte_order = header.byte_order.load(std::memory_order_relaxed);
  const std::uint32_t word_bits = header.word_bits.load(std::memory_order_relaxed);
  constexpr std::uint32_t kForeignMark = 0x0403'0201;
  if (magic == 0) {
    return Error{ErrorCode::kNotReady,
                 what + " was never finished by its creator; remove it and create it anew"};
  }
  if (byte_order == kForeignMark) {
    return Error{ErrorCode::kBadByteOrder,
                 what + " was written by a machine of the other byte order; create it anew here"};
  }
  if (magic != kSegmentMagic) {
    return Error{ErrorCode::kBadMagic, what + " is not a Rondo segment (its first 8 bytes are " +
                                           std::to_string(magic) + "); choose another name"};
  }
  if (byte_order != kByteOrderMark) {
    return Error{ErrorCode::kBadByteOrder, what + " has an impossible byte order mark (" +
                                               std::to_string(byte_order) + "); remove it"};
  }
  if (word_bits != kWordBits) {
    return Error{ErrorCode::kBadVersion, what + " was written by a " + std::to_string(word_bits) +
                                             "-bit program, this one has " +
                                             std::to_string(kWordBits) + " bits"};
  }
  return {};
}

// Which kind of ring it is, and in which layout; an error if this program or the caller wants
// another one.
[[nodiscard]] inline Result<void> check_kind(RingKind kind, std::uint32_t version,
                                             RingKind expected, const std::string& what) {
  const RingKindEntry known = entry_of(kind);
  if (known.layout_version == 0) {
    return Error{ErrorCode::kBadKind, what + " holds a ring of the unknown kind " +
                                          std::to_string(static_cast<std::uint32_t>(kind))};
  }
  const std::string name(known.name);
  if (expected != kAnyKind && kind != expected) {
    return Error{ErrorCode::kBadKind, what + " holds a ring of kind " + name + ", not " +
                                          std::string(to_string(expected))};
  }
  if (version != known.layout_version) {
    return Error{ErrorCode::kBadVersion,
                 what + " holds a ring of kind " + name + " in layout version " +
                     std::to_string(version) + ", this program needs version " +
                     std::to_string(known.layout_version) +
                     " of that kind; use one version of Rondo on both sides"};
  }
  return {};
}

}  // namespace detail

// Judges the header of `segment`, which is hostile until proved sound. `expected`: the kind it has
// to be, or kAnyKind. `what` names the segment in messages, e.g. "shm:prices".
//
// Returns the process's own copy. Every field is read once. What holds of it: total_bytes is the
// size of `segment`, the participant table and capacity * slot_bytes fit into it, the capacity is
// not zero, and a power of two except in the kinds latest, frames and common. The ring still
// compares total_bytes with its own layout_for(), and feature_bits with those it knows.
//
// Errors: kTooSmall, kMisaligned, kNotReady, kBadMagic, kBadByteOrder, kBadKind, kBadVersion
// (another layout of that kind, or another word size), kSizeMismatch, kBadGeometry.
//
// Memory ordering: what the creator wrote before finish_header() is visible afterwards.
[[nodiscard]] inline Result<Geometry> check_header(std::span<const std::byte> segment,
                                                   RingKind expected, std::string_view what) {
  const std::string name(what);
  if (segment.size() < kPartAlignment) {
    return Error{ErrorCode::kTooSmall, name + " has " + std::to_string(segment.size()) +
                                           " bytes, not even a header of " +
                                           std::to_string(kPartAlignment)};
  }
  if (!is_aligned(segment.data(), kSharingRange)) {
    return Error{ErrorCode::kMisaligned,
                 name + " is not aligned to " + std::to_string(kSharingRange) + " bytes in memory"};
  }
  const auto* header = std::launder(reinterpret_cast<const SegmentHeader*>(segment.data()));
  if (auto words = detail::check_header_words(*header, name); !words) return words.error();

  // relaxed: H2 orders these. Each is read once, into our own copy.
  constexpr auto kRelaxed = std::memory_order_relaxed;
  const std::uint32_t version = header->layout_version.load(kRelaxed);
  const Geometry geometry{.kind = static_cast<RingKind>(header->kind.load(kRelaxed)),
                          .capacity = header->capacity.load(kRelaxed),
                          .slot_bytes = header->slot_bytes.load(kRelaxed),
                          .participants = header->participants.load(kRelaxed),
                          .feature_bits = header->feature_bits.load(kRelaxed),
                          .total_bytes = header->total_bytes.load(kRelaxed),
                          .instance_id = header->instance_id.load(kRelaxed),
                          .created_unix_ns = header->created_unix_ns.load(kRelaxed),
                          .type_tag = header->type_tag.load(kRelaxed)};
  if (auto ours = detail::check_kind(geometry.kind, version, expected, name); !ours) {
    return ours.error();
  }
  if (geometry.total_bytes != segment.size()) {
    const bool truncated = geometry.total_bytes > segment.size();
    return Error{truncated ? ErrorCode::kTooSmall : ErrorCode::kSizeMismatch,
                 name + " has " + std::to_string(segment.size()) + " bytes, its header says " +
                     std::to_string(geometry.total_bytes)};
  }
  if (std::string problem = detail::header_problem(geometry); !problem.empty()) {
    return Error{ErrorCode::kBadGeometry, name + " can't be a ring: " + problem};
  }
  return geometry;
}

}  // namespace rondo::inline RONDO_ABI
