// auto: a ring where both ends are on one machine and let each other in, else the connection.
//
//   1. OnOneMachineItIsARing
//   2. InAnotherNetworkItIsTheConnection
//   3. OfAnotherUserItIsTheConnectionUnlessHeIsNamed
//   4. AReceiverThatChoosesTheConnectionGetsIt, ASenderThatOffersNoRingIsHeard
//   5. WhoHasNotTheTokenIsNotLetIn
//   6. WhoSaysTheRingAndIsNotInItIsNoReceiver, WhoInvitesWithNonsenseIsNoSender
//   7. SilentOnesKeepNobodyOut, AReceiverThatLeftAtOnceIsMissed
//   8. HeadersHaveToAgree
//   9. OneOfTcpIsToldApart
//  10. ADeathAtAnySystemCallOfTheReceiver, ADeathAtAnySystemCallOfTheSender
#include <gmock/gmock.h>
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <utility>

#include "conformance/channel_fixture.hpp"
#include "process/each_system_call.hpp"
#include "support/network.hpp"
#include "support/raw_socket.hpp"
#include "support/sanitizers.hpp"

namespace rondo::testing {
namespace {

using detail::UniqueFd;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr std::string_view kHelloOfAutoSender{"\xFA\xFF\xFF\xFF", 4};
constexpr std::string_view kHelloOfAutoReceiver{"\xF9\xFF\xFF\xFF", 4};
constexpr std::string_view kInvitationMagic{"RONDAUTO", 8};
constexpr std::size_t kInvitationBytes = 40;
constexpr std::size_t kSecretBytes = 16;
constexpr std::uint32_t kStranger = 12345;  // a user

OpenOptions soon() { return {.wait = Deadline::after(seconds(60))}; }

bool is_ring(const ChannelInfo& info) { return info.memory.has_value(); }

class Auto : public Watchdog {
 protected:
  static std::string fresh_auto_url() { return "auto:" + free_tcp_url().substr(4); }
  const std::string url_ = fresh_auto_url();
  const std::string port_url_ = "tcp:" + url_.substr(5);  // for sockets by hand
};

// The socket that an invitation names, of the kind that guarded rings are handed over by.
UniqueFd come_to(std::string_view invitation) {
  std::string name = "rondo-auto-";
  for (std::size_t i = 0; i < kSecretBytes; i += 4) {
    std::uint32_t part = 0;
    std::memcpy(&part, invitation.data() + kInvitationMagic.size() + i, sizeof part);
    char text[9];
    std::snprintf(text, sizeof text, "%08x", part);
    name += text;
  }
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0) return {};
  return fd;
}
std::string token_in(const std::string& invitation) {
  return invitation.substr(kInvitationBytes - kSecretBytes);
}

// Opens a sender that is to be a ring, or not, sends a word and closes. 0, or what was wrong.
int send_a_word(const std::string& url, bool ring) {
  auto sender = Sender::open(url, soon());
  if (!sender) {
    std::fprintf(stderr, "%s\n", sender.error().message.c_str());
    return 1;
  }
  if (is_ring(sender->info()) != ring) return 2;
  if (sender->send("word") != Status::kOk) return 3;
  return sender->close() == Status::kOk ? 0 : 4;
}

void expect_a_word(const std::string& url, bool ring) {
  auto receiver = Receiver::open(url, soon());
  ASSERT_TRUE(receiver) << receiver.error().message;
  EXPECT_EQ(is_ring(receiver->info()), ring);
  EXPECT_EQ(receive(*receiver), "word");
  EXPECT_EQ(receive(*receiver), kEndOfStreamText);
}

TEST_F(Auto, OnOneMachineItIsARing) {
  for (const std::string& turn : {std::string(), std::string("?listen=1")}) {
    Child sending([&] { return send_a_word(url_ + turn, true); });
    expect_a_word(url_ + (turn.empty() ? "" : "?listen=0"), true);
    EXPECT_EQ(sending.join(), 0);
  }
  auto pair = open_pair(url_);
  ASSERT_TRUE(pair) << pair.error().message;
  EXPECT_TRUE(is_ring(pair->first.info()));
  EXPECT_EQ(pair->first.info().capacity_bytes, pair->second.info().capacity_bytes);
  EXPECT_EQ(pair->first.info().name, url_);
}

// Copies what comes to each of two sockets to the other one, until one ends.
void relay(const RawSocket& one, const RawSocket& other) {
  for (;;) {
    std::array<pollfd, 2> both{{{one.fd(), POLLIN, 0}, {other.fd(), POLLIN, 0}}};
    poll(both.data(), both.size(), -1);
    for (const bool first : {true, false}) {
      if (both[first ? 0 : 1].revents == 0) continue;
      const std::string bytes = (first ? one : other).receive(1);
      if (bytes.empty()) return;
      (first ? other : one).send(bytes);
    }
  }
}

TEST_F(Auto, InAnotherNetworkItIsTheConnection) {
  Child sending([&] {
    const RawSocket here(port_url_);
    here.connect();
    if (!enter_own_network()) return 77;
    const RawSocket there(port_url_);
    if (!there.listen()) return 78;
    std::thread between([&] {
      const RawSocket sender = there.next();
      relay(sender, here);
    });
    const int sent = send_a_word(url_, false);
    between.join();
    return sent;
  });
  auto receiver = Receiver::open(url_, soon());
  const bool open = static_cast<bool>(receiver);
  if (open) {
    EXPECT_FALSE(is_ring(receiver->info()));
    EXPECT_EQ(receive(*receiver), "word");
    EXPECT_EQ(receive(*receiver), kEndOfStreamText);
  }
  const int result = sending.join();
  if (result == 77) GTEST_SKIP() << "a network of its own is not permitted here";
  EXPECT_EQ(result, 0);
  EXPECT_TRUE(open);
}

TEST_F(Auto, OfAnotherUserItIsTheConnectionUnlessHeIsNamed) {
  if (getuid() != 0) GTEST_SKIP() << "only root can be another user";
  for (const bool named : {false, true}) {
    Child sending([&] {
      if (setgid(kStranger) != 0 || setuid(kStranger) != 0) return 77;
      return send_a_word(url_ + (named ? "?uid=0" : ""), named);
    });
    expect_a_word(url_ + (named ? "?uid=" + std::to_string(kStranger) : ""), named);
    EXPECT_EQ(sending.join(), 0);
  }
  // The receiver alone lets the other side in.
  Child sending([&] {
    if (setgid(kStranger) != 0 || setuid(kStranger) != 0) return 77;
    return send_a_word(url_, false);
  });
  expect_a_word(url_ + "?uid=" + std::to_string(kStranger), false);
  EXPECT_EQ(sending.join(), 0);
}

// A receiver by hand, up to the invitation.
struct RawReceiver {
  explicit RawReceiver(const std::string& port_url) : socket(port_url) {
    socket.connect();
    socket.send(kHelloOfAutoReceiver);
    EXPECT_EQ(socket.receive(1), kConfirmation);
    invitation = socket.receive(kInvitationBytes);
    EXPECT_THAT(invitation, ::testing::StartsWith(std::string(kInvitationMagic)));
  }
  RawSocket socket;
  std::string invitation;
};

TEST_F(Auto, AReceiverThatChoosesTheConnectionGetsIt) {
  std::thread sending([&] { EXPECT_EQ(send_a_word(url_ + "?listen=1", false), 0); });
  const RawReceiver receiver(port_url_);
  receiver.socket.send("\x53");
  EXPECT_EQ(receiver.socket.receive(8), frame_of("word"));
  sending.join();
}

TEST_F(Auto, ASenderThatOffersNoRingIsHeard) {
  // None at all, and one at a name where nobody is.
  for (const char letter : {'\0', 'x'}) {
    std::thread receiving([&] { expect_a_word(url_, false); });
    const RawSocket sender(port_url_);
    sender.connect();
    sender.send(kHelloOfAutoSender);
    EXPECT_EQ(sender.receive(1), kConfirmation);
    sender.send(std::string(kInvitationMagic) + std::string(2 * kSecretBytes, letter));
    EXPECT_EQ(sender.receive(1), "\x53");
    sender.send(frame_of("word") + std::string(kEndMark));
    receiving.join();
  }
}

TEST_F(Auto, WhoHasNotTheTokenIsNotLetIn) {
  std::thread sending([&] { EXPECT_EQ(send_a_word(url_ + "?listen=1", false), 0); });
  const RawReceiver receiver(port_url_);
  std::string wrong = token_in(receiver.invitation);
  wrong.back() = static_cast<char>(wrong.back() ^ 1);
  for (const std::string& said : {wrong, std::string("x"), wrong + "x"}) {
    const UniqueFd guest = come_to(receiver.invitation);
    ASSERT_TRUE(guest);
    ASSERT_EQ(send(guest.get(), said.data(), said.size(), MSG_NOSIGNAL), std::ssize(said));
    char any = 0;
    EXPECT_EQ(recv(guest.get(), &any, 1, 0), 0) << "an answer to " << said.size() << " bytes";
  }
  // Nor do many more who say nothing keep the one that has the token out, before it and behind it.
  const std::string token = token_in(receiver.invitation);
  std::vector<UniqueFd> silent;
  for (int i = 0; i < 20; ++i) silent.push_back(come_to(receiver.invitation));
  const UniqueFd guest = come_to(receiver.invitation);
  ASSERT_TRUE(guest);
  ASSERT_EQ(send(guest.get(), token.data(), token.size(), MSG_NOSIGNAL), std::ssize(token));
  for (int i = 0; i < 20; ++i) silent.push_back(come_to(receiver.invitation));
  char any = 0;
  EXPECT_EQ(recv(guest.get(), &any, 1, 0), 1);
  receiver.socket.send("\x53");
  EXPECT_EQ(receiver.socket.receive(8), frame_of("word"));
  sending.join();
}

TEST_F(Auto, WhoSaysTheRingAndIsNotInItIsNoReceiver) {
  std::thread sending([&] { EXPECT_EQ(send_a_word(url_ + "?listen=1", true), 0); });
  for (const char* said : {"\x52", "?"}) {
    const RawReceiver receiver(port_url_);
    receiver.socket.send(said);
    EXPECT_EQ(receiver.socket.receive(1), "");
  }
  expect_a_word(url_ + "?listen=0", true);
  sending.join();
}

TEST_F(Auto, WhoInvitesWithNonsenseIsNoSender) {
  std::thread receiving([&] { expect_a_word(url_, true); });
  const RawSocket sender(port_url_);
  sender.connect();
  sender.send(kHelloOfAutoSender);
  EXPECT_EQ(sender.receive(1), kConfirmation);
  sender.send(std::string(kInvitationBytes, 'x'));
  EXPECT_EQ(sender.receive(1), "");
  EXPECT_EQ(send_a_word(url_, true), 0);
  receiving.join();
}

// One that has come and then says nothing keeps neither the port shut nor others waiting.
TEST_F(Auto, SilentOnesKeepNobodyOut) {
  std::thread receiving([&] { expect_a_word(url_, true); });
  std::vector<RawSocket> silent;
  for (int i = 0; i < 12; ++i) {
    silent.emplace_back(port_url_);
    silent.back().connect();
    silent.back().send(kHelloOfAutoSender);
    EXPECT_EQ(silent.back().receive(1), kConfirmation);
  }
  const auto began = Deadline::Clock::now();
  EXPECT_EQ(send_a_word(url_, true), 0);
  EXPECT_LT(Deadline::Clock::now() - began, seconds(4));  // each of the others has 5
  receiving.join();
}

// Who has left again by the time that its sender knows of it is not waited for.
TEST_F(Auto, AReceiverThatLeftAtOnceIsMissed) {
  Shared<std::atomic<int>> state;
  Child receiving([&] {
    auto receiver = Receiver::open(url_ + "?listen=0", soon());
    if (!receiver) return 1;
    receiver->detach();
    *state = 1;
    return 0;
  });
  auto sender = Sender::open(url_ + "?listen=1", soon());
  ASSERT_TRUE(sender) << sender.error().message;
  while (*state == 0) usleep(100);
  EXPECT_EQ(receiving.join(), 0);
  // More than the ring holds.
  const std::string large(1 << 20, 'x');
  Status status = Status::kOk;
  for (int i = 0; i < 8 && status == Status::kOk; ++i) status = sender->send(large, soon().wait);
  EXPECT_EQ(status, Status::kPeerGone);
}

TEST_F(Auto, HeadersHaveToAgree) {
  for (const bool sender_listens : {false, true}) {
    for (const char* header : {"&", "&header=16"}) {
      std::thread sending([&] {
        const auto sender =
            Sender::open(url_ + (sender_listens ? "?listen=1" : "?listen=0") + "&header=8", soon());
        ASSERT_FALSE(sender);
        EXPECT_EQ(sender.error().code, ErrorCode::kGeometryMismatch) << sender.error().message;
      });
      std::string receivers = url_ + (sender_listens ? "?listen=0" : "?listen=1") + header;
      if (receivers.back() == '&') receivers.pop_back();
      const auto receiver = Receiver::open(receivers, soon());
      ASSERT_FALSE(receiver);
      EXPECT_EQ(receiver.error().code, ErrorCode::kGeometryMismatch) << receiver.error().message;
      sending.join();
    }
  }
}

TEST_F(Auto, OneOfTcpIsToldApart) {
  std::atomic<bool> stop{false};
  const OpenOptions until_told{.wait = Deadline::never(), .stop = &stop};
  std::thread receiving([&] { EXPECT_FALSE(Receiver::open(url_, until_told)); });
  const auto sender = Sender::open(port_url_, soon());
  ASSERT_FALSE(sender);
  EXPECT_THAT(sender.error().message, HasSubstr("by the same scheme"));
  stop = true;
  receiving.join();
  stop = false;
  std::thread other([&] { EXPECT_FALSE(Receiver::open(port_url_, until_told)); });
  EXPECT_FALSE(Sender::open(url_, soon()));
  stop = true;
  other.join();
}

// How many more moments are looked at for each: an address sanitizer makes more of them.
constexpr int kStride = kAddressSanitizer ? 11 : 3;

TEST_F(Auto, ADeathAtAnySystemCallOfTheReceiver) {
  int moment = 0;
  for (bool there = true; there; moment += kStride) {
    SCOPED_TRACE("stop " + std::to_string(moment) + " at a system call");
    // Goes from receiver to receiver, until one has taken all.
    Child sending([&] {
      for (;;) {
        auto sender = Sender::open(url_ + "?capacity=4KiB", soon());
        if (!sender) return 1;
        if (sender->send("word") == Status::kOk && sender->close() == Status::kOk) return 0;
      }
    });
    there = kill_at_system_call(moment, [&] {
      auto receiver = Receiver::open(url_, soon());
      if (receiver) static_cast<void>(receiver->next(Deadline::now()));
    });
    // The sender may have brought all to the dead one.
    std::atomic<bool> stop{false};
    std::thread successor([&] {
      auto receiver = Receiver::open(url_, {.wait = Deadline::never(), .stop = &stop});
      if (!receiver) return;
      // To the end: a sender whose receiver leaves before is told so, and looks for another one.
      std::string heard = receive(*receiver);
      if (heard == "word") heard = receive(*receiver);
      EXPECT_EQ(heard, kEndOfStreamText);
    });
    EXPECT_EQ(sending.join(), 0);
    stop = true;
    successor.join();
    if (HasFailure()) return;
  }
  std::printf("%d moments\n", moment / kStride);
  EXPECT_GT(moment, 60);
}

TEST_F(Auto, ADeathAtAnySystemCallOfTheSender) {
  int moment = 0;
  for (bool there = true; there; moment += kStride) {
    SCOPED_TRACE("stop " + std::to_string(moment) + " at a system call");
    // Goes from sender to sender, until one has come to its end.
    Child receiving([&] {
      for (;;) {
        auto receiver = Receiver::open(url_, soon());
        if (!receiver) return 1;
        std::string heard = receive(*receiver);
        if (heard == "word") heard = receive(*receiver);
        if (heard == kEndOfStreamText) return 0;
        const bool died = heard == "<" + std::string(to_string(Status::kPeerDied)) + ">" ||
                          heard == "<" + std::string(to_string(Status::kPeerGone)) + ">";
        if (!died) {
          std::fprintf(stderr, "%s\n", heard.c_str());
          return 2;
        }
      }
    });
    there = kill_at_system_call(moment, [&] {
      auto sender = Sender::open(url_ + "?capacity=4KiB", soon());
      if (!sender) return;
      static_cast<void>(sender->send("word"));
      static_cast<void>(sender->close());
    });
    // The receiver may have heard all of the dead one's stream.
    std::atomic<bool> stop{false};
    std::thread successor([&] {
      auto sender = Sender::open(url_, {.wait = Deadline::never(), .stop = &stop});
      if (sender) static_cast<void>(sender->close());
    });
    EXPECT_EQ(receiving.join(), 0);
    stop = true;
    successor.join();
    if (HasFailure()) return;
  }
  std::printf("%d moments\n", moment / kStride);
  EXPECT_GT(moment, 60);
}

}  // namespace
}  // namespace rondo::testing
