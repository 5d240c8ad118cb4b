// Two sides that hand a turn back and forth, each asleep while the other has it: every hand-off is
// a chance to lose a wake. Slices are far longer here than a test may take, so that a lost wake
// shows as a hang and not as a delay.
#include <thread>

#include "rondo/core/platform.hpp"
#include "support/doorbell_fixture.hpp"

namespace rondo {
namespace {

using namespace std::chrono_literals;
using testing::Mailbox;

struct LongSlices : BellSystem {
  static FutexResult wait(const Atomic<std::uint32_t>& word, std::uint32_t expected,
                          std::chrono::nanoseconds, Deadline deadline) noexcept {
    return futex_wait(word, expected, deadline);
  }
};

// One end of a two-way connection that sleeps without end until it is rung.
class End {
 public:
  End(Mailbox& out, Mailbox& in, std::uint64_t seed)
      : out_(out),
        in_(in),
        notifier_(out.waiter, out.notifier),
        waiter_(in.waiter, in.notifier),
        random_(seed) {}

  void send() {
    // M1 (release, pairs with M2): what was done before the hand-off.
    out_.published.store(++sent_, std::memory_order_release);
    notifier_.notify();
  }
  void receive() {
    const auto ready = [this] {
      // M2 (acquire, pairs with M1): what was done before the hand-off.
      return in_.published.load(std::memory_order_acquire) > received_;
    };
    // Sometimes look for a while first, so that the other side meets us at every step.
    for (std::uint64_t looks = random_() % 64; looks > 0 && !ready(); --looks) cpu_relax();
    while (!ready()) {
      if (waiter_.sleep_once(ready, Deadline::never())) break;
    }
    ++received_;
  }
  void dawdle() {
    // Mostly about as long as the other side takes to fall asleep: some microseconds at most.
    for (std::uint64_t pauses = random_() % 256; pauses > 0; --pauses) cpu_relax();
  }
  [[nodiscard]] std::uint64_t received() const { return received_; }

 private:
  Mailbox& out_;
  Mailbox& in_;
  BasicNotifier<LongSlices> notifier_;
  BasicWaiter<LongSlices> waiter_;
  std::mt19937_64 random_;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
};

struct Connection {
  Mailbox ping;
  Mailbox pong;
};

void lead(Connection& connection, std::uint64_t turns, std::uint64_t seed) {
  End end(connection.ping, connection.pong, seed);
  while (end.received() < turns) {
    end.dawdle();
    end.send();
    end.receive();
  }
}
void follow(Connection& connection, std::uint64_t turns, std::uint64_t seed) {
  End end(connection.pong, connection.ping, seed);
  while (end.received() < turns) {
    end.receive();
    end.dawdle();
    end.send();
  }
}

class DoorbellHandoff : public testing::Watchdog {};

TEST_F(DoorbellHandoff, NoWakeIsLostBetweenProcesses) {
  const std::uint64_t turns = testing::scaled(100'000);
  const std::uint64_t seed = testing::random_seed();
  testing::Shared<Connection> connection;
  testing::Child child([&] {
    follow(*connection, turns, seed + 1);
    return 0;
  });
  lead(*connection, turns, seed);
  EXPECT_EQ(child.join(), 0);
}

TEST_F(DoorbellHandoff, NoWakeIsLostBetweenThreads) {
  const std::uint64_t turns = testing::scaled(50'000);
  const std::uint64_t seed = testing::random_seed();
  testing::Shared<Connection> connection;
  std::thread follower([&] { follow(*connection, turns, seed + 1); });
  lead(*connection, turns, seed);
  follower.join();
}

// A stream in one direction, its reader asleep whenever it has read everything.
TEST_F(DoorbellHandoff, ASlowStreamWakesItsReaderEachTime) {
  const std::uint64_t messages = testing::scaled(100'000);
  const std::uint64_t seed = testing::random_seed();
  testing::Shared<Mailbox> box;
  testing::Child child([&] {
    std::mt19937_64 random(seed);
    testing::Publisher publisher(*box);
    for (std::uint64_t i = 0; i < messages; ++i) {
      for (std::uint64_t pauses = random() % 1024; pauses > 0; --pauses) cpu_relax();
      publisher.publish();
    }
    return 0;
  });
  testing::MailboxReader waiter(*box);
  for (std::uint64_t i = 0; i < messages; ++i) ASSERT_EQ(waiter.take(), WaitResult::kReady);
  EXPECT_EQ(child.join(), 0);
}

// Each mode between processes, with the production slices.
TEST_F(DoorbellHandoff, EveryModeHandsOver) {
  for (const WaitMode mode : {WaitMode::kSpin, WaitMode::kPause, WaitMode::kYield,
                              WaitMode::kAdaptive, WaitMode::kPark}) {
    const std::uint64_t turns = testing::scaled(300);
    testing::Shared<Connection> connection;
    testing::Child child([&] {
      testing::MailboxReader in(connection->ping, mode);
      testing::Publisher out(connection->pong);
      for (std::uint64_t i = 0; i < turns; ++i) {
        if (in.take() != WaitResult::kReady) return 1;
        out.publish();
      }
      return 0;
    });
    testing::MailboxReader in(connection->pong, mode);
    testing::Publisher out(connection->ping);
    for (std::uint64_t i = 0; i < turns; ++i) {
      out.publish();
      ASSERT_EQ(in.take(), WaitResult::kReady);
    }
    EXPECT_EQ(child.join(), 0);
  }
}

}  // namespace
}  // namespace rondo
