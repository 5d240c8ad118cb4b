// Contract of latest. Each line has a test of the same name, in this order.
//
//  Values
//   1. ACellThatWasNeverStoredToHoldsNothing
//   2. AReaderSeesTheNewestValue
//   3. ValuesOfEverySizeArriveWhole
//   4. AReaderKnowsWhetherThereIsANewerValueAndHowManyItSkipped
//   5. ManyReadersSeeTheSame
//  The writer's death
//   6. AStoreThatWasBegunLeavesTheLastValueReadable
//   7. ASuccessorGoesOnBehindTheLastCompleteValue
//  A writer that is faster (one that is hostile: process/latest_step_test.cpp)
//   8. ACopyDuringWhichTheWriterCameRoundIsThrownAway
//   9. VersionsMayPassTwoToTheSixtyFour
//  Life cycle
//  10. ACellIsCreatedOnceAndAttachedToByOthers
//  11. ReadersNeedNothingButReadAccess
//  12. AttachRefusesAnotherTypeOfValue
//  13. AttachRefusesEveryGeometryThatDoesNotAddUp
//  14. ImpossibleCellsAreRefused
//  15. ForeignMemoryIsRefused
//  Waiting
//  16. AWaiterIsWokenByTheNextStore
#include "rondo/core/latest.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <array>
#include <cstring>
#include <memory>
#include <new>
#include <thread>

#include "rondo/core/segment.hpp"
#include "rondo/sync/doorbell.hpp"

namespace rondo {
namespace {

struct Quote {
  std::uint64_t bid = 0;
  std::uint64_t ask = 0;
  std::uint32_t size = 0;

  bool operator==(const Quote&) const = default;
};
Quote quote(std::uint64_t i) { return {i, i + 1, static_cast<std::uint32_t>(i)}; }

// A cell in memory of just its size.
template <class T>
class Cell {
 public:
  explicit Cell(const LatestParams& params = {})
      : layout_(*latest<T>::layout_for(params)),
        memory_(static_cast<std::byte*>(
            ::operator new (layout_.total_bytes, std::align_val_t{kPartAlignment}))) {
    std::memset(memory_, 0, layout_.total_bytes);
    parts_ = *latest<T>::create(bytes(), params);
  }
  Cell(const Cell&) = delete;
  Cell& operator=(const Cell&) = delete;
  ~Cell() { ::operator delete (memory_, std::align_val_t{kPartAlignment}); }

  [[nodiscard]] std::span<std::byte> bytes() const { return {memory_, layout_.total_bytes}; }
  [[nodiscard]] SegmentHeader& header() const { return *reinterpret_cast<SegmentHeader*>(memory_); }
  [[nodiscard]] const LatestParts& parts() const { return parts_; }
  [[nodiscard]] std::uint64_t version() const {
    return parts_.writer->version.load(std::memory_order_relaxed);
  }
  void set_version(std::uint64_t version) {
    parts_.writer->version.store(version, std::memory_order_relaxed);
  }

 private:
  LatestLayout layout_;
  std::byte* memory_;
  LatestParts parts_{};
};

TEST(Latest, ACellThatWasNeverStoredToHoldsNothing) {
  Cell<Quote> cell;
  latest<Quote>::Reader reader(cell.parts());
  Quote seen;
  EXPECT_EQ(reader.try_load(seen), LatestRead::kNothing);
  EXPECT_EQ(reader.version(), 0u);
  EXPECT_FALSE(reader.changed());
}

TEST(Latest, AReaderSeesTheNewestValue) {
  Cell<Quote> cell;
  latest<Quote>::Writer writer(cell.parts());
  latest<Quote>::Reader reader(cell.parts());
  for (std::uint64_t i = 1; i < 20; ++i) {
    writer.store(quote(i));
    Quote seen;
    ASSERT_EQ(reader.try_load(seen), LatestRead::kValue);
    EXPECT_EQ(seen, quote(i));
    ASSERT_EQ(reader.try_load(seen), LatestRead::kValue);  // and again: nothing is taken
    EXPECT_EQ(seen, quote(i));
    EXPECT_EQ(cell.version(), i);
  }
}

template <std::size_t kBytes>
void stores_and_loads_bytes() {
  using Value = std::array<unsigned char, kBytes>;
  Cell<Value> cell;
  typename latest<Value>::Writer writer(cell.parts());
  typename latest<Value>::Reader reader(cell.parts());
  for (unsigned round = 1; round < 10; ++round) {
    Value value;
    for (std::size_t i = 0; i < kBytes; ++i) value[i] = static_cast<unsigned char>(round * 31 + i);
    writer.store(value);
    Value seen{};
    ASSERT_EQ(reader.try_load(seen), LatestRead::kValue);
    EXPECT_EQ(seen, value) << kBytes;
  }
}

TEST(Latest, ValuesOfEverySizeArriveWhole) {
  stores_and_loads_bytes<1>();
  stores_and_loads_bytes<7>();
  stores_and_loads_bytes<8>();
  stores_and_loads_bytes<9>();
  stores_and_loads_bytes<127>();
  stores_and_loads_bytes<128>();
  stores_and_loads_bytes<129>();
  stores_and_loads_bytes<5003>();
}

TEST(Latest, AReaderKnowsWhetherThereIsANewerValueAndHowManyItSkipped) {
  Cell<Quote> cell;
  latest<Quote>::Writer writer(cell.parts());
  latest<Quote>::Reader reader(cell.parts());
  for (std::uint64_t i = 1; i <= 10; ++i) writer.store(quote(i));
  EXPECT_TRUE(reader.changed());
  Quote seen;
  ASSERT_EQ(reader.try_load(seen), LatestRead::kValue);
  EXPECT_EQ(reader.version(), 10u);
  EXPECT_FALSE(reader.changed());
  writer.store(quote(11));
  EXPECT_TRUE(reader.changed());
  EXPECT_EQ(reader.version(), 10u);
}

TEST(Latest, ManyReadersSeeTheSame) {
  Cell<Quote> cell;
  latest<Quote>::Writer writer(cell.parts());
  writer.store(quote(5));
  for (int i = 0; i < 100; ++i) {
    latest<Quote>::Reader reader(cell.parts());
    Quote seen;
    ASSERT_EQ(reader.try_load(seen), LatestRead::kValue);
    EXPECT_EQ(seen, quote(5));
  }
}

TEST(Latest, AStoreThatWasBegunLeavesTheLastValueReadable) {
  Cell<Quote> cell({.buffers = 2});
  latest<Quote>::Writer writer(cell.parts());
  writer.store(quote(1));
  writer.store(quote(2));
  cell.parts().words_of(3)[0].store(77, std::memory_order_relaxed);  // died here
  latest<Quote>::Reader reader(cell.parts());
  Quote seen;
  ASSERT_EQ(reader.try_load(seen), LatestRead::kValue);
  EXPECT_EQ(seen, quote(2));
}

TEST(Latest, ASuccessorGoesOnBehindTheLastCompleteValue) {
  Cell<Quote> cell({.buffers = 2});
  latest<Quote>::Writer(cell.parts()).store(quote(1));
  cell.parts().words_of(2)[0].store(77, std::memory_order_relaxed);  // died here
  latest<Quote>::Writer successor(cell.parts());
  EXPECT_EQ(successor.version(), 1u);
  successor.store(quote(2));
  latest<Quote>::Reader reader(cell.parts());
  Quote seen;
  ASSERT_EQ(reader.try_load(seen), LatestRead::kValue);
  EXPECT_EQ(seen, quote(2));
  EXPECT_EQ(reader.version(), 2u);
}

// The version moves on while a value is copied: simulated by a writer in another thread that
// never pauses. Every value that is returned is whole.
TEST(Latest, ACopyDuringWhichTheWriterCameRoundIsThrownAway) {
  using Value = std::array<std::uint64_t, 64>;
  Cell<Value> cell({.buffers = 2});
  std::atomic<bool> stop{false};
  std::thread writing([&] {
    latest<Value>::Writer writer(cell.parts());
    for (std::uint64_t i = 1; !stop.load(std::memory_order_relaxed); ++i) {
      Value value;
      value.fill(i);
      writer.store(value);
    }
  });
  latest<Value>::Reader reader(cell.parts());
  std::uint64_t values = 0;
  std::uint64_t last = 0;
  for (int i = 0; i < 20'000 || values < 100; ++i) {
    Value seen;
    if (reader.try_load(seen) != LatestRead::kValue) {
      std::this_thread::yield();
      continue;
    }
    ++values;
    EXPECT_THAT(seen, ::testing::Each(reader.version()));
    EXPECT_GE(reader.version(), last);
    last = reader.version();
    if (HasFailure()) break;
  }
  stop.store(true, std::memory_order_relaxed);
  writing.join();
}

TEST(Latest, VersionsMayPassTwoToTheSixtyFour) {
  Cell<Quote> cell;
  cell.set_version(~std::uint64_t{0} - 2);
  latest<Quote>::Writer writer(cell.parts());
  latest<Quote>::Reader reader(cell.parts());
  for (std::uint64_t i = 1; i < 10; ++i) {
    writer.store(quote(i));
    Quote seen;
    if (writer.version() == 0) {
      EXPECT_EQ(reader.try_load(seen), LatestRead::kNothing);
      continue;
    }
    ASSERT_EQ(reader.try_load(seen), LatestRead::kValue);
    EXPECT_EQ(seen, quote(i));
  }
}

TEST(Latest, ACellIsCreatedOnceAndAttachedToByOthers) {
  Cell<Quote> cell({.buffers = 8, .waiters = 3, .instance_id = 99});
  latest<Quote>::Writer(cell.parts()).store(quote(4));
  const auto parts = latest<Quote>::attach(cell.bytes());
  ASSERT_TRUE(parts) << parts.error().message;
  EXPECT_EQ(parts->buffers, 8u);
  EXPECT_EQ(parts->waiter_count, 3u);
  EXPECT_EQ(cell.header().instance_id.load(std::memory_order_relaxed), 99u);
  latest<Quote>::Reader reader(*parts);
  Quote seen;
  ASSERT_EQ(reader.try_load(seen), LatestRead::kValue);
  EXPECT_EQ(seen, quote(4));
}

TEST(Latest, ReadersNeedNothingButReadAccess) {
  const std::uint64_t size = latest<Quote>::layout_for()->total_bytes;
  auto segment = Segment::create({Backing::kMemfd, {}}, size, {}, [](std::span<std::byte> memory) {
    auto parts = latest<Quote>::create(memory);
    if (!parts) return Result<void>(parts.error());
    latest<Quote>::Writer(*parts).store(quote(6));
    return Result<void>();
  });
  ASSERT_TRUE(segment) << segment.error().message;
  auto mapped = Segment::attach_fd(segment->fd(), {}, Access::kReadOnly);
  ASSERT_TRUE(mapped) << mapped.error().message;
  auto parts = latest<Quote>::attach(mapped->bytes());
  ASSERT_TRUE(parts) << parts.error().message;
  latest<Quote>::Reader reader(*parts);
  Quote seen;
  ASSERT_EQ(reader.try_load(seen), LatestRead::kValue);
  EXPECT_EQ(seen, quote(6));
}

TEST(Latest, AttachRefusesAnotherTypeOfValue) {
  Cell<Quote> cell;
  const auto parts = latest<std::array<char, 25>>::attach(cell.bytes(), "shm:quote");
  ASSERT_FALSE(parts);
  EXPECT_EQ(parts.error().code, ErrorCode::kGeometryMismatch);
  EXPECT_THAT(parts.error().message, ::testing::HasSubstr("shm:quote"));
}

TEST(Latest, AttachRefusesEveryGeometryThatDoesNotAddUp) {
  const auto refused_with = [](auto&& change) {
    Cell<Quote> cell;
    change(cell.header());
    const auto parts = latest<Quote>::attach(cell.bytes());
    EXPECT_FALSE(parts);
    return parts ? ErrorCode::kSystem : parts.error().code;
  };
  constexpr auto kRelaxed = std::memory_order_relaxed;
  const auto set = [&](auto field, auto value) {
    return [=](SegmentHeader& header) { (header.*field).store(value, kRelaxed); };
  };
  for (const std::uint64_t buffers : {0u, 1u, 3u, 128u, 2048u}) {
    EXPECT_EQ(refused_with(set(&SegmentHeader::capacity, buffers)), ErrorCode::kBadGeometry)
        << buffers;
  }
  for (const std::uint32_t participants : {0u, 33u, 66u, 1000u}) {
    EXPECT_EQ(refused_with(set(&SegmentHeader::participants, participants)),
              ErrorCode::kBadGeometry)
        << participants;
  }
  EXPECT_EQ(refused_with(set(&SegmentHeader::feature_bits, std::uint64_t{1})),
            ErrorCode::kBadVersion);
  EXPECT_EQ(refused_with(set(&SegmentHeader::slot_bytes, 0u)), ErrorCode::kGeometryMismatch);
  EXPECT_EQ(refused_with(set(&SegmentHeader::kind, 2u)), ErrorCode::kBadKind);
  EXPECT_EQ(refused_with(set(&SegmentHeader::magic, std::uint64_t{0})), ErrorCode::kNotReady);
  EXPECT_EQ(refused_with(set(&SegmentHeader::total_bytes, std::uint64_t{4096})),
            ErrorCode::kSizeMismatch);
}

TEST(Latest, ImpossibleCellsAreRefused) {
  for (const std::uint32_t buffers : {0u, 1u, 3u, 2048u}) {
    const auto layout = latest<Quote>::layout_for({.buffers = buffers});
    ASSERT_FALSE(layout) << buffers;
    EXPECT_EQ(layout.error().code, ErrorCode::kInvalidCapacity);
  }
  EXPECT_FALSE(latest<Quote>::layout_for({.waiters = 65}));
}

TEST(Latest, ForeignMemoryIsRefused) {
  Cell<Quote> cell;
  const auto small = latest<Quote>::create(cell.bytes().first(cell.bytes().size() - 8));
  ASSERT_FALSE(small);
  EXPECT_EQ(small.error().code, ErrorCode::kTooSmall);
  const auto large = latest<std::array<char, 8000>>::layout_for();
  ASSERT_TRUE(large);
  const auto unlike = latest<Quote>::create(std::span(cell.bytes().data(), large->total_bytes));
  ASSERT_FALSE(unlike);
  EXPECT_EQ(unlike.error().code, ErrorCode::kSizeMismatch);
  alignas(kPartAlignment) static std::byte memory[4 * kPartAlignment];
  const std::uint64_t size = latest<Quote>::layout_for()->total_bytes;
  const auto crooked = latest<Quote>::create(std::span(memory).subspan(8, size));
  ASSERT_FALSE(crooked);
  EXPECT_EQ(crooked.error().code, ErrorCode::kMisaligned);
}

TEST(Latest, AWaiterIsWokenByTheNextStore) {
  Cell<Quote> cell({.waiters = 2});
  constexpr std::uint64_t kValues = 2000;
  std::atomic<std::uint64_t> seen_by_reader{0};
  std::thread reading([&] {
    latest<Quote>::Reader reader(cell.parts());
    Waiter waiter(cell.parts().waiter(1), cell.parts().writer->change_notifier);
    Quote seen;
    while (reader.version() < kValues) {
      while (!waiter.sleep_once([&] { return reader.changed(); }, Deadline::never())) {
      }
      if (reader.try_load(seen) == LatestRead::kValue) {
        seen_by_reader.store(reader.version(), std::memory_order_relaxed);
      }
    }
    EXPECT_EQ(seen, quote(kValues));
  });
  latest<Quote>::Writer writer(cell.parts());
  BroadcastNotifier notifier(cell.parts().writer->change_notifier);
  for (std::uint32_t i = 0; i < cell.parts().waiter_count; ++i) {
    ASSERT_TRUE(notifier.watch(cell.parts().waiter(i)));
  }
  for (std::uint64_t i = 1; i <= kValues; ++i) {
    writer.store(quote(i));
    notifier.notify();
    // Each value in turn, so that every one of them has to wake the reader.
    while (seen_by_reader.load(std::memory_order_relaxed) < i) std::this_thread::yield();
  }
  reading.join();
}

}  // namespace
}  // namespace rondo
