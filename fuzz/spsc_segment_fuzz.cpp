// Any bytes as an spsc ring's segment: as record_segment_fuzz.cpp, for spsc_ring.
#include <cstring>
#include <memory>
#include <optional>

#include "input.hpp"
#include "rondo/core/spsc_ring.hpp"

using namespace rondo;

namespace {
struct Slot {
  std::uint64_t words[3];
};
using Ring = spsc_ring<Slot>;
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const SpscParams params{.capacity = std::uint64_t{1} << input.take<std::uint8_t>() % 6};
  const auto layout = Ring::layout_for(params);
  fuzz::Memory memory(layout->total_bytes);
  if (!Ring::create(memory.bytes(), params)) __builtin_trap();

  std::optional<Ring::Parts> parts;
  std::unique_ptr<Ring::Producer> producer;
  std::unique_ptr<Ring::Consumer> consumer;
  const auto act = [&](unsigned operation, unsigned steps) {
    switch (operation) {
      case 2:
        if (auto attached = Ring::attach(memory.bytes())) parts = *attached;
        break;
      case 3:
        if (parts) producer = std::make_unique<Ring::Producer>(*parts);
        break;
      case 4:
        if (parts) consumer = std::make_unique<Ring::Consumer>(*parts);
        break;
      case 5:
        if (consumer) {
          Slot out{};
          for (unsigned i = 0; i < steps && consumer->try_pop(out); ++i) {
          }
        }
        break;
      case 6:
        if (producer) {
          for (unsigned i = 0; i < steps && producer->try_push(Slot{{i, i, i}}); ++i) {
          }
        }
        break;
      case 7:
        if (producer) {
          if (auto claim = producer->try_claim_some(steps)) {
            for (Slot& slot : claim->first()) slot = Slot{};
            for (Slot& slot : claim->second()) slot = Slot{};
            claim->shrink(claim->size() / 2);
            std::move(*claim).commit();
          }
        }
        if (consumer) {
          if (auto messages = consumer->try_next_some(steps)) {
            std::uint64_t sum = 0;
            for (const Slot& slot : messages->first()) sum += slot.words[0];
            for (const Slot& slot : messages->second()) sum += slot.words[0];
            [[maybe_unused]] static volatile std::uint64_t sink;
            sink = sum;
          }
        }
        break;
    }
  };
  fuzz::live_among_hostile_peers(input, memory, layout->producer, act);
  return 0;
}
