// What the descriptor of a handle tells, whatever its transport: fd() and arm(). Each line has a
// test of the same name, in this order.
//   1. ItIsReadableAsLongAsNothingWasNotFound
//   2. WhatWasSentBeforeItWasMadeCounts
//   3. LoopsThatTakeOneMessageForEachEventMissNone
//   4. LoopsThatTakeAllMessagesForEachEventMissNone
//   5. TheEndOfAStreamMakesItReadable
//   6. ASenderWithoutRoomIsToldOfRoom
//   7. LoopsThatSendForEachEventSendAll
//   8. ArmSaysWhetherToSleep
//   9. NextWaitsAsEverBesideIt
//  10. AHandleThatMovesToAnotherThreadTakesItAlong
//  11. AForkedChildTakesNothingFromIt
//  12. ItIsOneDescriptorOfOurOwn
//  13. NothingIsToldWhileNothingHappens
//  14. AKilledSenderMakesItReadable
//  15. AKilledReceiverMakesItReadable
//  16. OfSeveralReceiversEachHasItsOwn, where each gets every message
#include <fcntl.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <thread>
#include <tuple>

#include "conformance/channel_fixture.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class DescriptorTest : public ChannelTest {};

INSTANTIATE_TEST_SUITE_P(Every, DescriptorTest, ::testing::ValuesIn(kChannelCases),
                         [](const auto& channel) { return std::string(channel.param.name); });

int fd_of(auto& handle) {
  const auto fd = handle.fd();
  if (!fd) ADD_FAILURE() << fd.error().message;
  return fd ? *fd : -1;
}

bool take(Receiver& receiver) { return receiver.try_next().has_value(); }

void send(Sender& sender, const std::string& text = "message") {
  ASSERT_EQ(sender.send(bytes_of(text)), Status::kOk);
}

TEST_P(DescriptorTest, ItIsReadableAsLongAsNothingWasNotFound) {
  auto [sender, receiver] = open();
  const int fd = fd_of(receiver);
  EXPECT_FALSE(readable(fd));
  for (int round = 0; round < (has_looks() ? 4 : 50); ++round) {
    const int messages = round % 4 + 1;
    for (int i = 0; i < messages; ++i) send(sender);
    for (int i = 0; i < messages; ++i) {
      EXPECT_TRUE(told(fd)) << round << ", " << i;
      EXPECT_TRUE(take(receiver));
      // What is asked in between makes no difference.
      static_cast<void>(receiver.info());
      EXPECT_TRUE(fd_of(receiver) == fd);
    }
    EXPECT_FALSE(take(receiver));
    EXPECT_TRUE(quiet(fd, receiver)) << round;
    EXPECT_FALSE(take(receiver));
    EXPECT_TRUE(quiet(fd, receiver)) << round;
  }
}

TEST_P(DescriptorTest, WhatWasSentBeforeItWasMadeCounts) {
  auto [sender, receiver] = open();
  for (int i = 0; i < 3; ++i) send(sender);
  EXPECT_TRUE(take(receiver));
  const int fd = fd_of(receiver);
  EXPECT_TRUE(told(fd));
  EXPECT_TRUE(take(receiver));
  EXPECT_TRUE(told(fd));
  {
    const auto held = receiver.try_next();
    ASSERT_TRUE(held);
    send(sender);
    EXPECT_TRUE(told(fd));
  }
  EXPECT_TRUE(told(fd));
  EXPECT_TRUE(take(receiver));
  EXPECT_FALSE(take(receiver));
  EXPECT_TRUE(quiet(fd, receiver));
}

// Sends in bursts; every now and then the loop has fallen asleep before.
template <class Pause>
void send_in_bursts(Sender& sender, std::uint64_t messages, Pause pause) {
  std::mt19937_64 random(7);
  for (std::uint64_t i = 0; i < messages; ++i) {
    ASSERT_EQ(sender.send(bytes_of(numbered_message(i, 40))), Status::kOk);
    if (random() % 8 == 0) pause(random() % 300);
  }
}

void run_loop(Sender& sender, Receiver& receiver, LoopKind kind, bool all) {
  const std::uint64_t messages = scaled(1'500);
  const EventLoop loop(kind, fd_of(receiver));
  std::thread sending([&] {
    send_in_bursts(sender, messages, [](std::uint64_t us) { usleep(static_cast<unsigned>(us)); });
  });
  std::uint64_t received = 0;
  std::uint64_t for_nothing = 0;
  while (received < messages) {
    if (!loop.wait()) {
      ADD_FAILURE() << "no event behind message " << received << " of " << to_string(kind);
      break;
    }
    const std::uint64_t before = received;
    do {
      const auto message = receiver.try_next();
      if (!message) break;
      EXPECT_EQ(message->text(), numbered_message(received, 40));
      ++received;
    } while (all);
    if (received == before) ++for_nothing;
  }
  while (received < messages && receiver.next(Deadline::after(seconds(20)))) ++received;
  sending.join();
  // Once behind the last message of each burst, and now and then as a look and a bell crossed.
  EXPECT_LE(for_nothing, 2 * messages) << to_string(kind);
}

TEST_P(DescriptorTest, LoopsThatTakeOneMessageForEachEventMissNone) {
  for (const LoopKind kind : kLoopKinds) {
    auto [sender, receiver] = open();
    run_loop(sender, receiver, kind, false);
  }
}

TEST_P(DescriptorTest, LoopsThatTakeAllMessagesForEachEventMissNone) {
  for (const LoopKind kind : kLoopKinds) {
    auto [sender, receiver] = open();
    run_loop(sender, receiver, kind, true);
  }
}

TEST_P(DescriptorTest, TheEndOfAStreamMakesItReadable) {
  for (const bool with_message : {false, true}) {
    auto [sender, receiver] = open();
    const int fd = fd_of(receiver);
    EXPECT_FALSE(take(receiver));
    EXPECT_TRUE(quiet(fd, receiver));
    if (with_message) send(sender);
    sender.close();
    EXPECT_TRUE(told(fd));
    if (with_message) {
      EXPECT_TRUE(take(receiver));
    }
    EXPECT_TRUE(told(fd));
    while (receiver.status() == Status::kOk) {
      ASSERT_TRUE(EventLoop(LoopKind::kPoll, fd).wait());
      EXPECT_FALSE(take(receiver));
    }
    EXPECT_EQ(receiver.status(), Status::kEnded);
    EXPECT_TRUE(told(fd));
  }
}

// Until there is no room for it.
std::uint64_t fill(Sender& sender, const std::string& message) {
  std::uint64_t sent = 0;
  Status status = Status::kOk;
  while ((status = sender.try_send(bytes_of(message))) == Status::kOk) ++sent;
  EXPECT_EQ(status, Status::kWouldBlock);
  return sent;
}

TEST_P(DescriptorTest, ASenderWithoutRoomIsToldOfRoom) {
  auto [sender, receiver] = open();
  const int fd = fd_of(sender);
  const std::string message(500, 'x');
  EXPECT_TRUE(told(fd));
  for (int round = 0; round < 20; ++round) {
    std::uint64_t sent = fill(sender, message);
    // A guarded one lets receivers in.
    if (GetParam().name != "Guarded") {
      EXPECT_FALSE(readable(fd)) << round;
    }
    while (sent > 0) {
      if (!receiver.next(Deadline::after(milliseconds(100)))) break;
      --sent;
    }
    EXPECT_FALSE(receiver.try_next());
    ASSERT_TRUE(EventLoop(LoopKind::kPoll, fd).wait()) << round;
    EXPECT_EQ(sender.try_send(bytes_of(message)), Status::kOk);
    static_cast<void>(sender.flush(Deadline::now()));
    EXPECT_TRUE(receiver.next(Deadline::after(seconds(20))));
    while (receiver.try_next()) {
    }
  }
}

TEST_P(DescriptorTest, ABatchThatIsGivenUpLeavesItsRoom) {
  auto [sender, receiver] = open();
  const int fd = fd_of(sender);
  for (int round = 0; round < 3; ++round) {
    {
      Sender::Batch batch(sender);
      // Streams gather more than a batch of this.
      for (int i = 0; i < 100; ++i) {
        if (batch.try_add(bytes_of(std::string(200, 'x'))) != Status::kOk) break;
      }
    }
    EXPECT_TRUE(EventLoop(LoopKind::kPoll, fd).wait(seconds(1))) << round;
    send(sender);
    EXPECT_TRUE(receiver.next(Deadline::after(seconds(20))));
  }
}

TEST_P(DescriptorTest, LoopsThatSendForEachEventSendAll) {
  for (const LoopKind kind : kLoopKinds) {
    auto [sender, receiver] = open();
    const std::uint64_t messages = scaled(1'000);
    const EventLoop loop(kind, fd_of(sender));
    std::thread receiving([&receiver = receiver, messages] {
      for (std::uint64_t i = 0; i < messages; ++i) {
        ASSERT_EQ(receive(receiver), numbered_message(i, 200));
        if (i % 64 == 0) usleep(300);
      }
      EXPECT_EQ(receive(receiver), kEndOfStreamText);
    });
    std::uint64_t sent = 0;
    while (sent < messages) {
      if (!loop.wait()) {
        ADD_FAILURE() << "no event behind message " << sent << " of " << to_string(kind);
        break;
      }
      if (sender.try_send(bytes_of(numbered_message(sent, 200))) == Status::kOk) ++sent;
    }
    sender.close();
    receiving.join();
  }
}

TEST_P(DescriptorTest, ArmSaysWhetherToSleep) {
  auto [sender, receiver] = open();
  EXPECT_TRUE(receiver.arm());  // made by that
  const int fd = fd_of(receiver);
  EXPECT_TRUE(quiet(fd, receiver));
  send(sender);
  EXPECT_TRUE(told(fd));
  EXPECT_FALSE(receiver.arm());
  EXPECT_TRUE(told(fd));
  EXPECT_TRUE(take(receiver));
  EXPECT_TRUE(receiver.arm());
  EXPECT_TRUE(quiet(fd, receiver));

  EXPECT_FALSE(sender.arm(500));
  fill(sender, std::string(500, 'x'));
  EXPECT_TRUE(sender.arm(500));
  while (receiver.try_next()) static_cast<void>(sender.flush(Deadline::now()));
  EXPECT_FALSE(receiver.try_next());
  EXPECT_TRUE(EventLoop(LoopKind::kPoll, fd_of(sender)).wait());
  EXPECT_FALSE(sender.arm(500));
  sender.close();
  EXPECT_FALSE(sender.arm(500));
  while (receiver.status() == Status::kOk) static_cast<void>(receiver.next());
  EXPECT_FALSE(receiver.arm());
}

TEST_P(DescriptorTest, NextWaitsAsEverBesideIt) {
  for (const std::string mode : {"park", "adaptive", "yield"}) {
    auto [sender, receiver] = open("wait=" + mode);
    const int fd = fd_of(receiver);
    EXPECT_EQ(receiver.next(Deadline::after(milliseconds(5))).status(), Status::kTimedOut);
    EXPECT_TRUE(quiet(fd, receiver));
    std::thread sending([&sender = sender] {
      for (int i = 0; i < 200; ++i) {
        send(sender, std::to_string(i));
        if (i % 16 == 0) usleep(500);
      }
    });
    for (int i = 0; i < 200; ++i) {
      ASSERT_EQ(receive(receiver), std::to_string(i));
      if (i % 3 == 0) static_cast<void>(receiver.arm());
    }
    sending.join();
    while (receiver.try_next()) {
    }
    EXPECT_TRUE(quiet(fd, receiver));
    send(sender);
    EXPECT_TRUE(told(fd));
  }
}

TEST_P(DescriptorTest, AHandleThatMovesToAnotherThreadTakesItAlong) {
  auto [sender, receiver] = open();
  int fd = -1;
  // Made, and asleep, in a thread that ends.
  std::thread([&, &receiver = receiver] {
    fd = fd_of(receiver);
    EXPECT_FALSE(take(receiver));
  }).join();
  for (int round = 0; round < 3; ++round) {
    std::thread sending([&sender = sender] { send(sender); });
    ASSERT_TRUE(EventLoop(LoopKind::kPoll, fd).wait());
    while (!take(receiver)) ASSERT_TRUE(EventLoop(LoopKind::kPoll, fd).wait());
    sending.join();
    std::thread([&receiver = receiver] { EXPECT_FALSE(take(receiver)); }).join();
    // That thread's end may show once.
    while (readable(fd)) EXPECT_FALSE(take(receiver));
  }
  Receiver moved = std::move(receiver);
  EXPECT_EQ(fd_of(moved), fd);
  send(sender);
  EXPECT_TRUE(told(fd));
  EXPECT_TRUE(take(moved));
  EXPECT_FALSE(receiver.fd());
}

TEST_P(DescriptorTest, AForkedChildTakesNothingFromIt) {
  auto [sender, receiver] = open();
  const int fd = fd_of(receiver);
  send(sender);
  Child child([&receiver = receiver] {
    const auto of_child = receiver.fd();
    if (of_child || of_child.error().code != ErrorCode::kForked) return 1;
    receiver.detach();
    return 0;
  });
  EXPECT_EQ(child.join(), 0);
  EXPECT_TRUE(told(fd));
  EXPECT_TRUE(take(receiver));
  EXPECT_FALSE(take(receiver));
  EXPECT_TRUE(quiet(fd, receiver));
  send(sender);
  EXPECT_TRUE(told(fd));
}

TEST_P(DescriptorTest, ItIsOneDescriptorOfOurOwn) {
  auto [sender, receiver] = open();
  const int fd = fd_of(receiver);
  EXPECT_GE(fd, 3);
  EXPECT_EQ(fd_of(receiver), fd);
  EXPECT_NE(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(fd_of(sender), fd);
  receiver.detach();
  EXPECT_EQ(fcntl(fd, F_GETFD), -1);
  const auto closed = receiver.fd();
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().code, ErrorCode::kNotFound);
}

// Over some of the looks for deaths: of a channel whose peer is there and does nothing.
TEST_P(DescriptorTest, NothingIsToldWhileNothingHappens) {
  auto [sender, receiver] = open();
  const int fd = fd_of(receiver);
  send(sender);
  EXPECT_TRUE(take(receiver));
  EXPECT_FALSE(take(receiver));
  EXPECT_FALSE(EventLoop(LoopKind::kPoll, fd).wait(milliseconds(180)));
  // A guarded sender lets receivers in.
  if (GetParam().name == "Guarded") return;
  const int room = fd_of(sender);
  fill(sender, std::string(500, 'x'));
  EXPECT_FALSE(EventLoop(LoopKind::kPoll, room).wait(milliseconds(180)));
}

class DescriptorOfTheBereaved : public ChannelTest {
 protected:
  DescriptorOfTheBereaved() : url_(url()) {}
  // What the dead made.
  ~DescriptorOfTheBereaved() override { remove_what_the_dead_left(url_); }
  static bool has_processes() { return GetParam().processes; }

  std::string url_;
};

INSTANTIATE_TEST_SUITE_P(Every, DescriptorOfTheBereaved, ::testing::ValuesIn(kChannelCases),
                         [](const auto& channel) { return std::string(channel.param.name); });

TEST_P(DescriptorOfTheBereaved, AKilledSenderMakesItReadable) {
  if (!has_processes()) GTEST_SKIP() << "both ends are in one process";
  const std::string options = "?" + options_of(GetParam(), 4096);
  Child child([&] {
    auto sender = Sender::open(url_ + options);
    if (!sender) return 1;
    send(*sender);
    for (;;) static_cast<void>(sender->wait_for_receiver()), usleep(100);
    return 0;
  });
  auto receiver = Receiver::open(url_ + "?" + options_of(GetParam(), 4096));
  ASSERT_TRUE(receiver) << receiver.error().message;
  const EventLoop loop(LoopKind::kEpoll, fd_of(*receiver));
  ASSERT_TRUE(loop.wait());
  while (!take(*receiver)) ASSERT_TRUE(loop.wait());
  while (readable(fd_of(*receiver))) EXPECT_FALSE(take(*receiver));
  child.signal(SIGKILL);
  while (receiver->status() == Status::kOk) {
    ASSERT_TRUE(loop.wait());
    EXPECT_FALSE(take(*receiver));
  }
  EXPECT_EQ(receiver->status(), Status::kPeerDied);
  EXPECT_TRUE(readable(fd_of(*receiver)));
}

TEST_P(DescriptorOfTheBereaved, ADeathJustBeforeItWasMadeIsTold) {
  if (!has_processes()) GTEST_SKIP() << "both ends are in one process";
  const std::string options = "?" + options_of(GetParam(), 4096);
  Child child([&] {
    auto sender = Sender::open(url_ + options);
    if (!sender) return 1;
    send(*sender);
    for (;;) static_cast<void>(sender->wait_for_receiver()), usleep(100);
    return 0;
  });
  auto receiver = Receiver::open(url_ + "?" + options_of(GetParam(), 4096));
  ASSERT_TRUE(receiver) << receiver.error().message;
  ASSERT_TRUE(receiver->next(Deadline::after(seconds(20))));
  // It is there, says the kernel; and will not be asked again so soon.
  for (int i = 0; i < 2000; ++i) EXPECT_FALSE(take(*receiver));
  child.signal(SIGKILL);
  child.join();
  const EventLoop loop(LoopKind::kEpoll, fd_of(*receiver));
  while (receiver->status() == Status::kOk) {
    ASSERT_TRUE(loop.wait(seconds(5)));
    EXPECT_FALSE(take(*receiver));
  }
  EXPECT_EQ(receiver->status(), Status::kPeerDied);
}

TEST_P(DescriptorOfTheBereaved, AKilledReceiverMakesItReadable) {
  if (!has_processes()) GTEST_SKIP() << "both ends are in one process";
  Child child([&] {
    auto receiver = Receiver::open(url_ + "?" + options_of(GetParam(), 4096));
    if (!receiver || !receiver->next()) return 1;
    for (;;) pause();
    return 0;
  });
  auto sender = Sender::open(url_ + "?" + options_of(GetParam(), 4096));
  ASSERT_TRUE(sender) << sender.error().message;
  ASSERT_EQ(sender->wait_for_receiver(), Status::kOk);
  const EventLoop loop(LoopKind::kEpoll, fd_of(*sender));
  fill(*sender, std::string(300, 'x'));
  child.signal(SIGKILL);
  while (sender->status() == Status::kOk) {
    ASSERT_TRUE(loop.wait());
    static_cast<void>(sender->try_send(bytes_of(std::string(300, 'x'))));
  }
  // A stream's end does not tell how.
  EXPECT_TRUE(sender->status() == Status::kPeerDied || sender->status() == Status::kPeerGone);
  EXPECT_TRUE(readable(fd_of(*sender)));
}

class DescriptorOfSeveral
    : public Watchdog,
      public ::testing::WithParamInterface<std::tuple<std::string_view, std::string_view>> {};

INSTANTIATE_TEST_SUITE_P(
    Every, DescriptorOfSeveral,
    ::testing::Combine(::testing::Values("shm:", "inproc:"),
                       ::testing::Values("readers=2&capacity=4KiB",
                                         "kind=frames&readers=2&frame_size=1KiB&frames=4")));

TEST_P(DescriptorOfSeveral, OfSeveralReceiversEachHasItsOwn) {
  const auto& [scheme, options] = GetParam();
  const bool frames = options.find("frames") != std::string_view::npos;
  const std::string url = std::string(scheme) + unique_word();
  auto sender = Sender::open(url + "?" + std::string(options));
  ASSERT_TRUE(sender) << sender.error().message;
  auto one = Receiver::open(url);
  auto other = Receiver::open(url);
  ASSERT_TRUE(one) << one.error().message;
  ASSERT_TRUE(other) << other.error().message;
  for (int round = 0; round < 20; ++round) {
    for (Receiver* receiver : {&*one, &*other}) EXPECT_FALSE(readable(fd_of(*receiver)));
    send(*sender);
    for (Receiver* receiver : {&*one, &*other}) {
      EXPECT_TRUE(readable(fd_of(*receiver)));
      EXPECT_TRUE(take(*receiver));
      EXPECT_FALSE(take(*receiver));
    }
  }
  // Whichever of the two lets go, the sender hears of it.
  const EventLoop room(LoopKind::kPoll, fd_of(*sender));
  if (!frames) {
    fill(*sender, std::string(300, 'x'));
    EXPECT_FALSE(readable(fd_of(*sender)));
    for (Receiver* receiver : {&*one, &*other}) {
      while (take(*receiver)) {
      }
    }
    while (sender->try_send(bytes_of(std::string(300, 'x'))) != Status::kOk) {
      ASSERT_TRUE(room.wait());
    }
  }
  EXPECT_TRUE(readable(fd_of(*sender)));
  sender->close();
  for (Receiver* receiver : {&*one, &*other}) {
    while (receiver->status() == Status::kOk) {
      ASSERT_TRUE(EventLoop(LoopKind::kPoll, fd_of(*receiver)).wait());
      static_cast<void>(receiver->try_next());
    }
    EXPECT_EQ(receiver->status(), Status::kEnded);
  }
}

}  // namespace
}  // namespace rondo::testing
