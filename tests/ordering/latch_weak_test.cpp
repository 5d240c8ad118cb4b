// The latch under every reordering of loads that the C++ memory model allows: it opens once all
// have counted, what they did before is seen, and no wake is lost. Built with
// RONDO_ATOMIC_HEADER=support/weak_atomic.hpp.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <vector>

#include "rondo/sync/latch.hpp"
#include "support/weak_futex.hpp"

namespace rondo {
namespace {

using testing::WeakFutex;
using testing::WeakMember;
using testing::WeakSystem;
using Latch = sync::basic_latch<WeakSystem, WeakMember>;

constexpr std::uint64_t kExecutions = 2000;
constexpr std::uint32_t kThreads = 3;

std::uint64_t first_seed() {
  const char* given = std::getenv("RONDO_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

TEST(LatchWeak, ItOpensOnceAllHaveCountedAndNoWakeIsLost) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    sync::LatchPart part;
    part.begin(kThreads);
    Atomic<std::uint64_t> written[kThreads];
    std::uint32_t counted = 0;
    bool early = false;
    bool stale = false;
    WeakFutex::reset();
    weak::Execution execution(seed);
    std::vector<std::function<void()>> threads;
    for (std::uint32_t thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        const WeakMember self{WeakMember::tenure_of(thread)};
        Latch latch(part, self);
        // relaxed: the latch orders it.
        written[thread].store(1, std::memory_order_relaxed);
        ++counted;
        static_cast<void>(latch.arrive_and_wait());
        early = early || counted != kThreads;
        for (auto& word : written) {
          // relaxed: as above.
          stale = stale || word.load(std::memory_order_relaxed) == 0;
        }
      });
    }
    execution.run(std::move(threads));
    ASSERT_FALSE(early) << "RONDO_SEED=" << seed;
    ASSERT_FALSE(stale) << "RONDO_SEED=" << seed;
    ASSERT_EQ(WeakFutex::now().slices, 0u) << "RONDO_SEED=" << seed;
  }
}

}  // namespace
}  // namespace rondo
