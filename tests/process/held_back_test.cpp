// Messages for which no receiver is woken yet, between processes. Each line has a test of the same
// name.
//
//   1. ASenderThatIsKilledLosesNoWakeForGood
//   2. BurstsWakeASleeperOnceEach
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "conformance/channel_fixture.hpp"
#include "support/counted_wakes.hpp"
#include "support/sanitizers.hpp"

namespace rondo::testing {
namespace {

class HeldBackByProcesses : public ChannelTest {};

std::vector<ChannelCase> rings_of_processes() {
  std::vector<ChannelCase> cases;
  for (const ChannelCase& channel : kChannelCases) {
    if (channel.ring && channel.processes) cases.push_back(channel);
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Every, HeldBackByProcesses, ::testing::ValuesIn(rings_of_processes()),
                         [](const auto& channel) { return std::string(channel.param.name); });

// The receiver's slice ends its sleep; and the death, which comes behind the message.
TEST_P(HeldBackByProcesses, ASenderThatIsKilledLosesNoWakeForGood) {
  const std::string where = url();
  Shared<std::atomic<bool>> asleep;
  *asleep = false;
  Child sender([&, parent = getpid()] {
    auto opened = Sender::open(where + "?" + options_of(GetParam(), 4096) + "&wake_every=100");
    if (!opened || opened->wait_for_receiver() != Status::kOk) return 1;
    await_sleep_of(parent);
    if (opened->try_send(std::string_view("for later"), Wake::kLater) != Status::kOk) return 1;
    if (opened->try_send(std::string_view("below the mark")) != Status::kOk) return 1;
    kill(getpid(), SIGKILL);
    return 1;
  });
  auto receiver = Receiver::open(where);
  ASSERT_TRUE(receiver) << receiver.error().message;
  EXPECT_EQ(receive(*receiver), "for later");
  EXPECT_EQ(receive(*receiver), "below the mark");
  EXPECT_EQ(receiver->next(Deadline::after(std::chrono::seconds(60))).status(), Status::kPeerDied);
  EXPECT_EQ(sender.join(), -SIGKILL);
  receiver->detach();
  static_cast<void>(remove(where, true));
}

// As many as there are bursts, at most, however the receiver sleeps and wakes meanwhile.
TEST_P(HeldBackByProcesses, BurstsWakeASleeperOnceEach) {
  if (kSanitized) GTEST_SKIP() << "the sanitizer makes system calls of its own";
  constexpr int kBursts = 100;
  constexpr int kBurst = 8;
  auto [sender, receiver] = open("wait=park&wake_every=" + std::to_string(kBurst));
  std::atomic<pid_t> thread{0};
  std::thread receiving([&, &receiver = receiver] {
    thread = static_cast<pid_t>(syscall(SYS_gettid));
    for (int i = 0; i < kBursts * kBurst; ++i) {
      ASSERT_EQ(receive(receiver), numbered_message(static_cast<std::uint64_t>(i), 16));
    }
    EXPECT_EQ(receive(receiver), kEndOfStreamText);
  });
  while (thread == 0) sched_yield();
  CountedWakes::run([&, &sender = sender] {
    std::uint64_t sent = 0;
    for (int burst = 0; burst < kBursts; ++burst) {
      await_sleep(thread);
      for (int i = 0; i < kBurst; ++i) {
        ASSERT_EQ(sender.send(numbered_message(sent++, 16)), Status::kOk);
      }
    }
    const int wakes = CountedWakes::taken();
    EXPECT_LE(wakes, kBursts);
    EXPECT_GE(wakes, 1);
    sender.close();
  });
  receiving.join();
}

}  // namespace
}  // namespace rondo::testing
