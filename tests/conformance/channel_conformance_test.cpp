// Contract of every channel, whatever its transport. Each line has a test of the same name, in this
// order.
//
//  Messages
//   1. MessagesArriveInTheOrderTheyWereSent
//   2. MessagesOfAllSizesKeepTheirBoundaries
//   3. EverySizeUpToTheLargestArrives
//   4. AMessageAboveTheLargestIsRefusedAndTheChannelGoesOn
//  Claims and batches
//   5. AClaimIsWrittenInPlace
//   6. AShrunkClaimArrivesShrunk
//   7. ADiscardedClaimLeavesNoTrace
//   8. ABatchIsInvisibleUntilItsCommit
//   9. ADiscardedBatchLeavesNoTrace
//  10. ABatchOfManyArrivesWhole
//  11. ABatchLargerThanTheChannelIsRefused
//  Waiting
//  12. AnEmptyChannelHasNothingNow
//  13. AFullChannelRefusesAndAcceptsAgain
//  14. NextWaitsAsLongAsItsDeadline
//  15. SendWaitsAsLongAsItsDeadline
//  16. AWaitingReceiverIsWokenByAMessage
//  17. AWaitingSenderIsWokenByRoom
//  18. EveryWaitModeMovesMessages
//  19. TheStopFlagEndsAWait
//  20. FlushReturnsOnceTheReceiverCanHaveItAll
//  The end
//  21. CloseEndsTheStreamBehindTheLastMessage
//  22. TheEndLasts
//  23. DestroyingTheSenderEndsTheStream
//  24. RangeForVisitsEveryMessageUpToTheEnd
//  25. ASenderLearnsThatItsReceiverHasLeft
//  26. AClosedSenderRefuses
//  27. ADetachedReceiverRefuses
//  28. HandlesGoOnWhereTheyWereMovedTo
//  29. InfoDescribesTheChannel
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "conformance/channel_fixture.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;

INSTANTIATE_TEST_SUITE_P(Every, ChannelTest, ::testing::ValuesIn(kChannelCases),
                         [](const auto& channel) { return std::string(channel.param.name); });

TEST_P(ChannelTest, MessagesArriveInTheOrderTheyWereSent) {
  auto [sender, receiver] = open();
  constexpr std::uint64_t kMessages = 20'000;
  std::thread sending([&sender = sender] {
    for (std::uint64_t i = 0; i < kMessages; ++i) {
      ASSERT_EQ(sender.send(std::as_bytes(std::span(&i, 1))), Status::kOk);
    }
    sender.close();
  });
  for (std::uint64_t i = 0; i < kMessages; ++i) {
    auto message = receiver.next();
    ASSERT_TRUE(message) << to_string(message.status());
    std::uint64_t got = ~i;
    ASSERT_EQ(message->size(), sizeof got);
    std::memcpy(&got, message->bytes().data(), sizeof got);
    ASSERT_EQ(got, i);
  }
  EXPECT_EQ(receive(receiver), kEndOfStreamText);
  sending.join();
}

TEST_P(ChannelTest, MessagesOfAllSizesKeepTheirBoundaries) {
  auto [sender, receiver] = open();
  std::mt19937_64 random(random_seed());
  std::vector<std::size_t> sizes(3'000);
  for (std::size_t& size : sizes) size = random() % (receiver.max_message_bytes() + 1) >> random() % 8;
  std::thread sending([&sender = sender, &sizes] {
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      ASSERT_EQ(sender.send(bytes_of(numbered_message(i, sizes[i]))), Status::kOk);
    }
    sender.close();
  });
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    ASSERT_EQ(receive(receiver), numbered_message(i, sizes[i])) << "message " << i;
  }
  EXPECT_EQ(receive(receiver), kEndOfStreamText);
  sending.join();
}

TEST_P(ChannelTest, EverySizeUpToTheLargestArrives) {
  for (const char* options : {"capacity=4KiB", "capacity=1MiB"}) {
    auto [sender, receiver] = open(options);
    const std::size_t largest = sender.max_message_bytes();
    ASSERT_EQ(largest, receiver.max_message_bytes());
    std::vector<std::size_t> sizes;
    for (std::size_t size = 0; size <= std::min<std::size_t>(largest, 300); ++size) {
      sizes.push_back(size);
    }
    for (std::size_t size = 512; size < largest; size *= 2) {
      sizes.insert(sizes.end(), {size - 1, size, size + 1});
    }
    sizes.insert(sizes.end(), {largest - 1, largest});
    std::thread sending([&sender = sender, &sizes] {
      for (std::size_t size : sizes) {
        ASSERT_EQ(sender.send(bytes_of(numbered_message(size, size))), Status::kOk);
      }
      sender.close();
    });
    for (std::size_t size : sizes) {
      ASSERT_EQ(receive(receiver), numbered_message(size, size)) << size << " bytes";
    }
    EXPECT_EQ(receive(receiver), kEndOfStreamText);
    sending.join();
  }
}

TEST_P(ChannelTest, AMessageAboveTheLargestIsRefusedAndTheChannelGoesOn) {
  auto [sender, receiver] = open();
  const std::string message(sender.max_message_bytes() + 1, 'x');

  EXPECT_EQ(sender.try_send(bytes_of(message)), Status::kTooLarge);
  EXPECT_EQ(sender.send(bytes_of(message)), Status::kTooLarge);
  EXPECT_EQ(sender.claim(message.size()).status(), Status::kTooLarge);
  EXPECT_FALSE(sender.try_claim(message.size()));
  EXPECT_FALSE(sender.try_claim(~std::size_t{0}));

  EXPECT_EQ(sender.status(), Status::kOk);
  EXPECT_EQ(sender.send(bytes_of("small")), Status::kOk);
  EXPECT_EQ(receive(receiver), "small");
}

TEST_P(ChannelTest, AClaimIsWrittenInPlace) {
  auto [sender, receiver] = open();
  auto claim = sender.claim(5);
  ASSERT_TRUE(claim);
  ASSERT_EQ(claim->bytes().size(), 5u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(claim->bytes().data()) % 8, 0u);
  std::memcpy(claim->bytes().data(), "12345", 5);
  std::move(*claim).commit();
  EXPECT_EQ(receive(receiver), "12345");
}

TEST_P(ChannelTest, AShrunkClaimArrivesShrunk) {
  auto [sender, receiver] = open();
  auto claim = sender.try_claim(1000);
  ASSERT_TRUE(claim);
  std::memcpy(claim->bytes().data(), "head", 4);
  claim->shrink(4);
  EXPECT_EQ(claim->bytes().size(), 4u);
  std::move(*claim).commit();
  ASSERT_EQ(sender.send(bytes_of("next")), Status::kOk);
  EXPECT_EQ(receive(receiver), "head");
  EXPECT_EQ(receive(receiver), "next");
}

TEST_P(ChannelTest, ADiscardedClaimLeavesNoTrace) {
  auto [sender, receiver] = open();
  {
    auto claim = sender.try_claim(100);
    ASSERT_TRUE(claim);
    std::fill(claim->bytes().begin(), claim->bytes().end(), std::byte{0xFF});
  }
  EXPECT_FALSE(receiver.try_next());
  ASSERT_EQ(sender.send(bytes_of("kept")), Status::kOk);
  EXPECT_EQ(receive(receiver), "kept");
  EXPECT_FALSE(receiver.try_next());
}

TEST_P(ChannelTest, ABatchIsInvisibleUntilItsCommit) {
  auto [sender, receiver] = open();
  Sender::Batch batch(sender);
  ASSERT_EQ(batch.try_add(bytes_of("one")), Status::kOk);
  ASSERT_EQ(batch.try_add(bytes_of("two")), Status::kOk);
  EXPECT_FALSE(receiver.try_next());
  EXPECT_EQ(std::move(batch).commit(), Status::kOk);
  EXPECT_EQ(receive(receiver), "one");
  EXPECT_EQ(receive(receiver), "two");
}

TEST_P(ChannelTest, ADiscardedBatchLeavesNoTrace) {
  auto [sender, receiver] = open();
  {
    Sender::Batch batch(sender);
    ASSERT_EQ(batch.try_add(bytes_of("never")), Status::kOk);
    ASSERT_EQ(batch.try_add(bytes_of("sent")), Status::kOk);
  }
  ASSERT_EQ(sender.send(bytes_of("kept")), Status::kOk);
  EXPECT_EQ(receive(receiver), "kept");
  EXPECT_FALSE(receiver.try_next());
}

TEST_P(ChannelTest, ABatchOfManyArrivesWhole) {
  auto [sender, receiver] = open("capacity=64KiB");
  constexpr std::size_t kBatches = 200;
  constexpr std::size_t kPerBatch = 150;  // more than one system call writes out
  std::thread sending([&sender = sender] {
    for (std::size_t i = 0; i < kBatches; ++i) {
      // A batch takes no message that has no room now; between batches one waits.
      ASSERT_EQ(sender.flush(), Status::kOk);
      Sender::Batch batch(sender);
      for (std::size_t j = 0; j < kPerBatch; ++j) {
        ASSERT_EQ(batch.try_add(bytes_of(numbered_message(i * kPerBatch + j, 100))), Status::kOk);
      }
      ASSERT_EQ(std::move(batch).commit(), Status::kOk);
    }
    sender.close();
  });
  for (std::size_t i = 0; i < kBatches * kPerBatch; ++i) {
    ASSERT_EQ(receive(receiver), numbered_message(i, 100));
  }
  EXPECT_EQ(receive(receiver), kEndOfStreamText);
  sending.join();
}

TEST_P(ChannelTest, ABatchLargerThanTheChannelIsRefused) {
  auto [sender, receiver] = open();
  {
    Sender::Batch batch(sender);
    Status status = Status::kOk;
    std::size_t added = 0;
    while (status == Status::kOk && added < 1'000) {
      status = batch.try_add(bytes_of(numbered_message(added, 100)));
      ++added;
    }
    EXPECT_EQ(status, Status::kWouldBlock);
  }
  EXPECT_FALSE(receiver.try_next());
  ASSERT_EQ(sender.send(bytes_of("on")), Status::kOk);
  EXPECT_EQ(receive(receiver), "on");
}

TEST_P(ChannelTest, AnEmptyChannelHasNothingNow) {
  auto [sender, receiver] = open();
  for (int i = 0; i < 1'000; ++i) {
    EXPECT_FALSE(receiver.try_next());
    EXPECT_EQ(receiver.next(Deadline::now()).status(), Status::kWouldBlock);
  }
  EXPECT_EQ(receiver.status(), Status::kOk);
}

TEST_P(ChannelTest, AFullChannelRefusesAndAcceptsAgain) {
  auto [sender, receiver] = open();
  std::uint64_t sent = 0;
  Status status = Status::kOk;
  while (sent < 100'000) {
    status = sender.try_send(bytes_of(numbered_message(sent, 100)));
    if (status != Status::kOk) break;
    ++sent;
  }
  ASSERT_EQ(status, Status::kWouldBlock);
  ASSERT_GT(sent, 10u);
  EXPECT_FALSE(sender.try_claim(100));
  EXPECT_EQ(sender.status(), Status::kOk);

  // What is there arrives, in order, and makes room.
  std::uint64_t received = 0;
  while (received < sent) {
    static_cast<void>(sender.flush(Deadline::now()));
    ASSERT_EQ(receive(receiver), numbered_message(received, 100));
    ++received;
  }
  EXPECT_FALSE(receiver.try_next());
  EXPECT_EQ(sender.try_send(bytes_of("again")), Status::kOk);
  EXPECT_EQ(receive(receiver), "again");
}

TEST_P(ChannelTest, NextWaitsAsLongAsItsDeadline) {
  auto [sender, receiver] = open();
  const auto start = Deadline::Clock::now();
  const Deadline deadline = Deadline::after(milliseconds(30));
  EXPECT_EQ(receiver.next(deadline).status(), Status::kTimedOut);
  EXPECT_GE(Deadline::Clock::now() - start, milliseconds(30));
  EXPECT_EQ(receiver.status(), Status::kOk);
}

TEST_P(ChannelTest, SendWaitsAsLongAsItsDeadline) {
  auto [sender, receiver] = open();
  const std::string message(1'000, 'x');
  while (sender.try_send(bytes_of(message)) == Status::kOk) {
  }
  const auto start = Deadline::Clock::now();
  EXPECT_EQ(sender.send(bytes_of(message), Deadline::after(milliseconds(30))), Status::kTimedOut);
  EXPECT_EQ(sender.claim(1'000, Deadline::after(milliseconds(30))).status(), Status::kTimedOut);
  EXPECT_GE(Deadline::Clock::now() - start, milliseconds(60));
  EXPECT_EQ(sender.status(), Status::kOk);
}

TEST_P(ChannelTest, AWaitingReceiverIsWokenByAMessage) {
  auto [sender, receiver] = open("wait=park");
  auto [back_sender, back_receiver] = open("wait=park");
  std::thread echo([&receiver = receiver, &back_sender = back_sender] {
    for (const Message& message : receiver) {
      ASSERT_EQ(back_sender.send(message.bytes()), Status::kOk);
    }
    back_sender.close();
  });
  // Each side sleeps while the other works: a lost wake would leave both asleep.
  for (int i = 0; i < 1'000; ++i) {
    ASSERT_EQ(sender.send(bytes_of(std::to_string(i))), Status::kOk);
    ASSERT_EQ(receive(back_receiver), std::to_string(i));
  }
  sender.close();
  EXPECT_EQ(receive(back_receiver), kEndOfStreamText);
  echo.join();
}

TEST_P(ChannelTest, AWaitingSenderIsWokenByRoom) {
  auto [sender, receiver] = open("capacity=4KiB&wait=park");
  constexpr std::size_t kMessages = 1'000;
  std::thread sending([&sender = sender] {
    for (std::size_t i = 0; i < kMessages; ++i) {
      ASSERT_EQ(sender.send(bytes_of(numbered_message(i, 1'500))), Status::kOk);
    }
    sender.close();
  });
  for (std::size_t i = 0; i < kMessages; ++i) {
    ASSERT_EQ(receive(receiver), numbered_message(i, 1'500));
  }
  EXPECT_EQ(receive(receiver), kEndOfStreamText);
  sending.join();
}

TEST_P(ChannelTest, EveryWaitModeMovesMessages) {
  for (const std::string mode : {"spin", "pause", "yield", "adaptive", "park"}) {
    auto [sender, receiver] = open("capacity=4KiB&wait=" + mode);
    constexpr std::size_t kMessages = 300;
    std::thread sending([&sender = sender] {
      for (std::size_t i = 0; i < kMessages; ++i) {
        ASSERT_EQ(sender.send(bytes_of(numbered_message(i, 500))), Status::kOk);
      }
      sender.close();
    });
    for (std::size_t i = 0; i < kMessages; ++i) {
      ASSERT_EQ(receive(receiver), numbered_message(i, 500)) << mode;
    }
    EXPECT_EQ(receive(receiver), kEndOfStreamText) << mode;
    sending.join();
  }
}

TEST_P(ChannelTest, TheStopFlagEndsAWait) {
  std::atomic<bool> stop{false};
  auto [sender, receiver] = open("capacity=4KiB", {.stop = &stop});
  while (sender.try_send(bytes_of(std::string(1'000, 'x'))) == Status::kOk) {
  }
  std::thread stopping([&stop] { stop = true; });
  EXPECT_EQ(sender.send(bytes_of(std::string(1'000, 'x'))), Status::kInterrupted);
  // What is there is delivered all the same; only waiting ends.
  Status status = Status::kOk;
  while (status == Status::kOk) {
    static_cast<void>(sender.flush(Deadline::now()));
    status = receiver.next().status();
  }
  EXPECT_EQ(status, Status::kInterrupted);
  EXPECT_EQ(sender.status(), Status::kOk);
  EXPECT_EQ(receiver.status(), Status::kOk);
  stopping.join();
}

TEST_P(ChannelTest, FlushReturnsOnceTheReceiverCanHaveItAll) {
  auto [sender, receiver] = open();
  EXPECT_EQ(sender.flush(), Status::kOk);
  ASSERT_EQ(sender.send(bytes_of("one")), Status::kOk);
  if (GetParam().ring) {
    EXPECT_EQ(sender.flush(Deadline::after(milliseconds(10))), Status::kTimedOut);
  }
  std::thread receiving([&receiver = receiver] {
    EXPECT_EQ(receive(receiver), "one");
    EXPECT_EQ(receive(receiver), kEndOfStreamText);
  });
  EXPECT_EQ(sender.flush(), Status::kOk);
  sender.close();
  receiving.join();
}

TEST_P(ChannelTest, CloseEndsTheStreamBehindTheLastMessage) {
  auto [sender, receiver] = open();
  ASSERT_EQ(sender.send(bytes_of("last")), Status::kOk);
  EXPECT_EQ(sender.close(), Status::kOk);
  EXPECT_EQ(receive(receiver), "last");
  EXPECT_EQ(receive(receiver), kEndOfStreamText);
}

TEST_P(ChannelTest, TheEndLasts) {
  auto [sender, receiver] = open();
  EXPECT_EQ(sender.close(), Status::kOk);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(receive(receiver), kEndOfStreamText);
    EXPECT_FALSE(receiver.try_next());
    EXPECT_EQ(receiver.status(), Status::kEnded);
  }
}

TEST_P(ChannelTest, DestroyingTheSenderEndsTheStream) {
  auto [sender, receiver] = open();
  {
    Sender mine = std::move(sender);
    ASSERT_EQ(mine.send(bytes_of("last")), Status::kOk);
  }
  EXPECT_EQ(receive(receiver), "last");
  EXPECT_EQ(receive(receiver), kEndOfStreamText);
}

TEST_P(ChannelTest, RangeForVisitsEveryMessageUpToTheEnd) {
  auto [sender, receiver] = open();
  std::thread sending([&sender = sender] {
    for (int i = 0; i < 500; ++i) {
      ASSERT_EQ(sender.send(bytes_of(std::to_string(i))), Status::kOk);
    }
    sender.close();
  });
  int count = 0;
  for (const Message& message : receiver) {
    EXPECT_EQ(message.text(), std::to_string(count));
    const std::vector<std::byte> copy = message.take();
    EXPECT_TRUE(std::ranges::equal(copy, message.bytes()));
    ++count;
  }
  EXPECT_EQ(count, 500);
  EXPECT_EQ(receiver.status(), Status::kEnded);
  sending.join();
}

TEST_P(ChannelTest, ASenderLearnsThatItsReceiverHasLeft) {
  auto [sender, receiver] = open();
  ASSERT_EQ(sender.send(bytes_of("read")), Status::kOk);
  ASSERT_EQ(receive(receiver), "read");
  receiver.detach();
  Status status = Status::kOk;
  while (status == Status::kOk) status = sender.send(bytes_of("unread"));
  EXPECT_EQ(status, Status::kPeerGone);
  EXPECT_EQ(sender.status(), Status::kPeerGone);
  EXPECT_EQ(sender.try_send(bytes_of("x")), Status::kPeerGone);
  EXPECT_EQ(sender.flush(), Status::kPeerGone);
  EXPECT_EQ(sender.close(), Status::kPeerGone);
}

TEST_P(ChannelTest, AClosedSenderRefuses) {
  auto [sender, receiver] = open();
  EXPECT_EQ(sender.close(), Status::kOk);
  EXPECT_EQ(sender.status(), Status::kClosed);
  EXPECT_EQ(sender.try_send(bytes_of("x")), Status::kClosed);
  EXPECT_EQ(sender.send(bytes_of("")), Status::kClosed);
  EXPECT_EQ(sender.claim(1).status(), Status::kClosed);
  EXPECT_FALSE(sender.try_claim(1));
  EXPECT_EQ(sender.flush(), Status::kClosed);
  EXPECT_EQ(sender.wait_for_receiver(), Status::kClosed);
  EXPECT_FALSE(sender.receiver_attached());
  EXPECT_EQ(sender.close(), Status::kOk);
}

TEST_P(ChannelTest, ADetachedReceiverRefuses) {
  auto [sender, receiver] = open();
  ASSERT_EQ(sender.send(bytes_of("unread")), Status::kOk);
  receiver.detach();
  EXPECT_EQ(receiver.status(), Status::kClosed);
  EXPECT_FALSE(receiver.try_next());
  EXPECT_EQ(receiver.next().status(), Status::kClosed);
  receiver.detach();
}

TEST_P(ChannelTest, HandlesGoOnWhereTheyWereMovedTo) {
  auto [first_sender, first_receiver] = open();
  ASSERT_EQ(first_sender.send(bytes_of("before")), Status::kOk);
  Sender sender = std::move(first_sender);
  Receiver receiver = std::move(first_receiver);
  EXPECT_EQ(first_sender.send(bytes_of("lost")), Status::kClosed);
  EXPECT_EQ(first_receiver.next().status(), Status::kClosed);

  ASSERT_EQ(sender.send(bytes_of("after")), Status::kOk);
  EXPECT_EQ(receive(receiver), "before");
  EXPECT_EQ(receive(receiver), "after");

  // Assigning over an open handle closes that one first.
  auto [other_sender, other_receiver] = open();
  other_sender = std::move(sender);
  EXPECT_EQ(receive(other_receiver), kEndOfStreamText);
  ASSERT_EQ(other_sender.send(bytes_of("still here")), Status::kOk);
  other_receiver = std::move(receiver);
  EXPECT_EQ(receive(other_receiver), "still here");
}

TEST_P(ChannelTest, InfoDescribesTheChannel) {
  auto [sender, receiver] = open();
  for (int i = 0; i < 3; ++i) ASSERT_EQ(sender.send(bytes_of("x")), Status::kOk);
  ASSERT_EQ(receive(receiver), "x");
  const ChannelInfo sending = sender.info();
  const ChannelInfo receiving = receiver.info();
  EXPECT_EQ(sending.capacity_bytes, 4096u);
  EXPECT_EQ(receiving.capacity_bytes, 4096u);
  EXPECT_EQ(sending.max_message_bytes, sender.max_message_bytes());
  EXPECT_EQ(sending.messages, 3u);
  EXPECT_EQ(receiving.messages, 1u);
  EXPECT_EQ(sending.name.substr(0, GetParam().scheme.size()), GetParam().scheme);
  EXPECT_EQ(receiving.name, sending.name);
}

}  // namespace
}  // namespace rondo::testing
