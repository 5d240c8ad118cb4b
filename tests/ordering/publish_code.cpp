// What publish_code.py looks at: the hot paths, each as a function of its own. Not a test by
// itself.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "rondo/core/record_ring.hpp"
#include "rondo/core/spsc_ring.hpp"
#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"

using namespace rondo;  // NOLINT: this file is nothing but calls

extern "C" {

// Straight-line code: no call at all.
void straight_spsc_commit(spsc_ring<std::uint64_t>::Producer& producer) { producer.commit(); }
bool straight_spsc_push(spsc_ring<std::uint64_t>::Producer& producer, std::uint64_t value) {
  return producer.try_push(value);
}
void straight_record_commit(record_ring::Producer& producer) { producer.commit(64); }

// Calls are on paths marked unlikely: a full or empty ring, a sleeping peer.
bool plain_spsc_pop(spsc_ring<std::uint64_t>::Consumer& consumer, std::uint64_t& value) {
  return consumer.try_pop(value);
}
bool plain_record_send(record_ring::Producer& producer, const void* message) {
  std::byte* bytes = producer.try_reserve(64);
  if (bytes == nullptr) return false;
  std::memcpy(bytes, message, 64);
  producer.commit(64);
  return true;
}
bool plain_record_receive(record_ring::Consumer& consumer, void* message) {
  if (consumer.try_peek() != ReadOutcome::kMessage) return false;
  std::memcpy(message, consumer.data(), 64);
  consumer.give_back();
  return true;
}

// Beside the way of a record, each of these has that of kind=mpmc, where a claim is one locked
// instruction.
void handle_send(Sender& sender, const std::byte* message) {
  static_cast<void>(sender.try_send({message, 64}));
}
void handle_receive(Receiver& receiver, void* message) {
  if (const auto got = receiver.try_next()) std::memcpy(message, got->bytes().data(), 8);
}

// What the check has to find, or it is blind.
void fenced_store(std::atomic<std::uint64_t>& word) { word.store(1, std::memory_order_seq_cst); }
void fenced_fence(std::atomic<std::uint64_t>& word) {
  word.store(1, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
}
void fenced_add(std::atomic<std::uint64_t>& word) { word.fetch_add(1, std::memory_order_relaxed); }
}
