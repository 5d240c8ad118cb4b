// A FIFO outlives the processes that have it open: one sender and one receiver belong together, and
// none reads the rest of another's stream.
//
//   1. ASuccessorOfAKilledSenderWaitsUntilTheReceiverHasNoticed
//   2. AReceiverDoesNotBeginInTheMiddleOfAnothersStream
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "conformance/channel_fixture.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;

class FifoSessionTest : public Watchdog {
 protected:
  ~FifoSessionTest() override { static_cast<void>(remove(url_, true)); }

  static OpenOptions within(int patience_ms) {
    return {.wait = Deadline::after(milliseconds(patience_ms))};
  }

  ScratchDirectory directory_;
  std::string path_ = directory_.path() + "/fifo";
  std::string url_ = "fifo:" + path_;
};

// What the dead one had begun would be taken for the beginning of what the next one sends.
TEST_F(FifoSessionTest, ASuccessorOfAKilledSenderWaitsUntilTheReceiverHasNoticed) {
  Shared<std::atomic<bool>> written;
  Child child([&] {
    auto sender = Sender::open(url_);
    if (!sender || sender->send("whole") != Status::kOk) return 1;
    // As a kill in the middle of a long write leaves it.
    const int fd = ::open(path_.c_str(), O_WRONLY | O_NONBLOCK);
    const std::array<std::uint32_t, 2> half{1'000, 0};
    if (::write(fd, half.data(), sizeof half) != sizeof half) return 2;
    *written = true;
    for (;;) pause();
  });
  auto receiver = Receiver::open(url_);
  ASSERT_TRUE(receiver) << receiver.error().message;
  EXPECT_EQ(receive(*receiver), "whole");
  while (!*written) usleep(100);  // the watchdog bounds it
  child.signal(SIGKILL);
  EXPECT_EQ(child.join(), -SIGKILL);

  const auto early = Sender::open(url_, within(50));
  ASSERT_FALSE(early) << "its bytes would end the dead one's message";
  EXPECT_EQ(early.error().code, ErrorCode::kTimedOut);
  EXPECT_EQ(receiver->next().status(), Status::kPeerDied);
  receiver->detach();

  Child next([&] {
    auto sender = Sender::open(url_);
    return sender && sender->send("next") == Status::kOk && sender->close() == Status::kOk ? 0 : 1;
  });
  receiver = Receiver::open(url_);
  ASSERT_TRUE(receiver) << receiver.error().message;
  EXPECT_EQ(receive(*receiver), "next");
  EXPECT_EQ(receive(*receiver), kEndOfStreamText);
  EXPECT_EQ(next.join(), 0);
}

TEST_F(FifoSessionTest, AReceiverDoesNotBeginInTheMiddleOfAnothersStream) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);  // so that it stays
  Child child([&] {
    auto sender = Sender::open(url_);
    if (!sender) return 1;
    Status status = Status::kOk;
    for (std::uint64_t i = 0; status == Status::kOk; ++i) {
      status = sender->send(bytes_of(numbered_message(i, 1'000)));
    }
    return status == Status::kPeerGone ? 0 : 2;
  });
  auto first = Receiver::open(url_);
  ASSERT_TRUE(first) << first.error().message;
  EXPECT_EQ(receive(*first), numbered_message(0, 1'000));
  // Until more is on its way; the watchdog bounds it.
  const int look = ::open(path_.c_str(), O_RDONLY | O_NONBLOCK);
  for (int bytes = 0; bytes == 0;) ASSERT_EQ(ioctl(look, FIONREAD, &bytes), 0);
  ::close(look);
  child.signal(SIGSTOP);
  child.join_stop();
  first->detach();

  const auto second = Receiver::open(url_, within(50));
  ASSERT_FALSE(second) << "it would read on wherever the first one stopped";
  EXPECT_EQ(second.error().code, ErrorCode::kTimedOut);
  child.signal(SIGCONT);
  EXPECT_EQ(child.join(), 0) << "the sender has to learn that its receiver has gone";
}

}  // namespace
}  // namespace rondo::testing
