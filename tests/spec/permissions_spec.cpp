// Contract of Permissions. Each line has a test of the same name, in this order.
//  1. TheyAreTheUsersAloneUnlessSaidOtherwise
//  2. TheyAreWrittenAndComparedAsNumbers
//  3. AnyBitForOthersSharesThem
//  4. TheGroupIsInIfItMayReadAndWrite
#include "rondo/core/permissions.hpp"

#include <gtest/gtest.h>

namespace rondo {
namespace {

TEST(Permissions, TheyAreTheUsersAloneUnlessSaidOtherwise) {
  EXPECT_EQ(Permissions().bits(), 0600u);
  EXPECT_FALSE(Permissions().shared());
}

TEST(Permissions, TheyAreWrittenAndComparedAsNumbers) {
  struct Options {
    Permissions mode;
  };
  const Options options{.mode = 0640};
  EXPECT_EQ(options.mode, 0640u);
  EXPECT_EQ(options.mode & 0007u, 0u);
}

TEST(Permissions, AnyBitForOthersSharesThem) {
  for (unsigned bit = 0; bit < 9; ++bit) {
    EXPECT_EQ(Permissions(0600u | 1u << bit).shared(), bit < 6) << bit;
  }
}

TEST(Permissions, TheGroupIsInIfItMayReadAndWrite) {
  EXPECT_TRUE(Permissions(0660).let_group_in());
  for (const unsigned bits : {0600u, 0640u, 0620u, 0606u}) {
    EXPECT_FALSE(Permissions(bits).let_group_in());
  }
}

}  // namespace
}  // namespace rondo
