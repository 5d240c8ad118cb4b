// record_ring_kill_test.cpp for RONDO_SOAK_SECONDS; prints how many were killed.
#include <cstdio>

#include "process/record_ring_kills.hpp"
#include "support/soak.hpp"

namespace rondo::testing {
namespace {

TEST(RecordRingKillSoak, BothRolesAreKilledForAsLongAsAsked) {
  const SoakTime time(std::chrono::seconds(10));
  std::random_device random;
  unsigned kills = 0;
  while (!time.over() && !HasFailure()) {
    kill_producers(100, random());
    kill_consumers(100, random(), Acknowledge::kLazily);
    kill_consumers(100, random(), Acknowledge::kEagerly);
    kills += 300;
  }
  std::printf("%u killed\n", kills);
}

}  // namespace
}  // namespace rondo::testing
