// once under every reordering of loads that the C++ memory model allows: it is done once, what was
// done is seen by all, no wake is lost, and the turn of one that dies at any access, or gives up,
// is taken by the next. Built with RONDO_ATOMIC_HEADER=support/weak_atomic.hpp.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <optional>
#include <vector>

#include "rondo/sync/once.hpp"
#include "support/weak_futex.hpp"

namespace rondo {
namespace {

using testing::WeakFutex;
using testing::WeakMember;
using testing::WeakSystem;
using Once = sync::basic_once<WeakSystem, WeakMember>;

constexpr std::uint64_t kExecutions = 2000;
constexpr std::uint32_t kThreads = 3;

std::uint64_t first_seed() {
  const char* given = std::getenv("RONDO_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

struct GivesUp {};

struct Verdict {
  std::uint32_t done = 0;
  std::uint32_t seen_by = 0;
  bool stale = false;
  std::uint64_t slices = 0;
};

// The first two attempts give up, if asked; thread 0 dies after so many of its accesses.
Verdict play(std::uint64_t seed, bool some_give_up, std::optional<std::uint64_t> dies_after) {
  sync::OncePart part;
  Atomic<std::uint64_t> attempts{0};
  std::uint64_t attempted = 0;
  Verdict verdict;
  WeakFutex::reset();
  weak::Execution execution(seed);
  std::vector<std::function<void()>> threads;
  for (std::uint32_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      if (thread == 0 && dies_after) execution.kill_self_after(*dies_after);
      const WeakMember self{WeakMember::tenure_of(thread)};
      Once once(part, self);
      const auto act = [&] {
        // relaxed, both: the turns order them.
        const std::uint64_t seen = attempts.load(std::memory_order_relaxed);
        if (seen < attempted && !dies_after) verdict.stale = true;
        attempts.store(attempted + 1, std::memory_order_relaxed);
        ++attempted;
        if (some_give_up && attempted < 3) throw GivesUp();
        ++verdict.done;
      };
      for (bool there = false; !there;) {
        try {
          there = once.call(act) == sync::OnceResult::kDone;
        } catch (const GivesUp&) {
        }
      }
      // relaxed: as above.
      if (attempts.load(std::memory_order_relaxed) < attempted) verdict.stale = true;
      if (!once.done()) verdict.stale = true;
      ++verdict.seen_by;
    });
  }
  execution.run(std::move(threads));
  verdict.slices = WeakFutex::now().slices;
  return verdict;
}

TEST(OnceWeak, ItIsDoneOnceAndSeenByAll) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    for (const bool some_give_up : {false, true}) {
      const Verdict verdict = play(seed, some_give_up, std::nullopt);
      ASSERT_EQ(verdict.done, 1u) << "RONDO_SEED=" << seed;
      ASSERT_EQ(verdict.seen_by, kThreads) << "RONDO_SEED=" << seed;
      ASSERT_FALSE(verdict.stale) << "RONDO_SEED=" << seed;
      ASSERT_EQ(verdict.slices, 0u) << "RONDO_SEED=" << seed;
    }
  }
}

TEST(OnceWeak, TheTurnOfOneThatDiesAtAnyAccessIsTaken) {
  std::uint64_t twice = 0;
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    const Verdict verdict = play(seed, false, 1 + seed % 12);
    ASSERT_LE(verdict.done, 2u) << "RONDO_SEED=" << seed;
    ASSERT_GE(verdict.seen_by, kThreads - 1) << "RONDO_SEED=" << seed;
    ASSERT_FALSE(verdict.stale) << "RONDO_SEED=" << seed;
    twice += verdict.done - 1;
  }
  EXPECT_GT(twice, 0u);
}

}  // namespace
}  // namespace rondo
