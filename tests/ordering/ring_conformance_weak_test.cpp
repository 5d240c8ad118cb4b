// What every ring owes its two sides under simulated weak memory: what is read is what was
// committed, in order, each once. The same traits as in conformance/ring_conformance.hpp; each
// ring's own *_weak_test goes further. Contract; each line has a test of the same name, in this
// order.
//  1. WhatIsReadIsWhatWasCommitted
//  2. ASecondLifeOfEitherSideGoesOn
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "conformance/ring_traits.hpp"
#include "support/weak_memory.hpp"

namespace rondo::testing {
namespace {

std::uint64_t first_seed() {
  const char* given = std::getenv("RONDO_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

constexpr std::uint64_t kSeeds = 150;
constexpr std::uint64_t kMessages = 14;  // several laps
constexpr std::uint64_t kPatience = 50'000;

// A new ring on the heap.
template <class Traits>
struct WeakRing {
  WeakRing() : bytes(Traits::Ring::layout_for(Traits::params(1))->total_bytes) {
    memory.reset(static_cast<std::byte*>(::operator new(bytes, kAlignment)));
    std::fill_n(memory.get(), bytes, std::byte{0});
    parts = Traits::Ring::create({memory.get(), bytes}, Traits::params(1)).value();
  }

  static constexpr std::align_val_t kAlignment{kPartAlignment};
  struct Free {
    void operator()(std::byte* at) const noexcept { ::operator delete(at, kAlignment); }
  };
  std::size_t bytes;
  std::unique_ptr<std::byte, Free> memory;
  typename Traits::Ring::Parts parts{};
};

// One side after the other lives `lives` times; a claim is given up now and then. What was wrong,
// or nothing.
template <class Traits>
std::string run(std::uint64_t seed, std::uint64_t lives) {
  WeakRing<Traits> ring;
  std::string wrong;
  std::uint64_t received = 0;
  bool joined = false;
  weak::Execution execution(seed);
  execution.run({
      [&] {
        std::uint64_t sent = 0;
        while (!joined && wrong.empty()) execution.yield();  // who comes late may have lost some
        for (std::uint64_t life = 1; life <= lives; ++life) {
          auto producer = Traits::producer(ring.parts);
          if (!producer) return static_cast<void>(wrong = "no second producer");
          std::uint64_t tries = 0;
          while (sent < kMessages * life / lives && wrong.empty()) {
            // Of a ring that overwrites, no message may be overwritten here.
            const bool ahead = Traits::kOverwrites && sent >= received + 2;
            auto claim = ahead ? std::nullopt : Traits::try_claim(*producer);
            if (!claim) {
              if (++tries > kPatience) return static_cast<void>(wrong = "full for ever");
              execution.yield();
              continue;
            }
            write(*claim, 1000 + sent + 1);
            if (sent % 5 == 3 && tries % 2 == 0) {
              ++tries;
              continue;  // never happened
            }
            std::move(*claim).commit();
            ++sent;
            tries = 0;
          }
        }
      },
      [&] {
        for (std::uint64_t life = 1; life <= lives; ++life) {
          auto consumer = Traits::consumer(ring.parts);
          if (!consumer) return static_cast<void>(wrong = "no second consumer");
          joined = true;
          std::uint64_t tries = 0;
          while (received < kMessages * life / lives && wrong.empty()) {
            const auto message = consumer->try_next();
            if (!message) {
              if (consumer->outcome() == ReadOutcome::kCorrupt) wrong = "corrupt";
              if (++tries > kPatience) return static_cast<void>(wrong = "empty for ever");
              continue;
            }
            const std::uint64_t number = read(*message);
            if (number != 1000 + received + 1) {
              wrong = "number " + std::to_string(received + 1) + " reads " + std::to_string(number);
            }
            ++received;
            tries = 0;
          }
        }
      },
  });
  if (wrong.empty() && received != kMessages) wrong = "not all have come";
  return wrong;
}

template <class Traits>
class RingConformanceWeak : public ::testing::Test {
 protected:
  static void holds(std::uint64_t lives) {
    const std::uint64_t first = first_seed();
    for (std::uint64_t seed = first; seed < first + kSeeds; ++seed) {
      ASSERT_EQ(run<Traits>(seed, lives), "") << "RONDO_SEED=" << seed;
    }
  }
};
struct Names {
  template <class Traits>
  static std::string GetName(int) {
    const bool readers = std::is_same_v<Traits, RecordReadersTraits>;
    return std::string(to_string(Traits::kKind)) + (readers ? "_readers" : "");
  }
};
using Rings = ::testing::Types<SpscTraits<std::uint64_t>, RecordTraits, RecordReadersTraits,
                               MpmcTraits<std::uint64_t>, FramePoolTraits>;
TYPED_TEST_SUITE(RingConformanceWeak, Rings, Names);

TYPED_TEST(RingConformanceWeak, WhatIsReadIsWhatWasCommitted) { this->holds(1); }
TYPED_TEST(RingConformanceWeak, ASecondLifeOfEitherSideGoesOn) { this->holds(3); }

}  // namespace
}  // namespace rondo::testing
