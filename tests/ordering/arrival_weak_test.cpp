// A participant that is counted, under every reordering that the C++ memory model allows: whoever
// reads the count finds its pid, and does not take it for one that left in order. Built with
// RONDO_ATOMIC_HEADER=support/weak_atomic.hpp.
#include <gtest/gtest.h>

#include <cstdlib>

#include "rondo/core/arrival.hpp"
#include "support/weak_memory.hpp"

namespace rondo::testing {
namespace {

constexpr std::uint64_t kExecutions = 2000;

std::uint64_t first_seed() {
  const char* given = std::getenv("RONDO_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

TEST(ArrivalWeak, WhoIsCountedHasItsPidThere) {
  std::uint64_t counted = 0;
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    Atomic<std::uint32_t> pid{0};
    Atomic<std::uint32_t> generation{6};
    bool passed_for_left = false;
    weak::Execution execution(seed);
    execution.run({[&] { detail::say_arrived(pid, generation, 42, 7); },
                   [&] {
                     if (detail::arrivals(generation) != 7) return;
                     ++counted;
                     // relaxed: the count alone orders it here.
                     passed_for_left = pid.load(std::memory_order_relaxed) == 0;
                   }});
    ASSERT_FALSE(passed_for_left) << "RONDO_SEED=" << seed;
  }
  EXPECT_GT(counted, 0u);
}

}  // namespace
}  // namespace rondo::testing
