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
// record fills the end of the ring, from wherever the producer chooses; and one in the middle leads
// over records that are still unread (early_wrap.hpp). The header word, from the low bits up:
//
//   bits   0-3   kind       0 nothing yet, 1 record, 2 padding, 3 end of stream, 4 broken off
//   bits   4-31  sequence   low 28 bits of the number of records published before this header
//   bits  32-63  size       bytes of the record, or of the padding; 0 for the other two
//
// Two marks close a stream. End of stream: its producer ended well, and this is all. Broken off:
// the producer gave up, and more should have come. One that is killed leaves neither.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "rondo/core/atomic.hpp"
#include "rondo/core/bell.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/position.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

enum class RecordKind : std::uint8_t {
  kNothing = 0,
  kRecord = 1,
  kPadding = 2,
  kEnd = 3,
  kBrokenOff = 4
};

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
//        0     8  current                 number of checkpoints left; the last is [current % 32]
//        8     8  reclaim                 everything before it may be overwritten from now on
//       16     8  intent                  what reclaim is about to become: readers join behind it
//       24     8  awaiting                bit i: reader i may sleep, look at its bell from now on
//      128     4  space_waiter            the producer sleeps for space
//      256     4  record_notifier         rung when records were published
//      384   512  checkpoints[32]         position of a committed header, and the sequence there
//      896   512  evicted[64]             of reader i, the last state word that was not waited for
//
// reclaim, intent, awaiting and evicted stay zero in a ring with one reader. A bit of awaiting is
// set, once and for all, by the reader before its first sleep; where it can't write here, by the
// producer when it lets it in.
inline constexpr std::uint64_t kRecordCheckpoints = 32;
inline constexpr std::uint32_t kMaxReaders = 64;

struct RecordCheckpoint {
  Atomic<std::uint64_t> position;
  Atomic<std::uint64_t> sequence;
};
struct RecordProducerPart {
  alignas(kSharingRange) Atomic<std::uint64_t> current;
  Atomic<std::uint64_t> reclaim;
  Atomic<std::uint64_t> intent;
  Atomic<std::uint64_t> awaiting;
  alignas(kSharingRange) BellWaiter space_waiter;
  alignas(kSharingRange) BellNotifier record_notifier;
  alignas(kSharingRange) RecordCheckpoint checkpoints[kRecordCheckpoints];
  Atomic<std::uint64_t> evicted[kMaxReaders];
};
static_assert(offsetof(RecordProducerPart, reclaim) == 8);
static_assert(offsetof(RecordProducerPart, intent) == 16);
static_assert(offsetof(RecordProducerPart, awaiting) == 24);
static_assert(offsetof(RecordProducerPart, space_waiter) == 128);
static_assert(offsetof(RecordProducerPart, record_notifier) == 256);
static_assert(offsetof(RecordProducerPart, checkpoints) == 384);
static_assert(offsetof(RecordProducerPart, evicted) == 896);
static_assert(sizeof(RecordProducerPart) == 1408);
static_assert(std::is_standard_layout_v<RecordProducerPart>);
static_assert(std::is_trivially_destructible_v<RecordProducerPart>);

// What a reader of a ring with several of them wants. Chosen by each for itself.
enum class ReaderPolicy : std::uint8_t {
  kNone = 0,      // no reader
  kReliable = 1,  // gets every record; the producer waits for it
  kLossy = 2,     // is not waited for: is told exactly how many records it lost
  kLatest = 3,    // the newest record only; those passed over count as lost
  kDetached = 4   // has left in order, and may come back under its name
};

// A reader's stats, as of its last publishing. Records before it came = next - received - lost;
// still to come = sent - next.
struct RecordReaderStats {
  Atomic<std::uint64_t> position;  // of the header that it reads next
  Atomic<std::uint64_t> next;      // sequence of the record that it reads next
  Atomic<std::uint64_t> received;  // records read, whole
  Atomic<std::uint64_t> lost;      // records passed over, or overwritten before they were read
};

inline constexpr std::size_t kReaderNameBytes = 32;

// One consumer's words. In a ring with one reader `state`, the stats and the name stay zero.
//
//   offset  size  field            meaning
//        0     8  head             position up to which everything has been given back
//        8     8  state            ReaderPolicy, from bit 8 up the number of times a reader joined
//       16     8  stats_version    times written; the last are stats_copies[stats_version % 2]
//       24    64  stats_copies[2]  RecordReaderStats
//       88    32  name             UTF-8, padded with zeros; for people, and to come back under it
//      128     4  record_waiter    the consumer sleeps for records, or has left
//      256     4  space_notifier   rung when head moved
struct RecordConsumerPart {
  alignas(kSharingRange) Atomic<std::uint64_t> head;
  Atomic<std::uint64_t> state;
  Atomic<std::uint64_t> stats_version;
  RecordReaderStats stats_copies[2];
  Atomic<std::uint64_t> name[kReaderNameBytes / 8];
  alignas(kSharingRange) BellWaiter record_waiter;
  alignas(kSharingRange) BellNotifier space_notifier;
};
static_assert(offsetof(RecordConsumerPart, state) == 8);
static_assert(offsetof(RecordConsumerPart, stats_version) == 16);
static_assert(offsetof(RecordConsumerPart, stats_copies) == 24);
static_assert(offsetof(RecordConsumerPart, name) == 88);
static_assert(offsetof(RecordConsumerPart, record_waiter) == 128);
static_assert(offsetof(RecordConsumerPart, space_notifier) == 256);
static_assert(sizeof(RecordConsumerPart) == 384);
static_assert(std::is_standard_layout_v<RecordConsumerPart>);
static_assert(std::is_trivially_destructible_v<RecordConsumerPart>);

// What a creator chooses.
struct RecordParams {
  std::uint64_t capacity = 0;     // bytes, header words included; a power of two
  std::uint32_t readers = 1;      // consumers that can be attached at once, 1 to kMaxReaders
  std::uint64_t instance_id = 0;  // 0: a random one
};

// Where everything lies, in bytes from the start of the segment.
struct RecordLayout {
  std::uint64_t producer;
  std::uint64_t consumers;  // the first consumer's part; the others follow, kPartAlignment apart
  std::uint64_t records;
  std::uint64_t total_bytes;
  std::uint32_t participants;  // slot 0 is the producer's, slot 1 + i consumer i's
};

// A process's own copy of where everything lies; taken at attach, never read again from the
// segment. A consumer needs the producer's part and the records for reading, and of the consumers'
// parts its own alone, for writing.
struct RecordParts {
  RecordProducerPart* producer;
  RecordConsumerPart* consumer;  // the part of this handle's consumer, or of the only one
  std::byte* records;
  std::uint64_t capacity;     // bytes, a power of two
  std::uint32_t readers = 1;  // parts that there are
  std::uint32_t reader = 0;   // which of them is `consumer`
  // For a producer and for lookers-on: the first consumer's part, the others kPartAlignment bytes
  // apart. They need not be one mapping: each page may come from a file of its own.
  RecordConsumerPart* consumers = nullptr;

  [[nodiscard]] RecordConsumerPart& consumer_at(std::uint32_t i) const noexcept {
    return *reinterpret_cast<RecordConsumerPart*>(reinterpret_cast<std::byte*>(consumers) +
                                                  i * kPartAlignment);
  }
  // The same ring as consumer `i` sees it, i < readers.
  [[nodiscard]] RecordParts of_reader(std::uint32_t i) const noexcept {
    RecordParts parts = *this;
    parts.consumer = &consumer_at(i);
    parts.reader = i;
    return parts;
  }

  // The header word at `position`. Headers are 8-aligned and the capacity is a multiple of 8, so
  // this stays inside the ring whatever the position.
  [[nodiscard]] Atomic<std::uint64_t>& header_at(Position position) const noexcept {
    return *reinterpret_cast<Atomic<std::uint64_t>*>(
        records + index_of(position & ~(record_header::kBytes - 1), capacity));
  }
};

// What the word at `position` turns out to be, with every bound checked against our own geometry.
struct RecordHeaderView {
  enum class Verdict : std::uint8_t { kNothing, kRecord, kPadding, kEnd, kBrokenOff, kCorrupt };
  Verdict verdict;
  std::uint32_t size_bytes;       // of a record
  std::uint64_t footprint_bytes;  // from this header to the next
};

// Judges a header word already read, hostile until proved sound. `sequence` is the one it must
// bear.
[[nodiscard]] constexpr RecordHeaderView validate_header(std::uint64_t word, Position position,
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
    return {Verdict::kPadding, 0, footprint};
  }
  if (tag == record_header::tag(RecordKind::kEnd, sequence) && size == 0) {
    return {Verdict::kEnd, 0, footprint};
  }
  if (tag == record_header::tag(RecordKind::kBrokenOff, sequence) && size == 0) {
    return {Verdict::kBrokenOff, 0, footprint};
  }
  return kCorrupt;
}

}  // namespace rondo::inline RONDO_ABI
