// Contract of common<T>, an object that many share in a segment of its own. Each line has a test of
// the same name, in this order.
//  1. TheFirstOneMakesTheObjectAndTheOthersFindIt
//  2. AnotherTypeIsRefused
//  3. NoMoreComeThanItWasMadeFor
//  4. ImpossibleNumbersOfParticipantsAreRefused
//  5. AHeaderThatLiesIsRefused
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "rondo/core/common.hpp"
#include "support/segment_fixture.hpp"

namespace rondo::testing {
namespace {

using ::testing::HasSubstr;

struct Book {
  Atomic<std::uint64_t> total;
  std::uint64_t entries[100];
};
struct Tagged {
  static constexpr std::uint32_t kCommonTag = 7;
  Book book;
};

class CommonObject : public ::testing::Test {
 protected:
  ShmName name_;
  std::string url_ = "shm:" + name_.word();
};

TEST_F(CommonObject, TheFirstOneMakesTheObjectAndTheOthersFindIt) {
  const auto begin = [](Book& book) { book.entries[99] = 5; };
  auto one = common<Book>::open(url_, {.participants = 2, .begin = begin});
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_EQ(one->parts().object->total.load(), 0u);
  EXPECT_EQ(one->parts().object->entries[99], 5u);
  one->parts().object->total.store(41);

  auto two = common<Book>::open(url_, {.begin = begin});
  ASSERT_TRUE(two) << two.error().message;
  EXPECT_EQ(two->parts().object->total.load(), 41u);
  EXPECT_EQ(two->parts().participants, 2u);
  EXPECT_EQ(two->slot(), 1u);
  EXPECT_FALSE(two->leave([](bool last) { return last; }));
  EXPECT_TRUE(one->leave([](bool last) { return last; }));
  EXPECT_FALSE(std::filesystem::exists(name_.path()));
}

TEST_F(CommonObject, AnotherTypeIsRefused) {
  auto one = common<Book>::open(url_);
  ASSERT_TRUE(one) << one.error().message;
  EXPECT_EQ(code_of(common<Tagged>::open(url_)), code_of(ErrorCode::kGeometryMismatch));
  EXPECT_EQ(code_of(common<std::uint64_t>::open(url_)), code_of(ErrorCode::kGeometryMismatch));
  EXPECT_THAT(message_of(common<std::uint64_t>::open(url_)), HasSubstr("808 bytes"));
}

TEST_F(CommonObject, NoMoreComeThanItWasMadeFor) {
  auto one = common<Book>::open(url_, {.participants = 1});
  ASSERT_TRUE(one) << one.error().message;
  const auto two = common<Book>::open(url_);
  EXPECT_EQ(code_of(two), code_of(ErrorCode::kBusy));
}

TEST_F(CommonObject, ImpossibleNumbersOfParticipantsAreRefused) {
  for (const std::uint32_t participants : {0u, kMaxParticipants + 1, ~0u}) {
    EXPECT_EQ(code_of(common<Book>::open(url_, {.participants = participants})),
              code_of(ErrorCode::kInvalidCapacity));
  }
  EXPECT_TRUE(common<Book>::open(url_, {.participants = kMaxParticipants}));
}

TEST_F(CommonObject, AHeaderThatLiesIsRefused) {
  using Params = common<Book>::Params;
  const auto bytes = common<Book>::layout_for({.participants = 2})->total_bytes;
  auto segment = sound(Segment::create(name_, bytes, {}, [](std::span<std::byte> memory) {
    return Result<void>(common<Book>::create(memory, Params{.participants = 2}));
  }));
  const Geometry sound = check_header(segment.bytes(), RingKind::kCommon, "it").value();
  ASSERT_TRUE(common<Book>::attach(segment.bytes(), sound, "it"));
  const auto refused = [&](auto change) {
    Geometry lies = sound;
    change(lies);
    return code_of(common<Book>::attach(segment.bytes(), lies, "it"));
  };
  EXPECT_EQ(refused([](Geometry& g) { g.kind = RingKind::kMpmc; }), code_of(ErrorCode::kBadKind));
  EXPECT_EQ(refused([](Geometry& g) { g.participants = 0; }), code_of(ErrorCode::kBadGeometry));
  EXPECT_EQ(refused([](Geometry& g) { g.participants = 64; }), code_of(ErrorCode::kBadGeometry));
  EXPECT_EQ(refused([](Geometry& g) { g.slot_bytes = 8; }), code_of(ErrorCode::kGeometryMismatch));
  EXPECT_EQ(refused([](Geometry& g) { g.feature_bits = 1; }),
            code_of(ErrorCode::kGeometryMismatch));
  EXPECT_EQ(refused([](Geometry& g) { g.feature_bits = ~0ull; }),
            code_of(ErrorCode::kGeometryMismatch));
}

}  // namespace
}  // namespace rondo::testing
