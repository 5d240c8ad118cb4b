// frame_pool: large frames in place, from one producer to many readers, each of which may hold some
// of them for as long as it likes. A slow reader pins one frame, and not the ring.
//
// A frame's reference count is the number of pins that name it. No counter is shared: each
// reader has pin words of its own, and writes the ticket of the frame that it holds into one of
// them. The producer, when it wants a frame back, looks at all of them.
//
//   producer that wants frame f back         reader that wants ticket t of frame f
//   ------------------------------------     ------------------------------------------
//   state[f] = t | taken                     pin = t
//   fence        (K1)                        fence        (K2)
//   any pin == t? (U2)                       if (state[f] == t) it is held
//   then state[f] = t, and another one       else pin = 0, and another one
//   else state[f] = 0, write
//
// One of the two sees the other. A ticket never comes again, so a pin that a reader is about to
// clear, or that a hostile one made up, holds back at most that one frame.
//
// Death. A dead reader's pins hold its frames until its slot's lock is free: then the participant
// that takes it clears them (recover_dead_readers(), or the successor). A producer may die at any
// instruction: all that it counted in `newest` is still there; a frame that was taken back but not
// yet written is restored by its successor, since a reader may just have pinned it.
//
// No reader can harm another one or the producer: hostile pins hold `pins` frames at most.
//
// Ordering. Each label stands at exactly one operation below; pairs are mutual.
//
//   N1, N3, N5 release newest  ->  N2, N4 acquire newest   all frames up to that one are written
//   U1 release pin         ->  U2 acquire pin          a frame that no reader pins is fully read
//   K1 seq_cst fence, K2 seq_cst fence   forbid that producer and reader miss each other
#pragma once

#include <array>
#include <atomic>
#include <bitset>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "rondo/core/atomic.hpp"
#include "rondo/core/frame_pool_layout.hpp"
#include "rondo/core/latest.hpp"
#include "rondo/core/min_max.hpp"
#include "rondo/core/move_only.hpp"
#include "rondo/core/outcome.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/record_layout.hpp"
#include "rondo/core/result.hpp"

namespace rondo::inline RONDO_ABI {

// Where a reader starts.
enum class FrameStart : std::uint8_t {
  kOldest,  // at the oldest frame from which on all are still there
  kNewest,  // at the newest one
  kNext,    // at the first one to be published from now on
  kResume   // behind the last one that the slot's owner before got; those gone by now are lost.
            // Where no reader was: at the oldest
};

class frame_pool {
 public:
  using Parts = FramePoolParts;
  class Producer;
  class Consumer;
  class Claim;
  class Message;

  static constexpr std::uint32_t kProducerSlot = 0;
  static constexpr std::uint32_t kFirstReaderSlot = 1;

  // The life cycle; see life_cycle.hpp.
  [[nodiscard]] RONDO_API static Result<FramePoolLayout> layout_for(const FramePoolParams& params);
  [[nodiscard]] RONDO_API static Result<Parts> create(std::span<std::byte> memory,
                                                      const FramePoolParams& params);
  [[nodiscard]] RONDO_API static Result<Parts> attach(std::span<std::byte> memory,
                                                      std::string_view what = "the pool");
  [[nodiscard]] RONDO_API static Result<Parts> attach(std::span<std::byte> memory,
                                                      const Geometry& geometry,
                                                      std::string_view what);
};

namespace detail {

// All ways to clear a pin come through here.
RONDO_ALWAYS_INLINE void unpin(Atomic<std::uint64_t>& pin) noexcept {
  // U1 (release, pairs with U2): the frame has been fully read. A later pin in this word is made by
  // a read-modify-write, which hands this on.
  pin.store(0, std::memory_order_release);
}

// Calls f(reader, ticket) for each pin that is set, true or not.
template <class F>
void for_each_pin(const FramePoolParts& parts, F&& f) noexcept {
  for (std::uint32_t i = 0; i < parts.reader_count; ++i) {
    for (std::uint32_t p = 0; p < parts.pin_count; ++p) {
      // U2 (acquire, pairs with U1): what this pin held before has been fully read.
      const std::uint64_t ticket = parts.reader(i).pins[p].load(std::memory_order_acquire);
      if (ticket != 0) f(i, ticket);
    }
  }
}

}  // namespace detail

// A frame that a consumer holds: it stays as it is until this object lets go of it, however many
// others are read meanwhile. Thread-safe as a pointer is; any thread may let go. Must not outlive
// the mapping.
class [[nodiscard]] frame_pool::Message {
 public:
  Message() noexcept = default;  // holds none
  Message(Message&& other) noexcept { *this = std::move(other); }
  Message& operator=(Message&& other) noexcept {
    if (this == &other) return *this;
    release();
    pin_ = std::exchange(other.pin_, nullptr);
    bytes_ = std::exchange(other.bytes_, {});
    number_ = std::exchange(other.number_, 0);
    return *this;
  }
  ~Message() { release(); }

  // Lets go of the frame. Progress: wait-free. Memory ordering: what was read of it, was read
  // before the producer writes there again.
  void release() noexcept {
    if (pin_ == nullptr) return;
    detail::unpin(*std::exchange(pin_, nullptr));
    bytes_ = {};
    number_ = 0;
  }

  [[nodiscard]] explicit operator bool() const noexcept { return pin_ != nullptr; }
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }
  // Counted from 1; 0: it holds none.
  [[nodiscard]] std::uint64_t number() const noexcept { return number_; }

 private:
  friend class Consumer;

  Atomic<std::uint64_t>* pin_ = nullptr;
  std::span<const std::byte> bytes_;
  std::uint64_t number_ = 0;
};

// The publishing side. Not thread-safe: one thread at a time.
class alignas(kLineBytes) frame_pool::Producer : private detail::MoveOnly {
 public:
  // Takes up the producer's part where a predecessor left it, killed or not. The caller holds the
  // producer's role (participants.hpp).
  explicit Producer(const Parts& parts) noexcept;

  // A frame to write in place, or none when all are pinned. It is a free one, or the oldest that
  // no reader pins; of large frames rather one that all readers have passed, the newest of these,
  // which is still in their caches. The newest of all is never taken, so that there is always one
  // to read. With readers * pins + 2 frames it never fails. One claim at a time. Progress:
  // wait-free; one fence, and reads a line per reader; of large frames up to three of each, and
  // three lines more per reader, of whose stats a hostile one may cost some microseconds.
  [[nodiscard]] std::optional<Claim> try_claim() noexcept;

  // The same without an object, for building handles of one's own: where to write,
  // frame_bytes bytes, or nullptr; again the same frame until it is committed or discarded.
  [[nodiscard]] std::byte* try_reserve() noexcept;
  // Publishes the frame with its first `size_bytes` bytes, at most frame_bytes. Progress:
  // wait-free. Memory ordering: what the caller did before is visible to a reader that gets this
  // frame.
  void commit(std::size_t size_bytes) noexcept;
  // Gives the frame up, unpublished; what it held before is gone.
  void discard() noexcept { claimed_ = kNone; }
  // Says that nothing more will come; the next commit takes it back.
  void close() noexcept;

  // Why the last try_ got nothing.
  [[nodiscard]] static constexpr ClaimOutcome outcome() noexcept { return ClaimOutcome::kFull; }
  // The number of the last frame published, those of predecessors included.
  [[nodiscard]] std::uint64_t number() const noexcept { return frame_ticket::number_of(newest_); }
  [[nodiscard]] const Parts& parts() const noexcept { return parts_; }

 private:
  using Frames = std::bitset<kMaxFrames>;
  static constexpr std::uint32_t kNone = kMaxFrames;
  // From this size on it is asked how far the readers are: three lines of each to read, beside at
  // least 4096 to write.
  static constexpr std::uint32_t kLargeFrame = std::uint32_t{256} << 10;

  [[nodiscard]] Atomic<std::uint64_t>& state(std::uint32_t f) const noexcept {
    return parts_.producer->states[f];
  }
  [[nodiscard]] std::uint64_t ticket_in(std::uint32_t f) const noexcept;
  [[nodiscard]] Frames pinned() const noexcept;
  [[nodiscard]] std::uint32_t oldest(const Frames& except) const noexcept;
  [[nodiscard]] std::uint64_t passed_by_all() const noexcept;
  [[nodiscard]] std::uint32_t newest_passed() const noexcept;
  [[nodiscard]] std::uint32_t take_back(const Frames& frames) noexcept;
  [[nodiscard]] std::uint32_t find() noexcept;

  Parts parts_;
  std::uint64_t newest_;  // ticket, without the flag
  std::uint32_t claimed_ = kNone;
};

// A frame to write. Destroying it without commit() leaves no trace but this: what the frame held
// before is gone.
class [[nodiscard]] frame_pool::Claim {
 public:
  Claim(Producer& producer, std::span<std::byte> bytes) noexcept
      : producer_(&producer), bytes_(bytes) {}
  Claim(Claim&& other) noexcept
      : producer_(std::exchange(other.producer_, nullptr)), bytes_(other.bytes_) {}
  Claim& operator=(Claim&&) = delete;
  ~Claim() {
    if (producer_ != nullptr) producer_->discard();
  }

  // Where to write, frame_bytes long (or as shrunk).
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }
  // Keeps only the first `size_bytes`, at most bytes().size().
  void shrink(std::size_t size_bytes) noexcept {
    assert(size_bytes <= bytes_.size());
    bytes_ = bytes_.first(size_bytes);
  }
  // Publishes the frame; see Producer::commit().
  void commit() && noexcept { std::exchange(producer_, nullptr)->commit(bytes_.size()); }

 private:
  Producer* producer_;
  std::span<std::byte> bytes_;
};

inline std::optional<frame_pool::Claim> frame_pool::Producer::try_claim() noexcept {
  std::byte* const bytes = try_reserve();
  if (bytes == nullptr) return std::nullopt;
  return std::optional<Claim>(std::in_place, *this, std::span(bytes, parts_.frame_bytes));
}

// The reading side. Each slot has one at a time; not thread-safe.
class alignas(kLineBytes) frame_pool::Consumer : private detail::MoveOnly {
 public:
  // Takes reader `index`'s part, below reader_count, whose slot the caller holds; clears what a
  // predecessor had pinned.
  Consumer(const Parts& parts, std::uint32_t index, FrameStart from = FrameStart::kOldest) noexcept;

  // The oldest frame that is still there after the last one, or the newest; those passed over are
  // counted as lost. Empty if there is none; outcome() tells why. What was got before stays held.
  // Progress: bounded; kContended only if one frame after the other was taken back while it was
  // being pinned. Memory ordering: what the producer did before it published the frame is visible.
  [[nodiscard]] std::optional<Message> try_next() noexcept { return one(false); }
  [[nodiscard]] std::optional<Message> try_newest() noexcept { return one(true); }

  // The same into an object that is used again, for holding one frame at a time, with one
  // pin: `frame` keeps what it holds if there is no newer one (kEmpty, kEnd), and otherwise lets go
  // of it before another one is pinned.
  [[nodiscard]] ReadOutcome try_next(Message& frame) noexcept {
    return outcome_ = read(frame, false);
  }
  [[nodiscard]] ReadOutcome try_newest(Message& frame) noexcept {
    return outcome_ = read(frame, true);
  }

  // Whether try_next() would say something else than kEmpty: for waits. Progress: wait-free.
  [[nodiscard]] bool changed() const noexcept {
    // relaxed: read() looks again, and orders what it reads.
    const std::uint64_t newest = parts_.producer->newest.load(std::memory_order_relaxed);
    return (newest & frame_ticket::kFlag) != 0 || frame_ticket::number_of(newest) > stats_.last;
  }

  // What the last try_ met, if it met no frame.
  [[nodiscard]] ReadOutcome outcome() const noexcept { return outcome_; }
  [[nodiscard]] const FrameReaderStats& stats() const noexcept { return stats_; }
  [[nodiscard]] std::uint32_t index() const noexcept { return index_; }
  [[nodiscard]] const Parts& parts() const noexcept { return parts_; }

 private:
  // Of all frames' words, in one call; a pool of the largest size is searched 64 times.
  static constexpr std::uint32_t kMostSearched = 64 * kMaxFrames;

  [[nodiscard]] std::optional<Message> one(bool newest_only) noexcept {
    Message frame;
    outcome_ = read(frame, newest_only);
    if (outcome_ != ReadOutcome::kMessage) return std::nullopt;
    return frame;
  }
  [[nodiscard]] ReadOutcome read(Message& frame, bool newest_only) noexcept;
  [[nodiscard]] std::uint64_t oldest_between(std::uint64_t after, std::uint64_t upto) noexcept;
  [[nodiscard]] bool try_pin(Atomic<std::uint64_t>& pin, std::uint64_t ticket) noexcept;
  [[nodiscard]] Atomic<std::uint64_t>* free_pin() const noexcept;
  [[nodiscard]] std::uint64_t first_of_run(std::uint64_t newest) const noexcept;
  void begin(FrameStart from) noexcept;
  void write_stats() noexcept;

  Parts parts_;
  std::uint32_t index_;
  ReadOutcome outcome_ = ReadOutcome::kEmpty;
  FrameReaderStats stats_{};
  latest<FrameReaderStats>::Writer stats_writer_;
};

// A pin, for people and for naming a slow reader. Caller: any process.
struct HeldFrame {
  std::uint32_t reader;  // its participant slot is kFirstReaderSlot + reader
  std::uint64_t number;  // of what it holds
  std::uint64_t behind;  // frames published since
};

// Calls f(HeldFrame) for each frame that is held now. Progress: wait-free. Caller: any process.
template <class F>
void for_each_held(const FramePoolParts& parts, F&& f) noexcept {
  detail::for_each_pin(parts, [&](std::uint32_t reader, std::uint64_t ticket) {
    const std::uint32_t frame = frame_ticket::frame_of(ticket);
    if (frame >= parts.frame_count) return;
    // relaxed, both: a report, true for some moment.
    const std::uint64_t state = parts.producer->states[frame].load(std::memory_order_relaxed);
    if ((state & ~frame_ticket::kFlag) != ticket) return;
    const std::uint64_t newest = parts.producer->newest.load(std::memory_order_relaxed);
    const std::uint64_t number = frame_ticket::number_of(ticket);
    f(HeldFrame{reader, number, frame_ticket::number_of(newest) - number});
  });
}

// What reader `index` has got so far; all zero if there never was one. Empty beside a hostile one.
// Progress: bounded. Caller: any process.
[[nodiscard]] inline std::optional<FrameReaderStats> read_frame_stats(
    const FramePoolParts& parts, std::uint32_t index) noexcept {
  FrameReaderStats stats{};
  latest<FrameReaderStats>::Reader reader(parts.stats(index));
  if (reader.try_load(stats) == LatestRead::kBusy) return std::nullopt;
  return stats;
}

// Lets go of all that reader `index` had pinned. Caller: holds its slot's lock, as its owner or
// because the owner is dead.
inline void clear_pins(const FramePoolParts& parts, std::uint32_t index) noexcept {
  for (Atomic<std::uint64_t>& pin : parts.reader(index).pins) detail::unpin(pin);
}

// Lets go of what dead readers had pinned. `liveness`: Participants, or what else has is_dead(),
// try_lock_dead() and unlock() as it does. Returns how many readers that were. Progress: one system
// call for each reader that holds a frame. Caller: any process with write access to the readers'
// parts; meant for a producer that found nothing to claim.
template <class Liveness>
std::uint32_t recover_dead_readers(const FramePoolParts& parts, Liveness& liveness) noexcept {
  std::bitset<kMaxFrameReaders> holders;
  detail::for_each_pin(parts, [&](std::uint32_t reader, std::uint64_t) { holders.set(reader); });
  std::uint32_t recovered = 0;
  for (std::uint32_t i = 0; i < parts.reader_count; ++i) {
    const std::uint32_t slot = frame_pool::kFirstReaderSlot + i;
    if (!holders[i] || !liveness.try_lock_dead(slot)) continue;
    clear_pins(parts, i);
    liveness.unlock(slot);
    ++recovered;
  }
  return recovered;
}

}  // namespace rondo::inline RONDO_ABI

#include "rondo/core/frame_pool_inl.hpp"  // the roles' work
#include "rondo/core/version.hpp"
