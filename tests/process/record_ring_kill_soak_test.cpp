// record_ring_kill_test.cpp for RONDO_SOAK_SECONDS; prints how many were killed.
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "process/record_ring_kills.hpp"

namespace rondo::testing {
namespace {

TEST(RecordRingKillSoak, BothRolesAreKilledForAsLongAsAsked) {
  const char* given = std::getenv("RONDO_SOAK_SECONDS");
  const std::chrono::seconds length(given != nullptr ? std::atoi(given) : 10);
  const auto end = std::chrono::steady_clock::now() + length;
  std::random_device random;
  unsigned kills = 0;
  while (std::chrono::steady_clock::now() < end && !HasFailure()) {
    kill_producers(100, random());
    kill_consumers(100, random(), Acknowledge::kLazily);
    kill_consumers(100, random(), Acknowledge::kEagerly);
    kills += 300;
  }
  std::printf("%u killed\n", kills);
}

}  // namespace
}  // namespace rondo::testing
