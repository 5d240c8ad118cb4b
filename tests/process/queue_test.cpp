// The lives of a message queue's ends (mq: and sysv:), in every order, and what stands at its name.
//
//   1. WhoLeavesLastTakesTheNameAway
//   2. WhatNobodyHasReadStaysForAReceiver
//   3. ASenderThatSentNothingLeavesNothing
//   4. KeepKeepsTheName
//   5. ThereIsOneOfEachSide
//   6. AKilledSendersMessagesAreReadBeforeAnotherSenderComes
//   7. AReceiverGoesOnWhereAKilledOneStopped
//   8. ASenderWhoseReceiverLeftUnseenIsTold
//   9. AReceiverThatHasMetNobodyIsNotMissed
//  10. AForkedChildKeepsNothingOfItsParents
//  11. GarbageInAQueueIsCorrupt
//  12. EndsThatDisagreeAboutHeadersMeetNoMessage
//  13. WhoGoesOnWhereAnotherStoppedHasItsHeaders
//  14. AReceiverThatComesWhileASenderOpensMeetsIt
//  15. ADeathAtAnySystemCallBlocksNobody
//  16. ItsDescriptorTellsOfMessagesAndOfADeath
//  17. AnExistingQueuesGeometryWins
//  18. LimitsAreNamed
//  19. AQueueThatHasComeSinceStays
//  20. RawQueuesAreAnybodys
//  21. EachSystemCallMayFail
//
// The last ones are of POSIX queues alone; those of System V have sysv_queue_test.cpp.
#include <gtest/gtest.h>
#include <mqueue.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "process/each_system_call.hpp"
#include "process/queue_fixture.hpp"
#include "process/stepper.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Queues : public QueuesOf, public ::testing::WithParamInterface<QueueKind> {
 protected:
  Queues() : QueuesOf(GetParam()) {}
};

INSTANTIATE_TEST_SUITE_P(Kinds, Queues, ::testing::Values(kPosix, kSysv),
                         [](const auto& kind) { return kind.param.name; });

TEST_P(Queues, WhoLeavesLastTakesTheNameAway) {
  {
    auto [sender, receiver] = opened(open_pair(url_));
    ASSERT_EQ(sender.send(bytes_of("x")), Status::kOk);
    EXPECT_EQ(sender.close(), Status::kOk);
    EXPECT_TRUE(there());
    EXPECT_EQ(receive(receiver), "x");
    EXPECT_EQ(receive(receiver), kEndOfStreamText);
    receiver.detach();
    EXPECT_FALSE(there());
  }
  {
    auto [sender, receiver] = opened(open_pair(url_));
    ASSERT_EQ(sender.send(bytes_of("x")), Status::kOk);
    receiver.detach();
    EXPECT_FALSE(there());  // none can come any more
    EXPECT_EQ(sender.close(), Status::kPeerGone);
    EXPECT_FALSE(there());
  }
  {  // the receiver was killed
    Shared<std::atomic<bool>> met;
    Child child([&] {
      Receiver receiver = this->receiver();
      *met = receive(receiver) == "x";
      for (;;) pause();
      return 0;
    });
    Sender sender = this->sender();
    ASSERT_EQ(sender.send(bytes_of("x")), Status::kOk);
    while (!*met) usleep(100);
    EXPECT_EQ(sender.wait_for_receiver(), Status::kOk);
    EXPECT_TRUE(sender.receiver_attached());
    child.signal(SIGKILL);
    child.join();
    EXPECT_FALSE(sender.receiver_attached());
  }
  EXPECT_FALSE(there());
}

TEST_P(Queues, WhatNobodyHasReadStaysForAReceiver) {
  {
    Sender sender = this->sender();
    ASSERT_EQ(sender.send(bytes_of("one")), Status::kOk);
    ASSERT_EQ(sender.send(bytes_of("two")), Status::kOk);
    EXPECT_EQ(sender.close(), Status::kOk);
  }
  EXPECT_TRUE(there());
  {
    Receiver receiver = this->receiver();
    EXPECT_EQ(receive(receiver), "one");
  }
  EXPECT_TRUE(there());
  {
    Receiver receiver = this->receiver();
    EXPECT_EQ(receive(receiver), "two");
    EXPECT_EQ(receive(receiver), kEndOfStreamText);
  }
  EXPECT_FALSE(there());
}

TEST_P(Queues, ASenderThatSentNothingLeavesNothing) {
  EXPECT_EQ(sender().close(), Status::kOk);
  EXPECT_FALSE(there());
  const auto receiver = Receiver::open(url_, briefly());
  ASSERT_FALSE(receiver);
  EXPECT_EQ(receiver.error().code, ErrorCode::kTimedOut);
  EXPECT_FALSE(there());
}

TEST_P(Queues, KeepKeepsTheName) {
  {
    auto [sender, receiver] = opened(open_pair(url_ + "?keep=1"));
    ASSERT_EQ(sender.send(bytes_of("x")), Status::kOk);
    EXPECT_EQ(sender.close(), Status::kOk);
    EXPECT_EQ(receive(receiver), "x");
    EXPECT_EQ(receive(receiver), kEndOfStreamText);
  }
  EXPECT_TRUE(there());
  EXPECT_TRUE(remove(url_));
  EXPECT_FALSE(there());
  EXPECT_EQ(remove(url_).error().code, ErrorCode::kNotFound);
}

TEST_P(Queues, ThereIsOneOfEachSide) {
  auto [sender, receiver] = opened(open_pair(url_));
  EXPECT_EQ(Sender::open(url_, briefly()).error().code, ErrorCode::kBusy);
  EXPECT_EQ(Receiver::open(url_, briefly()).error().code, ErrorCode::kBusy);
  EXPECT_EQ(remove(url_).error().code, ErrorCode::kBusy);
  ASSERT_EQ(sender.send(bytes_of("x")), Status::kOk);
  EXPECT_EQ(receive(receiver), "x");
}

TEST_P(Queues, AKilledSendersMessagesAreReadBeforeAnotherSenderComes) {
  run_and_kill([&] {
    auto sender = Sender::open(url_);
    if (!sender || sender->send(bytes_of("left")) != Status::kOk) return 1;
    static auto kept = std::move(sender);
    return 0;
  });
  const auto too_soon = Sender::open(url_, briefly());
  ASSERT_FALSE(too_soon);
  EXPECT_EQ(too_soon.error().code, ErrorCode::kTimedOut);
  EXPECT_NE(too_soon.error().message.find("rondo rm"), std::string::npos);
  Child next([&] {
    Sender sender = this->sender();
    return sender.send(bytes_of("anew")) == Status::kOk && sender.close() == Status::kOk ? 0 : 1;
  });
  {
    Receiver receiver = this->receiver();
    EXPECT_EQ(receive(receiver), "left");
    EXPECT_EQ(receiver.next(Deadline::after(seconds(60))).status(), Status::kPeerDied);
  }
  Receiver receiver = this->receiver();
  EXPECT_EQ(receive(receiver), "anew");
  EXPECT_EQ(receive(receiver), kEndOfStreamText);
  EXPECT_EQ(next.join(), 0);
}

TEST_P(Queues, AReceiverGoesOnWhereAKilledOneStopped) {
  Sender sender = this->sender();
  for (const char* text : {"1", "2", "3"}) ASSERT_EQ(sender.send(bytes_of(text)), Status::kOk);
  run_and_kill([&] {
    auto receiver = Receiver::open(url_);
    if (!receiver || receive(*receiver) != "1") return 1;
    static auto kept = std::move(receiver);
    return 0;
  });
  Receiver receiver = this->receiver();
  EXPECT_EQ(receive(receiver), "2");
  EXPECT_EQ(receive(receiver), "3");
  EXPECT_EQ(sender.close(), Status::kOk);
  EXPECT_EQ(receive(receiver), kEndOfStreamText);
}

TEST_P(Queues, ASenderWhoseReceiverLeftUnseenIsTold) {
  Sender sender = this->sender();
  ASSERT_EQ(sender.send(bytes_of("read")), Status::kOk);
  {
    Receiver receiver = this->receiver();
    EXPECT_EQ(receive(receiver), "read");
  }
  Status status = Status::kOk;
  while (status == Status::kOk) {
    status = sender.send(bytes_of(std::string(4000, 'x')), Deadline::after(seconds(60)));
  }
  EXPECT_EQ(status, Status::kPeerGone);
}

// It gave up while another process judged the name, before it had met the sender.
TEST_P(Queues, AReceiverThatHasMetNobodyIsNotMissed) {
  Sender sender = this->sender();
  {
    const HeldPart judging(GetParam(), url_, QueuePart::kName);
    std::atomic<bool> stop{false};
    std::thread asking([&] {
      while (!GetParam().held(url_, QueuePart::kReceiver)) std::this_thread::yield();
      EXPECT_EQ(sender.wait_for_receiver(Deadline::after(milliseconds(20))), Status::kTimedOut);
      stop = true;
    });
    OpenOptions options = patient();
    options.stop = &stop;
    EXPECT_FALSE(Receiver::open(url_, options));
    asking.join();
  }
  for (int i = 0; i < 20; ++i) {  // more than the queue holds
    ASSERT_EQ(sender.try_send(bytes_of(std::string(4000, 'x'))), Status::kOk);
  }
  EXPECT_EQ(sender.flush(Deadline::after(milliseconds(200))), Status::kTimedOut);
  Receiver receiver = this->receiver();
  EXPECT_EQ(receive(receiver), std::string(4000, 'x'));
}

TEST_P(Queues, AForkedChildKeepsNothingOfItsParents) {
  int until_told[2];
  ASSERT_EQ(pipe2(until_told, O_CLOEXEC), 0);
  Shared<std::atomic<int>> in_child;
  Child parent([&] {
    Sender sender = this->sender();
    if (sender.send(bytes_of("x")) != Status::kOk) return 1;
    if (sender.wait_for_receiver(Deadline::after(seconds(60))) != Status::kOk) return 2;
    if (fork() == 0) {
      *in_child = 1 + static_cast<int>(sender.try_send(bytes_of("y")));
      // Ends with the test, which has the other end.
      close(until_told[1]);
      char byte;
      static_cast<void>(read(until_told[0], &byte, 1) == 0);
      _exit(0);
    }
    while (*in_child == 0) usleep(1000);
    kill(getpid(), SIGKILL);
    return 3;
  });
  Receiver receiver = this->receiver();
  EXPECT_EQ(receive(receiver), "x");
  EXPECT_EQ(receiver.next(Deadline::after(seconds(60))).status(), Status::kPeerDied);
  EXPECT_EQ(*in_child, 1 + static_cast<int>(Status::kForked));
  close(until_told[1]);
  close(until_told[0]);
}

TEST_P(Queues, GarbageInAQueueIsCorrupt) {
  for (const std::string& garbage : {std::string(""), std::string("x"), std::string(100, '\xff')}) {
    ASSERT_TRUE(GetParam().put(url_, garbage));
    Receiver receiver = this->receiver();
    EXPECT_EQ(receiver.next(Deadline::after(seconds(60))).status(), Status::kCorrupt);
  }
}

constexpr std::pair<const char*, const char*> kOfOtherHeaders[] = {
    {"?header=20", ""}, {"", "?header=20"}, {"?header=20", "?header=16"}};

TEST_P(Queues, EndsThatDisagreeAboutHeadersMeetNoMessage) {
  for (const auto& [sends, receives] : kOfOtherHeaders) {
    Sender sender = this->sender(sends);
    ASSERT_EQ(sender.send(bytes_of("a message longer than a header")), Status::kOk);
    Receiver receiver = this->receiver(receives);
    EXPECT_EQ(receiver.next(Deadline::after(seconds(60))).status(), Status::kCorrupt);
    static_cast<void>(rondo::remove(url_, true));
  }
}

// The first one has taken what was told before the first message.
TEST_P(Queues, WhoGoesOnWhereAnotherStoppedHasItsHeaders) {
  const auto send_and_take_one = [&](const std::string& options) {
    Sender sender = this->sender(options);
    for (const char c : {'1', '2'}) {
      auto claim = sender.claim(40);
      if (!claim) return false;
      std::ranges::fill(claim->header(), static_cast<std::byte>(c));
      std::ranges::fill(claim->bytes(), static_cast<std::byte>(c));
      std::move(*claim).commit();
    }
    if (sender.close() != Status::kOk) return false;
    Receiver first = receiver(options);
    return receive(first) == std::string(40, '1');
  };
  ASSERT_TRUE(send_and_take_one("?header=20"));
  {
    Receiver receiver = this->receiver("?header=20");
    auto message = receiver.next(Deadline::after(seconds(60)));
    ASSERT_TRUE(message);
    EXPECT_EQ(message->text(), std::string(40, '2'));
    EXPECT_EQ(std::ranges::count(message->header(), std::byte{'2'}), 20);
    message->release();
    EXPECT_EQ(receive(receiver), kEndOfStreamText);
  }
  for (const auto& [sends, receives] : kOfOtherHeaders) {
    ASSERT_TRUE(send_and_take_one(sends));
    Receiver receiver = this->receiver(receives);
    EXPECT_EQ(receiver.next(Deadline::after(seconds(60))).status(), Status::kCorrupt);
    static_cast<void>(rondo::remove(url_, true));
  }
}

// A sender that has come in, and gives way to the receiver that met it, would be taken for dead.
TEST_P(Queues, AReceiverThatComesWhileASenderOpensMeetsIt) {
  int moment = 0;
  for (bool there = true; there; ++moment) {
    SCOPED_TRACE("the sender stands at a system call, stop " + std::to_string(moment));
    Stepper sends([&] {
      Stepper::begin();
      Sender sender = this->sender();
      Stepper::end();
      _exit(sender.send(bytes_of("hello")) == Status::kOk && sender.close() == Status::kOk ? 0 : 1);
    });
    for (int i = 0; i <= moment && there; ++i) there = sends.run_to_system_call();
    Child receives([&] {
      Receiver receiver = this->receiver();
      return receive(receiver) == "hello" && receive(receiver) == kEndOfStreamText ? 0 : 1;
    });
    // Enough for it to meet whom it can; a slow one meets it later, which is right as well.
    usleep(5000);
    EXPECT_EQ(sends.run_to_exit(), 0);
    EXPECT_EQ(receives.join(), 0);
    if (HasFailure()) return;
  }
  EXPECT_GT(moment, 10);
}

// Whatever a sender or a receiver left when it died, the next two get on.
TEST_P(Queues, ADeathAtAnySystemCallBlocksNobody) {
  const auto get_on = [&] {
    // What is left is read, or is nothing.
    for (int i = 0; i < 3; ++i) {
      auto left = Receiver::open(url_, {.wait = Deadline::now()});
      if (!left) break;
      while (left->next(Deadline::after(seconds(60)))) {
      }
    }
    Child sends([&] {
      Sender sender = this->sender();
      return sender.send(bytes_of("hello")) == Status::kOk && sender.close() == Status::kOk ? 0 : 1;
    });
    {
      Receiver receiver = this->receiver();
      EXPECT_EQ(receive(receiver), "hello");
      EXPECT_EQ(receive(receiver), kEndOfStreamText);
    }
    EXPECT_EQ(sends.join(), 0);
    EXPECT_FALSE(there());
  };
  const int of_sender = at_each_system_call(
      [&] {
        auto sender = Sender::open(url_);
        if (sender) static_cast<void>(sender->send(bytes_of("x")));
      },
      get_on);
  EXPECT_GT(of_sender, 10);
  const int of_receiver = at_each_system_call(
      [&] {
        auto both = open_pair(url_);
        if (!both) return;
        static_cast<void>(both->first.send(bytes_of("x")));
        static_cast<void>(both->second.try_next());
        both->second.detach();
      },
      get_on);
  EXPECT_GT(of_receiver, 10);
}

TEST_P(Queues, ItsDescriptorTellsOfMessagesAndOfADeath) {
  Child child([&] {
    Sender sender = this->sender();
    if (sender.send(bytes_of("last words")) != Status::kOk) return 1;
    for (;;) pause();
    return 0;
  });
  Receiver receiver = this->receiver();
  const auto fd = receiver.fd();
  ASSERT_TRUE(fd) << fd.error().message;
  const auto await_readable = [&] {
    pollfd polled{*fd, POLLIN, 0};
    ASSERT_EQ(poll(&polled, 1, -1), 1);
  };
  std::string text;
  while (text.empty()) {
    if (auto message = receiver.try_next()) {
      text = message->text();
    } else {
      await_readable();
    }
  }
  EXPECT_EQ(text, "last words");
  child.signal(SIGKILL);
  child.join();
  while (receiver.status() == Status::kOk) {
    await_readable();
    EXPECT_FALSE(receiver.try_next());
  }
  EXPECT_EQ(receiver.status(), Status::kPeerDied);
}

class PosixQueues : public QueuesOf {
 protected:
  PosixQueues() : QueuesOf(kPosix) {}
  [[nodiscard]] mqd_t foreign(long slots, long slot_bytes) const {
    return foreign_posix(url_, slots, slot_bytes);
  }
  std::string name_ = posix_name(url_);
};

TEST_F(PosixQueues, AnExistingQueuesGeometryWins) {
  const mqd_t queue = foreign(3, 100);
  ASSERT_GE(queue, 0);
  {
    Sender sender = this->sender();
    EXPECT_EQ(sender.max_message_bytes(), 92u);
    EXPECT_EQ(sender.try_send(bytes_of(std::string(93, 'x'))), Status::kTooLarge);
    EXPECT_EQ(sender.try_send(bytes_of(std::string(92, 'x'))), Status::kOk);
    Receiver receiver = this->receiver();
    EXPECT_EQ(receiver.max_message_bytes(), 92u);
    EXPECT_EQ(receive(receiver), std::string(92, 'x'));
    sender.close();
    EXPECT_EQ(receive(receiver), kEndOfStreamText);
  }
  mq_close(queue);
  const mqd_t again = foreign(3, 100);
  ASSERT_GE(again, 0);
  for (const char* option : {"?slots=4", "?slot_size=64"}) {
    const auto other = Sender::open(url_ + option, briefly());
    ASSERT_FALSE(other);
    EXPECT_EQ(other.error().code, ErrorCode::kGeometryMismatch);
  }
  EXPECT_EQ(Sender::open(url_ + "?max=93", briefly()).error().code, ErrorCode::kInvalidCapacity);
  EXPECT_TRUE(Sender::open(url_ + "?slots=3&slot_size=100&max=92", briefly()));
  mq_close(again);
}

TEST_F(PosixQueues, LimitsAreNamed) {
  const auto large = Sender::open(url_ + "?slots=1000000", briefly());
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, ErrorCode::kInvalidCapacity);
  EXPECT_NE(large.error().message.find("fs.mqueue.msg_max="), std::string::npos);
  const auto wide = Sender::open(url_ + "?slot_size=1GiB", briefly());
  ASSERT_FALSE(wide);
  EXPECT_NE(wide.error().message.find("fs.mqueue.msgsize_max="), std::string::npos);
}

TEST_F(PosixQueues, AQueueThatHasComeSinceStays) {
  {
    auto [sender, receiver] = opened(open_pair(url_));
    ASSERT_EQ(mq_unlink(name_.c_str()), 0);
    const mqd_t queue = foreign(2, 16);
    ASSERT_GE(queue, 0);
    mq_close(queue);
    ASSERT_EQ(sender.send(bytes_of("on")), Status::kOk);
    EXPECT_EQ(receive(receiver), "on");
    sender.close();
    EXPECT_EQ(receive(receiver), kEndOfStreamText);
  }
  EXPECT_EQ(mq_unlink(name_.c_str()), 0) << "another one's";
}

TEST_F(PosixQueues, RawQueuesAreAnybodys) {
  Sender one = sender("?framing=raw");
  Sender two = sender("?framing=raw");
  EXPECT_EQ(one.wait_for_receiver(Deadline::after(seconds(60))), Status::kOk) << "who knows";
  Receiver all = receiver("?framing=raw");
  const mqd_t queue = mq_open(name_.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  ASSERT_GE(queue, 0);
  ASSERT_EQ(one.send(bytes_of("one")), Status::kOk);
  std::vector<char> room(8192);
  ASSERT_EQ(mq_receive(queue, room.data(), room.size(), nullptr), 3);
  EXPECT_EQ(std::string(room.data(), 3), "one");
  ASSERT_EQ(mq_send(queue, "foreign", 7, 5), 0);
  ASSERT_EQ(two.send(bytes_of("two")), Status::kOk);
  EXPECT_EQ(receive(all), "foreign");
  EXPECT_EQ(receive(all), "two");
  EXPECT_EQ(one.close(), Status::kOk);
  EXPECT_EQ(two.close(), Status::kOk);
  EXPECT_EQ(all.next(Deadline::after(milliseconds(100))).status(), Status::kTimedOut);
  all.detach();
  mq_close(queue);
  EXPECT_TRUE(remove(url_)) << "it stays until it is removed";
}

TEST_F(PosixQueues, EachSystemCallMayFail) {
  expect_of_calls(std::vector<Failing>{
      {SYS_mq_timedsend, EINTR, Status::kOk, Status::kWouldBlock},
      {SYS_mq_timedsend, EAGAIN, Status::kOk, Status::kWouldBlock},
      {SYS_mq_timedsend, ENOMEM, Status::kIoError, Status::kWouldBlock},
      {SYS_mq_timedsend, EMSGSIZE, Status::kIoError, Status::kWouldBlock},
      {SYS_mq_timedsend, EBADF, Status::kIoError, Status::kWouldBlock},
      {SYS_mq_timedreceive, EINTR, Status::kOk, Status::kWouldBlock},
      {SYS_mq_timedreceive, EAGAIN, Status::kOk, Status::kWouldBlock},
      {SYS_mq_timedreceive, ENOMEM, Status::kOk, Status::kIoError},
      {SYS_mq_timedreceive, EBADF, Status::kOk, Status::kIoError},
  });
  expect_message_of_opening(std::vector<std::pair<long, std::vector<int>>>{
      {SYS_mq_open, {EMFILE, ENFILE, ENOMEM, EACCES, ENOSPC, ENOSYS, EINVAL}},
      {SYS_mq_getsetattr, {EBADF}},
      {SYS_fcntl, {ENOLCK, EINVAL}},
      {SYS_mq_timedsend, {ENOMEM}},
      {SYS_mq_unlink, {EACCES}},
  });
}

// A child for which no fork handler runs: its copies of the descriptors stay open.
pid_t clone_beside_handlers() {
  return static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, 0));
}

// As long as the child lives; also with keep=1, where nobody judges the name.
TEST_F(PosixQueues, WhoClosesGivesItsPartsBackWhoeverElseHasTheDescriptor) {
  for (const char* options : {"", "?keep=1"}) {
    std::optional<Sender> sender(this->sender(options));
    const pid_t parent = getpid();
    const pid_t child = clone_beside_handlers();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      while (getppid() == parent) pause();
      _exit(0);
    }
    ASSERT_GT(child, 0);
    sender.reset();
    EXPECT_FALSE(kind_.held(url_, QueuePart::kSender)) << options;
    kill(child, SIGKILL);
    EXPECT_EQ(waitpid(child, nullptr, 0), child);
    static_cast<void>(rondo::remove(url_, true));
  }
}

TEST_F(PosixQueues, AChildThatNoHandlerSawGivesNothingBack) {
  auto pair = opened(open_pair(url_));
  const pid_t child = clone_beside_handlers();
  if (child == 0) {
    { const auto gone = std::move(pair); }
    _exit(0);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_TRUE(there());
  EXPECT_TRUE(kind_.held(url_, QueuePart::kSender));
  EXPECT_TRUE(kind_.held(url_, QueuePart::kReceiver));
}

// It made the queue, and could not look at it.
TEST_F(PosixQueues, AnOpeningThatFailsLeavesAloneWhatHasTakenItsName) {
  Stepper failing([&] {
    Stepper::begin();
    const auto refused = Receiver::open(url_, briefly());
    Stepper::end();
    _exit(refused ? 1 : 0);
  });
  const auto run_to = [&](auto... calls) {
    do {
      if (!failing.run_to_system_call()) return false;
    } while (((failing.system_call() != calls) && ...));
    return true;
  };
  ASSERT_TRUE(run_to(SYS_mq_getsetattr));
  ASSERT_EQ(mq_unlink(name_.c_str()), 0);
  const mqd_t another = foreign(2, 16);
  ASSERT_GE(another, 0);
  failing.fail_system_call(ENOMEM);
  EXPECT_EQ(failing.run_to_exit(), 0);
  EXPECT_EQ(mq_unlink(name_.c_str()), 0) << "another one's";
  mq_close(another);
}

}  // namespace
}  // namespace rondo::testing
