// A waiter sleeps: how often a thread that waits for the other side wakes up, in every kind of
// channel and every state of it. Counted by the kernel (voluntary context switches), not timed.
//
//   1. OfManyReceiversBesideASilentSender
//   2. OfReceiversThatCameLate
//   3. AReceiverWithoutMessages
//   4. AReceiverWithoutASender
//   5. OneThatOpensWhatIsNotThereYet
//   6. ASenderWithoutReceivers
//   7. ASenderWithoutRoom
//   8. ASenderThatFlushes
//   9. AQuietSet, AQuietDescriptor     the thread for wakes: each ring cost it 20 looks a second
//  10. ADescriptorInUse               for which it looks as often as ever
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "conformance/channel_fixture.hpp"

namespace rondo::testing {
namespace {

constexpr std::chrono::seconds kLong{2};
// 25 a second, and half as many again: some more at the beginning, and what else stops a thread.
constexpr long kMostWakes = 75;

long switches() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nvcsw;
}

// Waits until `deadline` in one call, in vain, and says how often it woke up on the way.
template <class Wait>
long wakes(Wait&& wait) {
  const long before = switches();
  wait(Deadline::after(kLong));
  return switches() - before;
}

struct Kind {
  const char* name;
  const char* scheme;   // up to the name
  const char* options;  // of the sender, and of a receiver that makes the ring
  bool path;            // a path follows, not a name
};
void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }

constexpr Kind kKinds[] = {
    {"Shm", "shm:", "capacity=4KiB", false},
    {"File", "file:", "capacity=4KiB", true},
    {"Readers", "shm:", "capacity=4KiB&readers=3", false},
    {"Slots", "shm:", "kind=mpmc&slots=4", false},
    {"Frames", "shm:", "kind=frames&readers=2", false},
    {"Guarded", "shm+guarded:", "capacity=4KiB", true},
    {"GuardedReaders", "shm+guarded:", "capacity=4KiB&readers=3", true},
    {"Inproc", "inproc:", "capacity=4KiB", false},
    {"InprocReaders", "inproc:", "capacity=4KiB&readers=3", false},
    {"InprocSlots", "inproc:", "kind=mpmc&slots=4", false},
    {"InprocFrames", "inproc:", "kind=frames&readers=2", false},
    {"Fifo", "fifo:", "", true},
    {"Unix", "unix:", "", true},
    {"Tcp", "tcp:", "", false},
    {"Auto", "auto:", "capacity=4KiB", false},
};

class Idle : public ::testing::TestWithParam<Kind> {
 protected:
  Idle() { alarm(240); }
  ~Idle() override { alarm(0); }

  [[nodiscard]] std::string url() const {
    const Kind& kind = GetParam();
    if (is("Tcp") || is("Auto")) return kind.scheme + free_tcp_url().substr(4);
    const std::string target = kind.path ? directory_.path() + "/ring" : unique_word();
    return kind.scheme + target;
  }
  [[nodiscard]] bool is(std::string_view name) const { return GetParam().name == name; }
  [[nodiscard]] bool inproc() const { return GetParam().scheme == std::string_view("inproc:"); }
  [[nodiscard]] bool stream() const { return is("Fifo") || is("Unix") || is("Tcp"); }
  // Neither side opens before the other one is there.
  [[nodiscard]] bool meets() const { return stream() || is("Auto"); }

  // Both ends.
  void open() {
    auto pair = open_pair(url() + "?" + GetParam().options);
    ASSERT_TRUE(pair) << pair.error().message;
    sender_.emplace(std::move(pair->first));
    receiver_.emplace(std::move(pair->second));
  }

  ScratchDirectory directory_;
  std::optional<Sender> sender_;
  std::optional<Receiver> receiver_;
};

INSTANTIATE_TEST_SUITE_P(Every, Idle, ::testing::ValuesIn(kKinds),
                         [](const auto& kind) { return std::string(kind.param.name); });

// In a thread for each, as many wakes as it had.
std::vector<long> wakes_of_all(std::vector<Receiver>& receivers) {
  std::vector<long> counts(receivers.size());
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < receivers.size(); ++i) {
    threads.emplace_back([&, i] {
      counts[i] = wakes([&](Deadline deadline) {
        EXPECT_EQ(receivers[i].next(deadline).status(), Status::kTimedOut);
      });
    });
  }
  for (std::thread& thread : threads) thread.join();
  return counts;
}

class IdleReaders : public Watchdog {
 protected:
  void come(std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
      auto receiver = Receiver::open(url_, {.wait = Deadline::after(std::chrono::seconds(60))});
      ASSERT_TRUE(receiver) << receiver.error().message;
      receivers_.push_back(std::move(receiver).value());
    }
  }

  std::string url_ = "shm:" + unique_word();
  std::vector<Receiver> receivers_;
};

// A sender noticed them at its first message, so they slept for a millisecond at a time until then.
TEST_F(IdleReaders, OfManyReceiversBesideASilentSender) {
  auto sender = Sender::open(url_ + "?readers=8");
  ASSERT_TRUE(sender) << sender.error().message;
  come(8);
  for (const long count : wakes_of_all(receivers_)) EXPECT_LE(count, kMostWakes);
}

// It noticed readers that had come since at every 64th message only.
TEST_F(IdleReaders, OfReceiversThatCameLate) {
  auto sender = Sender::open(url_ + "?readers=8");
  ASSERT_TRUE(sender) << sender.error().message;
  come(1);
  for (int i = 0; i < 2; ++i) ASSERT_EQ(sender->send(bytes_of("x")), Status::kOk);
  come(4);
  for (Receiver& receiver : receivers_) {
    while (receiver.try_next()) {
    }
  }
  for (const long count : wakes_of_all(receivers_)) EXPECT_LE(count, kMostWakes);
}

TEST_P(Idle, AReceiverWithoutMessages) {
  open();
  EXPECT_LE(wakes([&](Deadline deadline) {
              EXPECT_EQ(receiver_->next(deadline).status(), Status::kTimedOut);
            }),
            kMostWakes);
}

TEST_P(Idle, AReceiverWithoutASender) {
  if (is("Guarded") || is("GuardedReaders") || inproc() || meets()) {
    GTEST_SKIP() << "what a sender leaves there goes with it";
  }
  const std::string place = url();
  {
    auto sender = Sender::open(place + "?keep=1&" + GetParam().options);
    ASSERT_TRUE(sender) << sender.error().message;
    static_cast<void>(sender->close());
  }
  EXPECT_LE(wakes([&](Deadline deadline) {
              auto receiver = Receiver::open(place, {.wait = deadline, .await_successor = true});
              if (receiver) static_cast<void>(receiver->next(deadline));
            }),
            kMostWakes);
  static_cast<void>(remove(place, true));
}

TEST_P(Idle, OneThatOpensWhatIsNotThereYet) {
  const std::string place = url();
  const bool sends = is("Unix") || is("Tcp");
  EXPECT_LE(
      wakes([&](Deadline deadline) {
        // Whichever side waits there for the other.
        if (sends) {
          EXPECT_EQ(Sender::open(place, {.wait = deadline}).error().code, ErrorCode::kTimedOut);
        } else {
          EXPECT_EQ(Receiver::open(place, {.wait = deadline}).error().code, ErrorCode::kTimedOut);
        }
      }),
      kMostWakes);
}

TEST_P(Idle, ASenderWithoutReceivers) {
  if (meets()) GTEST_SKIP() << "it does not open without";
  auto sender = Sender::open(url() + "?" + GetParam().options);
  ASSERT_TRUE(sender) << sender.error().message;
  EXPECT_LE(wakes([&](Deadline deadline) {
              EXPECT_EQ(sender->wait_for_receivers(1, deadline), Status::kTimedOut);
            }),
            kMostWakes);
}

TEST_P(Idle, ASenderWithoutRoom) {
  if (is("Frames") || is("InprocFrames")) GTEST_SKIP() << "there is always room for one more";
  open();
  Status status = Status::kOk;
  while (status == Status::kOk) status = sender_->try_send(bytes_of("a message"));
  ASSERT_EQ(status, Status::kWouldBlock);
  // One that waits in slices, and asks for its receiver at other times, does not sleep for each.
  EXPECT_EQ(sender_->send(bytes_of("one more"), Deadline::after(std::chrono::milliseconds(10))),
            Status::kTimedOut);
  EXPECT_LE(wakes([&](Deadline deadline) {
              EXPECT_EQ(sender_->send(bytes_of("one more"), deadline), Status::kTimedOut);
            }),
            kMostWakes);
}

TEST_P(Idle, ASenderThatFlushes) {
  if (stream()) GTEST_SKIP() << "what is written is gone";
  open();
  ASSERT_EQ(sender_->send(bytes_of("a message")), Status::kOk);
  EXPECT_LE(
      wakes([&](Deadline deadline) { EXPECT_EQ(sender_->flush(deadline), Status::kTimedOut); }),
      kMostWakes);
}

// All is over that comes at the beginning of a silence.
constexpr std::chrono::milliseconds kSilence{1'800};
// Two a second, and as many again, and some more.
constexpr long kMostQuietWakes = 12;

TEST_P(Idle, AQuietSet) {
  open();
  auto set = WaitSet::make(WaitMode::kPark);
  ASSERT_TRUE(set);
  ASSERT_TRUE(set->add(*receiver_, 1));
  std::array<WaitSet::Key, 1> room{};
  const auto wait = [&](Deadline deadline) {
    // One of a byte stream may be told of in vain.
    while (!deadline.passed()) {
      if (!set->wait(room, deadline)) continue;
      EXPECT_FALSE(receiver_->try_next());
    }
  };
  wait(Deadline::after(kSilence));
  EXPECT_LE(wakes(wait), kMostQuietWakes);
}

// Of the thread that asks what no word tells; 0: there is none.
long switches_of_the_helper() {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string name;
    std::getline(std::ifstream(task.path() / "comm"), name);
    if (name != "rondo-wake") continue;
    std::ifstream status(task.path() / "status");
    constexpr std::string_view kCount = "voluntary_ctxt_switches:";
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with(kCount)) return std::stol(line.substr(kCount.size()));
    }
  }
  return 0;
}

TEST_P(Idle, AQuietDescriptor) {
  open();
  ASSERT_TRUE(receiver_->fd());
  EXPECT_FALSE(receiver_->try_next());
  std::this_thread::sleep_for(kSilence);
  const long before = switches_of_the_helper();
  std::this_thread::sleep_for(kLong);
  EXPECT_LE(switches_of_the_helper() - before, kMostQuietWakes);
}

// In a ring that is in use a wake may be spent on one that is busy with something else.
TEST_P(Idle, ADescriptorInUse) {
  if (!is("Slots")) GTEST_SKIP() << "nobody has the wake of another";
  open();
  ASSERT_TRUE(receiver_->fd());
  const long before = switches_of_the_helper();
  for (int i = 0; i < 250; ++i) {
    ASSERT_EQ(sender_->send("one"), Status::kOk);
    EXPECT_TRUE(receiver_->try_next());
    EXPECT_FALSE(receiver_->try_next());
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_GE(switches_of_the_helper() - before, 25);
}

}  // namespace
}  // namespace rondo::testing
