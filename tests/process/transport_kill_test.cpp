// Handles whose process is killed at random moments, hundreds of times over the life of one ring:
// nothing that was committed is lost, nothing is torn, and the survivor goes on with a successor.
//
//   1. SendersKilledAtRandom
//   2. ReceiversKilledAtRandom
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <random>
#include <string>
#include <thread>

#include "conformance/channel_fixture.hpp"

namespace rondo::testing {
namespace {

using std::chrono::seconds;

// A message bears its number twice, and as many bytes of a pattern as the number asks for.
std::string message_of(std::uint64_t number) {
  std::string message = numbered_message(number, number % 400);
  return std::string(reinterpret_cast<const char*>(&number), sizeof number) + message;
}

std::uint64_t number_of(const Message& message) {
  std::uint64_t number = ~std::uint64_t{0};
  if (message.size() >= sizeof number) std::memcpy(&number, message.bytes().data(), sizeof number);
  return number;
}

struct World {
  std::atomic<std::uint64_t> next{0};      // number of the next message
  std::atomic<std::uint64_t> expected{0};  // by receivers
  std::atomic<std::uint64_t> wrong{0};
};

class TransportKillTest : public Watchdog {
 protected:
  static constexpr int kKills = 200;

  void sleep_at_random() { usleep(static_cast<unsigned>(random_() % 2'500)); }
  [[nodiscard]] std::uint64_t kills() const { return scaled(kKills); }

  std::string url_ = "shm:" + unique_word() + "?capacity=16KiB&await_successor=1";
  std::mt19937_64 random_{random_seed()};
  Shared<World> world_;
};

TEST_F(TransportKillTest, SendersKilledAtRandom) {
  std::atomic<bool> stop{false};
  std::uint64_t received = 0;
  std::uint64_t twice = 0;
  // A thread of this process reads; it is started before anything is forked, and waits for senders.
  // (The children never touch what it holds.)
  std::thread receiving([&] {
    auto receiver = Receiver::open(url_, {.stop = &stop});
    ASSERT_TRUE(receiver) << receiver.error().message;
    std::uint64_t expected = 0;
    for (const Message& message : *receiver) {
      const std::uint64_t number = number_of(message);
      // Killed between committing and counting: its successor sends that number again.
      if (expected > 0 && number == expected - 1) {
        ++twice;
        continue;
      }
      ASSERT_EQ(number, expected);
      ASSERT_EQ(message.text(), message_of(number));
      ++expected;
    }
    received = expected;
    EXPECT_EQ(receiver->status(), Status::kEnded);
  });

  const std::uint64_t kills = this->kills();
  for (std::uint64_t i = 0; i < kills; ++i) {
    Child child([this] {
      auto sender = Sender::open(url_);
      if (!sender) return 1;
      for (;;) {
        const std::uint64_t number = world_->next;
        if (sender->send(bytes_of(message_of(number))) != Status::kOk) return 2;
        world_->next = number + 1;
      }
    });
    sleep_at_random();
    child.signal(SIGKILL);
    ASSERT_EQ(child.join(), -SIGKILL);
  }
  {
    auto last = Sender::open(url_);
    ASSERT_TRUE(last) << last.error().message;
    EXPECT_EQ(last->close(), Status::kOk);
  }
  receiving.join();
  EXPECT_GE(received, world_->next);
  EXPECT_LE(received, world_->next + 1);
  EXPECT_LE(twice, kills);
  std::printf("%llu kills, %llu messages, %llu of them sent twice\n",
              static_cast<unsigned long long>(kills), static_cast<unsigned long long>(received),
              static_cast<unsigned long long>(twice));
}

TEST_F(TransportKillTest, ReceiversKilledAtRandom) {
  auto sender = Sender::open(url_);
  ASSERT_TRUE(sender) << sender.error().message;
  std::uint64_t sent = 0;
  const std::uint64_t kills = this->kills();
  for (std::uint64_t i = 0; i <= kills; ++i) {
    const bool last = i == kills;
    Child child([this, last] {
      auto receiver = Receiver::open(url_ + (random_() % 2 == 0 ? "&ack=eager" : ""));
      if (!receiver) return 1;
      // What a predecessor had read but not given back comes again; nothing is left out.
      std::uint64_t expected = ~std::uint64_t{0};
      for (const Message& message : *receiver) {
        const std::uint64_t number = number_of(message);
        const bool follows =
            expected == ~std::uint64_t{0} ? number <= world_->expected : number == expected;
        if (!follows || message.text() != message_of(number)) ++world_->wrong;
        expected = number + 1;
        if (expected > world_->expected) world_->expected = expected;
      }
      return last && receiver->status() == Status::kEnded ? 0 : 2;
    });
    const Deadline until = Deadline::after(std::chrono::microseconds(random_() % 2'500));
    while (!until.passed()) {
      const Status status = sender->send(bytes_of(message_of(sent)), until);
      if (status == Status::kTimedOut) break;
      ASSERT_EQ(status, Status::kOk);
      ++sent;
    }
    if (last) {
      EXPECT_EQ(sender->close(), Status::kOk);
      EXPECT_EQ(child.join(), 0);
    } else {
      child.signal(SIGKILL);
      ASSERT_EQ(child.join(), -SIGKILL);
    }
  }
  EXPECT_EQ(world_->wrong, 0u);
  EXPECT_EQ(world_->expected, sent);
  std::printf("%llu kills, %llu messages\n", static_cast<unsigned long long>(kills),
              static_cast<unsigned long long>(sent));
}

}  // namespace
}  // namespace rondo::testing
