// Handles over a ring that a peer damages while they use it: errors, never a crash, a hang, or a
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
#include "rondo/core/mpmc_ring.hpp"
#include "rondo/core/segment.hpp"

namespace rondo::testing {
namespace {

using std::chrono::microseconds;
using std::chrono::seconds;

// Once over a record ring, once over an mpmc ring.
class HostileTest : public Watchdog, public ::testing::WithParamInterface<const char*> {
 protected:
  ~HostileTest() override { static_cast<void>(remove(url_, true)); }

  [[nodiscard]] std::span<std::byte> map() {
    auto segment = Segment::attach({Backing::kSharedMemory, url_.substr(url_.find(':') + 1)}, {});
    EXPECT_TRUE(segment) << segment.error().message;
    segment_.emplace(std::move(segment).value());
    return segment_->bytes();
  }

  // One that matters, mostly: behind the header and the table, before the records' bulk; of slots
  // the positions, the first participants' words, and the slots.
  std::size_t choose_word(std::span<std::byte> bytes) {
    const std::size_t words = bytes.size() / 8;
    if (random_() % 4 == 0) return random_() % words;
    const auto slots = detail::mpmc_attach(bytes, "the ring");
    if (!slots) return 1024 + random_() % (words - 1024);
    const auto word_at = [&](const void* at) {
      return static_cast<std::size_t>(static_cast<const std::byte*>(at) - bytes.data()) / 8;
    };
    switch (random_() % 3) {
      case 0: return word_at(slots->positions) + random_() % (sizeof(MpmcPositions) / 8);
      case 1:
        return word_at(slots->participants) + random_() % (3 * sizeof(MpmcParticipantPart) / 8);
      default: return word_at(slots->slots) + random_() % (slots->capacity * slots->stride / 8);
    }
  }
  // Overwrites a word, with values that are near what is there, or anything.
  void scribble(std::span<std::byte> bytes) {
    const std::size_t word = choose_word(bytes);
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

  std::string url_ = "shm:" + unique_word();
  std::string small_ = url_ + "?" + GetParam();
  std::mt19937_64 random_{random_seed()};
  std::optional<Segment> segment_;
};

INSTANTIATE_TEST_SUITE_P(Rings, HostileTest,
                         ::testing::Values("capacity=4KiB", "kind=mpmc&slots=16&slot_size=1000"),
                         [](const auto& options) {
                           return options.param[0] == 'k' ? "Slots" : "Records";
                         });

TEST_P(HostileTest, ATruncatedRingIsReported) {
  auto pair = open_pair(small_);
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

TEST_P(HostileTest, ScribbledBytesAreSurvived) {
  const std::uint64_t rounds = scaled(300);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    auto pair = open_pair(small_);
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

TEST_P(HostileTest, AScribbledRingIsRefusedOrSurvivedWhenOpened) {
  const std::uint64_t rounds = scaled(300);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    {
      auto sender = Sender::open(small_ + "&keep=1");
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
