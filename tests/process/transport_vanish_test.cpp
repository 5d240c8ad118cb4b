// Channels between processes, one of which vanishes.
//
//   1. MessagesPassBetweenProcesses
//   2. TheReceiverMayStartFirst
//   3. AKilledSenderLeavesEverythingItCommitted
//   4. ASenderNoticesThatItsReceiverWasKilled
//   5. AStoppedPeerIsNotTakenForDead
//   6. AHandleInheritedByForkDoesNothing
#include <gmock/gmock.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <iterator>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "conformance/channel_fixture.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Where two processes meet: a name, or the two ends of a pipe that both inherit.
class Meeting {
 public:
  explicit Meeting(const ChannelCase& channel, std::string url) : url_(std::move(url)) {
    if (channel.target == ChannelCase::Target::kNone && ::pipe(pipe_.data()) != 0) {
      throw std::runtime_error("pipe");
    }
  }
  Meeting(const Meeting&) = delete;
  Meeting& operator=(const Meeting&) = delete;
  ~Meeting() {
    drop(0);
    drop(1);
    // What a killed receiver has not read stays for another one; here, none comes.
    static_cast<void>(remove(url_, true));
  }
  // Each process opens one end; the other end of a pipe is let go of.
  [[nodiscard]] Sender sender(const OpenOptions& options = {}) {
    drop(0);
    return opened(Sender::open(end(1), options));
  }
  [[nodiscard]] Receiver receiver(const OpenOptions& options = {}) {
    drop(1);
    return opened(Receiver::open(end(0), options));
  }

 private:
  std::string end(std::size_t which) {
    if (pipe_[which] < 0) return url_;
    return "fd:" + std::to_string(std::exchange(pipe_[which], -1)) + "?capacity=4KiB";
  }
  void drop(std::size_t which) {
    if (pipe_[which] >= 0) ::close(std::exchange(pipe_[which], -1));
  }
  template <class Handle>
  static Handle opened(Result<Handle> handle) {
    if (!handle) throw std::runtime_error(handle.error().message);
    return std::move(handle).value();
  }

  std::string url_;
  std::array<int, 2> pipe_{-1, -1};
};

class VanishTest : public ChannelTest {
 protected:
  Meeting meeting_{GetParam(), url() + "?" + options_of(GetParam(), 4096)};
};

std::vector<ChannelCase> between_processes() {
  std::vector<ChannelCase> cases;
  std::ranges::copy_if(kChannelCases, std::back_inserter(cases), &ChannelCase::processes);
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Every, VanishTest, ::testing::ValuesIn(between_processes()),
                         [](const auto& channel) { return std::string(channel.param.name); });

// What the two processes tell each other apart from the channel.
struct Signals {
  std::atomic<bool> ready{false};
  std::atomic<bool> done{false};
};

void await(const std::atomic<bool>& flag) {
  while (!flag) usleep(100);  // the watchdog bounds it
}

int send_numbers(Meeting& meeting, std::uint64_t count) {
  Sender sender = meeting.sender();
  for (std::uint64_t i = 0; i < count; ++i) {
    if (sender.send(bytes_of(numbered_message(i, i % 700))) != Status::kOk) return 1;
  }
  return sender.close() == Status::kOk ? 0 : 2;
}

void expect_numbers(Receiver& receiver, std::uint64_t count) {
  for (std::uint64_t i = 0; i < count; ++i) {
    ASSERT_EQ(receive(receiver), numbered_message(i, i % 700)) << "message " << i;
  }
}

TEST_P(VanishTest, MessagesPassBetweenProcesses) {
  Child child([this] { return send_numbers(meeting_, 5'000); });
  Receiver receiver = meeting_.receiver();
  expect_numbers(receiver, 5'000);
  EXPECT_EQ(receive(receiver), kEndOfStreamText);
  EXPECT_EQ(child.join(), 0);
}

TEST_P(VanishTest, TheReceiverMayStartFirst) {
  Shared<Signals> signals;
  Child child([this, &signals] {
    signals->ready = true;
    Receiver receiver = meeting_.receiver();
    for (std::uint64_t i = 0; i < 100; ++i) {
      if (receive(receiver) != numbered_message(i, i % 700)) return 1;
    }
    return receive(receiver) == kEndOfStreamText ? 0 : 2;
  });
  await(signals->ready);
  EXPECT_EQ(send_numbers(meeting_, 100), 0);
  EXPECT_EQ(child.join(), 0);
}

TEST_P(VanishTest, AKilledSenderLeavesEverythingItCommitted) {
  Shared<Signals> signals;
  Child child([this, &signals] {
    Sender sender = meeting_.sender();
    for (std::uint64_t i = 0; i < 10; ++i) {
      if (sender.send(bytes_of(numbered_message(i, i % 700))) != Status::kOk) return 1;
    }
    // A guarded ring is handed over by its sender, which does nothing from here on.
    if (sender.wait_for_receiver() != Status::kOk) return 2;
    [[maybe_unused]] auto claim = sender.claim(500);  // never committed
    signals->ready = true;
    for (;;) pause();
  });
  Receiver receiver = meeting_.receiver();
  await(signals->ready);
  child.signal(SIGKILL);
  EXPECT_EQ(child.join(), -SIGKILL);

  expect_numbers(receiver, 10);
  EXPECT_EQ(receiver.next(Deadline::after(seconds(60))).status(), Status::kPeerDied);
  EXPECT_EQ(receiver.status(), Status::kPeerDied);
  EXPECT_FALSE(receiver.try_next());
}

TEST_P(VanishTest, ASenderNoticesThatItsReceiverWasKilled) {
  Shared<Signals> signals;
  Child child([this, &signals] {
    Receiver receiver = meeting_.receiver();
    if (receive(receiver) != "first") return 1;
    signals->ready = true;
    for (;;) pause();
  });
  Sender sender = meeting_.sender();
  ASSERT_EQ(sender.send(bytes_of("first")), Status::kOk);
  ASSERT_EQ(sender.wait_for_receiver(), Status::kOk);
  await(signals->ready);
  child.signal(SIGKILL);
  EXPECT_EQ(child.join(), -SIGKILL);

  Status status = Status::kOk;
  while (status == Status::kOk) {
    status = sender.send(bytes_of(std::string(700, 'x')), Deadline::after(seconds(60)));
  }
  // The system does not tell a byte stream's sender how its reader ended.
  EXPECT_EQ(status, GetParam().ring ? Status::kPeerDied : Status::kPeerGone);
  EXPECT_EQ(sender.status(), status);
}

TEST_P(VanishTest, AStoppedPeerIsNotTakenForDead) {
  Shared<Signals> signals;
  Child child([this, &signals] {
    Sender sender = meeting_.sender();
    if (sender.send(bytes_of("before")) != Status::kOk) return 1;
    if (sender.wait_for_receiver() != Status::kOk) return 3;
    signals->ready = true;
    await(signals->done);
    return sender.send(bytes_of("after")) == Status::kOk ? 0 : 2;
  });
  Receiver receiver = meeting_.receiver();
  EXPECT_EQ(receive(receiver), "before");
  await(signals->ready);
  child.signal(SIGSTOP);
  child.join_stop();
  // Longer than it takes to probe a peer, several times.
  EXPECT_EQ(receiver.next(Deadline::after(milliseconds(200))).status(), Status::kTimedOut);
  EXPECT_EQ(receiver.status(), Status::kOk);
  signals->done = true;
  child.signal(SIGCONT);
  EXPECT_EQ(receive(receiver), "after");
  EXPECT_EQ(receive(receiver), kEndOfStreamText);
  EXPECT_EQ(child.join(), 0);
}

TEST_P(VanishTest, AHandleInheritedByForkDoesNothing) {
  auto [sender, receiver] = open();
  Child child([&sender = sender, &receiver = receiver] {
    if (sender.flush() != Status::kForked) return 1;
    if (receiver.next().status() != Status::kForked) return 2;
    if (sender.close() != Status::kForked) return 3;
    receiver.detach();
    return 0;
  });
  EXPECT_EQ(child.join(), 0);
  // Neither ended, nor removed, nor drained.
  ASSERT_EQ(sender.send(bytes_of("on")), Status::kOk);
  EXPECT_EQ(receive(receiver), "on");
  EXPECT_EQ(sender.close(), Status::kOk);
  EXPECT_EQ(receive(receiver), kEndOfStreamText);
}

}  // namespace
}  // namespace rondo::testing
