// mpmc_ring between threads on one mapping, with payloads as plain memory: under ThreadSanitizer a
// weakened S1, S2, S3 or S4 (mpmc_ring_words.hpp) is a data race. Without it, order and
// exactly-once are checked with more threads than processors.
#include <gtest/gtest.h>

#include "ordering/mpmc_flow.hpp"

namespace rondo {
namespace {

using testing::Flow;

class MpmcFlow : public ::testing::TestWithParam<Flow> {};

TEST_P(MpmcFlow, EachMessageArrivesOnceInItsProducersOrder) {
  testing::expect_flow(GetParam(), 20'000, 120);
}

INSTANTIATE_TEST_SUITE_P(Flows, MpmcFlow,
                         ::testing::Values(Flow{1, 1, 1, 1024}, Flow{2, 2, 1, 2}, Flow{2, 1, 1, 4},
                                           Flow{1, 2, 1, 4}, Flow{2, 2, 1, 64}, Flow{4, 4, 1, 16},
                                           Flow{4, 4, 1, 1024}, Flow{2, 2, 16, 64},
                                           Flow{3, 3, 5, 8}, Flow{8, 8, 3, 128}));

}  // namespace
}  // namespace rondo
