// The ranges guarded against SIGBUS under every reordering that the C++ memory model allows of
// their loads. Built with RONDO_ATOMIC_HEADER=support/weak_atomic.hpp.
#include <gtest/gtest.h>

#include <cstdlib>

#include "rondo/core/guarded_range.hpp"
#include "support/weak_memory.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr std::uint64_t kExecutions = 2000;

std::uint64_t first_seed() {
  const char* given = std::getenv("RONDO_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

// An entry is used for one range, then for another. An address between the two belongs to neither,
// and a handler that looks for it must not take it for theirs: it would mark the wrong mapping.
void changes(std::uint64_t from, std::uint64_t to) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    GuardedRange range;
    range.set(from, from + 100, 1, true);
    bool wrong = false;
    weak::Execution execution(seed);
    execution.run({[&] {
                     range.set(to, to + 100, 1, true);
                     range.set(from, from + 100, 1, true);
                   },
                   [&] {
                     for (int i = 0; i < 3; ++i) wrong |= range.covers(250);
                   }});
    ASSERT_FALSE(wrong) << "RONDO_SEED=" << seed;
  }
}

TEST(GuardedRangeWeak, AMixtureOfARangeAndAHigherOneCoversNothing) { changes(100, 300); }
TEST(GuardedRangeWeak, AMixtureOfARangeAndALowerOneCoversNothing) { changes(300, 100); }

TEST(GuardedRangeWeak, ARangeInUseIsFound) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions / 10; ++seed) {
    GuardedRange mine;
    GuardedRange other;
    bool found = true;
    weak::Execution execution(seed);
    execution.run({[&] { other.set(300, 400, 1, true); },
                   [&] {
                     mine.set(100, 200, 1, true);
                     for (int i = 0; i < 3; ++i) {
                       found &= mine.covers(100) && mine.covers(199) && !mine.covers(200);
                       found &= !other.covers(150);
                     }
                   }});
    ASSERT_TRUE(found) << "RONDO_SEED=" << seed;
  }
}

}  // namespace
}  // namespace rondo::inline RONDO_ABI::detail
