// random_lives_test.cpp until a million events, or RONDO_SOAK_SECONDS have passed: so a run of
// `./dev soak` without a time, or with a long one, has a million.
#include <gtest/gtest.h>

#include "process/random_lives.hpp"
#include "support/soak.hpp"

namespace rondo::testing {
namespace {

TEST(RandomLivesSoak, EveryMessageIsAccountedFor) {
  const SoakTime time(std::chrono::hours(24));
  const std::string wrong = lives::tell_stories(
      random_seed(), [&](std::uint64_t events) { return events >= 1'000'000 || time.over(); });
  EXPECT_TRUE(wrong.empty()) << wrong;
}

}  // namespace
}  // namespace rondo::testing
