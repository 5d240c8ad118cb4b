// A waiter that is rung for, with what was published as plain memory: under ThreadSanitizer a
// weakened B1 or B2 is a data race.
#include <gtest/gtest.h>

#include <thread>

#include "rondo/core/mpmc_ring_waiters.hpp"
#include "spec/mpmc_ring_fixture.hpp"

namespace rondo {
namespace {

TEST(MpmcWaitersRace, WhoSeesTheBellMovedSeesWhatWasPublished) {
  for (int round = 0; round < 200; ++round) {
    constexpr std::uint32_t kWaiter = 1;
    MpmcFixture<int> ring(4, 2);
    MpmcWaiterSet waiters(ring.parts, MpmcWaiterSet::Side::kConsumers);
    const std::uint32_t before = waiters.read_bell(kWaiter);
    waiters.enter(kWaiter);
    int published = 0;

    std::thread publisher([&] {
      published = 1;
      EXPECT_EQ(waiters.take_one(), kWaiter);
    });
    while (waiters.read_bell(kWaiter) == before) std::this_thread::yield();
    const int seen = published;
    publisher.join();

    ASSERT_EQ(seen, 1);
  }
}

}  // namespace
}  // namespace rondo
