// What every channel with header= owes the headers, whatever its transport; that its messages are
// as without, channel_message_conformance_test says.
// Each line has a test of the same name, in this order.
//   1. AHeaderGoesBesideItsMessage
//   2. AHeaderThatNobodyFillsIsZeros
//   3. EachMessageOfABatchHasItsHeader
//   4. TheLargestMessageIsWithoutItsHeader
//   5. WhoSaysNothingTakesWhatTheRingHas
//   6. WhoSaysAnotherOneIsRefused
//   7. AHeaderThatTheDefaultHasNoRoomForJoinsARingThatHas
//   8. AHandleWithADescriptorPassesThemOn
//   9. AMemberOfAWaitSetPassesThemOn
//  10. EachOfSeveralReadersGetsThem
//  11. ARecordTooShortForItsHeaderIsCorrupt
//  12. ALossyReaderIsToldOfARecordThatWasOverwritten
//  13. AStreamsEndsThatDisagreeMeetNoMessage
//  14. APacketChannelsEndsThatDisagreeMeetNoMessage
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/channel_fixture.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/segment_header.hpp"

namespace rondo::testing {
namespace {

INSTANTIATE_TEST_SUITE_P(Every, ChannelTest, ::testing::ValuesIn(kChannelCases),
                         [](const auto& channel) { return std::string(channel.param.name); });

constexpr std::size_t kBytes = 20;
const std::string kOption = "header=20";

// Whether no sender opens before its receiver is there to be let in.
bool meets_first(const ChannelCase& channel) {
  return channel.scheme == "shm+guarded:" || channel.scheme == "auto:";
}

bool is_all(std::span<const std::byte> bytes, std::byte value) {
  return std::ranges::all_of(bytes, [&](std::byte b) { return b == value; });
}

TEST_P(ChannelTest, AHeaderGoesBesideItsMessage) {
  auto [sender, receiver] = open(kOption);
  const std::uint64_t value = 42;
  {
    auto claim = sender.claim(100);
    ASSERT_TRUE(claim);
    ASSERT_EQ(claim->header().size(), kBytes);
    EXPECT_EQ(claim->bytes().size(), 100u);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(claim->bytes().data()) % 8, 0u);
    std::ranges::fill(claim->header(), std::byte{7});
    claim->emplace<std::uint64_t>(value);
    claim->shrink(sizeof value);
    std::move(*claim).commit();
  }
  auto message = receiver.next();
  ASSERT_TRUE(message);
  ASSERT_EQ(message->header().size(), kBytes);
  EXPECT_TRUE(is_all(message->header(), std::byte{7}));
  ASSERT_NE(message->as<std::uint64_t>(), nullptr);
  EXPECT_EQ(*message->as<std::uint64_t>(), value);
  EXPECT_EQ(message->take().size(), sizeof value);
  message->release();
  EXPECT_TRUE(message->header().empty());
}

TEST_P(ChannelTest, AHeaderThatNobodyFillsIsZeros) {
  auto [sender, receiver] = open(kOption);
  for (int i = 0; i < 200; ++i) {  // some laps, over what lay there
    auto claim = sender.claim(64);
    ASSERT_TRUE(claim);
    ASSERT_TRUE(is_all(claim->header(), std::byte{0}));
    std::ranges::fill(claim->header(), std::byte{0xFF});
    std::ranges::fill(claim->bytes(), std::byte{0xFF});
    std::move(*claim).commit();
    ASSERT_EQ(receive(receiver).size(), 64u);
    ASSERT_EQ(sender.send("text"), Status::kOk);
    const auto message = receiver.next();
    ASSERT_TRUE(message);
    ASSERT_EQ(message->text(), "text");
    ASSERT_TRUE(is_all(message->header(), std::byte{0}));
  }
}

TEST_P(ChannelTest, EachMessageOfABatchHasItsHeader) {
  auto [sender, receiver] = open(kOption);
  {
    Sender::Batch batch(sender);
    EXPECT_TRUE(batch.header().empty());
    for (int i = 1; i <= 3; ++i) {
      ASSERT_EQ(batch.try_add(bytes_of("text")), Status::kOk);
      ASSERT_EQ(batch.header().size(), kBytes);
      ASSERT_TRUE(is_all(batch.header(), std::byte{0}));
      std::ranges::fill(batch.header(), static_cast<std::byte>(i));
    }
    ASSERT_EQ(std::move(batch).commit(), Status::kOk);
  }
  for (int i = 1; i <= 3; ++i) {
    const auto message = receiver.next();
    ASSERT_TRUE(message);
    EXPECT_EQ(message->text(), "text");
    EXPECT_TRUE(is_all(message->header(), static_cast<std::byte>(i)));
  }
}

TEST_P(ChannelTest, TheLargestMessageIsWithoutItsHeader) {
  auto [sender, receiver] = open(kOption);
  const std::size_t largest = sender.max_message_bytes();
  EXPECT_EQ(sender.info().max_message_bytes, largest);
  EXPECT_EQ(sender.info().header_bytes, kBytes);
  EXPECT_EQ(receiver.info().header_bytes, kBytes);
  EXPECT_EQ(sender.claim(largest + 1).status(), Status::kTooLarge);
  EXPECT_EQ(sender.claim(largest + 20).status(), Status::kTooLarge);
  EXPECT_EQ(sender.claim(~std::size_t{0}).status(), Status::kTooLarge);
  ASSERT_TRUE(sender.claim(largest));
}

TEST_P(ChannelTest, WhoSaysNothingTakesWhatTheRingHas) {
  if (!GetParam().ring || !GetParam().processes) GTEST_SKIP() << "the URL alone says it";
  if (meets_first(GetParam())) GTEST_SKIP() << "its sender has to let it in";
  const std::string name = url();
  auto sender = Sender::open(name + "?" + options_of(GetParam(), 4096) + "&" + kOption);
  ASSERT_TRUE(sender) << sender.error().message;
  auto receiver = Receiver::open(name);
  ASSERT_TRUE(receiver) << receiver.error().message;
  EXPECT_EQ(receiver->info().header_bytes, kBytes);
  const auto seen = inspect(name);
  ASSERT_TRUE(seen) << seen.error().message;
  EXPECT_EQ(seen->header_bytes, kBytes);
  EXPECT_EQ(seen->max_message_bytes, sender->max_message_bytes());
  ASSERT_EQ(sender->send("text"), Status::kOk);
  EXPECT_EQ(receive(*receiver), "text");
}

TEST_P(ChannelTest, WhoSaysAnotherOneIsRefused) {
  if (!GetParam().ring) GTEST_SKIP() << "no ring that says it";
  if (meets_first(GetParam())) GTEST_SKIP() << "its sender has to let it in";
  for (const bool has : {true, false}) {
    const std::string name = url();
    const auto sender = Sender::open(name + "?" + options_of(GetParam(), 4096) +
                                     (has ? "&" + kOption : std::string()));
    ASSERT_TRUE(sender) << sender.error().message;
    const auto receiver = Receiver::open(name + "?header=16");
    ASSERT_FALSE(receiver);
    EXPECT_EQ(receiver.error().code, ErrorCode::kGeometryMismatch);
    EXPECT_NE(receiver.error().message.find(has ? "has header=20" : "without headers"),
              std::string::npos)
        << receiver.error().message;
  }
}

TEST_P(ChannelTest, AHeaderThatTheDefaultHasNoRoomForJoinsARingThatHas) {
  if (!GetParam().slots) GTEST_SKIP() << "no default that is so small";
  const std::string name = url() + "?kind=mpmc&header=256";
  const auto made = Sender::open(name);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::kInvalidCapacity);
  EXPECT_NE(made.error().message.find("say a larger slot_size="), std::string::npos)
      << made.error().message;
  auto sender = Sender::open(name + "&slot_size=512");
  ASSERT_TRUE(sender) << sender.error().message;
  auto receiver = Receiver::open(name);
  ASSERT_TRUE(receiver) << receiver.error().message;
  EXPECT_EQ(receiver->max_message_bytes(), 256u);
  ASSERT_EQ(sender->send("text"), Status::kOk);
  EXPECT_EQ(receive(*receiver), "text");
}

constexpr std::size_t kLongest = 200;

// Whether there was room for it.
bool try_send_number(Sender& sender, int number) {
  auto claim = sender.try_claim(1 + static_cast<std::size_t>(number) % kLongest);
  if (!claim) return false;
  std::ranges::fill(claim->header(), static_cast<std::byte>(number));
  std::ranges::fill(claim->bytes(), static_cast<std::byte>(~number));
  std::move(*claim).commit();
  return true;
}
void expect_number(const Message& message, int number) {
  EXPECT_EQ(message.size(), 1 + static_cast<std::size_t>(number) % kLongest);
  EXPECT_EQ(message.header().size(), kBytes);
  EXPECT_TRUE(is_all(message.header(), static_cast<std::byte>(number))) << number;
  EXPECT_TRUE(is_all(message.bytes(), static_cast<std::byte>(~number))) << number;
}

constexpr int kNumbers = 300;  // that a small ring does not hold

TEST_P(ChannelTest, AHandleWithADescriptorPassesThemOn) {
  auto [sender, receiver] = open(kOption);
  ASSERT_TRUE(sender.fd());
  const auto fd = receiver.fd();
  ASSERT_TRUE(fd);
  int sent = 0;
  for (int got = 0; got < kNumbers;) {
    while (sent < kNumbers && try_send_number(sender, sent)) ++sent;
    static_cast<void>(sender.flush(Deadline::now()));
    pollfd waits{*fd, POLLIN, 0};
    if (receiver.arm()) poll(&waits, 1, 10);
    while (const auto message = receiver.try_next()) expect_number(*message, got++);
    ASSERT_EQ(receiver.status(), Status::kOk);
  }
}

TEST_P(ChannelTest, AMemberOfAWaitSetPassesThemOn) {
  auto [sender, receiver] = open(kOption);
  auto set = WaitSet::make();
  ASSERT_TRUE(set);
  ASSERT_TRUE(set->add(receiver, 1));
  ASSERT_TRUE(set->add(sender, 2, kLongest));
  int sent = 0;
  for (int got = 0; got < kNumbers;) {
    std::array<WaitSet::Key, 2> room{};
    const auto ready = set->wait(room, Deadline::after(std::chrono::milliseconds(10)));
    ASSERT_TRUE(ready || ready.status() == Status::kTimedOut);
    if (sent < kNumbers && try_send_number(sender, sent)) ++sent;
    static_cast<void>(sender.flush(Deadline::now()));
    if (const auto message = receiver.try_next()) expect_number(*message, got++);
    ASSERT_EQ(receiver.status(), Status::kOk);
  }
}

}  // namespace

// And over what is no channel from one to one that waits, or has a case of its own.
TEST(ChannelHeader, EachOfSeveralReadersGetsThem) {
  const std::string word = unique_word();
  const std::pair<std::string, std::size_t> channels[] = {
      {"shm:" + word + "?capacity=4KiB&readers=3", 3},
      {"inproc:" + word + "?capacity=4KiB&readers=3", 3},
      {"shm:" + word + "f?kind=frames&frames=8&frame_size=4KiB&readers=3", 3},
      {"inproc:" + word + "f?kind=frames&frames=8&frame_size=4KiB&readers=3", 3},
      {"mq:/" + word + "?slots=8&slot_size=4KiB", 1},
      {"sysv:" + std::to_string(unique_key()) + "?wait=park", 1}};
  for (const auto& [url, count] : channels) {
    SCOPED_TRACE(url);
    auto sender = Sender::open(url + "&" + kOption);
    ASSERT_TRUE(sender) << sender.error().message;
    std::vector<Receiver> receivers;
    for (std::size_t i = 0; i < count; ++i) {
      auto receiver = Receiver::open(url + "&" + kOption);
      ASSERT_TRUE(receiver) << receiver.error().message;
      EXPECT_EQ(receiver->info().header_bytes, kBytes);
      EXPECT_EQ(receiver->max_message_bytes(), sender->max_message_bytes());
      receivers.push_back(std::move(*receiver));
    }
    for (int number = 0; number < kNumbers; ++number) {
      ASSERT_TRUE(try_send_number(*sender, number)) << number;
      for (Receiver& receiver : receivers) {
        const auto message = receiver.next(Deadline::after(std::chrono::seconds(60)));
        ASSERT_TRUE(message) << to_string(message.status());
        expect_number(*message, number);
      }
    }
    ASSERT_EQ(sender->close(), Status::kOk);
    for (Receiver& receiver : receivers) EXPECT_EQ(receive(receiver), kEndOfStreamText);
  }
}

// A sender that lies: it says that there are headers, and sends none.
TEST(ChannelHeader, ARecordTooShortForItsHeaderIsCorrupt) {
  for (const std::string options : {"capacity=4KiB", "kind=mpmc&slots=8", "kind=frames"}) {
    const std::string word = unique_word();
    auto sender = Sender::open("shm:" + word + "?" + options);
    ASSERT_TRUE(sender) << sender.error().message;
    ASSERT_EQ(sender->send("short"), Status::kOk);
    const auto segment = Segment::attach({Backing::kSharedMemory, word}, {}, Access::kReadWrite);
    ASSERT_TRUE(segment) << segment.error().message;
    auto* header = std::launder(reinterpret_cast<SegmentHeader*>(segment->bytes().data()));
    header->feature_bits.fetch_or(std::uint64_t{16} << kUserHeaderShift, std::memory_order_relaxed);
    auto receiver = Receiver::open("shm:" + word);
    ASSERT_TRUE(receiver) << receiver.error().message;
    EXPECT_EQ(receiver->next().status(), Status::kCorrupt) << options;
    EXPECT_EQ(receiver->next().status(), Status::kCorrupt) << options;
    EXPECT_EQ(receiver->status(), Status::kCorrupt);
  }
}

// What the sender has written since where the record began looks like one that is too short.
TEST(ChannelHeader, ALossyReaderIsToldOfARecordThatWasOverwritten) {
  const std::string name = "shm:" + unique_word();
  auto sender = Sender::open(name + "?capacity=4KiB&readers=2&" + kOption);
  ASSERT_TRUE(sender) << sender.error().message;
  auto receiver = Receiver::open(name + "?policy=lossy");
  ASSERT_TRUE(receiver) << receiver.error().message;
  ASSERT_EQ(sender->send("first"), Status::kOk);
  ASSERT_EQ(receive(*receiver), "first");
  const std::vector<std::uint64_t> words(100, record_header::make(RecordKind::kRecord, 1, 3));
  for (std::uint64_t number = 1; number < 12; ++number) {
    auto claim = sender->claim(std::as_bytes(std::span(words)).size());
    ASSERT_TRUE(claim);
    std::memcpy(claim->header().data(), &number, sizeof number);
    std::memcpy(claim->bytes().data(), words.data(), claim->bytes().size());
    std::move(*claim).commit();
  }
  const auto message = receiver->next();
  ASSERT_TRUE(message) << to_string(message.status());
  std::uint64_t number = 0;
  std::memcpy(&number, message->header().data(), sizeof number);
  EXPECT_TRUE(message->intact());
  EXPECT_GT(number, 1u);
  EXPECT_EQ(receiver->lost(), number - 1);
}

TEST(ChannelHeader, AStreamsEndsThatDisagreeMeetNoMessage) {
  const std::pair<std::string, std::string> ends[] = {
      {"header=20", ""}, {"", "header=20"}, {"header=20", "header=16"}};
  for (const auto& [sends, receives] : ends) {
    for (const std::string more : {"", "crc=1"}) {
      int fds[2] = {};
      ASSERT_EQ(pipe(fds), 0);
      auto sender = Sender::open("fd:" + std::to_string(fds[1]) + "?capacity=4KiB&" + sends +
                                 (more.empty() || sends.empty() ? "" : "&") + more);
      ASSERT_TRUE(sender) << sender.error().message;
      auto receiver = Receiver::open("fd:" + std::to_string(fds[0]) + "?capacity=4KiB" +
                                     (receives.empty() ? "" : "&") + receives);
      ASSERT_TRUE(receiver) << receiver.error().message;
      ASSERT_EQ(sender->send("a message that is longer than a header"), Status::kOk);
      EXPECT_EQ(receive(*receiver), "<" + std::string(to_string(Status::kCorrupt)) + ">");
    }
  }
}

TEST(ChannelHeader, APacketChannelsEndsThatDisagreeMeetNoMessage) {
  const std::pair<std::string, std::string> ends[] = {
      {"header=20", ""}, {"", "header=20"}, {"header=20", "header=16"}};
  for (const auto& [sends, receives] : ends) {
    const std::string path = "/tmp/rondo-header-" + unique_word();
    Result<Receiver> receiver = Error{ErrorCode::kNotFound, ""};
    std::thread receiving([&, &wanted = receives] {
      receiver = Receiver::open("unix-seqpacket:" + path + "?" + wanted);
    });
    auto sender = Sender::open("unix-seqpacket:" + path + "?" + sends);
    receiving.join();
    ASSERT_TRUE(sender) << sender.error().message;
    ASSERT_TRUE(receiver) << receiver.error().message;
    ASSERT_EQ(sender->send("a message that is longer than a header"), Status::kOk);
    EXPECT_EQ(receive(*receiver), "<" + std::string(to_string(Status::kCorrupt)) + ">");
  }
}

}  // namespace rondo::testing
