// Waiting for several ends at once: each is armed, one sleep covers all of their words, each is
// disarmed (endpoint/backend.hpp).
//
//   1. OneSleepCoversTenReceivers
//   2. TheEndOfAStreamEndsTheSleep
//   3. AKilledSenderIsFoundOutWhenTheSliceIsOver
//   4. ASenderIsToldOfRoom
//   5. AnArmedReceiverHasToldOfAllTheRoom
//   6. WhoDisarmsAfterItHasLeftTakesNoWakeFromASuccessor
//   7. ByteStreamsHaveADescriptorInstead
//   8. AWakeOfWhichAWaitSetTellsNobodyGoesOn
#include <linux/futex.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "endpoint/backend.hpp"
#include "open/open.hpp"
#include "rondo/transports/wait_set.hpp"
#include "support/names.hpp"
#include "support/processes.hpp"

namespace rondo::testing {
namespace {

using detail::Arming;

// Two receivers are at the fourth.
constexpr std::array kChannels{
    "?capacity=4KiB",
    "?capacity=64KiB",
    "?capacity=4KiB&ack=eager",
    "?readers=2",
    "?readers=3",
    "?kind=mpmc&slots=4",
    "?kind=mpmc&slots=64",
    "?kind=frames&frames=4",
    "?kind=frames&readers=2&frames=8",
};
constexpr std::size_t kShared = 3;

struct End {
  std::size_t channel;
  detail::ReceiverParts parts;

  std::optional<Arming> arm() { return parts.backend->arm(parts.consumer, parts.notifier); }
  // Reads a message, if there is one, and holds it.
  Status fetch() {
    Status status = Status::kOk;
    static_cast<void>(parts.backend->fetch(parts.consumer, Deadline::now(), status));
    return status;
  }
  void give_back() {
    if (parts.elsewhere) {
      parts.backend->give_back();
    } else if (parts.consumer.give_back()) {
      static_cast<void>(parts.notifier.notify());
    }
  }
  Status take() {
    const Status status = fetch();
    if (status == Status::kOk) give_back();
    return status;
  }
};

// Sleeps until one of the words has another value, or `until`. Whether the time was up.
bool sleep_on_all(const std::vector<PreparedWait>& waits, const timespec* until) {
  std::vector<futex_waitv> words;
  for (const PreparedWait& wait : waits) {
    words.push_back({wait.value, reinterpret_cast<std::uintptr_t>(wait.word), FUTEX_32, 0});
  }
  const long result = syscall(SYS_futex_waitv, words.data(), words.size(), 0, until,
                              until == nullptr ? 0 : CLOCK_MONOTONIC);
  EXPECT_TRUE(result >= 0 || errno == EAGAIN || errno == ETIMEDOUT || errno == EINTR) << errno;
  return result < 0 && errno == ETIMEDOUT;
}

timespec after(std::chrono::nanoseconds time) {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const auto all = std::chrono::nanoseconds(now.tv_nsec) + time;
  now.tv_sec += static_cast<std::time_t>(all / std::chrono::seconds(1));
  now.tv_nsec = (all % std::chrono::seconds(1)).count();
  return now;
}

// A process with the sending ends of all channels, and ours with the ten receiving ones.
class ArmedEnds : public Watchdog {
 protected:
  static constexpr int kNothing = -1;
  static constexpr int kClose = 1000;  // and above: close the channel; below: send on it
  struct Orders {
    std::atomic<bool> opened{false};
    std::atomic<int> order{kNothing};
    std::atomic<bool> when_asleep{false};
  };

  ArmedEnds() {
    for (const char* options : kChannels) urls_.push_back("shm:" + unique_word() + options);
    senders_.emplace([this, parent = getpid()] { return send(parent); });
    while (!orders_->opened) usleep(100);
    for (std::size_t i = 0; i < urls_.size(); ++i) {
      open(i);
      if (i == kShared) open(i);
    }
  }
  ~ArmedEnds() override {
    senders_.reset();
    for (End& end : ends_) end.parts.backend->detach(end.parts.consumer, end.parts.notifier);
  }

  void order(int what, bool when_asleep) {
    orders_->when_asleep = when_asleep;
    orders_->order = what;
  }
  // Of all; those with something to do are looked at until they have nothing.
  std::vector<PreparedWait> arm_all() {
    std::vector<PreparedWait> waits;
    for (End& end : ends_) {
      for (int turn = 0; turn < 100; ++turn) {
        const std::optional<Arming> arming = end.arm();
        EXPECT_TRUE(arming.has_value());
        if (arming->may_sleep) {
          waits.push_back(arming->wait);
          break;
        }
        EXPECT_EQ(end.take(), Status::kWouldBlock) << kChannels[end.channel];
      }
    }
    EXPECT_EQ(waits.size(), ends_.size());
    return waits;
  }
  void disarm_all() {
    for (End& end : ends_) static_cast<void>(end.parts.backend->disarm());
  }

  std::vector<std::string> urls_;
  std::vector<End> ends_;
  Shared<Orders> orders_;
  std::optional<Child> senders_;

 private:
  void open(std::size_t channel) {
    OpenOptions options;
    auto parts = detail::open_receiver(urls_[channel].substr(0, urls_[channel].find('?')), options);
    ASSERT_TRUE(parts) << parts.error().message;
    ends_.push_back({channel, std::move(parts).value()});
  }

  int send(pid_t parent) {
    std::vector<Sender> senders;
    for (const std::string& url : urls_) {
      auto sender = Sender::open(url);
      if (!sender) return 1;
      senders.push_back(std::move(sender).value());
    }
    orders_->opened = true;
    for (;;) {
      int what = kNothing;
      while ((what = orders_->order.exchange(kNothing)) == kNothing) sched_yield();
      if (orders_->when_asleep) await_sleep_of(parent);
      const auto channel = static_cast<std::size_t>(what % kClose);
      const std::array<std::byte, 16> message{};
      const Status status = what < kClose ? senders[channel].send(message, Deadline::now())
                                          : senders[channel].close();
      if (status != Status::kOk) return 2;
    }
  }
};

// The sleep has no end of its own: a wake that is lost is a hang.
TEST_F(ArmedEnds, OneSleepCoversTenReceivers) {
  ASSERT_EQ(ends_.size(), 10u);
  std::mt19937_64 random(random_seed());
  for (int round = 0; round < 200; ++round) {
    const auto channel = random() % urls_.size();
    std::size_t got = 0;
    bool ordered = false;
    while (got == 0) {
      const std::vector<PreparedWait> waits = arm_all();
      if (!std::exchange(ordered, true)) order(static_cast<int>(channel), round % 2 == 0);
      sleep_on_all(waits, nullptr);
      disarm_all();
      for (End& end : ends_) {
        const Status status = end.take();
        if (status == Status::kWouldBlock) continue;
        ASSERT_EQ(status, Status::kOk) << kChannels[end.channel];
        ASSERT_EQ(end.channel, channel);
        ++got;
      }
    }
    ASSERT_EQ(got, channel == kShared ? 2u : 1u);
  }
}

TEST_F(ArmedEnds, TheEndOfAStreamEndsTheSleep) {
  for (std::size_t channel = 0; channel < urls_.size(); ++channel) {
    const std::vector<PreparedWait> waits = arm_all();
    order(kClose + static_cast<int>(channel), true);
    sleep_on_all(waits, nullptr);
    disarm_all();
    const auto over = [&](End& end) {
      if (end.channel != channel) return false;
      Status status = Status::kWouldBlock;
      while (status == Status::kWouldBlock) {
        const std::optional<Arming> arming = end.arm();
        if (arming->may_sleep) sleep_on_all({arming->wait}, nullptr);
        if (arming->may_sleep) static_cast<void>(end.parts.backend->disarm());
        status = end.take();
      }
      EXPECT_EQ(status, Status::kEnded) << kChannels[channel];
      end.parts.backend->detach(end.parts.consumer, end.parts.notifier);
      return true;
    };
    EXPECT_EQ(std::erase_if(ends_, over), channel == kShared ? 2u : 1u);
  }
}

TEST_F(ArmedEnds, AKilledSenderIsFoundOutWhenTheSliceIsOver) {
  const std::vector<PreparedWait> waits = arm_all();
  senders_->signal(SIGKILL);
  ASSERT_EQ(senders_->join(), -SIGKILL);
  // No process was left to change a word.
  for (const PreparedWait& wait : waits) {
    EXPECT_EQ(wait.word->load(std::memory_order_relaxed), wait.value);
  }
  const timespec until = after(BellSystem::kSlice);
  EXPECT_TRUE(sleep_on_all(waits, &until));
  disarm_all();
  for (End& end : ends_) {
    const std::optional<Arming> arming = end.arm();
    ASSERT_TRUE(arming.has_value());
    EXPECT_FALSE(arming->may_sleep) << kChannels[end.channel];
    EXPECT_EQ(end.take(), Status::kPeerDied) << kChannels[end.channel];
  }
}

// As the handle does, which looks into its own ring first.
Status send(detail::SenderParts& sender) {
  constexpr std::array<std::byte, 16> kMessage{};
  if (sender.mpmc != nullptr) {
    if (sender.mpmc->try_reserve(kMessage.size()) == nullptr) return Status::kWouldBlock;
    sender.mpmc->commit(kMessage.size());
    return Status::kOk;
  }
  if (sender.elsewhere) {
    Status refusal = Status::kOk;
    std::byte* const room = sender.backend->reserve(sender.producer, sender.notifier,
                                                    kMessage.size(), Deadline::now(), refusal);
    if (room == nullptr) return refusal;
    std::ranges::copy(kMessage, room);
    sender.backend->commit(kMessage.size());
    return Status::kOk;
  }
  std::byte* const room = sender.producer.try_reserve(kMessage.size());
  if (room == nullptr) return Status::kWouldBlock;
  std::ranges::copy(kMessage, room);
  sender.producer.commit(kMessage.size());
  return Status::kOk;
}

TEST(ArmedSenders, ASenderIsToldOfRoom) {
  for (const char* options : {"?capacity=4KiB", "?capacity=4KiB&readers=2", "?kind=mpmc&slots=4",
                              "?kind=frames&readers=1&frames=2"}) {
    SCOPED_TRACE(options);
    auto pair = detail::open_both("shm:" + unique_word() + options, {});
    ASSERT_TRUE(pair) << pair.error().message;
    detail::SenderParts& sender = pair->first;
    detail::SenderBackend& backend = *sender.backend;
    End receiver{0, std::move(pair->second)};
    const bool frames = std::string(options).find("frames") != std::string::npos;
    if (frames) {
      ASSERT_EQ(send(sender), Status::kOk);
      ASSERT_EQ(receiver.fetch(), Status::kOk);
    }
    Status status = Status::kOk;
    while (status == Status::kOk) status = send(sender);
    ASSERT_EQ(status, Status::kWouldBlock);

    const std::optional<Arming> full = backend.arm(sender.producer, sender.notifier, 16);
    ASSERT_TRUE(full.has_value());
    ASSERT_TRUE(full->may_sleep);
    EXPECT_EQ(full->wait.word->load(std::memory_order_relaxed), full->wait.value);
    if (frames) {
      receiver.give_back();
    } else {
      while (receiver.take() == Status::kOk) {
      }
    }
    EXPECT_NE(full->wait.word->load(std::memory_order_relaxed), full->wait.value);
    // Of many senders one was woken, and is told so.
    const bool mpmc = std::string(options).find("mpmc") != std::string::npos;
    EXPECT_EQ(backend.disarm(), mpmc);
    EXPECT_FALSE(backend.arm(sender.producer, sender.notifier, 16)->may_sleep);

    static_cast<void>(
        backend.close(sender.producer, sender.notifier, Status::kOk, Deadline::now()));
    receiver.parts.backend->detach(receiver.parts.consumer, receiver.parts.notifier);
  }
}

// A receiver gives space back lazily, and all of it when it finds nothing to read: also when it is
// armed, or both sides would sleep. The control: the look alone does not tell the sender.
TEST(ArmedSenders, AnArmedReceiverHasToldOfAllTheRoom) {
  for (const auto& [options, looked_before] :
       std::vector<std::pair<std::string, bool>>{{"?capacity=64KiB", false},
                                                 {"?capacity=64KiB", true},
                                                 {"?capacity=64KiB&readers=2", false},
                                                 {"?capacity=64KiB&readers=2", true}}) {
    SCOPED_TRACE(options + (looked_before ? ", looked before" : ""));
    auto pair = detail::open_both("shm:" + unique_word() + options, {});
    ASSERT_TRUE(pair) << pair.error().message;
    detail::SenderParts& sender = pair->first;
    End receiver{0, std::move(pair->second)};
    // The largest record, up to the middle, and some small ones behind it: another of the largest
    // has to begin at the ring's begin, and needs all of its space.
    const std::size_t most = sender.producer.max_record_bytes();
    for (const std::size_t bytes : {most, std::size_t{16}, std::size_t{16}, std::size_t{16}}) {
      ASSERT_NE(sender.producer.try_reserve(bytes), nullptr);
      sender.producer.commit(bytes);
    }
    for (int i = 0; i < 4; ++i) ASSERT_EQ(receiver.take(), Status::kOk);
    const std::optional<Arming> full = sender.backend->arm(sender.producer, sender.notifier, most);
    ASSERT_TRUE(full->may_sleep);
    if (looked_before) {
      ASSERT_EQ(receiver.parts.consumer.try_peek(), ReadOutcome::kEmpty);
      ASSERT_EQ(full->wait.word->load(std::memory_order_relaxed), full->wait.value);
    }

    ASSERT_TRUE(receiver.arm()->may_sleep);

    EXPECT_NE(full->wait.word->load(std::memory_order_relaxed), full->wait.value);
    static_cast<void>(sender.backend->disarm());
    EXPECT_FALSE(sender.backend->arm(sender.producer, sender.notifier, most)->may_sleep);
    static_cast<void>(receiver.parts.backend->disarm());
    static_cast<void>(
        sender.backend->close(sender.producer, sender.notifier, Status::kOk, Deadline::now()));
    receiver.parts.backend->detach(receiver.parts.consumer, receiver.parts.notifier);
  }
}

// The words of an end that has left may be a successor's, which sleeps by now.
TEST(ArmedSenders, WhoDisarmsAfterItHasLeftTakesNoWakeFromASuccessor) {
  for (const char* options : {"?capacity=4KiB&keep=1", "?capacity=4KiB&readers=2&keep=1",
                              "?kind=mpmc&slots=4&keep=1", "?kind=frames&readers=1&frames=4"}) {
    SCOPED_TRACE(options);
    const std::string url = "shm:" + unique_word() + options;
    auto pair = detail::open_both(url, {});
    ASSERT_TRUE(pair) << pair.error().message;
    detail::SenderParts& sender = pair->first;
    End gone{0, std::move(pair->second)};
    ASSERT_TRUE(gone.arm()->may_sleep);
    gone.parts.backend->detach(gone.parts.consumer, gone.parts.notifier);

    auto opened = detail::open_receiver(url, {});
    ASSERT_TRUE(opened) << opened.error().message;
    End receiver{0, std::move(opened).value()};
    const std::optional<Arming> empty = receiver.arm();
    ASSERT_TRUE(empty->may_sleep);
    EXPECT_FALSE(gone.parts.backend->disarm());
    const Published before = sender.backend->committed(sender.producer);
    ASSERT_EQ(send(sender), Status::kOk);
    EXPECT_EQ(
        sender.backend->tell(sender.producer, sender.notifier, before, Wake::kNow, Deadline::now()),
        Status::kOk);
    EXPECT_NE(empty->wait.word->load(std::memory_order_relaxed), empty->wait.value);
    static_cast<void>(receiver.parts.backend->disarm());

    // The same of senders, of which a pool's next one finds room at once.
    if (std::string(options).find("frames") == std::string::npos) {
      while (send(sender) == Status::kOk) {
      }
      ASSERT_TRUE(sender.backend->arm(sender.producer, sender.notifier, 16)->may_sleep);
      const auto gave_up =
          sender.backend->close(sender.producer, sender.notifier, Status::kClosed, Deadline::now());
      EXPECT_EQ(gave_up, Status::kClosed);
      auto next = detail::open_sender(url, {});
      ASSERT_TRUE(next) << next.error().message;
      while (send(*next) == Status::kOk) {
      }
      const std::optional<Arming> full = next->backend->arm(next->producer, next->notifier, 16);
      ASSERT_TRUE(full->may_sleep);
      EXPECT_FALSE(sender.backend->disarm());
      while (receiver.take() == Status::kOk) {
      }
      EXPECT_NE(full->wait.word->load(std::memory_order_relaxed), full->wait.value);
      static_cast<void>(next->backend->disarm());
      static_cast<void>(
          next->backend->close(next->producer, next->notifier, Status::kOk, Deadline::now()));
    } else {
      static_cast<void>(
          sender.backend->close(sender.producer, sender.notifier, Status::kOk, Deadline::now()));
    }
    receiver.parts.backend->detach(receiver.parts.consumer, receiver.parts.notifier);
    static_cast<void>(remove(url.substr(0, url.find('?'))));
  }
}

TEST(ArmedStreams, ByteStreamsHaveADescriptorInstead) {
  auto pair = detail::open_both("pipe:", {});
  ASSERT_TRUE(pair) << pair.error().message;
  EXPECT_FALSE(
      pair->first.backend->arm(pair->first.producer, pair->first.notifier, 16).has_value());
  EXPECT_FALSE(pair->second.backend->arm(pair->second.consumer, pair->second.notifier).has_value());
}

// A wake goes to one receiver. Where that is a wait set's, and the wait ends for another reason,
// the next one is woken; else the message lies there until somebody's slice is over.
TEST(ArmedEndsBesideASet, AWakeOfWhichAWaitSetTellsNobodyGoesOn) {
  const std::string url = "shm:" + unique_word();
  auto sender = Sender::open(url + "?kind=mpmc&slots=4");
  ASSERT_TRUE(sender) << sender.error().message;
  auto receiver = Receiver::open(url);
  auto other = detail::open_receiver(url, {});
  ASSERT_TRUE(receiver && other);
  End end{0, std::move(other).value()};
  auto set = WaitSet::make(WaitMode::kPark);
  ASSERT_TRUE(set && set->add(*receiver, 1));
  std::array<WaitSet::Key, 1> room{};
  int passed_on = 0;
  for (int round = 0; round < 1000; ++round) {
    while (!end.arm()->may_sleep) ASSERT_EQ(end.take(), Status::kWouldBlock);
    std::thread sending([&] {
      await_sleep(getpid());
      // Whichever comes first, the other one may be found as well before the wait ends.
      if (round % 2 != 0) set->interrupt();
      EXPECT_EQ(sender->send(std::string_view("message")), Status::kOk);
      if (round % 2 == 0) set->interrupt();
    });
    const Status status = set->wait(room).status();
    sending.join();
    const bool woken = end.parts.backend->disarm();
    if (status == Status::kInterrupted) {
      EXPECT_TRUE(woken) << round;
      passed_on += woken ? 1 : 0;
      EXPECT_EQ(end.take(), Status::kOk);
    } else {
      EXPECT_TRUE(receiver->try_next());
      EXPECT_EQ(set->wait(room).status(), Status::kInterrupted);
    }
  }
  EXPECT_GT(passed_on, 0);
  end.parts.backend->detach(end.parts.consumer, end.parts.notifier);
}

}  // namespace
}  // namespace rondo::testing
