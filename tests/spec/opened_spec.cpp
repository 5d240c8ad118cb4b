// Contract of rings opened by a name. Each line has a test of the same name, in this order.
//  1. NamesAreThoseOfChannels
//  2. EitherSideOfARingComesFirst
//  3. AFileIsARingToo
//  4. ARoleThatIsTakenIsBusyAndSaysByWhom
//  5. ARingThatSaysNothingHoldsAMebibyte
//  6. AnotherCapacityThanTheRingsIsRefused
//  7. SlotsOfASizeKnownAtRunTimeAreTheRings
//  8. ATypesSlotsHaveNoOtherSize
//  9. WhatHoldsSomethingElseIsRefusedAndStays
// 10. TheLastOneWhoLeavesTakesTheNameAway
// 11. MessagesThatNobodyReadKeepTheName
// 12. KeepKeepsTheName
// 13. AConsumerThatLeavesGivesBackWhatItRead
// 14. OneThatWasMovedLeavesOnce
// 15. ARingHasThePermissionsAskedFor
// 16. ACellsReaderNeedsItsWriter
// 17. ACellsReaderWaitsAsLongAsItIsPatient
// 18. ACellsReaderIsNoParticipantAndCanOnlyRead
// 19. ACellsWriterTakesUpWhatTheLastOneLeft
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>

#include "rondo/core/latest_open.hpp"
#include "rondo/core/spsc_open.hpp"
#include "support/segment_fixture.hpp"

namespace rondo::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Ring = spsc_ring<std::uint64_t>;
using RawRing = spsc_ring<raw_slots>;
using Cell = latest<std::uint64_t>;

class Opening : public ::testing::Test {
 protected:
  [[nodiscard]] bool is_there() const { return std::filesystem::exists(name_.path()); }

  ShmName name_;
  std::string url_ = "shm:" + name_.word();
  SpscParams four_{.capacity = 4};
};

TEST_F(Opening, NamesAreThoseOfChannels) {
  const auto memory = parse_ring_name("shm:a.B_9-");
  ASSERT_TRUE(memory) << memory.error().message;
  EXPECT_EQ(*memory, (SegmentName{Backing::kSharedMemory, "a.B_9-"}));
  const auto file = parse_ring_name("file:dir/a ring");
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(*file, (SegmentName{Backing::kFile, "dir/a ring"}));

  for (const char* text : {"", "ticks", "inproc:ticks", "SHM:ticks", "shm+guarded:/x"}) {
    EXPECT_EQ(code_of(parse_ring_name(text)), code_of(ErrorCode::kInvalidUrl)) << text;
  }
  const std::string too_long = "shm:" + std::string(201, 'x');
  for (const std::string& text :
       {std::string("shm:"), std::string("shm:.x"), std::string("shm:a/b"), std::string("shm:a b"),
        too_long, std::string("shm:a?capacity=1"), std::string("file:/tmp/a%20b")}) {
    EXPECT_EQ(code_of(parse_ring_name(text)), code_of(ErrorCode::kInvalidName)) << text;
  }
  // What only the system can tell is an error of the opening.
  EXPECT_EQ(code_of(Ring::open_producer("file:/tmp/")), code_of(ErrorCode::kInvalidName));
  EXPECT_EQ(code_of(Ring::open_producer("pipe:")), code_of(ErrorCode::kInvalidUrl));
  EXPECT_EQ(code_of(Cell::open_reader("pipe:")), code_of(ErrorCode::kInvalidUrl));
}

TEST_F(Opening, EitherSideOfARingComesFirst) {
  for (const bool producer_first : {true, false}) {
    std::optional<Result<Opened<Ring, Ring::Producer>>> producer;
    if (producer_first) producer.emplace(Ring::open_producer(url_, four_));
    auto consumer = Ring::open_consumer(url_, four_);
    if (!producer_first) producer.emplace(Ring::open_producer(url_, four_));
    ASSERT_TRUE(consumer) << consumer.error().message;
    ASSERT_TRUE(*producer) << producer->error().message;

    EXPECT_TRUE((*producer)->try_push(7));

    EXPECT_EQ(consumer.value().try_pop(), 7u);
    EXPECT_EQ(consumer->peer(), Presence::kPresent);
    EXPECT_EQ((*producer)->peer(), Presence::kPresent);
    EXPECT_EQ(consumer->capacity(), 4u);
  }
  EXPECT_FALSE(is_there());
}

TEST_F(Opening, AFileIsARingToo) {
  Directory directory;
  {
    const auto producer = Ring::open_producer("file:" + directory.path("ring"), four_);
    ASSERT_TRUE(producer) << producer.error().message;
    EXPECT_TRUE(std::filesystem::exists(directory.path("ring")));
  }
  EXPECT_TRUE(directory.empty());
}

TEST_F(Opening, ARoleThatIsTakenIsBusyAndSaysByWhom) {
  const auto producer = Ring::open_producer(url_, four_);
  const auto second = Ring::open_producer(url_, four_);
  EXPECT_EQ(code_of(second), code_of(ErrorCode::kBusy));
  EXPECT_THAT(message_of(second), HasSubstr("process " + std::to_string(getpid())));
  const auto consumer = Ring::open_consumer(url_);
  EXPECT_EQ(code_of(Ring::open_consumer(url_)), code_of(ErrorCode::kBusy));
  EXPECT_TRUE(producer);
  EXPECT_TRUE(consumer);

  ShmName other;
  const auto writer = Cell::open_writer("shm:" + other.word());
  EXPECT_TRUE(writer);
  EXPECT_EQ(code_of(Cell::open_writer("shm:" + other.word())), code_of(ErrorCode::kBusy));
}

TEST_F(Opening, ARingThatSaysNothingHoldsAMebibyte) {
  EXPECT_EQ(Ring::open_producer(url_)->capacity(), (1u << 20) / 8);
  EXPECT_EQ((spsc_ring<std::array<char, 100>>::open_producer(url_)->capacity()), 8192u);
  EXPECT_EQ((spsc_ring<std::array<char, 3 << 20>>::open_producer(url_)->capacity()), 2u);
  const auto sizeless = RawRing::open_producer(url_);
  EXPECT_EQ(code_of(sizeless), code_of(ErrorCode::kInvalidCapacity));
  EXPECT_THAT(message_of(sizeless), HasSubstr("a slot is 0 bytes"));
  EXPECT_FALSE(is_there());
}

TEST_F(Opening, AnotherCapacityThanTheRingsIsRefused) {
  const auto producer = Ring::open_producer(url_, four_);
  const auto consumer = Ring::open_consumer(url_, {.capacity = 8});
  EXPECT_EQ(code_of(consumer), code_of(ErrorCode::kGeometryMismatch));
  EXPECT_THAT(message_of(consumer), HasSubstr("4 slots, not 8"));
  EXPECT_EQ(code_of(Ring::open_consumer(url_, {.capacity = 5})),
            code_of(ErrorCode::kGeometryMismatch));
  EXPECT_EQ(Ring::open_consumer(url_)->capacity(), 4u);
}

TEST_F(Opening, SlotsOfASizeKnownAtRunTimeAreTheRings) {
  const auto producer = RawRing::open_producer(url_, {.capacity = 4, .slot_bytes = 24});
  ASSERT_TRUE(producer) << producer.error().message;
  EXPECT_EQ(code_of(RawRing::open_consumer(url_, {.capacity = 0, .slot_bytes = 32})),
            code_of(ErrorCode::kGeometryMismatch));
  const auto consumer = RawRing::open_consumer(url_);
  ASSERT_TRUE(consumer) << consumer.error().message;
  EXPECT_EQ(consumer->attachment().parts().slot_bytes, 24u);
}

TEST_F(Opening, ATypesSlotsHaveNoOtherSize) {
  for (const bool there : {false, true}) {
    std::optional<Result<Opened<Ring, Ring::Producer>>> producer;
    if (there) producer.emplace(Ring::open_producer(url_, four_));
    const auto consumer = Ring::open_consumer(url_, {.capacity = 4, .slot_bytes = 24});
    EXPECT_EQ(code_of(consumer), code_of(ErrorCode::kInvalidOption)) << there;
    EXPECT_THAT(message_of(consumer), AllOf(HasSubstr(url_), HasSubstr("slot_bytes=24"),
                                            HasSubstr("8 bytes"), Not(HasSubstr("remove"))));
    EXPECT_EQ(is_there(), there);
  }
  EXPECT_TRUE(Ring::open_consumer(url_, {.capacity = 4, .slot_bytes = 8}));
}

TEST_F(Opening, WhatHoldsSomethingElseIsRefusedAndStays) {
  const Segment segment = sound(create_small(name_));
  EXPECT_EQ(code_of(Ring::open_producer(url_)), code_of(ErrorCode::kBadKind));
  EXPECT_EQ(code_of(Cell::open_writer(url_)), code_of(ErrorCode::kBadKind));
  EXPECT_EQ(code_of(Cell::open_reader(url_)), code_of(ErrorCode::kBadKind));
  EXPECT_TRUE(is_there());

  ShmName other;
  const std::string url = "shm:" + other.word();
  const auto writer = Cell::open_writer(url);
  EXPECT_EQ(code_of(latest<std::uint32_t>::open_reader(url)),
            code_of(ErrorCode::kGeometryMismatch));
}

TEST_F(Opening, TheLastOneWhoLeavesTakesTheNameAway) {
  for (const bool producer_first : {true, false}) {
    auto producer = Ring::open_producer(url_, four_);
    auto consumer = Ring::open_consumer(url_, four_);
    ASSERT_TRUE(producer);
    ASSERT_TRUE(consumer);
    const auto leave = [&](bool the_producer) {
      return the_producer ? producer->leave() : consumer->leave();
    };

    const auto first = leave(producer_first);
    ASSERT_TRUE(first);
    EXPECT_FALSE(*first);
    EXPECT_TRUE(is_there());

    const auto last = leave(!producer_first);
    ASSERT_TRUE(last);
    EXPECT_TRUE(*last);
    EXPECT_FALSE(is_there());
  }
  static_cast<void>(Cell::open_writer(url_));
  EXPECT_FALSE(is_there());
}

TEST_F(Opening, MessagesThatNobodyReadKeepTheName) {
  EXPECT_TRUE(Ring::open_producer(url_, four_)->try_push(1));
  EXPECT_TRUE(is_there());
  {
    auto consumer = Ring::open_consumer(url_);
    ASSERT_TRUE(consumer);
    EXPECT_EQ(consumer->peer(), Presence::kAbsent);
    EXPECT_EQ(consumer->try_pop(), 1u);
  }
  EXPECT_FALSE(is_there());
}

TEST_F(Opening, KeepKeepsTheName) {
  static_cast<void>(Ring::open_producer(url_, four_, {.keep = true}));
  EXPECT_TRUE(is_there());
  static_cast<void>(Ring::open_consumer(url_));
  EXPECT_FALSE(is_there());
}

TEST_F(Opening, AConsumerThatLeavesGivesBackWhatItRead) {
  auto producer = Ring::open_producer(url_, {.capacity = 64});
  for (const std::uint64_t i : {1, 2, 3}) EXPECT_TRUE(producer->try_push(i));
  EXPECT_EQ(Ring::open_consumer(url_)->try_pop(), 1u);
  auto second = Ring::open_consumer(url_);
  EXPECT_EQ(second->try_pop(), 2u);
  EXPECT_TRUE(second->leave());
  EXPECT_EQ(Ring::open_consumer(url_)->try_pop(), 3u);
  EXPECT_TRUE(producer->drained());
}

TEST_F(Opening, OneThatWasMovedLeavesOnce) {
  auto first = std::move(Ring::open_consumer(url_, {.capacity = 64})).value();
  auto producer = std::move(Ring::open_producer(url_)).value();
  EXPECT_TRUE(producer.try_push(1));
  EXPECT_TRUE(producer.try_push(2));
  EXPECT_EQ(first.try_pop(), 1u);
  {
    auto second = std::move(first);
    EXPECT_EQ(second.try_pop(), 2u);
    EXPECT_EQ(code_of(Ring::open_consumer(url_)), code_of(ErrorCode::kBusy));
    ShmName other;
    second = std::move(Ring::open_consumer("shm:" + other.word())).value();
    EXPECT_FALSE(second.try_pop());
    EXPECT_TRUE(producer.drained());
    EXPECT_EQ(producer.peer(), Presence::kAbsent);
  }
  EXPECT_TRUE(Ring::open_consumer(url_));
}

TEST_F(Opening, ARingHasThePermissionsAskedFor) {
  const auto producer = Ring::open_producer(url_, four_, {.segment = {.mode = 0640}});
  struct stat status = {};
  ASSERT_EQ(stat(name_.path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0640u);
  EXPECT_EQ(code_of(Ring::open_consumer(url_, {}, {.segment = {.mode = 0600}})), "no error");
}

TEST_F(Opening, ACellsReaderNeedsItsWriter) {
  const auto early = Cell::open_reader(url_);
  EXPECT_EQ(code_of(early), code_of(ErrorCode::kNotFound));
  EXPECT_FALSE(is_there());

  auto writer = Cell::open_writer(url_);
  auto reader = Cell::open_reader(url_);
  ASSERT_TRUE(writer) << writer.error().message;
  ASSERT_TRUE(reader) << reader.error().message;
  std::uint64_t value = 0;
  EXPECT_EQ(reader->try_load(value), LatestRead::kNothing);
  writer->store(11);
  EXPECT_EQ(reader->try_load(value), LatestRead::kValue);
  EXPECT_EQ(value, 11u);
}

TEST_F(Opening, ACellsReaderWaitsAsLongAsItIsPatient) {
  EXPECT_EQ(code_of(Cell::open_reader(url_, {.timeout = 3ms})), code_of(ErrorCode::kNotFound));
  // Comes while the reader waits, or before it begins to.
  Result<Opened<Cell, Cell::Reader>> reader = Error{ErrorCode::kSystem, {}};
  std::thread waits([&] { reader = Cell::open_reader(url_, {.timeout = 60s}); });
  const auto writer = Cell::open_writer(url_);
  waits.join();
  EXPECT_TRUE(reader) << reader.error().message;
}

TEST_F(Opening, ACellsReaderIsNoParticipantAndCanOnlyRead) {
  auto writer = Cell::open_writer(url_);
  const auto reader = Cell::open_reader(url_);
  const auto another = Cell::open_reader(url_);
  ASSERT_TRUE(reader);
  ASSERT_TRUE(another);
  EXPECT_EQ(reader->attachment().segment().access(), Access::kReadOnly);
  EXPECT_EQ(reader->peer(), Presence::kPresent);
  EXPECT_EQ(writer->peer(), Presence::kAbsent);

  EXPECT_TRUE(writer->leave());
  EXPECT_FALSE(is_there());
  EXPECT_EQ(reader->peer(), Presence::kAbsent);
  EXPECT_FALSE(reader->attachment().at_its_name());
}

TEST_F(Opening, ACellsWriterTakesUpWhatTheLastOneLeft) {
  Cell::open_writer(url_, {}, {.keep = true})->store(5);
  auto writer = Cell::open_writer(url_, {.buffers = 16});
  ASSERT_TRUE(writer) << writer.error().message;
  EXPECT_EQ(writer->version(), 1u);
  EXPECT_EQ(writer->parts().buffers, 4u);  // it is taken as it is
  std::uint64_t value = 0;
  EXPECT_EQ(Cell::open_reader(url_)->try_load(value), LatestRead::kValue);
  EXPECT_EQ(value, 5u);
}

}  // namespace
}  // namespace rondo::testing
