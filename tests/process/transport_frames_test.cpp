// A pool of frames behind the two handles (kind=frames): what is held stays, a receiver that does
// not keep up is told what it lost, and what becomes of frames whose reader or sender is killed.
// The contract of several receivers is in conformance/readers_conformance_test.cpp.
//
//   1. AHeldFrameStaysWhateverTheSenderDoes
//   2. AClaimWaitsWhileAllFramesAreHeld
//   3. ALateReceiverStartsAtTheOldestOrTheNewest
//   4. ABatchHasRoomForOneFrame
//   5. ALargeFrameIsWrittenAndReadInPlace
//   6. WhatADeadReaderHeldComesBack
//   7. AKilledSenderIsToldAfterItsLastFrame
//   8. AReceiverThatAwaitsASuccessorGoesOnWithIt
//   9. TheNameGoesWithTheLast
//  10. AForkedChildIsRefused
//  11. WhatCanNotBeMeantSaysWhatWouldBeRight
//  12. OutsidersSeeWhoHoldsWhat
//  13. ReadersKilledAtRandom
//  14. SendersKilledAtRandom
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "conformance/channel_fixture.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr std::size_t kFrameBytes = 5'000;

Deadline soon() { return Deadline::after(seconds(60)); }
std::string frame(std::uint64_t number) {
  return std::string(reinterpret_cast<const char*>(&number), sizeof number) +
         numbered_message(number, 100 + number % (kFrameBytes - 200));
}

class FramesTest : public Watchdog {
 protected:
  ~FramesTest() override { static_cast<void>(remove(name_, true)); }

  template <class Handle>
  static Handle opened(Result<Handle> handle) {
    if (!handle) throw std::runtime_error(handle.error().message);
    return std::move(handle).value();
  }
  [[nodiscard]] Sender sender(const std::string& more = "&readers=3") {
    return opened(Sender::open(url_ + more));
  }
  [[nodiscard]] Receiver receiver(const std::string& more = "") {
    return opened(Receiver::open(name_ + "?" + more, {.wait = soon()}));
  }
  // Sends frames `from` to `upto`, that one not included.
  static void send(Sender& sender, std::uint64_t from, std::uint64_t upto) {
    for (std::uint64_t i = from; i < upto; ++i)
      ASSERT_EQ(sender.send(frame(i), soon()), Status::kOk);
  }

  std::string name_ = "shm:" + unique_word();
  std::string url_ = name_ + "?kind=frames&frames=8&frame_size=" + std::to_string(kFrameBytes);
};

TEST_F(FramesTest, AHeldFrameStaysWhateverTheSenderDoes) {
  Sender mine = sender();
  Receiver slow = receiver();
  Receiver fast = receiver("policy=latest");
  ASSERT_EQ(mine.send(frame(0)), Status::kOk);
  {
    auto held = slow.next(soon());
    ASSERT_TRUE(held);
    for (std::uint64_t i = 1; i <= 1'000; ++i) {
      ASSERT_EQ(mine.try_send(frame(i)), Status::kOk) << "one holds a frame, and not the pool";
      ASSERT_EQ(receive(fast), frame(i));
      ASSERT_EQ(held->text(), frame(0));
    }
    EXPECT_TRUE(held->intact());
    EXPECT_EQ(slow.lost(), 0u);
  }
  // Of 8 frames one is held and one of the others was claimed for the last: the rest is there.
  std::uint64_t got = 0;
  while (auto message = slow.try_next()) {
    EXPECT_EQ(message->text(), frame(1 + slow.lost() + got));
    ++got;
  }
  EXPECT_EQ(got + slow.lost(), 1'000u);
  EXPECT_EQ(got, 7u);
}

TEST_F(FramesTest, AClaimWaitsWhileAllFramesAreHeld) {
  url_ = name_ + "?kind=frames&frames=2&frame_size=100";
  Sender mine = sender("&wait=park");
  Receiver holder = receiver();
  ASSERT_EQ(mine.send("one"), Status::kOk);
  auto held = holder.try_next();
  ASSERT_TRUE(held);
  ASSERT_EQ(mine.send("two"), Status::kOk);
  // The newest is never taken, and the other one is held.
  EXPECT_FALSE(mine.try_claim(10));
  EXPECT_EQ(mine.try_send("x"), Status::kWouldBlock);
  const auto start = Deadline::Clock::now();
  EXPECT_EQ(mine.claim(10, Deadline::after(milliseconds(30))).status(), Status::kTimedOut);
  EXPECT_GE(Deadline::Clock::now() - start, milliseconds(30));
  std::thread letting_go([&held] {
    await_sleep(getpid());
    held.reset();
  });
  EXPECT_EQ(mine.send("three", soon()), Status::kOk);
  letting_go.join();
  EXPECT_EQ(receive(holder), "two");
  EXPECT_EQ(receive(holder), "three");
}

TEST_F(FramesTest, ALateReceiverStartsAtTheOldestOrTheNewest) {
  Sender mine = sender();
  send(mine, 0, 100);
  Receiver oldest = receiver();
  Receiver newest = receiver("from=newest");
  EXPECT_EQ(receive(oldest), frame(92));
  EXPECT_EQ(receive(newest), frame(99));
  EXPECT_EQ(oldest.lost() + newest.lost(), 0u) << "what went by before they came is not lost";
}

TEST_F(FramesTest, ABatchHasRoomForOneFrame) {
  Sender mine = sender();
  Receiver other = receiver();
  {
    Sender::Batch batch(mine);
    ASSERT_EQ(batch.try_add(bytes_of("never sent")), Status::kOk);
  }
  {
    Sender::Batch batch(mine);
    ASSERT_EQ(batch.try_add(bytes_of("one")), Status::kOk);
    EXPECT_EQ(batch.try_add(bytes_of("two")), Status::kWouldBlock);
    EXPECT_FALSE(other.try_next());
    EXPECT_EQ(std::move(batch).commit(), Status::kOk);
  }
  EXPECT_EQ(receive(other), "one");
  EXPECT_FALSE(other.try_next());
}

TEST_F(FramesTest, ALargeFrameIsWrittenAndReadInPlace) {
  url_ = name_ + "?kind=frames&frames=3&frame_size=12MiB";
  Sender mine = sender("");
  Receiver other = receiver();
  const std::byte* written = nullptr;
  for (int i = 0; i < 5; ++i) {
    auto claim = mine.claim(std::size_t{12} << 20, soon());
    ASSERT_TRUE(claim);
    written = claim->bytes().data();
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(written) % 4096, 0u);
    std::fill(claim->bytes().begin(), claim->bytes().end(), std::byte(i));
    std::move(*claim).commit();
    auto message = other.next(soon());
    ASSERT_TRUE(message);
    ASSERT_EQ(message->size(), std::size_t{12} << 20);
    EXPECT_TRUE(
        std::ranges::all_of(message->bytes(), [i](std::byte b) { return b == std::byte(i); }));
  }
  EXPECT_EQ(mine.send(std::string((12 << 20) + 1, 'x')), Status::kTooLarge);
}

// A receiver that takes a frame and dies with it.
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

TEST_F(FramesTest, WhatADeadReaderHeldComesBack) {
  url_ = name_ + "?kind=frames&frames=2&frame_size=100";
  Sender mine = sender("&readers=2");
  ASSERT_EQ(mine.send("held"), Status::kOk);
  die_holding(name_);
  ASSERT_EQ(mine.send("newest"), Status::kOk);
  const auto info = inspect(name_);
  ASSERT_TRUE(info);
  ASSERT_EQ(info->readers().size(), 1u);
  EXPECT_FALSE(info->readers()[0].alive);
  EXPECT_EQ(info->readers()[0].frames_held, 1u);
  EXPECT_EQ(mine.send("in its place", soon()), Status::kOk);
  EXPECT_EQ(std::get<FramesInfo>(inspect(name_)->kind).readers.at(0).frames_held, 0u);
  // And it is not waited for.
  EXPECT_EQ(mine.flush(soon()), Status::kOk);
}

TEST_F(FramesTest, AKilledSenderIsToldAfterItsLastFrame) {
  Child child([this] {
    Sender mine = sender();
    for (std::uint64_t i = 0; i < 3; ++i) static_cast<void>(mine.send(frame(i)));
    for (;;) pause();
    return 0;
  });
  Receiver waiting = receiver();
  Receiver polling = receiver();
  for (std::uint64_t i = 0; i < 3; ++i) ASSERT_EQ(receive(waiting), frame(i));
  child.signal(SIGKILL);
  child.join();
  EXPECT_EQ(waiting.next(soon()).status(), Status::kPeerDied);
  EXPECT_EQ(waiting.status(), Status::kPeerDied);
  std::uint64_t read = 0;
  const Deadline timeout = soon();
  while (polling.status() == Status::kOk && !timeout.passed()) {
    const auto message = polling.try_next();
    if (!message) continue;
    EXPECT_EQ(message->text(), frame(read));
    ++read;
  }
  EXPECT_EQ(read, 3u);
  EXPECT_EQ(polling.status(), Status::kPeerDied);
}

TEST_F(FramesTest, AReceiverThatAwaitsASuccessorGoesOnWithIt) {
  std::optional<Receiver> awaiting;
  {
    Child child([this] {
      Sender mine = sender();
      static_cast<void>(mine.send(frame(0)));
      static_cast<void>(mine.try_claim(10));
      for (;;) pause();
      return 0;
    });
    awaiting.emplace(receiver("await_successor=1"));
    ASSERT_EQ(receive(*awaiting), frame(0));
  }  // killed
  EXPECT_EQ(awaiting->next(Deadline::after(milliseconds(120))).status(), Status::kTimedOut);
  Sender successor = sender();
  EXPECT_EQ(successor.info().messages, 1u);
  ASSERT_EQ(successor.send(frame(1)), Status::kOk);
  EXPECT_EQ(receive(*awaiting), frame(1));
  successor.close();
  EXPECT_EQ(receive(*awaiting), kEndOfStreamText);
}

TEST_F(FramesTest, TheNameGoesWithTheLast) {
  {
    // What was sent before a receiver came stays.
    Sender mine = sender();
    ASSERT_EQ(mine.send(frame(0)), Status::kOk);
  }
  ASSERT_TRUE(inspect(name_));
  {
    Receiver late = receiver();
    EXPECT_EQ(receive(late), frame(0));
    EXPECT_EQ(receive(late), kEndOfStreamText);
  }
  EXPECT_FALSE(inspect(name_));
  {
    Sender mine = sender("&keep=1");
    Receiver other = receiver("keep=1");
  }
  EXPECT_TRUE(inspect(name_));
}

TEST_F(FramesTest, AForkedChildIsRefused) {
  Sender mine = sender();
  Receiver other = receiver();
  ASSERT_EQ(mine.send(frame(0)), Status::kOk);
  Child child([&] {
    if (mine.try_send("x") != Status::kForked) return 1;
    if (other.try_next()) return 2;
    return other.status() == Status::kForked ? 0 : 3;
  });
  EXPECT_EQ(child.join(), 0);
  EXPECT_EQ(receive(other), frame(0));
}

TEST_F(FramesTest, WhatCanNotBeMeantSaysWhatWouldBeRight) {
  const auto refusal = [](const std::string& url) {
    const auto refused = Receiver::open(url, {.wait = Deadline::now()});
    return refused ? std::string("it was opened") : refused.error().message;
  };
  EXPECT_THAT(refusal(url_ + "&policy=reliable"), HasSubstr("policy=lossy"));
  EXPECT_THAT(refusal(url_ + "&from=7"), HasSubstr("from=oldest or from=newest"));
  EXPECT_THAT(refusal(url_ + "&name=x"), HasSubstr("is for kind=record"));
  EXPECT_THAT(refusal(url_ + "&capacity=1MiB"), HasSubstr("frames and frame_size"));
  EXPECT_THAT(refusal(name_ + "?frames=8"), HasSubstr("say kind=frames"));
  EXPECT_THAT(refusal(name_ + "?kind=frames&frames=1"), HasSubstr("from 2 to 1024"));
  EXPECT_THAT(refusal(name_ + "?kind=frames&frame_size=0"), HasSubstr("such as 12MiB"));
  // Where the pool that stands there is no such one.
  Sender mine = sender();
  EXPECT_THAT(refusal(name_ + "?policy=reliable"), HasSubstr("policy=lossy"));
  EXPECT_THAT(refusal(name_ + "?name=x"), HasSubstr("has no"));
  EXPECT_THAT(refusal(name_ + "?kind=frames&frames=9"), HasSubstr("exists with frames=8, not 9"));
  EXPECT_THAT(refusal(name_ + "?readers=4"), HasSubstr("exists with readers=3, not 4"));
  EXPECT_THAT(refusal(name_ + "?kind=record"), HasSubstr("say kind=frames"));
  EXPECT_THAT(refusal(name_ + "?capacity=1MiB"), HasSubstr("kind=frames"));
  const auto counting = Receiver::open(name_ + "?kind=frames", {.senders = 2});
  ASSERT_FALSE(counting);
  EXPECT_EQ(counting.error().code, ErrorCode::kInvalidOption);
  const auto second = Sender::open(name_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
}

TEST_F(FramesTest, OutsidersSeeWhoHoldsWhat) {
  Sender mine = sender();
  Receiver slow = receiver();
  Receiver latest = receiver("policy=latest");
  send(mine, 0, 5);
  const auto held = slow.try_next();
  ASSERT_EQ(receive(latest), frame(4));
  const auto info = inspect(name_);
  ASSERT_TRUE(info);
  ASSERT_NE(info->as<FramesInfo>(), nullptr);
  EXPECT_EQ(info->as<FramesInfo>()->frames, 8u);
  EXPECT_EQ(info->max_message_bytes, kFrameBytes);
  EXPECT_EQ(info->messages, 5u);
  EXPECT_EQ(info->reader_places(), 3u);
  ASSERT_EQ(info->readers().size(), 2u);
  const ReaderInfo& one = info->readers()[0];
  EXPECT_TRUE(one.alive);
  EXPECT_EQ(one.policy, ReaderPolicy::kLossy);
  EXPECT_EQ(one.frames_held, 1u);
  EXPECT_EQ(one.received, 1u);
  EXPECT_EQ(one.to_come, 4u);
  const ReaderInfo& two = info->readers()[1];
  EXPECT_EQ(two.policy, ReaderPolicy::kLatest);
  EXPECT_EQ(two.frames_held, 0u);
  EXPECT_EQ(two.lost, 4u);
  EXPECT_EQ(std::get<FramesInfo>(mine.info().kind).readers.size(), 2u);
}

// --- Kills ---------------------------------------------------------------------------------------

constexpr std::uint32_t kReaders = 3;

struct Books {
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> read{0};
  std::atomic<std::uint64_t> wrong{0};
};

// Reads, holding each frame for a moment, and judges what it got, and what it says it lost.
int read_frames(const std::string& url, Books& books, bool to_the_end) {
  auto receiver = Receiver::open(url);
  if (!receiver) return 1;
  const std::uint64_t before = receiver->info().messages;
  std::uint64_t got = 0;
  for (const Message& message : *receiver) {
    std::uint64_t number = 0;
    if (message.size() < sizeof number) return 2;
    std::memcpy(&number, message.bytes().data(), sizeof number);
    if (number % 16 == 0) usleep(300);
    const bool right = message.text() == frame(number) && number == before + got + receiver->lost();
    if (!right) ++books.wrong;
    ++books.read;
    ++got;
  }
  if (!to_the_end) return 3;
  return receiver->status() == Status::kEnded ? 0 : 4;
}

class FramesKillTest : public FramesTest {
 protected:
  static constexpr int kKills = 250;
  std::mt19937_64 random_{random_seed()};
  Shared<Books> books_;
};

TEST_F(FramesKillTest, ReadersKilledAtRandom) {
  // As few frames as can be: what the dead hold has to come back.
  url_ = name_ + "?kind=frames&frames=4&frame_size=" + std::to_string(kFrameBytes);
  Sender mine = sender("&readers=3&keep=1");
  std::vector<std::unique_ptr<Child>> readers;
  const auto read = [&] { return read_frames(name_ + "?keep=1", *books_, true); };
  for (std::uint32_t i = 0; i < kReaders; ++i) readers.push_back(std::make_unique<Child>(read));
  std::uint64_t sent = 0;
  const auto send_for_a_while = [&] {
    const Deadline end = Deadline::after(std::chrono::microseconds(random_() % 3'000));
    do {
      ASSERT_EQ(mine.send(frame(sent), soon()), Status::kOk);
      ++sent;
    } while (!end.passed());
  };
  for (std::uint64_t kills = scaled(kKills); kills > 0; --kills) {
    send_for_a_while();
    auto& victim = readers[random_() % kReaders];
    victim->signal(SIGKILL);
    ASSERT_EQ(victim->join(), -SIGKILL);
    victim = std::make_unique<Child>(read);
  }
  ASSERT_EQ(mine.wait_for_receivers(kReaders, soon()), Status::kOk);
  send_for_a_while();
  // All that are there read to the end, and nothing stays held.
  EXPECT_EQ(mine.flush(soon()), Status::kOk);
  EXPECT_EQ(mine.close(), Status::kOk);
  for (auto& reader : readers) EXPECT_EQ(reader->join(), 0);
  EXPECT_EQ(books_->wrong, 0u);
  EXPECT_GT(books_->read, 0u);
  std::printf("%llu frames sent, %llu read\n", static_cast<unsigned long long>(sent),
              static_cast<unsigned long long>(books_->read.load()));
}

TEST_F(FramesKillTest, SendersKilledAtRandom) {
  const auto send_numbers = [this] {
    Sender mine = sender("&readers=3&keep=1");
    while (!books_->stop) {
      // The successor goes on behind what was committed.
      auto claim = mine.claim(kFrameBytes, soon());
      if (!claim) return 2;
      const std::string text = frame(mine.info().messages);
      std::memcpy(claim->bytes().data(), text.data(), text.size());
      claim->shrink(text.size());
      std::move(*claim).commit();
    }
    return mine.close() == Status::kOk ? 0 : 3;
  };
  auto sending = std::make_unique<Child>(send_numbers);
  std::vector<std::unique_ptr<Child>> readers;
  for (std::uint32_t i = 0; i < kReaders; ++i) {
    readers.push_back(std::make_unique<Child>(
        [&] { return read_frames(name_ + "?keep=1&await_successor=1", *books_, true); }));
  }
  for (std::uint64_t kills = scaled(kKills); kills > 0; --kills) {
    usleep(static_cast<unsigned>(random_() % 3'000));
    sending->signal(SIGKILL);
    ASSERT_EQ(sending->join(), -SIGKILL);
    sending = std::make_unique<Child>(send_numbers);
  }
  const std::uint64_t read = books_->read;
  const Deadline timeout = soon();
  while (books_->read < read + 10 && !timeout.passed()) usleep(100);
  books_->stop = true;
  EXPECT_EQ(sending->join(), 0);
  for (auto& reader : readers) EXPECT_EQ(reader->join(), 0);
  EXPECT_EQ(books_->wrong, 0u);
  std::printf("%llu frames read\n", static_cast<unsigned long long>(books_->read.load()));
}

}  // namespace
}  // namespace rondo::testing
