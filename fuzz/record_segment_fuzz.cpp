// Any bytes as a record ring's segment: attach, read and write between the scribbles of a hostile
// peer. Nothing may be touched out of bounds, nothing may hang, nothing may abort.
#include <cstring>
#include <optional>
#include <string>

#include "input.hpp"
#include "rondo/core/record_ring.hpp"

using namespace rondo;

namespace {

volatile std::byte sink;

void read_some(record_ring::Consumer& consumer, unsigned steps) {
  for (unsigned i = 0; i < steps; ++i) {
    const ReadOutcome state = consumer.try_peek();
    if (state == ReadOutcome::kEnd) consumer.pass_end();
    if (state != ReadOutcome::kMessage) return;
    for (std::size_t at = 0; at < consumer.size(); ++at) sink = consumer.data()[at];
    consumer.give_back();
  }
}

void write_some(record_ring::Producer& producer, unsigned steps, std::size_t size) {
  for (unsigned i = 0; i < steps; ++i) {
    std::byte* bytes = producer.try_reserve(size);
    if (bytes == nullptr) return;
    std::memset(bytes, 0xee, size);
    producer.commit(size);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::uint8_t shape = input.take<std::uint8_t>();
  const std::uint64_t capacity = std::uint64_t{64} << shape % 6;
  // In half of the rings the producer goes back early.
  const std::uint64_t window = shape % 12 < 6 ? EarlyWrap::kWindow : 64;
  const auto layout = record_ring::layout_for({capacity});
  fuzz::Memory memory(layout->total_bytes);
  if (!record_ring::create(memory.bytes(), {capacity})) __builtin_trap();

  std::optional<RecordParts> parts;
  std::optional<record_ring::Producer> producer;
  std::optional<record_ring::Consumer> consumer;
  const auto act = [&](unsigned operation, unsigned steps) {
    switch (operation) {
      case 2:
        if (auto attached = record_ring::attach(memory.bytes())) parts = *attached;
        break;
      case 3:
        if (!parts) break;
        producer.reset();
        if (auto attached = record_ring::Producer::attach(*parts, window)) {
          producer.emplace(std::move(attached).value());
        }
        break;
      case 4:
        if (!parts) break;
        consumer.reset();
        if (auto attached = record_ring::Consumer::attach(*parts)) {
          consumer.emplace(std::move(attached).value());
        }
        break;
      case 5:
        if (consumer) read_some(*consumer, steps);
        break;
      case 6:
        if (producer) write_some(*producer, steps, input.take<std::uint16_t>());
        break;
      case 7:
        if (producer) producer->close();
        break;
    }
  };
  fuzz::live_among_hostile_peers(input, memory, layout->producer, act);
  return 0;
}
