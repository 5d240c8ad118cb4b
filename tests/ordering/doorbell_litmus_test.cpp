// The store-load race of the doorbell between processes, on real processors. One round is one
// publish against one attempt to fall asleep:
//
//   publisher                      waiter
//   published = round              state = asleep
//   (light fence)                  heavy fence
//   sees = state                   ready = (published == round)
//
//   ready  rang   outcome
//   yes    -      allowed: the waiter found it
//   no     yes    allowed: the publisher wakes the waiter
//   no     no     FORBIDDEN by F1 and F2: the wake is lost
//
// The same rounds without the heavy fence must show the forbidden outcome: a test that can't fail
// proves nothing.
#include <pthread.h>
#include <sched.h>

#include <thread>

#include "rondo/core/platform.hpp"
#include "support/doorbell_fixture.hpp"

namespace rondo {
namespace {

struct Arena {
  alignas(kSharingRange) Atomic<std::uint64_t> publisher_at;
  alignas(kSharingRange) Atomic<std::uint64_t> waiter_at;
  alignas(kSharingRange) Atomic<std::uint64_t> not_ready_in;  // the last round that was not
  testing::Mailbox box;
};

constexpr std::uint64_t kOver = ~std::uint64_t{0};

enum class Fence { kHeavy, kNone, kOwnOnly };

// The arena that is played in.
const Arena* ground = nullptr;

// Sleeping is to stay asleep until the publisher has finished its round.
template <bool kRegister, Fence kFence>
struct LitmusSystem {
  static constexpr std::chrono::nanoseconds kSlice{0};
  static constexpr std::chrono::nanoseconds kUnfencedSlice{0};
  static bool register_publisher() noexcept { return kRegister && rondo::register_publisher(); }
  static bool heavy_fence() noexcept {
    if (kFence == Fence::kHeavy) return rondo::heavy_fence();
    if (kFence == Fence::kNone) return true;  // the mutant: claims what it does not do
    atomic_fence(std::memory_order_seq_cst);
    return false;
  }
  static FutexResult wait(const Atomic<std::uint32_t>&, std::uint32_t, std::chrono::nanoseconds,
                          Deadline) noexcept {
    const std::uint64_t finished = ground->waiter_at.load(std::memory_order_relaxed) + 1;
    while (ground->publisher_at.load(std::memory_order_relaxed) < finished) {
      std::this_thread::yield();
    }
    return FutexResult::kTimedOut;
  }
  static int wake(const Atomic<std::uint32_t>&, int) noexcept { return 1; }
};

// Waits for the other side to come to `step`; from then on both race.
void meet(Atomic<std::uint64_t>& mine, const Atomic<std::uint64_t>& other, std::uint64_t step) {
  // B1 (release, pairs with B2): all before this step is over.
  mine.store(step, std::memory_order_release);
  // B2 (acquire, pairs with B1): as B1.
  for (int looks = 1; other.load(std::memory_order_acquire) < step; ++looks) {
    if (looks % 4096 == 0) std::this_thread::yield();
  }
}

void stagger(std::mt19937_64& random) {
  for (std::uint64_t pauses = random() % 4; pauses > 0; --pauses) cpu_relax();
}

void pin_to(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

// relaxed everywhere below: only the doorbell's own orders are put to the test.
template <class System>
void play_waiter(Arena& arena, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  BasicWaiter<System> waiter(arena.box.waiter, arena.box.notifier);
  for (std::uint64_t round = 1;; ++round) {
    meet(arena.waiter_at, arena.publisher_at, 2 * round - 1);
    if (arena.publisher_at.load(std::memory_order_relaxed) == kOver) return;
    stagger(random);
    bool first = true;  // only the look before the sleep counts
    static_cast<void>(waiter.sleep_once(
        [&] {
          const bool ready = arena.box.published.load(std::memory_order_relaxed) == round;
          if (first && !ready) arena.not_ready_in.store(round, std::memory_order_relaxed);
          first = false;
          return ready;
        },
        Deadline::never()));
    meet(arena.waiter_at, arena.publisher_at, 2 * round);
  }
}

template <class System>
std::uint64_t play_publisher(Arena& arena, std::uint64_t seed, std::uint64_t rounds,
                             std::uint64_t enough) {
  std::mt19937_64 random(seed);
  BasicNotifier<System> notifier(arena.box.waiter, arena.box.notifier);
  std::uint64_t lost = 0;
  for (std::uint64_t round = 1; round <= rounds && lost < enough; ++round) {
    meet(arena.publisher_at, arena.waiter_at, 2 * round - 1);
    stagger(random);
    const std::uint32_t rings = arena.box.notifier.rings.load(std::memory_order_relaxed);
    // P1 (release): as a ring publishes.
    arena.box.published.store(round, std::memory_order_release);
    notifier.notify();
    const bool rang = arena.box.notifier.rings.load(std::memory_order_relaxed) != rings;
    meet(arena.publisher_at, arena.waiter_at, 2 * round);
    if (!rang && arena.not_ready_in.load(std::memory_order_relaxed) == round) ++lost;
  }
  return lost;
}

// Plays between two processes until `rounds` are over or `enough` wakes were lost. Returns how many
// were lost.
template <class System>
std::uint64_t lost_wakes(std::uint64_t rounds, std::uint64_t enough) {
  const std::uint64_t seed = testing::random_seed();
  testing::Shared<Arena> arena;
  ground = &*arena;
  testing::Child waiter([&] {
    pin_to(1);
    play_waiter<System>(*arena, seed);
    return 0;
  });
  pin_to(0);
  const std::uint64_t lost = play_publisher<System>(*arena, seed + 1, rounds, enough);
  // relaxed: the waiter stops at its next round, or in this one.
  arena->publisher_at.store(kOver, std::memory_order_relaxed);
  EXPECT_EQ(waiter.join(), 0);
  std::printf("%llu wakes lost\n", static_cast<unsigned long long>(lost));
  return lost;
}

class DoorbellLitmus : public testing::Watchdog {
 protected:
  void SetUp() override {
    if (std::thread::hardware_concurrency() < 2) GTEST_SKIP() << "needs two processors";
    if (!register_publisher()) GTEST_SKIP() << "no membarrier here";
  }
};

TEST_F(DoorbellLitmus, NoWakeIsLostWithTheHeavyFence) {
  EXPECT_EQ((lost_wakes<LitmusSystem<true, Fence::kHeavy>>(testing::scaled(30'000), 1)), 0u);
}

TEST_F(DoorbellLitmus, NoWakeIsLostToAnUnregisteredPublisher) {
  EXPECT_EQ((lost_wakes<LitmusSystem<false, Fence::kHeavy>>(testing::scaled(30'000), 1)), 0u);
}

TEST_F(DoorbellLitmus, NoWakeIsLostByAWaiterWithoutTheHeavyFence) {
  EXPECT_EQ((lost_wakes<LitmusSystem<true, Fence::kOwnOnly>>(testing::scaled(30'000), 1)), 0u);
}

TEST_F(DoorbellLitmus, WakesAreLostWithoutTheHeavyFence) {
  if (RONDO_THREAD_SANITIZER != 0) GTEST_SKIP() << "ThreadSanitizer's own code fences";
  EXPECT_GT((lost_wakes<LitmusSystem<true, Fence::kNone>>(20'000'000, 100)), 0u);
}

}  // namespace
}  // namespace rondo
