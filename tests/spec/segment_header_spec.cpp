// Contract of the segment header. Each line has a test of the same name, in this order.
//  1. WhatWasWrittenIsReadBack
//  2. TheMagicSpellsRondosegInMemory
//  3. AnUnfinishedSegmentIsNotReady
//  4. TooFewBytesForAHeaderAreTooSmall
//  5. MemoryOffTheSharingRangeIsMisaligned
//  6. AnotherMagicIsNotASegment
//  7. TheOtherByteOrderIsNamed
//  8. AnotherVersionIsRefused
//  9. EachKindHasALayoutVersionOfItsOwn
// 10. AnotherVersionsMessageNamesTheKindAndBothVersions
// 11. OfAnotherKindTheVersionDoesNotMatter
// 12. AnotherWordSizeIsRefused
// 13. AnotherKindIsRefused
// 14. AnUnknownKindIsRefused
// 15. FewerBytesThanTheHeaderSaysAreTooSmall
// 16. MoreBytesThanTheHeaderSaysAreAMismatch
// 17. ImpossibleGeometriesAreRefused
// 18. MessagesNameTheSegment
// 19. AnyBytesAreReadWithoutHarm
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "rondo/core/segment_header.hpp"

namespace rondo {
namespace {

using ::testing::HasSubstr;
constexpr std::uint64_t kHuge = std::numeric_limits<std::uint64_t>::max();

// A segment in static storage, finished unless a test spoils it.
struct HeaderFixture {
  static constexpr std::size_t kBytes = 3 * kPartAlignment;
  alignas(kPartAlignment) std::byte memory[kBytes] = {};
  Geometry geometry{.kind = RingKind::kMpmc,
                    .capacity = 64,
                    .slot_bytes = 16,
                    .participants = 5,
                    .feature_bits = 3,
                    .total_bytes = kBytes,
                    .instance_id = 77,
                    .created_unix_ns = 88};

  HeaderFixture() { write(); }
  void write() {
    initialise_header(memory, geometry);
    finish_header(memory);
  }
  SegmentHeader& header() { return *reinterpret_cast<SegmentHeader*>(memory); }
  Result<Geometry> check(RingKind kind = kAnyKind) { return check_header(memory, kind, "shm:x"); }
  ErrorCode refused(RingKind kind = kAnyKind) {
    const auto result = check(kind);
    EXPECT_FALSE(result);
    return result ? ErrorCode::kSystem : result.error().code;
  }
};

TEST(SegmentHeader, WhatWasWrittenIsReadBack) {
  HeaderFixture segment;

  const auto read = segment.check(RingKind::kMpmc);

  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->kind, RingKind::kMpmc);
  EXPECT_EQ(read->capacity, 64u);
  EXPECT_EQ(read->slot_bytes, 16u);
  EXPECT_EQ(read->participants, 5u);
  EXPECT_EQ(read->feature_bits, 3u);
  EXPECT_EQ(read->total_bytes, segment.kBytes);
  EXPECT_EQ(read->instance_id, 77u);
  EXPECT_EQ(read->created_unix_ns, 88u);
}

TEST(SegmentHeader, TheMagicSpellsRondosegInMemory) {
  HeaderFixture segment;
  EXPECT_EQ(std::memcmp(segment.memory, "RONDOSEG", 8), 0);
}

TEST(SegmentHeader, AnUnfinishedSegmentIsNotReady) {
  HeaderFixture segment;
  initialise_header(segment.memory, segment.geometry);
  EXPECT_EQ(segment.refused(), ErrorCode::kNotReady);
}

TEST(SegmentHeader, TooFewBytesForAHeaderAreTooSmall) {
  HeaderFixture segment;
  for (const std::size_t size : {std::size_t{0}, std::size_t{71}, kPartAlignment - 1}) {
    const auto read = check_header(std::span(segment.memory, size), kAnyKind, "shm:x");
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, ErrorCode::kTooSmall);
  }
}

TEST(SegmentHeader, MemoryOffTheSharingRangeIsMisaligned) {
  HeaderFixture segment;
  const auto read = check_header(std::span(segment.memory).subspan(8), kAnyKind, "shm:x");
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::kMisaligned);
}

TEST(SegmentHeader, AnotherMagicIsNotASegment) {
  HeaderFixture segment;
  segment.header().magic = kSegmentMagic + 1;
  EXPECT_EQ(segment.refused(), ErrorCode::kBadMagic);
}

TEST(SegmentHeader, TheOtherByteOrderIsNamed) {
  HeaderFixture segment;
  segment.header().magic = __builtin_bswap64(kSegmentMagic);
  segment.header().byte_order = 0x0403'0201;
  EXPECT_EQ(segment.refused(), ErrorCode::kBadByteOrder);

  segment.write();
  segment.header().byte_order = 0x0201'0403;
  EXPECT_EQ(segment.refused(), ErrorCode::kBadByteOrder);
}

TEST(SegmentHeader, AnotherVersionIsRefused) {
  HeaderFixture segment;
  for (const std::uint32_t version : {0u, layout_version_of(RingKind::kMpmc) - 1,
                                      layout_version_of(RingKind::kMpmc) + 1, 0xFFFF'FFFFu}) {
    segment.header().layout_version = version;
    EXPECT_EQ(segment.refused(), ErrorCode::kBadVersion);
  }
}

// The version that is written and asked for is that of the kind; today's value of each is ABI.
TEST(SegmentHeader, EachKindHasALayoutVersionOfItsOwn) {
  const std::pair<RingKind, std::uint32_t> versions[] = {
      {RingKind::kSpsc, 2},   {RingKind::kRecord, 3},    {RingKind::kMpmc, 2},
      {RingKind::kLatest, 2}, {RingKind::kFramePool, 2}, {RingKind::kCommon, 1}};
  EXPECT_EQ(std::size(versions), kRingKinds.size());
  HeaderFixture segment;
  for (const auto& [kind, version] : versions) {
    segment.geometry.kind = kind;
    segment.write();

    EXPECT_EQ(layout_version_of(kind), version) << to_string(kind);
    EXPECT_EQ(segment.header().layout_version.load(), version) << to_string(kind);
    EXPECT_TRUE(segment.check(kind)) << to_string(kind);
  }
  EXPECT_EQ(layout_version_of(kAnyKind), 0u);
}

TEST(SegmentHeader, AnotherVersionsMessageNamesTheKindAndBothVersions) {
  HeaderFixture segment;
  for (const RingKindEntry& entry : kRingKinds) {
    segment.geometry.kind = entry.kind;
    segment.write();
    segment.header().layout_version = 9;

    const auto read = segment.check();

    ASSERT_FALSE(read);
    EXPECT_THAT(read.error().message, HasSubstr("kind " + std::string(entry.name) +
                                                " in layout version 9, this program "
                                                "needs version " +
                                                std::to_string(entry.layout_version)));
  }
}

TEST(SegmentHeader, OfAnotherKindTheVersionDoesNotMatter) {
  HeaderFixture segment;
  segment.header().layout_version = 9;
  EXPECT_EQ(segment.refused(RingKind::kRecord), ErrorCode::kBadKind);
}

TEST(SegmentHeader, AnotherWordSizeIsRefused) {
  HeaderFixture segment;
  segment.header().word_bits = kWordBits / 2;
  EXPECT_EQ(segment.refused(), ErrorCode::kBadVersion);
}

TEST(SegmentHeader, AnotherKindIsRefused) {
  HeaderFixture segment;
  EXPECT_EQ(segment.refused(RingKind::kRecord), ErrorCode::kBadKind);
}

TEST(SegmentHeader, AnUnknownKindIsRefused) {
  HeaderFixture segment;
  for (const std::uint32_t kind : {0u, 7u, 0xFFFF'FFFFu}) {
    segment.header().kind = kind;
    EXPECT_EQ(segment.refused(), ErrorCode::kBadKind);
  }
}

TEST(SegmentHeader, FewerBytesThanTheHeaderSaysAreTooSmall) {
  HeaderFixture segment;
  for (const std::uint64_t total : {segment.kBytes + 1, kHuge}) {
    segment.header().total_bytes = total;
    EXPECT_EQ(segment.refused(), ErrorCode::kTooSmall);
  }
}

TEST(SegmentHeader, MoreBytesThanTheHeaderSaysAreAMismatch) {
  HeaderFixture segment;
  for (const std::uint64_t total : {std::uint64_t{0}, std::uint64_t{segment.kBytes - 1}}) {
    segment.header().total_bytes = total;
    EXPECT_EQ(segment.refused(), ErrorCode::kSizeMismatch);
  }
}

TEST(SegmentHeader, ImpossibleGeometriesAreRefused) {
  struct Impossible {
    const char* why;
    std::uint64_t capacity;
    std::uint32_t slot_bytes;
    std::uint32_t participants;
  };
  const std::uint32_t kMax32 = std::numeric_limits<std::uint32_t>::max();
  for (const Impossible& it : {
           Impossible{"capacity 0", 0, 16, 5},
           Impossible{"no power of two", 48, 16, 5},
           Impossible{"capacity beyond the segment", 512, 16, 5},
           Impossible{"huge capacity", std::uint64_t{1} << 63, 1, 5},
           Impossible{"a product that overflows to 0", std::uint64_t{1} << 60, 16, 5},
           Impossible{"a product that overflows to 64", (std::uint64_t{1} << 60) + 4, 16, 5},
           Impossible{"huge slots", 64, kMax32, 5},
           Impossible{"bytes instead of slots, too many", 8192, 0, 5},
           Impossible{"participants beyond the segment", 64, 16, 65},
           Impossible{"more participants than are possible", 64, 16, kMaxParticipants + 1},
           Impossible{"a sum that overflows", 64, 16, kMax32},
       }) {
    HeaderFixture segment;
    segment.header().capacity = it.capacity;
    segment.header().slot_bytes = it.slot_bytes;
    segment.header().participants = it.participants;
    EXPECT_EQ(segment.refused(), ErrorCode::kBadGeometry) << it.why;
  }
}

TEST(SegmentHeader, MessagesNameTheSegment) {
  HeaderFixture segment;
  segment.header().layout_version = 9;
  const auto read = segment.check();
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message,
              HasSubstr("shm:x holds a ring of kind mpmc in layout version 9"));
}

TEST(SegmentHeader, AnyBytesAreReadWithoutHarm) {
  const char* given = std::getenv("RONDO_SEED");
  const auto seed = given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::printf("RONDO_SEED=%llu\n", static_cast<unsigned long long>(seed));
  std::mt19937_64 random(seed);
  for (int i = 0; i < 20'000; ++i) {
    HeaderFixture segment;
    for (std::uint64_t spoiled = random() % 6; spoiled-- != 0;) {
      segment.memory[random() % sizeof(SegmentHeader)] = static_cast<std::byte>(random());
    }
    const auto read = segment.check();
    if (!read) continue;
    EXPECT_EQ(read->total_bytes, segment.kBytes);
    EXPECT_LE(after_participants(read->participants), segment.kBytes);
    const std::uint64_t unit = read->slot_bytes == 0 ? 1 : read->slot_bytes;
    EXPECT_LE(read->capacity, segment.kBytes / unit);
  }
}

}  // namespace
}  // namespace rondo
