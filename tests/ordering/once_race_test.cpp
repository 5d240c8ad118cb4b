// once as threads on one mapping, with what is made in plain memory, for TSan: weakening D1, S1, S2
// or S3 makes it report a race, and so does S4 or S5 where one gave up or died before.
#include <gtest/gtest.h>
#include <unistd.h>

#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "rondo/sync/once.hpp"
#include "support/staged_member.hpp"

namespace rondo::testing {
namespace {

using sync::OncePart;
using Once = sync::basic_once<BellSystem, StagedMember>;

class OnceRace : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  void SetUp() override { alarm(120); }
  void TearDown() override { alarm(0); }
};

TEST_P(OnceRace, WhatWasDoneIsSeenByAll) {
  const std::set<std::uint32_t> living{tenure_of(0), tenure_of(1), tenure_of(2)};
  for (int round = 0; round < 200; ++round) {
    OncePart part{};
    if (round % 2 == 1) part.word.store(tenure_of(9), std::memory_order_relaxed);
    std::uint64_t made = 0;
    std::vector<std::thread> threads;
    for (std::uint32_t i = 0; i < 3; ++i) {
      threads.emplace_back([&, i] {
        const StagedMember self{tenure_of(i), &living, 0, GetParam()};
        Once once(part, self);
        const auto make = [&] {
          // The first two give up.
          if (++made < 3) throw std::runtime_error("not yet");
        };
        for (bool done = false; !done;) {
          try {
            once.call(make);
            done = true;
          } catch (const std::runtime_error&) {
          }
        }
        EXPECT_EQ(made, 3u);
      });
    }
    const StagedMember self{tenure_of(0), &living};
    const Once looks(part, self);
    while (!looks.done()) std::this_thread::yield();
    EXPECT_EQ(made, 3u);
    for (std::thread& thread : threads) thread.join();
  }
}

INSTANTIATE_TEST_SUITE_P(LooksBeforeSleeping, OnceRace, ::testing::Values(0u, 4u));

}  // namespace
}  // namespace rondo::testing
