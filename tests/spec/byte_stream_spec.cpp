// Contract of a stream over a descriptor (stream/fd_stream.hpp). Each line has a test of the same
// name, in this order.
//  1. ASocketGoesBothWays
//  2. AWaitIsForOneDirection
//  3. WhoLooksGivesTheCoreAwayNowAndThen
//  4. TheOtherSidesEndIsFoundByReadingAndByAsking
//  5. WritingToNobodyRaisesNoSignal
//  6. WhatIsTakenOfAFullBufferCounts
//  7. WhoIsHeldUpAnewHasItsTimeAnew
//  8. WhoseBytesAreBeingReadOwesNothing
#include "stream/byte_stream.hpp"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include "stream/fd_stream.hpp"
#include "stream/socket_stream.hpp"
#include "support/between_questions.hpp"
#include "support/yielded_cores.hpp"

namespace rondo::detail {
namespace {

using Direction = ByteStream::Direction;
using Outcome = ByteStream::Outcome;

class ByteStreams : public ::testing::Test {
 protected:
  ByteStreams() {
    int both[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both) != 0) std::abort();
    left_ = on_heap(FdStream(UniqueFd(both[0]), Direction::kWrite));
    right_ = on_heap(FdStream(UniqueFd(both[1]), Direction::kRead));
  }
  static Outcome write(ByteStream& stream, const std::string& text) {
    const std::array pieces{std::as_bytes(std::span(text))};
    const ByteStream::Moved moved = stream.write(pieces);
    EXPECT_EQ(moved.bytes, moved.outcome == Outcome::kMoved ? text.size() : 0u);
    return moved.outcome;
  }
  static std::string read(ByteStream& stream) {
    std::string text(64, ' ');
    const std::span bytes = std::as_writable_bytes(std::span(text));
    const auto moved = stream.read({bytes.first(2), bytes.subspan(2)});
    text.resize(moved.bytes);
    return text;
  }
  static WaitResult look(const ByteStream& stream, Direction direction, WaitMode mode) {
    return stream.wait(direction, Deadline::after(std::chrono::milliseconds(1)), mode, nullptr);
  }

  std::unique_ptr<ByteStream> left_;
  std::unique_ptr<ByteStream> right_;
};

// Whatever direction it was opened for.
TEST_F(ByteStreams, ASocketGoesBothWays) {
  EXPECT_EQ(write(*left_, "there"), Outcome::kMoved);
  EXPECT_EQ(read(*right_), "there");
  EXPECT_EQ(write(*right_, "and back"), Outcome::kMoved);
  EXPECT_EQ(read(*left_), "and back");
}

TEST_F(ByteStreams, AWaitIsForOneDirection) {
  EXPECT_EQ(look(*left_, Direction::kWrite, WaitMode::kPark), WaitResult::kReady);
  EXPECT_EQ(look(*left_, Direction::kRead, WaitMode::kPark), WaitResult::kTimedOut);
  EXPECT_EQ(write(*right_, "x"), Outcome::kMoved);
  EXPECT_EQ(look(*left_, Direction::kRead, WaitMode::kPark), WaitResult::kReady);
  EXPECT_EQ(read(*left_), "x");

  // Until it takes no more.
  const std::string much(1 << 16, 'x');
  const std::array pieces{std::as_bytes(std::span(much))};
  while (left_->write(pieces).outcome == Outcome::kMoved) {
  }
  EXPECT_EQ(look(*left_, Direction::kWrite, WaitMode::kPark), WaitResult::kTimedOut);
  EXPECT_EQ(look(*right_, Direction::kRead, WaitMode::kPark), WaitResult::kReady);
  // A mode that spins looks by itself.
  EXPECT_EQ(look(*left_, Direction::kWrite, WaitMode::kSpin), WaitResult::kReady);
}

TEST_F(ByteStreams, WhoLooksGivesTheCoreAwayNowAndThen) {
  for (const WaitMode mode : {WaitMode::kSpin, WaitMode::kPause}) {
    const auto start = Deadline::Clock::now();
    const std::uint64_t before = testing::yielded_cores;
    // As a wait for a message does: each time it finds nothing it waits anew.
    std::uint64_t looks = 0;
    while (testing::yielded_cores < before + 3) {
      EXPECT_EQ(left_->wait(Direction::kRead, Deadline::never(), mode, nullptr),
                WaitResult::kReady);
      ++looks;
    }
    EXPECT_GE(Deadline::Clock::now() - start, 2 * WaitStrategy::kGiveWay);
    EXPECT_GE(looks, 3u);
  }
}

TEST_F(ByteStreams, TheOtherSidesEndIsFoundByReadingAndByAsking) {
  EXPECT_FALSE(left_->peer_gone());
  std::array<std::byte, 1> byte{};
  EXPECT_EQ(left_->read({std::span(byte), std::span<std::byte>()}).outcome, Outcome::kNotNow);
  right_->close();
  EXPECT_TRUE(left_->peer_gone());
  EXPECT_EQ(left_->read({std::span(byte), std::span<std::byte>()}).outcome, Outcome::kEnd);
}

TEST_F(ByteStreams, WritingToNobodyRaisesNoSignal) {
  right_->close();
  EXPECT_EQ(write(*left_, "x"), Outcome::kEnd);
  int both[2];
  ASSERT_EQ(pipe(both), 0);
  const auto pipe = on_heap(FdStream(UniqueFd(both[1]), Direction::kWrite));
  ASSERT_EQ(::close(both[0]), 0);
  EXPECT_EQ(write(*pipe, "x"), Outcome::kEnd);
}

using std::chrono::milliseconds;

// A blocked sender is not told of room before most of the buffer is free, and writes nothing.
TEST_F(ByteStreams, WhatIsTakenOfAFullBufferCounts) {
  std::array<int, 2> ends{};
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()), 0);
  const int size = 106'496;  // the system takes twice as much
  ASSERT_EQ(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size), 0);
  const UniqueFd far(ends[1]);
  StreamSocket near(UniqueFd{ends[0]}, nullptr, false, true, false);
  std::vector<char> bytes(4'096);
  while (send(ends[0], bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) {
  }
  near.set_held_up(true);
  usleep(20'000);
  EXPECT_GE(near.waited(), milliseconds(20));
  // Less than it shall take.
  ASSERT_EQ(recv(far.get(), bytes.data(), bytes.size(), 0), 4'096);
  EXPECT_GE(near.waited(), milliseconds(20));
  for (int i = 0; i < 20; ++i) ASSERT_EQ(recv(far.get(), bytes.data(), bytes.size(), 0), 4'096);
  pollfd room{ends[0], POLLOUT, 0};
  EXPECT_EQ(poll(&room, 1, 0), 0);
  EXPECT_EQ(near.waited().count(), 0);
  usleep(20'000);
  EXPECT_GE(near.waited(), milliseconds(20));
}

// Two sockets that are connected; what one of them has to say is `near`'s.
struct Ends {
  explicit Ends(bool receives) : Ends(pair(), !receives, receives) {}
  Ends(std::array<int, 2> ends, bool sends, bool receives)
      : far(ends[1]), near(UniqueFd{ends[0]}, nullptr, false, sends, receives) {}
  static std::array<int, 2> pair() {
    std::array<int, 2> ends{};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) std::abort();
    return ends;
  }

  UniqueFd far;
  StreamSocket near;
};

TEST_F(ByteStreams, WhoIsHeldUpAnewHasItsTimeAnew) {
  Ends ends(false);
  const std::vector<char> bytes(4'096);
  while (send(ends.near.fd(), bytes.data(), bytes.size(), MSG_DONTWAIT) > 0) {
  }
  ends.near.set_held_up(true);
  usleep(20'000);
  // The sender goes on, and is held up again, while it is asked what was taken.
  testing::before_question = [&] {
    ends.near.set_held_up(false);
    ends.near.set_held_up(true);
  };
  EXPECT_LT(ends.near.waited(), milliseconds(20));
}

TEST_F(ByteStreams, WhoseBytesAreBeingReadOwesNothing) {
  Ends ends(true);
  const auto some = [&] { ASSERT_EQ(send(ends.far.get(), "x", 1, 0), 1); };
  const auto take = [&] {
    char byte = 0;
    ends.near.looks();
    const bool in_vain = recv(ends.near.fd(), &byte, 1, MSG_DONTWAIT) != 1;
    ends.near.looked(in_vain);
  };
  ends.near.watch_idleness();
  some();
  usleep(20'000);
  take();  // and before it is known whether that was the end of a message
  EXPECT_EQ(ends.near.waited().count(), 0);
  take();
  EXPECT_GE(ends.near.waited(), milliseconds(20));
  // Taken after it was found that nothing is there to be taken.
  some();
  testing::before_question = take;
  EXPECT_EQ(ends.near.waited().count(), 0);
}

}  // namespace
}  // namespace rondo::detail
