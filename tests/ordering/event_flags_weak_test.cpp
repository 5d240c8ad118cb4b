// The event flags under every reordering of loads that the C++ memory model allows: each bit is
// taken once, what was done before it was set is seen, and no wake is lost. Built with
// RONDO_ATOMIC_HEADER=support/weak_atomic.hpp.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <vector>

#include "rondo/sync/event_flags.hpp"
#include "support/weak_futex.hpp"

namespace rondo {
namespace {

using testing::WeakFutex;
using testing::WeakMember;
using testing::WeakSystem;
using Flags = sync::basic_event_flags<WeakSystem, WeakMember>;

constexpr std::uint64_t kExecutions = 2000;

std::uint64_t first_seed() {
  const char* given = std::getenv("RONDO_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

TEST(EventFlagsWeak, EachBitIsTakenOnceWithWhatWasDoneBefore) {
  constexpr std::uint64_t kBits = 4;
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    sync::EventFlagsPart part;
    Atomic<std::uint64_t> written{0};
    std::uint32_t taken = 0;
    bool twice = false;
    bool stale = false;
    WeakFutex::reset();
    weak::Execution execution(seed);
    const auto take = [&](std::uint32_t thread, std::uint32_t bits) {
      const WeakMember self{WeakMember::tenure_of(thread)};
      Flags flags(part, self);
      while ((taken & bits) != bits) {
        const std::uint32_t got = flags.take_any(bits);
        twice = twice || (taken & got) != 0;
        taken |= got;
        // relaxed: the flags order it. The highest bit that was got was set last.
        const std::uint64_t seen = written.load(std::memory_order_relaxed);
        for (std::uint32_t bit = 0; bit < kBits; ++bit) {
          if ((got >> bit & 1) != 0 && seen <= bit) stale = true;
        }
      }
    };
    execution.run({[&] {
                     const WeakMember self{WeakMember::tenure_of(0)};
                     Flags flags(part, self);
                     for (std::uint64_t bit = 0; bit < kBits; ++bit) {
                       // relaxed: as above.
                       written.store(bit + 1, std::memory_order_relaxed);
                       flags.set(1u << bit);
                     }
                   },
                   [&] { take(1, 5); }, [&] { take(2, 10); }});
    ASSERT_EQ(taken, 15u);
    ASSERT_FALSE(twice) << "RONDO_SEED=" << seed;
    ASSERT_FALSE(stale) << "RONDO_SEED=" << seed;
    ASSERT_EQ(WeakFutex::now().slices, 0u) << "RONDO_SEED=" << seed;
  }
}

// One hands over by setting, the other one back by clearing.
TEST(EventFlagsWeak, WhatWasDoneBeforeABitWasClearedIsSeen) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    sync::EventFlagsPart part;
    Atomic<std::uint64_t> written{0};
    bool stale = false;
    bool cleared = false;
    WeakFutex::reset();
    weak::Execution execution(seed);
    execution.run({[&] {
                     const WeakMember self{WeakMember::tenure_of(0)};
                     Flags flags(part, self);
                     flags.set(1);
                     // The other one sleeps for ever if its wake was lost.
                     for (int i = 0; (flags.get() & 1) != 0; ++i) {
                       if (i == 10'000) return;
                     }
                     cleared = true;
                     // relaxed: the flags order it.
                     stale = written.load(std::memory_order_relaxed) != 7;
                   },
                   [&] {
                     const WeakMember self{WeakMember::tenure_of(1)};
                     Flags flags(part, self);
                     static_cast<void>(flags.wait_all(1));
                     // relaxed: as above.
                     written.store(7, std::memory_order_relaxed);
                     flags.clear(1);
                   }});
    ASSERT_TRUE(cleared) << "RONDO_SEED=" << seed;
    ASSERT_FALSE(stale) << "RONDO_SEED=" << seed;
  }
}

}  // namespace
}  // namespace rondo
