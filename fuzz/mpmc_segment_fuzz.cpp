// Any bytes as an MPMC ring's segment: as record_segment_fuzz.cpp, for mpmc_ring, with recovery of
// participants that are declared dead.
#include <cstring>
#include <memory>
#include <optional>

#include "input.hpp"
#include "rondo/core/mpmc_ring.hpp"

using namespace rondo;

namespace {

constexpr std::uint32_t kParticipants = 4;
using Ring = mpmc_ring<>;

struct Declared {
  std::uint32_t dead = 0;
  bool is_dead(std::uint32_t who) const noexcept { return (dead >> (who % 32) & 1) != 0; }
  bool try_lock_dead(std::uint32_t who) const noexcept { return is_dead(who); }
  void unlock(std::uint32_t) const noexcept {}
};

volatile std::byte sink;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  MpmcParams params{.capacity = std::uint64_t{2} << input.take<std::uint8_t>() % 5};
  params.participants = kParticipants;
  params.slot_bytes = 24;
  const auto layout = Ring::layout_for(params);
  fuzz::Memory memory(layout->total_bytes);
  if (!Ring::create(memory.bytes(), params)) __builtin_trap();

  std::optional<Ring> ring;
  std::unique_ptr<Ring::Producer> producer;
  std::unique_ptr<Ring::Consumer> consumer;
  Declared liveness;
  const auto act = [&](unsigned operation, unsigned count) {
    switch (operation) {
      case 2:
        if (auto attached = Ring::attach(memory.bytes())) ring = *attached;
        break;
      case 3:
        if (ring && count < ring->parts().participant_count) {
          producer = std::make_unique<Ring::Producer>(*ring, count);
        }
        break;
      case 4:
        if (ring && count < ring->parts().participant_count) {
          consumer = std::make_unique<Ring::Consumer>(*ring, count);
        }
        break;
      case 5:
        if (!consumer) break;
        if (auto messages = consumer->try_next_some(count + 1)) {
          for (std::uint32_t i = 0; i < messages->size(); ++i) {
            for (const std::byte byte : (*messages)[i]) sink = byte;
          }
        }
        break;
      case 6:
        if (!producer) break;
        if (auto claim = producer->try_claim_some(count + 1)) {
          for (std::uint32_t i = 0; i < claim->size(); ++i) {
            const auto bytes = (*claim)[i];
            std::memset(bytes.data(), 0xee, bytes.size());
          }
          claim->shrink(count % (claim->size() + 1));
          std::move(*claim).commit();
        }
        break;
      case 7:
        liveness.dead = input.take<std::uint8_t>();
        if (ring) (void)ring->recovery(count % kParticipants).all(liveness);
        break;
    }
  };
  fuzz::live_among_hostile_peers(input, memory, layout->positions, act);
  return 0;
}
