// What every channel owes its messages, whatever its transport.
// Each line has a test of the same name, in this order.
//   1. MessagesArriveInTheOrderTheyWereSent
//   2. MessagesOfAllSizesKeepTheirBoundaries
//   3. EverySizeUpToTheLargestArrives
//   4. AMessageAboveTheLargestIsRefusedAndTheChannelGoesOn
//   5. AClaimIsWrittenInPlace
//   6. AShrunkClaimArrivesShrunk
//   7. ADiscardedClaimLeavesNoTrace
//   8. ABatchIsInvisibleUntilItsCommit
//   9. ADiscardedBatchLeavesNoTrace
//  10. ABatchOfManyArrivesWhole
//  11. ABatchLargerThanTheChannelIsRefused
//  12. ObjectsGoAsTheyLieInMemory
//  13. AMessageThatIsReleasedIsGivenBackAtOnce
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/channel_fixture.hpp"

namespace rondo::testing {
namespace {

INSTANTIATE_TEST_SUITE_P(Every, ChannelTest, ::testing::ValuesIn(kChannelCases),
                         [](const auto& channel) { return std::string(channel.param.name); });

INSTANTIATE_TEST_SUITE_P(EveryWithHeader, ChannelTest, ::testing::ValuesIn(kHeaderCases),
                         [](const auto& channel) { return std::string(channel.param.name); });

TEST_P(ChannelTest, MessagesArriveInTheOrderTheyWereSent) {
  auto [sender, receiver] = open();
  constexpr std::uint64_t kMessages = 20'000;
  std::thread sending([&sender = sender] {
    for (std::uint64_t i = 0; i < kMessages; ++i) {
      ASSERT_EQ(sender.send(std::as_bytes(std::span(&i, 1))), Status::kOk);
    }
    sender.close();
  });
  for (std::uint64_t i = 0; i < kMessages; ++i) {
    auto message = receiver.next();
    ASSERT_TRUE(message) << to_string(message.status());
    std::uint64_t got = ~i;
    ASSERT_EQ(message->size(), sizeof got);
    std::memcpy(&got, message->bytes().data(), sizeof got);
    ASSERT_EQ(got, i);
  }
  EXPECT_EQ(receive(receiver), kEndOfStreamText);
  sending.join();
}

TEST_P(ChannelTest, MessagesOfAllSizesKeepTheirBoundaries) {
  auto [sender, receiver] = open();
  std::mt19937_64 random(random_seed());
  std::vector<std::size_t> sizes(3'000);
  for (std::size_t& size : sizes)
    size = random() % (receiver.max_message_bytes() + 1) >> random() % 8;
  std::thread sending([&sender = sender, &sizes] {
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      ASSERT_EQ(sender.send(bytes_of(numbered_message(i, sizes[i]))), Status::kOk);
    }
    sender.close();
  });
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    ASSERT_EQ(receive(receiver), numbered_message(i, sizes[i])) << "message " << i;
  }
  EXPECT_EQ(receive(receiver), kEndOfStreamText);
  sending.join();
}

TEST_P(ChannelTest, EverySizeUpToTheLargestArrives) {
  for (const std::uint64_t capacity : {4 << 10, 1 << 20}) {
    auto [sender, receiver] = open("", {}, capacity);
    const std::size_t largest = sender.max_message_bytes();
    ASSERT_EQ(largest, receiver.max_message_bytes());
    std::vector<std::size_t> sizes;
    for (std::size_t size = 0; size <= std::min<std::size_t>(largest, 300); ++size) {
      sizes.push_back(size);
    }
    for (std::size_t size = 512; size < largest; size *= 2) {
      sizes.insert(sizes.end(), {size - 1, size, size + 1});
    }
    sizes.insert(sizes.end(), {largest - 1, largest});
    std::thread sending([&sender = sender, &sizes] {
      for (std::size_t size : sizes) {
        ASSERT_EQ(sender.send(bytes_of(numbered_message(size, size))), Status::kOk);
      }
      sender.close();
    });
    for (std::size_t size : sizes) {
      ASSERT_EQ(receive(receiver), numbered_message(size, size)) << size << " bytes";
    }
    EXPECT_EQ(receive(receiver), kEndOfStreamText);
    sending.join();
  }
}

TEST_P(ChannelTest, AMessageAboveTheLargestIsRefusedAndTheChannelGoesOn) {
  auto [sender, receiver] = open();
  const std::string message(sender.max_message_bytes() + 1, 'x');

  EXPECT_EQ(sender.try_send(bytes_of(message)), Status::kTooLarge);
  EXPECT_EQ(sender.send(bytes_of(message)), Status::kTooLarge);
  EXPECT_EQ(sender.claim(message.size()).status(), Status::kTooLarge);
  EXPECT_FALSE(sender.try_claim(message.size()));
  EXPECT_FALSE(sender.try_claim(~std::size_t{0}));

  EXPECT_EQ(sender.status(), Status::kOk);
  EXPECT_EQ(sender.send(bytes_of("small")), Status::kOk);
  EXPECT_EQ(receive(receiver), "small");
}

TEST_P(ChannelTest, AClaimIsWrittenInPlace) {
  auto [sender, receiver] = open();
  auto claim = sender.claim(5);
  ASSERT_TRUE(claim);
  ASSERT_EQ(claim->bytes().size(), 5u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(claim->bytes().data()) % 8, 0u);
  std::memcpy(claim->bytes().data(), "12345", 5);
  std::move(*claim).commit();
  EXPECT_EQ(receive(receiver), "12345");
}

TEST_P(ChannelTest, AShrunkClaimArrivesShrunk) {
  auto [sender, receiver] = open();
  auto claim = sender.try_claim(1000);
  ASSERT_TRUE(claim);
  std::memcpy(claim->bytes().data(), "head", 4);
  claim->shrink(4);
  EXPECT_EQ(claim->bytes().size(), 4u);
  std::move(*claim).commit();
  ASSERT_EQ(sender.send(bytes_of("next")), Status::kOk);
  EXPECT_EQ(receive(receiver), "head");
  EXPECT_EQ(receive(receiver), "next");
}

TEST_P(ChannelTest, ADiscardedClaimLeavesNoTrace) {
  auto [sender, receiver] = open();
  {
    auto claim = sender.try_claim(100);
    ASSERT_TRUE(claim);
    std::fill(claim->bytes().begin(), claim->bytes().end(), std::byte{0xFF});
  }
  EXPECT_FALSE(receiver.try_next());
  ASSERT_EQ(sender.send(bytes_of("kept")), Status::kOk);
  EXPECT_EQ(receive(receiver), "kept");
  EXPECT_FALSE(receiver.try_next());
}

TEST_P(ChannelTest, ABatchIsInvisibleUntilItsCommit) {
  auto [sender, receiver] = open();
  Sender::Batch batch(sender);
  ASSERT_EQ(batch.try_add(bytes_of("one")), Status::kOk);
  ASSERT_EQ(batch.try_add(bytes_of("two")), Status::kOk);
  EXPECT_FALSE(receiver.try_next());
  EXPECT_EQ(std::move(batch).commit(), Status::kOk);
  EXPECT_EQ(receive(receiver), "one");
  EXPECT_EQ(receive(receiver), "two");
}

TEST_P(ChannelTest, ADiscardedBatchLeavesNoTrace) {
  auto [sender, receiver] = open();
  {
    Sender::Batch batch(sender);
    ASSERT_EQ(batch.try_add(bytes_of("never")), Status::kOk);
    ASSERT_EQ(batch.try_add(bytes_of("sent")), Status::kOk);
  }
  ASSERT_EQ(sender.send(bytes_of("kept")), Status::kOk);
  EXPECT_EQ(receive(receiver), "kept");
  EXPECT_FALSE(receiver.try_next());
}

TEST_P(ChannelTest, ABatchOfManyArrivesWhole) {
  auto [sender, receiver] = open("", {}, 64 << 10);
  constexpr std::size_t kBatches = 200;
  constexpr std::size_t kPerBatch = 150;  // more than one system call writes out
  std::thread sending([&sender = sender] {
    for (std::size_t i = 0; i < kBatches; ++i) {
      // A batch takes no message that has no room now; between batches one waits.
      ASSERT_EQ(sender.flush(), Status::kOk);
      Sender::Batch batch(sender);
      for (std::size_t j = 0; j < kPerBatch; ++j) {
        ASSERT_EQ(batch.try_add(bytes_of(numbered_message(i * kPerBatch + j, 100))), Status::kOk);
      }
      ASSERT_EQ(std::move(batch).commit(), Status::kOk);
    }
    sender.close();
  });
  for (std::size_t i = 0; i < kBatches * kPerBatch; ++i) {
    ASSERT_EQ(receive(receiver), numbered_message(i, 100));
  }
  EXPECT_EQ(receive(receiver), kEndOfStreamText);
  sending.join();
}

TEST_P(ChannelTest, ABatchLargerThanTheChannelIsRefused) {
  auto [sender, receiver] = open();
  {
    Sender::Batch batch(sender);
    Status status = Status::kOk;
    std::size_t added = 0;
    while (status == Status::kOk && added < 1'000) {
      status = batch.try_add(bytes_of(numbered_message(added, 100)));
      ++added;
    }
    EXPECT_EQ(status, Status::kWouldBlock);
  }
  EXPECT_FALSE(receiver.try_next());
  ASSERT_EQ(sender.send(bytes_of("on")), Status::kOk);
  EXPECT_EQ(receive(receiver), "on");
}

struct Quote {
  std::uint64_t instrument;
  double price;
  std::array<char, 4> venue;
};

TEST_P(ChannelTest, ObjectsGoAsTheyLieInMemory) {
  static_assert(MessageValue<Quote> && MessageValue<int> && MessageValue<std::array<int, 3>>);
  // What only shows where bytes are would mean nothing elsewhere.
  static_assert(!MessageValue<const char*> && !MessageValue<std::string_view>);
  static_assert(!MessageValue<std::span<int>> && !MessageValue<std::span<std::byte>>);
  static_assert(!MessageValue<std::string> && !MessageValue<char[4]>);
  static_assert(!MessageValue<std::nullptr_t>);
  auto [sender, receiver] = open();
  const Quote quote{7, 1.5, {'X', 'E', 'T', 'R'}};
  ASSERT_EQ(sender.send(quote), Status::kOk);
  ASSERT_EQ(sender.try_send(std::uint32_t{42}), Status::kOk);
  auto claim = sender.claim(sizeof(Quote));
  ASSERT_TRUE(claim);
  claim->emplace<Quote>(std::uint64_t{8}, 2.5, std::array{'A', 'B', 'C', 'D'});
  std::move(*claim).commit();
  ASSERT_EQ(sender.send("text"), Status::kOk);  // characters, as before
  {
    const auto message = receiver.next();
    ASSERT_TRUE(message);
    EXPECT_EQ(message->as<std::uint32_t>(), nullptr);  // of another size
    const Quote* const got = message->as<Quote>();
    ASSERT_NE(got, nullptr);
    EXPECT_EQ(got->instrument, 7u);
    EXPECT_EQ(got->price, 1.5);
    EXPECT_EQ(got->venue, quote.venue);
  }
  EXPECT_EQ(*receiver.next()->as<std::uint32_t>(), 42u);
  EXPECT_EQ(receiver.next()->as<Quote>()->price, 2.5);
  EXPECT_EQ(receive(receiver), "text");
}

TEST_P(ChannelTest, AMessageThatIsReleasedIsGivenBackAtOnce) {
  auto [sender, receiver] = open();
  ASSERT_EQ(sender.send("first"), Status::kOk);
  ASSERT_EQ(sender.send("second"), Status::kOk);
  auto first = receiver.next();
  ASSERT_TRUE(first);
  first->release();
  EXPECT_TRUE(first->bytes().empty());
  first->release();                     // nothing more to give back
  const auto second = receiver.next();  // though the first one's object is still there
  ASSERT_TRUE(second);
  EXPECT_EQ(second->text(), "second");
}

}  // namespace
}  // namespace rondo::testing
