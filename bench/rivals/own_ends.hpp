// Rondo's own ways between two processes: the handles, and the rings in static use.
#pragma once

#include <algorithm>
#include <span>
#include <string>

#include "rivals/engine.hpp"
#include "rondo/core/record_ring.hpp"
#include "rondo/core/spsc_ring.hpp"
#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"

namespace rondo::bench {

template <class T>
T value_or_fail(Result<T>&& result) {
  if (!result) fail(result.error().message);
  return std::move(result).value();
}

// Of each ring. Eight of the largest message have to fit.
inline std::size_t capacity_for(std::size_t message_bytes) {
  return std::max<std::size_t>(message_bytes * 8, ChannelOptions::kDefaultCapacity);
}

// A ring each way, through Sender and Receiver.
class RingEnds {
 public:
  static constexpr Manner kManner{.spins = true};

  RingEnds(const Place& place, const Task& task)
      : there_(url(place, task, "there")),
        back_(url(place, task, "back")),
        // Each side makes its own ring before it waits for the other's.
        sender_(value_or_fail(Sender::open(place.answers ? back_ : there_))),
        receiver_(value_or_fail(Receiver::open(place.answers ? there_ : back_))) {}

  RONDO_ALWAYS_INLINE void send(std::size_t bytes, std::uint64_t i) {
    auto claim = sender_.claim(bytes);
    if (!claim) fail("a message could not be sent");
    write_message(claim->bytes().data(), bytes, i);
    std::move(*claim).commit();
  }
  RONDO_ALWAYS_INLINE void receive(Checker& checker, std::size_t bytes, std::uint64_t i) {
    auto message = receiver_.next();
    if (!message || message->size() != bytes) fail("a message did not arrive");
    checker.read_message(message->bytes().data(), bytes, i);
  }

 private:
  static std::string url(const Place& place, const Task& task, const char* way) {
    return "shm:" + place.name + "-" + std::to_string(task.number) + "-" + way +
           "?capacity=" + std::to_string(capacity_for(task.bytes));
  }

  std::string there_, back_;
  Sender sender_;
  Receiver receiver_;
};

// An spsc ring each way.
class SlotEnds {
 public:
  static constexpr Manner kManner{.spins = true};
  using Ring = spsc_ring<raw_slots>;

  static void prepare(const Place& place, const Task& task) {
    for (std::byte* way : {place.way_out(), place.way_in()}) {
      value_or_fail(Ring::create(memory_of(way, task.bytes), params(task.bytes)));
    }
  }
  SlotEnds(const Place& place, const Task& task)
      : producer_(value_or_fail(Ring::attach(memory_of(place.way_out(), task.bytes)))),
        consumer_(value_or_fail(Ring::attach(memory_of(place.way_in(), task.bytes)))) {}

  RONDO_ALWAYS_INLINE void send(std::size_t bytes, std::uint64_t i) {
    std::byte* slot;
    while ((slot = producer_.try_reserve()) == nullptr) cpu_relax();
    write_message(slot, bytes, i);
    producer_.commit();
  }
  RONDO_ALWAYS_INLINE void receive(Checker& checker, std::size_t bytes, std::uint64_t i) {
    const std::byte* slot;
    while ((slot = consumer_.try_peek()) == nullptr) cpu_relax();
    checker.read_message(slot, bytes, i);
    consumer_.give_back();
  }

 private:
  // As many bytes as the other ring has, and at most 1024 slots.
  static SpscParams params(std::size_t bytes) {
    return {.capacity = std::min<std::size_t>(capacity_for(bytes) / bytes, 1024),
            .slot_bytes = static_cast<std::uint32_t>(bytes)};
  }
  static std::span<std::byte> memory_of(std::byte* way, std::size_t bytes) {
    return {way, value_or_fail(Ring::layout_for(params(bytes))).total_bytes};
  }

  Ring::Producer producer_;
  Ring::Consumer consumer_;
};

// A record ring each way.
class RecordEnds {
 public:
  static constexpr Manner kManner{.spins = true};

  static void prepare(const Place& place, const Task& task) {
    for (std::byte* way : {place.way_out(), place.way_in()}) {
      const auto ring = memory_of(way, task.bytes);
      std::fill(ring.begin(), ring.end(), std::byte{0});
      if (const auto made = record_ring::create(ring, params(task.bytes)); !made) {
        fail(made.error().message);
      }
    }
  }
  RecordEnds(const Place& place, const Task& task)
      : producer_(record_ring::Producer::attach(parts(place.way_out(), task.bytes)).value()),
        consumer_(record_ring::Consumer::attach(parts(place.way_in(), task.bytes)).value()) {}

  RONDO_ALWAYS_INLINE void send(std::size_t bytes, std::uint64_t i) {
    std::byte* record;
    while ((record = producer_.try_reserve(bytes)) == nullptr) cpu_relax();
    write_message(record, bytes, i);
    producer_.commit(bytes);
  }
  RONDO_ALWAYS_INLINE void receive(Checker& checker, std::size_t bytes, std::uint64_t i) {
    while (consumer_.try_peek() != ReadOutcome::kMessage) cpu_relax();
    if (consumer_.size() != bytes) fail("a record of another size arrived");
    checker.read_message(consumer_.data(), bytes, i);
    consumer_.give_back();
  }

 private:
  static RecordParams params(std::size_t bytes) { return {.capacity = capacity_for(bytes)}; }
  static std::span<std::byte> memory_of(std::byte* way, std::size_t bytes) {
    return {way, value_or_fail(record_ring::layout_for(params(bytes))).total_bytes};
  }
  static RecordParts parts(std::byte* way, std::size_t bytes) {
    return value_or_fail(record_ring::attach(memory_of(way, bytes)));
  }

  record_ring::Producer producer_;
  record_ring::Consumer consumer_;
};

}  // namespace rondo::bench
