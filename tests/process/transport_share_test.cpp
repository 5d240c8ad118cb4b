// Senders and receivers that share an mpmc ring (kind=mpmc): who may come, how a stream ends, and
// what becomes of messages whose sender or receiver is killed, hundreds of times at random.
//
//   1. EitherSideMayCreate
//   2. TheKindIsAsFoundUnlessTheUrlSays
//   3. WhatDiffersIsSaid
//   4. MoreThanTwoHundredTakePart
//   5. AStreamEndsWhenAllSendersHaveGoneAndAllIsGivenBack
//   6. SendersMayBeCounted
//   7. AMessageOfADeadReceiverComesAgainMarked
//   8. OrIsDropped
//   9. ANewStreamBeginsWhereNoneIsLeft
//  10. AReceiverThatWasToldOfTheEndTakesNothingOfTheNextStream
//  11. AnUncommittedClaimBlocksNoReceiver
//  12. SendersKilledAtRandom
//  13. ReceiversKilledAtRandom
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "conformance/channel_fixture.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

class ShareTest : public Watchdog {
 protected:
  ~ShareTest() override { static_cast<void>(remove(name_, true)); }

  template <class Handle>
  static Handle opened(Result<Handle> handle) {
    if (!handle) throw std::runtime_error(handle.error().message);
    return std::move(handle).value();
  }
  [[nodiscard]] Sender sender(const std::string& more = "") {
    return opened(Sender::open(url_ + more));
  }
  [[nodiscard]] Receiver receiver(const std::string& more = "", const OpenOptions& wishes = {}) {
    return opened(Receiver::open(url_ + more, wishes));
  }

  // What a ring of slots alone tells.
  static MpmcInfo of(const ChannelInfo& info) { return std::get<MpmcInfo>(info.kind); }

  std::string name_ = "shm:" + unique_word();
  std::string url_ = name_ + "?kind=mpmc&slots=16&slot_size=64";
};

TEST_F(ShareTest, EitherSideMayCreate) {
  // A receiver that knows how large the ring is makes it.
  Child child([this] {
    Receiver mine = receiver();
    return receive(mine) == "hello" ? 0 : 1;
  });
  while (!inspect(name_)) usleep(100);
  auto later = Sender::open(name_);
  ASSERT_TRUE(later) << later.error().message;
  EXPECT_EQ(later->send("hello"), Status::kOk);
  EXPECT_EQ(child.join(), 0);
  // One that does not waits for a sender, and leaves nothing behind.
  later->close();
  auto none = Receiver::open(name_ + "?kind=mpmc", {.wait = Deadline::after(milliseconds(20))});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kTimedOut);
  EXPECT_FALSE(inspect(name_));
}

TEST_F(ShareTest, TheKindIsAsFoundUnlessTheUrlSays) {
  Sender first = sender();
  Receiver found = opened(Receiver::open(name_));
  EXPECT_EQ(of(found.info()).slots, 16u);
  auto record = Receiver::open(name_ + "?kind=record");
  ASSERT_FALSE(record);
  EXPECT_EQ(record.error().code, ErrorCode::kGeometryMismatch);
  EXPECT_THAT(record.error().message, HasSubstr("kind=mpmc"));
  auto sized = Sender::open(name_ + "?capacity=1MiB");
  ASSERT_FALSE(sized);
  EXPECT_EQ(sized.error().code, ErrorCode::kGeometryMismatch);
}

TEST_F(ShareTest, WhatDiffersIsSaid) {
  Sender first = sender();
  auto other = Sender::open(name_ + "?kind=mpmc&slots=32&slot_size=128");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kGeometryMismatch);
  EXPECT_THAT(other.error().message,
              HasSubstr("slots=16 and slot_size=64, not slots=32 and slot_size=128"));
  Sender half = opened(Sender::open(name_ + "?kind=mpmc&slots=16"));
  EXPECT_EQ(half.max_message_bytes(), 64u);
}

TEST_F(ShareTest, MoreThanTwoHundredTakePart) {
  std::vector<Sender> senders;
  while (senders.size() < 255) senders.push_back(sender());
  Receiver last = receiver();
  auto none = Sender::open(url_);
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kNoSlot);
  for (std::size_t i = 0; i < senders.size(); ++i) {
    ASSERT_EQ(senders[i].send(std::to_string(i)), Status::kOk);
    ASSERT_EQ(receive(last), std::to_string(i));
  }
  senders.pop_back();
  EXPECT_EQ(sender().send("room again"), Status::kOk);
  EXPECT_EQ(receive(last), "room again");
}

TEST_F(ShareTest, AStreamEndsWhenAllSendersHaveGoneAndAllIsGivenBack) {
  Sender first = sender();
  Sender second = sender();
  Receiver mine = receiver();
  Receiver other = receiver();
  ASSERT_EQ(first.send("held"), Status::kOk);
  ASSERT_EQ(first.close(), Status::kOk);
  {
    auto held = other.next();
    ASSERT_TRUE(held);
    EXPECT_EQ(mine.next(Deadline::after(milliseconds(80))).status(), Status::kTimedOut);
    ASSERT_EQ(second.close(), Status::kOk);
    // What the other one holds may still come here, if it dies.
    EXPECT_EQ(mine.next(Deadline::after(milliseconds(80))).status(), Status::kTimedOut);
  }
  EXPECT_EQ(receive(mine), kEndOfStreamText);
  EXPECT_EQ(receive(other), kEndOfStreamText);
}

TEST_F(ShareTest, SendersMayBeCounted) {
  Sender first = sender();
  Receiver counting = receiver("", {.senders = 2});
  EXPECT_EQ(first.close(), Status::kOk);
  EXPECT_EQ(counting.next(Deadline::after(milliseconds(80))).status(), Status::kTimedOut);
  {
    Sender second = sender();
    ASSERT_EQ(second.send("more"), Status::kOk);
  }
  EXPECT_EQ(receive(counting), "more");
  EXPECT_EQ(receive(counting), kEndOfStreamText);

  auto refused = Receiver::open(name_ + "?kind=record", {.senders = 2});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidOption);
}

// A receiver that takes a message and dies with it.
void die_holding(const std::string& url) {
  Shared<std::atomic<bool>> holds;
  Child child([&] {
    auto mine = Receiver::open(url);
    if (!mine) return 1;
    auto message = mine->next();
    *holds = true;
    for (;;) pause();
  });
  while (!*holds) usleep(100);
  child.signal(SIGKILL);
  EXPECT_EQ(child.join(), -SIGKILL);
}

TEST_F(ShareTest, AMessageOfADeadReceiverComesAgainMarked) {
  Sender first = sender();
  ASSERT_EQ(first.send("held"), Status::kOk);
  die_holding(name_);
  Receiver mine = receiver();
  ASSERT_EQ(first.send("not held"), Status::kOk);
  bool marked = false;
  std::vector<std::string> got;
  for (int i = 0; i < 2; ++i) {
    auto message = mine.next(Deadline::after(seconds(60)));
    ASSERT_TRUE(message);
    got.emplace_back(message->text());
    EXPECT_EQ(message->redelivered(), message->text() == "held");
    marked = marked || message->redelivered();
  }
  EXPECT_TRUE(marked);
  EXPECT_THAT(got, ::testing::UnorderedElementsAre("held", "not held"));
  const ChannelInfo info = mine.info();
  EXPECT_EQ(of(info).receivers_died, 1u);
  std::uint64_t orphaned = 0;
  std::uint64_t redelivered = 0;
  for (const RecoveredBy& by : of(info).recovered) {
    orphaned += by.orphaned;
    redelivered += by.redelivered;
  }
  EXPECT_EQ(orphaned, 1u);
  EXPECT_EQ(redelivered, 1u);
}

TEST_F(ShareTest, OrIsDropped) {
  url_ += "&on_consumer_death=drop";
  Sender first = sender();
  ASSERT_EQ(first.send("held"), Status::kOk);
  die_holding(name_);
  Receiver mine = receiver();
  ASSERT_EQ(first.send("not held"), Status::kOk);
  EXPECT_EQ(receive(mine), "not held");
  first.close();
  EXPECT_EQ(receive(mine), kEndOfStreamText);
  ASSERT_EQ(of(mine.info()).recovered.size(), 1u);
  EXPECT_EQ(of(mine.info()).recovered.front().dropped, 1u);
}

TEST_F(ShareTest, ANewStreamBeginsWhereNoneIsLeft) {
  for (int round = 0; round < 3; ++round) {
    Sender first = sender("&keep=1");
    Sender second = sender("&keep=1");
    ASSERT_EQ(first.send("x"), Status::kOk);
    ASSERT_EQ(first.close(), Status::kOk);
    Receiver counting = receiver("&keep=1", {.senders = 2});
    EXPECT_EQ(receive(counting), "x");
    EXPECT_EQ(of(counting.info()).senders_closed, 1u) << "those of the last round do not count";
    ASSERT_EQ(second.close(), Status::kOk);
    EXPECT_EQ(receive(counting), kEndOfStreamText);
  }
}

TEST_F(ShareTest, AReceiverThatWasToldOfTheEndTakesNothingOfTheNextStream) {
  Sender first = sender();
  Receiver told = receiver();
  ASSERT_EQ(first.close(), Status::kOk);
  ASSERT_EQ(receive(told), kEndOfStreamText);

  Sender second = sender();
  ASSERT_EQ(second.send("next"), Status::kOk);
  EXPECT_FALSE(told.try_next());
  EXPECT_EQ(receive(told), kEndOfStreamText);
  Receiver other = receiver();
  EXPECT_EQ(receive(other), "next");
}

TEST_F(ShareTest, AnUncommittedClaimBlocksNoReceiver) {
  Sender first = sender();
  Sender second = sender();
  Receiver mine = receiver();
  { auto given_up = first.claim(10); }
  ASSERT_EQ(second.send("behind it"), Status::kOk);
  EXPECT_EQ(receive(mine), "behind it");
}

// --- Kills ---------------------------------------------------------------------------------------

constexpr std::uint32_t kWorkers = 3;
constexpr std::uint64_t kMost = 16'000'000;

// What all processes of a test keep books in. A message bears a number that no other sends.
struct Books {
  std::atomic<std::uint64_t> next{0};          // the number of the next message
  std::atomic<std::uint8_t> committed[kMost];  // by its sender, who says so after send()
  std::atomic<std::uint8_t> received[kMost];   // times
  std::atomic<std::uint8_t> again[kMost];      // times it was marked as redelivered
  std::atomic<std::uint64_t> torn{0};
};

std::string message_of(std::uint64_t number) {
  return std::string(reinterpret_cast<const char*>(&number), sizeof number) +
         numbered_message(number, number % 50);
}

int send_numbers(const std::string& url, Books& books, const std::atomic<bool>& stop) {
  auto sender = Sender::open(url);
  if (!sender) return 1;
  while (!stop) {
    const std::uint64_t number = books.next++;
    if (number >= kMost) break;
    if (sender->send(message_of(number)) != Status::kOk) return 2;
    books.committed[number] = 1;
  }
  while (!stop) usleep(100);  // the books are full
  return sender->close() == Status::kOk ? 0 : 3;
}

int receive_numbers(const std::string& url, Books& books) {
  auto receiver = Receiver::open(url);
  if (!receiver) return 1;
  for (const Message& message : *receiver) {
    std::uint64_t number = kMost;
    if (message.size() >= sizeof number)
      std::memcpy(&number, message.bytes().data(), sizeof number);
    if (number >= kMost || message.text() != message_of(number)) {
      ++books.torn;
      continue;
    }
    if (message.redelivered()) ++books.again[number];
    ++books.received[number];
  }
  return receiver->status() == Status::kEnded ? 0 : 2;
}

class ShareKillTest : public ShareTest {
 protected:
  static constexpr int kKills = 250;

  // Workers of one role are killed and replaced at random, those of the other role stay.
  void run(bool kill_senders) {
    // await_successor: the killed are replaced, and no side's end matters to the other until all
    // are stopped.
    const std::string url = url_ + "&await_successor=1&keep=1";
    Shared<std::atomic<bool>> stop;
    Sender open_stream = opened(Sender::open(url));
    std::vector<std::unique_ptr<Child>> senders;
    std::vector<std::unique_ptr<Child>> receivers;
    const auto send = [&] { return send_numbers(url, *books_, *stop); };
    const auto take = [&] { return receive_numbers(url, *books_); };
    for (std::uint32_t i = 0; i < kWorkers; ++i) {
      senders.push_back(std::make_unique<Child>(send));
      receivers.push_back(std::make_unique<Child>(take));
    }
    for (std::uint64_t kills = scaled(kKills); kills > 0; --kills) {
      usleep(static_cast<unsigned>(random_() % 3'000));
      auto& victim = (kill_senders ? senders : receivers)[random_() % kWorkers];
      victim->signal(SIGKILL);
      ASSERT_EQ(victim->join(), -SIGKILL);
      victim = kill_senders ? std::make_unique<Child>(send) : std::make_unique<Child>(take);
    }
    *stop = true;
    for (auto& child : senders) EXPECT_EQ(child->join(), 0);
    // One that comes when all have gone begins a new stream, and waits for its senders.
    while (attached_receivers() != kWorkers) usleep(100);
    ASSERT_EQ(open_stream.close(), Status::kOk);
    for (auto& child : receivers) EXPECT_EQ(child->join(), 0);
  }

  [[nodiscard]] std::uint32_t attached_receivers() const {
    const auto info = inspect(name_);
    if (!info) return 0;
    return static_cast<std::uint32_t>(std::ranges::count_if(
        info->participants,
        [](const ParticipantInfo& one) { return one.alive && one.role == Role::kConsumer; }));
  }

  // Every committed message arrived; a second time only where it was marked.
  void expect_balanced(std::uint64_t kills) {
    const std::uint64_t count = std::min<std::uint64_t>(books_->next, kMost);
    std::uint64_t lost = 0, twice = 0, again = 0, unconfirmed = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
      const unsigned times = books_->received[i];
      const unsigned marked = books_->again[i];
      lost += books_->committed[i] != 0 && times == 0;
      twice += times > 1 + marked;
      again += marked;
      unconfirmed += books_->committed[i] == 0 && times != 0;
    }
    EXPECT_EQ(lost, 0u);
    EXPECT_EQ(twice, 0u);
    EXPECT_EQ(books_->torn, 0u);
    EXPECT_LE(again, kills);
    EXPECT_LE(unconfirmed, kills) << "killed between commit and the books";
    std::printf("%llu kills, %llu messages, %llu came again\n",
                static_cast<unsigned long long>(kills), static_cast<unsigned long long>(count),
                static_cast<unsigned long long>(again));
    const auto info = inspect(name_);
    ASSERT_TRUE(info) << info.error().message;
    EXPECT_EQ(of(*info).pending_messages, 0u);
  }

  std::mt19937_64 random_{random_seed()};
  Shared<Books> books_;
};

TEST_F(ShareKillTest, SendersKilledAtRandom) {
  run(true);
  expect_balanced(scaled(kKills));
}

TEST_F(ShareKillTest, ReceiversKilledAtRandom) {
  run(false);
  expect_balanced(scaled(kKills));
}

}  // namespace
}  // namespace rondo::testing
