// The descriptor that a doorbell makes readable, by itself and in each of its ways.
//
//   1. ThisKernelsWayIsTheFirstOne
//   2. NoWakeIsLost, with the control that loses some
//   3. TwoWordsTakeTurns
//   4. APulseIsAskedForWhileItSleeps
//   5. ManyDescriptorsSleepAtOnce
//   6. TheThreadGoesWithTheLastOneAndTakesNoSignals
//   7. WithoutAnEventfdTheErrorSaysSo
//   8. AWakeIsNotSpentOnOneThatWasInterrupted
//   9. NorOnOneWhoseDescriptorsTheProgramClosed
//  10. NorOnOneThatAnotherThreadGaveBack
//  11. AnIoUringThatTakesNothingIsNotUsed
//  12. WhatWasRefusedForWantOfDescriptorsIsAskedForAgain
// All but the first one with io_uring, without it (EPERM and ENOSYS), without futex_waitv besides.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "rondo/rondo.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/wake_descriptor.hpp"
#include "support/event_loop.hpp"
#include "support/processes.hpp"
#include "support/replaced_descriptors.hpp"
#include "support/sanitizers.hpp"
#include "support/system_call_filter.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Way = WakeDescriptor::Way;

std::unique_ptr<WakeDescriptor> make(Callback<std::uint64_t()> pulse = {}) {
  auto wake = WakeDescriptor::make(std::move(pulse));
  if (!wake) {
    ADD_FAILURE() << wake.error().message;
    std::abort();
  }
  return std::move(wake).value();
}

struct Bell {
  BellWaiter waiter{};
  BellNotifier notifier{};
  Atomic<std::uint64_t> published{0};
};

const Atomic<std::uint32_t> kNever{0};

struct Filters {
  std::string name;
  Way way;
  std::vector<std::pair<long, int>> forbidden;
};

const std::vector<Filters>& all_filters() {
  static const std::vector<Filters> filters{
      {"IoUring", Way::kIoUring, {}},
      {"IoUringForbidden", Way::kWaitv, {{SYS_io_uring_setup, EPERM}}},
      {"IoUringUnknown", Way::kWaitv, {{SYS_io_uring_setup, ENOSYS}}},
      {"IoUringNotEntered", Way::kWaitv, {{SYS_io_uring_enter, EPERM}}},
      {"NoWaitv", Way::kSlices, {{SYS_io_uring_setup, EPERM}, {SYS_futex_waitv, ENOSYS}}},
      {"WaitvForbidden", Way::kSlices, {{SYS_io_uring_setup, EPERM}, {SYS_futex_waitv, EPERM}}},
  };
  return filters;
}

bool kernel_has_futex_ring() {
  if (kSanitized) return true;
  static const bool has = make()->way() == Way::kIoUring;
  return has;
}

class WakeWays : public Watchdog, public ::testing::WithParamInterface<Filters> {
 protected:
  // Runs `body` in a process with these filters.
  template <class Body>
  void in_filtered_process(Body body) {
    Child child([&] {
      for (const auto& [number, error] : GetParam().forbidden) {
        if (!forbid_system_call(number, error)) return 77;
      }
      body();
      return ::testing::Test::HasFailure() ? 1 : 0;
    });
    const int status = child.join();
    if (status == 77) GTEST_SKIP() << "no seccomp here";
    EXPECT_EQ(status, 0);
  }
  static std::uint64_t sleeps() {
    return GetParam().way == Way::kSlices ? scaled(500) : scaled(20'000);
  }
};

INSTANTIATE_TEST_SUITE_P(Every, WakeWays, ::testing::ValuesIn(all_filters()),
                         [](const auto& filters) { return filters.param.name; });

enum class Look { kTwice, kOnce };

// One side publishes, waits until that was met, and so on; the other one sleeps at its descriptor
// in between. Returns how many publishes were not told of in time. With Look::kOnce it does not
// look again after it has announced its wait.
std::uint64_t lost_wakes(Look look, std::uint64_t publishes, milliseconds limit) {
  Bell bell;
  std::atomic<std::uint64_t> met{0};
  std::thread publishing([&] {
    Notifier notifier(bell.waiter, bell.notifier);
    std::mt19937_64 random(3);
    for (std::uint64_t i = 1; i <= publishes; ++i) {
      // At each moment of the other side's falling asleep.
      const auto most = std::uint64_t{1} << random() % 12;
      for (auto turns = random() % most; turns > 0; --turns) cpu_relax();
      bell.published.store(i, std::memory_order_release);
      static_cast<void>(notifier.notify());
      while (met.load(std::memory_order_acquire) != i) sched_yield();
    }
  });
  Waiter waiter(bell.waiter, bell.notifier);
  const auto wake = make();
  const EventLoop loop(LoopKind::kEpoll, wake->fd());
  std::uint64_t lost = 0;
  for (std::uint64_t i = 1; i <= publishes; ++i) {
    const auto there = [&] { return bell.published.load(std::memory_order_acquire) >= i; };
    while (!there()) {
      static_cast<void>(wake->clear());
      waiter.cancel_wait();
      const PreparedWait wait = waiter.prepare_wait();
      if (look == Look::kTwice && there()) {
        waiter.cancel_wait();
        break;
      }
      wake->sleep(wait);
      if (!loop.wait(limit) && there()) {
        ++lost;
        break;
      }
    }
    met.store(i, std::memory_order_release);
  }
  publishing.join();
  return lost;
}

TEST(WakeDescriptors, ThisKernelsWayIsTheFirstOne) {
  const std::filesystem::path known = "/proc/sys/kernel/io_uring_disabled";
  if (!std::filesystem::exists(known)) GTEST_SKIP() << "this kernel is older than 6.6";
  std::ifstream file(known);
  int disabled = 2;
  file >> disabled;
  if (disabled != 0) GTEST_SKIP() << "io_uring is disabled";
  EXPECT_EQ(make()->way(), Way::kIoUring);
}

TEST_P(WakeWays, NoWakeIsLost) {
  in_filtered_process([&] {
    EXPECT_EQ(lost_wakes(Look::kTwice, sleeps(), seconds(20)), 0u);
    const auto wake = make();
    if (GetParam().way != Way::kIoUring || kernel_has_futex_ring()) {
      EXPECT_EQ(wake->way(), GetParam().way);
    }
  });
}

TEST(WakeDescriptors, NoWakeIsLostButWithoutTheSecondLook) {
  std::uint64_t lost = 0;
  for (int i = 0; i < 50 && lost == 0; ++i) lost = lost_wakes(Look::kOnce, 1'000, milliseconds(2));
  EXPECT_GT(lost, 0u);
}

TEST_P(WakeWays, TwoWordsTakeTurns) {
  in_filtered_process([] {
    Atomic<std::uint32_t> words[2] = {};
    const auto wake = make();
    for (std::uint32_t i = 0; i < 200; ++i) {
      Atomic<std::uint32_t>& word = words[i % 2];
      Atomic<std::uint32_t>& other = words[1 - i % 2];
      EXPECT_FALSE(wake->clear());
      wake->sleep({&word, i / 2, BellSystem::kSlice});
      EXPECT_TRUE(wake->asleep());
      // Of the one that it slept on before nothing is heard.
      futex_wake(other, 1);
      EXPECT_FALSE(readable(wake->fd())) << i;
      word.store(i / 2 + 1, std::memory_order_relaxed);
      futex_wake(word, 1);
      ASSERT_TRUE(EventLoop(LoopKind::kPoll, wake->fd()).wait()) << i;
      EXPECT_FALSE(wake->asleep());
    }
    // A word that has changed already.
    static_cast<void>(wake->clear());
    wake->sleep({&words[0], 7, BellSystem::kSlice});
    EXPECT_TRUE(EventLoop(LoopKind::kPoll, wake->fd()).wait());
    // A slice that is shorter than usual ends by itself.
    static_cast<void>(wake->clear());
    wake->sleep({&words[0], 100, milliseconds(1)});
    EXPECT_TRUE(EventLoop(LoopKind::kPoll, wake->fd()).wait());
  });
}

TEST_P(WakeWays, APulseIsAskedForWhileItSleeps) {
  in_filtered_process([] {
    std::atomic<std::uint64_t> pulse{0};
    std::atomic<std::uint64_t> asked{0};
    Atomic<std::uint32_t> word{0};
    const auto wake = make([&] {
      ++asked;
      return pulse.load();
    });
    EXPECT_EQ(asked, 1u);
    for (int i = 0; i < 3; ++i) {
      wake->sleep({&word, 0, BellSystem::kSlice});
      const std::uint64_t before = asked;
      while (asked < before + 2) usleep(1'000);
      EXPECT_FALSE(readable(wake->fd()));
      ++pulse;
      ASSERT_TRUE(EventLoop(LoopKind::kPoll, wake->fd()).wait());
      EXPECT_TRUE(wake->clear());
      EXPECT_FALSE(wake->clear());
    }
  });
}

// More than one futex_waitv has words for.
TEST_P(WakeWays, ManyDescriptorsSleepAtOnce) {
  in_filtered_process([] {
    constexpr std::size_t kMany = 150;
    std::vector<std::unique_ptr<WakeDescriptor>> wakes;
    std::vector<Atomic<std::uint32_t>> words(kMany);
    for (std::size_t i = 0; i < kMany; ++i) {
      wakes.push_back(make());
      wakes.back()->sleep({&words[i], 0, BellSystem::kSlice});
    }
    for (std::size_t i = 0; i < kMany; ++i) {
      EXPECT_FALSE(readable(wakes[i]->fd()));
      words[i].store(1, std::memory_order_relaxed);
      futex_wake(words[i], 1);
      ASSERT_TRUE(EventLoop(LoopKind::kPoll, wakes[i]->fd()).wait()) << i;
    }
  });
}

std::vector<std::string> threads_called(const std::string& wanted) {
  std::vector<std::string> found;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream file(task.path() / "comm");
    std::string name;
    std::getline(file, name);
    if (name == wanted) found.push_back(task.path());
  }
  return found;
}

TEST_P(WakeWays, TheThreadGoesWithTheLastOneAndTakesNoSignals) {
  in_filtered_process([] {
    EXPECT_EQ(threads_called("rondo-wake").size(), 0u);
    for (int i = 0; i < 3; ++i) {
      auto one = make([] { return 0; });
      auto other = make([] { return 0; });
      while (threads_called("rondo-wake").empty()) sched_yield();
      ASSERT_EQ(threads_called("rondo-wake").size(), 1u);
      std::ifstream file(threads_called("rondo-wake")[0] + "/status");
      for (std::string line; std::getline(file, line);) {
        if (line.rfind("SigBlk:", 0) != 0) continue;
        const auto blocked = std::stoull(line.substr(7), nullptr, 16);
        EXPECT_NE(blocked >> (SIGTERM - 1) & 1, 0u);
        EXPECT_NE(blocked >> (SIGALRM - 1) & 1, 0u);
      }
      one.reset();
      EXPECT_EQ(threads_called("rondo-wake").size(), 1u);
      other.reset();
      EXPECT_EQ(threads_called("rondo-wake").size(), 0u);
    }
    // Where there is nothing to ask for, and the kernel does the rest, it is not needed.
    if (auto alone = make(); alone->way() == Way::kIoUring) {
      alone->sleep({&kNever, 0, BellSystem::kSlice});
      EXPECT_EQ(threads_called("rondo-wake").size(), 0u);
    }
    // A child has none, until it makes a descriptor.
    const auto wake = make([] { return 0; });
    Child child([] {
      if (!threads_called("rondo-wake").empty()) return 1;
      return lost_wakes(Look::kTwice, 100, seconds(20)) == 0 ? 0 : 2;
    });
    EXPECT_EQ(child.join(), 0);
  });
}

TEST(WakeDescriptors, WithoutAnEventfdTheErrorSaysSo) {
  for (const int error : {ENOSYS, EPERM, EMFILE}) {
    Child child([&] {
      auto pair = open_pair("inproc:?capacity=4KiB");
      if (!pair || !forbid_system_call(SYS_eventfd2, error)) return 77;
      const auto fd = pair->second.fd();
      if (fd || fd.error().message.find("eventfd") == std::string::npos) return 1;
      const ErrorCode expected =
          error == EMFILE ? ErrorCode::kNoDescriptors : ErrorCode::kUnsupported;
      if (fd.error().code != expected || pair->second.arm()) return 2;
      // The channel is as good as before.
      if (pair->first.send(std::string_view("on")) != Status::kOk) return 3;
      return pair->second.try_next().has_value() ? 0 : 4;
    });
    const int status = child.join();
    if (status == 77) GTEST_SKIP() << "no seccomp here";
    EXPECT_EQ(status, 0) << error;
  }
}

// One wake is for one sleeper: the descriptor must not take it from a thread that sleeps itself.
TEST_P(WakeWays, AWakeIsNotSpentOnOneThatWasInterrupted) {
  in_filtered_process([] {
    Atomic<std::uint32_t> word{0};
    const auto wake = make();
    for (int i = 0; i < 100; ++i) {
      static_cast<void>(wake->clear());
      wake->sleep({&word, 0, BellSystem::kSlice});
      wake->interrupt();
      EXPECT_TRUE(readable(wake->fd()));
      EXPECT_EQ(futex_wake(word, 1), 0) << i;
    }
  });
}

// The mapping keeps an io_uring, and what waits in it, beyond the end of its descriptor.
TEST(WakeDescriptors, NorOnOneWhoseDescriptorsTheProgramClosed) {
  Child child([] {
    // Its end takes the kernel a moment.
    for (useconds_t moment = 1'000; moment < 1'000'000; moment *= 2) {
      Atomic<std::uint32_t> word{0};
      ReplacedDescriptors all;
      const auto wake = make();
      if (wake->way() != Way::kIoUring) return 77;
      if (!wake->sleep({&word, 0, BellSystem::kSlice})) return 1;
      if (!all.replace_all("/dev/null")) return 2;
      wake->interrupt();
      usleep(moment);
      const int woken = futex_wake(word, 1);
      // Nor is what got the number of its event written by another.
      static_cast<void>(wake->sleep({&word, 0, BellSystem::kSlice}));
      futex_wake(word, 1);
      wake->interrupt();
      if (all.touched() != 0) return 3;
      if (woken == 0) return 0;
    }
    return 4;
  });
  const int status = child.join();
  if (status == 77) GTEST_SKIP() << "no io_uring here";
  EXPECT_EQ(status, 0);
}

// An io_uring is its thread's: another one can't end what waits in it, nor may it keep that for
// later.
TEST(WakeDescriptors, NorOnOneThatAnotherThreadGaveBack) {
  for (const bool interrupted : {false, true}) {
    // Its end takes the kernel a moment.
    int woken = 1;
    for (useconds_t moment = 1'000; woken != 0 && moment < 1'000'000; moment *= 2) {
      Atomic<std::uint32_t> word{0};
      auto wake = make();
      if (wake->way() != Way::kIoUring) GTEST_SKIP() << "no io_uring here";
      ASSERT_TRUE(wake->sleep({&word, 0, BellSystem::kSlice}));
      std::thread([&] {
        if (interrupted) wake->interrupt();
        if (!interrupted) wake.reset();
      }).join();
      usleep(moment);
      woken = futex_wake(word, 1);
    }
    EXPECT_EQ(woken, 0) << interrupted;
  }
}

// What errno was before is no answer: here, that all is well.
TEST(WakeDescriptors, AnIoUringThatTakesNothingIsNotUsed) {
  Child child([] {
    if (!forbid_system_call(SYS_io_uring_enter, 0)) return 77;
    errno = 0;
    return make()->way() != Way::kIoUring ? 0 : 1;
  });
  const int status = child.join();
  if (status == 77) GTEST_SKIP() << "no seccomp here";
  EXPECT_EQ(status, 0);
}

// A handle that moves to another thread takes another io_uring there. When there was none left
// once, it slept by the helper thread from then on.
TEST(WakeDescriptors, WhatWasRefusedForWantOfDescriptorsIsAskedForAgain) {
  Child child([] {
    alarm(120);
    const auto wake = make();
    if (wake->way() != Way::kIoUring) return 77;
    const EventLoop loop(LoopKind::kPoll, wake->fd());
    Atomic<std::uint32_t> word{0};
    std::thread other([&] {
      rlimit before{};
      getrlimit(RLIMIT_NOFILE, &before);
      const int next = dup(0);
      close(next);
      const rlimit none{static_cast<rlim_t>(next), before.rlim_max};
      setrlimit(RLIMIT_NOFILE, &none);
      static_cast<void>(wake->clear());
      EXPECT_TRUE(wake->sleep({&word, 0, BellSystem::kSlice}));
      EXPECT_NE(wake->way(), Way::kIoUring);
      word.store(1, std::memory_order_relaxed);
      futex_wake(word, 1);
      EXPECT_TRUE(loop.wait());
      setrlimit(RLIMIT_NOFILE, &before);
      do {
        usleep(1000);
        static_cast<void>(wake->clear());
        EXPECT_TRUE(wake->sleep({&word, 1, BellSystem::kSlice}));
      } while (wake->way() != Way::kIoUring);
      // The thread has let go of the word: one wake ends the one sleep.
      EXPECT_EQ(futex_wake(word, 1), 1);
      EXPECT_TRUE(loop.wait());
      static_cast<void>(wake->clear());
      EXPECT_EQ(futex_wake(word, 1), 0);
    });
    other.join();
    return ::testing::Test::HasFailure() ? 1 : 0;
  });
  const int status = child.join();
  if (status == 77) GTEST_SKIP() << "no io_uring here";
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace rondo::testing
