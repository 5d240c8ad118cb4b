// A member of a segment, and whose death the test decides about: for primitives in plain memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <set>

#include "rondo/core/participants.hpp"

namespace rondo::testing {

// Who `generation` times took slot `slot`.
constexpr std::uint32_t tenure_of(std::uint32_t slot, std::uint32_t generation = 1) {
  return generation * kFirstTenure + slot;
}

struct StagedMember {
  std::uint32_t mine = 0;
  const std::set<std::uint32_t>* living = nullptr;  // null: all are dead but this one
  mutable std::atomic<std::uint32_t> asked{0};      // how often the kernel would have been
  std::uint32_t looks_before_sleep = 0;

  [[nodiscard]] std::uint32_t tenure() const noexcept { return mine; }
  [[nodiscard]] bool ended(std::uint32_t tenure) const noexcept {
    asked.fetch_add(1, std::memory_order_relaxed);  // relaxed: a count
    return tenure != mine && (living == nullptr || !living->contains(tenure));
  }
  [[nodiscard]] std::uint32_t looks() const noexcept { return looks_before_sleep; }
};

}  // namespace rondo::testing
