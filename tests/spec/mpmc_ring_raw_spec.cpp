// Contract of an mpmc_ring of raw slots: messages of bytes, each with a size of its own. Each line
// has a test of the same name, in this order.
//  1. RawMessagesKeepTheirSize
//  2. AnImpossibleSizeIsNotRead
//  3. SizesAreReadOnceForEachTaking
//  4. GivingBackChangesNoPayload
//  5. GivingBackStaysInBoundsWhateverTheSize
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "spec/mpmc_ring_fixture.hpp"

namespace rondo {
namespace {

TEST(MpmcRawRing, RawMessagesKeepTheirSize) {
  MpmcParams params{.capacity = 2};
  params.slot_bytes = 5;
  MpmcFixture<std::byte> ring(params);
  mpmc_ring<>::Producer producer(ring.ring, 0);
  mpmc_ring<>::Consumer consumer(ring.ring, 1);
  constexpr std::string_view kText = "rondo";
  for (std::size_t size = 0; size <= 5; ++size) {
    ASSERT_TRUE(producer.try_push(std::as_bytes(std::span(kText)).first(size)));
    auto claim = producer.try_claim();
    ASSERT_EQ((**claim).size(), 5u);
    std::memcpy((**claim).data(), kText.data(), size);
    claim->resize(0, size);
    std::move(*claim).commit();
    for (int i = 0; i < 2; ++i) {
      const auto message = consumer.try_next();
      ASSERT_TRUE(message.has_value());
      ASSERT_EQ((**message).size(), size);
      EXPECT_EQ(std::memcmp((**message).data(), kText.data(), size), 0);
    }
  }
  EXPECT_EQ(consumer.try_peek().data(), nullptr);
}

TEST(MpmcRawRing, AnImpossibleSizeIsNotRead) {
  MpmcParams params{.capacity = 4};
  params.slot_bytes = 32;
  MpmcFixture<std::byte> ring(params);
  mpmc_ring<>::Producer producer(ring.ring, 0);
  mpmc_ring<>::Consumer consumer(ring.ring, 1);
  ASSERT_TRUE(producer.try_push(std::as_bytes(std::span("bad", 3))));
  ASSERT_TRUE(producer.try_push(std::as_bytes(std::span("good", 4))));
  *reinterpret_cast<std::uint64_t*>(ring.parts.slot_at(0) + 8) = 33;  // what a hostile peer does

  EXPECT_EQ(consumer.try_peek().data(), nullptr);
  EXPECT_EQ(consumer.outcome(), ReadOutcome::kCorrupt);
  EXPECT_EQ(consumer.try_peek().size(), 4u);
  consumer.give_back();
}

TEST(MpmcRawRing, SizesAreReadOnceForEachTaking) {
  MpmcParams params{.capacity = 4};
  params.slot_bytes = 32;
  MpmcFixture<std::byte> ring(params);
  mpmc_ring<>::Producer producer(ring.ring, 0);
  mpmc_ring<>::Consumer consumer(ring.ring, 1);
  const auto change_size = [&](Position p) {
    *reinterpret_cast<std::uint64_t*>(ring.parts.slot_at(p) + 8) = std::uint64_t{1} << 40;
  };
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(producer.try_push(std::as_bytes(std::span("good", 4))));

  {
    const auto message = consumer.try_next();
    change_size(0);
    EXPECT_EQ((**message).size(), 4u);
  }
  const auto messages = consumer.try_next_some(2);
  change_size(1);
  change_size(2);
  EXPECT_EQ((*messages)[0].size(), 4u);
  EXPECT_EQ((*messages)[1].size(), 4u);
}

// A message of several lines, of a size that differs from slot to slot.
std::vector<std::byte> long_message(std::uint32_t i) {
  return std::vector<std::byte>(150 + i, static_cast<std::byte>(i + 1));
}

// Consumers in a stream touch what they have read (MpmcShape::touch), and may die on the way.
TEST(MpmcRawRing, GivingBackChangesNoPayload) {
  MpmcParams params{.capacity = 16};
  params.slot_bytes = 200;
  MpmcFixture<std::byte> ring(params);
  mpmc_ring<>::Producer producer(ring.ring, 0);
  mpmc_ring<>::Consumer consumer(ring.ring, 1);
  for (std::uint32_t i = 0; i < 16; ++i) ASSERT_TRUE(producer.try_push(long_message(i)));

  for (std::uint32_t i = 0; i < 12; ++i) {
    ASSERT_EQ(consumer.try_peek().size(), 150 + i);
    consumer.give_back();
  }
  ASSERT_EQ(consumer.try_next_some(4)->size(), 4u);

  for (std::uint32_t i = 0; i < 16; ++i) {
    const std::byte* const payload = ring.parts.slot_at(i) + ring.parts.payload_offset;
    EXPECT_TRUE(std::ranges::equal(std::span(payload, 150 + i), long_message(i)));
    EXPECT_EQ(ring.state(i), ring.word(i + 16, SlotKind::kFree));
  }
}

TEST(MpmcRawRing, GivingBackStaysInBoundsWhateverTheSize) {
  MpmcParams params{.capacity = 16};
  params.slot_bytes = 200;
  MpmcFixture<std::byte> ring(params);
  mpmc_ring<>::Producer producer(ring.ring, 0);
  mpmc_ring<>::Consumer consumer(ring.ring, 1);
  for (std::uint32_t i = 0; i < 16; ++i) ASSERT_TRUE(producer.try_push(long_message(i)));

  for (std::uint32_t i = 0; i < 16; ++i) {
    ASSERT_EQ(consumer.try_peek().size(), 150 + i);
    // What a hostile peer does, after the size was checked.
    *reinterpret_cast<std::uint64_t*>(ring.parts.slot_at(i) + 8) = std::uint64_t{1} << 62;
    consumer.give_back();
  }

  EXPECT_EQ(consumer.try_peek().data(), nullptr);
  EXPECT_EQ(consumer.outcome(), ReadOutcome::kEmpty);
}

}  // namespace
}  // namespace rondo
