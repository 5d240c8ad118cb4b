// How every channel ends, and what its handles do then, whatever its transport.
// Each line has a test of the same name, in this order.
//   1. CloseEndsTheStreamBehindTheLastMessage
//   2. TheEndLasts
//   3. DestroyingTheSenderEndsTheStream
//   4. AStreamThatIsBrokenOffIsNotAWholeOne
//   5. ASenderDestroyedByAnExceptionBreaksItsStreamOff
//   6. RangeForVisitsEveryMessageUpToTheEnd
//   7. ASenderLearnsThatItsReceiverHasLeft
//   8. AClosedSenderRefuses
//   9. ADetachedReceiverRefuses
//  10. HandlesGoOnWhereTheyWereMovedTo
//  11. InfoDescribesTheChannel
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/channel_fixture.hpp"

namespace rondo::testing {
namespace {

INSTANTIATE_TEST_SUITE_P(Every, ChannelTest, ::testing::ValuesIn(kChannelCases),
                         [](const auto& channel) { return std::string(channel.param.name); });

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

// Where many send, senders that gave up are counted with the dead.
std::string broken_off_text(const ChannelCase& channel) {
  const Status status = channel.slots ? Status::kPeerDied : Status::kPeerGone;
  return "<" + std::string(to_string(status)) + ">";
}

TEST_P(ChannelTest, AStreamThatIsBrokenOffIsNotAWholeOne) {
  auto [sender, receiver] = open();
  ASSERT_EQ(sender.send(bytes_of("last")), Status::kOk);
  sender.break_off();
  EXPECT_EQ(sender.status(), Status::kClosed);
  EXPECT_EQ(sender.close(), Status::kOk) << "ended already";
  EXPECT_EQ(receive(receiver), "last");
  EXPECT_EQ(receive(receiver), broken_off_text(GetParam()));
  EXPECT_EQ(receive(receiver), broken_off_text(GetParam()));
}

TEST_P(ChannelTest, ASenderDestroyedByAnExceptionBreaksItsStreamOff) {
  auto [sender, receiver] = open();
  try {
    Sender mine = std::move(sender);
    ASSERT_EQ(mine.send(bytes_of("last")), Status::kOk);
    throw 1;
  } catch (int) {
  }
  EXPECT_EQ(receive(receiver), "last");
  EXPECT_EQ(receive(receiver), broken_off_text(GetParam()));
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
  EXPECT_EQ(sending.capacity_bytes, capacity_of(GetParam(), 4096));
  EXPECT_EQ(receiving.capacity_bytes, sending.capacity_bytes);
  EXPECT_EQ(sending.max_message_bytes, sender.max_message_bytes());
  EXPECT_EQ(sending.messages, 3u);
  EXPECT_EQ(receiving.messages, 1u);
  EXPECT_EQ(sending.name.substr(0, GetParam().scheme.size()), GetParam().scheme);
  EXPECT_EQ(receiving.name, sending.name);
  for (const ChannelInfo& info : {sending, receiving}) {
    EXPECT_EQ(info.as<MpmcInfo>() != nullptr, GetParam().slots);
    EXPECT_EQ(info.as<StreamInfo>() != nullptr, !GetParam().ring);
    EXPECT_EQ(info.as<RecordInfo>() != nullptr, GetParam().ring && !GetParam().slots);
    EXPECT_EQ(info.reader_places(), 1u);
    EXPECT_TRUE(info.readers().empty());
  }
}

}  // namespace
}  // namespace rondo::testing
