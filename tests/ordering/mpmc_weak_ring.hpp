// An MPMC ring of simulated words, for the weak-memory tests: each keeps a history of its own.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "rondo/core/mpmc_ring.hpp"

namespace rondo {

inline std::uint64_t first_seed() {
  const char* given = std::getenv("RONDO_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

struct Words {
  std::uint64_t value;
};
using Ring = mpmc_ring<Words>;

// Atomics that keep their own history need real construction.
struct WeakRing {
  explicit WeakRing(std::uint64_t slots)
      : storage(slots * 2), participants(4), positions(std::make_unique<MpmcPositions>()) {
    parts = detail::mpmc_parts_at(
        nullptr, {.capacity = slots, .slot_bytes = 8, .participants = 4, .sized = false});
    parts.positions = positions.get();
    parts.participants = participants.data();
    parts.slots = reinterpret_cast<std::byte*>(storage.data());
  }
  std::vector<Atomic<std::uint64_t>> storage;  // state and payload in turn
  std::vector<MpmcParticipantPart> participants;
  std::unique_ptr<MpmcPositions> positions;
  MpmcParts parts{};
};

inline void write(Words& slot, std::uint64_t value) {
  // relaxed: the ring must publish it.
  reinterpret_cast<Atomic<std::uint64_t>*>(&slot)->store(value, std::memory_order_relaxed);
}
inline std::uint64_t read(const Words& slot) {
  // relaxed: as above.
  return reinterpret_cast<const Atomic<std::uint64_t>*>(&slot)->load(std::memory_order_relaxed);
}

}  // namespace rondo
