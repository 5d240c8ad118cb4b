// The two sides of a guarded ring killed at each of their system calls, before and after, while
// they make the ring, come in, pass messages and leave: each step of the handshake included. What
// the other side sees of a process apart from its memory (the socket, descriptors, locks, seals)
// changes at system calls only; for the memory see guarded_ring_step_test.cpp. The other side lives
// all the time, and goes on with a successor:
//   - a sender lets in the next receiver, which finds what its predecessor had not given back;
//   - a receiver that was inside gets all that was committed, is told of the death, and finds the
//     next sender at the name.
#include <gtest/gtest.h>

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <string>

#include "conformance/channel_fixture.hpp"
#include "process/each_system_call.hpp"
#include "support/sanitizers.hpp"

namespace rondo::testing {
namespace {

constexpr auto kLong = std::chrono::seconds(60);

Deadline soon() { return Deadline::after(kLong); }

// What the processes of a story know of each other.
struct Log {
  std::atomic<std::uint64_t> sent;    // numbers of messages whose sending has returned
  std::atomic<std::uint64_t> read;    // the reader had these, or was about to have them
  std::atomic<std::uint64_t> passed;  // streams that the living receiver has seen the end of
  std::atomic<int> wrong;             // what it found wrong; 0: nothing
};

class GuardedAtASystemCall : public Watchdog {
 protected:
  ScratchDirectory directory_;
  std::string url_ = "shm+guarded:" + directory_.path() + "/ring";
  Shared<Log> log_;
};

std::uint64_t number_in(const Message& message) { return std::stoull(std::string(message.text())); }

// Reads up to message `last`. 0 if nothing was passed over or came out of order.
int read_up_to(const std::string& url, std::uint64_t last, Log& log, bool may_begin_later) {
  auto receiver = Receiver::open(url, {.wait = soon()});
  if (!receiver) return 1;
  std::uint64_t expected = ~std::uint64_t{0};
  while (expected != last + 1) {
    auto message = receiver->next(soon());
    if (!message) return 2;
    const std::uint64_t number = number_in(*message);
    const bool first = expected == ~std::uint64_t{0};
    if (first ? number > log.read && !may_begin_later : number != expected) return 3;
    expected = number + 1;
    log.read = expected;
  }
  return 0;
}

TEST_F(GuardedAtASystemCall, TheOnlyReceiverFromConnectingToLeaving) {
  auto sender = Sender::open(url_ + "?capacity=4KiB&await_successor=1");
  ASSERT_TRUE(sender) << sender.error().message;
  std::uint64_t next = 0;
  const auto send = [&] { ASSERT_EQ(sender->send(std::to_string(next++), soon()), Status::kOk); };
  const int stride = kAddressSanitizer ? 5 : 1;
  int moment = 0;
  for (bool there = true; there; moment += stride) {
    SCOPED_TRACE("stop " + std::to_string(moment) + " at a system call");
    send();
    send();
    there = kill_at_system_call(
        moment,
        [&] {
          auto receiver = Receiver::open(url_ + "?ack=eager", {.wait = soon()});
          for (int i = 0; i < 2; ++i) {
            log_->read = number_in(*receiver->next(soon())) + 1;
          }
          receiver->detach();
        },
        [&] { static_cast<void>(sender->receiver_attached()); });
    Child successor([&] { return read_up_to(url_ + "?ack=eager", next, *log_, false); });
    send();
    ASSERT_EQ(sender->flush(soon()), Status::kOk);
    ASSERT_EQ(successor.join(), 0);
  }
  std::printf("%d moments\n", moment);
  EXPECT_GT(moment, 50);
}

TEST_F(GuardedAtASystemCall, OneOfSeveralReceiversFromConnectingToLeaving) {
  auto sender = Sender::open(url_ + "?capacity=4KiB&readers=2");
  ASSERT_TRUE(sender) << sender.error().message;
  const int stride = kAddressSanitizer ? 5 : 1;
  constexpr std::uint64_t kEnd = ~std::uint64_t{0} / 2;
  Child steady([&] { return read_up_to(url_, kEnd, *log_, false); });
  ASSERT_EQ(sender->wait_for_receiver(soon()), Status::kOk);
  std::uint64_t next = 0;
  const auto send = [&] { ASSERT_EQ(sender->send(std::to_string(next++), soon()), Status::kOk); };
  int moment = 0;
  for (bool there = true; there; moment += stride) {
    SCOPED_TRACE("stop " + std::to_string(moment) + " at a system call");
    there = kill_at_system_call(
        moment,
        [&] {
          auto receiver = Receiver::open(url_ + "?from=newest", {.wait = soon()});
          static_cast<void>(receiver->next(Deadline::now()));
          receiver->detach();
        },
        [&] { static_cast<void>(sender->wait_for_receivers(2, Deadline::now())); });
    // More than the ring holds: the dead one is not waited for.
    for (int i = 0; i < 300; ++i) send();
  }
  Shared<Log> other;
  Child successor([&] { return read_up_to(url_ + "?from=newest", next + 1, *other, true); });
  ASSERT_EQ(sender->wait_for_receivers(2, soon()), Status::kOk);
  send();
  send();
  EXPECT_EQ(successor.join(), 0) << "the dead one's place is not free";
  ASSERT_EQ(sender->flush(soon()), Status::kOk);
  EXPECT_EQ(log_->read, next);
  steady.signal(SIGKILL);
  steady.join();
  std::printf("%d moments\n", moment);
  EXPECT_GT(moment, 50);
}

// Goes from stream to stream until one says "last". 0 if each brought all that it had to.
int follow_streams(const std::string& url, Log& log) {
  for (;;) {
    auto receiver = Receiver::open(url, {.wait = soon()});
    if (!receiver) {
      std::fprintf(stderr, "%s\n", receiver.error().message.c_str());
      return 1;
    }
    std::uint64_t expected = 0;
    for (;;) {
      auto message = receiver->next(Deadline::now());
      if (message.status() == Status::kWouldBlock) {
        usleep(200);
        continue;
      }
      if (!message) {
        const bool ended = message.status() == Status::kEnded;
        if (!ended && message.status() != Status::kPeerDied) return 2;
        // What was committed, and one whose sending had not returned yet.
        if (expected < log.sent || expected > log.sent + 1) return 3;
        ++log.passed;
        break;
      }
      if (message->text() == "last") return 0;
      if (number_in(*message) != expected++) return 4;
    }
  }
}

TEST_F(GuardedAtASystemCall, ASenderFromMakingTheRingToClosing) {
  const int stride = kAddressSanitizer ? 5 : 1;
  Child receiver([&] { return log_->wrong = follow_streams(url_, *log_); });
  int moment = 0;
  for (bool there = true; there; moment += stride) {
    SCOPED_TRACE("stop " + std::to_string(moment) + " at a system call");
    log_->sent = 0;
    there = kill_at_system_call(
        moment,
        [&] {
          auto sender = Sender::open(url_ + "?capacity=4KiB");
          static_cast<void>(sender->wait_for_receiver(soon()));
          for (std::uint64_t i = 0; i < 3; ++i) {
            static_cast<void>(sender->send(std::to_string(i)));
            log_->sent = i + 1;
          }
          static_cast<void>(sender->close(soon()));
        },
        [] {});
    // The next one makes its ring at the name, whatever was left there, and the receiver comes.
    auto sender = Sender::open(url_ + "?capacity=4KiB");
    ASSERT_TRUE(sender) << sender.error().message;
    ASSERT_EQ(sender->wait_for_receiver(soon()), Status::kOk);
    const std::uint64_t passed = log_->passed;
    log_->sent = 1;
    ASSERT_EQ(sender->send(there ? "0" : "last"), Status::kOk);
    ASSERT_EQ(sender->close(soon()), Status::kOk);
    EXPECT_NE(access((directory_.path() + "/ring").c_str(), F_OK), 0);
    while (there && log_->passed == passed && log_->wrong == 0) usleep(100);
    ASSERT_EQ(log_->wrong, 0);
  }
  EXPECT_EQ(receiver.join(), 0);
  std::printf("%d moments\n", moment);
  EXPECT_GT(moment, 50);
}

}  // namespace
}  // namespace rondo::testing
