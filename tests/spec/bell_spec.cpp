// Contract of the words of a bell (core/bell.hpp). Each line has a test of the same name.
//  1. ZeroedMemoryIsABellWithoutASleep
//  2. TheBitsAreDistinctAndLeaveTheRestToTheEpisode
//  3. TheWordsLieWhereTheByteTableSays
#include "rondo/core/bell.hpp"

#include <gtest/gtest.h>

#include <cstring>

namespace rondo {
namespace {

TEST(Bell, ZeroedMemoryIsABellWithoutASleep) {
  alignas(8) unsigned char memory[8] = {};
  const auto* waiter = reinterpret_cast<const BellWaiter*>(memory);
  const auto* notifier = reinterpret_cast<const BellNotifier*>(memory + 4);

  EXPECT_EQ(waiter->state.load(std::memory_order_relaxed), 0u);
  EXPECT_EQ(notifier->rings.load(std::memory_order_relaxed), 0u);
}

TEST(Bell, TheBitsAreDistinctAndLeaveTheRestToTheEpisode) {
  constexpr std::uint32_t kFlags = BellWaiter::kAsleep | BellWaiter::kGone | BellWaiter::kMustFence;
  EXPECT_EQ(kFlags, 7u);
  EXPECT_EQ(BellWaiter::kEpisode, kFlags + 1);
}

// ABI: two builds of different ages share these words.
TEST(Bell, TheWordsLieWhereTheByteTableSays) {
  BellWaiter waiter{};
  BellNotifier notifier{};
  waiter.state.store(0x01020304, std::memory_order_relaxed);
  notifier.rings.store(0x05060708, std::memory_order_relaxed);
  std::uint32_t bytes = 0;
  static_assert(sizeof bytes == sizeof waiter && sizeof bytes == sizeof notifier);

  std::memcpy(&bytes, &waiter.state, sizeof bytes);
  EXPECT_EQ(bytes, 0x01020304u);
  std::memcpy(&bytes, &notifier.rings, sizeof bytes);
  EXPECT_EQ(bytes, 0x05060708u);
}

}  // namespace
}  // namespace rondo
