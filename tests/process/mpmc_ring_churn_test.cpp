// Workers on an MPMC ring are killed at random, stopped and continued, and replaced: nothing
// committed is lost, nothing torn, nothing twice without a mark, each producer's messages in order,
// and the capacity is whole in the end.
#include <gtest/gtest.h>

#include "process/mpmc_churn.hpp"

namespace rondo::testing {
namespace {

TEST(MpmcChurn, TwoThousandKillsLeaveTheBooksBalanced) {
  alarm(280);
  const auto at_once = [] { return true; };
  EXPECT_EQ(churn(4, 700, at_once), "");
  EXPECT_EQ(churn(16, 700, at_once), "");
  EXPECT_EQ(churn(256, 700, at_once), "");
  alarm(0);
}

}  // namespace
}  // namespace rondo::testing
