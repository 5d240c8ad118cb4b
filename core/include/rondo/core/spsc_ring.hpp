// spsc_ring: one producer, one consumer, slots of one size, written and read in place.
//
// The textbook ring brought to its limit. Each side keeps its own position and a cached copy of the
// other's in its handle, and looks at the other's line only when the ring seems full or empty. The
// consumer publishes its position lazily. In a stream, a consumer that runs dry is paced
// (pacer.hpp), and it lets go of lines that it has read where that is faster
// (cache_line_evictor.hpp). The layout is in spsc_layout.hpp.
//
// A position that no honest peer stores reads as a full or an empty ring, and outcome() says so; no
// index is ever formed from a peer's word.
//
// Ordering. Each label stands at exactly one operation below; pairs are mutual.
//
//   P1 release tail  ->  C1 acquire tail   a published slot is fully written
//   C2 release head  ->  P2 acquire head   a slot given back is fully read
//
// Between processes, the payload itself is plain memory: a hostile peer may change it while it is
// read. Read in place from peers that are trusted, and copy (try_pop) before checking otherwise.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "rondo/core/acknowledge.hpp"
#include "rondo/core/atomic.hpp"
#include "rondo/core/cache_line_evictor.hpp"
#include "rondo/core/min_max.hpp"
#include "rondo/core/move_only.hpp"
#include "rondo/core/outcome.hpp"
#include "rondo/core/pacer.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/position.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/spsc_layout.hpp"

namespace rondo::inline RONDO_ABI {

template <class Ring, class Handle>
class Opened;        // opened.hpp
struct RingOptions;  // opened.hpp

// `T` is a trivially copyable type, or raw_slots for slots of a size known at run time.
template <class T>
class spsc_ring {
  static_assert(std::is_trivially_copyable_v<T>, "slots cross process boundaries as bytes");
  static constexpr bool kRaw = std::is_same_v<T, raw_slots>;

 public:
  class Producer;
  class Consumer;
  class Claim;
  class Message;
  class Messages;

  using Parts = SpscParts<T>;
  using Element = typename Parts::Element;  // T, or std::byte for raw slots

  // The life cycle; see life_cycle.hpp. The slots have to be aligned as T is, too.
  [[nodiscard]] static Result<SpscLayout> layout_for(const SpscParams& params);
  [[nodiscard]] static Result<Parts> create(std::span<std::byte> memory, const SpscParams& params);
  [[nodiscard]] static Result<Parts> attach(std::span<std::byte> memory,
                                            std::string_view what = "the ring");
  [[nodiscard]] static Result<Parts> attach(std::span<std::byte> memory, const Geometry& geometry,
                                            std::string_view what);

  // Opening by a name, "shm:NAME" or "file:PATH", for programs that include spsc_open.hpp. Either
  // side comes first and makes the ring, and each takes over from a dead predecessor: as the
  // handles' constructors do. A capacity of 0 is that of the ring, in a new one what 1 MiB holds;
  // another one, or another size of raw slots, has to be the ring's. Blocking, for 5 seconds at
  // most while another process is joining or leaving.
  // Errors: kInvalidUrl, kInvalidName, kInvalidCapacity, kInvalidOption (a size for the slots of a
  // type), kBusy (the role is held by a live process; the message says which), kGeometryMismatch,
  // attach()'s, Segment::create()'s and attach()'s, Participants::join()'s.
  static constexpr std::uint32_t kProducerSlot = 0;  // of the participant table
  static constexpr std::uint32_t kConsumerSlot = 1;
  [[nodiscard]] static Result<Opened<spsc_ring, Producer>> open_producer(
      std::string_view name, const SpscParams& params = {});
  [[nodiscard]] static Result<Opened<spsc_ring, Producer>> open_producer(
      std::string_view name, const SpscParams& params, const RingOptions& options);
  [[nodiscard]] static Result<Opened<spsc_ring, Consumer>> open_consumer(
      std::string_view name, const SpscParams& params = {});
  [[nodiscard]] static Result<Opened<spsc_ring, Consumer>> open_consumer(
      std::string_view name, const SpscParams& params, const RingOptions& options);
};

// The writing side. Not thread-safe: one thread at a time. The memory has to outlive it.
template <class T>
class alignas(kLineBytes) spsc_ring<T>::Producer : private detail::MoveOnly {
 public:
  // Takes up the producer's role where a predecessor left it, killed or not: what was not committed
  // is overwritten. The caller holds the role, and so is ordered after the predecessor.
  explicit Producer(const Parts& parts) noexcept
      : parts_(parts),
        // relaxed: the producer is the only writer of tail.
        tail_(parts.producer->tail.load(std::memory_order_relaxed)),
        limit_(tail_) {  // looks full, so the first push asks
    look();
  }

  // Copies `value` into the ring. Returns false, and changes nothing, if it is full.
  // Progress: wait-free. Memory ordering: what the caller did before is visible to the consumer
  // after the pop that returns this value.
  [[nodiscard]] RONDO_ALWAYS_INLINE bool try_push(const Element& value) noexcept requires(!kRaw) {
    if (tail_ == limit_) [[unlikely]] {
      if (!look()) return false;
    }
    *detail::slot_at(parts_, tail_) = value;
    publish(tail_ + 1);
    return true;
  }

  // Copies as many of `values` as there is room for, from the front, and returns how many: at least
  // one if there is any room; perhaps fewer than all the room, for the other side's line is looked
  // at only when there seems to be none. They become visible together. Progress: wait-free in the
  // number of values.
  [[nodiscard]] RONDO_ALWAYS_INLINE std::size_t try_push_some(
      std::span<const Element> values) noexcept requires(!kRaw) {
    if (tail_ == limit_ && !look()) return 0;
    const std::size_t count = min_of<std::uint64_t>(values.size(), limit_ - tail_);
    const auto [first, second] = detail::slots_at(parts_, tail_, count);
    detail::copy_slots(values.data(), first.size(), first.data());
    detail::copy_slots(values.data() + first.size(), second.size(), second.data());
    publish(tail_ + count);
    return count;
  }

  // The next slot, to be written in place and then published by commit(); nullptr if the ring is
  // full. A slot that is not committed is handed out again. Progress: wait-free.
  [[nodiscard]] RONDO_ALWAYS_INLINE Element* try_reserve() noexcept {
    if (tail_ == limit_) [[unlikely]] {
      if (!look()) return nullptr;
    }
    return detail::slot_at(parts_, tail_);
  }
  // Publishes the slot of the last try_reserve(). Ordering as try_push.
  RONDO_ALWAYS_INLINE void commit() noexcept { publish(tail_ + 1); }

  // Claims exactly `slots` slots, or none; up to `slots` slots, and at least one. Empty if there is
  // no room, or if `slots` is 0. One claim at a time. Progress: wait-free.
  [[nodiscard]] RONDO_ALWAYS_INLINE std::optional<Claim> try_claim(std::size_t slots = 1) noexcept {
    if (limit_ - tail_ < slots && (!look() || limit_ - tail_ < slots)) return std::nullopt;
    if (slots == 0) return std::nullopt;
    return Claim(*this, slots);
  }
  [[nodiscard]] RONDO_ALWAYS_INLINE std::optional<Claim> try_claim_some(
      std::size_t slots) noexcept {
    if (tail_ == limit_ && !look()) return std::nullopt;
    return try_claim(min_of<std::uint64_t>(slots, limit_ - tail_));
  }

  // Slots published since the ring was made.
  [[nodiscard]] Position position() const noexcept { return tail_; }
  [[nodiscard]] std::uint64_t capacity() const noexcept { return parts_.capacity; }
  // kFull; or kCorrupt from then on: the consumer's position was one that no honest consumer
  // stores, which reads as full.
  [[nodiscard]] ClaimOutcome outcome() const noexcept {
    return failed_ ? ClaimOutcome::kCorrupt : ClaimOutcome::kFull;
  }
  // True when everything published has been given back. Reads the consumer's line.
  [[nodiscard]] bool drained() noexcept {
    look();
    return limit_ - tail_ == parts_.capacity;
  }
  [[nodiscard]] const Parts& parts() const noexcept { return parts_; }

 private:
  friend class Claim;

  RONDO_ALWAYS_INLINE void publish(Position tail) noexcept {
    tail_ = tail;
    // P1 (release, pairs with C1): the slots before this position are fully written.
    parts_.producer->tail.store(tail, std::memory_order_release);
    if (in_step_) [[unlikely]]
      take_line_back();
  }

  // The consumer still has the lines of the next slot from a lap ago. Storing to the first one
  // fetches it back now, while the message just published is on its way, and not when the next one
  // is: that halves the round trip of a small message on a Zen 4. A prefetch for writing does not
  // (docs/performance.md). In a stream it would cost a third.
  RONDO_ALWAYS_INLINE void take_line_back() noexcept {
    if (tail_ == limit_ || detail::slot_bytes_of(parts_) < kLineBytes) return;
    // volatile: or it is left out, for the slot will be written anyway.
    *reinterpret_cast<volatile unsigned char*>(detail::slot_at(parts_, tail_)) = 0;
  }

  // Asks the consumer's line how far we may write. True if there is room. Kept inline, so that the
  // handle's address does not escape and its fields may stay in registers.
  RONDO_ALWAYS_INLINE bool look() noexcept {
    // P2 (acquire, pairs with C2): the slots we reuse have been fully read.
    const Position head = parts_.consumer->head.load(std::memory_order_acquire);
    // Not ==: a head that is beyond the tail, or a lap and more behind, reads as full.
    if (tail_ - head > parts_.capacity) [[unlikely]] {
      failed_ = true;
      limit_ = tail_;
      return false;
    }
    limit_ = head + parts_.capacity;
    in_step_ = tail_ - head <= 1;
    return limit_ != tail_;
  }

  Parts parts_;
  Position tail_;         // our own copy; shared memory holds the published one
  Position limit_;        // slots before this one are free, by what we last saw of the consumer
  bool in_step_ = false;  // it was within one message then: a round trip, not a stream
  bool failed_ = false;
};

// The reading side. Not thread-safe: one thread at a time. The memory has to outlive it.
template <class T>
class alignas(kLineBytes) spsc_ring<T>::Consumer {
 public:
  // Takes up the consumer's role at its published position: what a killed predecessor had read but
  // not given back is seen again. The caller holds the role, as for the producer.
  explicit Consumer(const Parts& parts, Acknowledge acknowledge = Acknowledge::kLazily,
                    Pacing pacing = Pacing::kOn) noexcept
      : parts_(parts),
        // relaxed: the consumer is the only writer of head.
        head_(parts.consumer->head.load(std::memory_order_relaxed)),
        seen_(head_),
        turn_(head_),
        published_(head_),
        dry_(head_ - 1),
        share_(acknowledge == Acknowledge::kEagerly ? 1
                                                    : max_of<std::uint64_t>(parts.capacity / 8, 1)),
        pacer_(pacing, head_, parts.capacity / 4),
        evictor_(pacing, parts.capacity * detail::slot_bytes_of(parts)) {
    refresh();
  }
  Consumer(Consumer&& other) noexcept : Consumer(static_cast<const Consumer&>(other)) {
    other.published_ = other.head_;  // leaves nothing for the other's destructor to publish
  }
  Consumer& operator=(Consumer&&) = delete;
  // Gives back what was read.
  ~Consumer() { publish(); }

  // Takes the oldest message. False, and `out` as it was, if the ring is empty; in the middle of a
  // stream the call may first pause for a moment (pacer.hpp).
  // Progress: wait-free. Memory ordering: what the producer did before its push is visible.
  [[nodiscard]] RONDO_ALWAYS_INLINE bool try_pop(Element& out) noexcept requires(!kRaw) {
    if (head_ == turn_) [[unlikely]] {
      if (!look()) return false;
    }
    out = *detail::slot_at(parts_, head_);
    give_back();
    return true;
  }
  [[nodiscard]] RONDO_ALWAYS_INLINE std::optional<Element> try_pop() noexcept requires(!kRaw) {
    std::optional<Element> out;
    if (head_ == turn_) [[unlikely]] {
      if (!look()) return out;
    }
    out = *detail::slot_at(parts_, head_);
    give_back();
    return out;
  }

  // Takes as many messages as there are, oldest first, and returns how many: at least one if there
  // is any; as in try_push_some(), perhaps not yet all.
  [[nodiscard]] RONDO_ALWAYS_INLINE std::size_t try_pop_some(std::span<Element> out) noexcept
      requires(!kRaw) {
    if (seen_ == head_ && !look()) return 0;
    const std::size_t count = min_of<std::uint64_t>(out.size(), seen_ - head_);
    const auto [first, second] = detail::slots_at(parts_, head_, count);
    detail::copy_slots(first.data(), first.size(), out.data());
    detail::copy_slots(second.data(), second.size(), out.data() + first.size());
    give_back(count);
    return count;
  }

  // The oldest message, in place until give_back(); nullptr if the ring is empty. As try_pop.
  [[nodiscard]] RONDO_ALWAYS_INLINE const Element* try_peek() noexcept {
    if (head_ == turn_) [[unlikely]] {
      if (!look()) return nullptr;
    }
    return detail::slot_at(parts_, head_);
  }
  // Gives back the message that try_peek() found. True if the producer can see it now, so that a
  // sleeping one is to be woken.
  // Memory ordering: the caller's reads of the message come before the slot is written again.
  RONDO_ALWAYS_INLINE bool give_back() noexcept {
    ++head_;
    if (head_ != turn_) [[likely]]
      return false;
    return take_turn();
  }
  // The same for the oldest `messages`, at most those seen.
  RONDO_ALWAYS_INLINE bool give_back(std::size_t messages) noexcept {
    assert(messages <= seen_ - head_);
    head_ += messages;
    return take_turn();
  }

  // The oldest message, in place until the object goes. Empty if there is none. As try_pop.
  [[nodiscard]] std::optional<Message> try_next() noexcept {
    const Element* const message = try_peek();
    if (message == nullptr) return std::nullopt;
    return std::optional<Message>(std::in_place, *this, message);
  }
  // Exactly `messages` messages, in place, or none; up to `messages`, and at least one. Empty if
  // there are not so many, or if `messages` is 0. Progress: wait-free.
  [[nodiscard]] RONDO_ALWAYS_INLINE std::optional<Messages> try_next(
      std::size_t messages) noexcept {
    if (seen_ - head_ < messages && (!look() || seen_ - head_ < messages)) return std::nullopt;
    if (messages == 0) return std::nullopt;
    return std::optional<Messages>(std::in_place, *this, messages);
  }
  [[nodiscard]] RONDO_ALWAYS_INLINE std::optional<Messages> try_next_some(
      std::size_t messages) noexcept {
    if (seen_ == head_ && !look()) return std::nullopt;
    return try_next(min_of<std::uint64_t>(messages, seen_ - head_));
  }

  // Publishes all that was given back. True if there was anything. For callers that are about to
  // wait for something else than this ring: one that found it empty has published already.
  RONDO_ALWAYS_INLINE bool publish() noexcept {
    if (published_ == head_) return false;
    const std::uint64_t slot_bytes = detail::slot_bytes_of(parts_);
    evictor_.before_give_back(parts_.slots, index_of(published_, parts_.capacity) * slot_bytes,
                              (head_ - published_) * slot_bytes);
    published_ = head_;
    turn_ = min_of(seen_ - head_, share_) + head_;
    // C2 (release, pairs with P2): the slots before this position have been fully read.
    parts_.consumer->head.store(head_, std::memory_order_release);
    return true;
  }

  // Slots given back since the ring was made, and those of them that the producer can see.
  [[nodiscard]] Position position() const noexcept { return head_; }
  [[nodiscard]] Position published() const noexcept { return published_; }
  [[nodiscard]] std::uint64_t capacity() const noexcept { return parts_.capacity; }
  // kEmpty; or kCorrupt from then on: the producer's position was one that no honest producer
  // stores, which reads as empty.
  [[nodiscard]] ReadOutcome outcome() const noexcept {
    return failed_ ? ReadOutcome::kCorrupt : ReadOutcome::kEmpty;
  }
  [[nodiscard]] const Parts& parts() const noexcept { return parts_; }

 private:
  friend class Messages;

  Consumer(const Consumer&) noexcept = default;

  // After head_ moved: publishes if it is time to, and finds the next turn.
  RONDO_ALWAYS_INLINE bool take_turn() noexcept {
    if (head_ - published_ >= share_) return publish();
    turn_ = min_of(seen_ - published_, share_) + published_;
    return false;
  }

  // Reads the producer's position. True if there are messages.
  RONDO_ALWAYS_INLINE bool refresh() noexcept {
    // C1 (acquire, pairs with P1): the slots before this position are fully written.
    const Position tail = parts_.producer->tail.load(std::memory_order_acquire);
    const std::uint64_t messages = tail - head_;
    // A tail behind the head, or more than a lap ahead, reads as empty.
    if (messages > parts_.capacity) [[unlikely]] {
      failed_ = true;
      return false;
    }
    seen_ = tail;
    turn_ = min_of(seen_ - published_, share_) + published_;
    return messages != 0;
  }

  // Asks the producer's line for more; in a stream, after a moment. Kept inline, so that the
  // handle's address does not escape and its fields may stay in registers.
  RONDO_ALWAYS_INLINE bool look() noexcept {
    if (refresh()) return true;
    // Still the same dry spell: all is told, and there is nothing to stay away for.
    if (head_ == dry_) return false;
    dry_ = head_;
    publish();
    Pacer pacer = pacer_;
    const bool found = pacer.pace(head_) && (refresh() || pacer.came_back_empty());
    pacer_ = pacer;
    return found;
  }

  Parts parts_;
  Position head_;        // our own copy; shared memory holds the published one
  Position seen_;        // messages before this one are there, by what we last saw of the producer
  Position turn_;        // the lesser of seen_ and published_ + share_: up to here nothing is due
  Position published_;   // what the producer was told
  Position dry_;         // where we last found nothing
  std::uint64_t share_;  // how far head_ may run ahead of published_
  Pacer pacer_;
  CacheLineEvictor evictor_;
  bool failed_ = false;
};

// Claimed slots. Destroying it without commit() leaves no trace, so an early return in the caller
// never blocks the consumer.
template <class T>
class [[nodiscard]] spsc_ring<T>::Claim {
 public:
  // The slots in two runs: up to the end of the ring, and on from its start (mostly empty).
  [[nodiscard]] std::span<Element> first() const noexcept { return slots_.first; }
  [[nodiscard]] std::span<Element> second() const noexcept { return slots_.second; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  // The first of them: of a claim of one, all there is.
  [[nodiscard]] Element& operator*() const noexcept requires(!kRaw) { return slots_.first[0]; }

  // Keeps only the first `slots`, at most size().
  RONDO_ALWAYS_INLINE void shrink(std::size_t slots) noexcept {
    assert(slots <= size_);
    size_ = slots;
    slots_ = detail::slots_at(producer_->parts_, producer_->tail_, slots);
  }
  // Publishes the slots. They become visible together; as try_push.
  RONDO_ALWAYS_INLINE void commit() && noexcept { producer_->publish(producer_->tail_ + size_); }

 private:
  friend class Producer;
  RONDO_ALWAYS_INLINE Claim(Producer& producer, std::size_t slots) noexcept
      : producer_(&producer),
        size_(slots),
        slots_(detail::slots_at(producer.parts_, producer.tail_, slots)) {}

  Producer* producer_;
  std::size_t size_;
  detail::SpscSlots<Element> slots_;
};

// A message in place. It is given back when this goes out of scope.
template <class T>
class [[nodiscard]] spsc_ring<T>::Message {
 public:
  Message(Consumer& consumer, const Element* message) noexcept
      : consumer_(&consumer), message_(message) {}
  Message(Message&& other) noexcept
      : consumer_(std::exchange(other.consumer_, nullptr)), message_(other.message_) {}
  Message& operator=(Message&&) = delete;
  ~Message() {
    if (consumer_ != nullptr) consumer_->give_back();
  }

  [[nodiscard]] const Element& operator*() const noexcept requires(!kRaw) { return *message_; }
  [[nodiscard]] const Element* operator->() const noexcept requires(!kRaw) { return message_; }
  [[nodiscard]] std::span<const Element> bytes() const noexcept requires(kRaw) {
    return {message_, consumer_->parts().slot_elements()};
  }

 private:
  Consumer* consumer_;
  const Element* message_;
};

// Messages in place. They are given back when this goes out of scope.
template <class T>
class [[nodiscard]] spsc_ring<T>::Messages {
 public:
  RONDO_ALWAYS_INLINE Messages(Consumer& consumer, std::size_t messages) noexcept
      : consumer_(&consumer),
        size_(messages),
        slots_(detail::slots_at(consumer.parts_, consumer.head_, messages)) {}
  RONDO_ALWAYS_INLINE Messages(Messages&& other) noexcept
      : consumer_(std::exchange(other.consumer_, nullptr)),
        size_(other.size_),
        slots_(other.slots_) {}
  Messages& operator=(Messages&&) = delete;
  RONDO_ALWAYS_INLINE ~Messages() {
    if (consumer_ != nullptr) consumer_->give_back(size_);
  }

  [[nodiscard]] std::span<const Element> first() const noexcept { return slots_.first; }
  [[nodiscard]] std::span<const Element> second() const noexcept { return slots_.second; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  Consumer* consumer_;
  std::size_t size_;
  detail::SpscSlots<Element> slots_;
};

}  // namespace rondo::inline RONDO_ABI

#include "rondo/core/spsc_segment.hpp"  // the life-cycle verbs
#include "rondo/core/version.hpp"
