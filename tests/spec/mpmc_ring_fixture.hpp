// An MPMC ring on the heap whose words a test may arrange and look at.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <set>
#include <vector>

#include "rondo/core/mpmc_ring.hpp"

namespace rondo {

// A test's word on who lives.
struct FakeLiveness {
  std::set<std::uint32_t> dead;
  std::set<std::uint32_t> locked;  // by a recoverer

  bool is_dead(std::uint32_t who) { return dead.contains(who) && !locked.contains(who); }
  bool try_lock_dead(std::uint32_t who) { return is_dead(who) && locked.insert(who).second; }
  void unlock(std::uint32_t who) { locked.erase(who); }
};
static_assert(MpmcLiveness<FakeLiveness>);

template <class T, class Policy = MpmcDefaultPolicy>
struct MpmcFixture {
  using Ring = mpmc_ring<T, Policy>;
  using Producer = typename Ring::Producer;
  using Consumer = typename Ring::Consumer;

  explicit MpmcFixture(const MpmcParams& ring_params)
      : params(ring_params),
        bytes(Ring::layout_for(params)->total_bytes),
        memory(static_cast<std::byte*>(operator new(bytes, kAlignment))),
        parts(Ring::create({zeroed(memory.get(), bytes), bytes}, params).value()),
        ring(parts) {}
  explicit MpmcFixture(std::uint64_t capacity, std::uint32_t participants = 8)
      : MpmcFixture({.capacity = capacity, .participants = participants}) {}

  // An empty ring whose next position is `position`.
  void start_at(Position position) {
    parts.positions->tail = position;
    parts.positions->head = position;
    for (std::uint64_t i = 0; i < parts.capacity; ++i) {
      parts.state_at(position + i) = parts.lap_of(position + i);
    }
  }
  [[nodiscard]] std::uint64_t word(Position p, SlotKind kind, std::uint32_t owner = 0) const {
    return mpmc_state::make(parts.lap_of(p), kind, owner);
  }
  [[nodiscard]] std::uint64_t state(Position p) const { return parts.state_at(p).load(); }
  [[nodiscard]] Position tail() const { return parts.positions->tail.load(); }
  [[nodiscard]] Position head() const { return parts.positions->head.load(); }
  [[nodiscard]] std::uint64_t claiming(std::uint32_t who) const {
    return parts.participants[who].claiming.load();
  }
  [[nodiscard]] std::uint64_t taking(std::uint32_t who) const {
    return parts.participants[who].taking.load();
  }
  // What all words of the ring, slots included, hold now.
  [[nodiscard]] std::vector<std::byte> snapshot() const {
    return {memory.get(), memory.get() + bytes};
  }

  static std::byte* zeroed(std::byte* at, std::size_t size) {
    return static_cast<std::byte*>(std::memset(at, 0, size));
  }

  MpmcParams params;
  std::size_t bytes;
  static constexpr std::align_val_t kAlignment{kPartAlignment};
  struct Free {
    void operator()(std::byte* at) const { operator delete(at, kAlignment); }
  };
  std::unique_ptr<std::byte, Free> memory;
  MpmcParts parts;
  Ring ring;
};

// Everything that `consumer` can get, in order.
template <class Consumer, class T = std::uint64_t>
std::vector<T> drain(Consumer& consumer) {
  std::vector<T> result;
  for (T value; consumer.try_pop(value);) result.push_back(value);
  return result;
}

}  // namespace rondo
