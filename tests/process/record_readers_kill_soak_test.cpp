// record_readers_kill_test.cpp for RONDO_SOAK_SECONDS; prints how many were killed.
#include <cstdio>

#include "process/record_readers_kills.hpp"
#include "support/soak.hpp"

namespace rondo::testing {
namespace {

TEST(RecordReadersKillSoak, ReadersAndProducersAreKilledForAsLongAsAsked) {
  const SoakTime time(std::chrono::seconds(10));
  std::random_device random;
  unsigned kills = 0;
  while (!time.over() && !HasFailure()) {
    kill_readers(10, random(), 3);
    kill_readers(10, random(), 8);
    kill_producers_of_readers(30, random());
    scribble(10'000, random());
    kills += 50;
  }
  std::printf("%u killed\n", kills);
}

}  // namespace
}  // namespace rondo::testing
