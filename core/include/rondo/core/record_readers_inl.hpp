// The slow paths of a record ring with several readers; the protocol is told in record_readers.hpp.
#pragma once

#include "rondo/core/min_max.hpp"
#include "rondo/core/record_ring.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// A record from which a reader can start.
struct RecordStart {
  Position position;
  std::uint64_t sequence;
};

[[nodiscard]] constexpr bool is_before(Position a, Position b) noexcept {
  return static_cast<std::int64_t>(a - b) < 0;
}

// The oldest checkpoint from `bound` on whose sequence is no later than `at_most`, or, if there is
// none, simply the oldest from `bound` on. Empty only beside a producer that runs away.
inline std::optional<RecordStart> checkpoint_from(
    const RecordParts& parts, Position bound, std::optional<std::uint64_t> at_most = {}) noexcept {
  std::optional<RecordStart> found;
  for (std::uint64_t back = 0; back + 2 < kRecordCheckpoints; ++back) {
    const auto checkpoint = read_checkpoint(*parts.producer, back);
    if (!checkpoint || is_before(checkpoint->position, bound)) break;
    found = RecordStart{checkpoint->position, checkpoint->sequence};
    if (at_most && checkpoint->sequence <= *at_most) break;
  }
  return found;
}

// The newest record that a walk passed; or, if it passed none, the place for the next one.
inline RecordStart newest_of(const RecordWalk& walk, std::uint64_t first_sequence) noexcept {
  if (walk.sequence == first_sequence) return {walk.position, walk.sequence};
  return {walk.last, walk.sequence - 1};
}

// The newest checkpoint from `bound` on, or the one before it, as the newest record may lie there.
inline std::optional<RecordStart> newest_checkpoint(const RecordParts& parts, Position bound,
                                                    bool one_before) noexcept {
  for (std::uint64_t back = one_before ? 1 : 0;; --back) {
    const auto checkpoint = read_checkpoint(*parts.producer, back);
    if (checkpoint && !is_before(checkpoint->position, bound)) {
      return RecordStart{checkpoint->position, checkpoint->sequence};
    }
    if (back == 0) return std::nullopt;
  }
}

// Where the position in stats has to be proved from, as its owner may have been hostile: from
// itself, if it lies before the newest checkpoint, or from that. Empty if it can't be one.
inline std::optional<RecordStart> proof_of(const RecordParts& parts, Position bound,
                                           const ReaderStats& stats) noexcept {
  const auto newest = newest_checkpoint(parts, bound, false);
  if (!newest || !is_header_position(stats.position) || is_before(stats.position, bound)) {
    return std::nullopt;
  }
  if (!is_before(stats.position, newest->position)) return newest;
  return RecordStart{stats.position, stats.next};
}

// Whether the position in the stats is one of the ring, with that sequence, by a walk from `base`,
// which proof_of() gave.
inline bool is_record_start(const RecordParts& parts, RecordStride& stride, const RecordStart& base,
                            const ReaderStats& stats) noexcept {
  if (base.position != stats.position) {
    const auto walk = walk_records(parts, stride, base.position, base.sequence, stats.position);
    return walk.sound && walk.sequence == stats.next;
  }
  const auto newest = read_checkpoint(*parts.producer);
  if (!newest || base.sequence != stats.next) return false;
  const auto walk = walk_records(parts, stride, base.position, base.sequence, newest->position);
  return walk.sound && walk.sequence == newest->sequence;
}

// The checkpoint from which a walk leads to where the options say, at or after `bound`.
inline std::optional<RecordStart> base_for(const RecordParts& parts, Position bound,
                                           ReaderStart from, std::uint64_t sequence) noexcept {
  switch (from) {
    case ReaderStart::kOldest: return checkpoint_from(parts, bound);
    case ReaderStart::kSequence: return checkpoint_from(parts, bound, sequence);
    case ReaderStart::kNewest: return newest_checkpoint(parts, bound, true);
    case ReaderStart::kNext: break;
  }
  return newest_checkpoint(parts, bound, false);
}

// Where the options lead from that base; if the stride is too short for the newest record, the
// newest that it came to. For a reader that starts at the oldest record, and knows how far others
// have come: behind the last mark that any of them has passed, as what lies before it was read to
// its end. Else the next one would read that again, and none what is behind.
inline std::optional<RecordStart> find_start(const RecordParts& parts, RecordStride& stride,
                                             const RecordStart& base, ReaderStart from,
                                             std::uint64_t sequence,
                                             std::optional<Position> furthest) noexcept {
  if (from == ReaderStart::kOldest) {
    if (!furthest || !is_before(base.position, *furthest)) return base;
    const auto walk = walk_records(parts, stride, base.position, base.sequence, *furthest);
    if (!walk.sound || walk.cut || walk.mark_end == 0) return base;
    return RecordStart{walk.mark_end, walk.mark_sequence};
  }
  if (from == ReaderStart::kSequence) {
    if (base.sequence >= sequence) return base;
    const auto walk =
        walk_records(parts, stride, base.position, base.sequence, std::nullopt, sequence);
    if (!walk.sound) return std::nullopt;
    return RecordStart{walk.position, walk.sequence};
  }
  const auto walk = walk_records(parts, stride, base.position, base.sequence, std::nullopt);
  if (!walk.sound) return std::nullopt;
  if (from == ReaderStart::kNewest) return newest_of(walk, base.sequence);
  return RecordStart{walk.position, walk.sequence};
}

// How far any reader of a ring with several has come; empty if there has never been one, or the
// caller does not see the others. Any of them may have written anything.
inline std::optional<Position> furthest_head(const RecordParts& parts) noexcept {
  if (parts.consumers == nullptr) return std::nullopt;
  std::optional<Position> furthest;
  for (std::uint32_t i = 0; i < parts.readers; ++i) {
    const RecordConsumerPart& part = parts.consumer_at(i);
    // relaxed, both: a hint, which a walk proves; or, beneath the membership lock, one that this
    // lock or the reader's death orders.
    if (reader_state::policy_of(part.state.load(std::memory_order_relaxed)) ==
        ReaderPolicy::kNone) {
      continue;
    }
    // relaxed: as above.
    const Position head = part.head.load(std::memory_order_relaxed);
    if (!furthest || is_before(*furthest, head)) furthest = head;
  }
  return furthest;
}

// Whether records lie in a ring that none but the caller is attached to any more, and a reader
// could still come for them: what no reader has passed, and what a reliable one had not read when
// it was killed. True also of a ring that is not sound, of which nothing is known. Caller: holds
// the membership lock, and has left the ring if it is a reader.
inline bool anything_unread(const RecordParts& parts) noexcept {
  const auto walk = walk_to_end(parts);
  if (!walk.sound) return true;
  const Position end = walk.after_mark ? walk.records_end : walk.position;
  // relaxed, all of these: the membership lock orders what those that have left wrote, and the
  // kernel has proved that the others are dead.
  constexpr auto kRelaxed = std::memory_order_relaxed;
  const Position reclaim = parts.producer->reclaim.load(kRelaxed);
  for (std::uint32_t i = 0; i < parts.readers; ++i) {
    const RecordConsumerPart& part = parts.consumer_at(i);
    const auto policy = reader_state::policy_of(part.state.load(kRelaxed));
    const Position head = part.head.load(kRelaxed);
    const bool behind = is_before(head, end) && !is_before(head, reclaim);
    if (behind && policy == ReaderPolicy::kReliable) return true;
  }
  const auto furthest = furthest_head(parts);
  if (!furthest) return walk.sequence != 0;
  return is_before(*furthest, end);
}

}  // namespace rondo::inline RONDO_ABI::detail

namespace rondo::inline RONDO_ABI {

inline Position record_ring::Producer::look_at_readers() noexcept {
  // relaxed: ours alone.
  const Position reclaim = parts_.producer->reclaim.load(std::memory_order_relaxed);
  return readers_->look(parts_, reclaim, in_batch_ ? batch_start_ : tail_);
}

// Takes back a chunk of space, or what is needed, as far as the slowest reader lets it.
inline bool record_ring::Producer::make_room_among_readers(std::uint64_t bytes) noexcept {
  using detail::is_before;
  const Position need = tail_ + bytes;
  const Position published = in_batch_ ? batch_start_ : tail_;
  const std::uint64_t reach = parts_.capacity - kReserve;
  // What is taken back stays behind the newest checkpoint, from which a successor walks.
  if (checkpoint_ != published &&
      (published - checkpoint_ >= parts_.capacity / 16 || is_before(checkpoint_ + reach, need))) {
    leave_checkpoint(published, in_batch_ ? batch_sequence_ : sequence_);
  }
  if (is_before(head_seen_ + reach, need)) head_seen_ = look_at_readers();
  const Position farthest = (is_before(head_seen_, checkpoint_) ? head_seen_ : checkpoint_) + reach;
  if (is_before(farthest, need)) return false;
  const Position chunk = tail_ + max_of(bytes, parts_.capacity / 8);
  const Position wish = is_before(farthest, chunk) ? farthest : chunk;

  // relaxed, this and the next two: ours alone, but for joining readers, see J3.
  const Position intent = parts_.producer->intent.load(std::memory_order_relaxed);
  if (is_before(intent, wish - reach)) {
    parts_.producer->intent.store(wish - reach, std::memory_order_relaxed);
    // J3 (seq_cst, forbids that we miss a joining reader and it misses our intent).
    atomic_fence(std::memory_order_seq_cst);
  }
  head_seen_ = look_at_readers();
  in_step_ = head_seen_ == tail_;
  const Position granted = is_before(head_seen_ + reach, wish) ? head_seen_ + reach : wish;
  if (is_before(limit_, granted)) {
    limit_ = granted;
    // relaxed, both: V1 publishes it to a reader of what is written from now on.
    const Position reclaim = parts_.producer->reclaim.load(std::memory_order_relaxed);
    if (is_before(reclaim, granted - reach)) {
      parts_.producer->reclaim.store(granted - reach, std::memory_order_relaxed);
      // V1 (release, pairs with V2 in record_ring.hpp): taken back before it is overwritten.
      atomic_fence(std::memory_order_release);
    }
  }
  return !is_before(limit_, need);
}

inline record_ring::Consumer::Consumer(const RecordParts& parts,
                                       const ReaderOptions& options) noexcept
    // Lines are not let go of: other readers are still to come to them.
    : Consumer(parts, 0, 0, options.acknowledge, Pacing::kOff) {
  policy_ = options.policy;
  if (policy_ != ReaderPolicy::kReliable) acknowledge_unasked();
  readers_share_ = std::exchange(share_, 0);
  pacer_ = Pacer(options.pacing);
  after_loss_ = options.after_loss;
}

inline Result<record_ring::Consumer> record_ring::Consumer::join(const RecordParts& parts,
                                                                 const ReaderOptions& options) {
  Consumer consumer(parts, options);
  switch (consumer.start(options)) {
    case Start::kFound: return consumer;
    case Start::kOverrun:
      return Error{ErrorCode::kTimedOut,
                   "the producer overwrote what a consumer that joins has to look at, again and "
                   "again; try once more, or give the ring more room"};
    case Start::kUnsound: break;
  }
  return detail::not_sound("a position or headers");
}

// Where the sequence is known and the position is.
inline void record_ring::Consumer::move_to(Position position, std::uint64_t sequence) noexcept {
  position_ = position;
  // The newest record is not simply the next one: 15 is no kind, so try_peek() takes the slow path.
  expected_ = sequence << 4 | (policy_ == ReaderPolicy::kLatest ? 15u : 1u);
  ask_later();
}

inline record_ring::Consumer::Start record_ring::Consumer::start(
    const ReaderOptions& options) noexcept {
  RecordConsumerPart& part = *parts_.consumer;
  // relaxed, all of these: ours alone since we hold the role.
  constexpr auto kRelaxed = std::memory_order_relaxed;
  joined_ = part.state.load(kRelaxed);
  ReaderStart from = options.from;
  std::uint64_t sequence = options.sequence;
  std::optional<ReaderStats> stats;
  if (!options.name.empty() && has_name(part, options.name)) stats = read_stats(part);
  const bool returns = stats.has_value();
  const ReaderStats earlier = stats.value_or(ReaderStats{});
  if (returns) {
    from = ReaderStart::kSequence;
    sequence = earlier.next;
  }
  // Apart, as proving stats may take a lap, and the search for another start has to follow.
  auto proof = detail::RecordStride::of_open(parts_);
  auto search = detail::RecordStride::of_open(parts_);
  const auto furthest = detail::furthest_head(parts_);
  Start outcome = Start::kUnsound;  // unless the producer was faster in any try
  for (int tries = 0; tries < 64; ++tries) {
    // Beside a producer at full speed the oldest record may be gone before we are there.
    if (tries >= 16) from = ReaderStart::kNewest;
    const Position intent = parts_.producer->intent.load(kRelaxed);
    const auto proof_base = tries < 16 && stats ? detail::proof_of(parts_, intent, *stats)
                                                : std::optional<detail::RecordStart>{};
    const auto base = proof_base ? proof_base : detail::base_for(parts_, intent, from, sequence);
    if (!base) continue;
    // Before it walks: what a reliable reader walks along is its own already. But for one that
    // comes back: a head before the one that its place has kept would end that place's protection.
    move_to(proof_base ? stats->position : base->position, base->sequence);
    if (!stand()) {
      outcome = Start::kOverrun;
      continue;
    }
    published_ = position_;
    std::optional<detail::RecordStart> found;
    if (!proof_base) {
      found = detail::find_start(parts_, search, *base, from, sequence, furthest);
    } else if (detail::is_record_start(parts_, proof, *base, *stats)) {
      found = {{stats->position, stats->next}};
    }
    // Where we are not waited for, what the walk met may have been taken back meanwhile.
    move_to(base->position, base->sequence);
    if (!not_taken_back()) {
      outcome = Start::kOverrun;
      continue;
    }
    if (!found) {
      if (proof_base) {
        stats.reset();
        --tries;
      }
      continue;
    }
    const bool asked = returns || options.from == ReaderStart::kSequence;
    const std::uint64_t gone = asked && found->sequence > sequence ? found->sequence - sequence : 0;
    move_to(found->position, found->sequence);
    lost_ = gone + earlier.lost;
    origin_ = returns ? sequence - earlier.received - earlier.lost : found->sequence - gone;
    write_stats();
    publish();
    pacer_ = Pacer(pacer_.pacing(), sequence);
    write_name(part, options.name);
    return Start::kFound;
  }
  part.state.store(reader_state::next(joined_, ReaderPolicy::kNone), kRelaxed);
  return outcome;
}

// Takes its place at its position; false if the producer is taking that back.
inline bool record_ring::Consumer::stand() noexcept {
  // relaxed: J1 publishes it.
  parts_.consumer->head.store(position_, std::memory_order_relaxed);
  // A head that went back under the same word would not be waited for.
  joined_ = reader_state::next(joined_, policy_);
  // J1 (release, pairs with J2): head is that of this joining.
  parts_.consumer->state.store(joined_, std::memory_order_release);
  // J4 (seq_cst, forbids that we miss what the producer takes back and it misses us).
  atomic_fence(std::memory_order_seq_cst);
  // relaxed: J4 orders it.
  return !detail::is_before(position_, parts_.producer->intent.load(std::memory_order_relaxed));
}

inline void record_ring::Consumer::leave() noexcept {
  publish_unasked();
  if (policy_ == ReaderPolicy::kNone) return;
  // relaxed: a producer that sees it late waits a little longer.
  parts_.consumer->state.store(reader_state::next(joined_, ReaderPolicy::kDetached),
                               std::memory_order_relaxed);
}

inline void record_ring::Consumer::write_stats() noexcept {
  RecordConsumerPart& part = *parts_.consumer;
  // relaxed: ours alone.
  const std::uint64_t next = part.stats_version.load(std::memory_order_relaxed) + 1;
  // Until A1 the other copy holds, whenever we are killed.
  RecordReaderStats& stats = part.stats_copies[next % 2];
  // A9 (release, pairs with A10): a reader of this word knows that the last stats were current.
  stats.position.store(position_, std::memory_order_release);
  // A3 (release, pairs with A4): as A9.
  stats.next.store(sequence(), std::memory_order_release);
  // A5 (release, pairs with A6): as A9.
  stats.received.store(received(), std::memory_order_release);
  // A7 (release, pairs with A8): as A9.
  stats.lost.store(lost_, std::memory_order_release);
  // A1 (release, pairs with A2): the stats are fully written.
  part.stats_version.store(next, std::memory_order_release);
}

// Gives back as the only reader whose share is full, or as one of several.
inline bool record_ring::Consumer::give_back_and_tell() noexcept {
  // What the caller was told, and acts upon, stays true.
  if (!not_taken_back() && said_intact_at_ != position_) {
    // No header looks like this one: the next look comes to overrun().
    expected_ |= 15u;
    return false;
  }
  step();
  return position_ - published_ >= readers_share_ && publish();
}

// Space that we have not read has been taken back. Starts again where the options say.
inline ReadOutcome record_ring::Consumer::overrun() noexcept {
  if (policy_ == ReaderPolicy::kReliable) {
    evicted_ = true;
    acknowledge_unasked();
    policy_ = ReaderPolicy::kLossy;
    joined_ = reader_state::next(joined_, policy_);
    // relaxed: we are not waited for as it is.
    parts_.consumer->state.store(joined_, std::memory_order_relaxed);
  }
  auto stride = detail::RecordStride::of_look();
  for (int tries = 0; tries < detail::kRecordTries; ++tries) {
    // relaxed: a later one makes the walk fail below.
    const Position reclaim = parts_.producer->reclaim.load(std::memory_order_relaxed);
    const auto base = detail::base_for(parts_, reclaim, after_loss_, 0);
    if (!base) continue;
    const auto found = detail::find_start(parts_, stride, *base, after_loss_, 0, std::nullopt);
    if (!found) continue;
    const Position was_at = position_;
    const std::uint64_t was_next = sequence();
    move_to(base->position, was_next);
    const bool sound = not_taken_back();
    if (!sound || found->sequence < was_next) {
      move_to(was_at, was_next);
      continue;
    }
    move_to(found->position, found->sequence);
    lost_ += found->sequence - was_next;
    publish();
    failed_tries_ = 0;
    return outcome_ = ReadOutcome::kLost;
  }
  return look_again_later();
}

// Nothing was found while words moved. Nor will there be, if that has happened too often in a row.
inline ReadOutcome record_ring::Consumer::look_again_later() noexcept {
  failed_tries_ += detail::kRecordTries;
  return outcome_ =
             failed_tries_ >= detail::kMaxFailedTries ? ReadOutcome::kCorrupt : ReadOutcome::kEmpty;
}

// For a reader of the newest record alone: walks there from the checkpoint before the last, or from
// its own position if that is nearer. A long way is gone in several calls.
inline ReadOutcome record_ring::Consumer::peek_newest() noexcept {
  auto stride = detail::RecordStride::of_look();
  for (int tries = 0; tries < detail::kRecordTries; ++tries) {
    // relaxed: a later one makes the walk fail below.
    const Position reclaim = parts_.producer->reclaim.load(std::memory_order_relaxed);
    detail::RecordStart from{position_, sequence()};
    const bool gone = detail::is_before(position_, reclaim);
    for (const std::uint64_t back : {1u, 0u}) {
      const auto checkpoint = detail::read_checkpoint(*parts_.producer, back);
      if (!checkpoint || detail::is_before(checkpoint->position, reclaim)) continue;
      if (checkpoint->sequence < from.sequence + (gone ? 0 : 1)) continue;
      from = {checkpoint->position, checkpoint->sequence};
      break;
    }
    if (detail::is_before(from.position, reclaim)) continue;
    const auto walk =
        detail::walk_records(parts_, stride, from.position, from.sequence, std::nullopt);
    const Position own = std::exchange(position_, from.position);
    const bool whole = not_taken_back();
    position_ = own;
    if (!whole) continue;
    if (!walk.sound) return outcome_ = ReadOutcome::kCorrupt;
    const bool found = walk.sequence != from.sequence;
    if (walk.cut && !found) break;
    if (found) from = {walk.last, walk.sequence - 1};
    lost_ += from.sequence - sequence();
    move_to(from.position, from.sequence);
    failed_tries_ = 0;
    if (!found || walk.cut) {
      publish();
      if (walk.cut) return outcome_ = ReadOutcome::kLost;
      if (!walk.after_mark) return outcome_ = ReadOutcome::kEmpty;
      return outcome_ = walk.broken_off ? ReadOutcome::kBrokenOff : ReadOutcome::kEnd;
    }
    size_ = walk.bytes;
    footprint_ = record_header::footprint(size_);
    data_ = parts_.records + index_of(position_, parts_.capacity) + record_header::kBytes;
    return outcome_ = ReadOutcome::kMessage;
  }
  return look_again_later();
}

}  // namespace rondo::inline RONDO_ABI
