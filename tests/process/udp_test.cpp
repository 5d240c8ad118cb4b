// Channels over UDP, with a relay between the ends that loses, doubles, delays and invents
// datagrams as a network may: nothing comes twice or out of order, and what does not come is told.
//
//  1. WhatIsSentComes
//  2. WhatTheRelayLosesIsCounted
//  3. WhatComesTwiceOrLateIsDroppedAndCounted
//  4. StrangersAreDroppedAndCounted, WhatIsDroppedAloneLeavesNothingBehind
//  5. ARestartedSenderEndsTheStream
//  6. ASuccessorIsFollowed
//  7. ARestartedReceiverGoesOnInTheMiddle
//  8. NobodyThereIsNoError, NorIsWhatTheWayRefuses, OfSeveralAddressesOneIsTakenWhereSomebodyIs
//  9. TheEndIsSaidMoreThanOnce, AnEchoOfAnEndIsNone, ALostHelloHidesNoStreamWithoutMessages
// 10. ASilentSenderIsTakenForDead, AlsoWhileStrangersGoOn
// 11. ABatchGoesInFewDatagrams
// 12. TheLargestMessageFitsAndALargerOneIsRefused
// 13. AnOverrunBufferIsCounted
// 14. TheAddressIsOneReceivers
// 15. APortThatIsLeftOpenIsNamed
// 16. RawDatagramsAreAnybodys, ARawDatagramThatIsTooLargeIsPassedOver,
//     TheLargestRawDatagramOfIpv6Comes
// 17. HeadersThatDifferAreCorrupt
// 18. AGroupHasSeveralReceivers, WhatIsSentToOthersGroupsDoesNotCome,
//     OfNoGroupThereIsNoInterfaceToChoose
// 19. WhatTheUrlCanNotHave
#include <gmock/gmock.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "conformance/channel_fixture.hpp"
#include "rondo/core/record_layout.hpp"
#include "support/system_call_filter.hpp"
#include "support/udp_socket.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

const DatagramsInfo& datagrams(const ChannelInfo& info) { return *info.as<DatagramsInfo>(); }

// Passes on, one at a time, what a sender sends, as the test says.
class Relay {
 public:
  explicit Relay(const std::string& to) : to_(port_of(to)) {}
  [[nodiscard]] std::string url() const { return in_.url(); }
  [[nodiscard]] std::string next() const { return in_.receive(); }
  void pass_on(const std::string& datagram) const { in_.send_to(to_, datagram); }
  void pass_on_next(int count = 1) const {
    for (; count > 0; --count) pass_on(next());
  }

 private:
  std::uint16_t to_;
  UdpSocket in_;
};

class Udp : public Watchdog {
 protected:
  static Receiver open_receiver(const std::string& options = "") {
    auto receiver = Receiver::open("udp://127.0.0.1:0" + options);
    if (!receiver) throw std::runtime_error(receiver.error().message);
    return std::move(receiver).value();
  }
  static Sender open_sender(const std::string& url) {
    auto sender = Sender::open(url);
    if (!sender) throw std::runtime_error(sender.error().message);
    return std::move(sender).value();
  }
  static void send(Sender& sender, const std::string& text) {
    EXPECT_EQ(sender.send(text), Status::kOk);
  }

  Receiver receiver_ = open_receiver();
  std::string url_ = receiver_.info().name;
  Relay relay_{url_};
};

TEST_F(Udp, WhatIsSentComes) {
  Sender sender = open_sender(url_);
  for (int i = 0; i < 1000; ++i) {
    const std::string text = numbered_message(static_cast<std::uint64_t>(i), 7u * (i % 100));
    send(sender, text);
    EXPECT_EQ(receive(receiver_), text);
  }
  EXPECT_EQ(sender.close(), Status::kOk);
  EXPECT_EQ(receive(receiver_), kEndOfStreamText);
  EXPECT_EQ(receiver_.lost(), 0u);
  EXPECT_EQ(datagrams(receiver_.info()).sessions, 1u);
}

TEST_F(Udp, WhatTheRelayLosesIsCounted) {
  Sender sender = open_sender(relay_.url());
  relay_.pass_on_next();  // the hello
  for (int i = 0; i < 10; ++i) send(sender, std::to_string(i));
  for (int i = 0; i < 10; ++i) {
    const std::string datagram = relay_.next();
    if (i % 3 == 0) relay_.pass_on(datagram);
  }
  for (const char* text : {"0", "3", "6", "9"}) EXPECT_EQ(receive(receiver_), text);
  EXPECT_EQ(receiver_.lost(), 6u);
  send(sender, "the last one is lost");
  static_cast<void>(relay_.next());
  EXPECT_EQ(sender.close(), Status::kOk);
  relay_.pass_on_next();
  EXPECT_EQ(receive(receiver_), kEndOfStreamText);
  EXPECT_EQ(receiver_.lost(), 7u);
}

TEST_F(Udp, WhatComesTwiceOrLateIsDroppedAndCounted) {
  Sender sender = open_sender(relay_.url());
  relay_.pass_on_next();
  for (const char* text : {"first", "late", "third"}) send(sender, text);
  const std::string first = relay_.next();
  const std::string late = relay_.next();
  const std::string third = relay_.next();
  for (const auto& datagram : {first, first, third, late, third}) relay_.pass_on(datagram);
  send(sender, "last");
  relay_.pass_on_next();
  for (const char* text : {"first", "third", "last"}) EXPECT_EQ(receive(receiver_), text);
  const ChannelInfo info = receiver_.info();
  EXPECT_EQ(datagrams(info).duplicates, 2u);
  EXPECT_EQ(datagrams(info).late, 1u);
  EXPECT_EQ(datagrams(info).lost, 1u);
  EXPECT_EQ(receiver_.lost(), 1u);
}

TEST_F(Udp, StrangersAreDroppedAndCounted) {
  Sender sender = open_sender(relay_.url());
  relay_.pass_on_next();
  send(sender, "ours");
  const std::string ours = relay_.next();
  std::string changed = ours;
  changed.back() ^= 1;
  // Also before and behind what is ours, and so many at once that they fill a batch.
  for (int i = 0; i < 40; ++i) relay_.pass_on(i % 2 == 0 ? "garbage" : "");
  relay_.pass_on(changed);
  relay_.pass_on(ours);
  relay_.pass_on(std::string(60'000, '\xff'));
  send(sender, "ours again");
  relay_.pass_on_next();
  EXPECT_EQ(receive(receiver_), "ours");
  EXPECT_EQ(receive(receiver_), "ours again");
  EXPECT_EQ(datagrams(receiver_.info()).foreign, 41u);
  EXPECT_EQ(datagrams(receiver_.info()).corrupt, 1u);
  EXPECT_EQ(receiver_.lost(), 0u);
}

// The first datagram of a batch is received where the next message will lie.
TEST_F(Udp, WhatIsDroppedAloneLeavesNothingBehind) {
  Sender sender = open_sender(relay_.url());
  const std::string hello = relay_.next();
  relay_.pass_on(hello);
  send(sender, "first");
  const std::string first = relay_.next();
  relay_.pass_on(first);
  EXPECT_EQ(receive(receiver_), "first");
  std::string changed = first;
  changed.back() ^= 1;
  std::string stale;
  {
    Sender other = open_sender(relay_.url());
    static_cast<void>(relay_.next());
    EXPECT_EQ(other.close(), Status::kOk);
    static_cast<void>(relay_.next());  // the hello again
    stale = relay_.next();
    static_cast<void>(relay_.next());
    static_cast<void>(relay_.next());
  }
  std::uint64_t number = 1;  // of the next message
  const auto drops_alone = [&](const std::string& datagram) {
    relay_.pass_on(datagram);
    EXPECT_EQ(receiver_.next(Deadline::after(milliseconds(50))).status(), Status::kTimedOut);
    EXPECT_FALSE(receiver_.try_next());
    relay_.pass_on(datagram);
    EXPECT_FALSE(receiver_.try_next());
    EXPECT_FALSE(receiver_.try_next());
    const std::string text = "message " + std::to_string(number++);
    send(sender, text);
    relay_.pass_on_next();
    return receive(receiver_) == text;
  };
  for (const std::string& datagram : {hello, first, changed, stale}) {
    ASSERT_TRUE(drops_alone(datagram));
  }
  // Behind what would be our header, what the ring's next one might be.
  for (const RecordKind kind : {RecordKind::kRecord, RecordKind::kPadding, RecordKind::kEnd}) {
    for (const std::uint32_t size : {0u, 8u, 48u}) {
      const std::uint64_t word = record_header::make(kind, number, size);
      std::string foreign(48, 'x');
      foreign.append(reinterpret_cast<const char*>(&word), sizeof word);
      ASSERT_TRUE(drops_alone(foreign + std::string(size, 'y')));
    }
  }
  EXPECT_EQ(receiver_.lost(), 0u);
}

TEST_F(Udp, ARestartedSenderEndsTheStream) {
  Child killed([&] {
    auto sender = Sender::open(url_);
    if (!sender || sender->send("of the first") != Status::kOk) return 1;
    raise(SIGKILL);
    return 2;
  });
  EXPECT_EQ(killed.join(), -SIGKILL);
  Sender second = open_sender(url_);
  send(second, "of the second");
  EXPECT_EQ(receive(receiver_), "of the first");
  EXPECT_EQ(receiver_.next().status(), Status::kPeerDied);
}

TEST_F(Udp, ASuccessorIsFollowed) {
  Receiver receiver = open_receiver("?await_successor=1");
  const Relay relay(receiver.info().name);
  Sender first = open_sender(relay.url());
  relay.pass_on_next();
  send(first, "of the first");
  relay.pass_on_next();
  Sender second = open_sender(relay.url());
  send(second, "lost");
  send(second, "of the second");
  relay.pass_on_next();  // the hello
  static_cast<void>(relay.next());
  relay.pass_on_next();
  send(first, "stale");
  relay.pass_on_next();
  EXPECT_EQ(second.close(), Status::kOk);
  relay.pass_on_next();
  EXPECT_EQ(receive(receiver), "of the first");
  EXPECT_EQ(receive(receiver), "of the second");
  EXPECT_EQ(receive(receiver), kEndOfStreamText);
  EXPECT_EQ(receiver.lost(), 1u);
  EXPECT_EQ(datagrams(receiver.info()).stale, 1u);
  EXPECT_EQ(datagrams(receiver.info()).sessions, 2u);
}

TEST_F(Udp, ARestartedReceiverGoesOnInTheMiddle) {
  Sender sender = open_sender(url_);
  send(sender, "to the first");
  EXPECT_EQ(receive(receiver_), "to the first");
  receiver_.detach();
  for (int i = 0; i < 3; ++i) send(sender, "to nobody");
  auto second = Receiver::open(url_);
  ASSERT_TRUE(second) << second.error().message;
  send(sender, "to the second");
  EXPECT_EQ(receive(*second), "to the second");
  EXPECT_EQ(datagrams(second->info()).before, 4u);
  EXPECT_EQ(second->lost(), 0u);
}

TEST_F(Udp, NobodyThereIsNoError) {
  receiver_.detach();
  Sender sender = open_sender(url_);
  // The host says so with the next one.
  for (int i = 0; i < 10; ++i) send(sender, "to nobody");
  EXPECT_GT(datagrams(sender.info()).unsent, 0u);
  EXPECT_EQ(sender.close(), Status::kOk);
}

TEST_F(Udp, NorIsWhatTheWayRefuses) {
  struct Refusal {
    int error;
    Status status;
  };
  constexpr int kNoFilter = 77;
  for (const auto& [error, expected] : {
           Refusal{EMSGSIZE, Status::kOk},
           {EACCES, Status::kOk},
           {ENOPROTOOPT, Status::kOk},
           {EINVAL, Status::kOk},
           {ENODEV, Status::kOk},
           {EHOSTUNREACH, Status::kOk},
           {ENOBUFS, Status::kOk},
           {EBADF, Status::kIoError},
       }) {
    Child child([this, error = error, expected = expected] {
      Sender sender = open_sender(url_);
      if (!forbid_system_call(SYS_sendmmsg, error)) return kNoFilter;
      for (int i = 0; i < 3; ++i) {
        if (sender.send("nowhere") != expected) return 1;
      }
      const std::uint64_t unsent = datagrams(sender.info()).unsent;
      _exit(unsent == (expected == Status::kOk ? 3 : 0) ? 0 : 2);
    });
    const int result = child.join();
    if (result == kNoFilter) GTEST_SKIP() << "no seccomp here";
    EXPECT_EQ(result, 0) << error;
  }
}

TEST_F(Udp, OfSeveralAddressesOneIsTakenWhereSomebodyIs) {
  for (const char* host : {"127.0.0.1", "[::1]"}) {
    auto receiver = Receiver::open("udp://" + std::string(host) + ":0");
    if (!receiver) continue;  // no IPv6 here
    // Without a host it is this one, whose addresses are these two.
    Sender sender = open_sender("udp://:" + std::to_string(port_of(receiver->info().name)));
    send(sender, "text");
    EXPECT_EQ(receive(*receiver), "text");
    EXPECT_EQ(datagrams(receiver->info()).before, 0u);
  }
}

TEST_F(Udp, TheEndIsSaidMoreThanOnce) {
  Sender sender = open_sender(relay_.url());
  relay_.pass_on_next();
  send(sender, "text");
  relay_.pass_on_next();
  EXPECT_EQ(receive(receiver_), "text");
  EXPECT_EQ(sender.close(), Status::kOk);
  static_cast<void>(relay_.next());
  relay_.pass_on_next();
  EXPECT_EQ(receive(receiver_), kEndOfStreamText);
}

TEST_F(Udp, AnEchoOfAnEndIsNone) {
  {
    Sender sender = open_sender(relay_.url());
    relay_.pass_on_next();
    EXPECT_EQ(sender.close(), Status::kOk);
  }
  relay_.pass_on_next(2);
  EXPECT_EQ(receive(receiver_), kEndOfStreamText);
  Receiver next = open_receiver();
  const Relay echo(next.info().name);
  echo.pass_on(relay_.next());
  Sender sender = open_sender(next.info().name);
  send(sender, "of the next");
  EXPECT_EQ(receive(next), "of the next");
  EXPECT_EQ(datagrams(next.info()).stale, 1u);
}

TEST_F(Udp, ALostHelloHidesNoStreamWithoutMessages) {
  Sender sender = open_sender(relay_.url());
  static_cast<void>(relay_.next());
  EXPECT_EQ(sender.close(), Status::kOk);
  relay_.pass_on_next(2);
  EXPECT_EQ(receive(receiver_), kEndOfStreamText);
  // What is said once more than it has to be is no second stream.
  relay_.pass_on_next(2);
  EXPECT_EQ(datagrams(receiver_.info()).sessions, 1u);
}

TEST_F(Udp, ASilentSenderIsTakenForDead) {
  Receiver receiver = open_receiver("?silence=1");
  // One that has heard of none waits on.
  EXPECT_EQ(receiver.next(Deadline::after(milliseconds(1100))).status(), Status::kTimedOut);
  Sender sender = open_sender(receiver.info().name);
  send(sender, "last words");
  EXPECT_EQ(receive(receiver), "last words");
  EXPECT_EQ(receiver.next().status(), Status::kPeerDied);
}

TEST_F(Udp, AlsoWhileStrangersGoOn) {
  Receiver receiver = open_receiver("?silence=1");
  Sender sender = open_sender(receiver.info().name);
  send(sender, "last words");
  EXPECT_EQ(receive(receiver), "last words");
  std::atomic<bool> over{false};
  std::vector<std::thread> strangers;
  for (int i = 0; i < 2; ++i) {
    strangers.emplace_back([&] {
      const UdpSocket stranger;
      while (!over) stranger.send_to(port_of(receiver.info().name), "garbage");
    });
  }
  EXPECT_EQ(receiver.next(Deadline::after(milliseconds(100))).status(), Status::kTimedOut);
  EXPECT_EQ(receiver.next().status(), Status::kPeerDied);
  over = true;
  for (std::thread& stranger : strangers) stranger.join();
}

TEST_F(Udp, ABatchGoesInFewDatagrams) {
  Sender sender = open_sender(relay_.url());
  relay_.pass_on_next();
  {
    Sender::Batch batch(sender);
    for (int i = 0; i < 100; ++i) {
      const std::string text = std::to_string(i);
      ASSERT_EQ(batch.try_add(bytes_of(text)), Status::kOk);
    }
    EXPECT_EQ(std::move(batch).commit(), Status::kOk);
  }
  EXPECT_LT(datagrams(sender.info()).datagrams, 10u);
  relay_.pass_on_next(static_cast<int>(datagrams(sender.info()).datagrams) - 1);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(receive(receiver_), std::to_string(i));
}

TEST_F(Udp, TheLargestMessageFitsAndALargerOneIsRefused) {
  Sender sender = open_sender(url_);
  const std::string largest(sender.max_message_bytes(), 'x');
  EXPECT_EQ(largest.size(), 65'507u - 48 - 8);
  send(sender, largest);
  EXPECT_EQ(receive(receiver_), largest);
  EXPECT_EQ(sender.send(largest + 'x'), Status::kTooLarge);
}

TEST_F(Udp, AnOverrunBufferIsCounted) {
  Receiver receiver = open_receiver("?buffer=8KiB");
  Sender sender = open_sender(receiver.info().name);
  const std::string text(1000, 'x');
  for (int i = 0; i < 1000; ++i) send(sender, text);
  EXPECT_EQ(receive(receiver), text);
  // What has been dropped is said with what comes in behind it.
  std::uint64_t received = 1;
  while (receiver.try_next()) ++received;
  send(sender, "last");
  EXPECT_EQ(receive(receiver), "last");
  EXPECT_GT(receiver.lost(), 0u);
  EXPECT_EQ(received + receiver.lost(), 1000u);
  EXPECT_GT(datagrams(receiver.info()).overflows, 0u);
}

TEST_F(Udp, TheAddressIsOneReceivers) {
  const auto second = Receiver::open(url_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
}

TEST_F(Udp, APortThatIsLeftOpenIsNamed) {
  EXPECT_NE(port_of(url_), 0);
  const auto sender = Sender::open("udp://127.0.0.1:0");
  ASSERT_FALSE(sender);
  EXPECT_THAT(sender.error().message, HasSubstr("port 0"));
  EXPECT_TRUE(open_pair("udp://127.0.0.1:0"));
}

TEST_F(Udp, RawDatagramsAreAnybodys) {
  Receiver receiver = open_receiver("?framing=raw");
  const std::uint16_t port = port_of(receiver.info().name);
  const UdpSocket one;
  const UdpSocket other;
  one.send_to(port, "one");
  other.send_to(port, "");
  one.send_to(port, std::string(60'000, 'x'));
  EXPECT_EQ(receive(receiver), "one");
  EXPECT_EQ(receive(receiver), "");
  EXPECT_EQ(receive(receiver), std::string(60'000, 'x'));
  Sender sender = open_sender(one.url() + "?framing=raw");
  send(sender, "to a stranger");
  EXPECT_EQ(one.receive(), "to a stranger");
}

TEST_F(Udp, ARawDatagramThatIsTooLargeIsPassedOver) {
  Receiver receiver = open_receiver("?framing=raw&capacity=16KiB");
  const std::uint16_t port = port_of(receiver.info().name);
  const UdpSocket anybody;
  for (const std::size_t size : {3, 60'000, 4, 20'000, 60'000, 5}) {
    anybody.send_to(port, std::string(size, 'x'));
  }
  for (const std::size_t size : {3, 4, 5}) EXPECT_EQ(receive(receiver), std::string(size, 'x'));
  EXPECT_FALSE(receiver.try_next());
  EXPECT_EQ(datagrams(receiver.info()).datagrams, 3u);
  EXPECT_EQ(datagrams(receiver.info()).too_large, 3u);
}

TEST_F(Udp, TheLargestRawDatagramOfIpv6Comes) {
  auto receiver = Receiver::open("udp://[::1]:0?framing=raw");
  if (!receiver) GTEST_SKIP() << "no IPv6 here: " << receiver.error().message;
  const detail::UniqueFd fd(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 to{};
  to.sin6_family = AF_INET6;
  to.sin6_port = htons(port_of(receiver->info().name));
  to.sin6_addr = in6addr_loopback;
  const std::string largest(65'527, 'x');
  for (const std::string_view text : {std::string_view(largest), std::string_view("behind")}) {
    ASSERT_EQ(sendto(fd.get(), text.data(), text.size(), MSG_NOSIGNAL,
                     reinterpret_cast<const sockaddr*>(&to), sizeof to),
              static_cast<ssize_t>(text.size()));
  }
  EXPECT_EQ(receive(*receiver), largest);
  EXPECT_EQ(receive(*receiver), "behind");
}

TEST_F(Udp, HeadersThatDifferAreCorrupt) {
  Sender sender = open_sender(url_ + "?header=20");
  send(sender, "text");
  EXPECT_EQ(receiver_.next().status(), Status::kCorrupt);
}

TEST_F(Udp, AGroupHasSeveralReceivers) {
  const std::string port = std::to_string(10'000 + getpid() % 20'000);
  // Of IPv6 the system may have no way to a group over this interface.
  const std::string group = "239.255.77." + std::to_string(getpid() % 256);
  const std::string url = "udp://" + group + ":" + port + "?interface=lo";
  EXPECT_TRUE(capabilities(url)->many_receivers);
  auto first = Receiver::open(url);
  if (!first) GTEST_SKIP() << "no groups here: " << first.error().message;
  auto second = Receiver::open(url);
  ASSERT_TRUE(second) << second.error().message;
  auto sender = Sender::open(url + "&ttl=0", {.wait = Deadline::after(seconds(1))});
  if (!sender) GTEST_SKIP() << "no way to a group here: " << sender.error().message;
  for (const char* text : {"one", "two"}) {
    send(*sender, text);
    EXPECT_EQ(receive(*first), text);
    EXPECT_EQ(receive(*second), text);
  }
  EXPECT_EQ(sender->close(), Status::kOk);
  EXPECT_EQ(receive(*first), kEndOfStreamText);
  EXPECT_EQ(receive(*second), kEndOfStreamText);
  EXPECT_EQ(datagrams(first->info()).duplicates, 0u);
}

TEST_F(Udp, WhatIsSentToOthersGroupsDoesNotCome) {
  const std::string group = "239.255.78." + std::to_string(getpid() % 256);
  auto other = Receiver::open("udp://" + group + ":0?interface=lo&framing=raw");
  if (!other) GTEST_SKIP() << "no groups here: " << other.error().message;
  for (const char* host : {"", "0.0.0.0"}) {  // of both kinds of addresses; of IPv4
    auto receiver = Receiver::open("udp://" + std::string(host) + ":0?framing=raw");
    ASSERT_TRUE(receiver) << receiver.error().message;
    const std::string port = std::to_string(port_of(receiver->info().name));
    auto sender = Sender::open("udp://" + group + ":" + port + "?interface=lo&ttl=0&framing=raw",
                               {.wait = Deadline::after(seconds(1))});
    if (!sender) GTEST_SKIP() << "no way to a group here: " << sender.error().message;
    send(*sender, "for the group");
    UdpSocket().send_to(port_of(receiver->info().name), "for this one");
    EXPECT_EQ(receive(*receiver), "for this one");
  }
}

TEST_F(Udp, OfNoGroupThereIsNoInterfaceToChoose) {
  for (const char* options : {"?ttl=1", "?interface=lo"}) {
    const auto receiver = Receiver::open("udp://127.0.0.1:0" + std::string(options));
    ASSERT_FALSE(receiver);
    EXPECT_THAT(receiver.error().message, HasSubstr("is no group"));
  }
  const auto none = Receiver::open("udp://239.255.77.1:0?interface=no-such-one");
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("no-such-one"));
}

TEST_F(Udp, WhatTheUrlCanNotHave) {
  const auto too_large = Sender::open(url_ + "?max=64KiB");
  ASSERT_FALSE(too_large);
  EXPECT_THAT(too_large.error().message, HasSubstr("65451"));
  for (const char* options : {"?silence=x", "?buffer=1", "?framing=lines", "?crc=1"}) {
    EXPECT_FALSE(Receiver::open("udp://127.0.0.1:0" + std::string(options))) << options;
  }
}

}  // namespace
}  // namespace rondo::testing
