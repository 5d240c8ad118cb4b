// Attendance under every reordering that the C++ memory model allows of its loads: a consumer that
// sees its producers counted as gone finds all that they published, however they went, and one that
// sees the news finds the change. Built with RONDO_ATOMIC_HEADER=support/weak_atomic.hpp.
// Weakening P1, P2, P3, N1 or N2 (mpmc_ring_presence.hpp) makes one of them fail.
#include <gtest/gtest.h>

#include <cstdint>

#include "ordering/mpmc_weak_ring.hpp"
#include "rondo/core/mpmc_ring.hpp"
#include "support/weak_memory.hpp"

namespace rondo {
namespace {

constexpr int kExecutions = 2'000;

void publish_one(const WeakRing& ring, std::uint32_t me) {
  Ring::Producer producer(Ring(ring.parts), me, Pacing::kOff);
  if (auto claim = producer.try_claim()) {
    write(**claim, 1);
    std::move(*claim).commit();
  }
}

// What is there once `gone` producers are counted as gone; nothing if they are not yet.
std::uint64_t messages_after_the_end(const WeakRing& ring, std::uint32_t me, std::uint64_t gone) {
  Ring::Consumer consumer(Ring(ring.parts), me, Pacing::kOff);
  std::uint64_t messages = 0;
  for (int look = 0; look < 200; ++look) {
    if (Ring(ring.parts).producing().count().gone() < gone) continue;
    while (auto message = consumer.try_next()) messages += read(**message);
    return messages;
  }
  return ~std::uint64_t{0};
}

TEST(MpmcPresenceWeak, WhoSeesAProducerLeaveFindsItsMessages) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    WeakRing ring(2);
    std::uint64_t found = 0;
    weak::Execution execution(seed);
    execution.run({[&] {
                     auto producing = Ring(ring.parts).producing();
                     producing.enter(0);
                     publish_one(ring, 0);
                     producing.leave(0);
                   },
                   [&] { found = messages_after_the_end(ring, 1, 1); }});
    if (found == ~std::uint64_t{0}) continue;  // it never looked late enough
    ASSERT_EQ(found, 1u) << "RONDO_SEED=" << seed;
  }
}

TEST(MpmcPresenceWeak, MessagesOfAProducerMarkedDeadAreVisible) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    WeakRing ring(2);
    Atomic<std::uint32_t> gone{0};
    std::uint64_t found = 0;
    weak::Execution execution(seed);
    execution.run({[&] {
                     Ring(ring.parts).producing().enter(0);
                     publish_one(ring, 0);
                     // release: what the kernel does for the prover of a death.
                     gone.store(1, std::memory_order_release);
                   },
                   [&] {
                     for (int look = 0; look < 200; ++look) {
                       if (gone.load(std::memory_order_acquire) == 0) continue;
                       Ring(ring.parts).producing().mark_dead(0);
                       return;
                     }
                   },
                   [&] { found = messages_after_the_end(ring, 1, 1); }});
    if (found == ~std::uint64_t{0}) continue;
    ASSERT_EQ(found, 1u) << "RONDO_SEED=" << seed;
  }
}

TEST(MpmcPresenceWeak, TheEpochAdvancesAfterWhatItCounts) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    WeakRing ring(2);
    std::uint64_t left = 1;
    Ring(ring.parts).producing().enter(0);
    const std::uint64_t before = Ring(ring.parts).producing().epoch();
    weak::Execution execution(seed);
    execution.run({[&] { Ring(ring.parts).producing().leave(0); },
                   [&] {
                     const auto producing = Ring(ring.parts).producing();
                     for (int look = 0; look < 50; ++look) {
                       if (producing.epoch() == before) continue;
                       left = producing.count().left;
                       return;
                     }
                   }});
    ASSERT_EQ(left, 1u) << "RONDO_SEED=" << seed;
  }
}

}  // namespace
}  // namespace rondo
