// The last-value cell as threads on one mapping, for TSan: what the writer did before it stored a
// value, in plain memory, is visible to a reader that loads that value. Weakening V1 or V2 makes it
// report a race.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "rondo/core/latest.hpp"

namespace rondo {
namespace {

using Value = std::array<std::uint64_t, 5>;
constexpr std::uint64_t kValues = 20'000;

struct Shared {
  alignas(kPartAlignment) std::array<std::byte, 4 * kPartAlignment> memory{};
  std::array<std::uint64_t, kValues + 1> before{};  // plain: written before the store, once each
};

// Empty, or what was wrong.
const char* look(const LatestParts& parts, const Shared& shared, bool always) {
  latest<Value>::Reader reader(parts);
  while (reader.version() < kValues) {
    Value seen;
    if ((!always && !reader.changed()) || reader.try_load(seen) != LatestRead::kValue) {
      std::this_thread::yield();
      continue;
    }
    for (const std::uint64_t word : seen) {
      if (word != reader.version()) return "torn";
    }
    if (shared.before[reader.version()] != reader.version()) return "stale";
  }
  return nullptr;
}

TEST(LatestRace, WhatCameBeforeAStoreIsVisibleToItsReaders) {
  static Shared shared;
  const std::uint64_t size = latest<Value>::layout_for()->total_bytes;
  ASSERT_LE(size, shared.memory.size());
  const auto parts = latest<Value>::create(std::span(shared.memory).first(size));
  ASSERT_TRUE(parts) << parts.error().message;

  std::array<const char*, 3> wrong{};
  std::vector<std::thread> readers;
  for (std::size_t i = 0; i < wrong.size(); ++i) {
    readers.emplace_back([&, i] { wrong[i] = look(*parts, shared, i == 0); });
  }
  latest<Value>::Writer writer(*parts);
  for (std::uint64_t i = 1; i <= kValues; ++i) {
    shared.before[i] = i;
    writer.store({i, i, i, i, i});
    if (i % 16 == 0) std::this_thread::yield();
  }
  for (auto& reader : readers) reader.join();
  for (const char* each : wrong) EXPECT_EQ(each, nullptr) << each;
}

}  // namespace
}  // namespace rondo
