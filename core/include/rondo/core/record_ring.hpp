// record_ring: one producer, one or many consumers, records of any size, written and read in place.
// What several consumers change is in record_readers.hpp.
//
// Commit is in band. A record's header word says at once that the record is there, how long it is
// and which one it is, so the reader polls that word and no index is shared on a message's way: one
// line moves for a small message. The layout is in record_layout.hpp.
//
// Publish: the producer first zeroes the header word after its record, then stores its own header.
// So consumed space needs no zeroing, and a stale byte is never taken for a header. A batch becomes
// visible at once by storing the header of its first record last. What was never committed is
// invisible, also after a kill; a successor finds the end by walking headers from a checkpoint that
// the producer leaves at least once a lap.
//
// Ordering. Each label stands at exactly one operation below; pairs are mutual.
//
//   R1 release header  ->  R2 acquire header      a visible record is fully written
//   R1 release header  ->  R3 acquire header      the same, for a walk along the headers
//   R1 release header  ->  R4 acquire header      the same, when looking again
//   R5 release header  ->  R2, R3, R4             all records of a batch are fully written
//   H1 release head    ->  H2 acquire head        space given back is fully read
//   H1 release head    ->  L2 in record_readers.hpp  the same, of many readers
//   K1 release current ->  K2 acquire current     the checkpoint it names is fully written
//   K3 release checkpoint position -> K4 acquire  a checkpoint overwritten meanwhile is noticed
//   K5 release checkpoint sequence -> K6 acquire  the same
//   V1 in record_readers.hpp -> V2 acquire fence  a record overwritten meanwhile is noticed
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "rondo/core/acknowledge.hpp"
#include "rondo/core/atomic.hpp"
#include "rondo/core/cache_line_evictor.hpp"
#include "rondo/core/early_wrap.hpp"
#include "rondo/core/min_max.hpp"
#include "rondo/core/move_only.hpp"
#include "rondo/core/outcome.hpp"
#include "rondo/core/pacer.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/position.hpp"
#include "rondo/core/record_layout.hpp"
#include "rondo/core/record_readers.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/segment_header.hpp"

namespace rondo::inline RONDO_ABI {

class record_ring {
 public:
  using Parts = RecordParts;
  class Producer;
  class Consumer;
  class Claim;
  class Message;

  static constexpr std::uint64_t kMinCapacity = 64;
  static constexpr std::uint64_t kMaxCapacity = kMaxSegmentBytes / 2;
  static constexpr std::uint32_t kProducerSlot = 0;
  static constexpr std::uint32_t kConsumerSlot = 1;

  // The life cycle; see life_cycle.hpp.
  [[nodiscard]] RONDO_API static Result<RecordLayout> layout_for(const RecordParams& params);
  [[nodiscard]] RONDO_API static Result<Parts> create(std::span<std::byte> bytes,
                                                      const RecordParams& params);
  [[nodiscard]] RONDO_API static Result<Parts> attach(std::span<std::byte> bytes,
                                                      std::string_view what = "the ring");
  [[nodiscard]] RONDO_API static Result<Parts> attach(std::span<std::byte> bytes,
                                                      const Geometry& geometry,
                                                      std::string_view what);

  // The largest record that a ring of `capacity` bytes always has room for once it is drained,
  // wherever its position stands: padding to the end and the record together take less than all.
  [[nodiscard]] static constexpr std::size_t max_record_bytes(std::uint64_t capacity) noexcept {
    return min_of<std::uint64_t>(capacity / 2 - 2 * record_header::kBytes,
                                 std::numeric_limits<std::uint32_t>::max() - 15u);
  }
};

// The writing side. Not thread-safe: one thread at a time.
class alignas(kLineBytes) record_ring::Producer {
 public:
  // Takes up the producer's part where a predecessor left it, killed or not: walks the headers from
  // the last checkpoint to the end. Takes time in the number of records of one lap. The caller
  // holds the producer's role (participants.hpp).
  // Errors: kCorrupt; kNoSpace (of a ring with several readers: no memory for what is known of
  // them).
  // `window`: how much of a large ring is used while its only consumer keeps up (early_wrap.hpp).
  // With EarlyWrap::kNever nothing is written beyond the header behind a record: what a caller has
  // put there, to be reserved and committed later, stays.
  [[nodiscard]] static Result<Producer> attach(const RecordParts& parts,
                                               std::uint64_t window = EarlyWrap::kWindow);

  // A producer of no ring, which takes nothing: as one that was stopped.
  [[nodiscard]] static Producer shut() noexcept {
    Producer producer{RecordParts{}, 0, EarlyWrap::kNever};
    producer.failed_ = true;
    return producer;
  }
  Producer(Producer&&) noexcept = default;
  Producer& operator=(Producer&&) noexcept = default;

  // Reserves `size_bytes` and returns where to write them; nullptr if the ring is full now (or
  // corrupt, or the size is above max_record_bytes()). A reservation that is not committed is
  // simply forgotten by the next one. The space is 8-aligned and contiguous.
  // Progress: wait-free.
  RONDO_ALWAYS_INLINE std::byte* try_reserve(std::size_t size_bytes) noexcept {
    if (size_bytes > max_record_bytes_) [[unlikely]]
      return nullptr;
    const std::uint64_t footprint = record_header::footprint(size_bytes);
    const std::uint64_t room = parts_.capacity - index_of(tail_, parts_.capacity);
    padding_ = footprint > room ? room : 0;
    // Signed: after an end mark the tail may stand beyond the limit.
    if (static_cast<std::int64_t>(limit_ - tail_) < static_cast<std::int64_t>(padding_ + footprint))
        [[unlikely]] {
      if (!make_room(footprint)) return nullptr;
    }
    return parts_.records + index_of(tail_ + padding_, parts_.capacity) + record_header::kBytes;
  }

  // Publishes the first `size_bytes` of the last reservation as one record.
  // Progress: wait-free. Memory ordering: what the caller did before is visible to the consumer
  // that reads this record.
  RONDO_ALWAYS_INLINE void commit(std::size_t size_bytes) noexcept {
    const Position start = tail_ + padding_;
    const Position next = start + record_header::footprint(size_bytes);
    const std::uint64_t header =
        record_header::make(RecordKind::kRecord, sequence_, static_cast<std::uint32_t>(size_bytes));
    // relaxed: this word is not read before the header stored by R1 below is visible.
    parts_.header_at(next).store(0, std::memory_order_relaxed);
    if (padding_ != 0) [[unlikely]] {
      // relaxed: reached only through the padding's header, which R1 publishes.
      parts_.header_at(start).store(header, std::memory_order_relaxed);
      publish_header(
          record_header::make(RecordKind::kPadding, sequence_,
                              static_cast<std::uint32_t>(padding_ - record_header::kBytes)));
      if (limit_ == tail_) {  // chosen by early_wrap_
        if (!in_batch_) early_wrap_.padded(tail_, start, parts_.capacity);
        limit_ = limit_behind_padding_;
      }
      padding_ = 0;
    } else {
      publish_header(header);
    }
    tail_ = next;
    ++sequence_;
    if (in_step_) [[unlikely]]
      take_line_back();
  }

  // A claim that publishes when committed and is forgotten when it goes out of scope. Empty when
  // try_reserve() would say nullptr. One claim at a time.
  [[nodiscard]] std::optional<Claim> try_claim(std::size_t size_bytes) noexcept;

  // Records committed from here on become visible at once, with end_batch(). A batch has to fit
  // into the ring: a try_reserve() that fails while a batch is open may never succeed.
  void begin_batch() noexcept {
    assert(!in_batch_);
    in_batch_ = true;
    batch_start_ = tail_;
    batch_sequence_ = sequence_;
    batch_header_ = 0;
  }
  void end_batch() noexcept {
    assert(in_batch_);
    in_batch_ = false;
    if (batch_header_ == 0) return;
    // R5 (release, pairs with R2, R3, R4): the records of the batch are fully written.
    parts_.header_at(batch_start_).store(batch_header_, std::memory_order_release);
  }
  // Forgets all that the open batch committed.
  void abandon_batch() noexcept {
    assert(in_batch_);
    in_batch_ = false;
    tail_ = batch_start_;
    sequence_ = batch_sequence_;
    padding_ = 0;
    limit_ = tail_;  // the room behind the batch is none here: the next reservation asks
  }

  // Ends the stream: a reader that has read everything meets the end. There is always room for it,
  // unless a predecessor's mark has taken that and nothing was written since. A successor may go on
  // writing behind it. Closing twice is closing once.
  void close() noexcept { end_with(RecordKind::kEnd); }
  // As close(), but a reader is told that more should have come.
  void break_off() noexcept { end_with(RecordKind::kBrokenOff); }

  // Takes no more records from here on, as if the ring stayed full, and leaves the shared words
  // alone: for a handle that has given its role away.
  void stop() noexcept {
    failed_ = true;
    limit_ = tail_;
    limit_behind_padding_ = tail_;
  }

  // Bytes of the largest record that fits, or that limit_records() has left.
  [[nodiscard]] std::size_t max_record_bytes() const noexcept { return max_record_bytes_; }
  // From now on larger records are refused, too: for a ring whose records go on to where they would
  // not fit.
  void limit_records(std::size_t size_bytes) noexcept {
    max_record_bytes_ = min_of(max_record_bytes_, size_bytes);
  }
  // True if the last thing in the ring is a mark: closed or broken off, nothing behind it yet.
  [[nodiscard]] bool ended() const noexcept { return ended_at_ == tail_; }
  // Records ever published in this ring, those of predecessors included.
  [[nodiscard]] std::uint64_t sequence() const noexcept { return sequence_; }
  [[nodiscard]] Position position() const noexcept { return tail_; }
  // kFull; or kCorrupt from then on: the consumer's position was one that no honest consumer
  // stores, which reads as full; or stop() was called.
  [[nodiscard]] ClaimOutcome outcome() const noexcept {
    return failed_ ? ClaimOutcome::kCorrupt : ClaimOutcome::kFull;
  }
  // True when every record published has been given back: by all that are waited for, if there are
  // several readers. Reads the consumers' lines.
  [[nodiscard]] bool drained() noexcept {
    if (parts_.readers > 1) {
      head_seen_ = look_at_readers();
    } else {
      refresh_head();
    }
    return head_seen_ == tail_ ||
           (ended() && static_cast<std::int64_t>(head_seen_ - records_end_) >= 0);
  }
  [[nodiscard]] const RecordParts& parts() const noexcept { return parts_; }

  // The reliable reader that is furthest behind, of those that were waited for when the producer
  // last looked; empty if none holds it back. Of a ring with several readers.
  [[nodiscard]] std::optional<GatingReader> gating_reader() const noexcept {
    return readers_ != nullptr ? readers_->slowest(tail_) : std::nullopt;
  }
  // Waits no longer for reader `i`, which may be dead, or too slow. If it is alive, it goes on as a
  // lossy one and is told what it lost. Nothing happens to one that is not waited for.
  void evict(std::uint32_t i) noexcept {
    if (readers_ != nullptr) readers_->evict(parts_, i);
  }

 private:
  Producer(const RecordParts& parts, std::size_t max_record_bytes, std::uint64_t window) noexcept
      : parts_(parts), max_record_bytes_(max_record_bytes), early_wrap_(window) {}

  // Room that stays free behind every record: for the zeroed next header, and for an end mark.
  static constexpr std::uint64_t kReserve = 2 * record_header::kBytes;

  // Stores the header at the tail, or keeps it back while it is the first of an open batch.
  RONDO_ALWAYS_INLINE void publish_header(std::uint64_t header) noexcept {
    if (in_batch_) [[unlikely]] {
      if (tail_ == batch_start_) {
        batch_header_ = header;
        return;
      }
    }
    // R1 (release, pairs with R2, R3, R4): the record is fully written, and the next header is
    // zero.
    parts_.header_at(tail_).store(header, std::memory_order_release);
  }

  // The consumer still has the line behind the next header from a lap ago. Storing to it fetches it
  // back now, while the record just published is on its way, and not when the next one is: that
  // nearly halves the round trip of a small record on a Zen 4. A prefetch for writing does not
  // (docs/performance.md). In a stream it would cost a third.
  RONDO_ALWAYS_INLINE void take_line_back() noexcept {
    // Signed, as in try_reserve(). Free space only.
    if (static_cast<std::int64_t>(limit_ - tail_) < std::int64_t{2 * kLineBytes}) return;
    // relaxed: this word is not read before it is written anew.
    parts_.header_at(tail_ + kLineBytes).store(0, std::memory_order_relaxed);
  }

  void end_with(RecordKind mark) noexcept;
  RONDO_COLD bool make_room(std::uint64_t footprint) noexcept;
  bool make_room_among_readers(std::uint64_t bytes) noexcept;
  Position look_at_readers() noexcept;
  void refresh_head() noexcept;
  void leave_checkpoint(Position position, std::uint64_t sequence) noexcept;

  RecordParts parts_;
  std::size_t max_record_bytes_;
  Position tail_ = 0;           // where the next header goes
  Position limit_ = 0;          // records may reach up to here without asking again
  std::uint64_t sequence_ = 0;  // of the next record
  std::uint64_t padding_ = 0;   // before the reserved record
  bool in_batch_ = false;
  bool failed_ = false;
  bool in_step_ = false;  // all was read when we last looked: a round trip, not a stream
  Position batch_start_ = 0;
  std::uint64_t batch_sequence_ = 0;
  std::uint64_t batch_header_ = 0;
  Position head_seen_ = 0;            // a lower bound of head
  Position checkpoint_ = 0;           // where a successor would start walking
  Position ended_at_ = ~Position{0};  // behind the last mark
  Position records_end_ = 0;          // while ended(): before the first of the marks at the end
  bool closed_here_ = false;          // one of them is ours
  EarlyWrap early_wrap_;              // of a ring with one consumer
  // As limit_, once the reserved record is there: a padding chosen by early_wrap_ holds for it
  // alone.
  Position limit_behind_padding_ = 0;
  std::unique_ptr<RecordReaders> readers_;  // of a ring with several
};

// The reading side, or one of several. Not thread-safe: one thread at a time.
class alignas(kLineBytes) record_ring::Consumer : private detail::MoveOnly {
 public:
  // For a ring with one reader.
  // Takes up the consumer's part at its published position: what a killed predecessor had read but
  // not given back is delivered again. Takes time in the number of records of one lap.
  // Errors: kCorrupt: the position is impossible, or the headers are.
  [[nodiscard]] static Result<Consumer> attach(const RecordParts& parts,
                                               Acknowledge acknowledge = Acknowledge::kLazily,
                                               Pacing pacing = Pacing::kOn);

  // For a ring with several readers, whose part is parts.consumer (RecordParts::of_reader()), and
  // whose role the caller holds. Starts where the options say; under the name of the part's last
  // owner, where that one stopped, with its stats. Takes time in the number of records of one lap.
  // Errors: kTimedOut: the producer overwrote what was looked at, again and again; kCorrupt.
  [[nodiscard]] static Result<Consumer> join(const RecordParts& parts,
                                             const ReaderOptions& options);
  // Leaves the ring in order: what was read is given back, as Acknowledge has it. One of
  // several readers is not waited for any more; its stats and name stay.
  void leave() noexcept;

  Consumer(Consumer&&) noexcept = default;
  Consumer& operator=(Consumer&&) noexcept = default;

  // Looks at the next record without taking it. After kMessage, data() and size() describe it, in
  // place, until give_back(). On kEmpty everything read has been given back to the producer; in the
  // middle of a stream the call may first pause for a moment (pacer.hpp).
  // The bytes belong to the producer: one that is not trusted may change them while they are read,
  // and one that does not wait for this reader may overwrite them: intact() tells afterwards.
  // Progress: wait-free. Memory ordering: what the producer did before its commit is visible.
  [[nodiscard]] RONDO_ALWAYS_INLINE ReadOutcome try_peek() noexcept {
    const std::uint64_t word = header();
    if (describe(word)) [[likely]]
      return ReadOutcome::kMessage;
    // Still the same dry spell: all is told, and there is nothing to stay away for.
    if (word == 0 && position_ == dry_) return ReadOutcome::kEmpty;
    return peek_otherwise(word);
  }
  // The common case of try_peek() alone: true after kMessage. False for everything else: then
  // try_peek() says what it is, and does what is to be done about it.
  [[nodiscard]] RONDO_ALWAYS_INLINE bool at_record() noexcept { return describe(header()); }

  [[nodiscard]] const std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  // Gives back the record that try_peek() found. True if the producer can see it already, so that
  // a sleeping one is to be woken.
  // Memory ordering: the caller's reads of the record come before the producer's reuse of its
  // space.
  RONDO_ALWAYS_INLINE bool give_back() noexcept {
    if (position_ + footprint_ - published_ >= share_) [[unlikely]]
      return give_back_and_tell();
    step();
    return false;
  }

  // Whether the record that try_peek() found is still what the producer committed: what was read
  // of it before this call is whole and true. What it says last decides whether the record counts
  // as received or as lost; of one that was not asked about, whether it is intact when it is given
  // back. Always true in a ring with one reader, and for a reliable reader that was not evicted.
  // Progress: wait-free; a load of a line that changes several times a lap.
  [[nodiscard]] RONDO_ALWAYS_INLINE bool intact() const noexcept {
    if (policy_ == ReaderPolicy::kNone) return true;
    const bool intact = not_taken_back();
    said_intact_at_ = intact ? position_ : ~Position{0};  // off the headers: of no record
    return intact;
  }

  // Gives back to the producer all that was read; with Acknowledge::kExplicitly nothing else does.
  // True if there was anything to give back.
  bool publish() noexcept {
    if (published_ == position_) return false;
    if (policy_ != ReaderPolicy::kNone) write_stats();
    // Of what was padded over nothing has been read, and it may be most of the ring.
    if (!std::exchange(padding_passed_, false)) {
      evictor_.before_give_back(parts_.records, index_of(published_, parts_.capacity),
                                position_ - published_);
    }
    published_ = position_;
    // H1 (release, pairs with H2, L2 in record_readers.hpp): everything before this position has
    // been read.
    parts_.consumer->head.store(position_, std::memory_order_release);
    return true;
  }

  // The next record as an object that gives it back when it goes out of scope. Empty unless
  // try_peek() says kMessage; outcome() tells why.
  [[nodiscard]] std::optional<Message> try_next() noexcept;
  // What try_peek() met when it last met no record; kCorrupt stays. kEmpty at first.
  [[nodiscard]] ReadOutcome outcome() const noexcept { return outcome_; }

  // Steps over the mark that try_peek() met, to read what a successor of the producer writes.
  void pass_end() noexcept {
    if (outcome_ != ReadOutcome::kEnd && outcome_ != ReadOutcome::kBrokenOff) return;
    const bool acknowledged = published_ == position_;
    position_ += record_header::kBytes;
    outcome_ = ReadOutcome::kEmpty;
    if (acknowledged) {
      publish();
    } else {
      publish_unasked();
    }
  }

  // Gives back all that lies in the ring, unread. Of the only reader. False if the headers are
  // corrupt. Takes time in the number of records of one lap.
  [[nodiscard]] bool skip_all() noexcept;
  // Whether the ring holds a record that was not given back, marks passed over. Takes nothing. Of
  // the only reader. Progress: wait-free.
  [[nodiscard]] bool anything_unread() const noexcept;
  // Whether the last thing in the ring, right before this position, is a mark: kEnd or kBrokenOff,
  // else kEmpty. Progress: wait-free; a walk along the headers, for cold paths.
  [[nodiscard]] ReadOutcome mark_before() const noexcept;

  // What was chosen at joining; kNone in a ring with one reader, and kLossy once evicted.
  [[nodiscard]] ReaderPolicy policy() const noexcept { return policy_; }
  // True if this was a reliable reader and the producer did not wait for it any longer.
  [[nodiscard]] bool evicted() const noexcept { return evicted_; }
  // Records passed over by this reader, and by those whose stats it took over. Together with
  // received() and what came before the first of them: sequence().
  [[nodiscard]] std::uint64_t lost() const noexcept { return lost_; }
  [[nodiscard]] std::uint64_t received() const noexcept { return sequence() - origin_ - lost_; }

  // Records published before the one that is read next.
  [[nodiscard]] std::uint64_t sequence() const noexcept { return expected_ >> 4; }
  [[nodiscard]] Position position() const noexcept { return position_; }
  [[nodiscard]] const RecordParts& parts() const noexcept { return parts_; }
  [[nodiscard]] std::size_t max_record_bytes() const noexcept {
    return record_ring::max_record_bytes(parts_.capacity);
  }

 private:
  Consumer(const RecordParts& parts, Position position, std::uint64_t sequence,
           Acknowledge acknowledge, Pacing pacing) noexcept
      : parts_(parts),
        position_(position),
        published_(position),
        explicit_(acknowledge == Acknowledge::kExplicitly),
        share_(share_of(parts, acknowledge)),
        expected_(sequence << 4 | std::uint64_t{1}),
        ask_from_(position + ask_after(pacing)),
        pacer_(pacing, sequence),
        evictor_(pacing, parts.capacity, min_of(parts.capacity, EarlyWrap::kWindow)) {}

  Consumer(const RecordParts& parts, const ReaderOptions& options) noexcept;

  static std::uint64_t share_of(const RecordParts& parts, Acknowledge acknowledge) noexcept {
    switch (acknowledge) {
      case Acknowledge::kEagerly: return 1;
      case Acknowledge::kExplicitly: return ~std::uint64_t{0};
      case Acknowledge::kLazily: break;
    }
    // The producer of a large ring goes back early only if it sees that the consumer is close.
    return min_of(parts.capacity, EarlyWrap::kWindow) / 8;
  }

  // What one of several readers looks at may be overwritten meanwhile, as a seqlock's: that is
  // noticed by what it finds, or by the reclaim position.
  [[nodiscard]] RONDO_ALWAYS_INLINE std::uint64_t header() const noexcept {
    const TsanBlind by_design(policy_ != ReaderPolicy::kNone);
    // R2 (acquire, pairs with R1, R5): the record behind a visible header is fully written.
    return parts_.header_at(position_).load(std::memory_order_acquire);
  }
  // Whether `word` is the header of the next record: then where it lies.
  [[nodiscard]] RONDO_ALWAYS_INLINE bool describe(std::uint64_t word) noexcept {
    if (record_header::tag_of(word) != record_header::tag_of(expected_)) [[unlikely]]
      return false;
    size_ = record_header::size_of(word);
    footprint_ = record_header::footprint(size_);
    const std::uint64_t index = index_of(position_, parts_.capacity);
    if (footprint_ > parts_.capacity - index) [[unlikely]]
      return false;
    data_ = parts_.records + index + record_header::kBytes;
    return true;
  }

  // As intact(), of the header at our position, and keeps no note of it.
  [[nodiscard]] RONDO_ALWAYS_INLINE bool not_taken_back() const noexcept {
    if (policy_ == ReaderPolicy::kNone) return true;
    // V2 (acquire, pairs with V1 in record_readers.hpp): what was read was there before we look, so
    // a reader of a byte of a later lap finds its space taken back.
    atomic_fence(std::memory_order_acquire);
    // relaxed: V2 orders it behind the reads.
    const Position reclaim = parts_.producer->reclaim.load(std::memory_order_relaxed);
    return static_cast<std::int64_t>(reclaim - position_) <= 0;
  }
  RONDO_COLD ReadOutcome peek_otherwise(std::uint64_t word) noexcept;
  RONDO_COLD ReadOutcome peek_newest() noexcept;
  RONDO_COLD ReadOutcome overrun() noexcept;
  ReadOutcome look_again_later() noexcept;
  bool give_back_and_tell() noexcept;
  void publish_unasked() noexcept {
    if (!explicit_) publish();
  }
  // Of a reader that is not waited for: what it acknowledges, and when, makes no difference.
  void acknowledge_unasked() noexcept {
    if (!std::exchange(explicit_, false)) return;
    (share_ != 0 ? share_ : readers_share_) = share_of(parts_, Acknowledge::kLazily);
  }
  RONDO_ALWAYS_INLINE void step() noexcept {
    ask_for_lines();
    position_ += footprint_;
    expected_ += record_header::tag(RecordKind::kNothing, 1);
  }

  // Where the next record is stands in the header of this one, so without this the reads of lines
  // that the other core has just written would wait for each other. Lines are asked for in the
  // middle of a stream alone, well away from where the producer writes: who waits for one record
  // must not take its line from the producer. Of large records the processor sees the pattern.
  static constexpr std::uint64_t kAskAhead = 16 * kLineBytes;
  static constexpr std::uint64_t kAskAfter = 8 * kAskAhead;  // bytes since nothing was there
  static constexpr std::uint64_t kMostAskedFor = 8 * kLineBytes;
  static constexpr std::uint64_t ask_after(Pacing pacing) noexcept {
    return pacing == Pacing::kOn ? kAskAfter : std::uint64_t{1} << 62;
  }
  // From where we stand, nothing was there: or it is not known what is.
  void ask_later() noexcept {
    // One that goes from newest to newest is always where the producer writes.
    const bool streams = policy_ != ReaderPolicy::kLatest;
    ask_from_ = position_ + ask_after(streams ? pacer_.pacing() : Pacing::kOff);
  }
  RONDO_ALWAYS_INLINE void ask_for_lines() const noexcept {
    if (static_cast<std::int64_t>(position_ - ask_from_) < 0) return;
    if (footprint_ > kMostAskedFor) return;
    const Position from = position_ + kAskAhead;
    // Of the lines that begin here, counted from `from`, as positions may wrap.
    for (std::uint64_t at = (0 - from) % kLineBytes; at < footprint_; at += kLineBytes) {
      prefetch_for_read(parts_.records + index_of(from + at, parts_.capacity));
    }
  }
  enum class Start : std::uint8_t { kFound, kOverrun, kUnsound };
  [[nodiscard]] Start start(const ReaderOptions& options) noexcept;
  [[nodiscard]] bool stand() noexcept;
  void move_to(Position position, std::uint64_t sequence) noexcept;
  void write_stats() noexcept;

  RecordParts parts_;
  Position position_;   // of the next header
  Position published_;  // what the producer was told
  bool explicit_;       // it is told when the caller says so, and else of nothing
  // How far position_ may run ahead of published_. 0 for one of several readers, whose records are
  // looked at once more when they are given back; so it costs the only reader nothing.
  std::uint64_t share_;
  std::uint64_t expected_;  // the next record's sequence and kind, as in a header's low bits
  std::uint32_t size_ = 0;
  std::uint64_t footprint_ = 0;
  const std::byte* data_ = nullptr;
  ReadOutcome outcome_ = ReadOutcome::kEmpty;
  // Where the only reader last found nothing. No position of a header, before that.
  Position dry_ = ~Position{0};
  Position ask_from_;            // from here on lines are asked for beforehand
  bool padding_passed_ = false;  // since the producer was told of our position
  ReaderPolicy policy_ = ReaderPolicy::kNone;
  Pacer pacer_;
  CacheLineEvictor evictor_;
  // Of one of several readers.
  ReaderStart after_loss_ = ReaderStart::kOldest;
  std::uint64_t readers_share_ = 0;  // as share_
  bool evicted_ = false;
  mutable Position said_intact_at_ = ~Position{0};  // the record of which intact() said so last
  std::uint32_t failed_tries_ = 0;                  // since a place to go on from was found
  std::uint64_t origin_ = 0;                        // records before the stats began
  std::uint64_t lost_ = 0;
  std::uint64_t joined_ = 0;  // the state word
};

}  // namespace rondo::inline RONDO_ABI

#include "rondo/core/record_ring_handles.hpp"  // a claim and a message as objects
#include "rondo/core/record_ring_inl.hpp"      // the slow paths, and those of several readers
#include "rondo/core/version.hpp"
