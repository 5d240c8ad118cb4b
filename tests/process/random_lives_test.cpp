// Random lives on every kind of channel: whichever side comes, leaves, is killed, stopped or
// replaced, each message is accounted for. Seconds of what random_lives_soak_test.cpp does with a
// million events.
//
//   1. EveryMessageIsAccountedFor
//   2. AReceiverThatForgetsIsCaught
//   3. ASenderThatClaimsMoreThanItSentIsCaught
//   4. AnEndThatWasNotWrittenIsCaught
#include <gtest/gtest.h>

#include "process/random_lives.hpp"

namespace rondo::testing {
namespace {

using namespace lives;

TEST(RandomLives, EveryMessageIsAccountedFor) {
  std::uint64_t rounds = 0;
  const std::string wrong =
      tell_stories(random_seed(), [&](std::uint64_t) { return ++rounds >= scaled(3); });
  EXPECT_TRUE(wrong.empty()) << wrong;
}

// The books would show it: in one of a few stories at the latest.
bool caught(std::size_t channel, Careless careless) {
  Stories stories(random_seed());
  for (std::uint64_t i = 0; i < 40; ++i) {
    if (!stories.tell(kChannels[channel], i, careless).empty()) return true;
  }
  return false;
}

TEST(RandomLives, AReceiverThatForgetsIsCaught) {
  for (const std::size_t channel : {0, 4, 6, 10}) {
    EXPECT_TRUE(caught(channel, Careless::kReceiverForgets)) << kChannels[channel].name;
  }
}

TEST(RandomLives, ASenderThatClaimsMoreThanItSentIsCaught) {
  for (const std::size_t channel : {0, 6}) {
    EXPECT_TRUE(caught(channel, Careless::kSenderClaims)) << kChannels[channel].name;
  }
}

TEST(RandomLives, AnEndThatWasNotWrittenIsCaught) {
  for (const std::size_t channel : {0, 4, 10}) {
    EXPECT_TRUE(caught(channel, Careless::kEndIsDenied)) << kChannels[channel].name;
  }
}

}  // namespace
}  // namespace rondo::testing
