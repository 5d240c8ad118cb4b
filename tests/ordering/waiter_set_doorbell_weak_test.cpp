// The waiter set's doorbell, on the mpmc ring's list of waiters, under every reordering of loads
// that the C++ memory model allows, where a wake that is lost is lost for ever.
// Built with RONDO_ATOMIC_HEADER=support/weak_atomic.hpp.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <functional>
#include <utility>
#include <vector>

#include "rondo/core/mpmc_ring_waiters.hpp"
#include "rondo/sync/waiter_set_doorbell.hpp"
#include "support/weak_bell_system.hpp"

namespace rondo {
namespace {

using testing::WeakBell;
using testing::WeakBellSystem;
using WeakNotifier = BasicSetNotifier<MpmcWaiterSet, WeakBellSystem>;
using WeakWaiter = BasicSetWaiter<MpmcWaiterSet, WeakBellSystem>;

constexpr std::uint64_t kExecutions = 1000;
constexpr std::uint32_t kMostWaiters = 2;

std::uint64_t first_seed() {
  const char* given = std::getenv("RONDO_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

// How a waiter of the test waits: as WeakWaiter::sleep_once() does.
template <class Ready>
bool sleep_once(WeakWaiter& waiter, Ready& ready) {
  return waiter.sleep_once(ready, Deadline::never());
}

// Takes its announcement back first and announces it anew; what it was woken for meanwhile, it
// looks for.
template <class Ready>
bool cancel_and_sleep_once(WeakWaiter& waiter, Ready& ready) {
  static_cast<void>(waiter.prepare_wait());
  if (waiter.cancel_wait() && ready()) return true;
  const PreparedWait wait = waiter.prepare_wait();
  if (ready()) {
    waiter.cancel_wait();
  } else {
    waiter.commit_wait(wait, Deadline::never());
  }
  return ready();
}

// `pairs` publishers publish work, as many waiters take it, each piece once. Returns whether a
// wake was lost: all sleep, no publish is to come any more, and there is work.
bool loses_a_wake(std::uint64_t seed, int pairs, void (*arrange)(WeakBell&), bool cancels = false) {
  constexpr std::uint64_t kEach = 3;
  const std::uint64_t pieces = static_cast<std::uint64_t>(pairs) * kEach;
  MpmcPositions positions{};
  std::array<MpmcParticipantPart, kMostWaiters> participants{};
  MpmcParts parts{};
  parts.positions = &positions;
  parts.participants = participants.data();
  parts.participant_count = kMostWaiters;
  const MpmcWaiterSet list(parts, MpmcWaiterSet::Side::kConsumers);
  Atomic<std::uint64_t> published{0};
  Atomic<std::uint64_t> taken{0};

  weak::Execution execution(seed);
  const auto newest = [&](const Atomic<std::uint64_t>& word) {
    return execution.stores_of(&word, 0).back().value;
  };
  WeakBell::reset(2 * pairs);
  WeakBell::now().work_left = [&] { return newest(published) > newest(taken); };
  arrange(WeakBell::now());

  const auto publish = [&] {
    WeakNotifier notifier(list);
    for (std::uint64_t i = 0; i < kEach; ++i) {
      // M1 (acq_rel, pairs with M2): as a ring.
      published.fetch_add(1, std::memory_order_acq_rel);
      notifier.notify();
    }
    --WeakBell::now().awake;
  };
  const auto take = [&](std::uint32_t me) {
    WeakWaiter waiter(list, me);
    const auto ready = [&] {
      // relaxed: the newest counts, and taking decides.
      const std::uint64_t given = taken.load(std::memory_order_relaxed);
      // M2 (acquire, pairs with M1): as a ring.
      return published.load(std::memory_order_acquire) > given;
    };
    while (newest(taken) < pieces && !WeakBell::now().lost) {
      if (!ready() &&
          !(cancels ? cancel_and_sleep_once(waiter, ready) : sleep_once(waiter, ready))) {
        continue;
      }
      std::uint64_t next = taken.load(std::memory_order_relaxed);
      if (next >= published.load(std::memory_order_relaxed)) continue;
      // relaxed: counts pieces, orders nothing; on failure another one took it.
      taken.compare_exchange_strong(next, next + 1, std::memory_order_relaxed,
                                    std::memory_order_relaxed);
    }
    --WeakBell::now().awake;
  };
  std::vector<std::function<void()>> threads;
  for (int i = 0; i < pairs; ++i) {
    threads.emplace_back(publish);
    threads.emplace_back([&take, i] { take(static_cast<std::uint32_t>(i)); });
  }
  execution.run(std::move(threads));
  return WeakBell::now().lost;
}

TEST(WaiterSetDoorbellWeak, NoWorkIsLeftWhileOneSleeps) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    for (const int pairs : {1, 2}) {
      ASSERT_FALSE(loses_a_wake(seed, pairs, [](WeakBell&) {}))
          << pairs << " pairs, RONDO_SEED=" << seed;
    }
  }
}

TEST(WaiterSetDoorbellWeak, NoWorkIsLeftByThoseWhoCancelAndPrepareAnew) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    for (const int pairs : {1, 2}) {
      ASSERT_FALSE(loses_a_wake(
          seed, pairs, [](WeakBell&) {}, true))
          << pairs << " pairs, RONDO_SEED=" << seed;
    }
  }
}

TEST(WaiterSetDoorbellWeak, NoWorkIsLeftByUnregisteredPublishers) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    for (const int pairs : {1, 2}) {
      ASSERT_FALSE(loses_a_wake(seed, pairs, [](WeakBell& bell) { bell.registers = false; }))
          << pairs << " pairs, RONDO_SEED=" << seed;
    }
  }
}

TEST(WaiterSetDoorbellWeak, WorkIsLeftWithoutTheHeavyFence) {
  int lost = 0;
  for (std::uint64_t seed = 1; seed <= kExecutions; ++seed) {
    const bool one = loses_a_wake(seed, 1, [](WeakBell& bell) { bell.forgets_fence = true; });
    lost += one ? 1 : 0;
  }
  EXPECT_GT(lost, 0);
}

}  // namespace
}  // namespace rondo
