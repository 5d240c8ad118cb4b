// Handles over a ring that somebody damages while they use it: errors, never a crash, a hang, or a
// read out of bounds (which ASan would see).
//
//   1. ATruncatedRingIsReported
//   2. ScribbledBytesAreSurvived
//   3. AScribbledRingIsRefusedOrSurvivedWhenOpened
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <optional>
#include <random>
#include <string>

#include "conformance/channel_fixture.hpp"
#include "rondo/core/segment.hpp"

namespace rondo::testing {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

class HostileTest : public Watchdog {
 protected:
  ~HostileTest() override { static_cast<void>(remove(url_, true)); }

  [[nodiscard]] std::span<std::byte> map() {
    auto segment = Segment::attach({Backing::kSharedMemory, url_.substr(url_.find(':') + 1)}, {});
    EXPECT_TRUE(segment) << segment.error().message;
    segment_.emplace(std::move(segment).value());
    return segment_->bytes();
  }

  // Overwrites a word, mostly one that matters: behind the header and the table, before the
  // records' bulk; with values that are near what is there, or anything.
  void scribble(std::span<std::byte> bytes) {
    const std::size_t words = bytes.size() / 8;
    const std::size_t word =
        random_() % 4 == 0 ? random_() % words : 1024 + random_() % (words - 1024);
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data() + word * 8, 8);
    switch (random_() % 4) {
      case 0: value = random_(); break;
      case 1: value += (random_() % 64) * 8 - 256; break;
      case 2: value = random_() >> random_() % 64; break;
      default: value ^= std::uint64_t{1} << random_() % 64; break;
    }
    std::memcpy(bytes.data() + word * 8, &value, 8);
  }

  std::string url_ = "shm:" + fresh_name();
  std::mt19937_64 random_{random_seed()};
  std::optional<Segment> segment_;
};

TEST_F(HostileTest, ATruncatedRingIsReported) {
  auto pair = open_pair(url_);
  ASSERT_TRUE(pair);
  auto& [sender, receiver] = *pair;
  ASSERT_EQ(sender.send(bytes_of("before")), Status::kOk);
  ASSERT_EQ(receive(receiver), "before");
  ASSERT_EQ(truncate(("/dev/shm/rondo-" + url_.substr(4)).c_str(), 0), 0);

  EXPECT_EQ(receiver.next(Deadline::after(seconds(60))).status(), Status::kCorrupt);
  Status status = Status::kOk;
  while (status == Status::kOk) {
    status = sender.send(bytes_of(std::string(1'000, 'x')), Deadline::after(seconds(60)));
  }
  EXPECT_EQ(status, Status::kCorrupt);
}

TEST_F(HostileTest, ScribbledBytesAreSurvived) {
  const std::uint64_t rounds = scaled(300);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    auto pair = open_pair(url_ + "?capacity=4KiB");
    ASSERT_TRUE(pair) << pair.error().message;
    auto& [sender, receiver] = *pair;
    const auto bytes = map();
    std::size_t sum = 0;
    for (int step = 0; step < 60; ++step) {
      if (random_() % 3 == 0) scribble(bytes);
      const std::string message(random_() % 600, 'x');
      switch (random_() % 6) {
        case 0:
          static_cast<void>(sender.send(bytes_of(message), Deadline::after(microseconds(50))));
          break;
        case 1:
        case 2: static_cast<void>(sender.try_send(bytes_of(message))); break;
        case 3: static_cast<void>(sender.flush(Deadline::now())); break;
        case 4: sum += receiver.next(Deadline::after(microseconds(50))).has_value() ? 1 : 0; break;
        default:
          for (int i = 0; i < 5; ++i) {
            if (auto got = receiver.try_next()) {
              for (const std::byte b : got->bytes()) sum += static_cast<std::size_t>(b);
            }
          }
      }
    }
    static_cast<void>(sender.info());
    static_cast<void>(receiver.info());
    static_cast<void>(inspect(url_));
    segment_.reset();
    EXPECT_LT(sum, ~std::size_t{0});
    sender.close();
    receiver.detach();
    static_cast<void>(remove(url_, true));
  }
}

TEST_F(HostileTest, AScribbledRingIsRefusedOrSurvivedWhenOpened) {
  const std::uint64_t rounds = scaled(300);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    {
      auto sender = Sender::open(url_ + "?capacity=4KiB&keep=1");
      ASSERT_TRUE(sender) << sender.error().message;
      for (int i = 0; i < 10; ++i) {
        static_cast<void>(sender->try_send(bytes_of(numbered_message(1, random_() % 300))));
      }
      const auto bytes = map();
      for (int i = 0; i < 3; ++i) scribble(bytes);
    }
    segment_.reset();
    static_cast<void>(inspect(url_));
    auto sender = Sender::open(url_);
    if (sender) static_cast<void>(sender->try_send(bytes_of("x")));
    auto receiver = Receiver::open(url_, {.wait = Deadline::after(microseconds(100))});
    for (int i = 0; receiver && i < 20; ++i) {
      static_cast<void>(receiver->next(Deadline::after(microseconds(50))));
    }
    static_cast<void>(remove(url_, true));
  }
}

}  // namespace
}  // namespace rondo::testing
