// As frame_pool_kill_test.cpp, for RONDO_SOAK_SECONDS.
#include "process/frame_pool_kills.hpp"
#include "support/soak.hpp"

namespace rondo::testing {
namespace {

TEST(FramePoolKillSoak, ReadersAndProducersKilledAtRandom) {
  auto seed = static_cast<std::uint32_t>(random_seed());
  for (const SoakTime time(std::chrono::seconds(10)); !time.over() && !HasFailure(); ++seed) {
    kill_frame_readers(100, seed, 1 + seed % 8, 1 + seed % 3);
    kill_frame_producers(100, seed);
  }
}

}  // namespace
}  // namespace rondo::testing
