// Deadlines beside a process that scribbles over the whole segment as fast as it can. That a call
// comes back is a matter of bounds, which tests/attack/look_bound_test.cpp counts; here the watch
// is generous: a call with a deadline of milliseconds may not take seconds.
//
//   1. CallsComeBackBesideAScribbler
//   2. AnOpenComesBackThoughItsRingIsTakenAwayEachTime
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <random>
#include <string>
#include <thread>

#include "conformance/channel_fixture.hpp"
#include "process/stepper.hpp"
#include "rondo/core/segment.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Writes any words anywhere behind the header, for as long as it lives.
class Scribbler {
 public:
  Scribbler(std::span<std::byte> bytes, std::uint64_t seed)
      : thread_([this, bytes, seed] {
          std::mt19937_64 random(seed);
          // What a look goes by lies in front of the bulk.
          const std::size_t words = bytes.size() / 8 - 512;
          const std::size_t front = std::min<std::size_t>(words, 16'384);
          while (!stop_.load(std::memory_order_relaxed)) {
            const std::size_t word = 512 + random() % (random() % 4 == 0 ? words : front);
            const std::uint64_t value =
                random() % 2 == 0 ? random() >> random() % 64 : std::uint64_t{1} << random() % 64;
            reinterpret_cast<Atomic<std::uint64_t>*>(bytes.data())[word].store(
                value, std::memory_order_relaxed);
          }
        }) {}
  ~Scribbler() {
    stop_.store(true, std::memory_order_relaxed);
    thread_.join();
  }

 private:
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

class DeadlineTest : public Watchdog, public ::testing::WithParamInterface<const char*> {
 protected:
  ~DeadlineTest() override { static_cast<void>(remove(url_, true)); }

  template <class F>
  static void expect_back(const char* what, F&& call) {
    const auto begin = Deadline::Clock::now();
    call();
    EXPECT_LT(Deadline::Clock::now() - begin, seconds(5)) << what;
  }

  std::string url_ = "shm:" + unique_word();
};

INSTANTIATE_TEST_SUITE_P(Kinds, DeadlineTest,
                         ::testing::Values("capacity=1MiB", "readers=4&capacity=1MiB&policy=lossy",
                                           "readers=4&capacity=1MiB&policy=latest",
                                           "kind=mpmc&slots=65536&slot_size=16",
                                           "kind=frames&readers=4&frame_size=64"),
                         [](const auto& options) { return std::to_string(options.index); });

TEST_P(DeadlineTest, CallsComeBackBesideAScribbler) {
  const std::uint64_t seed = random_seed();
  for (int round = 0; round < 10; ++round) {
    auto pair = open_pair(url_ + "?" + GetParam());
    ASSERT_TRUE(pair) << pair.error().message;
    auto& [sender, receiver] = *pair;
    for (int i = 0; i < 1'000; ++i) static_cast<void>(sender.try_send(bytes_of("x")));
    auto segment = Segment::attach({Backing::kSharedMemory, url_.substr(4)}, {});
    ASSERT_TRUE(segment) << segment.error().message;
    {
      const Scribbler scribbler(segment->bytes(), seed + static_cast<std::uint64_t>(round));
      for (int i = 0; i < 5; ++i) {
        expect_back("next",
                    [&] { static_cast<void>(receiver.next(Deadline::after(milliseconds(10)))); });
        expect_back("send", [&] {
          static_cast<void>(sender.send(bytes_of("x"), Deadline::after(milliseconds(10))));
        });
        expect_back("flush",
                    [&] { static_cast<void>(sender.flush(Deadline::after(milliseconds(10)))); });
      }
      expect_back("close", [&] { sender.close(); });
      expect_back("detach", [&] { receiver.detach(); });
    }
    static_cast<void>(remove(url_, true));
  }
}

// Whatever name stands there is removed at each system call of the open. Counted, and not timed.
TEST(OpenDeadline, AnOpenComesBackThoughItsRingIsTakenAwayEachTime) {
  constexpr int kMostCalls = 5'000;
  for (const bool sends : {true, false}) {
    const std::string name = unique_word();
    const std::string url = "shm:" + name + "?kind=mpmc&slots=16";
    const std::string file = "/dev/shm/rondo-" + name;
    Stepper opens([&] {
      Stepper::begin();
      const OpenOptions at_once{.wait = Deadline::now()};
      const auto code = sends ? Sender::open(url, at_once).error().code
                              : Receiver::open(url, at_once).error().code;
      Stepper::end();
      _exit(code == (sends ? ErrorCode::kReplaced : ErrorCode::kTimedOut) ? 0 : 1);
    });
    int calls = 0;
    int taken_away = 0;
    while (calls < kMostCalls && opens.run_to_system_call()) {
      ++calls;
      if (unlink(file.c_str()) == 0) ++taken_away;
    }
    EXPECT_LT(calls, kMostCalls);
    EXPECT_GT(taken_away, 1);
    if (calls < kMostCalls) {
      EXPECT_EQ(opens.run_to_exit(), 0) << sends;
    }
  }
}

}  // namespace
}  // namespace rondo::testing
