// The rings, as the conformance tests see them: messages are numbers, and each ring says in a few
// lines how its handles are made. Used with the real atomics and with the simulated ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <type_traits>

#include "rondo/core/atomic.hpp"
#include "rondo/core/frame_pool.hpp"
#include "rondo/core/mpmc_ring.hpp"
#include "rondo/core/record_ring.hpp"
#include "rondo/core/spsc_ring.hpp"

namespace rondo::testing {

// Where a claim or a message of one has its bytes: all of the slot, in rings whose messages have no
// size of their own.
template <class Message>
auto bytes_of(const Message& message) noexcept {
  if constexpr (requires { message.bytes(); }) {
    return message.bytes();
  } else if constexpr (requires { message.first(); }) {
    return std::as_writable_bytes(message.first());
  } else if constexpr (requires { (*message).data(); }) {
    return *message;
  } else if constexpr (std::is_const_v<std::remove_reference_t<decltype(*message)>>) {
    return std::as_bytes(std::span(&*message, 1));
  } else {
    return std::as_writable_bytes(std::span(&*message, 1));
  }
}

// The number in a claim or a message. An atomic word, so that the simulated memory shows whether
// the ring publishes it.
template <class Message>
Atomic<std::uint64_t>& word_of(const Message& message) noexcept {
  const std::byte* const at = bytes_of(message).data();
  return *reinterpret_cast<Atomic<std::uint64_t>*>(const_cast<std::byte*>(at));
}
template <class Claim>
void write(const Claim& claim, std::uint64_t number) noexcept {
  // relaxed: the ring has to publish it.
  word_of(claim).store(number, std::memory_order_relaxed);
}
template <class Message>
std::uint64_t read(const Message& message) noexcept {
  // relaxed: as above.
  return word_of(message).load(std::memory_order_relaxed);
}

// What most rings have in common. kFits: so many messages of 8 bytes always fit unread. kSized:
// messages have sizes of their own. kBatches: slots are claimed and read several at a time.
// kOverwrites: what is unread gives way to what is new, unless a consumer holds it.
struct PlainTraits {
  static constexpr std::size_t kFits = 4;
  static constexpr bool kSized = false;
  static constexpr bool kBatches = false;
  static constexpr bool kExactReads = false;
  static constexpr bool kOverwrites = false;

  // Makes a claim of one `size_bytes` long.
  template <class Claim>
  static void resize(Claim& claim, std::size_t size_bytes) noexcept {
    claim.shrink(size_bytes);
  }
};

template <class T>
struct SpscTraits : PlainTraits {
  using Ring = spsc_ring<T>;
  static constexpr RingKind kKind = RingKind::kSpsc;
  static constexpr bool kBatches = true;
  static constexpr bool kExactReads = true;
  static SpscParams params(std::uint64_t instance_id = 0) {
    SpscParams params{.capacity = kFits, .participants = 2, .instance_id = instance_id};
    if (std::is_same_v<T, raw_slots>) params.slot_bytes = 16;
    return params;
  }
  static SpscParams impossible() { return {.capacity = 3}; }
  static auto producer(const typename Ring::Parts& parts) {
    return std::optional<typename Ring::Producer>(std::in_place, parts);
  }
  static auto consumer(const typename Ring::Parts& parts) {
    return std::optional<typename Ring::Consumer>(std::in_place, parts, Acknowledge::kEagerly,
                                                  Pacing::kOff);
  }
  static auto try_claim(typename Ring::Producer& producer) { return producer.try_claim(); }
};

struct RecordTraits : PlainTraits {
  using Ring = record_ring;
  static constexpr RingKind kKind = RingKind::kRecord;
  static constexpr bool kSized = true;
  static RecordParams params(std::uint64_t instance_id = 0) {
    return {.capacity = 256, .instance_id = instance_id};
  }
  static RecordParams impossible() { return {.capacity = 100}; }
  static Result<record_ring::Producer> producer(const RecordParts& parts) {
    return record_ring::Producer::attach(parts);
  }
  static Result<record_ring::Consumer> consumer(const RecordParts& parts) {
    return record_ring::Consumer::attach(parts, Acknowledge::kEagerly, Pacing::kOff);
  }
  static auto try_claim(record_ring::Producer& producer, std::size_t size_bytes = 8) {
    return producer.try_claim(size_bytes);
  }
};

// A ring for several readers, of which a reliable one has come.
struct RecordReadersTraits : RecordTraits {
  static RecordParams params(std::uint64_t instance_id = 0) {
    return {.capacity = 256, .readers = 3, .instance_id = instance_id};
  }
  static Result<record_ring::Consumer> consumer(const RecordParts& parts) {
    return record_ring::Consumer::join(
        parts.of_reader(1),
        {.name = "it", .acknowledge = Acknowledge::kEagerly, .pacing = Pacing::kOff});
  }
};

template <class T>
struct MpmcTraits : PlainTraits {
  using Ring = mpmc_ring<T>;
  static constexpr RingKind kKind = RingKind::kMpmc;
  static constexpr bool kSized = Ring::kSized;
  static constexpr bool kBatches = true;
  static MpmcParams params(std::uint64_t instance_id = 0) {
    return {.capacity = kFits, .slot_bytes = 24, .participants = 4, .instance_id = instance_id};
  }
  static MpmcParams impossible() { return {.capacity = 3}; }
  static auto producer(const MpmcParts& parts) {
    return std::optional<typename Ring::Producer>(std::in_place, parts, 0, Pacing::kOff);
  }
  static auto consumer(const MpmcParts& parts) {
    return std::optional<typename Ring::Consumer>(std::in_place, parts, 1, Pacing::kOff);
  }
  static auto try_claim(typename Ring::Producer& producer) { return producer.try_claim(); }
  template <class Claim>
  static void resize(Claim& claim, std::size_t size_bytes) noexcept {
    claim.resize(0, size_bytes);
  }
};

struct FramePoolTraits : PlainTraits {
  using Ring = frame_pool;
  static constexpr RingKind kKind = RingKind::kFramePool;
  static constexpr bool kSized = true;
  static constexpr bool kOverwrites = true;
  static FramePoolParams params(std::uint64_t instance_id = 0) {
    return {.frames = kFits, .frame_bytes = 24, .pins = 3, .instance_id = instance_id};
  }
  static FramePoolParams impossible() { return {.frames = 1, .frame_bytes = 24}; }
  static std::optional<frame_pool::Producer> producer(const FramePoolParts& parts) {
    return frame_pool::Producer(parts);
  }
  static std::optional<frame_pool::Consumer> consumer(const FramePoolParts& parts) {
    return frame_pool::Consumer(parts, 0, FrameStart::kResume);
  }
  static auto try_claim(frame_pool::Producer& producer) { return producer.try_claim(); }
};

}  // namespace rondo::testing
