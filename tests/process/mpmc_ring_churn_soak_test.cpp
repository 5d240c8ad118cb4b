// mpmc_ring_churn_test.cpp, round after round until RONDO_SOAK_SECONDS have passed.
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>

#include "process/mpmc_churn.hpp"

namespace rondo::testing {
namespace {

TEST(MpmcChurnSoak, TheBooksStayBalanced) {
  const char* given = std::getenv("RONDO_SOAK_SECONDS");
  const std::chrono::seconds wanted(given != nullptr ? std::atoi(given) : 60);
  const auto end = std::chrono::steady_clock::now() + wanted;
  const auto at_once = [] { return true; };
  do {
    for (const std::uint64_t capacity : {2, 8, 64, 1024}) {
      alarm(600);
      ASSERT_EQ(churn(capacity, 2'000, at_once), "");
    }
  } while (std::chrono::steady_clock::now() < end);
  alarm(0);
}

}  // namespace
}  // namespace rondo::testing
