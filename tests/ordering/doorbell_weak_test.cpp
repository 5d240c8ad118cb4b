// The doorbell under every reordering of loads that the C++ memory model allows, where a wake that
// is lost is lost for ever. Built with RONDO_ATOMIC_HEADER=support/weak_atomic.hpp.
//
// Not shown here: a load that is delayed beyond a later store (S1, D1, G1 forbid it for `rings` and
// `state`). The model tests/models/doorbell.pml shows that one.
#include <gtest/gtest.h>

#include <cstdlib>

#include "support/weak_bell_system.hpp"

namespace rondo {
namespace {

using testing::WeakBell;
using testing::WeakBellSystem;
using WeakNotifier = BasicNotifier<WeakBellSystem>;
using WeakBroadcastNotifier = BasicBroadcastNotifier<WeakBellSystem>;
using WeakWaiter = BasicWaiter<WeakBellSystem>;

constexpr std::uint64_t kExecutions = 1000;

std::uint64_t first_seed() {
  const char* given = std::getenv("RONDO_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

// Takes `messages` from `published`, asleep whenever there is nothing.
void take_all(WeakWaiter& waiter, const Atomic<std::uint64_t>& published, std::uint64_t messages) {
  for (std::uint64_t taken = 0; taken < messages && !WeakBell::now().lost;) {
    const auto ready = [&] {
      // M2 (acquire, pairs with M1, M3, M4, M5): as a ring.
      return published.load(std::memory_order_acquire) > taken;
    };
    if (ready() || waiter.sleep_once(ready, Deadline::never())) ++taken;
  }
  --WeakBell::now().awake;
}

struct Bell {
  Atomic<std::uint64_t> published{0};
  BellNotifier notifier{};
  BellWaiter waiter{};
};

// One publisher, one waiter. Returns whether a wake was lost.
bool loses_a_wake(std::uint64_t seed, void (*arrange)(WeakBell&)) {
  constexpr std::uint64_t kMessages = 4;
  Bell bell;
  WeakBell::reset(2);
  arrange(WeakBell::now());
  weak::Execution execution(seed);
  execution.run({[&] {
                   WeakNotifier notifier(bell.waiter, bell.notifier);
                   for (std::uint64_t i = 1; i <= kMessages; ++i) {
                     // M1 (release, pairs with M2): as a ring.
                     bell.published.store(i, std::memory_order_release);
                     notifier.notify();
                   }
                   --WeakBell::now().awake;
                 },
                 [&] {
                   WeakWaiter waiter(bell.waiter, bell.notifier);
                   take_all(waiter, bell.published, kMessages);
                 }});
  return WeakBell::now().lost;
}

TEST(DoorbellWeak, NoWakeIsLostWithTheHeavyFence) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    ASSERT_FALSE(loses_a_wake(seed, [](WeakBell&) {})) << "RONDO_SEED=" << seed;
  }
}

TEST(DoorbellWeak, NoWakeIsLostToAnUnregisteredPublisher) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    ASSERT_FALSE(loses_a_wake(seed, [](WeakBell& bell) { bell.registers = false; }))
        << "RONDO_SEED=" << seed;
  }
}

TEST(DoorbellWeak, NoWakeIsLostWithoutMembarrier) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    ASSERT_FALSE(loses_a_wake(seed,
                              [](WeakBell& bell) {
                                bell.registers = false;
                                bell.fences_others = false;
                              }))
        << "RONDO_SEED=" << seed;
  }
}

// The heavy fence is what the above stands on.
TEST(DoorbellWeak, WakesAreLostWithoutTheHeavyFence) {
  int lost = 0;
  for (std::uint64_t seed = 1; seed <= kExecutions; ++seed) {
    lost += loses_a_wake(seed, [](WeakBell& bell) { bell.forgets_fence = true; }) ? 1 : 0;
  }
  EXPECT_GT(lost, 0);
}

// Rings that are held back (watermark.hpp): of each four messages the first three are published
// without a look at the waiter, and the fourth rings for all.
int lost_when_held_back(std::uint64_t executions, bool rings_at_last) {
  constexpr std::uint64_t kMessages = 8;
  int lost = 0;
  for (std::uint64_t seed = first_seed(); seed < first_seed() + executions; ++seed) {
    Bell bell;
    WeakBell::reset(2);
    weak::Execution execution(seed);
    execution.run({[&] {
                     WeakNotifier notifier(bell.waiter, bell.notifier);
                     for (std::uint64_t i = 1; i <= kMessages; ++i) {
                       // M5 (release, pairs with M2): as a ring.
                       bell.published.store(i, std::memory_order_release);
                       if (i % 4 == 0 && (i != kMessages || rings_at_last)) notifier.ring();
                     }
                     --WeakBell::now().awake;
                   },
                   [&] {
                     WeakWaiter waiter(bell.waiter, bell.notifier);
                     take_all(waiter, bell.published, kMessages);
                   }});
    lost += WeakBell::now().lost ? 1 : 0;
  }
  return lost;
}

TEST(DoorbellWeak, NoWakeIsLostThatIsHeldBackAndRungForLater) {
  EXPECT_EQ(lost_when_held_back(kExecutions, true), 0) << "RONDO_SEED=" << first_seed();
}

TEST(DoorbellWeak, OneThatIsHeldBackForGoodIsLost) {
  EXPECT_GT(lost_when_held_back(kExecutions, false), 0);
}

// As above, but that the waiter's steps are taken apart: it announces its wait, looks, takes it
// back, and announces it anew before it sleeps.
TEST(DoorbellWeak, NoWakeIsLostToOneWhoCancelsAndPreparesAnew) {
  constexpr std::uint64_t kMessages = 4;
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    Bell bell;
    WeakBell::reset(2);
    weak::Execution execution(seed);
    execution.run({[&] {
                     WeakNotifier notifier(bell.waiter, bell.notifier);
                     for (std::uint64_t i = 1; i <= kMessages; ++i) {
                       // M5 (release, pairs with M6): as a ring.
                       bell.published.store(i, std::memory_order_release);
                       notifier.notify();
                     }
                     --WeakBell::now().awake;
                   },
                   [&] {
                     WeakWaiter waiter(bell.waiter, bell.notifier);
                     for (std::uint64_t taken = 0; taken < kMessages && !WeakBell::now().lost;) {
                       const auto ready = [&] {
                         // M6 (acquire, pairs with M5): as a ring.
                         return bell.published.load(std::memory_order_acquire) > taken;
                       };
                       bool found = false;
                       for (int turn = 0; turn < 2 && !found; ++turn) {
                         const PreparedWait wait = waiter.prepare_wait();
                         found = ready();
                         if (turn == 0 || found) {
                           waiter.cancel_wait();
                         } else {
                           waiter.commit_wait(wait, Deadline::never());
                         }
                       }
                       if (found || ready()) ++taken;
                     }
                     --WeakBell::now().awake;
                   }});
    ASSERT_FALSE(WeakBell::now().lost) << "RONDO_SEED=" << seed;
  }
}

// How a waiter for both bells makes their publishers pass a fence.
enum class Fences { kOneEach, kOneForBoth, kNone };

// Two publishers with a bell each, and a waiter for both: it announces both waits, looks at
// both, and sleeps once, on both words.
bool one_of_several_is_lost(std::uint64_t seed, Fences fences, void (*arrange)(WeakBell&)) {
  constexpr std::uint64_t kMessages = 2;
  Bell bells[2];
  WeakBell::reset(3);
  arrange(WeakBell::now());
  weak::Execution execution(seed);
  const auto publish = [](Bell& bell) {
    WeakNotifier notifier(bell.waiter, bell.notifier);
    for (std::uint64_t i = 1; i <= kMessages; ++i) {
      // M7 (release, pairs with M8): as a ring.
      bell.published.store(i, std::memory_order_release);
      notifier.notify();
    }
    --WeakBell::now().awake;
  };
  execution.run({[&] { publish(bells[0]); }, [&] { publish(bells[1]); },
                 [&] {
                   WeakWaiter first(bells[0].waiter, bells[0].notifier);
                   WeakWaiter second(bells[1].waiter, bells[1].notifier);
                   std::uint64_t taken[2] = {0, 0};
                   const auto take = [&] {
                     bool any = false;
                     for (std::size_t i = 0; i < 2; ++i) {
                       // M8 (acquire, pairs with M7): as a ring.
                       if (bells[i].published.load(std::memory_order_acquire) == taken[i]) continue;
                       ++taken[i];
                       any = true;
                     }
                     return any;
                   };
                   while (taken[0] + taken[1] < 2 * kMessages && !WeakBell::now().lost) {
                     const Fence whose = fences == Fences::kOneEach ? Fence::kOwn : Fence::kCallers;
                     const PreparedWait on_first = first.prepare_wait(whose);
                     const PreparedWait on_second = second.prepare_wait(whose);
                     if (fences == Fences::kOneForBoth) WeakBellSystem::heavy_fence();
                     if (!take()) {
                       static_cast<void>(WeakBellSystem::wait_any({on_first, on_second}));
                     }
                     first.cancel_wait();
                     second.cancel_wait();
                   }
                   --WeakBell::now().awake;
                 }});
  return WeakBell::now().lost;
}

TEST(DoorbellWeak, NoWakeIsLostToOneWhoSleepsOnSeveralBells) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    for (const Fences fences : {Fences::kOneEach, Fences::kOneForBoth}) {
      ASSERT_FALSE(one_of_several_is_lost(seed, fences, [](WeakBell&) {})) << "RONDO_SEED=" << seed;
      ASSERT_FALSE(
          one_of_several_is_lost(seed, fences, [](WeakBell& bell) { bell.registers = false; }))
          << "RONDO_SEED=" << seed << ", unregistered";
    }
  }
}

// The heavy fence is what the above stands on, too.
TEST(DoorbellWeak, WakesOfSeveralBellsAreLostWithoutTheHeavyFence) {
  const auto forgets = [](WeakBell& bell) { bell.forgets_fence = true; };
  int lost_by_each = 0;
  int lost_without = 0;
  for (std::uint64_t seed = 1; seed <= kExecutions; ++seed) {
    lost_by_each += one_of_several_is_lost(seed, Fences::kOneEach, forgets) ? 1 : 0;
    lost_without += one_of_several_is_lost(seed, Fences::kNone, [](WeakBell&) {}) ? 1 : 0;
  }
  EXPECT_GT(lost_by_each, 0);
  EXPECT_GT(lost_without, 0);
}

// One publisher, two waiters on its one word.
bool broadcast_loses_a_wake(std::uint64_t seed, bool registers) {
  constexpr std::uint64_t kMessages = 3;
  Atomic<std::uint64_t> published{0};
  BellNotifier notifier{};
  BellWaiter waiters[2]{};
  WeakBell::reset(3);
  WeakBell::now().registers = registers;
  weak::Execution execution(seed);
  const auto take = [&](BellWaiter& mine) {
    WeakWaiter waiter(mine, notifier);
    take_all(waiter, published, kMessages);
  };
  execution.run({[&] {
                   WeakBroadcastNotifier group(notifier);
                   static_cast<void>(group.watch(waiters[0]));
                   static_cast<void>(group.watch(waiters[1]));
                   for (std::uint64_t i = 1; i <= kMessages; ++i) {
                     // M3 (release, pairs with M2): as a ring.
                     published.store(i, std::memory_order_release);
                     group.notify();
                   }
                   --WeakBell::now().awake;
                 },
                 [&] { take(waiters[0]); }, [&] { take(waiters[1]); }});
  return WeakBell::now().lost;
}

TEST(DoorbellWeak, NoWaiterOfABroadcastIsForgotten) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    ASSERT_FALSE(broadcast_loses_a_wake(seed, true)) << "RONDO_SEED=" << seed;
    ASSERT_FALSE(broadcast_loses_a_wake(seed, false)) << "RONDO_SEED=" << seed << ", unregistered";
  }
}

// One publisher, and two waiters of whom it learns by a word in which each sets its bit before its
// first sleep, as the readers of a ring do. `looks`: whether it looks at that word when the bell
// is not wanted otherwise.
bool loses_who_comes_late(std::uint64_t seed, bool registers, bool looks) {
  constexpr std::uint64_t kMessages = 3;
  Atomic<std::uint64_t> published{0};
  Atomic<std::uint64_t> awaiting{0};
  BellNotifier notifier{};
  BellWaiter waiters[2]{};
  WeakBell::reset(3);
  WeakBell::now().registers = registers;
  weak::Execution execution(seed);
  const auto take = [&](std::uint64_t i) {
    WeakWaiter waiter(waiters[i], notifier);
    // relaxed: as readers do.
    awaiting.fetch_or(std::uint64_t{1} << i, std::memory_order_relaxed);
    take_all(waiter, published, kMessages);
  };
  execution.run({[&] {
                   WeakBroadcastNotifier group(notifier);
                   std::uint64_t watched = 0;
                   const auto unknown = [&] {
                     // relaxed: as BroadcastSender does.
                     return awaiting.load(std::memory_order_relaxed) & ~watched;
                   };
                   const auto watch_new_readers = [&] {
                     const std::uint64_t came = unknown();
                     for (std::uint64_t i = 0; i < 2; ++i) {
                       if ((came >> i & 1) != 0) static_cast<void>(group.watch(waiters[i]));
                     }
                     watched |= came;
                   };
                   for (std::uint64_t i = 1; i <= kMessages; ++i) {
                     // M4 (release, pairs with M2): as a ring.
                     published.store(i, std::memory_order_release);
                     if (group.wanted() || (looks && unknown() != 0)) group.ring(watch_new_readers);
                   }
                   --WeakBell::now().awake;
                 },
                 [&] { take(0); }, [&] { take(1); }});
  return WeakBell::now().lost;
}

TEST(DoorbellWeak, NoWaiterThatComesLateIsForgotten) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    ASSERT_FALSE(loses_who_comes_late(seed, true, true)) << "RONDO_SEED=" << seed;
    ASSERT_FALSE(loses_who_comes_late(seed, false, true)) << "RONDO_SEED=" << seed;
  }
}

// The look at that word is what the above stands on.
TEST(DoorbellWeak, ALateWaiterIsForgottenByAPublisherThatDoesNotLook) {
  int lost = 0;
  for (std::uint64_t seed = 1; seed <= kExecutions; ++seed) {
    lost += loses_who_comes_late(seed, true, false) ? 1 : 0;
  }
  EXPECT_GT(lost, 0);
}

}  // namespace
}  // namespace rondo
