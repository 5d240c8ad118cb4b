// What System V message queues (sysv:) have that POSIX ones do not; what both have is in
// queue_test.cpp.
//
//   1. EachSystemCallMayFail
//   2. ARemovedQueueEndsBothSides
//   3. RemovedSemaphoresEndAWait
//   4. EndsWithoutTheirSemaphoresMoveNothingMore
//   5. AQueueThatHasBecomeTooSmallIsAnError
//   6. AReceiverIsReadyForWhatAQueueMayHoldThatIsMadeLargerAgain
//   7. WhatIsLargerThanTheSystemAllowsIsCorruptAndGone
//   8. ItsLimitsAreTheSystems
//   9. SemaphoresOfOthersStay
//  10. RemovingTakesWhatRemovedQueuesHaveLeft
//  11. KeysAreNumbers
//  12. RawQueuesAreAnybodys
//  13. AForkedChildLeavesTheParentsPartsAlone
//  14. MessagesWithOtherHeadersStay
//  15. AnOpeningThatFailsLeavesTheQueueToWhoHasComeToIt
//  16. WhatCouldNotBeGivenBackIsTriedAgain
//  17. WhoMadeItCountsAsItsOwner
//  18. WhatCouldNotBeGivenBackIsStillHeld
//  19. WhatSomebodyElseHasGivenBackIsNotGivenBackAgain
//  20. ALivingSendersMessagesWithOtherHeadersStay
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "process/queue_fixture.hpp"
#include "process/stepper.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class SysvQueues : public QueuesOf {
 protected:
  SysvQueues() : QueuesOf(kSysv) {}
  std::uint32_t key_ = sysv_key(url_);
};

TEST_F(SysvQueues, EachSystemCallMayFail) {
  expect_of_calls(std::vector<Failing>{
      {SYS_msgsnd, EINTR, Status::kOk, Status::kWouldBlock},
      {SYS_msgsnd, EAGAIN, Status::kOk, Status::kWouldBlock},
      {SYS_msgsnd, ENOMEM, Status::kIoError, Status::kWouldBlock},
      {SYS_msgsnd, EACCES, Status::kIoError, Status::kWouldBlock},
      {SYS_msgsnd, EINVAL, Status::kIoError, Status::kWouldBlock},
      {SYS_msgrcv, EINTR, Status::kOk, Status::kWouldBlock},
      {SYS_msgrcv, ENOMSG, Status::kOk, Status::kCorrupt},  // as of a message of another type
      {SYS_msgrcv, E2BIG, Status::kOk, Status::kIoError},
      {SYS_msgrcv, EACCES, Status::kOk, Status::kIoError},
      {SYS_semop, ENOMEM, Status::kOk, Status::kOk},  // the doorbell; nobody sleeps
      {SYS_semtimedop, EINTR, Status::kOk, Status::kOk},
      {SYS_semtimedop, ENOMEM, Status::kOk, Status::kOk},
      {SYS_semctl, EACCES, Status::kOk, Status::kOk},
      {SYS_msgctl, EACCES, Status::kOk, Status::kOk},
  });
  expect_message_of_opening(std::vector<std::pair<long, std::vector<int>>>{
      {SYS_msgget, {ENOMEM, EACCES, ENOSPC, ENOSYS}},
      {SYS_msgctl, {EACCES, ENOSYS, EINVAL}},
      {SYS_semget, {ENOMEM, EACCES, ENOSPC, EINVAL}},
      {SYS_semctl, {EACCES, EINVAL}},
      {SYS_semop, {ENOMEM, ENOSPC, ERANGE, EACCES, EIDRM}},
      {SYS_semtimedop, {ENOMEM, ENOSPC, ERANGE, EACCES, EIDRM}},
      {SYS_msgsnd, {ENOMEM}},
  });
}

// As ipcrm(1) does it.
TEST_F(SysvQueues, ARemovedQueueEndsBothSides) {
  for (const bool semaphores_too : {false, true}) {
    auto [sender, receiver] = opened(open_pair(url_));
    ASSERT_EQ(sender.send(bytes_of("x")), Status::kOk);
    EXPECT_EQ(receive(receiver), "x");
    ASSERT_EQ(msgctl(queue_at(key_), IPC_RMID, nullptr), 0);
    if (semaphores_too) remove_at(key_);
    EXPECT_EQ(receiver.next(Deadline::after(seconds(60))).status(), Status::kPeerDied);
    EXPECT_EQ(sender.try_send(bytes_of("x")), Status::kPeerGone);
    // What comes at the key now is another queue, which stays.
    auto [next_sender, next_receiver] = opened(open_pair(url_, patient()));
    receiver.detach();
    static_cast<void>(sender.close());
    ASSERT_EQ(next_sender.send(bytes_of("y")), Status::kOk);
    EXPECT_EQ(receive(next_receiver), "y");
  }
}

TEST_F(SysvQueues, RemovedSemaphoresEndAWait) {
  auto [sender, receiver] = opened(open_pair(url_));
  ASSERT_EQ(semctl(semaphores_at(key_), 0, IPC_RMID), 0);
  EXPECT_EQ(receiver.next(Deadline::after(seconds(60))).status(), Status::kPeerDied);
  Status status = Status::kOk;
  while (status == Status::kOk) {
    status = sender.send(bytes_of(std::string(4000, 'x')), Deadline::after(seconds(60)));
  }
  EXPECT_EQ(status, Status::kPeerGone);
  sender.close();
  receiver.detach();
  static_cast<void>(remove(url_, true));
}

// Nor do they move another pair's messages, which finds the queue and makes new semaphores.
TEST_F(SysvQueues, EndsWithoutTheirSemaphoresMoveNothingMore) {
  auto [sender, receiver] = opened(open_pair(url_));
  ASSERT_EQ(sender.send(bytes_of("x")), Status::kOk);
  EXPECT_EQ(receive(receiver), "x");
  ASSERT_EQ(semctl(semaphores_at(key_), 0, IPC_RMID), 0);
  EXPECT_EQ(sender.try_send(bytes_of("the last one")), Status::kPeerGone);
  EXPECT_EQ(sender.try_send(bytes_of("y")), Status::kPeerGone);
  EXPECT_FALSE(receiver.try_next());
  EXPECT_EQ(receiver.status(), Status::kPeerDied);
  auto [next_sender, next_receiver] = opened(open_pair(url_, patient()));
  EXPECT_EQ(sender.close(), Status::kPeerGone);
  receiver.detach();
  ASSERT_EQ(next_sender.send(bytes_of("z")), Status::kOk);
  EXPECT_EQ(receive(next_receiver), "z");
}

TEST_F(SysvQueues, AQueueThatHasBecomeTooSmallIsAnError) {
  Sender sender = this->sender();
  msqid_ds status{};
  ASSERT_EQ(msgctl(queue_at(key_), IPC_STAT, &status), 0);
  status.msg_qbytes = 100;
  ASSERT_EQ(msgctl(queue_at(key_), IPC_SET, &status), 0);
  EXPECT_EQ(sender.send(bytes_of(std::string(200, 'x')), Deadline::after(seconds(60))),
            Status::kIoError);
}

TEST_F(SysvQueues, AReceiverIsReadyForWhatAQueueMayHoldThatIsMadeLargerAgain) {
  const int queue = foreign_sysv(url_);
  msqid_ds status{};
  ASSERT_EQ(msgctl(queue, IPC_STAT, &status), 0);
  const auto large = std::exchange(status.msg_qbytes, 100);
  ASSERT_EQ(msgctl(queue, IPC_SET, &status), 0);
  ASSERT_TRUE(put_sysv(queue, 1, "a foreign one"));
  Receiver receiver = this->receiver("?framing=raw");
  EXPECT_EQ(receive(receiver), "a foreign one");
  status.msg_qbytes = large;
  ASSERT_EQ(msgctl(queue, IPC_SET, &status), 0);
  Sender sender = this->sender("?framing=raw");
  const std::string text(4000, 'x');
  ASSERT_EQ(sender.send(bytes_of(text)), Status::kOk);
  EXPECT_EQ(receive(receiver), text);
  EXPECT_TRUE(remove(url_));
}

// It does not stay, to be found too large by everybody who comes.
TEST_F(SysvQueues, WhatIsLargerThanTheSystemAllowsIsCorruptAndGone) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root for an IPC namespace of its own";
  Child child([&] {
    if (unshare(CLONE_NEWIPC) != 0) return 77;
    const auto allow = [](int bytes) {
      std::ofstream limit("/proc/sys/kernel/msgmax");
      return static_cast<bool>(limit << bytes << std::flush);
    };
    const int queue = foreign_sysv(url_);
    if (!put_sysv(queue, 1, std::string(101, 'x')) || !put_sysv(queue, 1, "next")) return 1;
    if (!allow(100)) return 77;
    auto corrupt = Receiver::open(url_ + "?framing=raw", patient());
    if (!corrupt || receive(*corrupt) != "<" + std::string(to_string(Status::kCorrupt)) + ">")
      return 2;
    auto receiver = Receiver::open(url_ + "?framing=raw", patient());
    return receiver && receive(*receiver) == "next" ? 0 : 3;
  });
  const int result = child.join();
  if (result == 77) GTEST_SKIP() << "no IPC namespace, or no limit of its own, here";
  EXPECT_EQ(result, 0);
}

TEST_F(SysvQueues, ItsLimitsAreTheSystems) {
  const auto large = Sender::open(url_ + "?max=1GiB", briefly());
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, ErrorCode::kInvalidCapacity);
  EXPECT_NE(large.error().message.find("kernel.msgmax"), std::string::npos);
  EXPECT_FALSE(there());
  const Sender sender = this->sender();
  msginfo info{};
  ASSERT_GE(msgctl(0, IPC_INFO, reinterpret_cast<msqid_ds*>(&info)), 0);
  EXPECT_EQ(sender.max_message_bytes(),
            static_cast<std::size_t>(std::min(info.msgmax, info.msgmnb)) - 8);
}

TEST_F(SysvQueues, SemaphoresOfOthersStay) {
  const auto make = [&](int count) {
    return semget(static_cast<key_t>(key_), count, IPC_CREAT | IPC_EXCL | 0600);
  };
  const auto expect_foreign = [&](int set) {
    const auto refused = Sender::open(url_, briefly());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kForeignObject);
    EXPECT_LT(queue_at(key_), 0) << "was left behind";
    EXPECT_EQ(remove(url_).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(semctl(set, 0, IPC_RMID), 0);
  };
  for (const int count : {3, 10, 20}) {
    for (const int which : {0, count - 1}) {
      const int set = make(count);
      ASSERT_EQ(semctl(set, which, SETVAL, 5), 0);
      expect_foreign(set);
    }
  }
  // As many as ours has, and all of them 0: of a program that has used them.
  const int set = make(10);
  sembuf steps[2] = {{1, 1, 0}, {1, -1, 0}};
  for (sembuf& step : steps) ASSERT_EQ(semop(set, &step, 1), 0);
  expect_foreign(set);
}

TEST_F(SysvQueues, RemovingTakesWhatRemovedQueuesHaveLeft) {
  const auto leave_semaphores = [&] {
    const Sender sender = this->sender();
    ASSERT_EQ(msgctl(queue_at(key_), IPC_RMID, nullptr), 0);
  };
  leave_semaphores();
  ASSERT_GE(semaphores_at(key_), 0);
  EXPECT_TRUE(remove(url_));
  EXPECT_FALSE(there());
  EXPECT_EQ(remove(url_).error().code, ErrorCode::kNotFound);
  leave_semaphores();
  const int queue = foreign_sysv(url_);
  EXPECT_TRUE(remove(url_));
  EXPECT_LT(queue_at(key_), 0) << queue;
  EXPECT_FALSE(there());
}

TEST_F(SysvQueues, KeysAreNumbers) {
  for (const char* key : {"", "0", "0x0", "0x", "010", "-1", "x", "1x", "4294967296", "/tmp"}) {
    const auto refused = Sender::open(std::string("sysv:") + key, briefly());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kInvalidName) << key;
  }
  char hex[16];
  std::snprintf(hex, sizeof hex, "0x%X", key_);
  const Sender sender = this->sender();
  EXPECT_EQ(Sender::open(std::string("sysv:") + hex, briefly()).error().code, ErrorCode::kBusy);
}

TEST_F(SysvQueues, RawQueuesAreAnybodys) {
  Sender one = sender("?framing=raw");
  Sender two = sender("?framing=raw");
  EXPECT_EQ(one.wait_for_receiver(Deadline::after(seconds(60))), Status::kOk) << "who knows";
  Receiver all = receiver("?framing=raw");
  EXPECT_LT(semaphores_at(key_), 0) << "it needs none";
  const int queue = queue_at(key_);
  ASSERT_EQ(one.send(bytes_of("one")), Status::kOk);
  SysvMessage message{};
  ASSERT_EQ(msgrcv(queue, &message, sizeof message.bytes, 0, IPC_NOWAIT), 3);
  EXPECT_EQ(message.type, 1);
  EXPECT_EQ(std::string(message.bytes, 3), "one");
  ASSERT_TRUE(put_sysv(queue, 1000, "foreign"));
  ASSERT_TRUE(put_sysv(queue, 1, ""));
  ASSERT_EQ(two.send(bytes_of("two")), Status::kOk);
  EXPECT_EQ(receive(all), "foreign");
  EXPECT_EQ(receive(all), "");
  EXPECT_EQ(receive(all), "two");
  EXPECT_EQ(one.close(), Status::kOk);
  EXPECT_EQ(two.close(), Status::kOk);
  EXPECT_EQ(all.next(Deadline::after(milliseconds(100))).status(), Status::kTimedOut);
  Child puts([&] { return put_sysv(queue, 3, "later") ? 0 : 1; });
  EXPECT_EQ(receive(all), "later");
  EXPECT_EQ(puts.join(), 0);
  all.detach();
  EXPECT_TRUE(remove(url_)) << "it stays until it is removed";
}

// A child has its parent's handles, but not what they hold.
TEST_F(SysvQueues, AForkedChildLeavesTheParentsPartsAlone) {
  auto pair = opened(open_pair(url_));
  auto& [sender, receiver] = pair;
  Child child([&] {
    const auto gone = std::move(pair);
    return 0;
  });
  EXPECT_EQ(child.join(), 0);
  EXPECT_EQ(Sender::open(url_, briefly()).error().code, ErrorCode::kBusy);
  ASSERT_EQ(sender.send(bytes_of("x")), Status::kOk);
  EXPECT_EQ(receive(receiver), "x");
}

TEST_F(SysvQueues, MessagesWithOtherHeadersStay) {
  {
    Sender sender = this->sender("?header=20");
    for (const char c : {'1', '2'}) {
      auto claim = sender.claim(1);
      ASSERT_TRUE(claim);
      std::ranges::fill(claim->header(), std::byte{0});
      claim->bytes()[0] = static_cast<std::byte>(c);
      std::move(*claim).commit();
    }
    ASSERT_EQ(sender.close(), Status::kOk);
  }
  {
    Receiver wrong = receiver("?header=8");
    EXPECT_EQ(wrong.next(Deadline::after(seconds(60))).status(), Status::kCorrupt);
  }
  Receiver right = receiver("?header=20");
  EXPECT_EQ(receive(right), "1");
  EXPECT_EQ(receive(right), "2");
  EXPECT_EQ(receive(right), kEndOfStreamText);
}

// It made the queue, and could not have semaphores.
TEST_F(SysvQueues, AnOpeningThatFailsLeavesTheQueueToWhoHasComeToIt) {
  Stepper failing([&] {
    Stepper::begin();
    const auto refused = Receiver::open(url_, briefly());
    Stepper::end();
    _exit(refused ? 1 : 0);
  });
  do {
    ASSERT_TRUE(failing.run_to_system_call());
  } while (failing.system_call() != SYS_semget);
  const int queue = queue_at(key_);
  ASSERT_GE(queue, 0);
  Sender sender = this->sender();
  failing.fail_system_call(ENOMEM);
  EXPECT_EQ(failing.run_to_exit(), 0);
  EXPECT_EQ(queue_at(key_), queue);
  ASSERT_EQ(sender.send(bytes_of("x")), Status::kOk);
  Receiver receiver = this->receiver();
  EXPECT_EQ(receive(receiver), "x");
}

bool at_semop(const Stepper& stepper) {
  return stepper.system_call() == SYS_semop || stepper.system_call() == SYS_semtimedop;
}

// Each call in turn that gives a part back, or takes one, while the handle closes.
TEST_F(SysvQueues, WhatCouldNotBeGivenBackIsTriedAgain) {
  bool within = true;
  for (int failing = 0; within; ++failing) {
    Stepper leaving([&] {
      std::optional<Sender> sender(this->sender());
      if (sender->send(bytes_of("stays")) != Status::kOk) _exit(1);
      Stepper::begin();
      sender.reset();
      Stepper::end();
      for (;;) pause();
    });
    within = false;
    for (int i = 0; leaving.run_to_system_call();) {
      if (at_semop(leaving) && i++ == failing) {
        within = true;
        leaving.fail_system_call(ENOMEM);
      } else if (!leaving.run_to_system_call()) {
        break;
      }
    }
    ASSERT_TRUE(leaving.finished());
    ASSERT_TRUE(there());
    EXPECT_FALSE(kind_.held(url_, QueuePart::kSender)) << "call " << failing;
    EXPECT_FALSE(kind_.held(url_, QueuePart::kName)) << "call " << failing;
    leaving.kill();
    static_cast<void>(rondo::remove(url_, true));
  }
}

TEST_F(SysvQueues, WhoMadeItCountsAsItsOwner) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to be another user";
  for (const bool of_semaphores : {false, true}) {
    Child child([&] {
      if (seteuid(12345) != 0) return 1;
      const auto key = static_cast<key_t>(key_);
      const int id = of_semaphores ? semget(key, 10, IPC_CREAT | IPC_EXCL | 0600)
                                   : msgget(key, IPC_CREAT | IPC_EXCL | 0600);
      if (id < 0) return 2;
      // Given away, and its maker's all the same.
      msqid_ds queue{};
      semid_ds set{};
      const bool looked =
          of_semaphores ? semctl(id, 0, IPC_STAT, &set) == 0 : msgctl(id, IPC_STAT, &queue) == 0;
      queue.msg_perm.uid = set.sem_perm.uid = 0;
      const bool given =
          of_semaphores ? semctl(id, 0, IPC_SET, &set) == 0 : msgctl(id, IPC_SET, &queue) == 0;
      return looked && given ? 0 : 3;
    });
    ASSERT_EQ(child.join(), 0);
    const auto refused = Sender::open(url_, briefly());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::kForeignOwner) << refused.error().message;
    EXPECT_NE(refused.error().message.find("was made by user 12345"), std::string::npos)
        << refused.error().message;
    EXPECT_EQ(queue_at(key_) < 0, of_semaphores) << "one of our own making goes again";
    EXPECT_TRUE(Sender::open(url_ + "?mode=0666", briefly()));
    remove_at(key_);
  }
}

// The right to judge the name, which the opening could not give back: closing takes the name away.
TEST_F(SysvQueues, WhatCouldNotBeGivenBackIsStillHeld) {
  Stepper opening([&] {
    Stepper::begin();
    std::optional<Sender> sender(this->sender());
    Stepper::end();
    sender.reset();
    _exit(0);
  });
  do {
    ASSERT_TRUE(opening.run_to_system_call());
  } while (!at_semop(opening) || !kind_.held(url_, QueuePart::kSender));
  // At the return of the call that took the role: the next one is it.
  ASSERT_TRUE(kind_.held(url_, QueuePart::kName));
  do {
    ASSERT_TRUE(opening.run_to_system_call());
  } while (!at_semop(opening));
  opening.fail_system_call(ENOMEM);
  EXPECT_TRUE(kind_.held(url_, QueuePart::kName));
  EXPECT_EQ(opening.run_to_exit(), 0);
  EXPECT_FALSE(there());
}

// By hand (semctl(2)), and another one has taken it since.
TEST_F(SysvQueues, WhatSomebodyElseHasGivenBackIsNotGivenBackAgain) {
  Stepper leaving([&] {
    std::optional<Sender> sender(this->sender());
    if (sender->send(bytes_of("stays")) != Status::kOk) _exit(1);
    Stepper::begin();
    sender.reset();
    Stepper::end();
    for (;;) pause();
  });
  ASSERT_EQ(semctl(semaphores_at(key_), static_cast<int>(QueuePart::kSender), SETVAL, 0), 0);
  do {
    ASSERT_TRUE(leaving.run_to_system_call());
  } while (!at_semop(leaving) || !kind_.held(url_, QueuePart::kName));
  do {
    ASSERT_TRUE(leaving.run_to_system_call());
  } while (!at_semop(leaving));
  ASSERT_TRUE(leaving.run_to_system_call());  // it has found that the role is not its own
  {
    const HeldPart another(kind_, url_, QueuePart::kSender);
    while (leaving.run_to_system_call()) {
    }
    ASSERT_TRUE(leaving.finished());
    EXPECT_TRUE(kind_.held(url_, QueuePart::kSender));
  }
  static_cast<void>(rondo::remove(url_, true));
}

TEST_F(SysvQueues, ALivingSendersMessagesWithOtherHeadersStay) {
  Sender sender = this->sender("?header=20");
  ASSERT_EQ(sender.send(bytes_of("1")), Status::kOk);
  {
    Receiver wrong = receiver("?header=8");
    EXPECT_EQ(wrong.next(Deadline::after(seconds(60))).status(), Status::kCorrupt);
  }
  ASSERT_TRUE(there());
  Receiver right = receiver("?header=20");
  EXPECT_EQ(receive(right), "1");
  ASSERT_EQ(sender.send(bytes_of("2")), Status::kOk);
  EXPECT_EQ(sender.close(), Status::kOk);
  EXPECT_EQ(receive(right), "2");
  EXPECT_EQ(receive(right), kEndOfStreamText);
}

}  // namespace
}  // namespace rondo::testing
