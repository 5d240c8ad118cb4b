// How the two sides of unix-dgram: meet, and what becomes of them.
//
//  1. StrangersDatagramsAreThrownAway
//  2. OnceMetNobodyElseCanSend
//  3. TheOtherSideMayComeFirst
//  4. ASecondReceiverIsRefused
//  5. ASecondSenderWaitsForAnotherReceiver
//  6. ADeadReceiversNameIsTakenOver
//  7. AKilledSenderIsMissedBehindItsMessages
//  8. AKilledReceiverIsMissed
//  9. OneThatHasGivenUpIsNoSender
// 10. ANameThatIsTakenAwayIsMadeAgain
// 11. ARawDatagramThatIsTooLargeIsPassedOver, ARawSenderSendsToNoStranger,
//     ARawSenderWaitsForNoNameThatCanNotBe,
//     NothingIsHandedToARawReceiver
// 12. AStrangerAtTheSendersNameKeepsNoReceiverAway, OfAStrangerAtItsNameTheErrorTells,
//     AStrangerAtTheNameOfAnotherListenerIsNoSender
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>

#include "conformance/channel_fixture.hpp"
#include "rondo/core/record_layout.hpp"
#include "support/raw_socket.hpp"
#include "support/system_call_filter.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

OpenOptions soon() { return {.wait = Deadline::after(seconds(60))}; }
OpenOptions at_once() { return {.wait = Deadline::after(milliseconds(30))}; }

class DatagramMeeting : public Watchdog {
 protected:
  [[nodiscard]] bool there() const {
    struct stat status {};
    return stat(path_.c_str(), &status) == 0;
  }
  void await_name() const {
    while (!there()) usleep(500);
  }
  // A socket of no sender of ours that has the receiver's for its peer.
  [[nodiscard]] detail::UniqueFd stranger() const {
    await_name();
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    detail::UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    while (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      usleep(500);
    }
    return fd;
  }
  static bool say(const detail::UniqueFd& fd, std::string_view text) {
    return send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(text.size());
  }

  ScratchDirectory directory_;
  std::string path_ = directory_.path() + "/name";
  std::string url_ = "unix-dgram:" + path_;
};

TEST_F(DatagramMeeting, StrangersDatagramsAreThrownAway) {
  std::thread sending([&] {
    const auto fd = stranger();
    // A hello of one without a name, garbage, and a message.
    for (const std::string_view text :
         {std::string_view("\x02\0\0\0\0\0\0\0", 8), std::string_view(), std::string_view("x"),
          std::string_view("\x01\0\0\0\x05\0\0\0hello", 13)}) {
      EXPECT_TRUE(say(fd, text));
    }
    auto sender = Sender::open(url_, soon());
    ASSERT_TRUE(sender) << sender.error().message;
    EXPECT_EQ(sender->send("true"), Status::kOk);
  });
  auto receiver = Receiver::open(url_, soon());
  ASSERT_TRUE(receiver) << receiver.error().message;
  EXPECT_EQ(receive(*receiver), "true");
  EXPECT_EQ(receive(*receiver), kEndOfStreamText);
  sending.join();
}

TEST_F(DatagramMeeting, OnceMetNobodyElseCanSend) {
  detail::UniqueFd early;
  std::thread waiting([&] { early = stranger(); });
  auto receiver = std::optional<Result<Receiver>>();
  std::thread receiving([&] { receiver.emplace(Receiver::open(url_, soon())); });
  waiting.join();
  auto sender = Sender::open(url_, soon());
  receiving.join();
  ASSERT_TRUE(sender && receiver && *receiver);
  EXPECT_FALSE(there());
  EXPECT_FALSE(say(early, "foreign"));
  EXPECT_EQ(errno, EPERM);
  EXPECT_EQ(sender->send("ours"), Status::kOk);
  EXPECT_EQ(receive(**receiver), "ours");
}

TEST_F(DatagramMeeting, TheOtherSideMayComeFirst) {
  std::thread sending([&] {
    auto sender = Sender::open(url_, soon());
    ASSERT_TRUE(sender) << sender.error().message;
    EXPECT_EQ(sender->send("hello"), Status::kOk);
  });
  usleep(20'000);
  auto receiver = Receiver::open(url_, soon());
  ASSERT_TRUE(receiver) << receiver.error().message;
  EXPECT_EQ(receive(*receiver), "hello");
  sending.join();
}

TEST_F(DatagramMeeting, ASecondReceiverIsRefused) {
  std::atomic<bool> stop{false};
  std::thread first([&] { EXPECT_FALSE(Receiver::open(url_, {.stop = &stop})); });
  await_name();
  const auto second = Receiver::open(url_, soon());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
  stop = true;
  first.join();
}

TEST_F(DatagramMeeting, ASecondSenderWaitsForAnotherReceiver) {
  for (const std::string& url : {url_, "unix-dgram:@" + unique_word()}) {
    auto pair = open_pair(url);
    ASSERT_TRUE(pair) << pair.error().message;
    const auto second = Sender::open(url, at_once());
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::kTimedOut) << second.error().message;
    EXPECT_EQ(pair->first.send("still ours"), Status::kOk);
    EXPECT_EQ(receive(pair->second), "still ours");
  }
}

TEST_F(DatagramMeeting, ADeadReceiversNameIsTakenOver) {
  {
    Child dead([&] { return Receiver::open(url_, soon()) ? 0 : 1; });
    await_name();
    dead.signal(SIGKILL);
    EXPECT_EQ(dead.join(), -SIGKILL);
  }
  EXPECT_TRUE(there());
  const auto in_vain = Sender::open(url_, at_once());
  ASSERT_FALSE(in_vain);
  EXPECT_EQ(in_vain.error().code, ErrorCode::kTimedOut) << in_vain.error().message;
  auto pair = open_pair(url_);
  ASSERT_TRUE(pair) << pair.error().message;
  EXPECT_EQ(pair->first.send("hello"), Status::kOk);
  EXPECT_EQ(receive(pair->second), "hello");
}

TEST_F(DatagramMeeting, AKilledSenderIsMissedBehindItsMessages) {
  for (int life = 0; life < 2; ++life) {  // and the name is free for the next two
    Child child([&] {
      auto sender = Sender::open(url_, soon());
      if (!sender || sender->send("last words") != Status::kOk) return 1;
      raise(SIGKILL);
      return 2;
    });
    auto receiver = Receiver::open(url_, soon());
    ASSERT_TRUE(receiver) << receiver.error().message;
    EXPECT_EQ(receive(*receiver), "last words");
    EXPECT_EQ(receiver->next().status(), Status::kPeerDied);
    EXPECT_EQ(child.join(), -SIGKILL);
  }
}

TEST_F(DatagramMeeting, AKilledReceiverIsMissed) {
  for (int life = 0; life < 2; ++life) {
    Child child([&] {
      auto receiver = Receiver::open(url_, soon());
      if (!receiver || receive(*receiver) != "first") return 1;
      raise(SIGKILL);
      return 2;
    });
    auto sender = Sender::open(url_, soon());
    ASSERT_TRUE(sender) << sender.error().message;
    EXPECT_EQ(sender->send("first"), Status::kOk);
    Status status = Status::kOk;
    while (status == Status::kOk) status = sender->send("more");
    EXPECT_EQ(status, Status::kPeerGone);
    EXPECT_EQ(child.join(), -SIGKILL);
  }
}

TEST_F(DatagramMeeting, OneThatHasGivenUpIsNoSender) {
  Child child([&] {
    auto receiver = Receiver::open(url_, soon());
    return receiver && receive(*receiver) == "from the next one" ? 0 : 1;
  });
  await_name();
  child.signal(SIGSTOP);
  child.join_stop();
  const auto gone = Sender::open(url_, at_once());  // its hello stays in the queue
  EXPECT_FALSE(gone);
  child.signal(SIGCONT);
  auto sender = Sender::open(url_, soon());
  ASSERT_TRUE(sender) << sender.error().message;
  EXPECT_EQ(sender->send("from the next one"), Status::kOk);
  EXPECT_EQ(child.join(), 0);
}

TEST_F(DatagramMeeting, ANameThatIsTakenAwayIsMadeAgain) {
  std::thread receiving([&] {
    auto receiver = Receiver::open(url_, soon());
    ASSERT_TRUE(receiver) << receiver.error().message;
    EXPECT_EQ(receive(*receiver), "found");
  });
  await_name();
  EXPECT_EQ(unlink(path_.c_str()), 0);
  auto sender = Sender::open(url_, soon());
  ASSERT_TRUE(sender) << sender.error().message;
  EXPECT_EQ(sender->send("found"), Status::kOk);
  receiving.join();
}

TEST_F(DatagramMeeting, ARawDatagramThatIsTooLargeIsPassedOver) {
  auto receiver = Receiver::open(url_ + "?framing=raw");
  ASSERT_TRUE(receiver) << receiver.error().message;
  const auto fd = stranger();
  const std::string large(receiver->max_message_bytes() + 1, 'x');
  const int twice = static_cast<int>(2 * large.size());
  ASSERT_EQ(setsockopt(fd.get(), SOL_SOCKET, SO_SNDBUF, &twice, sizeof twice), 0);
  ASSERT_TRUE(say(fd, large));
  ASSERT_TRUE(say(fd, "behind"));
  EXPECT_EQ(receive(*receiver), "behind");
}

TEST_F(DatagramMeeting, ARawSenderSendsToNoStranger) {
  if (getuid() != 0) GTEST_SKIP() << "only root can be somebody else";
  const std::string url = url_ + "?framing=raw";
  const auto error_of_sender = [&](const std::string& to) {
    const auto sender = Sender::open(to, {.wait = Deadline::after(milliseconds(50))});
    return sender ? ErrorCode::kBusy : sender.error().code;
  };
  {
    const auto receiver = Receiver::open(url);
    ASSERT_TRUE(receiver) << receiver.error().message;
    EXPECT_TRUE(Sender::open(url));
    ASSERT_EQ(chown(path_.c_str(), 65534, 65534), 0);
    EXPECT_EQ(error_of_sender(url), ErrorCode::kForeignOwner);
    EXPECT_TRUE(Sender::open(url + "&mode=0660"));
    // Nor by a link of ours.
    const std::string link = path_ + ".link";
    ASSERT_EQ(symlink(path_.c_str(), link.c_str()), 0);
    EXPECT_EQ(error_of_sender("unix-dgram:" + link + "?framing=raw"), ErrorCode::kForeignOwner);
    EXPECT_EQ(unlink(link.c_str()), 0);
  }
  // He took it away as soon as somebody was connected to it, so that there is no owner to look at.
  const auto receiver = Receiver::open(url);
  ASSERT_TRUE(receiver) << receiver.error().message;
  constexpr int kNoFilter = 77;
  Child child([&] {
    if (!forbid_system_call(SYS_newfstatat, ENOENT)) return kNoFilter;
    return error_of_sender(url) == ErrorCode::kNoDirectory ? 0 : 1;  // as nothing is there now
  });
  const int result = child.join();
  if (result == kNoFilter) GTEST_SKIP() << "no seccomp here";
  EXPECT_EQ(result, 0);
}

// It waits for a receiver where one may come, and nowhere else.
TEST_F(DatagramMeeting, ARawSenderWaitsForNoNameThatCanNotBe) {
  const auto error_at = [](const std::string& path) {
    const auto sender = Sender::open("unix-dgram:" + path + "?framing=raw", at_once());
    return sender ? ErrorCode::kBusy : sender.error().code;
  };
  EXPECT_EQ(error_at(path_), ErrorCode::kTimedOut);
  EXPECT_EQ(error_at(path_ + ".none/name"), ErrorCode::kNoDirectory);
  const std::string link = path_ + ".link";
  ASSERT_EQ(symlink(link.c_str(), link.c_str()), 0);
  EXPECT_EQ(error_at(link), ErrorCode::kForeignObject);
  EXPECT_EQ(unlink(link.c_str()), 0);
  const auto receiver = Receiver::open(url_ + "?framing=raw");
  ASSERT_TRUE(receiver) << receiver.error().message;
  EXPECT_EQ(error_at(path_ + "/name"), ErrorCode::kNoDirectory);
}

// What is handed over the receiver would close, which may take as long as its giver likes.
TEST_F(DatagramMeeting, NothingIsHandedToARawReceiver) {
  auto receiver = Receiver::open(url_ + "?framing=raw");
  ASSERT_TRUE(receiver) << receiver.error().message;
  const auto fd = stranger();
  constexpr int kPassRights = 83;  // SO_PASSRIGHTS
  int on = 0;
  socklen_t size = sizeof on;
  if (getsockopt(fd.get(), SOL_SOCKET, kPassRights, &on, &size) != 0) {
    GTEST_SKIP() << "before Linux 6.16 nobody can refuse it";
  }
  char text[] = "with a descriptor";
  iovec bytes{text, sizeof text - 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const part = CMSG_FIRSTHDR(&message);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_RIGHTS;
  part->cmsg_len = CMSG_LEN(sizeof(int));
  const int handed = fd.get();
  std::memcpy(CMSG_DATA(part), &handed, sizeof handed);
  EXPECT_EQ(sendmsg(fd.get(), &message, MSG_NOSIGNAL), -1);
  ASSERT_TRUE(say(fd, "text"));
  EXPECT_EQ(receive(*receiver), "text");
}

// Stands at the receiver's name until a sender has said hello, and has another user connect to that
// one's, which it refuses: false if that can't be.
bool strange_connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const detail::UniqueFd door(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (bind(door.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return false;
  }
  sockaddr_un sender{};
  socklen_t size = sizeof sender;
  char hello[8];
  if (recvfrom(door.get(), hello, sizeof hello, 0, reinterpret_cast<sockaddr*>(&sender), &size) !=
      sizeof hello) {
    return false;
  }
  Child other([&] {
    if (setgid(65534) != 0 || setuid(65534) != 0) return 1;
    const detail::UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&sender), size) != 0) return 2;
    return recv(fd.get(), hello, 1, 0) == 0 ? 0 : 3;  // shown the door
  });
  const bool done = other.join() == 0;
  return unlink(path.c_str()) == 0 && done;
}

TEST_F(DatagramMeeting, AStrangerAtTheSendersNameKeepsNoReceiverAway) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to be another user";
  std::thread sending([&] {
    auto sender = Sender::open(url_, soon());
    ASSERT_TRUE(sender) << sender.error().message;
    EXPECT_EQ(sender->send("found"), Status::kOk);
  });
  EXPECT_TRUE(strange_connect(path_));
  std::this_thread::sleep_for(milliseconds(1200));
  auto receiver = Receiver::open(url_, soon());
  ASSERT_TRUE(receiver) << receiver.error().message;
  EXPECT_EQ(receive(*receiver), "found");
  sending.join();
}

TEST_F(DatagramMeeting, OfAStrangerAtItsNameTheErrorTells) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to be another user";
  std::atomic<bool> stop{false};
  std::thread sending([&] {
    const auto sender = Sender::open(url_, {.wait = Deadline::after(seconds(60)), .stop = &stop});
    ASSERT_FALSE(sender);
    EXPECT_EQ(sender.error().code, ErrorCode::kTimedOut);
    EXPECT_THAT(sender.error().message, ::testing::HasSubstr("not permitted"));
  });
  EXPECT_TRUE(strange_connect(path_));
  stop = true;
  sending.join();
}

// The kernel allows sockets of several types at one abstract name, of anybody.
TEST_F(DatagramMeeting, AStrangerAtTheNameOfAnotherListenerIsNoSender) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root, to be another user";
  const auto address_of = [](std::string_view name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name.copy(address.sun_path + 1, sizeof address.sun_path - 1);
    return address;
  };
  const auto size_of = [](std::string_view name) {
    return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  };
  const std::string listener = unique_word();
  const std::string name = unique_word();
  const sockaddr_un ours = address_of(listener);
  const detail::UniqueFd listening(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(listening.get(), reinterpret_cast<const sockaddr*>(&ours), size_of(listener)), 0);
  ASSERT_EQ(listen(listening.get(), 1), 0);
  std::thread receiving([&] {
    auto receiver = Receiver::open("unix-dgram:@" + name, soon());
    ASSERT_TRUE(receiver) << receiver.error().message;
    EXPECT_EQ(receive(*receiver), "ours");
  });
  Child stranger([&] {
    if (setgid(65534) != 0 || setuid(65534) != 0) return 1;
    const detail::UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const sockaddr_un theirs = address_of(name);
    if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&ours), size_of(listener)) != 0) return 2;
    while (connect(fd.get(), reinterpret_cast<const sockaddr*>(&theirs), size_of(name)) != 0) {
      usleep(500);
    }
    const std::uint64_t hello = record_header::make(RecordKind::kPadding, 0, 0);
    if (!say(fd, {reinterpret_cast<const char*>(&hello), sizeof hello})) return 3;
    static_cast<void>(say(fd, std::string_view("\x01\0\0\0\x07\0\0\0foreign", 15)));
    for (;;) pause();
  });
  const detail::UniqueFd life_line(accept4(listening.get(), nullptr, nullptr, SOCK_CLOEXEC));
  char answer = 0;
  EXPECT_EQ(recv(life_line.get(), &answer, 1, 0), 0);
  auto sender = Sender::open("unix-dgram:@" + name, soon());
  EXPECT_TRUE(sender && sender->send("ours") == Status::kOk);
  receiving.join();
  stranger.signal(SIGKILL);
  EXPECT_EQ(stranger.join(), -SIGKILL);
}

}  // namespace
}  // namespace rondo::testing
