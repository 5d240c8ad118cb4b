// What a record ring looks like in memory, and how a header word is read and written.
//
//   offset                      what                     written by
//   0                           segment header           creator       (segment_header.hpp)
//   4096                        participant table        participants  (participants.hpp)
//   layout.producer             RecordProducerPart       the producer
//   layout.consumers + i*4096   RecordConsumerPart i     consumer i
//   layout.records              records, capacity bytes  the producer
//
// Each part starts on a page of its own, so that parts may also lie in separate files.
//
// A record is an 8-byte header word followed by its bytes, padded to 8. It never wraps: a padding
// record fills the end of the ring. The header word, from the low bits up:
//
//   bits   0-3   kind       0 nothing yet, 1 record, 2 padding, 3 end of stream
//   bits   4-31  sequence   low 28 bits of the number of records published before this header
//   bits  32-63  size       bytes of the record, or of the padding; 0 for an end of stream
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "rondo/core/atomic.hpp"
#include "rondo/core/bell.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/position.hpp"

namespace rondo {

enum class RecordKind : std::uint8_t { kNothing = 0, kRecord = 1, kPadding = 2, kEnd = 3 };

namespace record_header {

inline constexpr std::uint64_t kBytes = 8;

// Kind and sequence, the half that a reader knows beforehand.
[[nodiscard]] constexpr std::uint32_t tag(RecordKind kind, std::uint64_t sequence) noexcept {
  return static_cast<std::uint32_t>(sequence << 4) | static_cast<std::uint32_t>(kind);
}
[[nodiscard]] constexpr std::uint64_t make(RecordKind kind, std::uint64_t sequence,
                                           std::uint32_t size_bytes) noexcept {
  return std::uint64_t{size_bytes} << 32 | tag(kind, sequence);
}
[[nodiscard]] constexpr std::uint32_t tag_of(std::uint64_t word) noexcept {
  return static_cast<std::uint32_t>(word);
}
[[nodiscard]] constexpr std::uint32_t size_of(std::uint64_t word) noexcept {
  return static_cast<std::uint32_t>(word >> 32);
}

// The bytes that a record of `size_bytes` takes, header included.
[[nodiscard]] constexpr std::uint64_t footprint(std::uint64_t size_bytes) noexcept {
  return kBytes + round_up(size_bytes, kBytes);
}

}  // namespace record_header

// The producer's words.
//
//   offset  size  field                   meaning
//        0     8  current                 number of checkpoints left; the last is [current & 1]
//        8    32  checkpoints[2]          position of a committed header, and the sequence there
//      128     4  space_waiter            the producer sleeps for space
//      256     4  record_ringer           rung when records were published
struct RecordCheckpoint {
  Atomic<std::uint64_t> position;
  Atomic<std::uint64_t> sequence;
};
struct RecordProducerPart {
  alignas(kSharingRange) Atomic<std::uint64_t> current;
  RecordCheckpoint checkpoints[2];
  alignas(kSharingRange) BellWaiter space_waiter;
  alignas(kSharingRange) BellRinger record_ringer;
};
static_assert(offsetof(RecordProducerPart, checkpoints) == 8);
static_assert(offsetof(RecordProducerPart, space_waiter) == 128);
static_assert(offsetof(RecordProducerPart, record_ringer) == 256);
static_assert(sizeof(RecordProducerPart) == 384);
static_assert(std::is_standard_layout_v<RecordProducerPart>);
static_assert(std::is_trivially_destructible_v<RecordProducerPart>);

// One consumer's words.
//
//   offset  size  field          meaning
//        0     8  head           position up to which everything has been given back
//      128     4  record_waiter  the consumer sleeps for records, or has left
//      256     4  space_ringer   rung when head moved
struct RecordConsumerPart {
  alignas(kSharingRange) Atomic<std::uint64_t> head;
  alignas(kSharingRange) BellWaiter record_waiter;
  alignas(kSharingRange) BellRinger space_ringer;
};
static_assert(offsetof(RecordConsumerPart, record_waiter) == 128);
static_assert(offsetof(RecordConsumerPart, space_ringer) == 256);
static_assert(sizeof(RecordConsumerPart) == 384);
static_assert(std::is_standard_layout_v<RecordConsumerPart>);
static_assert(std::is_trivially_destructible_v<RecordConsumerPart>);

// What a creator chooses.
struct RecordParams {
  std::uint64_t capacity = 0;  // bytes, header words included; a power of two
};

// Where everything lies, in bytes from the start of the segment.
struct RecordLayout {
  std::uint64_t producer;
  std::uint64_t consumers;
  std::uint64_t records;
  std::uint64_t total_bytes;
  std::uint32_t participants;  // slot 0 is the producer's, the others are consumers'
};

// A process's own copy of where everything lies; taken at attach, never read again from the
// segment.
struct RecordParts {
  RecordProducerPart* producer;
  RecordConsumerPart* consumer;  // the one consumer's part
  std::byte* records;
  std::uint64_t capacity;  // bytes, a power of two

  // The header word at `position`. Headers are 8-aligned and the capacity is a multiple of 8, so
  // this stays inside the ring whatever the position.
  [[nodiscard]] Atomic<std::uint64_t>& header_at(Position position) const noexcept {
    return *reinterpret_cast<Atomic<std::uint64_t>*>(
        records + index_of(position & ~(record_header::kBytes - 1), capacity));
  }
};

// What the word at `position` turns out to be, with every bound checked against our own geometry.
struct RecordHeaderView {
  enum class Verdict : std::uint8_t { kNothing, kRecord, kPadding, kEnd, kCorrupt };
  Verdict verdict;
  std::uint32_t size_bytes;       // of a record
  std::uint64_t footprint_bytes;  // from this header to the next
};

// Judges a header word already read, hostile until proved sound. `sequence` is the one it must
// bear.
[[nodiscard]] constexpr RecordHeaderView judge_header(std::uint64_t word, Position position,
                                                      std::uint64_t sequence,
                                                      std::uint64_t capacity) noexcept {
  using Verdict = RecordHeaderView::Verdict;
  constexpr RecordHeaderView kCorrupt{Verdict::kCorrupt, 0, 0};
  if (word == 0) return {Verdict::kNothing, 0, 0};
  const std::uint32_t size = record_header::size_of(word);
  const std::uint64_t footprint = record_header::footprint(size);
  const std::uint64_t room = capacity - index_of(position, capacity);
  if (footprint > room) return kCorrupt;
  const std::uint32_t tag = record_header::tag_of(word);
  if (tag == record_header::tag(RecordKind::kRecord, sequence)) {
    return {Verdict::kRecord, size, footprint};
  }
  if (tag == record_header::tag(RecordKind::kPadding, sequence)) {
    // Padding has one purpose, and so one legal size.
    return footprint == room ? RecordHeaderView{Verdict::kPadding, 0, footprint} : kCorrupt;
  }
  if (tag == record_header::tag(RecordKind::kEnd, sequence) && size == 0) {
    return {Verdict::kEnd, 0, footprint};
  }
  return kCorrupt;
}

}  // namespace rondo
