// mpmc_ring_kill_test.cpp at each single instruction: tens of thousands of real kills. Goes over
// all stories with a stride, again and again from another instruction, until each had its turn or
// the time is over; prints how far it came.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <random>
#include <vector>

#include "process/mpmc_real_kills.hpp"
#include "support/soak.hpp"

namespace rondo::testing {
namespace {

using Story = testing::Story<MpmcDefaultPolicy>;

// `kill(story, first, stride, counts)` for each `first` below the stride, in random order.
template <class Kill>
void kill_everywhere(const char* who, std::uint64_t stride, Kill&& kill) {
  const SoakTime time(std::chrono::hours(24));
  std::vector<std::uint64_t> turns(stride);
  std::iota(turns.begin(), turns.end(), std::uint64_t{0});
  std::ranges::shuffle(turns, std::mt19937_64(std::random_device{}()));
  KillCounts counts;
  std::uint64_t done = 0;
  for (const std::uint64_t first : turns) {
    for (const Story& story : all_stories<MpmcDefaultPolicy>()) kill(story, first, stride, counts);
    ++done;
    if (time.over() || counts.failures != 0) break;
  }
  report(who, counts);
  std::printf("each instruction: %llu of %llu turns\n", static_cast<unsigned long long>(done),
              static_cast<unsigned long long>(stride));
  EXPECT_EQ(counts.failures, 0u) << counts.first_failure;
}

TEST(MpmcKillSoak, AParticipantKilledAtEachInstructionIsHealed) {
  kill_everywhere("victims", 17, kill_victim_everywhere);
}

TEST(MpmcKillSoak, ARecovererKilledAtEachInstructionIsReplaced) {
  kill_everywhere("recoverers", 397, [](const auto& story, auto first, auto stride, auto& counts) {
    kill_recoverer_everywhere(story, first, stride, 1, counts);
  });
}

TEST(MpmcKillSoak, AParticipantKilledWhileAttachingOrDetachingLeavesNothingBehind) {
  const SoakTime time(std::chrono::seconds(0));
  KillCounts counts;
  // Fewer instructions are left out the more time there is.
  for (std::uint64_t stride : {1009, 499, 251, 101, 53, 23, 11, 5, 1}) {
    kill_while_attaching_and_detaching(stride, counts);
    if (time.over() || counts.failures != 0) break;
  }
  report("attaching and detaching", counts);
  EXPECT_EQ(counts.failures, 0u) << counts.first_failure;
}

}  // namespace
}  // namespace rondo::testing
