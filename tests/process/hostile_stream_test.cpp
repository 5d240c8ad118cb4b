// A peer at the other end of a byte stream that never stops and never says a whole message: calls
// end by their deadlines, and by the stop flag.
//
//   1. AMessageThatNeverEndsHoldsNoCallBeyondItsDeadline
//   2. AMessageThatNeverEndsDoesNotKeepTheStopFlagOut
//   3. WhatCameOfALargeMessageIsKept
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>

#include "conformance/channel_fixture.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;

// How a message begins that has no end, in each framing that has a whole message to wait for.
struct Endless {
  const char* options;
  std::string head;
};

class HostileStreamTest : public Watchdog, public ::testing::WithParamInterface<int> {
 protected:
  HostileStreamTest() {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_) != 0) std::abort();
  }
  ~HostileStreamTest() override {
    over_ = true;
    shutdown(ends_[1], SHUT_RDWR);
    if (writer_.joinable()) writer_.join();
    close(ends_[1]);
  }
  static const Endless& endless() {
    using namespace std::string_literals;
    static const Endless all[] = {{"framing=rondo", "\0\0\0\x7F"s},
                                  {"framing=lines", ""},
                                  {"framing=length32be", "\x7F\0\0\0"s},
                                  {"framing=raw&block=1GiB", ""}};
    return all[GetParam()];
  }
  Receiver open(const OpenOptions& options = {}) {
    auto receiver = Receiver::open(
        "fd:" + std::to_string(ends_[0]) + "?capacity=4GiB&" + endless().options, options);
    if (!receiver) throw std::runtime_error(receiver.error().message);
    return std::move(receiver).value();
  }
  // From another thread, byte by byte, so that there is always one more.
  void begin_to_write() {
    writer_ = std::thread([this] {
      const std::string head = endless().head;
      static_cast<void>(!write(ends_[1], head.data(), head.size()));
      while (!over_ && send(ends_[1], "x", 1, MSG_NOSIGNAL) == 1) {
      }
    });
  }

  int ends_[2];
  std::atomic<bool> over_{false};
  std::thread writer_;
};

INSTANTIATE_TEST_SUITE_P(Framings, HostileStreamTest, ::testing::Range(0, 4));

TEST_P(HostileStreamTest, AMessageThatNeverEndsHoldsNoCallBeyondItsDeadline) {
  Receiver receiver = open();
  begin_to_write();
  for (int i = 0; i < 20; ++i) {
    EXPECT_FALSE(receiver.try_next());
    EXPECT_EQ(receiver.next(Deadline::after(milliseconds(2))).status(), Status::kTimedOut);
  }
  EXPECT_EQ(receiver.status(), Status::kOk);
}

TEST_P(HostileStreamTest, AMessageThatNeverEndsDoesNotKeepTheStopFlagOut) {
  std::atomic<bool> stop{false};
  OpenOptions options;
  options.stop = &stop;
  Receiver receiver = open(options);
  begin_to_write();
  std::thread stopper([&] { stop = true; });
  EXPECT_EQ(receiver.next().status(), Status::kInterrupted);
  stopper.join();
}

TEST_P(HostileStreamTest, WhatCameOfALargeMessageIsKept) {
  using namespace std::string_literals;
  const std::string large(30 << 20, 'y');
  const std::string options = endless().options;
  std::string wire = large;
  if (options == "framing=rondo") wire = "\0\0\xE0\x01"s + large + "\xFF\xFF\xFF\xFF"s;
  if (options == "framing=length32be") wire = "\x01\xE0\0\0"s + large;
  Receiver receiver = open();
  writer_ = std::thread([&] {
    for (std::size_t sent = 0; sent < wire.size();) {
      const ssize_t now = write(ends_[1], wire.data() + sent, wire.size() - sent);
      if (now <= 0) return;
      sent += static_cast<std::size_t>(now);
    }
    shutdown(ends_[1], SHUT_WR);
  });
  // By calls that each find only a part of it.
  std::string got;
  while (receiver.status() == Status::kOk) {
    if (auto message = receiver.try_next()) got += message->text();
  }
  EXPECT_EQ(receiver.status(), Status::kEnded);
  EXPECT_TRUE(got == large);
}

}  // namespace
}  // namespace rondo::testing
