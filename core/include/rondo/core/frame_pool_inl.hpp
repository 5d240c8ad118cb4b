// The work of a frame pool's two roles; the protocol is told in frame_pool.hpp.
#pragma once

#include "rondo/core/frame_pool.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

inline frame_pool::Producer::Producer(const Parts& parts) noexcept
    : parts_(parts),
      // relaxed, this and the next ones: the role came through the kernel's lock; we are the only
      // writer now. What readers may see of it is restored, never new.
      newest_(parts.producer->newest.load(std::memory_order_relaxed) & ~frame_ticket::kFlag) {
  // A predecessor's end says nothing of us.
  // N5 (release, pairs with N2, N4): as N1, of the predecessor's frames, for a reader that sees
  // this word alone.
  parts.producer->newest.store(newest_, std::memory_order_release);
  for (std::uint32_t f = 0; f < parts_.frame_count; ++f) {
    // relaxed: as above.
    const std::uint64_t now = state(f).load(std::memory_order_relaxed);
    const std::uint64_t ticket = now & ~frame_ticket::kFlag;
    // Published in full and never counted, or nothing that an honest predecessor left.
    const bool counted = frame_ticket::number_of(ticket) - 1 < number();
    const std::uint64_t next = counted && frame_ticket::frame_of(ticket) == f ? ticket : 0;
    // relaxed: as above.
    if (next != now) state(f).store(next, std::memory_order_relaxed);
  }
}

inline std::byte* frame_pool::Producer::try_reserve() noexcept {
  if (claimed_ == kNone) claimed_ = find();
  return claimed_ == kNone ? nullptr : parts_.frame(claimed_);
}

inline std::uint32_t frame_pool::Producer::find() noexcept {
  // No reader that is there wants it any more, and its lines are where they were used last. So
  // while readers keep up, a pool of any size goes round in a few frames.
  if (const std::uint32_t passed = newest_passed(); passed != kNone) {
    if (take_back(Frames().set(passed)) == passed) return passed;
  }
  for (std::uint32_t f = 0; f < parts_.frame_count; ++f) {
    // relaxed: ours alone. No reader reads a free frame: it was found unpinned when it became one.
    if (state(f).load(std::memory_order_relaxed) == 0) return f;
  }
  const std::uint32_t first = oldest(pinned());
  if (first == kNone) return kNone;
  const std::uint32_t taken = take_back(Frames().set(first));
  if (taken != kNone) return taken;
  // A reader has just pinned it. While we go on to the next one, that reader could come there
  // first, and so on; so all are taken back at once, and no pin can move any more.
  return take_back(Frames().set());
}

// 0 for the newest, which is not to be taken.
inline std::uint64_t frame_pool::Producer::ticket_in(std::uint32_t f) const noexcept {
  // relaxed: ours alone.
  const std::uint64_t ticket = state(f).load(std::memory_order_relaxed) & ~frame_ticket::kFlag;
  return ticket == newest_ ? 0 : ticket;
}

inline auto frame_pool::Producer::pinned() const noexcept -> Frames {
  Frames pinned;
  detail::for_each_pin(parts_, [&](std::uint32_t, std::uint64_t ticket) {
    const std::uint32_t f = frame_ticket::frame_of(ticket);
    if (f < parts_.frame_count && ticket_in(f) == ticket) pinned.set(f);
  });
  return pinned;
}

inline std::uint32_t frame_pool::Producer::oldest(const Frames& except) const noexcept {
  std::uint32_t found = kNone;
  for (std::uint32_t f = 0; f < parts_.frame_count; ++f) {
    if (ticket_in(f) == 0 || except[f]) continue;
    if (found == kNone ||
        ticket_in(f) >> frame_ticket::kFrameBits < ticket_in(found) >> frame_ticket::kFrameBits) {
      found = f;
    }
  }
  return found;
}

// The number up to which all readers that are here have come; 0: there are none. It is their own
// word: it says which frame goes first, and nothing about who may hold it. A hostile one can make
// others lose nothing, and a dead one makes the oldest go first.
inline std::uint64_t frame_pool::Producer::passed_by_all() const noexcept {
  std::uint64_t passed = 0;
  bool any = false;
  for (std::uint32_t i = 0; i < parts_.reader_count; ++i) {
    const FrameReaderPart& part = parts_.reader(i);
    // relaxed, both: hints, as all of this.
    if (part.stats.version.load(std::memory_order_relaxed) == 0) continue;
    if (part.policy.load(std::memory_order_relaxed) ==
        static_cast<std::uint64_t>(ReaderPolicy::kDetached)) {
      continue;
    }
    const auto stats = read_frame_stats(parts_, i);
    const std::uint64_t last = stats ? stats->last : 0;
    passed = any ? min_of(passed, last) : last;
    any = true;
  }
  return passed;
}

// Of the frames that all readers have passed and none pins, the one published last.
inline std::uint32_t frame_pool::Producer::newest_passed() const noexcept {
  if (parts_.frame_bytes < kLargeFrame) return kNone;
  const std::uint64_t passed = passed_by_all();
  if (passed == 0) return kNone;
  const Frames held = pinned();
  std::uint32_t found = kNone;
  std::uint64_t newest = 0;
  for (std::uint32_t f = 0; f < parts_.frame_count; ++f) {
    const std::uint64_t number = frame_ticket::number_of(ticket_in(f));
    if (number <= newest || number > passed || held[f]) continue;
    found = f;
    newest = number;
  }
  return found;
}

// Takes the oldest of `frames` that no reader pins, and leaves the others as they were. None of
// them can be pinned from the fence on; a pin made before is seen.
inline std::uint32_t frame_pool::Producer::take_back(const Frames& frames) noexcept {
  for (std::uint32_t f = 0; f < parts_.frame_count; ++f) {
    const std::uint64_t ticket = frames[f] ? ticket_in(f) : 0;
    // relaxed: K1 orders it before we look at the pins. The ticket stays: should we be killed, our
    // successor knows that the frame is as it was, and that a reader may hold it.
    if (ticket != 0) state(f).store(ticket | frame_ticket::kFlag, std::memory_order_relaxed);
  }
  // K1 (seq_cst, forbids that we miss a reader's pin and it misses that the frame is taken back).
  atomic_fence(std::memory_order_seq_cst);
  const std::uint32_t taken = oldest(pinned() | ~frames);
  for (std::uint32_t f = 0; f < parts_.frame_count; ++f) {
    const std::uint64_t ticket = frames[f] ? ticket_in(f) : 0;
    // relaxed: a reader that reads a ticket again knows its frame by N2 already.
    if (ticket != 0) state(f).store(f == taken ? 0 : ticket, std::memory_order_relaxed);
  }
  // For our successor alone, which comes through the kernel's lock: no byte is written before the
  // state says that the frame is free. Only the compiler could turn that round.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return taken;
}

inline void frame_pool::Producer::commit(std::size_t size_bytes) noexcept {
  assert(claimed_ != kNone && size_bytes <= parts_.frame_bytes);
  const std::uint64_t ticket = frame_ticket::make(number() + 1, claimed_);
  // relaxed, both: N1 publishes them; a number beyond newest is not believed.
  parts_.producer->sizes[claimed_].store(size_bytes, std::memory_order_relaxed);
  state(claimed_).store(ticket, std::memory_order_relaxed);
  claimed_ = kNone;
  newest_ = ticket;
  // N1 (release, pairs with N2, N4): the frame, its size and its state are written.
  parts_.producer->newest.store(ticket, std::memory_order_release);
}

inline void frame_pool::Producer::close() noexcept {
  // N3 (release, pairs with N2, N4): as N1, for a reader that sees this word alone.
  parts_.producer->newest.store(newest_ | frame_ticket::kFlag, std::memory_order_release);
}

inline frame_pool::Consumer::Consumer(const Parts& parts, std::uint32_t index,
                                      FrameStart from) noexcept
    : parts_(parts), index_(index), stats_writer_(parts.stats(index)) {
  assert(index < parts.reader_count);
  clear_pins(parts_, index_);
  begin(from);
  write_stats();
}

inline void frame_pool::Consumer::write_stats() noexcept {
  // A cell's store, no atomic's: latest.hpp has its orders.
  constexpr auto kWrite = &latest<FrameReaderStats>::Writer::store;
  (stats_writer_.*kWrite)(stats_);
}

inline void frame_pool::Consumer::begin(FrameStart from) noexcept {
  // N4 (acquire, pairs with N1, N3, N5): the states of all frames up to this one.
  const std::uint64_t seen = parts_.producer->newest.load(std::memory_order_acquire);
  const std::uint64_t newest = frame_ticket::number_of(seen);
  if (from == FrameStart::kResume && stats_writer_.version() != 0) {
    const auto stats = read_frame_stats(parts_, index_);
    // The owner before may have been hostile.
    if (stats && stats->last <= newest && stats->origin <= stats->last &&
        stats->received + stats->lost == stats->last - stats->origin) {
      stats_ = *stats;
      return;
    }
  }
  std::uint64_t before = newest;
  if (from == FrameStart::kNewest && newest != 0) before = newest - 1;
  if (from == FrameStart::kOldest || from == FrameStart::kResume) {
    // None, beside a producer that has just taken them all back: at the next one.
    const std::uint64_t first = first_of_run(newest);
    if (first != 0) before = first - 1;
  }
  stats_ = {before, before, 0, 0};
}

// The number of the oldest frame from which on all up to `newest` are there; 0: that one is not.
// What lies behind a gap are frames that were passed, and not needed since, of any age.
inline std::uint64_t frame_pool::Consumer::first_of_run(std::uint64_t newest) const noexcept {
  std::bitset<kMaxFrames> there;  // [i]: the one numbered newest - i
  for (std::uint32_t f = 0; f < parts_.frame_count; ++f) {
    // relaxed: as in oldest_between().
    const std::uint64_t ticket = parts_.producer->states[f].load(std::memory_order_relaxed);
    const std::uint64_t number = frame_ticket::number_of(ticket);
    if ((ticket & frame_ticket::kFlag) != 0 || number == 0) continue;
    if (number <= newest && newest - number < kMaxFrames) there.set(newest - number);
  }
  std::uint64_t run = 0;
  while (run < kMaxFrames && there[run]) ++run;
  return run == 0 ? 0 : newest - run + 1;
}

// The ticket of the oldest frame with a number beyond `after` that is there, none beyond `upto`; 0:
// none.
inline std::uint64_t frame_pool::Consumer::oldest_between(std::uint64_t after,
                                                          std::uint64_t upto) noexcept {
  std::uint64_t found = 0;
  for (std::uint32_t f = 0; f < parts_.frame_count; ++f) {
    // relaxed: N2 has brought all of them that count; the others are no matter.
    const std::uint64_t ticket = parts_.producer->states[f].load(std::memory_order_relaxed);
    const std::uint64_t number = frame_ticket::number_of(ticket);
    if ((ticket & frame_ticket::kFlag) != 0 || number <= after || number > upto) continue;
    if (found == 0 || number < frame_ticket::number_of(found)) found = ticket;
  }
  return found;
}

inline Atomic<std::uint64_t>* frame_pool::Consumer::free_pin() const noexcept {
  FrameReaderPart& part = parts_.reader(index_);
  for (std::uint32_t p = 0; p < parts_.pin_count; ++p) {
    // relaxed: whichever side let go of it, it was this reader's frame.
    if (part.pins[p].load(std::memory_order_relaxed) == 0) return &part.pins[p];
  }
  return nullptr;
}

inline bool frame_pool::Consumer::try_pin(Atomic<std::uint64_t>& pin,
                                          std::uint64_t ticket) noexcept {
  // relaxed: K2 orders it before we look at the state. An exchange and no store, as it goes on with
  // what U1 says of this word's last frame.
  static_cast<void>(pin.exchange(ticket, std::memory_order_relaxed));
  // K2 (seq_cst, forbids that we miss that the frame is taken back and the producer our pin).
  atomic_fence(std::memory_order_seq_cst);
  const Atomic<std::uint64_t>& state = parts_.producer->states[frame_ticket::frame_of(ticket)];
  // relaxed: the ticket's frame is known by N2; whether it still is there, the fences tell.
  if (state.load(std::memory_order_relaxed) == ticket) return true;
  detail::unpin(pin);
  return false;
}

inline ReadOutcome frame_pool::Consumer::read(Message& frame, bool newest_only) noexcept {
  // Whatever is gone when we come to it was taken back for a newer one; so each turn begins behind
  // the one before, and only a producer that runs away makes another one necessary.
  std::uint64_t after = stats_.last;
  std::uint32_t searched = 0;
  for (std::uint32_t turn = 0; turn < 2 * kMaxFrames && searched < kMostSearched; ++turn) {
    // N2 (acquire, pairs with N1, N3, N5): what all frames up to this one hold, and their states.
    const std::uint64_t seen = parts_.producer->newest.load(std::memory_order_acquire);
    const std::uint64_t newest = seen & ~frame_ticket::kFlag;
    const std::uint64_t upto = frame_ticket::number_of(newest);
    if (upto <= stats_.last) return newest == seen ? ReadOutcome::kEmpty : ReadOutcome::kEnd;
    frame.release();
    Atomic<std::uint64_t>* pin = free_pin();
    if (pin == nullptr) return ReadOutcome::kNoPin;

    const bool direct = newest_only || upto == after + 1;
    const std::uint64_t ticket = direct ? newest : oldest_between(after, upto);
    searched += direct ? 0 : parts_.frame_count;
    if (ticket == 0) continue;
    const std::uint32_t f = frame_ticket::frame_of(ticket);
    if (f >= parts_.frame_count) return ReadOutcome::kCorrupt;
    const std::uint64_t number = frame_ticket::number_of(ticket);
    if (!try_pin(*pin, ticket)) {
      if (!newest_only) after = number;
      continue;
    }
    // relaxed: N2 orders it. Read once: it is the producer's word.
    const std::uint64_t size = parts_.producer->sizes[f].load(std::memory_order_relaxed);
    if (size > parts_.frame_bytes) {
      detail::unpin(*pin);
      return ReadOutcome::kCorrupt;
    }
    frame.pin_ = pin;
    frame.bytes_ = {parts_.frame(f), static_cast<std::size_t>(size)};
    frame.number_ = number;
    stats_.lost += number - stats_.last - 1;
    stats_.last = number;
    ++stats_.received;
    write_stats();
    return ReadOutcome::kMessage;
  }
  return ReadOutcome::kContended;
}

}  // namespace rondo::inline RONDO_ABI
