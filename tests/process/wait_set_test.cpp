// The wait set itself, with rings of this process: tests/conformance/wait_set_conformance_test.cpp
// has it over every transport.
//
//   1. WhoIsNeverEmptyKeepsNobodyWaiting
//   2. TimersComeOnceOrAgainAndAgain
//   3. AnInterruptEndsTheWaitOrTheNextOne, from a thread and from a signal handler
//   4. TheStopFlagEndsEveryWait
//   5. DescriptorsOfAllSorts
//   6. HundredsOfRingsAreOneWait
//   7. ReceiversThatShareAChannelLeaveNoMessageLying
//   8. SeveralThreadsChangeTheSetAtOnce
//   9. HundredsOfReadyDescriptorsTakeTurns
//  10. ADeathIsToldBesideABusyMember
//  11. WithNothingToSleepOnItLooksNowAndThen
//  12. OneThatWasMovedFromSaysSo
// Those with rings also without futex_waitv, without io_uring, and without both.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <array>
#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "rondo/core/descriptor.hpp"
#include "rondo/rondo.hpp"
#include "support/names.hpp"
#include "support/processes.hpp"
#include "support/sanitizers.hpp"
#include "support/system_call_filter.hpp"

namespace rondo::testing {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;
using Key = WaitSet::Key;

struct Filters {
  std::string name;
  std::vector<long> forbidden;
};

class WaitSets : public Watchdog, public ::testing::WithParamInterface<Filters> {
 protected:
  // Runs `body` in a process with these filters.
  template <class Body>
  void in_filtered_process(Body body) {
    Child child([&] {
      for (const long number : GetParam().forbidden) {
        if (!forbid_system_call(number, EPERM)) return 77;
      }
      body();
      return ::testing::Test::HasFailure() ? 1 : 0;
    });
    const int status = child.join();
    if (status == 77) GTEST_SKIP() << "no seccomp here";
    EXPECT_EQ(status, 0);
  }
};

INSTANTIATE_TEST_SUITE_P(
    Every, WaitSets,
    ::testing::Values(Filters{"All", {}}, Filters{"NoWaitv", {SYS_futex_waitv}},
                      Filters{"NoIoUring", {SYS_io_uring_setup}},
                      Filters{"Neither", {SYS_futex_waitv, SYS_io_uring_setup}}),
    [](const auto& filters) { return filters.param.name; });

WaitSet make(WaitMode mode = WaitMode::kPark, const std::atomic<bool>* stop = nullptr) {
  auto set = WaitSet::make(mode, stop);
  if (!set) std::abort();
  return std::move(set).value();
}

void expect(const Result<void>& done) { EXPECT_TRUE(done) << done.error().message; }

std::pair<Sender, Receiver> ring(const std::string& options = "capacity=4KiB") {
  auto pair = open_pair("inproc:?" + options);
  if (!pair) {
    ADD_FAILURE() << pair.error().message;
    std::abort();
  }
  return std::move(pair).value();
}

void send(Sender& sender, std::uint64_t value = 0) {
  ASSERT_EQ(sender.send(std::as_bytes(std::span(&value, 1))), Status::kOk);
}

std::optional<Key> wait_for_one(WaitSet& set, Deadline deadline = Deadline::after(seconds(30))) {
  std::array<Key, 1> room{};
  const auto ready = set.wait(room, deadline);
  return ready ? std::optional((*ready)[0]) : std::nullopt;
}

TEST_P(WaitSets, WhoIsNeverEmptyKeepsNobodyWaiting) {
  in_filtered_process([] {
    for (const std::size_t places : {1u, 3u, 8u}) {
      for (const bool beside : {false, true}) {
        WaitSet set = make();
        std::vector<std::pair<Sender, Receiver>> rings;
        for (Key key = 0; key < 4; ++key) rings.push_back(ring());
        for (Key key = 0; key < 4; ++key) expect(set.add(rings[key].second, key));
        detail::UniqueFd event = detail::open_event();
        if (beside) {
          const std::uint64_t one = 1;
          ASSERT_EQ(write(event.get(), &one, sizeof one), 8);
          expect(set.add_descriptor(event.get(), false, 4));
        }
        // None is ever empty.
        for (auto& [sender, receiver] : rings) send(sender), send(sender);
        const std::size_t members = beside ? 5 : 4;
        std::array<std::uint64_t, 5> served{};
        std::array<Key, 8> room{};
        constexpr std::uint64_t kTurns = 60;
        for (std::uint64_t all = 0; all < kTurns * members;) {
          const auto ready = set.wait(std::span(room).first(places));
          ASSERT_TRUE(ready);
          EXPECT_EQ(ready->size(), std::min(places, members));
          for (const Key key : *ready) {
            ++served[key];
            ++all;
            if (key == 4) continue;
            EXPECT_TRUE(rings[key].second.try_next());
            send(rings[key].first);
          }
        }
        for (std::size_t i = 0; i < members; ++i)
          EXPECT_NEAR(static_cast<double>(served[i]), kTurns, 2) << i;
      }
    }
  });
}

TEST(WaitSet, TimersComeOnceOrAgainAndAgain) {
  WaitSet set = make();
  const Deadline begin = Deadline::after(milliseconds(1));
  expect(set.add_timer(begin, {}, 1));
  EXPECT_EQ(wait_for_one(set), 1u);
  EXPECT_TRUE(begin.passed());
  // It has gone, and its key is free.
  EXPECT_FALSE(set.remove(1));
  EXPECT_EQ(wait_for_one(set, Deadline::after(milliseconds(1))), std::nullopt);
  const Deadline first = Deadline::after(milliseconds(2));
  expect(set.add_timer(first, milliseconds(2), 1));
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(wait_for_one(set), 1u);
    EXPECT_TRUE(Deadline::at(first.time() + i * milliseconds(2)).passed());
  }
  // Late ones are not made up for: the next one lies ahead.
  usleep(20'000);
  EXPECT_EQ(wait_for_one(set), 1u);
  EXPECT_EQ(wait_for_one(set, Deadline::now()), std::nullopt);
  EXPECT_EQ(wait_for_one(set), 1u);
  // A period that the clock can't count.
  expect(set.add_timer(Deadline::now(), std::chrono::nanoseconds::max(), 4));
  EXPECT_EQ(wait_for_one(set), 4u);
  EXPECT_TRUE(set.remove(1));
  EXPECT_EQ(wait_for_one(set, Deadline::after(milliseconds(2))), std::nullopt);
  expect(set.add_timer(first, milliseconds(2), 1));
  EXPECT_EQ(wait_for_one(set), 1u);
  // Two that are due, and one that never is.
  expect(set.add_timer(Deadline::now(), seconds(100), 2));
  expect(set.add_timer(Deadline::never(), {}, 3));
  EXPECT_EQ(wait_for_one(set), 2u);
  EXPECT_TRUE(set.remove(1));
  EXPECT_EQ(wait_for_one(set, Deadline::after(milliseconds(3))), std::nullopt);
}

std::atomic<WaitSet*> interrupted_set{nullptr};

TEST_P(WaitSets, AnInterruptEndsTheWaitOrTheNextOne) {
  in_filtered_process([] {
    for (const bool beside : {false, true}) {
      WaitSet set = make();
      auto [sender, receiver] = ring();
      expect(set.add(receiver, 1));
      detail::UniqueFd event = detail::open_event();
      if (beside) expect(set.add_descriptor(event.get(), false, 2));
      std::array<Key, 1> room{};
      set.interrupt();
      set.interrupt();
      send(sender);
      EXPECT_EQ(set.wait(room).status(), Status::kInterrupted);
      EXPECT_EQ(wait_for_one(set), 1u);
      EXPECT_TRUE(receiver.try_next());
      EXPECT_EQ(set.wait(room, Deadline::now()).status(), Status::kWouldBlock);
      EXPECT_EQ(set.wait({}).status(), Status::kWouldBlock);
      for (int i = 0; i < 50; ++i) {
        std::thread interrupting([&] {
          usleep(static_cast<unsigned>(100 * (i % 7)));
          set.interrupt();
        });
        EXPECT_EQ(set.wait(room).status(), Status::kInterrupted);
        interrupting.join();
      }
      interrupted_set.store(&set);
      struct sigaction action {};
      action.sa_handler = [](int) { interrupted_set.load()->interrupt(); };
      sigaction(SIGUSR1, &action, nullptr);
      for (int i = 0; i < 50; ++i) {
        const pthread_t waiting = pthread_self();
        std::thread interrupting([&] {
          usleep(static_cast<unsigned>(100 * (i % 7)));
          pthread_kill(waiting, SIGUSR1);
        });
        EXPECT_EQ(set.wait(room).status(), Status::kInterrupted);
        interrupting.join();
      }
      signal(SIGUSR1, SIG_DFL);
    }
  });
}

TEST(WaitSet, TheStopFlagEndsEveryWait) {
  for (const WaitMode mode : {WaitMode::kSpin, WaitMode::kAdaptive, WaitMode::kPark}) {
    std::atomic<bool> stop{false};
    WaitSet set = make(mode, &stop);
    auto [sender, receiver] = ring();
    expect(set.add(receiver, 1));
    std::thread stopping([&] {
      usleep(3000);
      stop.store(true);
    });
    std::array<Key, 1> room{};
    EXPECT_EQ(set.wait(room).status(), Status::kInterrupted);
    EXPECT_EQ(set.wait(room).status(), Status::kInterrupted);
    send(sender);
    EXPECT_EQ(wait_for_one(set), 1u);
    stopping.join();
  }
}

TEST_P(WaitSets, DescriptorsOfAllSorts) {
  in_filtered_process([] {
    WaitSet set = make();
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    // One end, for reading and for writing.
    expect(set.add_descriptor(ends[0], false, 1));
    expect(set.add_descriptor(ends[0], true, 2));
    EXPECT_EQ(wait_for_one(set), 2u);
    EXPECT_EQ(wait_for_one(set), 2u);
    EXPECT_TRUE(set.remove(2));
    EXPECT_EQ(wait_for_one(set, Deadline::after(milliseconds(1))), std::nullopt);
    std::thread writing([&] {
      usleep(2000);
      EXPECT_EQ(write(ends[1], "x", 1), 1);
    });
    EXPECT_EQ(wait_for_one(set), 1u);
    writing.join();
    EXPECT_TRUE(set.remove(1));
    expect(set.add_descriptor(ends[1], false, 3));
    close(ends[0]);
    EXPECT_EQ(wait_for_one(set), 3u);  // broken
    EXPECT_TRUE(set.remove(3));
    close(ends[1]);
    // A file is always ready; a number that is none of a descriptor is an error.
    const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    expect(set.add_descriptor(file, false, 4));
    EXPECT_EQ(wait_for_one(set), 4u);
    EXPECT_TRUE(set.remove(4));
    close(file);
    EXPECT_FALSE(set.add_descriptor(file, false, 5));
    EXPECT_FALSE(set.add_descriptor(-1, false, 5));
    EXPECT_FALSE(set.remove(5));
    // One that was closed before it is removed tells nothing, and goes.
    detail::UniqueFd event = detail::open_event();
    expect(set.add_descriptor(event.get(), false, 6));
    event = detail::UniqueFd();
    EXPECT_EQ(wait_for_one(set, Deadline::after(milliseconds(1))), std::nullopt);
    EXPECT_TRUE(set.remove(6));
  });
}

TEST_P(WaitSets, HundredsOfRingsAreOneWait) {
  in_filtered_process([] {
    // Around what one system call takes, and beyond what one io_uring does.
    for (const std::size_t count : {126u, 127u, 128u, 300u, 1100u}) {
      WaitSet set = make();
      std::vector<std::pair<Sender, Receiver>> rings;
      for (std::size_t i = 0; i < count; ++i) rings.push_back(ring("capacity=256"));
      for (std::size_t i = 0; i < count; ++i) expect(set.add(rings[i].second, i));
      const std::size_t rounds = scaled(150);
      std::atomic<std::size_t> met{0};
      std::thread sending([&] {
        for (std::size_t i = 0; i < rounds; ++i) {
          while (met.load() != i) sched_yield();
          if (i % 3 == 0) usleep(100);
          send(rings[i * 31 % count].first, i);
        }
      });
      for (std::size_t i = 0; i < rounds; ++i) {
        const auto key = wait_for_one(set);
        EXPECT_EQ(key, i * 31 % count);
        if (!key) break;
        EXPECT_TRUE(rings[*key].second.try_next());
        met.store(i + 1);
      }
      met.store(rounds);
      sending.join();
    }
  });
}

// Two sets, each with a receiver of one channel: a wake goes to one of them, and whichever it is,
// and leaves its set meanwhile, the message does not lie there for nobody.
TEST_P(WaitSets, ReceiversThatShareAChannelLeaveNoMessageLying) {
  in_filtered_process([] {
    const std::string url = "inproc:" + unique_word();
    auto sender = Sender::open(url + "?kind=mpmc&slots=64");
    ASSERT_TRUE(sender);
    const std::uint64_t messages = scaled(2'000);
    std::atomic<std::uint64_t> received{0};
    std::vector<std::thread> receiving;
    for (int which = 0; which < 2; ++which) {
      receiving.emplace_back([&, which] {
        auto receiver = Receiver::open(url);
        ASSERT_TRUE(receiver);
        WaitSet set = make();
        expect(set.add(*receiver, 1));
        for (int turn = 0; received.load() < messages; ++turn) {
          if (wait_for_one(set, Deadline::after(milliseconds(20)))) {
            if (receiver->try_next()) received.fetch_add(1);
          }
          if (turn % 16 == which) {
            EXPECT_TRUE(set.remove(1));
            expect(set.add(*receiver, 1));
          }
        }
      });
    }
    for (std::uint64_t i = 0; i < messages; ++i) {
      send(*sender, i);
      if (i % 8 == 0) usleep(100);
    }
    for (std::thread& thread : receiving) thread.join();
    EXPECT_EQ(received.load(), messages);
  });
}

TEST_P(WaitSets, SeveralThreadsChangeTheSetAtOnce) {
  in_filtered_process([] {
    for (const WaitMode mode : {WaitMode::kPark, WaitMode::kSpin}) {
      WaitSet set = make(mode);
      std::atomic<bool> over{false};
      std::thread waiting([&] {
        std::array<Key, 8> room{};
        while (!over.load()) static_cast<void>(set.wait(room, Deadline::after(milliseconds(5))));
      });
      std::vector<std::thread> changing;
      for (Key base : {100u, 200u}) {
        changing.emplace_back([&, base] {
          detail::UniqueFd event = detail::open_event();
          for (Key i = 0; i < scaled(500); ++i) {
            const Key key = base + i % 5;
            auto [sender, receiver] = ring("capacity=256");
            switch (i % 3) {
              case 0: expect(set.add(receiver, key)); break;
              case 1: expect(set.add_timer(Deadline::after(seconds(9)), seconds(1), key)); break;
              default: expect(set.add_descriptor(event.get(), false, key)); break;
            }
            if (i % 2 == 0) send(sender);
            EXPECT_TRUE(set.remove(key));
          }
        });
      }
      for (std::thread& thread : changing) thread.join();
      over.store(true);
      waiting.join();
    }
  });
}

TEST(WaitSet, HundredsOfReadyDescriptorsTakeTurns) {
  WaitSet set = make();
  std::array<std::uint64_t, 200> served{};
  std::vector<detail::UniqueFd> events;
  for (Key key = 0; key < served.size(); ++key) {
    events.push_back(detail::open_event());
    const std::uint64_t one = 1;
    ASSERT_EQ(write(events.back().get(), &one, sizeof one), 8);
    expect(set.add_descriptor(events.back().get(), false, key));
  }
  for (std::size_t turn = 0; turn < 3 * served.size(); ++turn) {
    const auto key = wait_for_one(set);
    ASSERT_TRUE(key);
    ++served[*key];
  }
  for (const std::uint64_t times : served) EXPECT_EQ(times, 3u);
}

// By time, and not by the number of looks: whoever takes his time over each message hears of it,
// too.
TEST(WaitSet, ADeathIsToldBesideABusyMember) {
  const std::string url = "shm:" + unique_word();
  Child child([&] {
    auto sender = Sender::open(url);
    if (!sender) return 1;
    send(*sender);
    for (;;) pause();
  });
  auto receiver = Receiver::open(url);
  ASSERT_TRUE(receiver) << receiver.error().message;
  auto [busy_sender, busy] = ring();
  WaitSet set = make();
  expect(set.add(busy, 1));
  expect(set.add(*receiver, 2));
  ASSERT_TRUE(receiver->next(Deadline::after(seconds(20))));
  child.signal(SIGKILL);
  child.join();
  int turns = 0;
  for (; receiver->status() == Status::kOk && turns < 200; ++turns) {
    send(busy_sender);
    std::array<Key, 1> room{};
    const auto ready = set.wait(room);
    ASSERT_TRUE(ready);
    if ((*ready)[0] == 1) {
      EXPECT_TRUE(busy.try_next());
    } else {
      EXPECT_FALSE(receiver->try_next());
    }
    usleep(1000);
  }
  EXPECT_EQ(receiver->status(), Status::kPeerDied) << turns;
  receiver->detach();
}

TEST(WaitSet, WithNothingToSleepOnItLooksNowAndThen) {
  Child child([] {
    detail::UniqueFd event = detail::open_event();
    for (const long number : {SYS_futex_waitv, SYS_io_uring_setup, SYS_eventfd2}) {
      if (!forbid_system_call(number, EPERM)) return 77;
    }
    for (const bool beside : {false, true}) {
      WaitSet set = make();
      auto [sender, receiver] = ring();
      expect(set.add(receiver, 1));
      if (beside) expect(set.add_descriptor(event.get(), false, 2));
      for (int i = 0; i < 20; ++i) {
        std::thread sending([&sender = sender] {
          usleep(2000);
          send(sender);
        });
        EXPECT_EQ(wait_for_one(set), 1u);
        sending.join();
        EXPECT_TRUE(receiver.try_next());
      }
    }
    return ::testing::Test::HasFailure() ? 1 : 0;
  });
  const int status = child.join();
  if (status == 77) GTEST_SKIP() << "no seccomp here";
  EXPECT_EQ(status, 0);
}

TEST(WaitSet, OneThatWasMovedFromSaysSo) {
  WaitSet set = make();
  expect(set.add_timer(Deadline::now(), {}, 1));
  WaitSet other = std::move(set);
  EXPECT_EQ(wait_for_one(other), 1u);
  std::array<Key, 1> room{};
  EXPECT_EQ(set.wait(room).status(), Status::kClosed);
  EXPECT_FALSE(set.add_timer(Deadline::now(), {}, 1));
  EXPECT_FALSE(set.remove(1));
  set.interrupt();
}

}  // namespace
}  // namespace rondo::testing
