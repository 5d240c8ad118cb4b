// The slow paths of record_ring.hpp: a ring that looks full or empty, and taking over a part.
#pragma once

#include "rondo/core/record_ring.hpp"

namespace rondo::inline RONDO_ABI::detail {

// How many headers a call may still walk past. Whatever a hostile peer lays out for us to walk
// along, again and again, a call comes back to a caller that may have a deadline.
struct RecordStride {
  std::uint64_t headers;

  // Of a look at the ring: some tenths of a millisecond.
  static constexpr RecordStride of_look() noexcept { return {std::uint64_t{1} << 16}; }
  // Of a single walk that needs no other bound: a lap of empty records.
  static constexpr RecordStride of_lap(const RecordParts& parts) noexcept {
    return {parts.capacity / record_header::kBytes + 1};
  }
  // Of an opener of the ring, which may have to begin anew beside a producer at full speed.
  static constexpr RecordStride of_open(const RecordParts& parts) noexcept {
    return {4 * of_lap(parts).headers + (std::uint64_t{1} << 20)};
  }
};

// How often a call that finds words in motion begins anew before it comes back.
inline constexpr int kRecordTries = 16;
// After so many vain tries in a row, in all calls together, no honest producer is at work there.
inline constexpr std::uint32_t kMaxFailedTries = 1024;

// Where a walk along the headers ended.
struct RecordWalk {
  bool sound;
  Position position;                // of the first header that is zero, or of what was asked for
  std::uint64_t sequence;           // of the record that goes or lies there
  bool after_mark = false;          // the last header passed closed or broke off a stream
  bool broken_off = false;          // it broke it off
  Position records_end = 0;         // behind the last record passed, or where the walk began
  Position mark_end = 0;            // behind the last such header passed; 0: there was none
  std::uint64_t mark_sequence = 0;  // of the record that goes or lies there
  Position last = 0;                // of the last record passed
  std::uint32_t bytes = 0;          // of it
  std::uint64_t footprints = 0;     // of all that was passed but padding
  // The last gap that can be told from what was passed; see early_wrap.hpp.
  Position gap_start = 0;
  Position gap_end = 0;
  bool cut = false;  // it ended as the stride was used up; what it passed was sound
};

// Walks from a committed header to the position `stop` or to record `stop_sequence`, or to the end
// of what is published. A walk is sound if every header on the way is, if it takes no more than two
// laps (one that holds bytes, and what was padded over), and, where it shall stop somewhere, if it
// comes there.
inline RecordWalk walk_records(const RecordParts& parts, RecordStride& stride, Position position,
                               std::uint64_t sequence, std::optional<Position> stop,
                               std::optional<std::uint64_t> stop_sequence = {}) noexcept {
  using Verdict = RecordHeaderView::Verdict;
  const Position start = position;
  // No position and no number is that large. As values, for compilers look into an empty optional
  // before they ask whether it is empty, and valgrind tells the user that.
  const Position stop_at = stop.value_or(~Position{0});
  const std::uint64_t stop_record = stop_sequence.value_or(~std::uint64_t{0});
  // Beside a producer that overwrites: what was found is proved by the walk, or by what is looked
  // at behind it.
  const TsanBlind by_design;
  RecordWalk walk{
      .sound = true, .position = position, .sequence = sequence, .records_end = position};
  while (stop_at != position && stop_record != sequence) {
    walk.cut = stride.headers == 0;
    if (walk.cut) break;
    --stride.headers;
    // R3 (acquire, pairs with R1, R5): the header after a visible record is zero or newer.
    const std::uint64_t word = parts.header_at(position).load(std::memory_order_acquire);
    const RecordHeaderView header = validate_header(word, position, sequence, parts.capacity);
    if (header.verdict == Verdict::kNothing) break;
    walk.broken_off = header.verdict == Verdict::kBrokenOff;
    walk.after_mark = walk.broken_off || header.verdict == Verdict::kEnd;
    if (header.verdict == Verdict::kRecord) {
      walk.last = position;
      walk.bytes = header.size_bytes;
      ++sequence;
    }
    position += header.footprint_bytes;
    if (header.verdict != Verdict::kPadding) {
      walk.footprints += header.footprint_bytes;
    } else if (index_of(position, parts.capacity) != 0) {
      // A leap, right behind the header at the gap's start, a lap later.
      walk.gap_start = position - parts.capacity - record_header::kBytes;
      walk.gap_end = walk.gap_start + parts.capacity - index_of(walk.gap_start, parts.capacity);
    } else if (header.footprint_bytes > parts.capacity / 2) {
      // No record is as large, so it is an early one.
      walk.gap_start = position - header.footprint_bytes;
      walk.gap_end = position;
    }
    if (header.verdict == Verdict::kRecord) walk.records_end = position;
    if (walk.after_mark) {
      walk.mark_end = position;
      walk.mark_sequence = sequence;
    }
    if (header.verdict == Verdict::kCorrupt || position - start > 2 * parts.capacity ||
        walk.footprints > parts.capacity) {
      walk.sound = false;
      return walk;
    }
  }
  walk.sound = (!stop || stop_at == position) && !(walk.cut && stop_sequence);
  walk.position = position;
  walk.sequence = sequence;
  return walk;
}

struct RecordCheckpointView {
  Position position;
  std::uint64_t sequence;
};

// The checkpoint that holds now, or the one `back` before it. A live producer may be writing the
// next one, and this one again when it has come round, so `current` is looked at once more; empty
// if there was none, or if it never stood still, which only a hostile producer brings about.
inline std::optional<RecordCheckpointView> read_checkpoint(const RecordProducerPart& part,
                                                           std::uint64_t back = 0) noexcept {
  for (int tries = 0; tries < kRecordTries; ++tries) {
    // K2 (acquire, pairs with K1): the checkpoint that it names is fully written.
    const std::uint64_t current = part.current.load(std::memory_order_acquire);
    if (current < back) return std::nullopt;
    const std::uint64_t wanted = current - back;
    const RecordCheckpoint& checkpoint = part.checkpoints[wanted % kRecordCheckpoints];
    // K4 (acquire, pairs with K3): a word of a later checkpoint brings a later `current` with it.
    const Position position = checkpoint.position.load(std::memory_order_acquire);
    // K6 (acquire, pairs with K5): as K4.
    const std::uint64_t sequence = checkpoint.sequence.load(std::memory_order_acquire);
    // relaxed: K4 and K6 come before.
    const std::uint64_t now = part.current.load(std::memory_order_relaxed);
    if (now - wanted + 2 > kRecordCheckpoints) continue;
    if (position % record_header::kBytes != 0) return std::nullopt;
    return RecordCheckpointView{position, sequence};
  }
  return std::nullopt;
}

// A walk from the newest checkpoint to the end of what is published; not sound if there is none.
inline RecordWalk walk_to_end(const RecordParts& parts) noexcept {
  const auto checkpoint = read_checkpoint(*parts.producer);
  if (!checkpoint) return {.sound = false, .position = 0, .sequence = 0};
  auto stride = RecordStride::of_lap(parts);
  return walk_records(parts, stride, checkpoint->position, checkpoint->sequence, std::nullopt);
}

[[nodiscard]] constexpr bool is_header_position(Position position) noexcept {
  return position % record_header::kBytes == 0;
}

// A walk from the only consumer's position `head` to the end of what is published, or as far as the
// stride goes.
inline RecordWalk walk_unread(const RecordParts& parts, RecordStride stride,
                              Position head) noexcept {
  // relaxed: what the header says is proved by the walk.
  const std::uint64_t word = parts.header_at(head).load(std::memory_order_relaxed);
  return walk_records(parts, stride, head, record_header::tag_of(word) >> 4, std::nullopt);
}

// Bytes that lie unread between the only consumer's position and `tail`, headers included, paddings
// not; where they are many, or change under our eyes, at most so many. 0 if the consumer's position
// is none. For people.
inline std::uint64_t unread_bytes(const RecordParts& parts, Position tail) noexcept {
  // relaxed: for people.
  const Position head = parts.consumer->head.load(std::memory_order_relaxed);
  const std::uint64_t distance = tail - head;
  if (distance > 2 * parts.capacity || !is_header_position(head)) return 0;
  const auto walk = walk_unread(parts, RecordStride::of_look(), head);
  return walk.sound && !walk.cut ? walk.footprints : min_of(distance, parts.capacity);
}

inline Error not_sound(const char* what) {
  return Error{ErrorCode::kCorrupt,
               std::string("the ring holds ") + what + " that no sound participant writes"};
}

}  // namespace rondo::inline RONDO_ABI::detail

namespace rondo::inline RONDO_ABI {

inline Result<record_ring::Producer> record_ring::Producer::attach(const RecordParts& parts,
                                                                   std::uint64_t window) {
  const auto checkpoint = detail::read_checkpoint(*parts.producer);
  if (!checkpoint) return detail::not_sound("a checkpoint");
  auto stride = detail::RecordStride::of_lap(parts);
  const auto end =
      detail::walk_records(parts, stride, checkpoint->position, checkpoint->sequence, std::nullopt);
  if (!end.sound) return detail::not_sound("headers");

  Producer producer(parts, record_ring::max_record_bytes(parts.capacity), window);
  producer.tail_ = end.position;
  producer.sequence_ = end.sequence;
  if (end.after_mark) producer.ended_at_ = end.position;
  producer.records_end_ = end.records_end;
  producer.checkpoint_ = checkpoint->position;
  if (parts.readers > 1) {
    // relaxed, both: our predecessor's lock, which we hold, orders them.
    const Position reclaim = parts.producer->reclaim.load(std::memory_order_relaxed);
    const Position intent = parts.producer->intent.load(std::memory_order_relaxed);
    const bool sound = detail::is_header_position(reclaim) && detail::is_header_position(intent) &&
                       end.position - reclaim <= parts.capacity &&
                       checkpoint->position - intent <= checkpoint->position - reclaim;
    if (!sound) return detail::not_sound("the producer's positions");
    producer.readers_.reset(new (std::nothrow) RecordReaders);
    if (producer.readers_ == nullptr) {
      return Error{ErrorCode::kNoSpace, "there is no memory for a table of the ring's readers"};
    }
    producer.head_seen_ = producer.look_at_readers();
    producer.limit_ = producer.tail_;
    return producer;
  }
  producer.head_seen_ = end.position - 2 * parts.capacity;  // the least that an honest head can be
  producer.refresh_head();
  if (producer.failed_) return detail::not_sound("a consumer's position");
  producer.limit_ = producer.tail_;  // looks full, so the first reservation asks
  // A gap that our predecessor has left, into which we may leap. Rings that are not wrapped early
  // have none, and are spared the walk: behind a leap positions are more than a lap apart.
  if (parts.capacity <= window && producer.tail_ - producer.head_seen_ <= parts.capacity) {
    return producer;
  }
  const auto unread =
      detail::walk_unread(parts, detail::RecordStride::of_lap(parts), producer.head_seen_);
  if (unread.sound && unread.gap_end != unread.gap_start) {
    producer.early_wrap_.padded(unread.gap_start, unread.gap_end, parts.capacity);
  }
  return producer;
}

inline void record_ring::Producer::end_with(RecordKind mark) noexcept {
  if (in_batch_) abandon_batch();
  padding_ = 0;
  // A predecessor's mark says nothing of us.
  if (ended() && closed_here_) return;
  // Every record leaves room for a mark, which a predecessor's may have taken; and marks alone may
  // fill a lap, which takes checkpoints.
  if (parts_.readers > 1) {
    // relaxed: ours alone.
    const Position reclaim = parts_.producer->reclaim.load(std::memory_order_relaxed);
    const Position granted = reclaim + parts_.capacity - kReserve;
    if (static_cast<std::int64_t>(granted - tail_) < 0 && !make_room(0)) return;
  } else if (ended() || tail_ - head_seen_ > parts_.capacity - kReserve) {
    if (!make_room(0)) return;
  }
  const Position next = tail_ + record_header::kBytes;
  // relaxed: as in commit().
  parts_.header_at(next).store(0, std::memory_order_relaxed);
  publish_header(record_header::make(mark, sequence_, 0));
  if (!ended()) records_end_ = tail_;
  closed_here_ = true;
  tail_ = next;
  ended_at_ = next;
}

inline void record_ring::Producer::refresh_head() noexcept {
  // H2 (acquire, pairs with H1): the space given back has been fully read.
  const Position head = parts_.consumer->head.load(std::memory_order_acquire);
  // A head that goes back, or beyond what is published, or off the headers, is no honest
  // store: it reads as full.
  const Position published = in_batch_ ? batch_start_ : tail_;
  if (head - head_seen_ > published - head_seen_ || !detail::is_header_position(head)) {
    failed_ = true;
    return;
  }
  head_seen_ = head;
}

inline void record_ring::Producer::leave_checkpoint(Position position,
                                                    std::uint64_t sequence) noexcept {
  // relaxed: ours alone.
  const std::uint64_t next = parts_.producer->current.load(std::memory_order_relaxed) + 1;
  // Until K1 the last checkpoint holds, whenever we are killed.
  RecordCheckpoint& checkpoint = parts_.producer->checkpoints[next % kRecordCheckpoints];
  // K3 (release, pairs with K4): a reader of this word knows that the last checkpoint was current.
  checkpoint.position.store(position, std::memory_order_release);
  // K5 (release, pairs with K6): as K3.
  checkpoint.sequence.store(sequence, std::memory_order_release);
  // K1 (release, pairs with K2): the checkpoint is fully written.
  parts_.producer->current.store(next, std::memory_order_release);
  checkpoint_ = position;
}

// Asks the consumer's line anew, and moves the checkpoint up before a lap could overwrite it. Of a
// footprint of 0, which is an end mark's, there is room in the reserve.
inline bool record_ring::Producer::make_room(std::uint64_t footprint) noexcept {
  if (failed_) return false;
  if (parts_.readers > 1) return make_room_among_readers(padding_ + footprint);
  const Position published = in_batch_ ? batch_start_ : tail_;
  if (checkpoint_ != published) {
    leave_checkpoint(published, in_batch_ ? batch_sequence_ : sequence_);
  }
  refresh_head();
  if (failed_) return false;
  in_step_ = head_seen_ == tail_ && !early_wrap_.never();
  // The head is at or before the checkpoint, so this limit keeps the checkpoint's header, too; and
  // so does a leap over what is unread.
  const Position limit = head_seen_ + parts_.capacity - kReserve;
  early_wrap_.passed(head_seen_);
  limit_ = early_wrap_.limit(tail_, head_seen_, limit, parts_.capacity, kReserve);
  EarlyWrap::Place place{0, limit_};
  if (static_cast<std::int64_t>(limit_ - tail_) >=
      static_cast<std::int64_t>(padding_ + footprint)) {
    if (footprint == 0) return true;
    place = early_wrap_.place(tail_, limit_, parts_.capacity, tail_ - head_seen_, padding_,
                              footprint, !in_batch_);
  } else {
    if (footprint == 0 || in_batch_) return false;
    place = early_wrap_.leap(tail_, head_seen_, parts_.capacity, footprint, kReserve);
    if (place.padding == 0) return false;
  }
  if (place.padding == padding_) {
    limit_ = place.limit;
  } else {
    limit_ = tail_;  // a reservation that is forgotten leaves the next one to ask
    limit_behind_padding_ = place.limit;
    padding_ = place.padding;
  }
  return true;
}

inline Result<record_ring::Consumer> record_ring::Consumer::attach(const RecordParts& parts,
                                                                   Acknowledge acknowledge,
                                                                   Pacing pacing) {
  // relaxed: the walk below proves it, and orders what it proves.
  const Position head = parts.consumer->head.load(std::memory_order_relaxed);
  if (!detail::is_header_position(head)) return detail::not_sound("a consumer's position");

  // The head is proved by a walk between it and the checkpoint, which also tells the sequence. A
  // live producer may overwrite what lies before the head meanwhile. It then has moved its
  // checkpoint to the head or beyond, where it is safe while the head stands still; the tries are
  // for that to become visible here.
  auto stride = detail::RecordStride::of_open(parts);
  for (int tries = 0; tries < 64; ++tries) {
    const auto checkpoint = detail::read_checkpoint(*parts.producer);
    if (!checkpoint) return detail::not_sound("a checkpoint");
    const std::uint64_t ahead = head - checkpoint->position;  // wraps when the head is behind
    if (ahead <= parts.capacity) {
      const auto walk =
          detail::walk_records(parts, stride, checkpoint->position, checkpoint->sequence, head);
      if (walk.sound) return Consumer(parts, head, walk.sequence, acknowledge, pacing);
    } else if (checkpoint->position - head <= 2 * parts.capacity) {
      // Backwards: take the sequence that the header at the head bears, and see it arrive.
      // relaxed: all before the checkpoint is ordered by K2.
      const std::uint64_t word = parts.header_at(head).load(std::memory_order_relaxed);
      const std::uint64_t claimed = record_header::tag_of(word) >> 4;
      const auto walk = detail::walk_records(parts, stride, head, claimed, checkpoint->position);
      const std::uint64_t records = walk.sequence - claimed;
      const std::uint64_t sequence = checkpoint->sequence - records;
      const bool agrees = record_header::tag(RecordKind::kNothing, sequence) ==
                          record_header::tag(RecordKind::kNothing, claimed);
      if (walk.sound && agrees) return Consumer(parts, head, sequence, acknowledge, pacing);
    }
  }
  return detail::not_sound("headers");
}

inline bool record_ring::Consumer::skip_all() noexcept {
  auto stride = detail::RecordStride::of_lap(parts_);
  const auto walk = detail::walk_records(parts_, stride, position_, sequence(), std::nullopt);
  if (!walk.sound) return false;
  move_to(walk.position, walk.sequence);
  padding_passed_ = true;  // perhaps
  outcome_ = ReadOutcome::kEmpty;
  publish();
  return true;
}

inline bool record_ring::Consumer::anything_unread() const noexcept {
  if (published_ != position_) return true;
  auto stride = detail::RecordStride::of_lap(parts_);
  const auto walk =
      detail::walk_records(parts_, stride, position_, sequence(), std::nullopt, sequence() + 1);
  return !walk.sound || walk.sequence != sequence();
}

inline ReadOutcome record_ring::Consumer::mark_before() const noexcept {
  const auto walk = detail::walk_to_end(parts_);
  if (!walk.sound || !walk.after_mark || walk.position != position_) return ReadOutcome::kEmpty;
  return walk.broken_off ? ReadOutcome::kBrokenOff : ReadOutcome::kEnd;
}

// Nothing there, padding, the end, or bytes that no honest producer writes.
inline ReadOutcome record_ring::Consumer::peek_otherwise(std::uint64_t word) noexcept {
  using Verdict = RecordHeaderView::Verdict;
  bool looked_again = false;
  bool padded = false;
  if (policy_ == ReaderPolicy::kLatest) return peek_newest();
  for (;;) {
    // A header that has been overwritten can be anything.
    if (!not_taken_back()) return overrun();
    const RecordHeaderView header = validate_header(word, position_, sequence(), parts_.capacity);
    switch (header.verdict) {
      case Verdict::kRecord:
        size_ = header.size_bytes;
        footprint_ = header.footprint_bytes;
        data_ = parts_.records + index_of(position_, parts_.capacity) + record_header::kBytes;
        return outcome_ = ReadOutcome::kMessage;
      case Verdict::kPadding:
        if (std::exchange(padded, true)) return outcome_ = ReadOutcome::kCorrupt;
        // Up to here the lines may be let go of, and the producer goes on.
        publish_unasked();
        position_ += header.footprint_bytes;
        padding_passed_ = true;
        break;
      case Verdict::kEnd: publish_unasked(); return outcome_ = ReadOutcome::kEnd;
      case Verdict::kBrokenOff: publish_unasked(); return outcome_ = ReadOutcome::kBrokenOff;
      case Verdict::kCorrupt: return outcome_ = ReadOutcome::kCorrupt;
      case Verdict::kNothing:
        // The producer may be waiting for what we have read; tell before staying away.
        publish_unasked();
        if (looked_again) static_cast<void>(pacer_.came_back_empty());
        if (looked_again || !pacer_.pace(sequence())) {
          if (policy_ == ReaderPolicy::kNone) dry_ = position_;
          ask_later();
          return outcome_ = ReadOutcome::kEmpty;
        }
        looked_again = true;
        break;
    }
    const TsanBlind by_design(policy_ != ReaderPolicy::kNone);
    // R4 (acquire, pairs with R1, R5): as R2.
    word = parts_.header_at(position_).load(std::memory_order_acquire);
  }
}

}  // namespace rondo::inline RONDO_ABI

#include "rondo/core/record_readers_inl.hpp"  // needs the walk along the headers
#include "rondo/core/version.hpp"
