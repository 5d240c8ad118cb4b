// What a channel owes to several receivers, whatever its transport: 1, 2, 8 and 64 of them, a third
// of them reliable, a third lossy, a third after the newest message alone.
// Each line has a test of the same name, in this order.
//   1. EachGetsWhatItsPolicyPromises
//   2. EverySizeUpToTheLargestReachesThem
//   3. OnlyReliableOnesHoldTheSenderBack
//   4. OthersNeverHoldTheSenderBack
//   5. OneThatLeavesDoesNotGate
//   6. DeadlinesOfAllEndInTime
//   7. TheEndReachesEachAfterTheLastMessage
//   8. StatsAddUpWhoeverReadsThemAndWhenever
//   9. ALateReceiverStartsWhereItAsked
//  10. AReceiverThatComesBackUnderItsNameGoesOn
//  11. AReceiverIsRefusedWhenAllPlacesAreTaken
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "conformance/readers_fixture.hpp"

namespace rondo::testing {
namespace {

INSTANTIATE_TEST_SUITE_P(Every, SeveralReceivers, ::testing::ValuesIn(receivers_cases()),
                         [](const auto& receivers_case) {
                           return std::string(receivers_case.param.channel.name) +
                                  std::to_string(receivers_case.param.receivers);
                         });

// Message i of those that are all alike but for their number.
std::string short_message(std::uint64_t i) { return numbered_message(i, 40); }

// Sends all of `sizes` while everyone reads, each in a thread of its own; then the end.
void send_to_all(Sender& sender, std::vector<TestReader>& readers,
                 const std::vector<std::size_t>& sizes) {
  const auto text = [&](std::uint64_t i) { return numbered_message(i, sizes.at(i)); };
  std::vector<std::thread> reading;
  for (TestReader& reader : readers) {
    reading.emplace_back([&reader, &text] { reader.read_to_the_end(text); });
  }
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    ASSERT_EQ(sender.send(bytes_of(text(i)), soon()), Status::kOk);
  }
  sender.close(soon());
  for (std::thread& each : reading) each.join();
  for (TestReader& reader : readers) {
    EXPECT_EQ(reader.receiver().status(), Status::kEnded);
    EXPECT_EQ(reader.sequence(), sizes.size());
    const std::uint64_t lost = reader.receiver().lost();
    EXPECT_EQ(reader.messages() + lost, sizes.size());
    if (reader.is_reliable()) {
      EXPECT_EQ(lost, 0u);
    }
    if (reader.is_reliable()) {
      EXPECT_EQ(reader.messages(), sizes.size());
    }
    // The newest message is the last one, which nothing overwrites any more.
    EXPECT_GT(reader.messages(), 0u);
  }
}

TEST_P(SeveralReceivers, EachGetsWhatItsPolicyPromises) {
  Sender& sender = open_sender(16 << 10);
  auto readers = all_come();
  std::mt19937_64 random(random_seed());
  std::vector<std::size_t> sizes(50 + scaled(1'000) / receiver_count());
  for (std::size_t& size : sizes)
    size = random() % (sender.max_message_bytes() + 1) >> random() % 8;
  send_to_all(sender, readers, sizes);
}

TEST_P(SeveralReceivers, EverySizeUpToTheLargestReachesThem) {
  Sender& sender = open_sender(4 << 10);
  auto readers = all_come();
  const std::size_t largest = sender.max_message_bytes();
  for (TestReader& reader : readers) EXPECT_EQ(reader.receiver().max_message_bytes(), largest);
  std::vector<std::size_t> sizes;
  for (std::size_t size = 0; size <= 130; ++size) sizes.push_back(size);
  for (std::size_t size = 256; size < largest; size *= 2) {
    sizes.insert(sizes.end(), {size - 1, size, size + 1});
  }
  sizes.insert(sizes.end(), {largest - 1, largest});
  EXPECT_EQ(sender.try_send(bytes_of(std::string(largest + 1, 'x'))), Status::kTooLarge);
  send_to_all(sender, readers, sizes);
}

// Sends until there is no room, or `most` have gone.
std::uint64_t fill(Sender& sender, std::uint64_t from, std::uint64_t most) {
  std::uint64_t sent = 0;
  while (sent < most && sender.try_send(bytes_of(short_message(from + sent))) == Status::kOk) {
    ++sent;
  }
  return sent;
}

TEST_P(SeveralReceivers, OnlyReliableOnesHoldTheSenderBack) {
  if (frames()) GTEST_SKIP() << "nobody is reliable there";
  Sender& sender = open_sender(4 << 10);
  auto readers = all_come();
  const std::uint64_t held = fill(sender, 0, 1'000);
  EXPECT_GT(held, 40u);
  EXPECT_LT(held, 100u);  // 48 bytes each
  EXPECT_EQ(sender.try_send(bytes_of("x")), Status::kWouldBlock);
  EXPECT_EQ(sender.send(bytes_of("x"), Deadline::after(std::chrono::milliseconds(5))),
            Status::kTimedOut);

  // The reliable ones read on, the others stand still.
  std::uint64_t sent = held;
  std::uint64_t read = 0;
  while (sent < 10 * held) {
    for (TestReader& reader : readers) {
      if (!reader.is_reliable()) continue;
      for (std::uint64_t i = read; i < sent; ++i) {
        ASSERT_EQ(reader.read(short_message), Status::kOk);
      }
      // A look that finds nothing gives everything back.
      ASSERT_FALSE(reader.receiver().try_next());
    }
    read = sent;
    const std::uint64_t more = fill(sender, sent, 1'000);
    ASSERT_GT(more, 20u);
    sent += more;
  }
  sender.close(soon());
  for (TestReader& reader : readers) {
    reader.expect_next(reader.is_reliable() ? read : 0);
    reader.read_to_the_end(short_message);
    EXPECT_EQ(reader.receiver().status(), Status::kEnded);
    EXPECT_EQ(reader.sequence(), sent);
    // Nothing is overwritten any more: what they read is what there is, to the last one.
    EXPECT_EQ(reader.messages() + reader.receiver().lost(), sent);
    EXPECT_EQ(reader.is_reliable(), reader.receiver().lost() == 0);
    if (reader.policy() == ReaderPolicy::kLatest) {
      EXPECT_EQ(reader.messages(), 1u);
    }
  }
}

TEST_P(SeveralReceivers, OthersNeverHoldTheSenderBack) {
  Sender& sender = open_sender(4 << 10);
  std::vector<TestReader> readers;
  for (std::uint32_t i = 0; i < receiver_count(); ++i) {
    readers.push_back(come(options_of_receiver(1 + i % 2), policy_of_receiver(1 + i % 2)));
  }
  constexpr std::uint64_t kMany = 2'000;
  EXPECT_EQ(fill(sender, 0, kMany), kMany);
  sender.close(soon());
  for (TestReader& reader : readers) {
    reader.read_to_the_end(short_message);
    EXPECT_EQ(reader.receiver().status(), Status::kEnded);
    EXPECT_EQ(reader.messages() + reader.receiver().lost(), kMany);
    EXPECT_GT(reader.receiver().lost(), kMany - 100);
  }
}

TEST_P(SeveralReceivers, OneThatLeavesDoesNotGate) {
  if (frames()) GTEST_SKIP() << "nobody holds the sender back there";
  Sender& sender = open_sender(4 << 10);
  auto readers = all_come();
  std::uint64_t sent = fill(sender, 0, 1'000);
  ASSERT_EQ(sender.try_send(bytes_of("x")), Status::kWouldBlock);
  for (TestReader& reader : readers) {
    if (reader.is_reliable()) reader.receiver().detach();
  }
  for (int laps = 0; laps < 10; ++laps, ++sent) {
    for (const std::uint64_t end = sent + 100; sent < end; ++sent) {
      ASSERT_EQ(sender.send(bytes_of(short_message(sent)), soon()), Status::kOk);
    }
    ASSERT_EQ(sender.send(bytes_of(short_message(sent)), soon()), Status::kOk);
  }
  sender.close(soon());
  for (TestReader& reader : readers) {
    if (reader.is_reliable()) continue;
    reader.read_to_the_end(short_message);
    EXPECT_EQ(reader.messages() + reader.receiver().lost(), sent);
  }
  static_cast<void>(remove(url()));  // what is unread keeps it: a set of one has left
}

TEST_P(SeveralReceivers, DeadlinesOfAllEndInTime) {
  Sender& sender = open_sender(4 << 10);
  auto readers = all_come();
  const auto shortly = [] { return Deadline::after(std::chrono::milliseconds(1)); };
  for (TestReader& reader : readers) {
    EXPECT_FALSE(reader.receiver().try_next());
    EXPECT_EQ(reader.receiver().next(Deadline::now()).status(), Status::kWouldBlock);
    EXPECT_EQ(reader.receiver().next(shortly()).status(), Status::kTimedOut);
  }
  ASSERT_EQ(sender.send(bytes_of(short_message(0))), Status::kOk);
  EXPECT_EQ(sender.flush(shortly()), Status::kTimedOut);
  for (TestReader& reader : readers) EXPECT_EQ(reader.read(short_message), Status::kOk);
  for (TestReader& reader : readers) {
    EXPECT_EQ(reader.receiver().next(shortly()).status(), Status::kTimedOut);
  }
  EXPECT_EQ(sender.flush(soon()), Status::kOk);
}

TEST_P(SeveralReceivers, TheEndReachesEachAfterTheLastMessage) {
  Sender& sender = open_sender(4 << 10);
  auto readers = all_come();
  for (std::uint64_t i = 0; i < 3; ++i) {
    ASSERT_EQ(sender.send(bytes_of(short_message(i))), Status::kOk);
  }
  EXPECT_EQ(sender.close(soon()), Status::kOk);
  EXPECT_EQ(sender.send(bytes_of("x")), Status::kClosed);
  for (TestReader& reader : readers) {
    const bool latest = reader.policy() == ReaderPolicy::kLatest;
    for (int i = latest ? 2 : 0; i < 3; ++i) ASSERT_EQ(reader.read(short_message), Status::kOk);
    EXPECT_EQ(reader.read(short_message), Status::kEnded);
    EXPECT_EQ(reader.read(short_message), Status::kEnded);
    EXPECT_EQ(reader.receiver().lost(), latest ? 2u : 0u);
    reader.receiver().detach();
  }
}

// Each was there before the first message.
void expect_sound_stats(const ChannelInfo& info, std::vector<std::uint64_t>& seen) {
  for (const ReaderInfo& reader : info.readers()) {
    if (reader.policy == ReaderPolicy::kNone) continue;
    const std::uint64_t next = reader.received + reader.lost;
    // The sender's count was read first: a receiver may be past it by now.
    if (reader.to_come != 0) {
      ASSERT_EQ(next + reader.to_come, info.messages) << "reader " << reader.reader;
    } else {
      ASSERT_GE(next, info.messages) << "reader " << reader.reader;
    }
    ASSERT_GE(next, seen.at(reader.reader)) << "an account that goes back";
    seen.at(reader.reader) = next;
    if (reader.policy == ReaderPolicy::kReliable) {
      ASSERT_EQ(reader.lost, 0u);
    }
  }
}

TEST_P(SeveralReceivers, StatsAddUpWhoeverReadsThemAndWhenever) {
  Sender& sender = open_sender(8 << 10);
  auto readers = all_come();
  const std::uint64_t count = 200 + scaled(4'000) / receiver_count();
  std::atomic<std::size_t> reading = readers.size();
  std::vector<std::thread> threads;
  for (TestReader& reader : readers) {
    threads.emplace_back([&] {
      while (reader.next() < count && reader.read(short_message) == Status::kOk) {
      }
      // Finding nothing brings the account up to date.
      EXPECT_FALSE(reader.receiver().try_next());
      --reading;
    });
  }
  // A third party, who takes no part; else the sender looks.
  std::uint64_t looks = 0;
  std::vector<std::uint64_t> seen(kMaxReaders);
  std::thread looking([&] {
    if (!outsiders_see()) return;
    do {
      const auto info = inspect(url());
      ASSERT_TRUE(info) << info.error().message;
      // Zero when a sender at full speed has outrun the look.
      if (info->messages != 0) expect_sound_stats(*info, seen);
      ++looks;
    } while (reading != 0 && !HasFailure());
  });
  for (std::uint64_t i = 0; i < count; ++i) {
    EXPECT_EQ(sender.send(bytes_of(short_message(i)), soon()), Status::kOk);
    if (!outsiders_see() && i % 64 == 0) expect_sound_stats(sender.info(), seen);
  }
  for (std::thread& each : threads) each.join();
  looking.join();
  EXPECT_EQ(outsiders_see(), looks > 0);

  const ChannelInfo info = sender.info();
  EXPECT_EQ(info.messages, count);
  EXPECT_EQ(info.as<FramesInfo>() != nullptr, frames());
  EXPECT_EQ(info.as<BroadcastInfo>() != nullptr, !frames());
  EXPECT_GE(info.reader_places(), readers.size());
  ASSERT_EQ(info.readers().size(), readers.size());
  for (const ReaderInfo& reader : info.readers()) {
    EXPECT_TRUE(reader.alive);
    EXPECT_EQ(reader.received + reader.lost, count);
    EXPECT_EQ(reader.to_come, 0u);
    EXPECT_EQ(reader.lost, readers.at(reader.reader).receiver().lost());
  }
}

TEST_P(SeveralReceivers, ALateReceiverStartsWhereItAsked) {
  if (frames()) GTEST_SKIP() << "transport_frames_test has what can be asked for there";
  Sender& sender = open_sender(4 << 10);
  constexpr std::uint64_t kSent = 1'000;
  ASSERT_EQ(fill(sender, 0, kSent), kSent);  // no receiver is there to be waited for
  std::vector<TestReader> readers;
  // Where each of four kinds begins: the oldest there is; the newest; one that is gone, whose gap
  // is told; one that is there.
  constexpr std::uint64_t kGone = 7;
  constexpr std::uint64_t kThere = kSent - 5;
  constexpr std::array<const char*, 4> kFrom{"oldest", "newest", "7", "995"};
  for (std::uint32_t i = 0; i < receiver_count(); ++i) {
    const std::uint32_t kind = i % kFrom.size();
    const char* policy = i / kFrom.size() % 2 == 0 ? "reliable" : "lossy";
    readers.push_back(
        come("policy=" + std::string(policy) + "&from=" + kFrom[kind],
             i / kFrom.size() % 2 == 0 ? ReaderPolicy::kReliable : ReaderPolicy::kLossy));
    TestReader& reader = readers.back();
    const std::uint64_t first = reader.sequence();
    reader.expect_next(first);
    switch (kind) {
      case 0:
        EXPECT_GT(first, kSent - 100);
        EXPECT_LT(first, kSent - 40);
        break;
      case 1: EXPECT_EQ(first, kSent - 1); break;
      case 2:
        EXPECT_GT(first, kSent - 100);
        EXPECT_LT(first, kSent - 40);
        EXPECT_EQ(reader.receiver().lost(), first - kGone);
        break;
      case 3: EXPECT_EQ(first, kThere); break;
    }
    if (kind != 2) {
      EXPECT_EQ(reader.receiver().lost(), 0u);
    }
  }
  ASSERT_EQ(sender.send(bytes_of(short_message(kSent)), soon()), Status::kOk);
  sender.close(soon());
  for (TestReader& reader : readers) {
    const std::uint64_t first = reader.sequence();
    const std::uint64_t lost = reader.receiver().lost();
    reader.read_to_the_end(short_message);
    EXPECT_EQ(reader.receiver().status(), Status::kEnded);
    EXPECT_EQ(reader.sequence(), kSent + 1);
    EXPECT_EQ(reader.messages() + reader.receiver().lost() - lost, kSent + 1 - first);
  }
}

TEST_P(SeveralReceivers, AReceiverThatComesBackUnderItsNameGoesOn) {
  Sender& sender = open_sender(16 << 10);
  const auto name = [](std::uint32_t i) { return "name=reader" + std::to_string(i); };
  if (guarded() || frames()) {
    auto named = try_to_come(name(0));
    ASSERT_FALSE(named);
    EXPECT_EQ(named.error().code, ErrorCode::kInvalidOption) << named.error().message;
    return;
  }
  constexpr std::uint64_t kSent = 100;
  const auto come_again = [&](std::uint32_t i) {
    return come(options_of_receiver(i) + "&" + name(i), kPolicies[i % 3]);
  };
  {
    std::vector<TestReader> readers;
    for (std::uint32_t i = 0; i < receiver_count(); ++i) readers.push_back(come_again(i));
    ASSERT_EQ(fill(sender, 0, kSent), kSent);
    for (std::uint32_t i = 0; i < receiver_count(); ++i) {
      for (std::uint32_t j = 0; j < 1 + i; ++j) {
        if (readers[i].policy() == ReaderPolicy::kLatest && j > 0) break;
        ASSERT_EQ(readers[i].read(short_message), Status::kOk);
      }
    }
  }
  // A receiver that has left is not waited for; but this much leaves all messages where they are.
  ASSERT_EQ(fill(sender, kSent, kSent), kSent);
  std::vector<TestReader> readers;
  // Not in the order in which they came.
  for (std::uint32_t i = receiver_count(); i-- > 0;) {
    readers.push_back(come_again(i));
    TestReader& reader = readers.back();
    const bool latest = reader.policy() == ReaderPolicy::kLatest;
    EXPECT_EQ(reader.sequence(), latest ? kSent : 1 + i) << "reader " << i;
    EXPECT_EQ(reader.receiver().lost(), latest ? kSent - 1 : 0u);
    reader.expect_next(reader.sequence());
  }
  sender.close(soon());
  for (TestReader& reader : readers) {
    const std::uint64_t before = reader.sequence();
    const std::uint64_t lost = reader.receiver().lost();
    reader.read_to_the_end(short_message);
    EXPECT_EQ(reader.sequence(), 2 * kSent);
    EXPECT_EQ(reader.messages() + reader.receiver().lost() - lost, 2 * kSent - before);
    if (reader.is_reliable()) {
      EXPECT_EQ(reader.receiver().lost(), 0u);
    }
  }
}

TEST_P(SeveralReceivers, AReceiverIsRefusedWhenAllPlacesAreTaken) {
  Sender& sender = open_sender(4 << 10);
  auto readers = all_come();
  if (receiver_count() == 1)
    readers.push_back(come("policy=lossy", ReaderPolicy::kLossy));  // two places
  const auto late = try_to_come("policy=lossy");
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, guarded() ? ErrorCode::kBusy : ErrorCode::kNoSlot)
      << late.error().message;
  // It harmed no other, and a place that is left can be taken.
  readers.back().receiver().detach();
  readers.pop_back();
  readers.push_back(come(options_of_receiver(0), policy_of_receiver(0)));
  ASSERT_EQ(sender.send(bytes_of(short_message(0)), soon()), Status::kOk);
  for (TestReader& reader : readers) EXPECT_EQ(reader.read(short_message), Status::kOk);
}

}  // namespace
}  // namespace rondo::testing
