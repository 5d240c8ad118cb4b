// The crowd's doorbell, on the slot ring's list of sleepers, under every reordering of loads that
// the C++ memory model allows, where a wake that is lost is lost for ever.
// Built with RONDO_ATOMIC_HEADER=support/weak_atomic.hpp.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <functional>
#include <utility>
#include <vector>

#include "rondo/core/mpmc_ring_sleepers.hpp"
#include "rondo/sync/crowd_doorbell.hpp"
#include "support/weak_bell_system.hpp"

namespace rondo {
namespace {

using testing::WeakBell;
using testing::WeakBellSystem;
using WeakRinger = BasicCrowdRinger<MpmcSleepers, WeakBellSystem>;
using WeakSleeper = BasicCrowdSleeper<MpmcSleepers, WeakBellSystem>;

constexpr std::uint64_t kExecutions = 1000;
constexpr std::uint32_t kMostSleepers = 2;

std::uint64_t first_seed() {
  const char* given = std::getenv("RONDO_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

// How a sleeper of the test waits: as WeakSleeper::sleep_once() does.
template <class Ready>
bool sleep_once(WeakSleeper& sleeper, Ready& ready) {
  return sleeper.sleep_once(ready, Deadline::never());
}

// Takes its announcement back first and announces it anew; what it was woken for meanwhile, it
// looks for.
template <class Ready>
bool cancel_and_sleep_once(WeakSleeper& sleeper, Ready& ready) {
  static_cast<void>(sleeper.prepare_wait());
  if (sleeper.cancel_wait() && ready()) return true;
  const PreparedWait wait = sleeper.prepare_wait();
  if (ready()) {
    sleeper.cancel_wait();
  } else {
    sleeper.commit_wait(wait, Deadline::never());
  }
  return ready();
}

// `pairs` publishers publish work, as many sleepers take it, each piece once. Returns whether a
// wake was lost: all sleep, no publish is to come any more, and there is work.
bool loses_a_wake(std::uint64_t seed, int pairs, void (*arrange)(WeakBell&), bool cancels = false) {
  constexpr std::uint64_t kEach = 3;
  const std::uint64_t pieces = static_cast<std::uint64_t>(pairs) * kEach;
  MpmcPositions positions{};
  std::array<MpmcParticipantPart, kMostSleepers> participants{};
  MpmcParts parts{};
  parts.positions = &positions;
  parts.participants = participants.data();
  parts.participant_count = kMostSleepers;
  const MpmcSleepers list(parts, MpmcSleepers::Side::kConsumers);
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
    WeakRinger ringer(list);
    for (std::uint64_t i = 0; i < kEach; ++i) {
      // M1 (acq_rel, pairs with M2): as a ring.
      published.fetch_add(1, std::memory_order_acq_rel);
      ringer.notify();
    }
    --WeakBell::now().awake;
  };
  const auto take = [&](std::uint32_t me) {
    WeakSleeper sleeper(list, me);
    const auto ready = [&] {
      // relaxed: the newest counts, and taking decides.
      const std::uint64_t given = taken.load(std::memory_order_relaxed);
      // M2 (acquire, pairs with M1): as a ring.
      return published.load(std::memory_order_acquire) > given;
    };
    while (newest(taken) < pieces && !WeakBell::now().lost) {
      if (!ready() &&
          !(cancels ? cancel_and_sleep_once(sleeper, ready) : sleep_once(sleeper, ready))) {
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

TEST(CrowdDoorbellWeak, NoWorkIsLeftWhileSomebodySleeps) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    for (const int pairs : {1, 2}) {
      ASSERT_FALSE(loses_a_wake(seed, pairs, [](WeakBell&) {}))
          << pairs << " pairs, RONDO_SEED=" << seed;
    }
  }
}

TEST(CrowdDoorbellWeak, NoWorkIsLeftByThoseWhoCancelAndPrepareAnew) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    for (const int pairs : {1, 2}) {
      ASSERT_FALSE(loses_a_wake(
          seed, pairs, [](WeakBell&) {}, true))
          << pairs << " pairs, RONDO_SEED=" << seed;
    }
  }
}

TEST(CrowdDoorbellWeak, NoWorkIsLeftByUnregisteredPublishers) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    for (const int pairs : {1, 2}) {
      ASSERT_FALSE(loses_a_wake(seed, pairs, [](WeakBell& bell) { bell.registers = false; }))
          << pairs << " pairs, RONDO_SEED=" << seed;
    }
  }
}

TEST(CrowdDoorbellWeak, WorkIsLeftWithoutTheHeavyFence) {
  int lost = 0;
  for (std::uint64_t seed = 1; seed <= kExecutions; ++seed) {
    const bool one = loses_a_wake(seed, 1, [](WeakBell& bell) { bell.forgets_fence = true; });
    lost += one ? 1 : 0;
  }
  EXPECT_GT(lost, 0);
}

}  // namespace
}  // namespace rondo
