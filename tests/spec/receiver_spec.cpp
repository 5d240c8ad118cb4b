// What is a Receiver's own, beyond the contract of every channel (tests/conformance): above all,
// what arrives on a byte stream from a peer that is not a Sender.
//  1. FramesMayArriveByteByByte
//  2. AHelloIsNoMessage
//  3. AnEndMarkEndsWhateverFollows
//  4. AStreamThatBreaksOffInsideAMessageIsASendersDeath
//  5. ALengthBeyondTheLargestIsRefused
//  6. RandomBytesAreMessagesOrAnErrorButNeverMore
//  7. ADescriptorKeepsItsBlockingModeForOthers
//  8. AFileIsReadLikeAStream
//  9. APathThatIsSomethingElseIsRefused
// 10. AStaleSocketIsReplacedAndALivingOneIsNot
// 11. AMessageHeldStaysWhereItIs
// 12. WhatIsSentBehindTheEndIsNotForAReceiverThatMetIt
#include "rondo/transports/receiver.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "conformance/channel_fixture.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;

// The writing end of a pipe in an unpermitted peer's hands, and a Receiver on the other.
class ReceiverTest : public Watchdog {
 protected:
  ReceiverTest() {
    std::array<int, 2> ends{-1, -1};
    EXPECT_EQ(::pipe(ends.data()), 0);
    writing_ = ends[1];
    receiver_.emplace(Receiver::open("fd:" + std::to_string(ends[0]) + "?capacity=4KiB").value());
  }
  ~ReceiverTest() override { hang_up(); }

  void write(std::string_view bytes) const {
    ASSERT_EQ(::write(writing_, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  void hang_up() {
    if (writing_ >= 0) ::close(writing_);
    writing_ = -1;
  }
  static std::string length(std::uint32_t size) {
    return std::string(reinterpret_cast<const char*>(&size), sizeof size);
  }
  static std::string frame(std::string_view message) {
    return length(static_cast<std::uint32_t>(message.size())) + std::string(message);
  }
  static std::string status_text(Status status) {
    return "<" + std::string(to_string(status)) + ">";
  }

  int writing_ = -1;
  std::optional<Receiver> receiver_;
};

TEST_F(ReceiverTest, FramesMayArriveByteByByte) {
  const std::string stream = frame("one") + frame("") + frame("three");
  std::vector<std::string> messages;
  for (const char byte : stream) {
    write(std::string_view(&byte, 1));
    while (auto message = receiver_->try_next()) messages.emplace_back(message->text());
  }
  EXPECT_THAT(messages, ::testing::ElementsAre("one", "", "three"));
}

TEST_F(ReceiverTest, AHelloIsNoMessage) {
  write(length(0xFFFFFFFE) + frame("one"));
  EXPECT_EQ(receive(*receiver_), "one");
  // A stream has one, at its beginning.
  write(length(0xFFFFFFFE) + frame("two"));
  EXPECT_EQ(receive(*receiver_), status_text(Status::kCorrupt));
}

TEST_F(ReceiverTest, AnEndMarkEndsWhateverFollows) {
  write(frame("one") + length(0xFFFFFFFF) + frame("two"));
  EXPECT_EQ(receive(*receiver_), "one");
  EXPECT_EQ(receive(*receiver_), kEndOfStreamText);
  EXPECT_EQ(receive(*receiver_), kEndOfStreamText);
}

TEST_F(ReceiverTest, AStreamThatBreaksOffInsideAMessageIsASendersDeath) {
  write(frame("one") + length(100) + "only this");
  hang_up();
  EXPECT_EQ(receive(*receiver_), "one");
  EXPECT_EQ(receive(*receiver_), status_text(Status::kPeerDied));
}

TEST_F(ReceiverTest, ALengthBeyondTheLargestIsRefused) {
  const auto largest = static_cast<std::uint32_t>(receiver_->max_message_bytes());
  write(frame(std::string(largest, 'x')) + length(largest + 1) + std::string(10, 'y'));
  EXPECT_EQ(receive(*receiver_), std::string(largest, 'x'));
  EXPECT_EQ(receive(*receiver_), status_text(Status::kCorrupt));
  EXPECT_EQ(receiver_->status(), Status::kCorrupt);
}

TEST_F(ReceiverTest, RandomBytesAreMessagesOrAnErrorButNeverMore) {
  std::mt19937_64 random(random_seed());
  for (int round = 0; round < 300; ++round) {
    std::array<int, 2> ends{-1, -1};
    ASSERT_EQ(::pipe(ends.data()), 0);
    auto receiver = Receiver::open("fd:" + std::to_string(ends[0]) + "?capacity=4KiB");
    ASSERT_TRUE(receiver);
    std::string stream;
    while (stream.size() < 20'000) {
      stream += frame(std::string(random() % 64, 'x'));
      // Now and then a length that lies.
      if (random() % 100 == 0)
        stream += length(static_cast<std::uint32_t>(random() >> random() % 32));
    }
    ASSERT_EQ(::write(ends[1], stream.data(), stream.size()), static_cast<ssize_t>(stream.size()));
    ::close(ends[1]);
    std::size_t bytes = 0;
    for (const Message& message : *receiver) bytes += message.size();
    EXPECT_LE(bytes, stream.size());
    EXPECT_NE(receiver->status(), Status::kOk);
  }
}

TEST_F(ReceiverTest, ADescriptorKeepsItsBlockingModeForOthers) {
  std::array<int, 2> ends{-1, -1};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const int others = dup(ends[0]);  // shares the open file description, as a shell does
  {
    auto receiver = Receiver::open("fd:" + std::to_string(ends[0]));
    ASSERT_TRUE(receiver);
    EXPECT_FALSE(receiver->try_next());
  }
  EXPECT_EQ(fcntl(others, F_GETFL) & O_NONBLOCK, 0);
  ::close(others);
  ::close(ends[1]);
}

TEST_F(ReceiverTest, AFileIsReadLikeAStream) {
  const ScratchDirectory directory;
  const std::string path = directory.path() + "/frames";
  const int out = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  {
    auto sender = Sender::open("fd:" + std::to_string(out));
    ASSERT_TRUE(sender);
    for (int i = 0; i < 100; ++i) {
      ASSERT_EQ(sender->send(bytes_of(numbered_message(1, 1000))), Status::kOk);
    }
  }
  const int in = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  auto receiver = Receiver::open("fd:" + std::to_string(in));
  ASSERT_TRUE(receiver);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(receive(*receiver), numbered_message(1, 1000));
  EXPECT_EQ(receive(*receiver), kEndOfStreamText);
  unlink(path.c_str());
}

TEST_F(ReceiverTest, APathThatIsSomethingElseIsRefused) {
  const ScratchDirectory directory;
  const std::string path = directory.path() + "/file";
  std::ofstream(path) << "not a channel";
  for (const char* scheme : {"fifo:", "unix:"}) {
    const auto receiver = Receiver::open(scheme + path);
    ASSERT_FALSE(receiver) << scheme;
    EXPECT_EQ(receiver.error().code, ErrorCode::kForeignObject) << scheme;
    const auto removed = remove(scheme + path);
    ASSERT_FALSE(removed) << scheme;
    EXPECT_EQ(removed.error().code, ErrorCode::kForeignObject) << scheme;
  }
  const std::string link = directory.path() + "/link";
  ASSERT_EQ(symlink(path.c_str(), link.c_str()), 0);
  const auto through_link = Receiver::open("fifo:" + link);
  ASSERT_FALSE(through_link);
  EXPECT_EQ(through_link.error().code, ErrorCode::kForeignObject);
  unlink(link.c_str());
  unlink(path.c_str());
}

TEST_F(ReceiverTest, AStaleSocketIsReplacedAndALivingOneIsNot) {
  const ScratchDirectory directory;
  const std::string path = directory.path() + "/socket";
  const OpenOptions at_once{.wait = Deadline::after(milliseconds(20))};
  {
    const int stale = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(bind(stale, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ::close(stale);
  }
  // It listens, finds no sender in time, and takes its name away.
  const auto nobody = Receiver::open("unix:" + path, at_once);
  ASSERT_FALSE(nobody);
  EXPECT_EQ(nobody.error().code, ErrorCode::kTimedOut);
  EXPECT_NE(access(path.c_str(), F_OK), 0);

  std::atomic<bool> stop{false};
  std::thread waiting([&] {
    const auto stopped = Receiver::open("unix:" + path, {.stop = &stop});
    EXPECT_FALSE(stopped);
  });
  while (access(path.c_str(), F_OK) != 0) std::this_thread::yield();
  std::optional<ErrorCode> refused;
  // Between bind() and listen() it looks stale, but only to processes that do not hold the lock.
  const auto second =
      Receiver::open("unix:" + path, {.wait = Deadline::after(std::chrono::seconds(30))});
  if (!second) refused = second.error().code;
  EXPECT_EQ(refused, ErrorCode::kBusy);
  stop = true;
  waiting.join();
  EXPECT_NE(access(path.c_str(), F_OK), 0);
}

TEST_F(ReceiverTest, AMessageHeldStaysWhereItIs) {
  auto pair = open_pair("inproc:?capacity=4KiB");
  ASSERT_TRUE(pair);
  auto& [sender, receiver] = *pair;
  ASSERT_EQ(sender.send(bytes_of(std::string(1'000, 'a'))), Status::kOk);
  auto held = receiver.try_next();
  ASSERT_TRUE(held);
  while (sender.try_send(bytes_of(std::string(1'000, 'b'))) == Status::kOk) {
  }
  EXPECT_EQ(held->text(), std::string(1'000, 'a'));
}

TEST_F(ReceiverTest, WhatIsSentBehindTheEndIsNotForAReceiverThatMetIt) {
  const std::string url = "inproc:behind-the-end-" + std::to_string(getpid()) + "?kind=mpmc";
  auto first = Sender::open(url);
  auto receiver = Receiver::open(url);
  ASSERT_TRUE(first && receiver);
  ASSERT_EQ(first->close(), Status::kOk);
  ASSERT_EQ(receive(*receiver), kEndOfStreamText);
  auto second = Sender::open(url);
  ASSERT_TRUE(second);
  ASSERT_EQ(second->send("for another"), Status::kOk);
  EXPECT_FALSE(receiver->try_next());
  EXPECT_EQ(receive(*receiver), kEndOfStreamText);
  auto another = Receiver::open(url);
  ASSERT_TRUE(another);
  EXPECT_EQ(receive(*another), "for another");
}

}  // namespace
}  // namespace rondo::testing
