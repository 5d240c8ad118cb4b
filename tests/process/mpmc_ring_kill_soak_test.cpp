// mpmc_ring_kill_test.cpp at each single instruction: tens of thousands of real kills.
#include <gtest/gtest.h>

#include "process/mpmc_real_kills.hpp"

namespace rondo::testing {
namespace {

TEST(MpmcKillSoak, AParticipantKilledAtEachInstructionIsHealed) {
  KillCounts counts;
  for (const auto& story : all_stories<MpmcSound>()) kill_victim_everywhere(story, 0, 1, counts);
  report("victims", counts);
  EXPECT_EQ(counts.failures, 0u) << counts.first_failure;
}

TEST(MpmcKillSoak, ARecovererKilledAtEachInstructionIsReplaced) {
  KillCounts counts;
  for (const auto& story : all_stories<MpmcSound>()) {
    kill_recoverer_everywhere(story, 0, 1, counts);
  }
  report("recoverers", counts);
  EXPECT_EQ(counts.failures, 0u) << counts.first_failure;
}

TEST(MpmcKillSoak, AParticipantKilledWhileAttachingOrDetachingLeavesNothingBehind) {
  KillCounts counts;
  kill_while_attaching_and_detaching(101, counts);
  report("attaching and detaching", counts);
  EXPECT_EQ(counts.failures, 0u) << counts.first_failure;
}

}  // namespace
}  // namespace rondo::testing
