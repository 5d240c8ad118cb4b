// Contract of LocalMemory. Each line has a test of the same name, in this order.
//  1. MemoryIsZeroedAlignedAndApart
//  2. MemoryMovesWithItsObject
//  3. MemoryMayBeGivenBackByAnotherThread
//  4. MemoryOutlivesTheThreadThatTookIt
//  5. MemoryTakenElsewhereIsGivenBackToo
//  6. TooMuchIsRefused
#include "rondo/transports/local_memory.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <thread>
#include <utility>

namespace rondo {
namespace {

bool all_zero(std::span<const std::byte> bytes) {
  return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{0}; });
}

TEST(LocalMemory, MemoryIsZeroedAlignedAndApart) {
  for (int round = 0; round < 3; ++round) {  // blocks of earlier rounds come back dirty
    LocalMemory memory;
    const auto a = memory.take_zeroed(100'000, 4096);
    const auto b = memory.take_zeroed(1, 128);
    ASSERT_EQ(a.size(), 100'000u);
    ASSERT_EQ(b.size(), 1u);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(a.data()) % 4096, 0u);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(b.data()) % 128, 0u);
    EXPECT_TRUE(all_zero(a));
    EXPECT_TRUE(all_zero(b));
    std::memset(a.data(), 0xFF, a.size());
    EXPECT_TRUE(all_zero(b));
  }
}

TEST(LocalMemory, MemoryMovesWithItsObject) {
  LocalMemory first;
  const auto bytes = first.take_zeroed(1000, 64);
  std::memset(bytes.data(), 7, bytes.size());
  LocalMemory second(std::move(first));
  LocalMemory third;
  EXPECT_FALSE(third.take_zeroed(10, 8).empty());
  third = std::move(second);
  EXPECT_EQ(bytes[999], std::byte{7});
  EXPECT_FALSE(third.take_zeroed(10, 8).empty());
}

TEST(LocalMemory, MemoryMayBeGivenBackByAnotherThread) {
  std::optional<LocalMemory> memory(std::in_place);
  ASSERT_FALSE(memory->take_zeroed(100'000, 128).empty());
  std::thread([&memory] { memory.reset(); }).join();
}

TEST(LocalMemory, MemoryOutlivesTheThreadThatTookIt) {
  std::optional<LocalMemory> memory;
  std::span<std::byte> bytes;
  std::thread([&] {
    memory.emplace();
    bytes = memory->take_zeroed(100'000, 128);
    std::memset(bytes.data(), 7, bytes.size());
  }).join();
  ASSERT_EQ(bytes.size(), 100'000u);
  EXPECT_EQ(bytes[99'999], std::byte{7});
  // A new thread may get the id of the one that has ended; the heap is not its own all the same.
  std::thread([&memory] { memory.reset(); }).join();
}

TEST(LocalMemory, MemoryTakenElsewhereIsGivenBackToo) {
  LocalMemory memory;
  std::thread([&memory] { EXPECT_FALSE(memory.take_zeroed(5000, 64).empty()); }).join();
  EXPECT_FALSE(memory.take_zeroed(5000, 64).empty());
}

TEST(LocalMemory, TooMuchIsRefused) {
  LocalMemory memory;
  EXPECT_TRUE(memory.take_zeroed(std::size_t{1} << 62, 64).empty());
  EXPECT_FALSE(memory.take_zeroed(64, 64).empty());
}

}  // namespace
}  // namespace rondo
