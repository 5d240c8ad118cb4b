// A sleeper that is rung for, with what was published as plain memory: under ThreadSanitizer a
// weakened B1 or B2 is a data race.
#include <gtest/gtest.h>

#include <thread>

#include "rondo/core/mpmc_ring_sleepers.hpp"
#include "spec/mpmc_ring_fixture.hpp"

namespace rondo {
namespace {

TEST(MpmcSleepersRace, WhoSeesTheBellMovedSeesWhatWasPublished) {
  for (int round = 0; round < 200; ++round) {
    constexpr std::uint32_t kSleeper = 1;
    MpmcFixture<int> ring(4, 2);
    MpmcSleepers sleepers(ring.parts, MpmcSleepers::Side::kConsumers);
    const std::uint32_t before = sleepers.read_bell(kSleeper);
    sleepers.enter(kSleeper);
    int published = 0;

    std::thread publisher([&] {
      published = 1;
      EXPECT_EQ(sleepers.take_one(), kSleeper);
    });
    while (sleepers.read_bell(kSleeper) == before) std::this_thread::yield();
    const int seen = published;
    publisher.join();

    ASSERT_EQ(seen, 1);
  }
}

}  // namespace
}  // namespace rondo
