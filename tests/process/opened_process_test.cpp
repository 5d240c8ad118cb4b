// Rings opened by a name, between processes: messages and values pass, the dead are succeeded and
// the living are not, a forked child has no part in what it inherits, and of many who come and go
// at one name nobody is left with a ring that has lost it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <random>
#include <string>

#include "rondo/core/latest_open.hpp"
#include "rondo/core/spsc_open.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"

namespace rondo::testing {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using Ring = spsc_ring<std::uint64_t>;
using Cell = latest<std::uint64_t>;

class OpenedByProcesses : public Watchdog {
 protected:
  [[nodiscard]] bool is_there() const { return std::filesystem::exists(name_.path()); }

  ShmName name_;
  std::string url_ = "shm:" + name_.word();
};

TEST_F(OpenedByProcesses, MessagesPassAndTheNameGoes) {
  constexpr std::uint64_t kMessages = 200'000;
  Child sends([&] {
    auto producer = Ring::open_producer(url_, {.capacity = 256});
    if (!producer) return 1;
    for (std::uint64_t i = 0; i < kMessages; ++i) {
      while (!producer->try_push(i)) cpu_relax();
    }
    return 0;
  });
  {
    auto consumer = Ring::open_consumer(url_, {.capacity = 256});
    ASSERT_TRUE(consumer) << consumer.error().message;
    for (std::uint64_t i = 0; i < kMessages;) {
      const auto got = consumer->try_pop();
      if (!got) continue;
      ASSERT_EQ(*got, i);
      ++i;
    }
    EXPECT_EQ(sends.join(), 0);
    EXPECT_EQ(consumer->peer(), Presence::kAbsent);
  }
  EXPECT_FALSE(is_there());
}

TEST_F(OpenedByProcesses, ADeadProducerIsSucceededAndNothingIsLost) {
  run_and_kill([&] {
    static auto producer = Ring::open_producer(url_, {.capacity = 64});
    return producer && producer->try_push(1) && producer->try_push(2) ? 0 : 1;
  });
  auto producer = Ring::open_producer(url_);
  ASSERT_TRUE(producer) << producer.error().message;
  EXPECT_EQ(producer->position(), 2u);
  EXPECT_TRUE(producer->try_push(3));
  auto consumer = Ring::open_consumer(url_);
  for (const std::uint64_t i : {1, 2, 3}) EXPECT_EQ(consumer->try_pop(), i);
}

TEST_F(OpenedByProcesses, WhatADeadConsumerDidNotGiveBackIsSeenAgain) {
  auto producer = Ring::open_producer(url_, {.capacity = 64});
  ASSERT_TRUE(producer->try_push(1));
  run_and_kill([&] {
    static auto consumer = Ring::open_consumer(url_);
    return consumer && consumer->try_pop() == 1u ? 0 : 1;
  });
  auto consumer = Ring::open_consumer(url_);
  ASSERT_TRUE(consumer) << consumer.error().message;
  EXPECT_EQ(consumer->try_pop(), 1u);
}

TEST_F(OpenedByProcesses, ADeadWritersValueStaysAndItsSuccessorGoesOn) {
  run_and_kill([&] {
    static auto writer = Cell::open_writer(url_);
    if (!writer) return 1;
    writer->store(41);
    return 0;
  });
  auto reader = Cell::open_reader(url_);
  ASSERT_TRUE(reader) << reader.error().message;
  std::uint64_t value = 0;
  EXPECT_EQ(reader->try_load(value), LatestRead::kValue);
  EXPECT_EQ(value, 41u);
  EXPECT_EQ(reader->peer(), Presence::kAbsent);
  EXPECT_TRUE(reader->attachment().at_its_name());

  auto writer = Cell::open_writer(url_);
  ASSERT_TRUE(writer) << writer.error().message;
  EXPECT_EQ(writer->version(), 1u);
  writer->store(42);
  EXPECT_EQ(reader->try_load(value), LatestRead::kValue);
  EXPECT_EQ(value, 42u);
  EXPECT_EQ(reader->peer(), Presence::kPresent);
}

// Stopped is alive, too.
TEST_F(OpenedByProcesses, AStoppedOneIsNotSucceededAndIsNamed) {
  for (const bool cell : {false, true}) {
    Shared<std::atomic<bool>> there;
    Child holds([&] {
      const auto producer = cell ? std::nullopt : std::optional(Ring::open_producer(url_));
      const auto writer = cell ? std::optional(Cell::open_writer(url_)) : std::nullopt;
      *there = cell ? writer->has_value() : producer->has_value();
      for (;;) pause();
      return 0;
    });
    while (!*there) usleep(100);
    holds.signal(SIGSTOP);
    holds.join_stop();
    const std::string refused =
        cell ? message_of(Cell::open_writer(url_)) : message_of(Ring::open_producer(url_));
    EXPECT_THAT(refused, HasSubstr("(process " + std::to_string(holds.pid()) + " "));
    holds.signal(SIGKILL);
    holds.join();
    EXPECT_EQ(cell ? code_of(Cell::open_writer(url_)) : code_of(Ring::open_producer(url_)),
              "no error");
    EXPECT_FALSE(is_there());
  }
}

// What the child inherited gives nothing back, leaves nothing and holds nobody's place.
TEST_F(OpenedByProcesses, AForkedChildHasNoPartInIt) {
  auto producer = Ring::open_producer(url_, {.capacity = 64});
  auto consumer = Ring::open_consumer(url_);
  for (const std::uint64_t i : {1, 2, 3}) ASSERT_TRUE(producer->try_push(i));
  ASSERT_EQ(consumer->try_pop(), 1u);
  ShmName other;
  auto writer = Cell::open_writer("shm:" + other.word());
  ASSERT_TRUE(writer);
  Child child([&] {
    if (!producer->forked() || !consumer->forked() || !writer->forked()) return 1;
    if (code_of(producer->leave()) != code_of(ErrorCode::kForked)) return 2;
    {
      const auto moved = std::move(consumer).value();
      const auto gone = std::move(producer).value();
      const auto cell = std::move(writer).value();
      if (!moved.forked() || !cell.forked()) return 3;
    }
    if (code_of(Ring::open_producer(url_)) != code_of(ErrorCode::kBusy)) return 4;
    if (code_of(Cell::open_writer("shm:" + other.word())) != code_of(ErrorCode::kBusy)) return 5;
    return 0;
  });
  EXPECT_EQ(child.join(), 0);
  EXPECT_FALSE(consumer->forked());
  EXPECT_TRUE(is_there());
  // relaxed: the child is gone.
  EXPECT_EQ(consumer->parts().consumer->head.load(std::memory_order_relaxed), 0u);
  EXPECT_EQ(consumer->try_pop(), 2u);
  EXPECT_EQ(code_of(Ring::open_consumer(url_)), code_of(ErrorCode::kBusy));
}

// The name is taken away and made anew all the time; who is in at last finds the other side.
TEST_F(OpenedByProcesses, OfManyWhoComeAndGoNobodyIsLeftWithoutTheName) {
  constexpr int kRounds = 300;
  const std::uint64_t seed = random_seed();
  const auto come_and_go = [&](std::uint64_t who) {
    std::mt19937_64 random(seed + who);
    for (int i = 0; i < kRounds; ++i) {
      const auto fits = [](const auto& opened) {
        if (!opened) return opened.error().code == ErrorCode::kBusy;
        return opened->attachment().at_its_name();
      };
      const bool sound = random() % 2 == 0 ? fits(Ring::open_producer(url_, {.capacity = 2}))
                                           : fits(Ring::open_consumer(url_, {.capacity = 2}));
      if (!sound) return 1;
    }
    return 0;
  };
  Child first([&] { return come_and_go(1); });
  Child second([&] { return come_and_go(2); });
  Child third([&] { return come_and_go(3); });
  EXPECT_EQ(first.join(), 0);
  EXPECT_EQ(second.join(), 0);
  EXPECT_EQ(third.join(), 0);
  EXPECT_FALSE(is_there());
}

}  // namespace
}  // namespace rondo::testing
