// The spsc ring as two threads on one mapping, with payloads in plain memory, for TSan: weakening
// any one of P1, C1, P2, C2 makes it report a race.
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "support/spsc_fixture.hpp"

namespace rondo {
namespace {

using Message = std::array<std::uint64_t, 4>;
using Ring = testing::SpscFixture<Message, 16>;  // wraps and fills
constexpr std::uint64_t kMessages = 20000;

Message message(std::uint64_t i) { return {i, i + 1, i + 2, i + 3}; }

void send_singly(Ring& ring) {
  auto producer = ring.producer();
  for (std::uint64_t i = 0; i < kMessages; ++i) {
    while (!producer.try_push(message(i))) std::this_thread::yield();
  }
}

void send_batches(Ring& ring) {
  auto producer = ring.producer();
  for (std::uint64_t i = 0; i < kMessages;) {
    auto claim = producer.try_claim_some(std::min<std::uint64_t>(5, kMessages - i));
    if (!claim) {
      std::this_thread::yield();
      continue;
    }
    for (Message& slot : claim->first()) slot = message(i++);
    for (Message& slot : claim->second()) slot = message(i++);
    std::move(*claim).commit();
  }
}

// The number of messages that arrived whole and in order.
std::uint64_t receive_singly(Ring& ring, Acknowledge acknowledge, Pacing pacing) {
  auto consumer = ring.consumer(acknowledge, pacing);
  for (std::uint64_t i = 0; i < kMessages; ++i) {
    const Message* found;
    while ((found = consumer.try_peek()) == nullptr) std::this_thread::yield();
    if (*found != message(i)) return i;
    consumer.give_back();
  }
  return kMessages;
}

std::uint64_t receive_batches(Ring& ring, Acknowledge acknowledge, Pacing pacing) {
  auto consumer = ring.consumer(acknowledge, pacing);
  for (std::uint64_t i = 0; i < kMessages;) {
    auto messages = consumer.try_next_some(7);
    if (!messages) {
      std::this_thread::yield();
      continue;
    }
    for (const auto& run : {messages->first(), messages->second()}) {
      for (const Message& found : run) {
        if (found != message(i)) return i;
        ++i;
      }
    }
  }
  return kMessages;
}

class SpscRingRace : public ::testing::TestWithParam<std::tuple<Acknowledge, Pacing>> {
 protected:
  void SetUp() override { alarm(120); }
  void TearDown() override { alarm(0); }
};

TEST_P(SpscRingRace, SingleMessagesAreReadAsWritten) {
  Ring ring;
  std::thread sender(send_singly, std::ref(ring));
  EXPECT_EQ(receive_singly(ring, std::get<0>(GetParam()), std::get<1>(GetParam())), kMessages);
  sender.join();
}

TEST_P(SpscRingRace, BatchesAreReadAsWritten) {
  Ring ring;
  std::thread sender(send_batches, std::ref(ring));
  EXPECT_EQ(receive_batches(ring, std::get<0>(GetParam()), std::get<1>(GetParam())), kMessages);
  sender.join();
}

INSTANTIATE_TEST_SUITE_P(Modes, SpscRingRace,
                         ::testing::Combine(::testing::Values(Acknowledge::kLazily,
                                                              Acknowledge::kEagerly),
                                            ::testing::Values(Pacing::kOff, Pacing::kOn)));

}  // namespace
}  // namespace rondo
