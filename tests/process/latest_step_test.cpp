// The writer of a last-value cell dies after each of its instructions. At each of these points a
// reader finds the last complete value at once, and a successor goes on. Careless victims show that
// the judgement notices. And the other way round: a reader meets a writer that is hostile between
// any two of its instructions.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>

#include "process/stepper.hpp"
#include "rondo/core/latest.hpp"
#include "support/processes.hpp"

namespace rondo::testing {
namespace {

// Of an odd number of half words, so that the last word is a partial one; without padding.
struct Value {
  std::array<std::uint32_t, 15> words;
};
Value value(std::uint64_t i) {
  Value made;
  made.words.fill(static_cast<std::uint32_t>(i));
  return made;
}
bool whole(const Value& seen, std::uint64_t i) {
  const Value expected = value(i);
  return std::memcmp(&seen, &expected, sizeof seen) == 0;
}

using Cell = latest<Value>;

class SharedCell {
 public:
  explicit SharedCell(std::uint32_t buffers)
      : size_(Cell::layout_for({.buffers = buffers})->total_bytes),
        memory_(static_cast<std::byte*>(
            mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
    if (memory_ == MAP_FAILED) std::abort();
    parts_ = *Cell::create({memory_, size_}, {.buffers = buffers});
  }
  SharedCell(const SharedCell&) = delete;
  SharedCell& operator=(const SharedCell&) = delete;
  ~SharedCell() { munmap(memory_, size_); }

  [[nodiscard]] const LatestParts& parts() const { return parts_; }
  void become(const SharedCell& other) { std::memcpy(memory_, other.memory_, size_); }

 private:
  std::uint64_t size_;
  std::byte* memory_;
  LatestParts parts_{};
};

constexpr std::uint64_t kStores = 5;

void store_some(const SharedCell& cell, std::uint64_t& stored) {
  Cell::Writer writer(cell.parts());
  for (std::uint64_t i = 0; i < kStores; ++i) {
    writer.store(value(writer.version() + 1));
    stored = writer.version();
  }
}
// A plain seqlock's way: writes over the value that stands.
void store_in_place(const SharedCell& cell, std::uint64_t& stored) {
  Cell::Writer writer(cell.parts());
  const std::uint64_t now = writer.version();
  const Value next = value(now + 1);
  auto* words = cell.parts().words_of(now);
  std::uint64_t copied[(sizeof next + 7) / 8] = {};
  std::memcpy(copied, &next, sizeof next);
  // relaxed: one thread is judged.
  for (std::size_t i = 0; i < std::size(copied); ++i) {
    words[i].store(copied[i], std::memory_order_relaxed);
  }
  stored = now;
}
// Counts a value before it is written.
void count_first(const SharedCell& cell, std::uint64_t& stored) {
  const std::uint64_t next = cell.parts().writer->version.load(std::memory_order_relaxed) + 1;
  cell.parts().writer->version.store(next, std::memory_order_relaxed);
  const Value late = value(next);
  std::memcpy(static_cast<void*>(cell.parts().words_of(next)), &late, sizeof late);
  stored = next;
}

// What is wrong with the cell that a dead victim left; empty if nothing.
std::string verdict(const SharedCell& cell, std::uint64_t stored) {
  Cell::Reader reader(cell.parts());
  Value seen;
  if (reader.try_load(seen) != LatestRead::kValue) return "no value";
  if (reader.version() < stored) return "a stored value was lost";
  if (reader.version() > stored + 1) return "a value that nobody stored";
  if (!whole(seen, reader.version())) return "torn";
  Cell::Writer successor(cell.parts());
  for (int i = 0; i < 8; ++i) {
    successor.store(value(successor.version() + 1));
    if (reader.try_load(seen) != LatestRead::kValue) return "no value of the successor";
    if (reader.version() != successor.version() || !whole(seen, successor.version())) {
      return "the successor's value is torn";
    }
  }
  return {};
}

struct Outcome {
  std::uint64_t instructions = 0;
  std::uint64_t failures = 0;
  std::string first_failure;
};

Outcome tell(const std::function<void(const SharedCell&, std::uint64_t&)>& act) {
  Outcome outcome;
  for (const std::uint32_t buffers : {2u, 4u}) {
    for (std::uint64_t before = 1; before <= buffers; ++before) {
      SharedCell cell(buffers);
      SharedCell copy(buffers);
      Shared<std::uint64_t> stored;
      {
        Cell::Writer writer(cell.parts());
        for (std::uint64_t i = 1; i <= before; ++i) writer.store(value(i));
        *stored = before;
      }
      Stepper victim([&] {
        Stepper::begin();
        act(cell, *stored);
        Stepper::end();
      });
      do {
        copy.become(cell);
        const std::string wrong = verdict(copy, *stored);
        if (!wrong.empty() && outcome.failures++ == 0) {
          outcome.first_failure = wrong + " after instruction " + std::to_string(victim.steps());
        }
      } while (victim.step());
      outcome.instructions += victim.steps();
      EXPECT_TRUE(victim.finished()) << "the victim did not come to its end";
    }
  }
  std::printf("died after each of %llu instructions: %llu failures\n",
              static_cast<unsigned long long>(outcome.instructions),
              static_cast<unsigned long long>(outcome.failures));
  return outcome;
}

class LatestSteps : public Watchdog {};

TEST_F(LatestSteps, AWriterMayDieAfterAnyInstruction) {
  const Outcome outcome = tell(store_some);
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  EXPECT_GT(outcome.instructions, 500u);
}
// Between any two instructions of the reader the version jumps.
TEST_F(LatestSteps, AReaderIsBusyAtWorstAndNeverHangs) {
  SharedCell cell(4);
  Cell::Writer(cell.parts()).store(value(1));
  Shared<LatestRead> result;
  Stepper victim([&] {
    Cell::Reader reader(cell.parts());
    Value seen;
    Stepper::begin();
    *result = reader.try_load(seen);
    Stepper::end();
  });
  std::uint64_t version = 1;
  while (victim.step()) {
    version += 1'000'003;
    cell.parts().writer->version.store(version, std::memory_order_relaxed);
  }
  EXPECT_TRUE(victim.finished());
  EXPECT_EQ(*result, LatestRead::kBusy);
  EXPECT_LT(victim.steps(), 100'000u);
}
TEST_F(LatestSteps, AWriterThatStoresOverTheStandingValueIsCaught) {
  EXPECT_GT(tell(store_in_place).failures, 0u);
}
TEST_F(LatestSteps, AWriterThatCountsBeforeItWritesIsCaught) {
  EXPECT_GT(tell(count_first).failures, 0u);
}

}  // namespace
}  // namespace rondo::testing
