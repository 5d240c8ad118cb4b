// Two processes on one record ring, one of which is killed again and again. CI's share of
// record_ring_kill_soak_test.cpp.
#include "process/record_ring_kills.hpp"

namespace rondo::testing {
namespace {

constexpr unsigned kKills = 250;

class RecordRingKills : public Watchdog {
 protected:
  std::uint32_t seed_ = static_cast<std::uint32_t>(random_seed());
};

TEST_F(RecordRingKills, WhatAKilledProducerCommittedIsReadAndItsSuccessorGoesOn) {
  kill_producers(kKills, seed_);
}
TEST_F(RecordRingKills, ASuccessorOfAKilledLazyConsumerMissesNothing) {
  kill_consumers(kKills, seed_, Acknowledge::kLazily);
}
TEST_F(RecordRingKills, ASuccessorOfAKilledEagerConsumerReadsAtMostOneRecordAgain) {
  kill_consumers(kKills, seed_, Acknowledge::kEagerly);
}

}  // namespace
}  // namespace rondo::testing
