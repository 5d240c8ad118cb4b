// Any bytes as the segment of a record ring with several readers: attach, join, read, write, evict
// and leave between the scribbles of hostile peers, in every page. Nothing may be touched out of
// bounds, nothing may hang, nothing may abort.
#include <array>
#include <cstring>
#include <optional>

#include "input.hpp"
#include "rondo/core/record_ring.hpp"

using namespace rondo;

namespace {

constexpr std::uint32_t kReaders = 3;
volatile std::byte sink;

ReaderOptions take_options(fuzz::Input& input) {
  const auto drawn = input.take<std::uint8_t>();
  constexpr std::array kPolicies{ReaderPolicy::kReliable, ReaderPolicy::kLossy,
                                 ReaderPolicy::kLatest};
  constexpr std::array kStarts{ReaderStart::kOldest, ReaderStart::kNewest, ReaderStart::kSequence};
  constexpr std::array<const char*, 3> kNames{"", "a", "another, cut off where names end"};
  return {.policy = kPolicies[drawn % 3],
          .from = kStarts[drawn / 3 % 3],
          .sequence = input.take<std::uint16_t>(),
          .after_loss = kStarts[drawn / 9 % 2],
          .name = kNames[drawn / 18 % 3],
          .acknowledge = drawn < 128 ? Acknowledge::kLazily : Acknowledge::kEagerly};
}

void read_some(record_ring::Consumer& reader, unsigned steps) {
  for (unsigned i = 0; i < steps; ++i) {
    const ReadOutcome state = reader.try_peek();
    if (state == ReadOutcome::kEnd) reader.pass_end();
    if (state == ReadOutcome::kLost) continue;
    if (state != ReadOutcome::kMessage) return;
    for (std::size_t at = 0; at < reader.size(); ++at) sink = reader.data()[at];
    static_cast<void>(reader.intact());
    reader.give_back();
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
  const RecordParams params{std::uint64_t{64} << input.take<std::uint8_t>() % 6, kReaders};
  const auto layout = record_ring::layout_for(params);
  if (!layout) return 0;
  fuzz::Memory memory(layout->total_bytes);
  if (!record_ring::create(memory.bytes(), params)) __builtin_trap();

  std::optional<RecordParts> parts;
  std::optional<record_ring::Producer> producer;
  std::array<std::optional<record_ring::Consumer>, kReaders> readers;
  const auto act = [&](unsigned operation, unsigned steps) {
    auto& reader = readers[steps % kReaders];
    switch (operation) {
      case 2:
        if (auto attached = record_ring::attach(memory.bytes())) parts = *attached;
        break;
      case 3:
        if (!parts) break;
        producer.reset();
        if (auto attached = record_ring::Producer::attach(*parts)) {
          producer.emplace(std::move(attached).value());
        }
        break;
      case 4:
        if (parts && steps % kReaders < parts->readers && parts->readers > 1) {
          auto joined =
              record_ring::Consumer::join(parts->of_reader(steps % kReaders), take_options(input));
          reader.reset();
          if (joined) reader.emplace(std::move(joined).value());
        }
        break;
      case 5:
        if (reader) read_some(*reader, steps);
        break;
      case 6:
        if (producer) write_some(*producer, steps, input.take<std::uint16_t>());
        break;
      case 7:
        if (producer && steps % 4 == 0) producer->close();
        if (producer && steps % 4 == 1) {
          if (const auto held = producer->gating_reader()) producer->evict(held->reader);
        }
        if (reader && steps % 4 == 2) reader->leave();
        if (parts && steps % 4 == 3) {
          for (std::uint32_t i = 0; i < parts->readers; ++i) {
            static_cast<void>(read_stats(parts->consumer_at(i)));
          }
        }
        break;
    }
  };
  fuzz::live_among_hostile_peers(input, memory, layout->producer, act);
  return 0;
}
