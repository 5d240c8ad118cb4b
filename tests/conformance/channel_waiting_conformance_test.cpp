// How every channel waits, whatever its transport. Each line has a test of the
// same name, in this order.
//   1. AnEmptyChannelHasNothingNow
//   2. AFullChannelRefusesAndAcceptsAgain
//   3. NextWaitsAsLongAsItsDeadline
//   4. SendWaitsAsLongAsItsDeadline
//   5. AWaitingReceiverIsWokenByAMessage
//   6. AWaitingSenderIsWokenByRoom
//   7. EveryWaitModeMovesMessages
//   8. TheStopFlagEndsAWait
//   9. FlushReturnsOnceTheReceiverCanHaveItAll
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include "conformance/channel_fixture.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;

INSTANTIATE_TEST_SUITE_P(Every, ChannelTest, ::testing::ValuesIn(kChannelCases),
                         [](const auto& channel) { return std::string(channel.param.name); });

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
  fill_up(sender, message.size());
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
  auto [sender, receiver] = open("wait=park");
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
    auto [sender, receiver] = open("wait=" + mode);
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
  auto [sender, receiver] = open("", {.stop = &stop});
  fill_up(sender, 1'000);
  std::thread stopping([&stop] {
    await_sleep(getpid());
    stop = true;
  });
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

}  // namespace
}  // namespace rondo::testing
