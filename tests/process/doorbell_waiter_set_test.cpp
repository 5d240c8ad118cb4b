// Many publishers and many waiters on one list, in processes of their own: all work is taken, and
// no taker sleeps beside work. The work itself is a counter that publishers raise and takers
// follow.
#include <array>
#include <memory>
#include <new>
#include <thread>
#include <vector>

#include "process/stepper.hpp"
#include "rondo/core/mpmc_ring_waiters.hpp"
#include "rondo/sync/waiter_set_doorbell.hpp"
#include "support/doorbell_fixture.hpp"

namespace rondo {
namespace {

constexpr std::uint32_t kTakers = 4;
constexpr int kPublishers = 2;

// Sleeps have no end of their own: a wake that is lost is a hang.
struct LongSlices : BellSystem {
  static FutexResult wait(const Atomic<std::uint32_t>& word, std::uint32_t expected,
                          std::chrono::nanoseconds, Deadline deadline) noexcept {
    return futex_wait(word, expected, deadline);
  }
};

struct Workshop {
  MpmcPositions positions;
  std::array<MpmcParticipantPart, kTakers> participants;
  alignas(kSharingRange) Atomic<std::uint64_t> published;
  alignas(kSharingRange) Atomic<std::uint64_t> taken;
  alignas(kSharingRange) Atomic<std::uint32_t> over;

  MpmcWaiterSet waiters() {
    MpmcParts parts{};
    parts.positions = &positions;
    parts.participants = participants.data();
    parts.participant_count = kTakers;
    return MpmcWaiterSet(parts, MpmcWaiterSet::Side::kConsumers);
  }
};

template <class System>
int publish(Workshop& shop, std::uint64_t pieces, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  BasicSetNotifier<MpmcWaiterSet, System> notifier(shop.waiters());
  for (std::uint64_t i = 0; i < pieces; ++i) {
    for (std::uint64_t pauses = random() % 512; pauses > 0; --pauses) cpu_relax();
    // P1 (release, pairs with T1): as a ring.
    shop.published.fetch_add(1, std::memory_order_release);
    notifier.notify();
  }
  return 0;
}

template <class System>
int take(Workshop& shop, std::uint32_t me) {
  BasicSetWaiter<MpmcWaiterSet, System> waiter(shop.waiters(), me);
  const auto ready = [&] {
    // relaxed: taking decides. `taken` is read first, so that it can't seem to run ahead.
    const std::uint64_t taken = shop.taken.load(std::memory_order_relaxed);
    // T1 (acquire, pairs with P1): as a ring.
    return shop.published.load(std::memory_order_acquire) > taken ||
           shop.over.load(std::memory_order_relaxed) != 0;
  };
  for (;;) {
    while (!ready()) {
      if (waiter.sleep_once(ready, Deadline::never())) break;
    }
    std::uint64_t next = shop.taken.load(std::memory_order_relaxed);
    if (next < shop.published.load(std::memory_order_relaxed)) {
      // relaxed: counts only; on failure another one took it.
      shop.taken.compare_exchange_strong(next, next + 1, std::memory_order_relaxed,
                                         std::memory_order_relaxed);
    } else if (shop.over.load(std::memory_order_relaxed) != 0) {
      return 0;
    }
  }
}

template <class System>
void finish(Workshop& shop, std::uint64_t pieces) {
  while (shop.taken.load(std::memory_order_relaxed) < pieces) std::this_thread::yield();
  // seq_cst: before the look at the list.
  shop.over.store(1, std::memory_order_seq_cst);
  BasicSetNotifier<MpmcWaiterSet, System>(shop.waiters()).notify(kTakers);
}

class DoorbellWaiterSet : public testing::Watchdog {};

TEST_F(DoorbellWaiterSet, AllWorkIsTakenAndNoTakerSleepsBesideIt) {
  const std::uint64_t each = testing::scaled(20'000);
  const std::uint64_t seed = testing::random_seed();
  testing::Shared<Workshop> shop;
  std::vector<std::unique_ptr<testing::Child>> takers;
  for (std::uint32_t i = 0; i < kTakers; ++i) {
    takers.push_back(std::make_unique<testing::Child>([&] { return take<LongSlices>(*shop, i); }));
  }
  std::vector<std::unique_ptr<testing::Child>> publishers;
  for (std::uint64_t i = 0; i < kPublishers; ++i) {
    publishers.push_back(std::make_unique<testing::Child>(
        [&] { return publish<LongSlices>(*shop, each, seed + i); }));
  }
  for (const auto& publisher : publishers) EXPECT_EQ(publisher->join(), 0);
  finish<LongSlices>(*shop, kPublishers * each);
  for (const auto& taker : takers) EXPECT_EQ(taker->join(), 0);
  EXPECT_EQ(shop->taken.load(std::memory_order_relaxed), kPublishers * each);
}

// Takers are killed, mostly asleep, and stay on the list. A wake that was spent on one of them
// costs the others a slice at most.
TEST_F(DoorbellWaiterSet, TheDeadOnTheListDoNotStopTheLiving) {
  const std::uint64_t each = testing::scaled(2'000);
  const std::uint64_t seed = testing::random_seed();
  std::mt19937_64 random(seed);
  testing::Shared<Workshop> shop;
  testing::Child survivor([&] { return take<BellSystem>(*shop, 0); });
  testing::Child publisher([&] { return publish<BellSystem>(*shop, each, seed); });
  std::uint64_t killed = 0;
  while (shop->taken.load(std::memory_order_relaxed) < each) {
    const auto slot = static_cast<std::uint32_t>(1 + killed % (kTakers - 1));
    testing::Child victim([&] { return take<BellSystem>(*shop, slot); });
    for (std::uint64_t yields = random() % 256; yields > 0; --yields) std::this_thread::yield();
    ++killed;
  }
  EXPECT_EQ(publisher.join(), 0);
  finish<BellSystem>(*shop, each);
  EXPECT_EQ(survivor.join(), 0);
  std::printf("%llu takers killed\n", static_cast<unsigned long long>(killed));
}

// A publisher that is killed after each instruction between taking a waiter off the list and moving
// its bell: no other one finds that waiter until it enters anew. It does so, and looks, when its
// slice is over.
TEST_F(DoorbellWaiterSet, ADeathBetweenTheListAndTheBellCostsASlice) {
  testing::Shared<Workshop> shop;
  std::uint64_t forgotten = 0;
  for (std::uint64_t more = 0;;) {
    new (&*shop) Workshop{};
    MpmcWaiterSet waiters = shop->waiters();
    const auto asleep = [&] { return waiters.asleep(0); };
    testing::Child taker([&] { return take<BellSystem>(*shop, 0); });
    testing::Stepper victim([&] {
      BasicSetNotifier<MpmcWaiterSet, BellSystem> notifier(shop->waiters());
      while (!shop->waiters().asleep(0)) sched_yield();
      testing::Stepper::begin();
      // relaxed: one thread.
      shop->published.fetch_add(1, std::memory_order_relaxed);
      notifier.notify();
      testing::Stepper::end();
    });
    // relaxed: the bell moves once at most.
    const std::uint32_t bell = waiters.bell(0).load(std::memory_order_relaxed);
    while (asleep() && victim.step()) {
    }
    const bool there = victim.step_to(victim.steps() + more);
    victim.kill();
    // relaxed: as above; and `taken` says whether it looked meanwhile by itself.
    const bool moved = waiters.bell(0).load(std::memory_order_relaxed) != bell;
    const bool looked = shop->taken.load(std::memory_order_relaxed) != 0;
    if (!asleep() && !moved && !looked) ++forgotten;
    // Nobody publishes any more: it takes what there is, and sleeps on the list again.
    const std::uint64_t published = shop->published.load(std::memory_order_relaxed);
    while (shop->taken.load(std::memory_order_relaxed) != published || !asleep()) sched_yield();
    if (moved) break;
    // Else it had woken up by itself, or was not found: once more.
    if (there && !looked) ++more;
  }
  EXPECT_GT(forgotten, 0u);
}

}  // namespace
}  // namespace rondo
