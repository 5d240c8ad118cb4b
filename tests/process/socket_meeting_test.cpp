// How the two sides of unix: and tcp: meet, with strangers about.
//
//   1. EitherSideListens
//   2. BothSidesOfAKindAreToldSo
//   3. ASilentVisitorTakesNobodysPlace
//   4. GarbageIsTurnedAway
//   5. AHelloMayComeByteByByte
//   6. OneThatHasGivenUpIsNoSender
//   7. MoreVisitorsThanThereIsRoomForKeepNobodyOut
//   8. AServerOfSomethingElseIsToldApart
//   9. OpeningEndsAtItsDeadlineAndAtTheStopFlag
//  10. ALostConnectionIsNoEndOfTheStream,
//      AReceiverThatLeavesIsMissedThoughAForkedChildLives
//  11. WithoutDescriptorsAnOpenSaysSo
//  12. EachSystemCallMayFail
//  13. APairIsNoStrangers, AStrangerAtAPairIsNotConfirmed, APairWhoseOwnEndIsLostSaysSo
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/channel_fixture.hpp"
#include "support/raw_socket.hpp"
#include "support/sanitizers.hpp"
#include "support/system_call_filter.hpp"

namespace {
// What is done before the next connection of this process, and after it.
std::function<void()> before_connect;
std::function<void()> after_connect;
}  // namespace

extern "C" int connect(int fd, const sockaddr* address, socklen_t size) {
  if (const auto first = std::exchange(before_connect, nullptr)) first();
  const int result = static_cast<int>(syscall(SYS_connect, fd, address, size));
  const int error = errno;
  if (const auto then = std::exchange(after_connect, nullptr)) then();
  errno = error;
  return result;
}

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

class SocketMeeting : public ChannelTest {
 protected:
  SocketMeeting() : url_(url()) {}
  std::string url_;
};

std::vector<ChannelCase> sockets() {
  std::vector<ChannelCase> cases;
  for (const ChannelCase& channel : kChannelCases) {
    if (channel.scheme == "unix:" || channel.scheme == "tcp:") cases.push_back(channel);
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Every, SocketMeeting, ::testing::ValuesIn(sockets()),
                         [](const auto& channel) { return std::string(channel.param.name); });

OpenOptions soon(Deadline deadline = Deadline::after(seconds(60))) { return {.wait = deadline}; }

TEST_P(SocketMeeting, EitherSideListens) {
  for (const std::string& turn : {std::string(), std::string("?listen=1")}) {
    const std::string receivers = turn.empty() ? "" : "?listen=0";
    std::thread sending([&] {
      auto sender = Sender::open(url_ + turn, soon());
      ASSERT_TRUE(sender) << sender.error().message;
      EXPECT_EQ(sender->send("hello"), Status::kOk);
      EXPECT_EQ(sender->close(), Status::kOk);
    });
    auto receiver = Receiver::open(url_ + receivers, soon());
    ASSERT_TRUE(receiver) << receiver.error().message;
    EXPECT_EQ(receive(*receiver), "hello");
    EXPECT_EQ(receive(*receiver), kEndOfStreamText);
    sending.join();
  }
}

TEST_P(SocketMeeting, BothSidesOfAKindAreToldSo) {
  std::atomic<bool> stop{false};
  std::thread listening([&] {
    const auto sender = Sender::open(url_ + "?listen=1", {.stop = &stop});
    EXPECT_FALSE(sender);
  });
  const auto second = Sender::open(url_, soon());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kInvalidOption);
  EXPECT_THAT(second.error().message, HasSubstr("a receiver has to be there"));
  stop = true;
  listening.join();
  stop = false;
  std::thread receiving([&] { EXPECT_FALSE(Receiver::open(url_, {.stop = &stop})); });
  const auto other = Receiver::open(url_ + "?listen=0", soon());
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message, HasSubstr("a sender has to be there"));
  stop = true;
  receiving.join();
}

// A receiver in a thread, and the sender that it takes though somebody else was there before.
void expect_taken(const std::string& url, const std::function<void()>& before) {
  std::thread receiving([&] {
    auto receiver = Receiver::open(url, soon());
    ASSERT_TRUE(receiver) << receiver.error().message;
    EXPECT_EQ(receive(*receiver), "true");
    EXPECT_EQ(receive(*receiver), kEndOfStreamText);
  });
  before();
  auto sender = Sender::open(url, soon());
  EXPECT_TRUE(sender);
  if (sender) {
    EXPECT_EQ(sender->send("true"), Status::kOk);
  }
  if (sender) {
    EXPECT_EQ(sender->close(), Status::kOk);
  }
  receiving.join();
}

TEST_P(SocketMeeting, ASilentVisitorTakesNobodysPlace) {
  const RawSocket visitor(url_);
  const RawSocket other(url_);
  expect_taken(url_, [&] {
    visitor.connect();
    other.connect();
  });
  EXPECT_EQ(visitor.receive(1), "");
}

TEST_P(SocketMeeting, GarbageIsTurnedAway) {
  const std::array<std::string, 4> garbage{
      "GET / HTTP/1.1\r\n\r\n", std::string("\xFE\xFF\xFF\x00", 4),
      std::string("\xF0\xFF\xFF\xFF", 4), std::string(100'000, '\xFE')};
  expect_taken(url_, [&] {
    for (const std::string& bytes : garbage) {
      const RawSocket visitor(url_);
      visitor.connect();
      visitor.send(bytes);
      EXPECT_EQ(visitor.receive(1), "");
    }
  });
}

TEST_P(SocketMeeting, AHelloMayComeByteByByte) {
  std::thread receiving([&] {
    auto receiver = Receiver::open(url_, soon());
    ASSERT_TRUE(receiver) << receiver.error().message;
    EXPECT_EQ(receive(*receiver), "dribble");
    EXPECT_EQ(receive(*receiver), kEndOfStreamText);
  });
  const RawSocket peer(url_);
  peer.connect();
  std::string all(kHelloOfSender);
  all += frame_of("dribble");
  all += kEndMark;
  for (const char byte : all) {
    peer.send(std::string(1, byte));
    usleep(2000);
  }
  EXPECT_EQ(peer.receive(1), kConfirmation);
  receiving.join();
}

TEST_P(SocketMeeting, OneThatHasGivenUpIsNoSender) {
  expect_taken(url_, [&] {
    for (int i = 0; i < 4; ++i) {
      RawSocket visitor(url_);
      visitor.connect();
      // Both are there at the first look, more often than not.
      if (i % 2 == 0) visitor.send(kHelloOfSender.substr(0, 3));
      visitor.close();
    }
  });
}

TEST_P(SocketMeeting, MoreVisitorsThanThereIsRoomForKeepNobodyOut) {
  std::vector<RawSocket> visitors;
  for (int i = 0; i < 60; ++i) visitors.emplace_back(url_);
  expect_taken(url_, [&] {
    // One after the other gets in, as those who came first are let go of.
    for (const RawSocket& visitor : visitors) visitor.connect();
  });
}

TEST_P(SocketMeeting, AServerOfSomethingElseIsToldApart) {
  const RawSocket server(url_);
  ASSERT_TRUE(server.listen());
  std::thread serving([&] {
    const RawSocket client = server.next();
    client.send("SSH-2.0-OpenSSH");
    static_cast<void>(client.receive(4));
  });
  const auto sender = Sender::open(url_, soon());
  ASSERT_FALSE(sender);
  EXPECT_THAT(sender.error().message, HasSubstr(url_));
  serving.join();
  if (GetParam().target == ChannelCase::Target::kPath) unlink(url_.substr(5).c_str());
}

TEST_P(SocketMeeting, OpeningEndsAtItsDeadlineAndAtTheStopFlag) {
  const OpenOptions briefly{.wait = Deadline::after(milliseconds(30))};
  EXPECT_EQ(Sender::open(url_, briefly).error().code, ErrorCode::kTimedOut);
  EXPECT_EQ(Receiver::open(url_, briefly).error().code, ErrorCode::kTimedOut);
  std::atomic<bool> stop{true};
  EXPECT_EQ(Sender::open(url_, {.stop = &stop}).error().code, ErrorCode::kTimedOut);
  EXPECT_EQ(Receiver::open(url_, {.stop = &stop}).error().code, ErrorCode::kTimedOut);
  // There is one that listens, and answers nothing.
  const RawSocket server(url_);
  ASSERT_TRUE(server.listen());
  EXPECT_EQ(Sender::open(url_, {.wait = Deadline::after(milliseconds(30))}).error().code,
            ErrorCode::kTimedOut);
  EXPECT_EQ(Sender::open(url_, {.stop = &stop}).error().code, ErrorCode::kTimedOut);
  EXPECT_EQ(Receiver::open(url_, briefly).error().code, ErrorCode::kBusy);
  if (GetParam().target == ChannelCase::Target::kPath) unlink(url_.substr(5).c_str());
}

TEST_P(SocketMeeting, ALostConnectionIsNoEndOfTheStream) {
  for (const std::string& rest : {std::string(), frame_of("a part").substr(0, 7)}) {
    std::thread receiving([&] {
      auto receiver = Receiver::open(url_, soon());
      ASSERT_TRUE(receiver) << receiver.error().message;
      EXPECT_EQ(receive(*receiver), "whole");
      EXPECT_EQ(receiver->next().status(), Status::kPeerDied);
    });
    RawSocket peer(url_);
    peer.connect();
    peer.send(kHelloOfSender);
    EXPECT_EQ(peer.receive(1), kConfirmation);
    peer.send(frame_of("whole") + rest);
    peer.close();
    receiving.join();
  }
}

TEST_P(SocketMeeting, AReceiverThatLeavesIsMissedThoughAForkedChildLives) {
  auto pair = open_pair(url_, soon());
  ASSERT_TRUE(pair) << pair.error().message;
  Child child([] {
    while (pause() < 0) {
    }
    return 0;
  });
  pair->second.detach();
  Status status = Status::kOk;
  while (status == Status::kOk) {
    status = pair->first.send("more", Deadline::after(seconds(10)));
    if (status == Status::kOk) status = pair->first.flush(Deadline::after(seconds(10)));
  }
  EXPECT_EQ(status, Status::kPeerGone);
}

TEST_P(SocketMeeting, WithoutDescriptorsAnOpenSaysSo) {
  if (kAddressSanitizer) GTEST_SKIP() << kSanitizerNeedsIt;
  // Somebody always comes, and says the right thing.
  std::atomic<bool> over{false};
  std::thread calling([&] {
    while (!over) {
      const RawSocket peer(url_);
      if (!peer.try_connect()) {
        usleep(500);
        continue;
      }
      peer.send(kHelloOfSender);
      static_cast<void>(peer.receive(1));
    }
  });
  Child child([&] {
    for (int fd = 3; fd < 64; ++fd) close(fd);
    bool accepts_none = false;
    for (rlim_t limit = 4; limit < 20; ++limit) {
      const rlimit few{limit, 64};
      setrlimit(RLIMIT_NOFILE, &few);
      const auto receiver = Receiver::open(url_, soon());
      if (receiver) return accepts_none ? 0 : 1;
      if (receiver.error().code != ErrorCode::kNoDescriptors) return 2;
      accepts_none = accepts_none || receiver.error().message.find("accept") != std::string::npos;
    }
    return 3;
  });
  EXPECT_EQ(child.join(), 0);
  over = true;
  calling.join();
}

// Whatever a call says, an open ends with an error or a channel, and a channel's calls with a
// status: no abort, no hang.
TEST_P(SocketMeeting, EachSystemCallMayFail) {
  struct Failure {
    long call;
    std::vector<int> errors;
  };
  const std::vector<Failure> opening{
      {SYS_socket, {EMFILE, ENFILE, ENOBUFS, ENOMEM, EAFNOSUPPORT, EACCES}},
      {SYS_bind, {EACCES, EADDRINUSE, EADDRNOTAVAIL, ENOMEM}},
      {SYS_listen, {EADDRINUSE, EOPNOTSUPP}},
      {SYS_connect,
       {EINTR, EAGAIN, ECONNREFUSED, ETIMEDOUT, ENETUNREACH, EACCES, EADDRNOTAVAIL, ENOBUFS}},
      {SYS_accept4, {EINTR, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, EINVAL}},
      {SYS_setsockopt, {ENOPROTOOPT, EINVAL, ENOBUFS}},
      {SYS_getsockopt, {ENOPROTOOPT, ENOBUFS}},
      {SYS_getsockname, {ENOBUFS}},
      {SYS_getpeername, {ENOBUFS}},
      {SYS_sendto, {EPIPE, ECONNRESET, ENOBUFS, EINTR}},
      {SYS_recvfrom, {ECONNRESET, ETIMEDOUT, ENOMEM, EINTR}},
      {SYS_epoll_ctl, {ENOMEM, ENOSPC}},
      {SYS_epoll_wait, {EINTR}},
      {SYS_timerfd_create, {EMFILE, ENOMEM}},
      {SYS_timerfd_settime, {EINVAL}},
      {SYS_fcntl, {EMFILE}},
      {SYS_shutdown, {ENOTCONN}},
      {SYS_ioctl, {EINVAL}}};
  for (const auto& [call, errors] : opening) {
    for (const int error : errors) {
      Child child([&, call = call] {
        alarm(60);
        if (!forbid_system_call(call, error)) return 77;
        auto pair = open_pair(url_, {.wait = Deadline::after(milliseconds(100))});
        if (!pair) return pair.error().message.empty() ? 1 : 0;
        if (pair->first.send("whole") != Status::kOk) return 2;
        if (pair->first.close() != Status::kOk) return 3;
        return receive(pair->second) == "whole" ? 0 : 4;
      });
      const int result = child.join();
      if (result == 77) GTEST_SKIP() << "no filters here";
      EXPECT_EQ(result, 0) << "system call " << call << ": " << strerror(error);
      if (GetParam().target == ChannelCase::Target::kPath) unlink(url_.substr(5).c_str());
      if (GetParam().target == ChannelCase::Target::kPath) {
        unlink((url_.substr(5) + ".rondo-lock").c_str());
      }
    }
  }
  // Of an open channel.
  struct Told {
    int error;
    Status sender;
    Status receiver;
  };
  for (const auto& [error, sender, receiver] : {
           Told{EPIPE, Status::kPeerGone, Status::kPeerDied},
           Told{ECONNRESET, Status::kPeerGone, Status::kPeerDied},
           Told{ETIMEDOUT, Status::kPeerGone, Status::kPeerDied},
           Told{EHOSTUNREACH, Status::kPeerGone, Status::kPeerDied},
           Told{ENETUNREACH, Status::kPeerGone, Status::kPeerDied},
           Told{ENOBUFS, Status::kIoError, Status::kIoError},
           Told{ENOMEM, Status::kIoError, Status::kIoError},
           Told{EINTR, Status::kTimedOut, Status::kTimedOut},
       }) {
    for (const bool sends : {true, false}) {
      Child child([&, error = error, expected = sends ? sender : receiver] {
        alarm(60);
        auto pair = open_pair(url_, {.wait = Deadline::after(seconds(30))});
        if (!pair || !forbid_system_call(sends ? SYS_sendmsg : SYS_recvmsg, error)) return 1;
        const Deadline deadline = Deadline::after(milliseconds(50));
        Status status =
            sends ? pair->first.send("message", deadline) : pair->second.next(deadline).status();
        // What was not written in time is not lost.
        if (sends && status == Status::kOk)
          status = pair->first.flush(Deadline::after(milliseconds(50)));
        if (status == expected) return 0;
        std::printf("%s\n", std::string(to_string(status)).c_str());
        std::fflush(stdout);
        return 2;
      });
      EXPECT_EQ(child.join(), 0) << (sends ? "sending: " : "receiving: ") << strerror(error);
    }
  }
}

// Who connects before the pair's own sender is not taken for it, though nothing has to be said.
TEST_P(SocketMeeting, APairIsNoStrangers) {
  for (const char* framing : {"lines", "raw", "length32", "rondo"}) {
    std::optional<RawSocket> stranger;
    before_connect = [&] {
      stranger.emplace(url_);
      ASSERT_TRUE(stranger->try_connect());
      stranger->send(framing == std::string_view("rondo") ? kHelloOfSender : "strange\n");
    };
    auto pair = open_pair(url_ + "?capacity=64KiB&framing=" + framing, soon());
    ASSERT_TRUE(pair) << pair.error().message;
    ASSERT_TRUE(stranger);
    EXPECT_EQ(pair->first.send("own"), Status::kOk);
    EXPECT_EQ(receive(pair->second), "own") << framing;
    EXPECT_EQ(pair->first.close(), Status::kOk);
  }
}

// It would take its messages for delivered.
TEST_P(SocketMeeting, AStrangerAtAPairIsNotConfirmed) {
  std::optional<RawSocket> stranger;
  before_connect = [&] {
    stranger.emplace(url_);
    ASSERT_TRUE(stranger->try_connect());
    stranger->send(kHelloOfSender);
  };
  auto pair = open_pair(url_, soon());
  ASSERT_TRUE(pair) << pair.error().message;
  ASSERT_TRUE(stranger);
  EXPECT_EQ(stranger->receive(1), "\x55");  // as many as may be: it comes again
}

// Else it would be waited for without end.
TEST_P(SocketMeeting, APairWhoseOwnEndIsLostSaysSo) {
  // As a child would that was forked meanwhile, and has the listening socket, too.
  after_connect = [] {
    for (int fd = 3; fd < 256; ++fd) {
      int listens = 0;
      socklen_t size = sizeof listens;
      if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) continue;
      const int taken = accept(fd, nullptr, nullptr);
      if (taken >= 0) close(taken);
    }
  };
  const auto pair = open_pair(url_ + "?framing=lines", soon());
  ASSERT_FALSE(pair);
  EXPECT_EQ(pair.error().code, ErrorCode::kBusy) << pair.error().message;
}

}  // namespace
}  // namespace rondo::testing
