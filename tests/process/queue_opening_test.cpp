// Opening an end of a message queue (mq: and sysv:) while others open theirs, are stopped, or take
// the queue away, and where a system call fails.
//
//   1. AFailingLockIsTold
//   2. AStoppedOpenerIsNamed
//   3. ASenderThatGivesWayCannotBeMet
//   4. APairMeetsInOneQueue
//   5. APairDoesNotWaitForItself
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <optional>
#include <string>

#include "process/queue_fixture.hpp"
#include "process/stepper.hpp"

namespace rondo::testing {
namespace {

constexpr int kOpened = 0;
constexpr int kTold = 1;
constexpr int kWaited = 2;

template <class Handle>
int outcome_of(const Result<Handle>& opened) {
  if (opened) return kOpened;
  return opened.error().code == ErrorCode::kTimedOut ? kWaited : kTold;
}

class QueueOpening : public QueuesOf, public ::testing::WithParamInterface<QueueKind> {
 protected:
  QueueOpening() : QueuesOf(GetParam()) {}

  [[nodiscard]] bool held(QueuePart part) const { return GetParam().held(url_, part); }

  // What came of opening in a child in which the lock number `index` fails; nothing where it takes
  // fewer.
  template <class Handle>
  [[nodiscard]] std::optional<int> with_failing_lock(int index) const {
    Stepper child([&] {
      Stepper::begin();
      const auto opened = Handle::open(url_, briefly());
      Stepper::end();
      _exit(outcome_of(opened));
    });
    for (int i = 0;;) {
      if (!child.run_to_system_call()) return std::nullopt;
      const long call = child.system_call();
      if ((child.locks() || call == SYS_semop || call == SYS_semtimedop) && i++ == index) break;
      if (!child.run_to_system_call()) return std::nullopt;
    }
    child.fail_system_call(ENOMEM);
    return child.run_to_exit();
  }
};

INSTANTIATE_TEST_SUITE_P(Kinds, QueueOpening, ::testing::Values(kPosix, kSysv),
                         [](const auto& kind) { return kind.param.name; });

// It is not taken for another one's, for which an opener would wait.
TEST_P(QueueOpening, AFailingLockIsTold) {
  int told = 0;
  const auto all_said = [&](int index, std::optional<int> outcome) {
    EXPECT_NE(outcome, kWaited) << "lock " << index;
    if (outcome == kTold) ++told;
    return !outcome;
  };
  for (int i = 0;; ++i) {
    const auto outcome = with_failing_lock<Sender>(i);
    EXPECT_FALSE(outcome == kTold && there()) << "left behind at lock " << i;
    static_cast<void>(rondo::remove(url_, true));
    if (all_said(i, outcome)) break;
  }
  static_cast<void>(rondo::remove(url_, true));
  EXPECT_GE(told, 2);
  Sender sender = this->sender();
  ASSERT_EQ(sender.send(bytes_of("x")), Status::kOk);
  told = 0;
  for (int i = 0; !all_said(i, with_failing_lock<Receiver>(i)); ++i) {
  }
  EXPECT_GE(told, 3);
  static_cast<void>(rondo::remove(url_, true));
}

TEST_P(QueueOpening, AStoppedOpenerIsNamed) {
  Stepper opens([&] {
    Stepper::begin();
    const Sender sender = this->sender();
    Stepper::end();
    _exit(0);
  });
  const auto expect_named = [](const auto& opened) {
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::kTimedOut);
    EXPECT_NE(opened.error().message.find("kill -CONT"), std::string::npos)
        << opened.error().message;
  };
  while (!held(QueuePart::kName)) ASSERT_TRUE(opens.run_to_system_call());
  expect_named(Sender::open(url_, briefly()));
  while (!held(QueuePart::kSender)) ASSERT_TRUE(opens.run_to_system_call());
  ASSERT_TRUE(held(QueuePart::kName));
  expect_named(Receiver::open(url_, briefly()));
  EXPECT_EQ(opens.run_to_exit(), 0);
  static_cast<void>(rondo::remove(url_, true));
}

// A message that appears at any moment makes it give way. A receiver meets a sender that is there
// while nobody judges: from then on it has to stay.
TEST_P(QueueOpening, ASenderThatGivesWayCannotBeMet) {
  bool gave_way_late = false;
  bool there = true;
  for (int moment = 0; there; ++moment) {
    SCOPED_TRACE("the message comes at stop " + std::to_string(moment));
    Stepper opens([&] {
      Stepper::begin();
      const auto opened = Sender::open(url_, {.wait = Deadline::now()});
      Stepper::end();
      _exit(outcome_of(opened));
    });
    for (int i = 0; i <= moment && there; ++i) there = opens.run_to_system_call();
    ASSERT_TRUE(GetParam().put(url_, "x")) << strerror(errno);
    bool was_sender = false;
    bool could_be_met = false;
    do {
      const bool sender = held(QueuePart::kSender);
      EXPECT_TRUE(sender || !could_be_met);
      if (was_sender && !sender) gave_way_late = true;
      was_sender = sender;
      could_be_met = sender && !held(QueuePart::kName);
    } while (opens.run_to_system_call());
    const int outcome = opens.run_to_exit();
    EXPECT_EQ(outcome, could_be_met ? kOpened : kWaited);
    static_cast<void>(rondo::remove(url_, true));
    if (HasFailure()) return;
  }
  EXPECT_TRUE(gave_way_late);
}

// Whenever the name is taken away meanwhile.
TEST_P(QueueOpening, APairMeetsInOneQueue) {
  constexpr int kRemoved = 20;  // too late to notice
  bool there = true;
  for (int moment = 0; there; ++moment) {
    SCOPED_TRACE("removed at stop " + std::to_string(moment));
    Stepper opens([&] {
      Stepper::begin();
      auto pair = open_pair(url_, patient());
      Stepper::end();
      if (!pair) _exit(kTold);
      if (pair->first.send(bytes_of("x")) != Status::kOk) _exit(kRemoved);
      _exit(receive(pair->second) == "x" ? kOpened : kWaited);
    });
    for (int i = 0; i <= moment && there; ++i) there = opens.run_to_system_call();
    static_cast<void>(rondo::remove(url_, true));
    const int outcome = opens.run_to_exit();
    EXPECT_TRUE(outcome == kOpened || outcome == kRemoved) << outcome;
    static_cast<void>(rondo::remove(url_, true));
    if (HasFailure()) return;
  }
}

// Its sender would wait for a receiver to read what an earlier one has left.
TEST_P(QueueOpening, APairDoesNotWaitForItself) {
  {
    Sender sender = this->sender();
    ASSERT_EQ(sender.send(bytes_of("left")), Status::kOk);
    ASSERT_EQ(sender.close(), Status::kOk);
  }
  const auto pair = open_pair(url_, patient());
  ASSERT_FALSE(pair);
  EXPECT_EQ(pair.error().code, ErrorCode::kBusy) << pair.error().message;
  auto receiver = Receiver::open(url_, patient());
  ASSERT_TRUE(receiver) << receiver.error().message;
  EXPECT_EQ(receive(*receiver), "left");
  EXPECT_EQ(receive(*receiver), kEndOfStreamText);
}

}  // namespace
}  // namespace rondo::testing
