// One wait over several channels, whatever their transports. Each line has a test of the same name,
// in this order. All of them once with rings asleep on their words, and once beside a descriptor
// and a timer that have nothing to tell.
//   1. WhoHasAMessageIsToldUntilItIsTaken
//   2. SeveralChannelsLoseNothing
//   3. TheEndOfAStreamIsTold
//   4. ASenderIsToldOfRoom
//   5. WhoIsRemovedIsNotTold
//   6. WhoComesAndGoesWhileAThreadWaits
//   7. AHandleWithADescriptorOfItsOwn
//   8. AForkedChildIsToldSo
//   9. AKilledSenderIsTold
//  10. AKilledReceiverIsTold
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "conformance/channel_fixture.hpp"
#include "rondo/core/descriptor.hpp"
#include "support/event_loop.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Key = WaitSet::Key;

constexpr Key kDescriptor = 1'000'000;
constexpr Key kTimer = 1'000'001;

// Waits for a key alone.
std::optional<Key> wait_for_one(WaitSet& set, Deadline deadline = Deadline::after(seconds(30))) {
  std::array<Key, 1> room{};
  const auto ready = set.wait(room, deadline);
  if (!ready) {
    EXPECT_TRUE(ready.status() == Status::kTimedOut || ready.status() == Status::kWouldBlock);
    return std::nullopt;
  }
  return (*ready)[0];
}

class WaitSetTest : public ChannelTest {
 protected:
  // `beside`: with members that are never ready, and not rings.
  WaitSet make(bool beside, WaitMode mode = WaitMode::kAdaptive) {
    auto set = WaitSet::make(mode);
    if (!set) throw std::runtime_error(set.error().message);
    if (beside) {
      expect(set->add_descriptor(silent_.get(), false, kDescriptor));
      expect(set->add_timer(Deadline::after(std::chrono::hours(1)), {}, kTimer));
    }
    return std::move(set).value();
  }
  static void expect(const Result<void>& added) { EXPECT_TRUE(added) << added.error().message; }

 private:
  detail::UniqueFd silent_ = detail::open_event();
};

INSTANTIATE_TEST_SUITE_P(Every, WaitSetTest, ::testing::ValuesIn(kChannelCases),
                         [](const auto& channel) { return std::string(channel.param.name); });

void send(Sender& sender, const std::string& text = "message") {
  ASSERT_EQ(sender.send(bytes_of(text)), Status::kOk);
}

TEST_P(WaitSetTest, WhoHasAMessageIsToldUntilItIsTaken) {
  for (const bool beside : {false, true}) {
    auto [sender, receiver] = open();
    auto [other_sender, other] = open();
    WaitSet set = make(beside);
    expect(set.add(receiver, 1));
    expect(set.add(other, 2));
    // A stream's descriptor may be readable once for nothing.
    static_cast<void>(receiver.try_next());
    static_cast<void>(other.try_next());
    EXPECT_EQ(wait_for_one(set, Deadline::now()), std::nullopt);
    for (int i = 0; i < 3; ++i) send(sender);
    for (int i = 0; i < 3; ++i) {
      EXPECT_EQ(wait_for_one(set), 1u);
      EXPECT_EQ(wait_for_one(set), 1u);
      EXPECT_TRUE(receiver.try_next());
    }
    EXPECT_FALSE(receiver.try_next());
    auto none = wait_for_one(set, Deadline::after(milliseconds(1)));
    if (has_looks() && none && !receiver.try_next()) none = wait_for_one(set, Deadline::now());
    EXPECT_EQ(none, std::nullopt);
    send(other_sender);
    EXPECT_EQ(wait_for_one(set), 2u);
    send(sender);
    std::array<Key, 4> room{};
    auto both = set.wait(room);
    while (has_looks() && both && both->size() < 2) both = set.wait(room);
    ASSERT_TRUE(both);
    EXPECT_EQ(both->size(), 2u);
  }
}

TEST_P(WaitSetTest, SeveralChannelsLoseNothing) {
  constexpr std::size_t kChannels = 3;
  for (const bool beside : {false, true}) {
    for (const WaitMode mode : {WaitMode::kPark, WaitMode::kAdaptive, WaitMode::kYield}) {
      const std::uint64_t messages = scaled(1'000);
      std::vector<Sender> senders;
      std::vector<Receiver> receivers;
      for (std::size_t i = 0; i < kChannels; ++i) {
        auto [sender, receiver] = open();
        senders.push_back(std::move(sender));
        receivers.push_back(std::move(receiver));
      }
      WaitSet set = make(beside, mode);
      for (std::size_t i = 0; i < kChannels; ++i) expect(set.add(receivers[i], i));
      std::vector<std::thread> sending;
      for (std::size_t i = 0; i < kChannels; ++i) {
        sending.emplace_back([&, i] {
          std::mt19937_64 random(i);
          for (std::uint64_t n = 0; n < messages; ++n) {
            send(senders[i], numbered_message(n, 40));
            if (random() % 8 == 0) usleep(static_cast<unsigned>(random() % 300));
          }
          senders[i].close();
        });
      }
      std::array<std::uint64_t, kChannels> received{};
      std::size_t over = 0;
      while (over < kChannels) {
        const auto i = wait_for_one(set);
        if (!i) {
          ADD_FAILURE() << "no wake";
          break;
        }
        if (const auto message = receivers[*i].try_next()) {
          EXPECT_EQ(message->text(), numbered_message(received[*i], 40));
          ++received[*i];
        } else if (receivers[*i].status() != Status::kOk) {
          EXPECT_EQ(receivers[*i].status(), Status::kEnded);
          EXPECT_TRUE(set.remove(*i));
          ++over;
        }
      }
      for (std::size_t i = 0; i < kChannels; ++i) {
        sending[i].join();
        EXPECT_EQ(received[i], messages) << i;
      }
    }
  }
}

TEST_P(WaitSetTest, TheEndOfAStreamIsTold) {
  for (const bool beside : {false, true}) {
    auto [sender, receiver] = open();
    WaitSet set = make(beside, WaitMode::kPark);
    expect(set.add(receiver, 7));
    static_cast<void>(receiver.try_next());
    std::thread closing([&sender = sender] {
      usleep(2000);
      sender.close();
    });
    while (receiver.status() == Status::kOk) {
      ASSERT_EQ(wait_for_one(set), 7u);
      EXPECT_FALSE(receiver.try_next());
    }
    closing.join();
    EXPECT_EQ(receiver.status(), Status::kEnded);
    EXPECT_EQ(wait_for_one(set), 7u);
    EXPECT_TRUE(set.remove(7));
    EXPECT_FALSE(set.remove(7));
  }
}

TEST_P(WaitSetTest, ASenderIsToldOfRoom) {
  for (const bool beside : {false, true}) {
    const std::uint64_t messages = scaled(500);
    auto [sender, receiver] = open();
    WaitSet set = make(beside, WaitMode::kPark);
    expect(set.add(sender, 3, 200));
    std::thread receiving([&receiver = receiver, messages] {
      for (std::uint64_t i = 0; i < messages; ++i) {
        ASSERT_EQ(receive(receiver), numbered_message(i, 200));
        if (i % 64 == 0) usleep(300);
      }
      EXPECT_EQ(receive(receiver), kEndOfStreamText);
    });
    for (std::uint64_t sent = 0; sent < messages;) {
      if (wait_for_one(set) != 3u) {
        ADD_FAILURE() << "no wake behind message " << sent;
        break;
      }
      if (sender.try_send(bytes_of(numbered_message(sent, 200))) == Status::kOk) ++sent;
    }
    EXPECT_TRUE(set.remove(3));
    sender.close();
    receiving.join();
  }
  auto [sender, receiver] = open();
  WaitSet set = make(false);
  const auto added = set.add(sender, 3, sender.max_message_bytes() + 1);
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code, ErrorCode::kInvalidOption);
}

TEST_P(WaitSetTest, WhoIsRemovedIsNotTold) {
  for (const bool beside : {false, true}) {
    auto [sender, receiver] = open();
    WaitSet set = make(beside);
    for (int round = 0; round < 20; ++round) {
      expect(set.add(receiver, 1));
      EXPECT_FALSE(set.add(receiver, 2));
      EXPECT_FALSE(set.add_timer(Deadline::now(), {}, 1));
      send(sender);
      EXPECT_EQ(wait_for_one(set), 1u);
      EXPECT_TRUE(set.remove(1));
      EXPECT_EQ(wait_for_one(set, Deadline::now()), std::nullopt);
      // It is as good as ever.
      EXPECT_TRUE(receiver.next(Deadline::after(seconds(20))));
    }
    receiver.detach();
    const auto added = set.add(receiver, 1);
    ASSERT_FALSE(added);
    EXPECT_EQ(added.error().code, ErrorCode::kNotFound);
  }
}

TEST_P(WaitSetTest, WhoComesAndGoesWhileAThreadWaits) {
  for (const bool beside : {false, true}) {
    auto [sender, receiver] = open();
    WaitSet set = make(beside, WaitMode::kPark);
    constexpr Key kSteady = 5;
    expect(set.add(receiver, kSteady));
    std::atomic<std::uint64_t> received{0};
    std::atomic<bool> over{false};
    std::thread waiting([&, &receiver = receiver] {
      std::array<Key, 4> room{};
      while (!over.load()) {
        const auto ready = set.wait(room);
        if (!ready) {
          EXPECT_EQ(ready.status(), Status::kInterrupted);
          continue;
        }
        for (const Key key : *ready) {
          if (key == kSteady && receiver.try_next()) received.fetch_add(1);
        }
      }
    });
    const std::uint64_t rounds = scaled(has_looks() ? 20 : 300);
    for (std::uint64_t round = 0; round < rounds; ++round) {
      auto [other_sender, other] = open();
      expect(set.add(other, 10 + round % 3));
      send(sender);
      while (received.load() <= round) usleep(10);
      if (round % 2 == 0) send(other_sender);
      EXPECT_TRUE(set.remove(10 + round % 3));
      // Nobody looks at it any more.
      EXPECT_EQ(other.next(Deadline::after(round % 2 == 0 ? seconds(20) : seconds(0))).has_value(),
                round % 2 == 0);
    }
    over.store(true);
    set.interrupt();
    waiting.join();
  }
}

TEST_P(WaitSetTest, AHandleWithADescriptorOfItsOwn) {
  auto [sender, receiver] = open();
  const auto fd = receiver.fd();
  ASSERT_TRUE(fd);
  EXPECT_FALSE(receiver.try_next());
  WaitSet set = make(false, WaitMode::kPark);
  expect(set.add(receiver, 1));
  for (int round = 0; round < 20; ++round) {
    std::thread sending([&sender = sender] {
      usleep(500);
      send(sender);
    });
    while (wait_for_one(set) == 1u) {
      if (receiver.try_next()) break;
    }
    sending.join();
    EXPECT_FALSE(receiver.try_next());
    EXPECT_TRUE(quiet(*fd, receiver));
    send(sender);
    EXPECT_TRUE(told(*fd));
    EXPECT_TRUE(receiver.try_next());
  }
}

TEST_P(WaitSetTest, AForkedChildIsToldSo) {
  auto [sender, receiver] = open();
  WaitSet set = make(true);
  expect(set.add(receiver, 1));
  EXPECT_EQ(wait_for_one(set, Deadline::after(milliseconds(1))).value_or(1), 1u);
  Child child([&] {
    std::array<Key, 1> room{};
    if (set.wait(room).status() != Status::kForked) return 1;
    if (set.remove(1)) return 2;
    const auto added = set.add_timer(Deadline::now(), {}, 9);
    return !added && added.error().code == ErrorCode::kForked ? 0 : 3;
  });
  EXPECT_EQ(child.join(), 0);
  send(sender);
  do {
    ASSERT_EQ(wait_for_one(set), 1u);
  } while (!receiver.try_next());
}

class WaitSetOfTheBereaved : public WaitSetTest {
 protected:
  WaitSetOfTheBereaved() : url_(url()) {}
  // What the dead made.
  ~WaitSetOfTheBereaved() override { remove_what_the_dead_left(url_); }
  static bool has_processes() { return GetParam().processes; }

  std::string url_;
};

INSTANTIATE_TEST_SUITE_P(Every, WaitSetOfTheBereaved, ::testing::ValuesIn(kChannelCases),
                         [](const auto& channel) { return std::string(channel.param.name); });

TEST_P(WaitSetOfTheBereaved, AKilledSenderIsTold) {
  if (!has_processes()) GTEST_SKIP() << "both ends are in one process";
  for (const bool beside : {false, true}) {
    for (const WaitMode mode : {WaitMode::kPark, WaitMode::kPause}) {
      Child child([&] {
        auto sender = Sender::open(url_ + "?" + options_of(GetParam(), 4096));
        if (!sender) return 1;
        send(*sender);
        for (;;) static_cast<void>(sender->wait_for_receiver()), usleep(100);
        return 0;
      });
      auto receiver = Receiver::open(url_ + "?" + options_of(GetParam(), 4096));
      ASSERT_TRUE(receiver) << receiver.error().message;
      WaitSet set = make(beside, mode);
      expect(set.add(*receiver, 1));
      do {
        ASSERT_EQ(wait_for_one(set), 1u);
      } while (!receiver->try_next());
      child.signal(SIGKILL);
      while (receiver->status() == Status::kOk) {
        ASSERT_EQ(wait_for_one(set), 1u);
        EXPECT_FALSE(receiver->try_next());
      }
      EXPECT_EQ(receiver->status(), Status::kPeerDied);
      child.join();
    }
  }
}

TEST_P(WaitSetOfTheBereaved, AKilledReceiverIsTold) {
  if (!has_processes()) GTEST_SKIP() << "both ends are in one process";
  for (const bool beside : {false, true}) {
    Shared<std::atomic<bool>> reads;
    Child child([&] {
      auto receiver = Receiver::open(url_ + "?" + options_of(GetParam(), 4096));
      if (!receiver || !receiver->next()) return 1;
      reads->store(true);
      for (;;) pause();
      return 0;
    });
    auto sender = Sender::open(url_ + "?" + options_of(GetParam(), 4096));
    ASSERT_TRUE(sender) << sender.error().message;
    ASSERT_EQ(sender->wait_for_receiver(), Status::kOk);
    WaitSet set = make(beside, WaitMode::kPark);
    expect(set.add(*sender, 1, 300));
    while (sender->try_send(bytes_of(std::string(300, 'x'))) == Status::kOk) {
    }
    while (!reads->load()) usleep(100);
    while (sender->try_send(bytes_of(std::string(300, 'x'))) == Status::kOk) {
    }
    child.signal(SIGKILL);
    while (sender->status() == Status::kOk) {
      ASSERT_EQ(wait_for_one(set), 1u);
      static_cast<void>(sender->try_send(bytes_of(std::string(300, 'x'))));
    }
    EXPECT_TRUE(set.remove(1));
    child.join();
  }
}

}  // namespace
}  // namespace rondo::testing
