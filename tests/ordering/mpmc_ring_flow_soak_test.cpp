// The same as mpmc_ring_race_test.cpp, with at least 10^8 messages under oversubscription. Runs on
// until RONDO_SOAK_SECONDS have passed, if they are given.
#include <gtest/gtest.h>

#include <cstdio>

#include "ordering/mpmc_flow.hpp"
#include "support/soak.hpp"

namespace rondo {
namespace {

TEST(MpmcFlowSoak, AHundredMillionMessagesArriveOnceInTheirProducersOrder) {
  const testing::SoakTime time(std::chrono::seconds(0));
  constexpr std::uint64_t kEach = 2'500'000;
  constexpr std::uint64_t kWanted = 100'000'000;
  std::uint64_t messages = 0;
  while (messages < kWanted || !time.over()) {
    for (const testing::Flow& flow : {testing::Flow{4, 4, 1, 1024}, testing::Flow{4, 4, 1, 16},
                                      testing::Flow{8, 8, 16, 1024}, testing::Flow{2, 6, 3, 64}}) {
      testing::expect_flow(flow, kEach, 600);
      messages += kEach * flow.producers;
      ASSERT_FALSE(::testing::Test::HasFailure());
    }
  }
  std::printf("%llu messages\n", static_cast<unsigned long long>(messages));
}

}  // namespace
}  // namespace rondo
