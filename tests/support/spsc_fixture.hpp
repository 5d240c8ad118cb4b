// An spsc ring whose every word a test can arrange and look at.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "rondo/core/spsc_ring.hpp"

namespace rondo::testing {

template <class T, std::size_t kCapacity>
struct SpscFixture {
  struct State {
    Position head = 0;
    Position tail = 0;
    std::array<T, kCapacity> slots{};
  };

  SpscFixture() : SpscFixture(State{}) {}
  explicit SpscFixture(const State& state) : slots(state.slots) {
    producer_part.tail.store(state.tail, std::memory_order_relaxed);
    consumer_part.head.store(state.head, std::memory_order_relaxed);
  }

  [[nodiscard]] SpscParts<T> parts() noexcept {
    return {&producer_part, &consumer_part, slots.data(), kCapacity};
  }
  [[nodiscard]] typename spsc_ring<T>::Producer producer() noexcept {
    return typename spsc_ring<T>::Producer(parts());
  }
  // Eager, unless told otherwise, so that a test sees at once what was given back.
  [[nodiscard]] typename spsc_ring<T>::Consumer consumer(
      Acknowledge acknowledge = Acknowledge::kEagerly, Pacing pacing = Pacing::kOff) noexcept {
    return typename spsc_ring<T>::Consumer(parts(), acknowledge, pacing);
  }
  [[nodiscard]] Position tail() const noexcept {
    return producer_part.tail.load(std::memory_order_relaxed);
  }
  [[nodiscard]] Position head() const noexcept {
    return consumer_part.head.load(std::memory_order_relaxed);
  }

  SpscProducerPart producer_part{};
  SpscConsumerPart consumer_part{};
  alignas(kSharingRange) std::array<T, kCapacity> slots;
};

}  // namespace rondo::testing
