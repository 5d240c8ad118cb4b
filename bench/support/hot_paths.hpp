// The hot paths whose instructions are counted (hot_paths.cpp). Each is both ends of one ring:
//
//   name()                    as the table of bounds has it
//   bool send(i)              sends kStep messages, from number i on
//   bool receive(sum)         receives kStep, and adds all their words to `sum`
//   kStep = 1, kBurst = 256   if it says nothing else
//
// Messages are written and read in full: words of their number.
#pragma once

#include <unistd.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include "rondo/core/frame_pool.hpp"
#include "rondo/core/latest.hpp"
#include "rondo/core/mpmc_ring.hpp"
#include "rondo/core/record_ring.hpp"
#include "rondo/core/spsc_ring.hpp"
#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "rondo/transports/typed.hpp"
#include "rondo/transports/typed_latest.hpp"

namespace rondo::bench::hot_paths {

inline constexpr std::uint64_t kLap = 1024;  // messages that a ring holds

[[noreturn]] inline void fail(const std::string& what) {
  std::fprintf(stderr, "hot_paths: %s\n", what.c_str());
  std::exit(1);
}
template <class T>
T must(Result<T> result) {
  if (!result) fail(result.error().message);
  return std::move(result).value();
}

inline std::string sized(const char* name, std::size_t bytes) {
  return std::string(name) + ", " + std::to_string(bytes) + " B";
}

// A message.
template <std::size_t kBytes>
struct Words {
  std::uint64_t words[kBytes / 8];

  RONDO_ALWAYS_INLINE void fill(std::uint64_t value) {
    for (std::uint64_t& word : words) word = value;
  }
  RONDO_ALWAYS_INLINE void add_to(std::uint64_t& sum) const {
    for (const std::uint64_t word : words) sum += word;
  }
};
template <std::size_t kBytes>
RONDO_ALWAYS_INLINE void fill(std::byte* to, std::uint64_t value) {
  Words<kBytes> words;
  words.fill(value);
  std::memcpy(to, &words, kBytes);
}
template <std::size_t kBytes>
RONDO_ALWAYS_INLINE void add(const std::byte* from, std::uint64_t& sum) {
  Words<kBytes> words;
  std::memcpy(&words, from, kBytes);
  words.add_to(sum);
}

// Memory of a ring.
class Memory {
 public:
  explicit Memory(std::uint64_t bytes)
      : bytes_(bytes), memory_(std::aligned_alloc(kPartAlignment, bytes), &std::free) {
    std::memset(memory_.get(), 0, bytes);
  }
  [[nodiscard]] std::span<std::byte> bytes() const {
    return {static_cast<std::byte*>(memory_.get()), bytes_};
  }

 private:
  std::size_t bytes_;
  std::unique_ptr<void, decltype(&std::free)> memory_;
};

// ---- spsc_ring ---------------------------------------------------------------------------------

template <std::size_t kBytes>
struct Spsc {
  using Ring = spsc_ring<Words<kBytes>>;
  static constexpr SpscParams kParams{.capacity = kLap};
  Memory memory{must(Ring::layout_for(kParams)).total_bytes};
  typename Ring::Parts parts{must(Ring::create(memory.bytes(), kParams))};
  typename Ring::Producer producer{parts};
  typename Ring::Consumer consumer{parts};
};

template <std::size_t kBytes>
struct SpscPush : Spsc<kBytes> {
  static std::string name() { return sized("spsc_ring, push and pop", kBytes); }
  RONDO_ALWAYS_INLINE bool send(std::uint64_t i) {
    Words<kBytes> value;
    value.fill(i);
    return this->producer.try_push(value);
  }
  RONDO_ALWAYS_INLINE bool receive(std::uint64_t& sum) {
    Words<kBytes> value;
    if (!this->consumer.try_pop(value)) return false;
    value.add_to(sum);
    return true;
  }
};

template <std::size_t kBytes>
struct SpscClaim : Spsc<kBytes> {
  static std::string name() { return sized("spsc_ring, claim and next", kBytes); }
  RONDO_ALWAYS_INLINE bool send(std::uint64_t i) {
    auto claim = this->producer.try_claim();
    if (!claim) return false;
    (**claim).fill(i);
    std::move(*claim).commit();
    return true;
  }
  RONDO_ALWAYS_INLINE bool receive(std::uint64_t& sum) {
    const auto message = this->consumer.try_next();
    if (!message) return false;
    (*message)->add_to(sum);
    return true;
  }
};

// One is sent, one is received: each side looks at the other's line for each message.
template <std::size_t kBytes>
struct SpscInTurns : SpscPush<kBytes> {
  static constexpr std::uint64_t kBurst = 1;
  static std::string name() { return sized("spsc_ring, one at a time", kBytes); }
};

template <std::size_t kBytes>
struct SpscBatch : Spsc<kBytes> {
  static constexpr std::uint64_t kStep = 32;
  static std::string name() { return sized("spsc_ring, batches of 32", kBytes); }
  RONDO_ALWAYS_INLINE bool send(std::uint64_t i) {
    for (Words<kBytes>& value : values) value.fill(i++);
    return this->producer.try_push_some(values) == kStep;
  }
  RONDO_ALWAYS_INLINE bool receive(std::uint64_t& sum) {
    if (this->consumer.try_pop_some(values) != kStep) return false;
    for (const Words<kBytes>& value : values) value.add_to(sum);
    return true;
  }
  std::array<Words<kBytes>, kStep> values{};
};

struct SpscEmpty : Spsc<8> {
  static std::string name() { return "spsc_ring, a look at an empty one"; }
  RONDO_ALWAYS_INLINE bool receive(std::uint64_t&) { return consumer.try_peek() == nullptr; }
};

// ---- record_ring -------------------------------------------------------------------------------

template <std::size_t kBytes>
struct Records {
  static constexpr RecordParams kParams{.capacity = std::bit_ceil(kLap * (kBytes + 8))};
  Memory memory{must(record_ring::layout_for(kParams)).total_bytes};
  RecordParts parts{must(record_ring::create(memory.bytes(), kParams))};
  record_ring::Producer producer{must(record_ring::Producer::attach(parts))};
  record_ring::Consumer consumer{record_ring::Consumer::attach(parts).value()};
};

template <std::size_t kBytes>
struct RecordReserve : Records<kBytes> {
  static std::string name() { return sized("record_ring, reserve and peek", kBytes); }
  RONDO_ALWAYS_INLINE bool send(std::uint64_t i) {
    std::byte* const bytes = this->producer.try_reserve(kBytes);
    if (bytes == nullptr) return false;
    fill<kBytes>(bytes, i);
    this->producer.commit(kBytes);
    return true;
  }
  RONDO_ALWAYS_INLINE bool receive(std::uint64_t& sum) {
    if (this->consumer.try_peek() != ReadOutcome::kMessage) return false;
    add<kBytes>(this->consumer.data(), sum);
    this->consumer.give_back();
    return true;
  }
};

template <std::size_t kBytes>
struct RecordClaim : Records<kBytes> {
  static std::string name() { return sized("record_ring, claim and next", kBytes); }
  RONDO_ALWAYS_INLINE bool send(std::uint64_t i) {
    auto claim = this->producer.try_claim(kBytes);
    if (!claim) return false;
    fill<kBytes>(claim->bytes().data(), i);
    std::move(*claim).commit();
    return true;
  }
  RONDO_ALWAYS_INLINE bool receive(std::uint64_t& sum) {
    const auto message = this->consumer.try_next();
    if (!message) return false;
    add<kBytes>(message->bytes().data(), sum);
    return true;
  }
};

template <std::size_t kBytes>
struct RecordInTurns : RecordReserve<kBytes> {
  static constexpr std::uint64_t kBurst = 1;
  static std::string name() { return sized("record_ring, one at a time", kBytes); }
};

template <std::size_t kBytes>
struct RecordBatch : RecordReserve<kBytes> {
  static constexpr std::uint64_t kStep = 32;
  static std::string name() { return sized("record_ring, batches of 32", kBytes); }
  RONDO_ALWAYS_INLINE bool send(std::uint64_t i) {
    this->producer.begin_batch();
    for (const std::uint64_t end = i + kStep; i != end; ++i) {
      std::byte* const bytes = this->producer.try_reserve(kBytes);
      if (bytes == nullptr) return false;
      fill<kBytes>(bytes, i);
      this->producer.commit(kBytes);
    }
    this->producer.end_batch();
    return true;
  }
  RONDO_ALWAYS_INLINE bool receive(std::uint64_t& sum) {
    for (std::uint64_t k = 0; k != kStep; ++k) {
      if (!RecordReserve<kBytes>::receive(sum)) return false;
    }
    return true;
  }
};

struct RecordEmpty : Records<8> {
  static std::string name() { return "record_ring, a look at an empty one"; }
  RONDO_ALWAYS_INLINE bool receive(std::uint64_t&) {
    return consumer.try_peek() == ReadOutcome::kEmpty;
  }
};

// ---- mpmc_ring, latest, frame_pool -------------------------------------------------------------

template <std::size_t kBytes>
struct Mpmc {
  using Ring = mpmc_ring<Words<kBytes>>;
  static constexpr MpmcParams kParams{.capacity = kLap, .participants = 8};
  Memory memory{must(Ring::layout_for(kParams)).total_bytes};
  Ring ring{must(Ring::create(memory.bytes(), kParams))};
  typename Ring::Producer producer{ring, 0};
  typename Ring::Consumer consumer{ring, 1};
};

template <std::size_t kBytes>
struct MpmcPush : Mpmc<kBytes> {
  static std::string name() { return sized("mpmc_ring, push and pop", kBytes); }
  RONDO_ALWAYS_INLINE bool send(std::uint64_t i) {
    Words<kBytes> value;
    value.fill(i);
    return this->producer.try_push(value);
  }
  RONDO_ALWAYS_INLINE bool receive(std::uint64_t& sum) {
    Words<kBytes> value;
    if (!this->consumer.try_pop(value)) return false;
    value.add_to(sum);
    return true;
  }
};

template <std::size_t kBytes>
struct MpmcBatch : Mpmc<kBytes> {
  static constexpr std::uint64_t kStep = 16;
  static std::string name() { return sized("mpmc_ring, batches of 16", kBytes); }
  RONDO_ALWAYS_INLINE bool send(std::uint64_t i) {
    for (Words<kBytes>& value : values) value.fill(i++);
    return this->producer.try_push_some(values) == kStep;
  }
  RONDO_ALWAYS_INLINE bool receive(std::uint64_t& sum) {
    if (this->consumer.try_pop_some(values) != kStep) return false;
    for (const Words<kBytes>& value : values) value.add_to(sum);
    return true;
  }
  std::array<Words<kBytes>, kStep> values{};
};

template <std::size_t kBytes>
struct Latest {
  using Cell = latest<Words<kBytes>>;
  static std::string name() { return sized("latest, store and load", kBytes); }
  RONDO_ALWAYS_INLINE bool send(std::uint64_t i) {
    Words<kBytes> value;
    value.fill(i);
    writer.store(value);
    return true;
  }
  RONDO_ALWAYS_INLINE bool receive(std::uint64_t& sum) {
    Words<kBytes> value;
    if (reader.try_load(value) != LatestRead::kValue) return false;
    value.add_to(sum);
    return true;
  }
  Memory memory{must(Cell::layout_for({})).total_bytes};
  LatestParts parts{must(Cell::create(memory.bytes(), {}))};
  typename Cell::Writer writer{parts};
  typename Cell::Reader reader{parts};
};

struct FramePool {
  static constexpr std::uint64_t kBurst = 1;
  static constexpr FramePoolParams kParams{.frames = 8, .frame_bytes = 64, .readers = 1};
  static std::string name() { return sized("frame_pool, one at a time", 64); }
  RONDO_ALWAYS_INLINE bool send(std::uint64_t i) {
    std::byte* const bytes = producer.try_reserve();
    if (bytes == nullptr) return false;
    fill<64>(bytes, i);
    producer.commit(64);
    return true;
  }
  RONDO_ALWAYS_INLINE bool receive(std::uint64_t& sum) {
    frame_pool::Message frame;
    if (consumer.try_next(frame) != ReadOutcome::kMessage) return false;
    add<64>(frame.bytes().data(), sum);
    return true;
  }
  Memory memory{must(frame_pool::layout_for(kParams)).total_bytes};
  FramePoolParts parts{must(frame_pool::create(memory.bytes(), kParams))};
  frame_pool::Producer producer{parts};
  frame_pool::Consumer consumer{parts, 0};
};

// ---- through the handles -----------------------------------------------------------------------

struct OfRecords {
  static constexpr const char* kName = "";
  static constexpr const char* kUrl = "inproc:?capacity=256KiB";
};
struct OfSlots {
  static constexpr const char* kName = " of kind=mpmc";
  static constexpr const char* kUrl = "inproc:?kind=mpmc&slots=1024&slot_size=64";
};

template <std::size_t kBytes, class Kind = OfRecords>
struct Channel {
  static std::string name() {
    return sized("Sender and Receiver", kBytes) + Kind::kName + ", claim and next";
  }
  RONDO_ALWAYS_INLINE bool send(std::uint64_t i) {
    auto claim = ends.first.try_claim(kBytes);
    if (!claim) return false;
    fill<kBytes>(claim->bytes().data(), i);
    std::move(*claim).commit();
    return true;
  }
  RONDO_ALWAYS_INLINE bool receive(std::uint64_t& sum) {
    const auto message = ends.second.try_next();
    if (!message) return false;
    add<kBytes>(message->bytes().data(), sum);
    return true;
  }
  std::pair<Sender, Receiver> ends{must(open_pair(Kind::kUrl))};
};

template <std::size_t kBytes, class Kind = OfRecords>
struct ChannelSend : Channel<kBytes, Kind> {
  static std::string name() {
    return sized("Sender and Receiver", kBytes) + Kind::kName + ", send and next";
  }
  RONDO_ALWAYS_INLINE bool send(std::uint64_t i) {
    Words<kBytes> value;
    value.fill(i);
    return this->ends.first.try_send(std::as_bytes(std::span(value.words))) == Status::kOk;
  }
};

template <std::size_t kBytes>
struct ChannelInTurns : Channel<kBytes> {
  static constexpr std::uint64_t kBurst = 1;
  static std::string name() { return sized("Sender and Receiver", kBytes) + ", one at a time"; }
};

struct ChannelEmpty : Channel<8> {
  static std::string name() { return "Receiver, a look at an empty channel"; }
  void send(std::uint64_t) = delete;
  RONDO_ALWAYS_INLINE bool receive(std::uint64_t&) { return !ends.second.try_next(); }
};

// ---- through the typed handles -----------------------------------------------------------------

template <std::size_t kBytes>
struct Typed {
  using Value = Words<kBytes>;
  static std::string name() { return sized("TypedSender and TypedReceiver", kBytes); }
  RONDO_ALWAYS_INLINE bool send(std::uint64_t i) {
    Value value;
    value.fill(i);
    return sender.try_send(value) == Status::kOk;
  }
  RONDO_ALWAYS_INLINE bool receive(std::uint64_t& sum) {
    Value value;
    if (receiver.try_next(value) != Status::kOk) return false;
    value.add_to(sum);
    return true;
  }
  std::string url = "shm:hot-paths-" + std::to_string(getpid()) + "-" + std::to_string(kBytes);
  TypedSender<Value> sender{must(TypedSender<Value>::open(url, {.slots = kLap}))};
  TypedReceiver<Value> receiver{must(TypedReceiver<Value>::open(url))};
};

template <std::size_t kBytes>
struct TypedBatch : Typed<kBytes> {
  static constexpr std::uint64_t kStep = 32;
  static std::string name() { return Typed<kBytes>::name() + ", batches of 32"; }
  RONDO_ALWAYS_INLINE bool send(std::uint64_t i) {
    for (Words<kBytes>& value : values) value.fill(i++);
    std::span<const Words<kBytes>> left(values);
    return this->sender.try_send_all(left) == Status::kOk;
  }
  RONDO_ALWAYS_INLINE bool receive(std::uint64_t& sum) {
    const auto count = this->receiver.try_next_some(values);
    if (!count || *count != kStep) return false;
    for (const Words<kBytes>& value : values) value.add_to(sum);
    return true;
  }
  std::array<Words<kBytes>, kStep> values{};
};

// With one reader, which the writer looks after: it takes each value, one at a time.
template <std::size_t kBytes>
struct TypedLatest {
  static constexpr std::uint64_t kBurst = 1;
  using Value = Words<kBytes>;
  static std::string name() {
    return sized("LatestWriter and LatestReader, one at a time", kBytes);
  }
  RONDO_ALWAYS_INLINE bool send(std::uint64_t i) {
    Value value;
    value.fill(i);
    writer.store(value);
    return true;
  }
  RONDO_ALWAYS_INLINE bool receive(std::uint64_t& sum) {
    const auto value = reader.try_next();
    if (!value) return false;
    value->add_to(sum);
    return true;
  }
  std::string url = "shm:hot-paths-latest-" + std::to_string(getpid()) + std::to_string(kBytes);
  LatestWriter<Value> writer{must(LatestWriter<Value>::open(url))};
  LatestReader<Value> reader{must(LatestReader<Value>::open(url))};
};

using All = std::tuple<SpscPush<8>, SpscPush<64>, SpscClaim<8>, SpscClaim<64>, SpscInTurns<8>,
                       SpscInTurns<64>, SpscBatch<8>, SpscBatch<64>, SpscEmpty, RecordReserve<8>,
                       RecordReserve<64>, RecordClaim<8>, RecordClaim<64>, RecordInTurns<64>,
                       RecordBatch<8>, RecordBatch<64>, RecordEmpty, MpmcPush<8>, MpmcPush<64>,
                       MpmcBatch<8>, MpmcBatch<64>, Latest<8>, Latest<64>, FramePool, Channel<8>,
                       Channel<64>, ChannelSend<64>, ChannelInTurns<64>, ChannelEmpty,
                       Channel<64, OfSlots>, ChannelSend<64, OfSlots>, Typed<8>, Typed<64>,
                       TypedBatch<8>, TypedBatch<64>, TypedLatest<8>, TypedLatest<64>>;

}  // namespace rondo::bench::hot_paths
