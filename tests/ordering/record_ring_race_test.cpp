// The record ring as two threads on one mapping, with payloads in plain memory, for TSan: weakening
// R1, R2, R4, H1 or H2 makes it report a race. Its other orders are record_ring_weak_test.cpp's.
#include <gtest/gtest.h>

#include <cstring>
#include <thread>
#include <vector>

#include "support/record_fixture.hpp"

namespace rondo {
namespace {

using testing::RecordFixture;

// Record i has 8 + i % 61 bytes, all of them i's low byte but for the number in front.
std::size_t size_of(std::uint64_t i) { return 8 + i % 61; }

void send(RecordFixture& ring, std::uint64_t records, std::uint64_t window) {
  auto producer = ring.producer(window);
  for (std::uint64_t i = 0; i < records; ++i) {
    std::byte* bytes;
    while ((bytes = producer.try_reserve(size_of(i))) == nullptr) std::this_thread::yield();
    std::memset(bytes, static_cast<int>(i & 0xff), size_of(i));
    std::memcpy(bytes, &i, sizeof i);
    producer.commit(size_of(i));
  }
  producer.close();
}

std::uint64_t receive(RecordFixture& ring, Pacing pacing) {
  auto consumer = record_ring::Consumer::attach(ring.parts(), Acknowledge::kLazily, pacing).value();
  for (std::uint64_t i = 0;; ++i) {
    ReadOutcome state;
    while ((state = consumer.try_peek()) == ReadOutcome::kEmpty) std::this_thread::yield();
    if (state != ReadOutcome::kMessage) return state == ReadOutcome::kEnd ? i : ~std::uint64_t{0};
    std::uint64_t number;
    std::memcpy(&number, consumer.data(), sizeof number);
    if (number != i || consumer.size() != size_of(i)) return ~std::uint64_t{0};
    for (std::size_t at = sizeof number; at < consumer.size(); ++at) {
      if (consumer.data()[at] != static_cast<std::byte>(i)) return ~std::uint64_t{0};
    }
    consumer.give_back();
  }
}

class RecordRingRace : public ::testing::TestWithParam<Pacing> {};

TEST_P(RecordRingRace, PayloadsAreReadAsWritten) {
  constexpr std::uint64_t kRecords = 20000;
  RecordFixture ring(1024);  // wraps and fills
  std::thread sender(send, std::ref(ring), kRecords, EarlyWrap::kWindow);
  EXPECT_EQ(receive(ring, GetParam()), kRecords);
  sender.join();
}
TEST_P(RecordRingRace, PayloadsAreReadAsWrittenInAWindow) {
  constexpr std::uint64_t kRecords = 20000;
  RecordFixture ring(4096);
  std::thread sender(send, std::ref(ring), kRecords, std::uint64_t{1024});
  EXPECT_EQ(receive(ring, GetParam()), kRecords);
  sender.join();
}

INSTANTIATE_TEST_SUITE_P(Pacing, RecordRingRace, ::testing::Values(Pacing::kOff, Pacing::kOn));

}  // namespace
}  // namespace rondo
