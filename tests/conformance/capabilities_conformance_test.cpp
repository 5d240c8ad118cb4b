// What capabilities() says of each transport is what its channels do.
//
//  1. EachSchemeIsThereOnce
//  2. NoMessageIsLargerThanTheLargest
//  3. ADescriptorOfItsOwnIsThereWithoutBeingMade
//  4. ADeathIsSeenWhereItSaysSo
//  5. OptionsChangeWhatARingCanDo
#include "rondo/transports/capabilities.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <set>

#include "conformance/channel_fixture.hpp"

namespace rondo::testing {
namespace {

class CapabilitiesTest : public ChannelTest {
 protected:
  Capabilities can() const {
    const auto told = capabilities(url() + "?" + options_of(GetParam(), 4096));
    EXPECT_TRUE(told) << told.error().message;
    return told ? *told : Capabilities{};
  }
};

INSTANTIATE_TEST_SUITE_P(Every, CapabilitiesTest, ::testing::ValuesIn(kChannelCases),
                         [](const auto& one) { return std::string(one.param.name); });

TEST(CapabilitiesTable, EachSchemeIsThereOnce) {
  std::set<std::string> names;
  for (const Scheme scheme : all_schemes()) {
    names.insert(std::string(to_string(scheme)));
    Url url;
    url.scheme = scheme;
    EXPECT_GT(capabilities(url).max_message_bytes, 0u) << to_string(scheme);
  }
  EXPECT_EQ(names.size(), all_schemes().size());
  for (const ChannelCase& channel : kChannelCases) {
    EXPECT_TRUE(names.contains(std::string(channel.scheme.substr(0, channel.scheme.find(':')))));
  }
  EXPECT_FALSE(capabilities("nonsense:"));
}

TEST_P(CapabilitiesTest, NoMessageIsLargerThanTheLargest) {
  const auto [sender, receiver] = open();
  EXPECT_LE(sender.max_message_bytes(), can().max_message_bytes);
  EXPECT_LE(receiver.max_message_bytes(), can().max_message_bytes);
}

TEST_P(CapabilitiesTest, ADescriptorOfItsOwnIsThereWithoutBeingMade) {
  // That of a ring is an event's; see docs/waiting.md. A mechanism's is watched by what is made.
  auto [sender, receiver] = open();
  EXPECT_EQ(can().own_descriptor, GetParam().has_descriptor());
  EXPECT_TRUE(receiver.fd());
}

TEST_P(CapabilitiesTest, ADeathIsSeenWhereItSaysSo) {
  if (!GetParam().processes) GTEST_SKIP() << "one process";
  ScratchDirectory directory;
  const std::string name = fresh_url(GetParam(), directory.path());
  const std::string url = name + "?" + options_of(GetParam(), 4096);
  Child child([&] {
    auto sender = Sender::open(url);
    if (!sender || sender->send("last words") != Status::kOk) return 1;
    if (sender->wait_for_receiver() != Status::kOk) return 2;
    kill(getpid(), SIGKILL);
    return 3;
  });
  auto receiver = Receiver::open(url);
  ASSERT_TRUE(receiver) << receiver.error().message;
  EXPECT_EQ(receive(*receiver), "last words");
  const Status status = receiver->next(Deadline::after(std::chrono::seconds(60))).status();
  EXPECT_EQ(status == Status::kPeerDied, can().sees_death) << to_string(status);
  child.join();
  receiver->detach();
  static_cast<void>(remove(name, true));
}

TEST(CapabilitiesTable, OptionsChangeWhatARingCanDo) {
  const auto of = [](const char* url) { return capabilities(url).value(); };
  EXPECT_FALSE(of("shm:x").many_receivers);
  EXPECT_TRUE(of("shm:x?readers=2").many_receivers);
  EXPECT_FALSE(of("shm:x?readers=2").lossy);
  EXPECT_TRUE(of("shm:x?readers=2&policy=lossy").lossy);
  EXPECT_TRUE(of("shm:x?kind=mpmc").many_senders);
  EXPECT_TRUE(of("shm:x?kind=frames").lossy);
  EXPECT_TRUE(of("inproc:x?readers=2&policy=lossy").lossy);
  EXPECT_TRUE(of("inproc:x?kind=frames&readers=2").many_receivers);
  EXPECT_FALSE(of("inproc:x?kind=frames").between_processes);
  EXPECT_TRUE(of("unix:x").sees_death);
  EXPECT_FALSE(of("unix:x?framing=lines").sees_death);
}

}  // namespace
}  // namespace rondo::testing
