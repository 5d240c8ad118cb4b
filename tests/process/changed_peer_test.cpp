// One of the two sides leaves in order and a successor comes, at any two system calls of the other
// one, which waits: no peer has died. (All interleavings of the look itself:
// spec/absence_spec.cpp.)
//
//   1. AReceiverIsNotToldThatASenderDiedWhichLeft
//   2. ASenderIsNotToldThatAReceiverDiedWhichLeft
//   3. ASenderIsNotToldThatAReceiverDiedWhichHasJustCome
//   4. ASuccessorHalfwayInIsNotTakenForOneWhoLeft
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <initializer_list>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "conformance/channel_fixture.hpp"
#include "process/stepper.hpp"

namespace rondo::testing {
namespace {

constexpr std::chrono::milliseconds kShort{100};
constexpr std::chrono::milliseconds kLong{60'000};

Deadline soon() { return Deadline::after(kLong); }

bool is_sleep(long call) { return call == SYS_futex || call == SYS_clock_nanosleep; }

constexpr int kNever = std::numeric_limits<int>::max();

class OneChangedPeer : public Watchdog {
 protected:
  ~OneChangedPeer() override { static_cast<void>(remove(url_, true)); }

  // Each pair of moments, up to where the waiting side falls asleep: `story` tells it with the one
  // change before its call number `leaves`, the other one before its call number `comes`, and says
  // how many calls there were.
  static void at_every_two_calls(const std::function<int(int leaves, int comes)>& story) {
    int calls = 1;
    for (int leaves = 0; leaves < calls; ++leaves) {
      for (int comes = leaves; comes < calls; ++comes) calls = story(leaves, comes);
    }
    EXPECT_GT(calls, 2) << "it did not look";
  }
  // Lets it come to its sleep, with the two changes on the way. How many system calls it made.
  static int run(Stepper& waiting, int leaves, int comes, const std::function<void()>& leave,
                 const std::function<void()>& come) {
    int calls = 0;
    const auto change = [&] {
      if (calls == leaves) leave();
      if (calls == comes) come();
    };
    change();
    while (waiting.run_to_system_call() && !is_sleep(waiting.system_call())) {
      ++calls;
      change();
    }
    if (calls < leaves && leaves != kNever) leave();
    if (calls < comes) come();
    return calls + 1;
  }

  // In a Stepper: a sender that waits for its one message to be read. Its process ends with 0 if
  // that came to one of `fine`.
  void send_and_flush(const std::string& options, std::chrono::milliseconds timeout,
                      std::initializer_list<Status> fine) const {
    auto sender = Sender::open(url_ + options + "&wait=park");
    if (!sender || sender->send("one") != Status::kOk) _exit(1);
    Stepper::begin();
    const Status status = sender->flush(Deadline::after(timeout));
    Stepper::end();
    const bool well = std::ranges::find(fine, status) != fine.end();
    _exit(well ? 0 : 10 + static_cast<int>(status));
  }

  std::string url_ = "shm:" + unique_word();
};

class ChangedPeer : public OneChangedPeer, public ::testing::WithParamInterface<const char*> {};

INSTANTIATE_TEST_SUITE_P(Rings, ChangedPeer,
                         ::testing::Values("?capacity=4KiB", "?readers=2&capacity=4KiB",
                                           "?kind=frames&frame_size=64", "?kind=mpmc&slots=2"),
                         [](const auto& options) { return std::to_string(options.index); });

TEST_P(ChangedPeer, AReceiverIsNotToldThatASenderDiedWhichLeft) {
  at_every_two_calls([&](int leaves, int comes) {
    std::optional<Sender> sender = Sender::open(url_ + GetParam()).value();
    Stepper receiving([&] {
      auto receiver = Receiver::open(url_ + "?wait=park", {.wait = soon()});
      if (!receiver) _exit(1);
      Stepper::begin();
      const auto message = receiver->next(soon());
      const Status status = receiver->status();
      Stepper::end();
      _exit(message || status == Status::kEnded ? 0 : 10 + static_cast<int>(status));
    });
    const int calls = run(
        receiving, leaves, comes, [&] { sender.reset(); },
        [&] { sender = Sender::open(url_ + GetParam()).value(); });
    EXPECT_EQ(sender->send("from the next one"), Status::kOk);
    EXPECT_EQ(receiving.run_to_exit(), 0) << "it left at " << leaves << ", came at " << comes;
    sender.reset();
    static_cast<void>(remove(url_, true));
    return calls;
  });
}

TEST_P(ChangedPeer, ASenderIsNotToldThatAReceiverDiedWhichLeft) {
  if (std::string_view(GetParam()).find("frames") != std::string_view::npos) {
    GTEST_SKIP() << "does not wait";
  }
  at_every_two_calls([&](int leaves, int comes) {
    Stepper sending([&] { send_and_flush(GetParam(), kLong, {Status::kOk, Status::kPeerGone}); });
    std::optional<Receiver> receiver = Receiver::open(url_).value();
    const int calls = run(
        sending, leaves, comes, [&] { receiver.reset(); },
        [&] { receiver = Receiver::open(url_).value(); });
    // Participants that share a ring may have been told already that no peer is there.
    if (receiver->next(soon())) static_cast<void>(receiver->try_next());  // gives it back
    EXPECT_EQ(sending.run_to_exit(), 0) << "it left at " << leaves << ", came at " << comes;
    receiver.reset();
    static_cast<void>(remove(url_, true));
    return calls;
  });
}

// The first of all; or, `after` a receiver of an earlier sender that was killed.
TEST_P(ChangedPeer, ASenderIsNotToldThatAReceiverDiedWhichHasJustCome) {
  if (std::string_view(GetParam()).find("kind=") != std::string_view::npos) {
    GTEST_SKIP() << "does not wait, or counts joins and departures";
  }
  for (const bool after : {false, true}) {
    int calls = 1;
    for (int comes = 0; comes < calls; ++comes) {
      if (after) {
        auto earlier = Sender::open(url_ + GetParam() + "&keep=1").value();
        Stepper killed([&] {
          auto receiver = Receiver::open(url_, {.wait = soon()});
          Stepper::begin();
        });
      }
      Stepper sending([&] {
        // Of several receivers none has to have read.
        send_and_flush(GetParam(), kShort, {Status::kTimedOut, Status::kOk});
      });
      std::optional<Receiver> receiver;
      calls = run(
          sending, kNever, comes, [] {},
          [&] { receiver = Receiver::open(url_, {.wait = soon()}).value(); });
      EXPECT_EQ(sending.run_to_exit(), 0) << "it came at " << comes << ", " << after;
      receiver.reset();
      static_cast<void>(remove(url_, true));
    }
    EXPECT_GT(calls, 2);
  }
}

// It has the lock, and has not wiped its predecessor's orderly close away.
TEST_F(OneChangedPeer, ASuccessorHalfwayInIsNotTakenForOneWhoLeft) {
  int calls = 1;
  for (int comes = 0; comes < calls; ++comes) {
    {
      auto earlier = Sender::open(url_ + "?capacity=4KiB&keep=1").value();
      auto receiver = Receiver::open(url_ + "?keep=1", {.wait = soon()}).value();
      receiver.detach();
    }
    Stepper sending([&] { send_and_flush("?capacity=4KiB", kShort, {Status::kTimedOut}); });
    Stepper coming([&] {
      Stepper::begin();
      auto receiver = Receiver::open(url_, {.wait = soon()});
      Stepper::end();
      pause();
    });
    calls = run(
        sending, kNever, comes, [] {},
        [&] {
          while (coming.run_to_system_call() && !coming.unlocks()) {
          }
        });
    EXPECT_EQ(sending.run_to_exit(), 0) << "it came at " << comes;
    coming.kill();
    static_cast<void>(remove(url_, true));
  }
  EXPECT_GT(calls, 2);
}

}  // namespace
}  // namespace rondo::testing
