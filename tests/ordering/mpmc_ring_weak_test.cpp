// The MPMC ring under every reordering that the C++ memory model allows of its loads, with one of
// its participants dying somewhere. Built with RONDO_ATOMIC_HEADER=support/weak_atomic.hpp.
// Payloads are atomic words here, accessed relaxed, so that a state that arrives before its payload
// is seen.
// Weakening any order of mpmc_ring_words.hpp but S3 to S6 makes one of them fail. A1 and A3 keep a
// store from overtaking another: so recovery may come between the stores of a slot's state.
#include <gtest/gtest.h>

#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "ordering/mpmc_weak_ring.hpp"
#include "rondo/core/mpmc_ring.hpp"
#include "support/weak_memory.hpp"

namespace rondo {
namespace {

constexpr int kExecutions = 3'000;

// Participant 0 never lived: it left announcements of positions that others own.
struct Zero {
  bool is_dead(std::uint32_t who) const { return who == 0; }
  bool try_lock_dead(std::uint32_t who) const { return who == 0; }
  void unlock(std::uint32_t) const {}
};

// Participant 0 dies once `gone` says so.
struct ZeroOnce {
  Atomic<std::uint32_t>& gone;
  bool is_dead(std::uint32_t who) const {
    return who == 0 && gone.load(std::memory_order_acquire) != 0;
  }
  bool try_lock_dead(std::uint32_t who) const { return is_dead(who); }
  void unlock(std::uint32_t) const {}
};

void expect_each_once(const std::vector<std::uint64_t>& got, std::uint64_t sent,
                      std::uint64_t seed) {
  std::vector<int> times(sent + 1, 0);
  for (const std::uint64_t value : got) {
    ASSERT_GE(value, 1u) << "not yet written, RONDO_SEED=" << seed;
    ASSERT_LE(value, sent) << "RONDO_SEED=" << seed;
    ASSERT_EQ(++times[value], 1) << "message " << value << " twice, RONDO_SEED=" << seed;
  }
  ASSERT_EQ(got.size(), sent) << "RONDO_SEED=" << seed;
}

TEST(MpmcRingWeak, EachMessageArrivesOnceAndWhole) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions / 3; ++seed) {
    WeakRing ring(2);
    std::vector<std::uint64_t> got;
    weak::Execution execution(seed, weak::Modifications::kAnywhere);
    const auto send = [&ring](std::uint32_t me, std::uint64_t value) {
      Ring::Producer producer(Ring(ring.parts), me, Pacing::kOff);
      for (int i = 0; i < 3;) {
        if (auto claim = producer.try_claim()) {
          write(**claim, value + static_cast<std::uint64_t>(i++));
          std::move(*claim).commit();
        }
      }
    };
    execution.run({[&] { send(0, 1); }, [&] { send(1, 4); },
                   [&] {
                     Ring::Consumer consumer(Ring(ring.parts), 2, Pacing::kOff);
                     while (got.size() < 6) {
                       if (auto message = consumer.try_next()) got.push_back(read(**message));
                     }
                   }});
    expect_each_once(got, 6, seed);
  }
}

// A dead participant has the positions of live producers on record; recovery runs all the while.
TEST(MpmcRingWeak, RecoveryNeverRobsALiveProducer) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    WeakRing ring(2);
    std::uint32_t tombstones = 0;
    weak::Execution execution(seed, weak::Modifications::kAnywhere);
    execution.run({[&] {
                     Ring::Producer producer(Ring(ring.parts), 1, Pacing::kOff);
                     for (int i = 0; i < 2;) {
                       if (auto claim = producer.try_claim()) {
                         write(**claim, 1);
                         std::move(*claim).commit();
                         ++i;
                       }
                     }
                   },
                   [&] {
                     Zero liveness;
                     auto recovery = Ring(ring.parts).recovery(3);
                     for (int i = 0; i < 6; ++i) {
                       ring.participants[0].claiming.store(mpmc_announcement::make(0, 2),
                                                           std::memory_order_relaxed);
                       tombstones += recovery.all(liveness).tombstones;
                     }
                   }});
    ASSERT_EQ(tombstones, 0u) << "RONDO_SEED=" << seed;
  }
}

// The same, where a producer that has published loses the race for the next slot, finds the ring
// full, and clears its record.
TEST(MpmcRingWeak, RecoveryNeverRobsWhoHasGivenUp) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    WeakRing ring(2);
    std::uint32_t tombstones = 0;
    weak::Execution execution(seed, weak::Modifications::kAnywhere);
    const auto send = [&ring](std::uint32_t me) {
      Ring::Producer producer(Ring(ring.parts), me, Pacing::kOff);
      for (int i = 0; i < 2; ++i) {
        if (auto claim = producer.try_claim()) {
          write(**claim, 1);
          std::move(*claim).commit();
        }
      }
    };
    execution.run({[&] { send(1); }, [&] { send(2); },
                   [&] {
                     Zero liveness;
                     auto recovery = Ring(ring.parts).recovery(3);
                     for (int i = 0; i < 4; ++i) {
                       ring.participants[0].claiming.store(mpmc_announcement::make(0, 2),
                                                           std::memory_order_relaxed);
                       tombstones += recovery.all(liveness).tombstones;
                     }
                   }});
    ASSERT_EQ(tombstones, 0u) << "RONDO_SEED=" << seed;
  }
}

// The same for consumers.
TEST(MpmcRingWeak, RecoveryNeverRobsALiveConsumer) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    WeakRing ring(2);
    std::uint32_t orphaned = 0;
    {
      Ring::Producer producer(Ring(ring.parts), 1, Pacing::kOff);
      for (std::uint64_t i = 1; i <= 2; ++i) {
        auto claim = producer.try_claim();
        write(**claim, i);
        std::move(*claim).commit();
      }
    }
    std::vector<std::uint64_t> got;
    weak::Execution execution(seed, weak::Modifications::kAnywhere);
    execution.run({[&] {
                     Ring::Consumer consumer(Ring(ring.parts), 2, Pacing::kOff);
                     while (got.size() < 2) {
                       if (auto message = consumer.try_next()) got.push_back(read(**message));
                     }
                   },
                   [&] {
                     Zero liveness;
                     auto recovery = Ring(ring.parts).recovery(3);
                     for (int i = 0; i < 6; ++i) {
                       ring.participants[0].taking.store(mpmc_announcement::make(0, 2),
                                                         std::memory_order_relaxed);
                       orphaned += recovery.all(liveness).orphaned;
                     }
                   }});
    ASSERT_EQ(orphaned, 0u) << "RONDO_SEED=" << seed;
    expect_each_once(got, 2, seed);
  }
}

// A dead consumer's message, orphaned by one and taken over by another, is seen whole.
TEST(MpmcRingWeak, AMessageTakenOverIsWhole) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions / 3; ++seed) {
    WeakRing ring(2);
    Atomic<std::uint32_t> gone{0};
    std::vector<std::uint64_t> got;
    weak::Execution execution(seed, weak::Modifications::kAnywhere);
    execution.run({[&] {
                     Ring::Producer producer(Ring(ring.parts), 1, Pacing::kOff);
                     if (auto claim = producer.try_claim()) {
                       write(**claim, 1);
                       std::move(*claim).commit();
                     }
                   },
                   [&] {  // takes and dies
                     Ring::Consumer consumer(Ring(ring.parts), 0, Pacing::kOff);
                     while (got.empty()) {
                       if (auto message = consumer.try_next()) {
                         alignas(decltype(message)) static std::byte grave[sizeof message];
                         new (grave) decltype(message)(std::move(message));
                         // release: what the kernel does for the prover of a death.
                         gone.store(1, std::memory_order_release);
                         return;
                       }
                     }
                   },
                   [&] {
                     ZeroOnce liveness{gone};
                     auto recovery = Ring(ring.parts).recovery(3);
                     while (got.empty() && recovery.all(liveness).orphaned == 0) {
                     }
                   },
                   [&] {  // takes over what another one has recovered
                     Ring::Consumer consumer(Ring(ring.parts), 2, Pacing::kOff);
                     for (int i = 0; i < 5'000 && got.empty(); ++i) {
                       if (auto message = consumer.try_next()) got.push_back(read(**message));
                     }
                   }});
    expect_each_once(got, 1, seed);
  }
}

// A consumer that finds the first message of a batch finds all of it.
TEST(MpmcRingWeak, ABatchBecomesVisibleAtOnce) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions / 3; ++seed) {
    WeakRing ring(4);
    std::size_t got = 0;
    weak::Execution execution(seed, weak::Modifications::kAnywhere);
    execution.run({[&] {
                     Ring::Producer producer(Ring(ring.parts), 0, Pacing::kOff);
                     auto claim = producer.try_claim(3);
                     for (std::uint32_t i = 0; i < 3; ++i) write((*claim)[i], i + 1);
                     std::move(*claim).commit();
                   },
                   [&] {
                     Ring::Consumer consumer(Ring(ring.parts), 1, Pacing::kOff);
                     for (int look = 0; look < 1'000 && got == 0; ++look) {
                       if (auto messages = consumer.try_next_some(3)) got = messages->size();
                     }
                   }});
    if (got == 0) continue;  // it never looked late enough
    ASSERT_EQ(got, 3u) << "RONDO_SEED=" << seed;
  }
}

}  // namespace
}  // namespace rondo
