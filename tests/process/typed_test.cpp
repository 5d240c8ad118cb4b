// The typed handles: values of one type from process to process, with waiting, ends and deaths.
//
//   1. ValuesPassInOrderBetweenProcesses
//   2. EitherSideComesFirst
//   3. AFullRingIsWaitedFor
//   4. BatchesGoAsFarAsThereIsRoom
//   5. TheEndComesBehindTheLastValue
//   6. WhatIsLeftBehindIsForALaterReceiver
//   7. ADeathIsToldFromAnEnd
//   8. ASenderThatFailedSaysNoEnd
//   9. AReceiverThatLeavesIsToldToTheSender
//  10. ADeadReceiverIsToldToASenderThatWaits
//  11. TheNextStreamWaitsForTheReceiverOfTheLast
//  12. AnotherTypeIsRefused
//  13. SecondOnesAreRefused
//  14. AForkedChildHasNoPart
//  15. AForkedWriterStoresNothing
//  16. PositionsOfAHostilePeerAreCorrupt
//  17. ClosedAndMovedHandlesSaySo
//  18. AStopFlagEndsTheWait
//  19. AStopFlagEndsTheWaitOfAnOpening
//  20. WhatIsAcknowledgedEachTimeIsFlushedWithoutAnotherLook
//  21. TheNewestValueIsWaitedFor
//  22. AReaderIsToldHowItsWriterWent
//  23. ReadersTakeTheirPlaces
//  24. ACellOfAnotherTypeIsRefused
//  25. WhatWasTrueOnceIsNotAskedAgain
//  26. AnEndIsNotToldToAReceiverThatNeverReadTheStream
//  27. SendersThatWaitAreNotInEachOthersWay
//  28. ABrokenOffStreamIsNotGoneOnWith
//  29. TheSuccessorOfADeadReceiverIsToldTheEnd
//  30. ReadersThatAreGoneCostNoStoreAnything
//  31. APollThatFindsNothingMakesNoValue
//  32. APeerThatDiedWhileTheHandleWasMadeCounts
//  33. AForkedChildForgetsWhatIsOnOtherThreadsStacks
#include <gmock/gmock.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "rondo/core/segment.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/transports/status.hpp"
#include "rondo/transports/typed.hpp"
#include "rondo/transports/typed_latest.hpp"
#include "support/names.hpp"
#include "support/processes.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

struct Trade {
  std::uint64_t id;
  double price;
};
struct Other {
  std::uint64_t id;
};
Trade trade(std::uint64_t id) { return {id, static_cast<double>(id) * 0.5}; }

Deadline soon() { return Deadline::after(seconds(60)); }

template <class Handle>
Handle opened(Result<Handle> handle) {
  if (!handle) throw std::runtime_error(handle.error().message);
  return std::move(handle).value();
}

class Typed : public Watchdog {
 protected:
  ~Typed() override {
    if (Segment::remove({Backing::kSharedMemory, name_.substr(4)}, Segment::Remove::kAlways)) {
      ADD_FAILURE() << "the name was left behind";
    }
  }
  [[nodiscard]] TypedSender<Trade> sender(const TypedOptions& options = {.slots = 8}) const {
    return opened(TypedSender<Trade>::open(name_, options));
  }
  [[nodiscard]] TypedReceiver<Trade> receiver(const TypedOptions& options = {.slots = 8}) const {
    return opened(TypedReceiver<Trade>::open(name_, options));
  }
  // The next value's id; or 1000 and the status.
  template <class Reader>
  static std::uint64_t id_of_next(Reader& reader) {
    const auto value = reader.next(soon());
    return value ? value->id : 1000 + static_cast<std::uint64_t>(value.status());
  }

  std::string name_ = "shm:" + unique_word();
};
constexpr std::uint64_t is(Status status) { return 1000 + static_cast<std::uint64_t>(status); }

TEST_F(Typed, ValuesPassInOrderBetweenProcesses) {
  for (const WaitMode mode : {WaitMode::kAdaptive, WaitMode::kPark, WaitMode::kYield}) {
    constexpr std::uint64_t kCount = 20'000;
    const TypedOptions options{.slots = 64, .wait = mode};
    Child child([&] {
      auto mine = sender(options);
      for (std::uint64_t i = 0; i < kCount; ++i) {
        if (mine.send(trade(i), soon()) != Status::kOk) return 1;
      }
      return mine.close() == Status::kOk ? 0 : 2;
    });
    auto mine = receiver(options);
    for (std::uint64_t i = 0; i < kCount; ++i) {
      const auto value = mine.next(soon());
      ASSERT_TRUE(value) << to_string(value.status());
      ASSERT_EQ(value->id, i);
      ASSERT_EQ(value->price, static_cast<double>(i) * 0.5);
    }
    EXPECT_EQ(id_of_next(mine), is(Status::kEnded));
    EXPECT_EQ(child.join(), 0);
  }
}

TEST_F(Typed, EitherSideComesFirst) {
  {
    auto early = receiver();
    EXPECT_FALSE(early.sender_attached());
    EXPECT_EQ(early.try_next().status(), Status::kWouldBlock);
    EXPECT_EQ(early.next(Deadline::after(milliseconds(60))).status(), Status::kTimedOut);
    auto late = sender();
    EXPECT_EQ(early.wait_for_sender(soon()), Status::kOk);
    EXPECT_EQ(late.send(trade(7)), Status::kOk);
    EXPECT_EQ(id_of_next(early), 7u);
    EXPECT_EQ(late.flush(soon()), Status::kOk);
  }
  auto early = sender();
  EXPECT_FALSE(early.receiver_attached());
  EXPECT_EQ(early.wait_for_receiver(Deadline::after(milliseconds(60))), Status::kTimedOut);
  EXPECT_EQ(early.send(trade(8)), Status::kOk);
  EXPECT_EQ(early.slots(), 8u);
  auto late = opened(TypedReceiver<Trade>::open(name_));
  EXPECT_EQ(early.wait_for_receiver(soon()), Status::kOk);
  EXPECT_EQ(id_of_next(late), 8u);
  EXPECT_EQ(late.slots(), 8u);
}

TEST_F(Typed, AFullRingIsWaitedFor) {
  auto mine = sender({.slots = 8, .wait = WaitMode::kPark});
  auto other = receiver();
  for (std::uint64_t i = 0; i < 8; ++i) ASSERT_EQ(mine.try_send(trade(i)), Status::kOk);
  EXPECT_EQ(mine.try_send(trade(8)), Status::kWouldBlock);
  EXPECT_EQ(mine.send(trade(8), Deadline::after(milliseconds(5))), Status::kTimedOut);
  EXPECT_EQ(mine.flush(Deadline::now()), Status::kWouldBlock);
  std::thread reading([&] {
    await_sleep(getpid());
    for (std::uint64_t i = 0; i < 9; ++i) EXPECT_EQ(id_of_next(other), i);
    EXPECT_EQ(other.try_next().status(), Status::kWouldBlock);
  });
  EXPECT_EQ(mine.send(trade(8), soon()), Status::kOk);
  EXPECT_EQ(mine.flush(soon()), Status::kOk);
  reading.join();
}

TEST_F(Typed, BatchesGoAsFarAsThereIsRoom) {
  auto mine = sender();
  auto other = receiver();
  std::vector<Trade> many;
  for (std::uint64_t i = 0; i < 20; ++i) many.push_back(trade(i));
  std::span<const Trade> left(many);
  EXPECT_EQ(mine.try_send_all(left), Status::kWouldBlock);
  EXPECT_EQ(left.size(), 12u);
  std::vector<Trade> some(20);
  const auto got = other.try_next_some(some);
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, 8u);
  EXPECT_EQ(some[7].id, 7u);
  EXPECT_EQ(other.try_next_some(some).status(), Status::kWouldBlock);
  std::thread sending([&] { EXPECT_EQ(mine.send_all(left, soon()), Status::kOk); });
  for (std::uint64_t next = 8; next < 20;) {
    const auto count = other.next_some(some, soon());
    ASSERT_TRUE(count) << to_string(count.status());
    for (std::size_t i = 0; i < *count; ++i) EXPECT_EQ(some[i].id, next++);
  }
  sending.join();
  EXPECT_TRUE(left.empty());
}

TEST_F(Typed, TheEndComesBehindTheLastValue) {
  auto mine = sender();
  auto other = receiver({.slots = 8, .wait = WaitMode::kPark});
  ASSERT_EQ(mine.send(trade(1)), Status::kOk);
  std::thread ending([&] {
    await_sleep(getpid());
    EXPECT_EQ(mine.send(trade(2)), Status::kOk);
    EXPECT_EQ(mine.close(), Status::kOk);
  });
  EXPECT_EQ(id_of_next(other), 1u);
  EXPECT_EQ(id_of_next(other), 2u);
  EXPECT_EQ(id_of_next(other), is(Status::kEnded));
  EXPECT_EQ(other.try_next().status(), Status::kEnded);
  EXPECT_EQ(other.status(), Status::kEnded);
  ending.join();
}

TEST_F(Typed, WhatIsLeftBehindIsForALaterReceiver) {
  {
    auto mine = sender();
    ASSERT_EQ(mine.send(trade(1)), Status::kOk);
  }
  {
    auto next = sender();
    ASSERT_EQ(next.send(trade(2)), Status::kOk);
  }
  auto late = receiver();
  EXPECT_EQ(id_of_next(late), 1u);
  EXPECT_EQ(id_of_next(late), 2u);
  EXPECT_EQ(id_of_next(late), is(Status::kEnded));
}

TEST_F(Typed, ADeathIsToldFromAnEnd) {
  Child child([&] {
    auto mine = sender();
    if (mine.send(trade(1)) != Status::kOk) return 1;
    if (mine.wait_for_receiver(soon()) != Status::kOk) return 2;
    kill(getpid(), SIGKILL);
    return 3;
  });
  auto mine = receiver();
  EXPECT_EQ(id_of_next(mine), 1u);
  EXPECT_EQ(id_of_next(mine), is(Status::kPeerDied));
  EXPECT_EQ(child.join(), -SIGKILL);
  // A successor is another matter, for another handle.
  auto successor = sender();
  ASSERT_EQ(successor.send(trade(2)), Status::kOk);
  EXPECT_EQ(mine.try_next().status(), Status::kPeerDied);
  mine.close();
  mine = receiver();
  EXPECT_EQ(id_of_next(mine), 2u);
}

TEST_F(Typed, ASenderThatFailedSaysNoEnd) {
  auto other = receiver();
  {
    auto mine = sender();
    ASSERT_EQ(mine.send(trade(1)), Status::kOk);
    mine.break_off();
  }
  EXPECT_EQ(id_of_next(other), 1u);
  EXPECT_EQ(id_of_next(other), is(Status::kPeerGone));
  other.close();
  other = receiver();
  try {
    auto mine = sender();
    ASSERT_EQ(mine.send(trade(2)), Status::kOk);
    throw std::runtime_error("on the way");
  } catch (const std::runtime_error&) {
  }
  EXPECT_EQ(id_of_next(other), 2u);
  EXPECT_EQ(id_of_next(other), is(Status::kPeerGone));
}

TEST_F(Typed, AReceiverThatLeavesIsToldToTheSender) {
  auto mine = sender();
  {
    auto other = receiver();
    ASSERT_EQ(mine.send(trade(1)), Status::kOk);
    EXPECT_EQ(id_of_next(other), 1u);
    ASSERT_EQ(mine.send(trade(2)), Status::kOk);
  }
  EXPECT_EQ(mine.flush(soon()), Status::kPeerGone);
  EXPECT_EQ(mine.try_send(trade(3)), Status::kPeerGone);
  EXPECT_EQ(mine.status(), Status::kPeerGone);
  // What nobody wanted goes, and the name with it.
  EXPECT_EQ(mine.close(), Status::kPeerGone);
}

TEST_F(Typed, ADeadReceiverIsToldToASenderThatWaits) {
  Child child([&] {
    auto other = receiver();
    for (;;) pause();
    return 0;
  });
  auto mine = sender();
  EXPECT_EQ(mine.wait_for_receiver(soon()), Status::kOk);
  for (std::uint64_t i = 0; i < 8; ++i) ASSERT_EQ(mine.send(trade(i), soon()), Status::kOk);
  child.signal(SIGKILL);
  EXPECT_EQ(mine.send(trade(8), soon()), Status::kPeerDied);
  EXPECT_EQ(mine.close(), Status::kPeerDied);
  // It is there for another one, but it is not said that this was all.
  auto late = receiver();
  for (std::uint64_t i = 0; i < 8; ++i) EXPECT_EQ(id_of_next(late), i);
  EXPECT_EQ(id_of_next(late), is(Status::kPeerGone));
}

TEST_F(Typed, TheNextStreamWaitsForTheReceiverOfTheLast) {
  auto other = receiver();
  {
    auto mine = sender();
    ASSERT_EQ(mine.send(trade(1)), Status::kOk);
  }
  const auto refused = TypedSender<Trade>::open(name_, {.timeout = milliseconds(20)});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
  EXPECT_THAT(refused.error().message, HasSubstr("earlier sender"));
  std::thread next([&] {
    auto mine = sender({.slots = 8, .timeout = seconds(60)});
    EXPECT_EQ(mine.send(trade(2)), Status::kOk);
    EXPECT_EQ(mine.flush(soon()), Status::kOk);
  });
  EXPECT_EQ(id_of_next(other), 1u);
  EXPECT_EQ(id_of_next(other), is(Status::kEnded));
  other.close();
  auto mine = receiver();
  EXPECT_EQ(id_of_next(mine), 2u);
  EXPECT_EQ(id_of_next(mine), is(Status::kEnded));
  next.join();
}

TEST_F(Typed, AnotherTypeIsRefused) {
  auto mine = sender({.slots = 8, .tag = 7});
  const auto sized = TypedReceiver<Other>::open(name_, {.tag = 7});
  ASSERT_FALSE(sized);
  EXPECT_EQ(sized.error().code, ErrorCode::kGeometryMismatch);
  EXPECT_THAT(sized.error().message, HasSubstr("16"));
  const auto tagged = TypedReceiver<Trade>::open(name_, {.tag = 8});
  ASSERT_FALSE(tagged);
  EXPECT_EQ(tagged.error().code, ErrorCode::kGeometryMismatch);
  EXPECT_THAT(tagged.error().message, HasSubstr("tag 7"));
  const auto untagged = TypedReceiver<Trade>::open(name_);
  ASSERT_FALSE(untagged);
  const auto slots = TypedReceiver<Trade>::open(name_, {.slots = 16, .tag = 7});
  ASSERT_FALSE(slots);
  EXPECT_THAT(slots.error().message, HasSubstr("exists with 8 slots"));
  const auto cell = LatestReader<Trade>::open(name_, {.tag = 7});
  ASSERT_FALSE(cell);
  EXPECT_EQ(cell.error().code, ErrorCode::kBadKind);
  EXPECT_TRUE(TypedReceiver<Trade>::open(name_, {.tag = 7}));
}

TEST_F(Typed, SecondOnesAreRefused) {
  auto mine = sender();
  auto other = receiver();
  const auto second = TypedSender<Trade>::open(name_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
  const auto also = TypedReceiver<Trade>::open(name_);
  ASSERT_FALSE(also);
  EXPECT_EQ(also.error().code, ErrorCode::kBusy);
}

TEST_F(Typed, AForkedChildHasNoPart) {
  auto mine = sender();
  auto other = receiver();
  for (std::uint64_t i = 0; i < 7; ++i) ASSERT_EQ(mine.send(trade(i)), Status::kOk);
  EXPECT_EQ(id_of_next(other), 0u);  // read, and perhaps not given back
  Child child([&] {
    const Trade value = trade(9);
    std::span<const Trade> values(&value, 1);
    const bool sends = mine.try_send(value) == Status::kForked &&
                       mine.send(value, soon()) == Status::kForked &&
                       mine.send_all(values, soon()) == Status::kForked && values.size() == 1 &&
                       mine.flush(soon()) == Status::kForked && mine.status() == Status::kForked;
    if (!sends) return 1;
    Trade taken{};
    std::vector<Trade> some(8);
    const bool receives = other.try_next().status() == Status::kForked &&
                          other.next(taken, soon()) == Status::kForked &&
                          other.try_next_some(some).status() == Status::kForked;
    if (!receives) return 2;
    // Moved and destroyed, they move nothing either.
    TypedReceiver<Trade> going(std::move(other));
    if (going.try_next().status() != Status::kForked) return 3;
    return mine.close() == Status::kForked ? 0 : 4;
  });
  EXPECT_EQ(child.join(), 0);
  EXPECT_EQ(mine.send(trade(7)), Status::kOk);
  for (std::uint64_t i = 1; i < 8; ++i) EXPECT_EQ(id_of_next(other), i);
  EXPECT_EQ(mine.send(trade(8)), Status::kOk);
  EXPECT_EQ(id_of_next(other), 8u);
}

TEST_F(Typed, AForkedWriterStoresNothing) {
  auto writer = opened(LatestWriter<Trade>::open(name_));
  auto reader = opened(LatestReader<Trade>::open(name_));
  writer.store(trade(1));
  Child child([&] {
    for (std::uint64_t i = 0; i < 200; ++i) writer.store(trade(9));
    if (writer.version() != 0 || writer.reader_attached()) return 1;
    LatestWriter<Trade> going(std::move(writer));
    going.store(trade(9));
    going.close();
    going.store(trade(9));
    return reader.try_next().status() == Status::kForked ? 0 : 2;
  });
  EXPECT_EQ(child.join(), 0);
  EXPECT_EQ(id_of_next(reader), 1u);
  EXPECT_EQ(reader.version(), 1u);
  EXPECT_EQ(reader.try_next().status(), Status::kWouldBlock);
  writer.store(trade(2));
  EXPECT_EQ(id_of_next(reader), 2u);
  EXPECT_EQ(reader.version(), 2u);
}

TEST_F(Typed, PositionsOfAHostilePeerAreCorrupt) {
  for (const bool of_sender : {true, false}) {
    auto mine = sender();
    auto other = receiver();
    const auto segment = Segment::attach({Backing::kSharedMemory, name_.substr(4)});
    ASSERT_TRUE(segment) << segment.error().message;
    const auto parts = spsc_ring<Trade>::attach(segment->bytes());
    ASSERT_TRUE(parts) << parts.error().message;
    if (of_sender) {
      parts->producer->tail.store(1'000'000, std::memory_order_relaxed);
      EXPECT_EQ(other.next(soon()).status(), Status::kCorrupt);
      EXPECT_EQ(other.try_next().status(), Status::kCorrupt);
      parts->producer->tail.store(0, std::memory_order_relaxed);
    } else {
      for (std::uint64_t i = 0; i < 8; ++i) ASSERT_EQ(mine.send(trade(i)), Status::kOk);
      parts->consumer->head.store(1'000'000, std::memory_order_relaxed);
      EXPECT_EQ(mine.send(trade(8), soon()), Status::kCorrupt);
      EXPECT_EQ(mine.try_send(trade(8)), Status::kCorrupt);
      parts->consumer->head.store(8, std::memory_order_relaxed);
    }
  }
}

TEST_F(Typed, ClosedAndMovedHandlesSaySo) {
  auto mine = sender();
  auto moved = std::move(mine);
  EXPECT_EQ(mine.try_send(trade(1)), Status::kClosed);  // NOLINT: that is what is tested
  EXPECT_EQ(moved.try_send(trade(1)), Status::kOk);
  auto other = receiver();
  auto another = std::move(other);
  EXPECT_EQ(other.try_next().status(), Status::kClosed);  // NOLINT: as above
  EXPECT_EQ(id_of_next(another), 1u);
  another.close();
  EXPECT_EQ(another.try_next().status(), Status::kClosed);
  EXPECT_EQ(moved.close(), Status::kOk) << "all was read";
  EXPECT_EQ(moved.send(trade(2)), Status::kClosed);
  EXPECT_EQ(moved.flush(), Status::kClosed);
  EXPECT_FALSE(moved.receiver_attached());
}

TEST_F(Typed, AStopFlagEndsTheWait) {
  std::atomic<bool> stop{false};
  auto mine = receiver({.slots = 8, .wait = WaitMode::kPark, .stop = &stop});
  std::thread stopping([&] {
    await_sleep(getpid());
    stop = true;
  });
  EXPECT_EQ(mine.next().status(), Status::kInterrupted);
  stopping.join();
  EXPECT_EQ(mine.status(), Status::kOk);
}

TEST_F(Typed, AStopFlagEndsTheWaitOfAnOpening) {
  std::atomic<bool> stop{false};
  const TypedOptions options{.slots = 8, .stop = &stop, .timeout = seconds(60)};
  const auto stopped = [&](auto&& open) {
    stop = false;
    std::thread stopping([&] {
      await_sleep(getpid());
      stop = true;
    });
    const auto refused = open();
    stopping.join();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kTimedOut);
    EXPECT_THAT(refused.error().message, HasSubstr("interrupted"));
  };
  stopped([&] { return LatestReader<Trade>::open(name_, options); });
  auto other = receiver();
  sender().close();
  stopped([&] { return TypedSender<Trade>::open(name_, options); });
}

TEST_F(Typed, WhatIsAcknowledgedEachTimeIsFlushedWithoutAnotherLook) {
  auto mine = sender({.slots = 64});
  auto other = receiver({.slots = 64, .acknowledge_each = true});
  ASSERT_EQ(mine.send(trade(1)), Status::kOk);
  ASSERT_EQ(mine.send(trade(2)), Status::kOk);
  EXPECT_EQ(id_of_next(other), 1u);
  EXPECT_EQ(mine.flush(Deadline::now()), Status::kWouldBlock);
  EXPECT_EQ(id_of_next(other), 2u);
  EXPECT_EQ(mine.flush(soon()), Status::kOk);
}

TEST_F(Typed, TheNewestValueIsWaitedFor) {
  for (const WaitMode mode : {WaitMode::kPark, WaitMode::kAdaptive}) {
    auto writer = opened(LatestWriter<Trade>::open(name_));
    auto reader = opened(LatestReader<Trade>::open(name_, {.wait = mode}));
    EXPECT_TRUE(writer.reader_attached());
    EXPECT_TRUE(reader.writer_attached());
    EXPECT_EQ(reader.try_next().status(), Status::kWouldBlock);
    std::thread storing([&] {
      await_sleep(getpid());
      writer.store(trade(1));
    });
    EXPECT_EQ(id_of_next(reader), 1u);
    storing.join();
    EXPECT_EQ(reader.next(Deadline::after(milliseconds(5))).status(), Status::kTimedOut);
    writer.store(trade(2));
    writer.store(trade(3));
    auto late = opened(LatestReader<Trade>::open(name_));
    EXPECT_EQ(id_of_next(late), 3u);
    EXPECT_EQ(id_of_next(reader), 3u);
    EXPECT_EQ(reader.version(), 3u);
    EXPECT_EQ(writer.version(), 3u);
  }
}

TEST_F(Typed, AReaderIsToldHowItsWriterWent) {
  for (const bool dies : {false, true}) {
    Child child([&] {
      auto writer = opened(LatestWriter<Trade>::open(name_));
      writer.store(trade(1));
      while (!writer.reader_attached()) usleep(1000);
      writer.store(trade(2));
      if (dies) kill(getpid(), SIGKILL);
      writer.close();
      return 0;
    });
    auto reader = opened(LatestReader<Trade>::open(name_, {.timeout = seconds(60)}));
    std::uint64_t last = 0;
    for (std::uint64_t id = id_of_next(reader); id < 1000; id = id_of_next(reader)) last = id;
    EXPECT_EQ(last, 2u);
    EXPECT_EQ(reader.status(), dies ? Status::kPeerDied : Status::kEnded);
    EXPECT_EQ(child.join(), dies ? -SIGKILL : 0);
  }
}

TEST_F(Typed, ReadersTakeTheirPlaces) {
  auto writer = opened(LatestWriter<Trade>::open(name_, {.readers = 2}));
  auto one = opened(LatestReader<Trade>::open(name_));
  std::optional<LatestReader<Trade>> two(opened(LatestReader<Trade>::open(name_)));
  const auto third = LatestReader<Trade>::open(name_);
  ASSERT_FALSE(third);
  EXPECT_EQ(third.error().code, ErrorCode::kNoSlot) << third.error().message;
  two.reset();
  auto again = opened(LatestReader<Trade>::open(name_, {.wait = WaitMode::kPark}));
  std::thread storing([&] {
    await_sleep(getpid());
    writer.store(trade(5));
  });
  EXPECT_EQ(id_of_next(again), 5u);
  EXPECT_EQ(id_of_next(one), 5u);
  storing.join();
  const auto second = LatestWriter<Trade>::open(name_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
  Child child([&] {
    if (again.next(soon()).status() != Status::kForked) return 1;
    again.close();
    writer.close();
    return 0;
  });
  EXPECT_EQ(child.join(), 0);
  writer.store(trade(6));
  EXPECT_EQ(id_of_next(again), 6u);
  writer.close();
  EXPECT_EQ(id_of_next(again), is(Status::kEnded));
}

TEST_F(Typed, ACellOfAnotherTypeIsRefused) {
  EXPECT_EQ(LatestReader<Trade>::open(name_, {.timeout = {}}).error().code, ErrorCode::kNotFound);
  auto writer = opened(LatestWriter<Trade>::open(name_, {.tag = 1}));
  const auto sized = LatestReader<Other>::open(name_, {.tag = 1});
  ASSERT_FALSE(sized);
  EXPECT_EQ(sized.error().code, ErrorCode::kGeometryMismatch);
  const auto tagged = LatestReader<Trade>::open(name_, {.tag = 2});
  ASSERT_FALSE(tagged);
  EXPECT_THAT(tagged.error().message, HasSubstr("tag 1"));
  writer.close();
  auto poor = opened(latest<Trade>::open_writer(name_));
  const auto placeless = LatestReader<Trade>::open(name_);
  ASSERT_FALSE(placeless);
  EXPECT_THAT(placeless.error().message, HasSubstr("open_reader"));
}

// A peer that is there at one look may be dead at the next: that is no end.
TEST_F(Typed, WhatWasTrueOnceIsNotAskedAgain) {
  const TypedOptions options{.slots = 8};
  auto ring = opened(detail::join_typed<Trade>(name_, options, Role::kConsumer)).ring;
  const auto parts = ring.parts();
  Waiter waiter(parts.consumer->message_waiter, parts.producer->message_notifier);
  detail::TypedEnd end(std::move(ring), spsc_ring<Trade>::kProducerSlot, 1, 0, options);
  for (const Deadline deadline : {Deadline::now(), soon()}) {
    int looks = 0;
    bool left = false;
    const auto waited = [&](auto&& ready) {
      return end.wait(
          waiter, deadline, ready, [] { return false; }, [&] { return left; },
          [] { return Status::kEnded; });
    };
    EXPECT_EQ(waited([&] { return looks++ == 0; }), Status::kOk);
    left = true;
    EXPECT_EQ(waited([&] { return looks++ == 3; }), Status::kEnded);
    EXPECT_EQ(waited([] { return true; }), Status::kOk) << "what came before the end is first";
  }
  end.leave([](bool last) { return last; });
}

TEST_F(Typed, AnEndIsNotToldToAReceiverThatNeverReadTheStream) {
  // A sender that has said the end and not left yet.
  auto ring = opened(detail::join_typed<Trade>(name_, {.slots = 8}, Role::kProducer)).ring;
  const auto parts = ring.parts();
  Waiter waiter(parts.producer->space_waiter, parts.consumer->space_notifier);
  detail::say_gone(waiter);
  {
    const auto refused = TypedReceiver<Trade>::open(name_, {.timeout = milliseconds(20)});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kBusy);
    EXPECT_THAT(refused.error().message, HasSubstr("has not left yet"));
  }
  std::thread leaving([&] { ring.leave([](bool) { return false; }); });
  auto mine = receiver({.slots = 8, .timeout = seconds(60)});
  EXPECT_EQ(mine.try_next().status(), Status::kWouldBlock);
  leaving.join();
}

TEST_F(Typed, SendersThatWaitAreNotInEachOthersWay) {
  auto other = receiver();
  sender().close();
  const auto try_often = [&] {
    for (int i = 0; i < 300; ++i) {
      const auto refused = TypedSender<Trade>::open(name_, {.timeout = {}});
      ASSERT_FALSE(refused);
      ASSERT_THAT(refused.error().message, HasSubstr("earlier sender"));
    }
  };
  std::thread at_once(try_often);
  try_often();
  at_once.join();
}

TEST_F(Typed, ABrokenOffStreamIsNotGoneOnWith) {
  auto other = receiver();
  {
    auto mine = sender();
    ASSERT_EQ(mine.send(trade(1)), Status::kOk);
    ASSERT_EQ(mine.send(trade(2)), Status::kOk);
    EXPECT_EQ(id_of_next(other), 1u);
    mine.break_off();
  }
  const auto refused = TypedSender<Trade>::open(name_, {.timeout = milliseconds(20)});
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("earlier sender"));
  EXPECT_EQ(id_of_next(other), 2u);
  EXPECT_EQ(id_of_next(other), is(Status::kPeerGone));
  other.close();
  auto mine = sender();
  ASSERT_EQ(mine.send(trade(3)), Status::kOk);
  auto late = receiver();
  EXPECT_EQ(id_of_next(late), 3u);
}

TEST_F(Typed, TheSuccessorOfADeadReceiverIsToldTheEnd) {
  auto mine = sender();
  Child child([&] {
    auto other = receiver();
    if (id_of_next(other) != 1) return 1;
    for (;;) pause();
  });
  ASSERT_EQ(mine.send(trade(1)), Status::kOk);
  ASSERT_EQ(mine.flush(soon()), Status::kOk);
  EXPECT_EQ(mine.close(), Status::kOk);
  child.signal(SIGKILL);
  child.join();
  auto late = receiver({.slots = 8, .keep = true});
  EXPECT_EQ(id_of_next(late), is(Status::kEnded));
  late.close();
  // It left in order, so the next one has another stream to wait for.
  auto next = receiver();
  EXPECT_EQ(next.try_next().status(), Status::kWouldBlock);
}

TEST_F(Typed, ReadersThatAreGoneCostNoStoreAnything) {
  auto writer = opened(LatestWriter<Trade>::open(name_, {.readers = 1}));
  const auto segment = Segment::attach({Backing::kSharedMemory, name_.substr(4)});
  ASSERT_TRUE(segment) << segment.error().message;
  const auto parts = latest<Trade>::attach(segment->bytes());
  ASSERT_TRUE(parts) << parts.error().message;
  const auto awaiting = [&] { return parts->writer->awaiting.load(std::memory_order_relaxed); };
  {
    auto reader = opened(LatestReader<Trade>::open(name_));
    writer.store(trade(1));
    EXPECT_EQ(id_of_next(reader), 1u);
    EXPECT_EQ(awaiting(), 1u);
  }
  EXPECT_EQ(awaiting(), 0u) << "one that closed";
  EXPECT_EQ(parts->waiter(0).state.load(std::memory_order_relaxed) & BellWaiter::kFlags, 0u);
  Child child([&] {
    auto reader = opened(LatestReader<Trade>::open(name_, {.wait = WaitMode::kPark}));
    for (;;) static_cast<void>(reader.next());
    return 0;
  });
  const auto asleep = [&] {
    return (parts->waiter(0).state.load(std::memory_order_relaxed) & BellWaiter::kAsleep) != 0;
  };
  while (!asleep()) usleep(1000);
  child.signal(SIGSTOP);
  child.join_stop();
  for (std::uint64_t i = 0; i < 200; ++i) writer.store(trade(i));
  EXPECT_EQ(awaiting(), 1u) << "one that stands still may go on";
  while (!asleep()) {
    child.signal(SIGCONT);
    usleep(1000);
    child.signal(SIGSTOP);
    child.join_stop();
  }
  child.signal(SIGKILL);
  child.join();
  for (std::uint64_t i = 0; i < 200; ++i) writer.store(trade(i));
  EXPECT_EQ(awaiting(), 0u) << "one that died asleep";
  // A successor is looked after again.
  auto again = opened(LatestReader<Trade>::open(name_, {.wait = WaitMode::kPark}));
  EXPECT_EQ(id_of_next(again), 199u);
  std::thread storing([&] {
    await_sleep(getpid());
    writer.store(trade(5));
  });
  EXPECT_EQ(id_of_next(again), 5u);
  storing.join();
  // As a writer leaves it that was killed while it forgot a dead one.
  parts->writer->awaiting.store(0, std::memory_order_relaxed);
  EXPECT_EQ(again.next(Deadline::after(milliseconds(1))).status(), Status::kTimedOut);
  EXPECT_EQ(awaiting(), 1u);
}

int counted = 0;
struct Counted {
  std::uint64_t id = static_cast<std::uint64_t>(++counted);
};

TEST_F(Typed, APollThatFindsNothingMakesNoValue) {
  auto writer = opened(LatestWriter<Counted>::open(name_));
  auto reader = opened(LatestReader<Counted>::open(name_));
  writer.store({7});
  const auto value = reader.try_next();
  ASSERT_TRUE(value);
  EXPECT_EQ(value->id, 7u);
  counted = 0;
  for (int i = 0; i < 100; ++i) EXPECT_EQ(reader.try_next().status(), Status::kWouldBlock);
  EXPECT_EQ(counted, 0);
  writer.close();
  // Asked of the kernel now and then.
  Status status = Status::kWouldBlock;
  while (status == Status::kWouldBlock) status = reader.try_next().status();
  EXPECT_EQ(status, Status::kEnded);
}

TEST_F(Typed, APeerThatDiedWhileTheHandleWasMadeCounts) {
  const TypedOptions options{.slots = 8};
  auto place = opened(detail::join_typed<Trade>(name_, options, Role::kConsumer));
  Child child([&] {
    const auto mine = sender();
    kill(getpid(), SIGKILL);
    return 1;
  });
  EXPECT_EQ(child.join(), -SIGKILL);
  detail::TypedEnd end(std::move(place.ring), spsc_ring<Trade>::kProducerSlot, 1, place.gone_before,
                       options);
  EXPECT_EQ(end.lost([] { return false; }), Status::kPeerDied);
  end.leave([](bool last) { return last; });
}

// The child's threads get the stacks of its parent's, whose handles were there.
TEST_F(Typed, AForkedChildForgetsWhatIsOnOtherThreadsStacks) {
  std::atomic<bool> is_open{false};
  std::atomic<bool> ends{false};
  std::thread other([&] {
    const auto local = sender();
    is_open = true;
    is_open.notify_one();
    ends.wait(false);
  });
  is_open.wait(false);
  await_sleep_of_other_threads();
  Child child([&] {
    std::thread([] {
      volatile std::byte room[std::size_t{256} << 10];
      for (volatile std::byte& byte : room) byte = std::byte{0xAA};
    }).join();
    const std::string own = name_ + "-child";
    std::optional<TypedSender<Trade>> mine(opened(TypedSender<Trade>::open(own)));
    TypedSender<Trade> moved(std::move(*mine));
    mine.reset();
    Child grandchild([&] { return moved.try_send(trade(1)) == Status::kForked ? 0 : 1; });
    const int result = grandchild.join();
    static_cast<void>(Segment::remove({Backing::kSharedMemory, own.substr(4)}));
    return result;
  });
  EXPECT_EQ(child.join(), 0);
  ends = true;
  ends.notify_one();
  other.join();
}

}  // namespace
}  // namespace rondo::testing
