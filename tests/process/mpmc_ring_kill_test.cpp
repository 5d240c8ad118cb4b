// Participants of an MPMC ring are killed for real, at every so many of their instructions, and the
// kernel says who is dead. CI's share; mpmc_ring_kill_soak_test.cpp does each instruction.
#include <gtest/gtest.h>

#include <random>

#include "process/mpmc_real_kills.hpp"
#include "support/sanitizers.hpp"

namespace rondo::testing {
namespace {

// Strides are prime to what the stories are made of; where they begin differs from run to run. What
// AddressSanitizer adds makes many times as many instructions of the same steps.
constexpr std::uint64_t kVictimStride = kAddressSanitizer ? 101 : 17;
constexpr std::uint64_t kRecovererStride = kAddressSanitizer ? 1999 : 397;
constexpr std::size_t kImageStride = kAddressSanitizer ? 4 : 1;

std::uint64_t somewhere_below(std::uint64_t stride) {
  const std::uint64_t first = std::random_device{}() % stride;
  std::printf("first instruction: %llu\n", static_cast<unsigned long long>(first));
  return first;
}

TEST(MpmcKill, AParticipantKilledAtAnyInstructionIsHealed) {
  alarm(240);
  KillCounts counts;
  const std::uint64_t first = somewhere_below(kVictimStride);
  for (const auto& story : all_stories<MpmcDefaultPolicy>()) {
    kill_victim_everywhere(story, first, kVictimStride, counts);
  }
  report("victims", counts);
  EXPECT_EQ(counts.failures, 0u) << counts.first_failure;
  alarm(0);
}

TEST(MpmcKill, ARecovererKilledAtAnyInstructionIsReplaced) {
  alarm(240);
  KillCounts counts;
  const std::uint64_t first = somewhere_below(kRecovererStride);
  for (const auto& story : all_stories<MpmcDefaultPolicy>()) {
    kill_recoverer_everywhere(story, first, kRecovererStride, kImageStride, counts);
  }
  report("recoverers", counts);
  EXPECT_EQ(counts.failures, 0u) << counts.first_failure;
  alarm(0);
}

TEST(MpmcKill, AParticipantKilledWhileAttachingOrDetachingLeavesNothingBehind) {
  alarm(240);
  KillCounts counts;
  kill_while_attaching_and_detaching(0, counts);
  report("attaching and detaching", counts);
  EXPECT_EQ(counts.failures, 0u) << counts.first_failure;
  alarm(0);
}

}  // namespace
}  // namespace rondo::testing
