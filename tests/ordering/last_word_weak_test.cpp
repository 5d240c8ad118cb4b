// A side that says that it left in order, under every reordering that the C++ memory model allows:
// who reads that finds all that it published before. Built with
// RONDO_ATOMIC_HEADER=support/weak_atomic.hpp.
#include <gtest/gtest.h>

#include <cstdlib>

#include "rondo/core/bell.hpp"
#include "rondo/transports/last_word.hpp"
#include "support/weak_memory.hpp"

namespace rondo::testing {
namespace {

constexpr std::uint64_t kExecutions = 2000;

std::uint64_t first_seed() {
  const char* given = std::getenv("RONDO_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

struct LeavingWaiter {
  BellWaiter& word;
  // relaxed: as the real one's.
  void leave() { word.state.store(BellWaiter::kGone, std::memory_order_relaxed); }
};

TEST(LastWordWeak, WhatWasPublishedBeforeIsThere) {
  for (const bool in_order : {true, false}) {
    std::uint64_t seen_gone = 0;
    for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
      Atomic<std::uint64_t> published{0};
      BellWaiter word{};
      bool lost = false;
      weak::Execution execution(seed);
      execution.run({[&] {
                       // relaxed, both: the word alone orders them here.
                       published.store(1, std::memory_order_relaxed);
                       LeavingWaiter waiter{word};
                       if (in_order) {
                         detail::say_gone(waiter);
                       } else {
                         detail::say_broken_off(word);
                       }
                     },
                     [&] {
                       if (!detail::says_gone(word)) return;
                       ++seen_gone;
                       lost = published.load(std::memory_order_relaxed) == 0 ||
                              detail::says_broken_off(word) == in_order;
                     }});
      ASSERT_FALSE(lost) << "RONDO_SEED=" << seed;
    }
    EXPECT_GT(seen_gone, 0u);
  }
}

}  // namespace
}  // namespace rondo::testing
