// A record ring with several readers, each a process: overrun, killed and hostile ones. CI's share
// of record_readers_kill_soak_test.cpp.
#include "process/record_readers_kills.hpp"

namespace rondo::testing {
namespace {

class RecordReadersKills : public Watchdog {
 protected:
  std::uint32_t seed_ = static_cast<std::uint32_t>(random_seed());
};

TEST_F(RecordReadersKills, ReadersOfAllPoliciesAreOverrunKilledAndComeBackByName) {
  kill_readers(30, seed_, 3);
}
TEST_F(RecordReadersKills, EightReaders) { kill_readers(30, seed_, 8); }
TEST_F(RecordReadersKills, SixtyFourReaders) { kill_readers(10, seed_, 64); }
TEST_F(RecordReadersKills, ReadersGoOnWithTheSuccessorOfAKilledProducer) {
  kill_producers_of_readers(100, seed_);
}
TEST_F(RecordReadersKills, AHostileReaderHarmsNeitherTheProducerNorTheOthers) {
  scribble(scaled(40'000), seed_);
}

TEST_F(RecordReadersKills, AReaderThatDoesNotAskWhetherItsRecordIsIntactIsCaught) {
  ReadersRing ring(4096, 2);
  auto producer = record_ring::Producer::attach(ring.parts()).value();
  const Child reader(
      [&] { return read_until_killed(ring, 0, ReaderPolicy::kLossy, seed_, Care::kNot); });
  while (ring.log().wrong[0] == kNothingWrong) ASSERT_TRUE(put_record(producer, ring));
  EXPECT_EQ(ring.log().wrong[0], kTorn);
}

}  // namespace
}  // namespace rondo::testing
