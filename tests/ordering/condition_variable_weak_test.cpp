// The condition variable under every reordering of loads that the C++ memory model allows: no
// notification is lost between those who change the condition under the mutex and those who wait,
// though its own words are relaxed. Built with RONDO_ATOMIC_HEADER=support/weak_atomic.hpp.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <vector>

#include "rondo/sync/condition_variable.hpp"
#include "rondo/sync/mutex.hpp"
#include "support/weak_futex.hpp"

namespace rondo {
namespace {

using testing::WeakFutex;
using testing::WeakMember;
using testing::WeakSystem;
using Mutex = sync::basic_mutex<WeakSystem, WeakMember>;
using Condition = sync::basic_condition_variable<WeakSystem>;

// As std::unique_lock, but for a mutex that does not throw here: the library is not linked.
struct Lock {
  explicit Lock(Mutex& locked) : mutex(locked) { lock(); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  ~Lock() { unlock(); }
  void lock() {
    if (mutex.acquire() != sync::LockResult::kLocked) std::abort();
  }
  void unlock() { mutex.unlock(); }

  Mutex& mutex;
};

constexpr std::uint64_t kExecutions = 2000;

std::uint64_t first_seed() {
  const char* given = std::getenv("RONDO_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

// One makes four tickets, two take them. Returns how many sleeps no wake ended.
template <bool kAll, bool kSilent = false>
std::uint64_t pass_tickets(std::uint64_t seed) {
  sync::MutexPart mutex_part;
  sync::ConditionPart part;
  Atomic<std::uint64_t> tickets{0};
  WeakFutex::reset();
  weak::Execution execution(seed);
  const auto take = [&](std::uint32_t thread) {
    const WeakMember self{WeakMember::tenure_of(thread)};
    Mutex mutex(mutex_part, self);
    Condition condition(part);
    for (int i = 0; i < 2; ++i) {
      Lock lock(mutex);
      // relaxed, all: the mutex orders them.
      condition.wait(lock, [&] { return tickets.load(std::memory_order_relaxed) != 0; });
      tickets.store(tickets.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
    }
  };
  execution.run({[&] {
                   const WeakMember self{WeakMember::tenure_of(0)};
                   Mutex mutex(mutex_part, self);
                   Condition condition(part);
                   for (int i = 0; i < 4; ++i) {
                     {
                       const Lock lock(mutex);
                       tickets.store(tickets.load(std::memory_order_relaxed) + 1,
                                     std::memory_order_relaxed);
                     }
                     if (!kSilent) kAll ? condition.notify_all() : condition.notify_one();
                   }
                 },
                 [&] { take(1); }, [&] { take(2); }});
  return WeakFutex::now().slices;
}

TEST(ConditionVariableWeak, NoNotificationIsLost) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    ASSERT_EQ(pass_tickets<false>(seed), 0u) << "RONDO_SEED=" << seed << ", one";
    ASSERT_EQ(pass_tickets<true>(seed), 0u) << "RONDO_SEED=" << seed << ", all";
  }
}

// What the judgement stands on.
TEST(ConditionVariableWeak, WhereNobodyNotifiesSlicesEnd) {
  std::uint64_t slices = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) slices += pass_tickets<true, true>(seed);
  EXPECT_GT(slices, 0u);
}

}  // namespace
}  // namespace rondo
