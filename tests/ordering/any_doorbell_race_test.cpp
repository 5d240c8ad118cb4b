// The doorbell of any way as threads on one word, with what is waited for in plain memory, for
// TSan: weakening B1 or B2 makes it report a race. By futex: of descriptors TSan knows that a read
// comes after a write.
#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "rondo/sync/any_doorbell.hpp"

namespace rondo::testing {
namespace {

constexpr std::uint64_t kTurns = 3000;

struct Side {
  sync::doorbell_word word{};
  std::uint64_t sent = 0;
};

void wait_for(sync::any_doorbell& bell, const Side& side, std::uint64_t turn) {
  do {
    ASSERT_TRUE(bell.wait());
  } while (side.sent < turn);
}

TEST(AnyDoorbellRace, WhatWasDoneBeforeARingIsDoneWhenItIsTaken) {
  alarm(120);
  Side ping;
  Side pong;
  std::thread other([&] {
    auto in = sync::any_doorbell::by_futex(ping.word);
    auto out = sync::any_doorbell::by_futex(pong.word);
    for (std::uint64_t i = 1; i <= kTurns; ++i) {
      wait_for(in, ping, i);
      pong.sent = i;
      out.ring();
    }
  });
  auto out = sync::any_doorbell::by_futex(ping.word);
  auto in = sync::any_doorbell::by_futex(pong.word);
  for (std::uint64_t i = 1; i <= kTurns; ++i) {
    ping.sent = i;
    out.ring();
    wait_for(in, pong, i);
  }
  other.join();
  alarm(0);
}

}  // namespace
}  // namespace rondo::testing
