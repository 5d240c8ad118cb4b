// Several reliable readers of one record ring, as threads on one mapping, with payloads in plain
// memory, for TSan: weakening R1, R2, H1 or L2 makes it report a race. Readers that nobody waits
// for read what is being overwritten, by design, as a seqlock's do; they are
// record_readers_weak_test.cpp's.
#include <gtest/gtest.h>

#include <cstring>
#include <optional>
#include <thread>
#include <vector>

#include "support/readers_fixture.hpp"

namespace rondo {
namespace {

using testing::ReadersFixture;

std::size_t size_of(std::uint64_t i) { return 8 + i % 61; }

void send(ReadersFixture& ring, std::uint64_t records) {
  auto producer = ring.producer();
  for (std::uint64_t i = 0; i < records; ++i) {
    std::byte* bytes;
    while ((bytes = producer.try_reserve(size_of(i))) == nullptr) std::this_thread::yield();
    std::memset(bytes, static_cast<int>(i & 0xff), size_of(i));
    std::memcpy(bytes, &i, sizeof i);
    producer.commit(size_of(i));
  }
  producer.close();
}

// Reads to the end; the first record that it should get, or empty if it found something wrong.
std::optional<std::uint64_t> receive(record_ring::Consumer& consumer) {
  const std::uint64_t first = consumer.sequence();
  for (std::uint64_t i = first;; ++i) {
    ReadOutcome state;
    while ((state = consumer.try_peek()) == ReadOutcome::kEmpty) std::this_thread::yield();
    if (state == ReadOutcome::kEnd) return i - first;
    if (state != ReadOutcome::kMessage) return std::nullopt;
    std::uint64_t number;
    std::memcpy(&number, consumer.data(), sizeof number);
    if (number != i || consumer.size() != size_of(i)) return std::nullopt;
    for (std::size_t at = sizeof number; at < consumer.size(); ++at) {
      if (consumer.data()[at] != static_cast<std::byte>(i)) return std::nullopt;
    }
    if (!consumer.intact()) return std::nullopt;
    consumer.give_back();
  }
}

TEST(RecordReadersRace, PayloadsAreReadAsWrittenByAll) {
  constexpr std::uint64_t kRecords = 10000;
  ReadersFixture ring(1024, 3);  // wraps and fills
  auto one = ring.join(0, {.policy = ReaderPolicy::kReliable});
  auto two = ring.join(1, {.policy = ReaderPolicy::kReliable});
  std::optional<std::uint64_t> late_came;
  std::optional<std::uint64_t> late_read;
  std::thread sender(send, std::ref(ring), kRecords);
  std::thread reader([&] { EXPECT_EQ(receive(two), kRecords); });
  std::thread late([&] {
    auto three = record_ring::Consumer::join(ring.parts().of_reader(2), {});
    if (!three) return;
    late_came = three->sequence();
    late_read = receive(*three);
  });
  EXPECT_EQ(receive(one), kRecords);
  sender.join();
  reader.join();
  late.join();
  ASSERT_TRUE(late_came && late_read);
  EXPECT_EQ(*late_came + *late_read, kRecords);
}

}  // namespace
}  // namespace rondo
