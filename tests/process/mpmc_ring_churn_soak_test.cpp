// mpmc_ring_churn_test.cpp, round after round until RONDO_SOAK_SECONDS have passed.
#include <gtest/gtest.h>

#include "process/mpmc_churn.hpp"
#include "support/soak.hpp"

namespace rondo::testing {
namespace {

TEST(MpmcChurnSoak, TheBooksStayBalanced) {
  const SoakTime time(std::chrono::seconds(60));
  const auto at_once = [] { return true; };
  do {
    for (const std::uint64_t capacity : {2, 8, 64, 1024}) {
      alarm(600);
      ASSERT_EQ(churn(capacity, 2'000, at_once), "");
    }
  } while (!time.over());
  alarm(0);
}

}  // namespace
}  // namespace rondo::testing
