// What every ring owes a channel with align=, for vector code and for devices: each message begins
// at a multiple of that, on both sides, however it was sent.
// Each line has a test of the same name, in this order.
//   1. EachMessageBeginsThere
//   2. AHeaderStandsRightInFrontOfIt
//   3. EachMessageOfABatchBeginsThere
//   4. TheLargestMessageFits
//   5. WhoSaysNothingTakesWhatTheRingHas
//   6. WhoSaysAnotherOneIsRefused
//   7. ARecordTooShortForItIsCorrupt
//   8. ASegmentOfAnAlignmentThatThereIsNotIsRefused
//   9. ARingThatTheDefaultLeavesNoRoomInIsNotMade
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <new>
#include <optional>
#include <ostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/channel_fixture.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/segment_header.hpp"

namespace rondo::testing {
namespace {

struct AlignedCase {
  ChannelCase channel;
  std::uint32_t align;
};
void PrintTo(const AlignedCase& aligned, std::ostream* out) {
  *out << aligned.channel.name << " of " << aligned.align;
}

// The rings among the channels; auto: may become a connection.
std::vector<AlignedCase> aligned_cases() {
  std::vector<AlignedCase> cases;
  const auto add = [&](const ChannelCase& channel) {
    if (!channel.ring || channel.scheme == "auto:") return;
    for (const std::uint32_t align : {64u, 4096u}) cases.push_back({channel, align});
  };
  std::ranges::for_each(kChannelCases, add);
  std::ranges::for_each(kLossyChannelCases, add);
  return cases;
}

class AlignTest : public ::testing::TestWithParam<AlignedCase> {
 protected:
  AlignTest() { alarm(240); }
  ~AlignTest() override { alarm(0); }

  // With room for some messages of kLongest bytes.
  [[nodiscard]] std::string options() const {
    const ChannelCase& channel = GetParam().channel;
    std::string options = "capacity=64KiB";
    if (channel.slots) options = "kind=mpmc&slots=16&slot_size=6001";  // and odd strides
    if (channel.frames) options = "kind=frames&frames=4&frame_size=6001";
    return options + "&align=" + std::to_string(GetParam().align);
  }
  [[nodiscard]] std::string url() const {
    return fresh_url(GetParam().channel, directory_.path()) + "?" + options();
  }
  [[nodiscard]] std::pair<Sender, Receiver> open(const std::string& more = "") const {
    auto pair = open_pair(url() + more);
    if (!pair) throw std::runtime_error(pair.error().message);
    return std::move(pair).value();
  }
  [[nodiscard]] static bool begins_there(const void* message) {
    return reinterpret_cast<std::uintptr_t>(message) % GetParam().align == 0;
  }

 private:
  ScratchDirectory directory_;
};

INSTANTIATE_TEST_SUITE_P(Every, AlignTest, ::testing::ValuesIn(aligned_cases()),
                         [](const auto& aligned) {
                           return std::string(aligned.param.channel.name) + "Of" +
                                  std::to_string(aligned.param.align);
                         });

constexpr std::size_t kLongest = 1500;
constexpr std::uint64_t kNumbers = 300;  // some laps

TEST_P(AlignTest, EachMessageBeginsThere) {
  auto [sender, receiver] = open();
  EXPECT_EQ(sender.info().align_bytes, GetParam().align);
  EXPECT_EQ(receiver.info().align_bytes, GetParam().align);
  for (std::uint64_t number = 0; number < kNumbers; ++number) {
    const std::string text = numbered_message(number, number * 7 % kLongest);
    if (number % 2 == 0) {
      ASSERT_EQ(sender.send(text), Status::kOk);
    } else {
      auto claim = sender.claim(kLongest);
      ASSERT_TRUE(claim);
      ASSERT_TRUE(begins_there(claim->bytes().data())) << number;
      std::ranges::copy(bytes_of(text), claim->bytes().begin());
      claim->shrink(text.size());
      std::move(*claim).commit();
    }
    const auto message = receiver.next();
    ASSERT_TRUE(message) << to_string(message.status());
    ASSERT_TRUE(begins_there(message->bytes().data())) << number;
    ASSERT_EQ(message->text(), text);
    EXPECT_TRUE(message->header().empty());
  }
}

TEST_P(AlignTest, AHeaderStandsRightInFrontOfIt) {
  auto [sender, receiver] = open("&header=20");
  for (std::uint64_t number = 0; number < kNumbers; ++number) {
    auto claim = sender.claim(number);
    ASSERT_TRUE(claim);
    ASSERT_TRUE(begins_there(claim->bytes().data())) << number;
    ASSERT_EQ(claim->header().size(), 20u);
    ASSERT_TRUE(std::ranges::all_of(claim->header(), [](std::byte b) { return b == std::byte(); }));
    std::ranges::fill(claim->header(), static_cast<std::byte>(number));
    std::ranges::fill(claim->bytes(), std::byte{0xFF});
    std::move(*claim).commit();
    const auto message = receiver.next();
    ASSERT_TRUE(message) << to_string(message.status());
    ASSERT_TRUE(begins_there(message->bytes().data())) << number;
    ASSERT_EQ(message->size(), number);
    ASSERT_EQ(message->header().data() + 24, message->bytes().data());
    ASSERT_TRUE(std::ranges::all_of(
        message->header(), [&](std::byte b) { return b == static_cast<std::byte>(number); }));
  }
}

// With kind=mpmc a batch waits for its slots elsewhere.
TEST_P(AlignTest, EachMessageOfABatchBeginsThere) {
  auto [sender, receiver] = open("&header=8");
  const std::uint64_t at_once = GetParam().channel.frames ? 1 : 3;
  for (std::uint64_t number = 0; number < kNumbers; number += at_once) {
    Sender::Batch batch(sender);
    for (std::uint64_t i = 0; i < at_once; ++i) {
      const std::string text = numbered_message(number + i, (number + i) * 5 % kLongest);
      ASSERT_EQ(batch.try_add(bytes_of(text)), Status::kOk);
      std::ranges::fill(batch.header(), static_cast<std::byte>(number + i));
    }
    ASSERT_EQ(std::move(batch).commit(), Status::kOk);
    for (std::uint64_t i = number; i < number + at_once; ++i) {
      const auto message = receiver.next();
      ASSERT_TRUE(message) << to_string(message.status());
      ASSERT_TRUE(begins_there(message->bytes().data())) << i;
      ASSERT_EQ(message->text(), numbered_message(i, i * 5 % kLongest));
      ASSERT_EQ(message->header().back(), static_cast<std::byte>(i));
    }
  }
}

TEST_P(AlignTest, TheLargestMessageFits) {
  auto [sender, receiver] = open();
  const std::size_t largest = sender.max_message_bytes();
  EXPECT_EQ(receiver.max_message_bytes(), largest);
  EXPECT_EQ(sender.claim(largest + 1).status(), Status::kTooLarge);
  for (std::uint64_t number = 0; number < 20; ++number) {
    ASSERT_EQ(sender.send(numbered_message(number, largest)), Status::kOk);
    const auto message = receiver.next();
    ASSERT_TRUE(message);
    ASSERT_TRUE(begins_there(message->bytes().data()));
    ASSERT_EQ(message->text(), numbered_message(number, largest));
  }
}

TEST_P(AlignTest, WhoSaysNothingTakesWhatTheRingHas) {
  if (GetParam().channel.scheme == "shm+guarded:") GTEST_SKIP() << "its sender has to let it in";
  const std::string full = url();
  const std::string name = full.substr(0, full.find('?'));
  auto sender = Sender::open(full);
  ASSERT_TRUE(sender) << sender.error().message;
  auto receiver = Receiver::open(name);
  ASSERT_TRUE(receiver) << receiver.error().message;
  EXPECT_EQ(receiver->info().align_bytes, GetParam().align);
  EXPECT_EQ(receiver->max_message_bytes(), sender->max_message_bytes());
  if (GetParam().channel.processes) {
    const auto seen = inspect(name);
    ASSERT_TRUE(seen) << seen.error().message;
    EXPECT_EQ(seen->align_bytes, GetParam().align);
    EXPECT_EQ(seen->header_bytes, 0u);
    EXPECT_EQ(seen->max_message_bytes, sender->max_message_bytes());
  }
  ASSERT_EQ(sender->send("text"), Status::kOk);
  const auto message = receiver->next();
  ASSERT_TRUE(message);
  EXPECT_TRUE(begins_there(message->bytes().data()));
  EXPECT_EQ(message->text(), "text");
}

}  // namespace

TEST(ChannelAlign, WhoSaysAnotherOneIsRefused) {
  const std::string schemes[] = {"shm:", "inproc:", "shm+guarded:/tmp/"};
  const std::pair<std::string, std::string> wishes[] = {{"align=64", "align=4096"},
                                                        {"header=20", "header=20&align=64"}};
  for (const std::string& scheme : schemes) {
    for (const auto& [has, asks] : wishes) {
      SCOPED_TRACE(scheme + " " + has + " " + asks);
      const std::string name = scheme + unique_word();
      auto sender = Sender::open(name + "?" + has);
      ASSERT_TRUE(sender) << sender.error().message;
      std::optional<Result<Receiver>> receiver;
      std::atomic<bool> opened{false};
      std::thread receiving([&, &wanted = asks] {
        receiver.emplace(Receiver::open(name + "?" + wanted));
        opened.store(true, std::memory_order_release);
      });
      while (!opened.load(std::memory_order_acquire)) {  // a guarded ring's is let in meanwhile
        static_cast<void>(
            sender->wait_for_receiver(Deadline::after(std::chrono::milliseconds(10))));
      }
      receiving.join();
      ASSERT_FALSE(*receiver);
      const Error& error = receiver->error();
      EXPECT_EQ(error.code, ErrorCode::kGeometryMismatch) << error.message;
      const std::string found =
          has == "align=64" ? "has align=64, not align=4096" : "that begin at multiples of 8, not";
      EXPECT_NE(error.message.find(found), std::string::npos) << error.message;
    }
  }
}

void add_features(const std::string& name, std::uint64_t bits) {
  const auto segment = Segment::attach({Backing::kSharedMemory, name}, {}, Access::kReadWrite);
  ASSERT_TRUE(segment) << segment.error().message;
  auto* header = std::launder(reinterpret_cast<SegmentHeader*>(segment->bytes().data()));
  header->feature_bits.fetch_or(bits, std::memory_order_relaxed);
}

// A sender that lies: it says that messages are aligned, and sends what has no room for it.
TEST(ChannelAlign, ARecordTooShortForItIsCorrupt) {
  for (const std::string options : {"capacity=4KiB", "kind=mpmc&slots=8", "kind=frames"}) {
    const std::string word = unique_word();
    auto sender = Sender::open("shm:" + word + "?" + options);
    ASSERT_TRUE(sender) << sender.error().message;
    ASSERT_EQ(sender->send(std::string(55, 'x')), Status::kOk);
    add_features(word, std::uint64_t{6} << kUserAlignmentShift);
    auto receiver = Receiver::open("shm:" + word);
    ASSERT_TRUE(receiver) << receiver.error().message;
    EXPECT_EQ(receiver->next().status(), Status::kCorrupt) << options;
    EXPECT_EQ(receiver->status(), Status::kCorrupt);
  }
}

TEST(ChannelAlign, ASegmentOfAnAlignmentThatThereIsNotIsRefused) {
  for (const std::uint64_t power : {3u, 7u, 15u}) {
    const std::string word = unique_word();
    auto sender = Sender::open("shm:" + word);
    ASSERT_TRUE(sender) << sender.error().message;
    add_features(word, power << kUserAlignmentShift);
    EXPECT_FALSE(Receiver::open("shm:" + word)) << power;
  }
}

TEST(ChannelAlign, ARingThatTheDefaultLeavesNoRoomInIsNotMade) {
  const auto made = Sender::open("shm:" + unique_word() + "?kind=mpmc&header=20&align=4096");
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::kInvalidCapacity);
  EXPECT_NE(made.error().message.find("header=20 with align=4096 leaves none"), std::string::npos)
      << made.error().message;
}

}  // namespace rondo::testing
