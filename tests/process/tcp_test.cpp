// What only tcp: has to keep.
//
//   1. AListenerAtPortZeroSaysWhichItHas, APortThatCantBeFoundOutIsAnError
//   2. EveryAddressIsServedAndIPv6CanBeOff
//   3. AHostIsLookedUpAndAllItsAddressesAreTried, AnAddressThatDoesNotAnswerIsNotTheLast
//   4. BothEndsSendAtOnceAndLookAfterTheConnection
//   5. AConnectionToItselfIsNone
//   6. ARestartedReceiverGetsItsPort, AndNobodyElseGetsIt
//   7. NothingIsLostAtTheEndThoughTheOtherSideTalks, WhatACloseCantHandOverItSays,
//      ASenderAloneGoesOnThoughTheOtherSideAnswersAll
//   8. ADeadMachineIsFoundOut: a sender's with something on its way, a receiver's that is idle
//   9. AReceiverThatDoesNotReadIsNotDead
#include <gmock/gmock.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/syscall.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "conformance/channel_fixture.hpp"
#include "support/network.hpp"
#include "support/ports.hpp"
#include "support/raw_socket.hpp"
#include "support/system_call_filter.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

constexpr int kNotPermitted = 77;

class Tcp : public Watchdog {};

OpenOptions soon() { return {.wait = Deadline::after(seconds(60))}; }

// In a child with a network of its own; false if there can be none.
template <class Body>
void in_own_network(Body&& body) {
  Child child([&] {
    alarm(200);
    return enter_own_network() ? body() : kNotPermitted;
  });
  const int result = child.join();
  if (result == kNotPermitted) GTEST_SKIP() << "no network of our own here";
  EXPECT_EQ(result, 0);
}

TEST_F(Tcp, AListenerAtPortZeroSaysWhichItHas) {
  auto pair = open_pair("tcp://127.0.0.1:0");
  ASSERT_TRUE(pair) << pair.error().message;
  const std::string name = pair->second.info().name;
  EXPECT_THAT(name, MatchesRegex("tcp://127\\.0\\.0\\.1:[1-9][0-9]*"));
  EXPECT_EQ(pair->first.info().name, name);
  const auto sender = Sender::open("tcp://127.0.0.1:0");
  ASSERT_FALSE(sender);
  EXPECT_THAT(sender.error().message, HasSubstr("port 0"));
}

TEST_F(Tcp, APortThatCantBeFoundOutIsAnError) {
  Child child([] {
    if (!forbid_system_call(SYS_getsockname, ENOBUFS)) return kNotPermitted;
    const auto receiver = Receiver::open("tcp://127.0.0.1:0", soon());
    return !receiver && receiver.error().code == ErrorCode::kSystem ? 0 : 1;
  });
  const int result = child.join();
  if (result == kNotPermitted) GTEST_SKIP() << "no filters here";
  EXPECT_EQ(result, 0);
}

// Whether a sender at `from` finds the receiver at `to`.
bool meet(const std::string& to, const std::string& from, seconds patience = seconds(1)) {
  std::atomic<bool> stop{false};
  std::string got;
  std::thread receiving([&] {
    auto receiver = Receiver::open(to, {.wait = soon().wait, .stop = &stop});
    if (receiver) got = receive(*receiver);
  });
  {
    auto sender = Sender::open(from, {.wait = Deadline::after(patience)});
    if (sender) static_cast<void>(sender->send("found"));
    if (!sender) stop = true;
  }
  receiving.join();
  return got == "found";
}

std::string at(const std::string& host) {
  return "tcp://" + host + ":" + std::to_string(free_port());
}
std::string at(const std::string& host, const std::string& like) {
  return "tcp://" + host + like.substr(like.rfind(':'));
}

bool has_ipv6() {
  const detail::UniqueFd probe(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 loopback{};
  loopback.sin6_family = AF_INET6;
  loopback.sin6_addr = in6addr_loopback;
  return probe &&
         bind(probe.get(), reinterpret_cast<const sockaddr*>(&loopback), sizeof loopback) == 0;
}

// At the loopback address, without ever accepting.
detail::UniqueFd listen_silently(bool ipv6, std::uint16_t port) {
  detail::UniqueFd fd(socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in6 six{};
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(port);
  six.sin6_addr = in6addr_loopback;
  sockaddr_in four{};
  four.sin_family = AF_INET;
  four.sin_port = htons(port);
  four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const auto* address =
      ipv6 ? reinterpret_cast<const sockaddr*>(&six) : reinterpret_cast<const sockaddr*>(&four);
  const socklen_t size = ipv6 ? sizeof six : sizeof four;
  if (bind(fd.get(), address, size) != 0 || listen(fd.get(), 16) != 0) return {};
  return fd;
}

TEST_F(Tcp, EveryAddressIsServedAndIPv6CanBeOff) {
  for (const char* from : {"127.0.0.1", "[::1]", "", "localhost"}) {
    if (from == std::string_view("[::1]") && !has_ipv6()) continue;
    const std::string every = at("");
    EXPECT_TRUE(meet(every, at(from, every))) << from;
  }
  const std::string four = at("0.0.0.0");
  EXPECT_TRUE(meet(four, at("127.0.0.1", four)));
  EXPECT_FALSE(meet(four, at("[::1]", four)));
  if (has_ipv6()) {
    const std::string six = at("[::]");
    EXPECT_TRUE(meet(six, at("[::1]", six)));
    EXPECT_FALSE(meet(six, at("127.0.0.1", six)));
  }
  in_own_network([] {
    if (!set_network("ipv6/conf/all/disable_ipv6", "1")) return kNotPermitted;
    const std::string every = at("");
    return meet(every, at("127.0.0.1", every)) ? 0 : 1;
  });
}

TEST_F(Tcp, AHostIsLookedUpAndAllItsAddressesAreTried) {
  // It has ::1 in many places, and 127.0.0.1 in all.
  const std::string url = at("127.0.0.1");
  EXPECT_TRUE(meet(url, at("localhost", url)));
  const auto nobody =
      Sender::open(at("no-such-host.invalid"), {.wait = Deadline::after(seconds(1))});
  ASSERT_FALSE(nobody);
  EXPECT_THAT(nobody.error().message, HasSubstr("no-such-host.invalid"));
  const auto foreign = Receiver::open("tcp://192.0.2.1:0");
  ASSERT_FALSE(foreign);
  EXPECT_THAT(foreign.error().message, HasSubstr("no address of this machine"));
}

// Of the two addresses of this machine one is another program's, which takes connections and says
// nothing: whichever comes first, the receiver is found at the other one.
TEST_F(Tcp, AnAddressThatDoesNotAnswerIsNotTheLast) {
  if (!has_ipv6()) GTEST_SKIP() << "one address only";
  for (const bool six : {true, false}) {
    const std::uint16_t port = free_port();
    const std::string number = std::to_string(port);
    const detail::UniqueFd silent = listen_silently(six, port);
    ASSERT_TRUE(silent);
    const std::string url = (six ? "tcp://127.0.0.1:" : "tcp://[::1]:") + number;
    EXPECT_TRUE(meet(url, "tcp://:" + number, seconds(30))) << url;
  }
}

// The numbers of our connections of TCP.
std::vector<int> connections() {
  std::vector<int> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    const int fd = std::stoi(entry.path().filename());
    tcp_info info{};
    socklen_t size = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
        info.tcpi_state == TCP_ESTABLISHED) {
      found.push_back(fd);
    }
  }
  return found;
}

int option(int fd, int level, int name) {
  int value = -1;
  socklen_t size = sizeof value;
  getsockopt(fd, level, name, &value, &size);
  return value;
}

TEST_F(Tcp, BothEndsSendAtOnceAndLookAfterTheConnection) {
  {
    auto pair = open_pair(at("127.0.0.1") + "?keepalive=60");
    ASSERT_TRUE(pair);
    const auto ends = connections();
    EXPECT_EQ(ends.size(), 2u);
    for (const int fd : ends) {
      EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
      EXPECT_EQ(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
      EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 30);
      EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 10);
      EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_KEEPCNT), 3);
      constexpr int kRtoMaxMs = 44;
      const bool limited = option(fd, IPPROTO_TCP, kRtoMaxMs) == 4000 ||
                           option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == 60'000;
      EXPECT_TRUE(limited);
      EXPECT_NE(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    }
  }
  auto pair = open_pair(at("127.0.0.1") + "?keepalive=0");
  ASSERT_TRUE(pair);
  for (const int fd : connections()) {
    EXPECT_EQ(option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    EXPECT_EQ(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
  }
}

// A port that no process listens at, among those that connections get for their own end.
TEST_F(Tcp, AConnectionToItselfIsNone) {
  in_own_network([] {
    if (!set_network("ipv4/ip_local_port_range", "40000 40001")) return kNotPermitted;
    const std::string url = "tcp://127.0.0.1:40000";
    // That such a thing happens here.
    bool happens = false;
    for (int i = 0; i < 100 && !happens; ++i) {
      const RawSocket raw(url);
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_port = htons(40000);
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      happens = connect(raw.fd(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
      const linger at_once{1, 0};
      setsockopt(raw.fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    if (!happens) return 1;
    for (int i = 0; i < 20; ++i) {
      const auto sender = Sender::open(url, {.wait = Deadline::after(milliseconds(20))});
      if (sender) return 2;
      if (sender.error().message.find("refused") == std::string::npos) return 3;
    }
    // And the port is free.
    return RawSocket(url).listen() ? 0 : 4;
  });
}

TEST_F(Tcp, ARestartedReceiverGetsItsPort) {
  const std::string url = at("127.0.0.1");
  for (int life = 0; life < 3; ++life) {
    std::thread sending([&] {
      auto sender = Sender::open(url, soon());
      ASSERT_TRUE(sender) << sender.error().message;
      for (int i = 0; i < 100; ++i) static_cast<void>(sender->send("more"));
    });
    auto receiver = Receiver::open(url, soon());
    ASSERT_TRUE(receiver) << receiver.error().message;
    EXPECT_EQ(receive(*receiver), "more");
    receiver->detach();  // first, so that the connection waits for its last packets on this side
    sending.join();
  }
}

TEST_F(Tcp, AndNobodyElseGetsIt) {
  const std::string url = at("127.0.0.1");
  std::atomic<bool> stop{false};
  std::thread listening([&] { EXPECT_FALSE(Receiver::open(url, {.stop = &stop})); });
  const RawSocket visitor(url);
  visitor.connect();
  const auto second = Receiver::open(url, soon());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
  const RawSocket thief(url);
  const int reuse = 1;
  setsockopt(thief.fd(), SOL_SOCKET, SO_REUSEPORT, &reuse, sizeof reuse);
  EXPECT_FALSE(thief.listen());
  stop = true;
  listening.join();
}

// A socket that is closed with something unread in it forgets what it was to send.
TEST_F(Tcp, NothingIsLostAtTheEndThoughTheOtherSideTalks) {
  const std::string url = at("127.0.0.1");
  const RawSocket server(url);
  ASSERT_TRUE(server.listen());
  const int little = 4096;
  setsockopt(server.fd(), SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
  constexpr std::size_t kMessages = 100;
  std::atomic<bool> closing{false};
  std::string got;
  std::thread reading([&] {
    const RawSocket client = server.next();
    EXPECT_EQ(client.receive(4), kHelloOfSender);
    client.send(kConfirmation);
    client.send(std::string(1000, 'x'));
    while (!closing) usleep(100);
    usleep(1000);
    client.send(std::string(1000, 'y'));
    got = client.receive_all();
  });
  {
    auto sender = Sender::open(url + "?capacity=1MiB", soon());
    ASSERT_TRUE(sender) << sender.error().message;
    for (std::size_t i = 0; i < kMessages; ++i) {
      ASSERT_EQ(sender->send(numbered_message(i, 4000)), Status::kOk);
    }
    closing = true;
    EXPECT_EQ(sender->close(), Status::kOk);
  }
  reading.join();
  std::string expected;
  for (std::size_t i = 0; i < kMessages; ++i) expected += frame_of(numbered_message(i, 4000));
  expected += kEndMark;
  EXPECT_EQ(got.size(), expected.size());
  EXPECT_TRUE(got == expected);
}

// Programs of others answer, whether or not somebody reads it.
TEST_F(Tcp, ASenderAloneGoesOnThoughTheOtherSideAnswersAll) {
  const std::string url = at("127.0.0.1");
  const RawSocket server(url);
  const int little = 4096;
  setsockopt(server.fd(), SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
  setsockopt(server.fd(), SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
  ASSERT_TRUE(server.listen());
  constexpr std::size_t kMessages = 400;
  std::size_t got = 0;
  std::thread echoing([&] {
    const RawSocket client = server.next();
    for (std::string part = client.receive(4096); !part.empty(); part = client.receive(4096)) {
      got += part.size();
      client.send(part);
    }
  });
  {
    auto sender = Sender::open(url + "?framing=raw&capacity=64KiB", soon());
    ASSERT_TRUE(sender) << sender.error().message;
    const std::string message(30'000, 'x');
    Status status = Status::kOk;
    for (std::size_t i = 0; i < kMessages && status == Status::kOk; ++i) {
      status = sender->send(message, Deadline::after(seconds(20)));
    }
    EXPECT_EQ(status, Status::kOk);
    EXPECT_EQ(sender->close(Deadline::after(seconds(20))), Status::kOk);
  }
  echoing.join();
  EXPECT_EQ(got, kMessages * 30'000);
}

TEST_F(Tcp, WhatACloseCantHandOverItSays) {
  const std::string url = at("127.0.0.1");
  const RawSocket server(url);
  const int little = 4096;
  setsockopt(server.fd(), SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
  ASSERT_TRUE(server.listen());
  const std::string line(4000, 'x');
  constexpr std::size_t kMessages = 100;
  for (const bool reads : {false, true}) {
    auto sender = Sender::open(url + "?framing=lines&capacity=1MiB", soon());
    ASSERT_TRUE(sender) << sender.error().message;
    const RawSocket client = server.next();
    for (std::size_t i = 0; i < kMessages; ++i) ASSERT_EQ(sender->send(line), Status::kOk);
    if (!reads) {
      EXPECT_EQ(sender->close(Deadline::after(milliseconds(50))), Status::kTimedOut);
      continue;
    }
    // It talks late: after a close that did not wait it would be answered with a reset.
    std::string got;
    std::thread reading([&] {
      usleep(50'000);
      client.send("an answer");
      usleep(50'000);
      got = client.receive_all();
    });
    EXPECT_EQ(sender->close(), Status::kOk);
    reading.join();
    EXPECT_EQ(got.size(), kMessages * (line.size() + 1));
  }
}

TEST_F(Tcp, ADeadMachineIsFoundOut) {
  in_own_network([] {
    auto idle = open_pair("tcp://127.0.0.1:0?keepalive=15&capacity=64KiB");
    auto busy = open_pair("tcp://127.0.0.1:0?keepalive=15&capacity=64KiB");
    if (!idle || !busy) return 1;
    for (auto* const pair : {&*idle, &*busy}) {
      if (pair->first.send("before") != Status::kOk) return 2;
      if (receive(pair->second) != "before") return 2;
    }
    if (!switch_loopback(false)) return kNotPermitted;
    // With something on its way: sent again and again.
    Status status = Status::kOk;
    std::thread sending([&] {
      while (status == Status::kOk) status = busy->first.send(std::string(10'000, 'x'));
    });
    // Idle: asked by keepalive alone.
    const Status of_idle = idle->second.next().status();
    sending.join();
    if (of_idle != Status::kPeerDied) return 3;
    return status == Status::kPeerGone ? 0 : 4;
  });
}

// Its machine answers, so that it is waited for, for longer than a dead one.
TEST_F(Tcp, AReceiverThatDoesNotReadIsNotDead) {
  auto pair = open_pair(at("127.0.0.1") + "?keepalive=15&capacity=64KiB");
  ASSERT_TRUE(pair);
  auto& [sender, receiver] = *pair;
  constexpr int kRtoMaxMs = 44;
  if (option(connections().at(0), IPPROTO_TCP, kRtoMaxMs) != 1000) {
    GTEST_SKIP() << "this kernel can't tell them apart";
  }
  std::uint64_t sent = 0;
  while (sender.try_send(numbered_message(sent, 10'000)) == Status::kOk) ++sent;
  EXPECT_EQ(sender.flush(Deadline::after(seconds(20))), Status::kTimedOut);
  std::thread reading([&receiver = receiver, sent] {
    for (std::uint64_t i = 0; i < sent; ++i) {
      ASSERT_EQ(receive(receiver), numbered_message(i, 10'000)) << i;
    }
    EXPECT_EQ(receive(receiver), kEndOfStreamText);
  });
  EXPECT_EQ(sender.close(), Status::kOk);
  reading.join();
}

}  // namespace
}  // namespace rondo::testing
