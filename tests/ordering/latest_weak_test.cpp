// The last-value cell under every reordering that the C++ memory model allows of its loads. Built
// with RONDO_ATOMIC_HEADER=support/weak_atomic.hpp.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <functional>
#include <vector>

#include "rondo/core/latest.hpp"
#include "support/weak_memory.hpp"

namespace rondo {
namespace {

constexpr std::uint64_t kExecutions = 400;

std::uint64_t first_seed() {
  const char* given = std::getenv("RONDO_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

// Every word tells which value it belongs to.
using Value = std::array<std::uint64_t, 3>;
using Cell = latest<Value>;

struct Memory {
  static constexpr std::uint64_t kStride = 16;  // words

  explicit Memory(std::uint64_t buffers) : words(buffers * kStride) {
    parts = {&writer, words.data(), kStride, buffers, nullptr, 0, 0};
  }
  LatestWriterPart writer{};
  std::vector<Atomic<std::uint64_t>> words;
  LatestParts parts{};
};

// `writers` one after the other store `stores` values each; two readers look on. Returns the number
// of values seen. The first word of what is wrong goes to `wrong`.
std::uint64_t look_on(std::uint64_t seed, std::uint64_t buffers, std::uint64_t writers,
                      std::uint64_t stores, bool killed, const char*& wrong) {
  Memory memory(buffers);
  std::uint64_t values = 0;
  const std::uint64_t total = writers * stores;
  Atomic<std::uint64_t> turn(0);
  std::vector<std::function<void()>> bodies;
  for (std::uint64_t mine = 0; mine < writers; ++mine) {
    bodies.emplace_back([&, mine] {
      // acquire: the kernel's lock, which a successor of the writer takes, orders the two.
      while (turn.load(std::memory_order_acquire) != mine) {
      }
      Cell::Writer writer(memory.parts);
      if (killed && mine + 1 < writers) {
        // Dies in the middle of a store: what the next one stores over.
        const std::uint64_t begun = writer.version() + 1;
        memory.parts.words_of(begun)[0].store(1'000'000, std::memory_order_release);
      } else {
        for (std::uint64_t i = 0; i < stores; ++i) {
          const std::uint64_t number = writer.version() + 1;
          writer.store({number, number, number});
        }
      }
      turn.store(mine + 1, std::memory_order_release);
    });
  }
  for (int reader_number = 0; reader_number < 2; ++reader_number) {
    bodies.emplace_back([&] {
      Cell::Reader reader(memory.parts);
      std::uint64_t last = 0;
      for (std::uint64_t look = 0; look < 4 * total && wrong == nullptr; ++look) {
        Value seen{};
        const LatestRead read = reader.try_load(seen);
        if (read != LatestRead::kValue) continue;
        ++values;
        const std::uint64_t version = reader.version();
        if (version < last) wrong = "went back";
        for (const std::uint64_t word : seen) {
          if (word < version) wrong = "a word of an earlier value";
          if (word > version) wrong = "a word of a later value";
        }
        last = version;
      }
    });
  }
  weak::Execution execution(seed);
  execution.run(std::move(bodies));
  return values;
}

void never_wrong(std::uint64_t buffers, std::uint64_t writers, std::uint64_t stores, bool killed) {
  std::uint64_t values = 0;
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    const char* wrong = nullptr;
    values += look_on(seed, buffers, writers, stores, killed, wrong);
    ASSERT_EQ(wrong, nullptr) << wrong << ", RONDO_SEED=" << seed;
  }
  EXPECT_GT(values, kExecutions);
}

TEST(LatestWeak, EveryValueSeenIsWholeWithTwoBuffers) { never_wrong(2, 1, 8, false); }
TEST(LatestWeak, EveryValueSeenIsWholeWithFourBuffers) { never_wrong(4, 1, 12, false); }
TEST(LatestWeak, WritersMayFollowEachOther) { never_wrong(2, 4, 2, false); }
TEST(LatestWeak, WritersMayDieInTheMiddleOfAStore) { never_wrong(2, 4, 2, true); }

}  // namespace
}  // namespace rondo
