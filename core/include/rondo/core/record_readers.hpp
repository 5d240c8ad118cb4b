// Several readers of one record ring: which are waited for, and how space is taken back.
//
// Each reader chooses for itself. The producer waits for reliable ones alone: it knows the slowest
// of them, and looks anew only when the ring looks full. All others are overwritten, and find out:
//
//   producer, once per chunk of space        reader, after reading a record in place
//   ------------------------------------     ------------------------------------------
//   reclaim = r   (V1)                       fence                            (V2)
//   fence         (V1)                       if (reclaim > my position) it was overwritten
//   write records over what lies before r
//
// So a reader that has read a byte of a later lap sees a reclaim beyond its position, as a
// seqlock's reader sees the version. The sequence of the record at which it starts again, minus
// that of the record it was at, is what it lost. It finds a record to start from by the checkpoints
// that the producer leaves all over the lap.
//
// A reliable reader that joins must not start where the producer is just taking space back. So the
// producer says beforehand what it is about to take, and looks at the readers:
//
//   producer                                 joining reader
//   ------------------------------------     ------------------------------------------
//   intent = r                               head = h
//   fence         (J3)                       state = reliable                 (J1)
//   look at every state (J2) and head (L2)   fence                            (J4)
//   reclaim = r, or less if                  if (intent > h) choose another h, again
//     a reader's head is before r            else joined
//
// A place found by a walk along the headers is looked for from there, when the reader has joined:
// what a reliable one walks along is not overwritten. One that comes back joins where its stats
// says, and proves that by a walk then: its place has been kept for it, and never goes back.
//
// One of the two sees the other: the reader finds the intent beyond its head and starts later, or
// the producer finds its head and takes back no more than lies before it. A death in between
// leaves a reader that is waited for until its death is proved, or an intent that was not used.
//
// No reader can harm the producer or another reader: a head that goes back, or beyond what is
// published, is not waited for.
//
// Ordering. Each label stands at exactly one operation; pairs are mutual. The consumers' half of
// the code is in record_readers_inl.hpp.
//
//   V1 release fence -> V2 in record_ring.hpp      a reader of what is written after sees reclaim
//   J1 release state -> J2 acquire state           the head of this joining, or a later one
//   J3 seq_cst fence, J4 seq_cst fence             forbid that producer and reader miss each other
//   H1 in record_ring.hpp -> L2 acquire head       space given back is fully read
//   A1 release stats_version -> A2 acquire stats_version  the stats it names are written
//   A3 release next -> A4 acquire next             stats overwritten meanwhile are noticed
//   A5 release received -> A6 acquire received     the same
//   A7 release lost -> A8 acquire lost             the same
//   A9 release position -> A10 acquire position    the same
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "rondo/core/acknowledge.hpp"
#include "rondo/core/atomic.hpp"
#include "rondo/core/pacer.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/position.hpp"
#include "rondo/core/record_layout.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// Where a reader starts, when it joins and after it has lost records.
enum class ReaderStart : std::uint8_t {
  kOldest,   // at the oldest record that is still there
  kNewest,   // at the newest one
  kNext,     // behind it: only what is published from now on
  kSequence  // at a given one; those that are gone by then count as lost
};

struct ReaderOptions {
  ReaderPolicy policy = ReaderPolicy::kReliable;  // or kLossy, or kLatest
  ReaderStart from = ReaderStart::kOldest;
  // Of the first record to read, with kSequence. One that is not published yet: the next that is.
  std::uint64_t sequence = 0;
  ReaderStart after_loss = ReaderStart::kOldest;  // or kNewest
  // At most kReaderNameBytes; the rest is cut off. If the part's last owner bore the same one, it
  // is that reader that comes back, and `from` is not looked at. Empty: no name.
  std::string_view name = {};
  Acknowledge acknowledge = Acknowledge::kLazily;
  Pacing pacing = Pacing::kOn;
};

// The state word: a policy, and how often a reader has joined or left.
namespace reader_state {
[[nodiscard]] constexpr ReaderPolicy policy_of(std::uint64_t word) noexcept {
  const std::uint64_t policy = word & 0xff;
  return policy <= static_cast<std::uint64_t>(ReaderPolicy::kDetached)
             ? static_cast<ReaderPolicy>(policy)
             : ReaderPolicy::kNone;
}
[[nodiscard]] constexpr std::uint64_t next(std::uint64_t word, ReaderPolicy policy) noexcept {
  return ((word >> 8) + 1) << 8 | static_cast<std::uint64_t>(policy);
}
}  // namespace reader_state

// A reader that holds the producer back.
struct GatingReader {
  std::uint32_t reader;        // its number, from 0
  Position head;               // where it stands
  std::uint64_t behind_bytes;  // from there to the producer's position
};

// What the producer knows of its readers: for which it waits, and where they were when it last
// looked.
class RecordReaders {
 public:
  // Looks at all of them. Returns the position of the slowest that is waited for, or `published` if
  // there is none. Progress: wait-free; reads one line per reader.
  Position look(const RecordParts& parts, Position reclaim, Position published) noexcept {
    Position slowest = published;
    for (std::uint32_t i = 0; i < parts.readers; ++i) {
      const RecordConsumerPart& part = parts.consumer_at(i);
      // J2 (acquire, pairs with J1): the head read next is one of this joining.
      const std::uint64_t state = part.state.load(std::memory_order_acquire);
      // relaxed: ours alone.
      const bool evicted =
          parts.producer->evicted[i].load(std::memory_order_relaxed) == state && state != 0;
      if (reader_state::policy_of(state) != ReaderPolicy::kReliable || evicted) {
        known_[i].state = 0;
        continue;
      }
      // L2 (acquire, pairs with H1 in record_ring.hpp): the space given back has been fully read.
      const Position head = part.head.load(std::memory_order_acquire);
      Known& known = known_[i];
      // A reader that was not there before counts from where the ring still holds its records;
      // before that it is about to find out that it has to start later.
      const bool there = known.state == state;
      const Position from = there ? known.head : reclaim;
      if (head - from > published - from || head % record_header::kBytes != 0) {
        if (there) evict(parts, i);
        known.state = 0;
        continue;
      }
      known = {head, state};
      if (published - head > published - slowest) slowest = head;
    }
    return slowest;
  }

  void evict(const RecordParts& parts, std::uint32_t i) noexcept {
    if (i >= parts.readers || known_[i].state == 0) return;
    // relaxed: for people, and for a successor of ours; the reader itself goes by reclaim.
    parts.producer->evicted[i].store(known_[i].state, std::memory_order_relaxed);
    known_[i].state = 0;
  }

  // The slowest, when look() last looked.
  [[nodiscard]] std::optional<GatingReader> slowest(Position tail) const noexcept {
    std::optional<GatingReader> slowest;
    for (std::uint32_t i = 0; i < kMaxReaders; ++i) {
      const Known& known = known_[i];
      if (known.state == 0) continue;
      if (slowest && tail - known.head <= slowest->behind_bytes) continue;
      slowest = GatingReader{i, known.head, tail - known.head};
    }
    return slowest;
  }

 private:
  struct Known {
    Position head = 0;        // a lower bound
    std::uint64_t state = 0;  // its state word; 0: not waited for
  };
  std::array<Known, kMaxReaders> known_{};
};

// A reader's stats as an observer sees them.
struct ReaderStats {
  Position position = 0;
  std::uint64_t next = 0;
  std::uint64_t received = 0;
  std::uint64_t lost = 0;
};

// The stats that hold now; empty if they never stood still, which only a hostile reader brings
// about. Progress: wait-free. Caller: any process.
[[nodiscard]] inline std::optional<ReaderStats> read_stats(
    const RecordConsumerPart& part) noexcept {
  for (int tries = 0; tries < 1000; ++tries) {
    // A2 (acquire, pairs with A1): the stats that it names are fully written.
    const std::uint64_t number = part.stats_version.load(std::memory_order_acquire);
    const RecordReaderStats& stats = part.stats_copies[number % 2];
    ReaderStats read;
    // A10 (acquire, pairs with A9): a word of later stats brings a later number with it.
    read.position = stats.position.load(std::memory_order_acquire);
    // A4 (acquire, pairs with A3): as A10.
    read.next = stats.next.load(std::memory_order_acquire);
    // A6 (acquire, pairs with A5): as A10.
    read.received = stats.received.load(std::memory_order_acquire);
    // A8 (acquire, pairs with A7): as A10.
    read.lost = stats.lost.load(std::memory_order_acquire);
    // relaxed: the four come before.
    if (part.stats_version.load(std::memory_order_relaxed) == number) return read;
  }
  return std::nullopt;
}

namespace detail {
// The eight bytes of a name from `at` on, as a part holds them.
[[nodiscard]] constexpr std::uint64_t name_word(std::string_view name, std::size_t at) noexcept {
  std::uint64_t word = 0;
  for (std::size_t i = at; i < at + 8 && i < name.size(); ++i) {
    word |= std::uint64_t{static_cast<unsigned char>(name[i])} << (i - at) * 8;
  }
  return word;
}
}  // namespace detail

// Whether the part's last owner bore this name. Caller: any process.
[[nodiscard]] inline bool has_name(const RecordConsumerPart& part, std::string_view name) noexcept {
  for (std::size_t at = 0; at < kReaderNameBytes; at += 8) {
    // relaxed: a hint about which reader it was; all else is proved.
    const std::uint64_t word = part.name[at / 8].load(std::memory_order_relaxed);
    if (word != detail::name_word(name, at)) return false;
  }
  return true;
}

// Gives the part's owner this name; what does not fit is cut off. Caller: the owner.
inline void write_name(RecordConsumerPart& part, std::string_view name) noexcept {
  for (std::size_t at = 0; at < kReaderNameBytes; at += 8) {
    // relaxed: as in has_name().
    part.name[at / 8].store(detail::name_word(name, at), std::memory_order_relaxed);
  }
}

}  // namespace rondo::inline RONDO_ABI
