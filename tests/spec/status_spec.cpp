// Contract of Status and Polled. Each line has a test of the same name, in this order.
//  1. EveryStatusHasATextOfItsOwn
//  2. APolledValueIsThereOrAStatusIs
#include "rondo/transports/status.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string_view>
#include <utility>

namespace rondo {
namespace {

TEST(Status, EveryStatusHasATextOfItsOwn) {
  std::set<std::string_view> texts;
  for (int i = 0; i <= static_cast<int>(Status::kNoMemory); ++i) {
    const std::string_view text = to_string(static_cast<Status>(i));
    EXPECT_FALSE(text.empty());
    EXPECT_TRUE(texts.insert(text).second) << text;
  }
  EXPECT_EQ(to_string(static_cast<Status>(255)), "unknown status");
}

TEST(Polled, APolledValueIsThereOrAStatusIs) {
  Polled<std::unique_ptr<int>> value(std::in_place, std::make_unique<int>(7));
  ASSERT_TRUE(value);
  EXPECT_TRUE(value.has_value());
  EXPECT_EQ(value.status(), Status::kOk);
  EXPECT_EQ(**value, 7);
  const std::unique_ptr<int> taken = *std::move(value);
  EXPECT_EQ(*taken, 7);

  const Polled<std::unique_ptr<int>> none(Status::kTimedOut);
  EXPECT_FALSE(none);
  EXPECT_FALSE(none.has_value());
  EXPECT_EQ(none.status(), Status::kTimedOut);
}

}  // namespace
}  // namespace rondo
