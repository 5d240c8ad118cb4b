// The latch as threads on one mapping, with what was done in plain memory, for TSan: weakening C1
// or Z1 makes it report a race.
#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "rondo/sync/latch.hpp"
#include "support/staged_member.hpp"

namespace rondo::testing {
namespace {

using Latch = sync::basic_latch<BellSystem, StagedMember>;

TEST(LatchRace, WhatAllDidIsSeenByAll) {
  alarm(120);
  constexpr std::uint32_t kThreads = 3;
  for (int round = 0; round < 300; ++round) {
    sync::LatchPart part{};
    part.begin(kThreads);
    std::uint64_t done[kThreads] = {};
    std::vector<std::thread> threads;
    for (std::uint32_t i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        const StagedMember self{tenure_of(i)};
        Latch latch(part, self);
        done[i] = 1;
        EXPECT_TRUE(latch.arrive_and_wait());
        for (const std::uint64_t one : done) EXPECT_EQ(one, 1u);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  alarm(0);
}

}  // namespace
}  // namespace rondo::testing
