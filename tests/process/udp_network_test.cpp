// Channels over UDP on networks of our own: as they are, and as bad as they can be. (What the
// kernel would lose, delay and reorder by itself, `tc netem`, is not in every kernel: here a relay
// of the test's does.)
//
//  1. WhateverTheNetworkDoesIsCounted
//  2. ACableThatIsPulledAndPutInAgainLosesWhatWasSentMeanwhile
//  3. AWayThatHasBecomeNarrowerIsFitted
//  4. GroupsOfIpv6GoOverTheirInterface, AGroupOfOneNetworkNeedsAnInterface
#include <gtest/gtest.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <netinet/udp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "conformance/channel_fixture.hpp"
#include "support/network.hpp"
#include "support/udp_socket.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr int kNotPermitted = 77;

class UdpNetwork : public Watchdog {
 protected:
  // In a child with a network of its own.
  template <class Body>
  static void in_own_network(Body&& body) {
    Child child([&] {
      alarm(200);
      return enter_own_network() ? body() : kNotPermitted;
    });
    const int result = child.join();
    if (result == kNotPermitted) GTEST_SKIP() << "no such network of our own here";
    EXPECT_EQ(result, 0);
  }
};

DatagramsInfo counts_of(const ChannelInfo& info) { return *info.as<DatagramsInfo>(); }

// The number at the beginning of a message.
std::uint64_t number_of(const std::string& text) { return std::stoull(text); }

TEST_F(UdpNetwork, WhateverTheNetworkDoesIsCounted) {
  constexpr std::uint64_t kMessages = 2000;
  constexpr std::size_t kHeldBack = 12;
  for (unsigned seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto one_in = [&](unsigned n) { return random() % n == 0; };
    auto receiver = Receiver::open("udp://127.0.0.1:0");
    ASSERT_TRUE(receiver) << receiver.error().message;
    const std::uint16_t port = port_of(receiver->info().name);
    const UdpSocket relay;
    auto sender = Sender::open(relay.url());
    ASSERT_TRUE(sender) << sender.error().message;
    relay.send_to(port,
                  relay.receive());  // the hello, so that what is lost is counted from then on
    std::vector<std::string> held_back;
    std::vector<std::uint64_t> came;
    const auto take_all = [&] {
      while (auto message = receiver->try_next())
        came.push_back(number_of(std::string(message->text())));
    };
    const auto pass_on = [&](const std::string& datagram) {
      relay.send_to(port, datagram);
      take_all();  // so that no buffer is overrun
    };
    for (std::uint64_t i = 0; i < kMessages; ++i) {
      ASSERT_EQ(sender->send(std::to_string(i) + std::string(i % 300, ' ')), Status::kOk);
      std::string datagram = relay.receive();
      if (one_in(10)) continue;
      if (one_in(5) && held_back.size() < kHeldBack) {
        held_back.push_back(datagram);
        continue;
      }
      if (one_in(20)) {
        std::string changed = datagram;
        changed[random() % changed.size()] ^= 0x10;
        pass_on(changed);
      }
      pass_on(datagram);
      if (one_in(10)) pass_on(datagram);
      while (!held_back.empty() && one_in(3)) {
        const std::size_t which = random() % held_back.size();
        pass_on(held_back[which]);
        held_back.erase(held_back.begin() + static_cast<std::ptrdiff_t>(which));
      }
    }
    ASSERT_EQ(sender->close(), Status::kOk);
    relay.send_to(port, relay.receive());
    while (auto message = receiver->next()) came.push_back(number_of(std::string(message->text())));
    EXPECT_EQ(receiver->status(), Status::kEnded);
    EXPECT_TRUE(std::ranges::is_sorted(came, std::less_equal()));
    EXPECT_EQ(came.size() + receiver->lost(), kMessages);
    EXPECT_GT(counts_of(receiver->info()).late, 0u);
    EXPECT_GT(counts_of(receiver->info()).duplicates, 0u);
    EXPECT_GT(counts_of(receiver->info()).corrupt + counts_of(receiver->info()).foreign, 0u);
  }
}

TEST_F(UdpNetwork, ACableThatIsPulledAndPutInAgainLosesWhatWasSentMeanwhile) {
  in_own_network([] {
    auto receiver = Receiver::open("udp://127.0.0.1:0?silence=60");
    auto sender = Sender::open(receiver->info().name);
    if (sender->send("before") != Status::kOk || receive(*receiver) != "before") return 1;
    if (!switch_loopback(false)) return kNotPermitted;
    for (int i = 0; i < 10; ++i) {
      if (sender->send("nowhere") != Status::kOk) return 2;
    }
    if (receiver->next(Deadline::after(milliseconds(50))).status() != Status::kTimedOut) return 3;
    if (!switch_loopback(true)) return kNotPermitted;
    if (sender->send("after") != Status::kOk || receive(*receiver) != "after") return 4;
    if (receiver->lost() != 10 || counts_of(receiver->info()).sessions != 1) return 5;
    return sender->close() == Status::kOk && receive(*receiver) == kEndOfStreamText ? 0 : 6;
  });
}

// What a router says that has no room for a datagram of `from` to `to` on its next network.
bool say_too_narrow(std::uint16_t from, std::uint16_t to, std::uint16_t mtu) {
  const detail::UniqueFd fd(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
  struct {
    icmphdr icmp;
    iphdr ip;
    udphdr udp;
  } said{};
  const std::uint32_t here = htonl(INADDR_LOOPBACK);
  said.icmp.type = ICMP_DEST_UNREACH;
  said.icmp.code = ICMP_FRAG_NEEDED;
  said.icmp.un.frag.mtu = htons(mtu);
  said.ip.version = 4;
  said.ip.ihl = 5;
  said.ip.protocol = IPPROTO_UDP;
  said.ip.tot_len = htons(32'000);
  said.ip.frag_off = htons(IP_DF);
  said.ip.ttl = 64;
  said.ip.saddr = said.ip.daddr = here;
  said.udp.source = htons(from);
  said.udp.dest = htons(to);
  std::uint32_t sum = 0;
  std::array<std::uint16_t, sizeof said / 2> words;
  std::memcpy(words.data(), &said, sizeof said);
  for (const std::uint16_t word : words) sum += word;
  while (sum > 0xFFFF) sum = (sum & 0xFFFF) + (sum >> 16);
  said.icmp.checksum = static_cast<std::uint16_t>(~sum);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = here;
  return sendto(fd.get(), &said, sizeof said, 0, reinterpret_cast<const sockaddr*>(&address),
                sizeof address) == static_cast<ssize_t>(sizeof said);
}

// The largest datagram of a batch of 200 small messages.
std::size_t largest_of_a_batch(Sender& sender, const UdpSocket& there) {
  const std::uint64_t before = counts_of(sender.info()).datagrams;
  {
    Sender::Batch batch(sender);
    for (int i = 0; i < 200; ++i) {
      if (batch.try_add(bytes_of(std::string(100, 'x'))) != Status::kOk) return 0;
    }
    if (std::move(batch).commit() != Status::kOk) return 0;
  }
  std::size_t largest = 0;
  for (std::uint64_t i = before; i < counts_of(sender.info()).datagrams; ++i) {
    largest = std::max(largest, there.receive().size());
  }
  return largest;
}

TEST_F(UdpNetwork, AWayThatHasBecomeNarrowerIsFitted) {
  in_own_network([] {
    const UdpSocket there;
    auto sender = Sender::open(there.url());
    static_cast<void>(there.receive());
    if (largest_of_a_batch(*sender, there) < 10'000) return 1;
    if (!say_too_narrow(there.from(), port_of(there.url()), 1400)) return 2;
    // Who is told has one datagram refused.
    const std::uint64_t unsent = counts_of(sender->info()).unsent;
    if (sender->send("small") != Status::kOk || there.receive().empty()) return 3;
    if (counts_of(sender->info()).unsent != unsent + 1) return kNotPermitted;
    const std::size_t largest = largest_of_a_batch(*sender, there);
    return largest > 700 && largest <= 1400 - 28 ? 0 : 4;
  });
}

bool run(const std::string& command) {
  return std::system((command + " 2>/dev/null").c_str()) == 0;
}

TEST_F(UdpNetwork, GroupsOfIpv6GoOverTheirInterface) {
  in_own_network([] {
    // Addresses are of use at once, and nobody is asked whether he has them, too.
    const bool there = set_network("ipv6/conf/default/accept_dad", "0") &&
                       run("ip link add one type veth peer name two") &&
                       run("ip link add three type veth peer name four") &&
                       run("ip link set one up") && run("ip link set two up") &&
                       run("ip link set three up") && run("ip link set four up");
    if (!there) return kNotPermitted;
    for (const char* group : {"ff01::1234", "ff02::1234", "ff05::1234"}) {
      const std::string url = "udp://[" + std::string(group) + "]:7000?ttl=0&interface=";
      auto receiver = Receiver::open(url + "one");
      auto other = Receiver::open(url + "three");
      if (!receiver || !other) return 1;
      auto sender = Sender::open(url + "one", {.wait = Deadline::after(seconds(20))});
      if (!sender) return 2;
      if (sender->send("text") != Status::kOk || receive(*receiver) != "text") return 3;
      if (other->try_next()) return 4;
    }
    // So named, too.
    const std::string url = "udp://[ff02::1235%25one]:7000?ttl=0";
    auto receiver = Receiver::open(url);
    auto sender = Sender::open(url, {.wait = Deadline::after(seconds(20))});
    if (!receiver || !sender) return 5;
    return sender->send("text") == Status::kOk && receive(*receiver) == "text" ? 0 : 6;
  });
}

TEST_F(UdpNetwork, AGroupOfOneNetworkNeedsAnInterface) {
  const auto receiver = Receiver::open("udp://[ff02::1234]:7000");
  ASSERT_FALSE(receiver);
  if (receiver.error().message.find("interface=") == std::string::npos) {
    GTEST_SKIP() << "no IPv6 here: " << receiver.error().message;
  }
  EXPECT_EQ(receiver.error().code, ErrorCode::kInvalidOption);
  const auto sender = Sender::open("udp://[ff01::1234]:7000");
  ASSERT_FALSE(sender);
  EXPECT_EQ(sender.error().code, ErrorCode::kInvalidOption);
}

}  // namespace
}  // namespace rondo::testing
