// What is a Sender's own, beyond the contract of every channel (tests/conformance).
//  1. LoneEndsOfNamelessChannelsAreRefused
//  2. DescriptorsAreCheckedWhenOpened
//  3. ASenderKnowsWhetherAReceiverIsThere
//  4. WaitingForAReceiverEndsWhenOneComes
//  5. WhatAFullPipeDoesNotTakeIsWrittenLater
//  6. ABrokenPipeDoesNotRaiseASignal
//  7. AByteStreamCutShortIsNotTakenForEnded
//  8. AwaitingASuccessorIsForRings
//  9. ALibraryOlderThanTheHeadersDoesNotOpen
// 10. ABatchThatNobodyReadsLeavesNoTraceInTheNext
// 11. AClaimThatOutlivesItsChannelIsForgotten
#include "rondo/transports/sender.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <string>
#include <thread>

#include "conformance/channel_fixture.hpp"

namespace rondo::testing {
namespace {

using ::testing::HasSubstr;

class SenderTest : public Watchdog {};

// The URLs of the two ends of a new pipe.
struct Pipe {
  Pipe() { EXPECT_EQ(::pipe(ends.data()), 0); }
  [[nodiscard]] std::string reading() const { return "fd:" + std::to_string(ends[0]); }
  [[nodiscard]] std::string writing() const { return "fd:" + std::to_string(ends[1]); }
  std::array<int, 2> ends{-1, -1};
};

// open_pair() returns both in one object, and each may go to a thread of its own.
TEST_F(SenderTest, BothEndsOfAPairShareNoLine) {
  const auto pair = open_pair("inproc:");
  ASSERT_TRUE(pair) << pair.error().message;
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&pair->first) % kLineBytes, 0u);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&pair->second) % kLineBytes, 0u);
  EXPECT_EQ(sizeof(Sender) % kLineBytes, 0u);
  EXPECT_EQ(sizeof(Receiver) % kLineBytes, 0u);
}

TEST_F(SenderTest, LoneEndsOfNamelessChannelsAreRefused) {
  const auto pipe = Sender::open("pipe:");
  ASSERT_FALSE(pipe);
  EXPECT_EQ(pipe.error().code, ErrorCode::kInvalidUrl);
  EXPECT_THAT(pipe.error().message, HasSubstr("open_pair"));
  const auto inproc = Sender::open("inproc:");
  ASSERT_FALSE(inproc);
  EXPECT_EQ(inproc.error().code, ErrorCode::kInvalidName);
  const auto fd = open_pair("fd:0");
  ASSERT_FALSE(fd);
  EXPECT_EQ(fd.error().code, ErrorCode::kInvalidUrl);
}

TEST_F(SenderTest, DescriptorsAreCheckedWhenOpened) {
  const auto closed = Sender::open("fd:1000");
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().code, ErrorCode::kNotFound);
  const Pipe pipe;
  const auto wrong_end = Sender::open(pipe.reading());
  ASSERT_FALSE(wrong_end);
  EXPECT_EQ(wrong_end.error().code, ErrorCode::kForeignObject);
  EXPECT_EQ(fcntl(pipe.ends[0], F_GETFD), 0) << "a refused descriptor stays open";
  ::close(pipe.ends[0]);
  ::close(pipe.ends[1]);
}

TEST_F(SenderTest, ASenderKnowsWhetherAReceiverIsThere) {
  const std::string url = "shm:" + unique_word();
  auto sender = Sender::open(url);
  ASSERT_TRUE(sender);
  EXPECT_FALSE(sender->receiver_attached());
  EXPECT_EQ(sender->wait_for_receiver(Deadline::now()), Status::kWouldBlock);
  {
    auto receiver = Receiver::open(url);
    EXPECT_TRUE(sender->receiver_attached());
    EXPECT_EQ(sender->wait_for_receiver(), Status::kOk);
  }
  EXPECT_FALSE(sender->receiver_attached());
}

TEST_F(SenderTest, WaitingForAReceiverEndsWhenOneComes) {
  const std::string url = "shm:" + unique_word() + "?wait=park";
  auto sender = Sender::open(url);
  ASSERT_TRUE(sender);
  EXPECT_EQ(sender->wait_for_receiver(Deadline::after(std::chrono::milliseconds(20))),
            Status::kTimedOut);
  std::thread receiving([&url] {
    auto receiver = Receiver::open(url);
    ASSERT_TRUE(receiver);
    EXPECT_EQ(receive(*receiver), kEndOfStreamText);
  });
  EXPECT_EQ(sender->wait_for_receiver(), Status::kOk);
  EXPECT_EQ(sender->close(), Status::kOk);
  receiving.join();
}

TEST_F(SenderTest, WhatAFullPipeDoesNotTakeIsWrittenLater) {
  auto pair = open_pair("pipe:");
  ASSERT_TRUE(pair);
  auto& [sender, receiver] = *pair;
  const std::string large = numbered_message(1, 300'000);  // more than a pipe holds
  ASSERT_EQ(sender.try_send(bytes_of(large)), Status::kOk);
  EXPECT_FALSE(receiver.try_next());
  while (true) {
    const Status status = sender.flush(Deadline::now());
    if (auto message = receiver.try_next()) {
      EXPECT_EQ(message->text(), large);
      break;
    }
    ASSERT_TRUE(status == Status::kWouldBlock || status == Status::kOk);
  }
}

TEST_F(SenderTest, ABrokenPipeDoesNotRaiseASignal) {
  ASSERT_NE(signal(SIGPIPE, SIG_DFL), SIG_ERR);  // would end the test
  const Pipe pipe;
  auto sender = Sender::open(pipe.writing());
  ASSERT_TRUE(sender);
  ::close(pipe.ends[0]);
  EXPECT_EQ(sender->send(bytes_of("x")), Status::kPeerGone);
  sigset_t pending;
  sigpending(&pending);
  EXPECT_EQ(sigismember(&pending, SIGPIPE), 0);
}

TEST_F(SenderTest, AByteStreamCutShortIsNotTakenForEnded) {
  auto pair = open_pair("pipe:");
  ASSERT_TRUE(pair);
  auto& [sender, receiver] = *pair;
  ASSERT_EQ(sender.try_send(bytes_of(std::string(300'000, 'x'))), Status::kOk);
  EXPECT_EQ(sender.close(Deadline::now()), Status::kWouldBlock);
  EXPECT_EQ(receiver.next().status(), Status::kPeerDied);
}

TEST_F(SenderTest, AwaitingASuccessorIsForRings) {
  for (const char* url : {"fd:1", "fifo:/tmp/rondo-test-never", "unix:/tmp/rondo-test-never"}) {
    const auto sender = Sender::open(url, {.await_successor = true});
    ASSERT_FALSE(sender) << url;
    EXPECT_EQ(sender.error().code, ErrorCode::kInvalidOption) << url;
    const auto receiver = Receiver::open(url, {.await_successor = true});
    ASSERT_FALSE(receiver) << url;
    EXPECT_EQ(receiver.error().code, ErrorCode::kInvalidOption) << url;
  }
}

TEST_F(SenderTest, ALibraryOlderThanTheHeadersDoesNotOpen) {
  EXPECT_EQ(version(), kVersion) << "this test and the library are of one build";
  OpenOptions options;
  EXPECT_TRUE(open_pair("inproc:", options));
  ++options.headers.patch;
  const auto newer = open_pair("inproc:", options);
  ASSERT_FALSE(newer);
  EXPECT_EQ(newer.error().code, ErrorCode::kBadVersion);
  EXPECT_THAT(newer.error().message, HasSubstr("compile again"));
  for (const auto end : {Sender::open("shm:never-made", options).error().code,
                         Receiver::open("shm:never-made", options).error().code}) {
    EXPECT_EQ(end, ErrorCode::kBadVersion);
  }
  // A library that is newer and of the same binary interface goes with these headers.
  options.headers = Version{kVersion.major, kVersion.minor - 1, 7};
  EXPECT_TRUE(open_pair("inproc:", options));
}

TEST_F(SenderTest, ABatchThatNobodyReadsLeavesNoTraceInTheNext) {
  auto pair = open_pair("inproc:?capacity=4KiB");
  ASSERT_TRUE(pair);
  auto& [sender, receiver] = *pair;
  ASSERT_EQ(sender.send("read"), Status::kOk);
  ASSERT_EQ(receive(receiver), "read");
  Sender::Batch batch(sender);
  ASSERT_EQ(batch.try_add(bytes_of("not read")), Status::kOk);
  receiver.detach();
  Status status = Status::kOk;
  while (status == Status::kOk) status = batch.try_add(bytes_of(std::string(1'000, 'x')));
  EXPECT_EQ(status, Status::kPeerGone);
  EXPECT_EQ(std::move(batch).commit(), Status::kPeerGone);
  EXPECT_EQ(sender.try_send("nor is this"), Status::kPeerGone);
  Sender::Batch next(sender);
  EXPECT_EQ(next.try_add(bytes_of("nor this")), Status::kPeerGone);
  EXPECT_EQ(std::move(next).commit(), Status::kPeerGone);
}

TEST_F(SenderTest, AClaimThatOutlivesItsChannelIsForgotten) {
  for (const char* url : {"inproc:", "inproc:?kind=mpmc", "pipe:"}) {
    SCOPED_TRACE(url);
    auto pair = open_pair(url);
    ASSERT_TRUE(pair);
    auto& [sender, receiver] = *pair;
    auto claim = sender.try_claim(8);
    ASSERT_TRUE(claim);
    ASSERT_EQ(sender.close(), Status::kOk);
    receiver.detach();  // with it the last of the memory goes
    std::move(*claim).commit();
    EXPECT_EQ(sender.status(), Status::kClosed);
  }
}

}  // namespace
}  // namespace rondo::testing
