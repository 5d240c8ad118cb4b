// The life of a ring that has a name: who may join, who goes on after a death, and when the name
// goes.
//
//   1. ASecondSenderIsRefusedWhileTheFirstLives
//   2. ASecondReceiverIsRefusedWhileTheFirstLives
//   3. AnotherCapacityIsRefusedWithBothNumbers
//   4. AReceiverWaitsForASenderAsLongAsItsDeadline
//   5. TheNameGoesWithTheLastParticipant
//   6. KeepLeavesTheName
//   7. WhatASenderLeavesUnreadAwaitsAReceiver
//   8. WhatAReceiverLeavesUnreadGoesWithIt
//   9. ASuccessorSendsOnWhereAKilledSenderStopped
//  10. ASuccessorReadsOnWhereAKilledReceiverStopped
//  11. WhenAllWereKilledTheNextGoOn
//  12. AReceiverThatAwaitsASuccessorWaitsForTheNextSender
//  13. ASenderThatAwaitsASuccessorWaitsForTheNextReceiver
//  14. AStreamBehindAnEndIsForTheNextReceiver
//  15. AnEagerReceiverGetsAtMostOneMessageAgain
//  16. WhatIsNoRingIsRefused
//  17. InspectTellsWhoIsThere
//  18. RemoveTakesANameThatIsUnused
//  19. ARingThatNoChannelIsMadeOfIsSaidToBeOne
//  20. ASenderThatIsToJoinMakesNoRing
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>
#include <utility>

#include "conformance/channel_fixture.hpp"
#include "process/stepper.hpp"
#include "rondo/core/spsc_ring.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

class RingLifeTest : public ChannelTest {
 protected:
  ~RingLifeTest() override {
    if (name_exists()) static_cast<void>(remove(url_, true));
  }
  [[nodiscard]] bool name_exists() const { return access(file_of_name().c_str(), F_OK) == 0; }
  [[nodiscard]] std::string file_of_name() const {
    const std::string target = url_.substr(url_.find(':') + 1);
    if (at_key()) return file_of_segment(key());
    return GetParam().target == ChannelCase::Target::kName ? "/dev/shm/rondo-" + target : target;
  }
  [[nodiscard]] static bool at_key() { return GetParam().target == ChannelCase::Target::kKey; }
  [[nodiscard]] std::uint32_t key() const {
    return static_cast<std::uint32_t>(std::stoul(url_.substr(url_.find(':') + 1)));
  }
  // Not as Rondo does.
  void take_name_away() const {
    if (at_key()) {
      rondo::testing::remove_at(key());
    } else {
      unlink(file_of_name().c_str());
    }
  }
  [[nodiscard]] Sender sender(const std::string& options = "",
                              const OpenOptions& wishes = {}) const {
    return opened(Sender::open(url_ + options, wishes));
  }
  [[nodiscard]] Receiver receiver(const std::string& options = "",
                                  const OpenOptions& wishes = {}) const {
    return opened(Receiver::open(url_ + options, wishes));
  }
  template <class Handle>
  static Handle opened(Result<Handle> handle) {
    if (!handle) throw std::runtime_error(handle.error().message);
    return std::move(handle).value();
  }

  std::string url_ = url();
};

constexpr std::array kRings{kChannelCases[0], kChannelCases[1], kChannelCases[6]};
static_assert(kRings.back().name == "SysvShm");
INSTANTIATE_TEST_SUITE_P(Every, RingLifeTest, ::testing::ValuesIn(kRings),
                         [](const auto& channel) { return std::string(channel.param.name); });

TEST_P(RingLifeTest, ASecondSenderIsRefusedWhileTheFirstLives) {
  const Sender first = sender();
  const auto second = Sender::open(url_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
  EXPECT_THAT(second.error().message, HasSubstr(std::to_string(getpid())));
}

TEST_P(RingLifeTest, ASecondReceiverIsRefusedWhileTheFirstLives) {
  const Sender only = sender();
  const Receiver first = receiver();
  const auto second = Receiver::open(url_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::kBusy);
}

TEST_P(RingLifeTest, AnotherCapacityIsRefusedWithBothNumbers) {
  run_and_kill([this] { return new Sender(sender("?capacity=64KiB")) == nullptr ? 1 : 0; });
  const auto other = Sender::open(url_ + "?capacity=1MiB");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kGeometryMismatch);
  EXPECT_THAT(other.error().message, HasSubstr("64KiB"));
  EXPECT_THAT(other.error().message, HasSubstr("1MiB"));
  // Without a wish, what is there is taken.
  EXPECT_EQ(sender().info().capacity_bytes, 65536u);
}

TEST_P(RingLifeTest, AReceiverWaitsForASenderAsLongAsItsDeadline) {
  const auto start = Deadline::Clock::now();
  const auto none = Receiver::open(url_, {.wait = Deadline::after(milliseconds(30))});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kTimedOut);
  EXPECT_GE(Deadline::Clock::now() - start, milliseconds(30));
  EXPECT_FALSE(name_exists());

  // What a killed sender left drained is nothing to read either.
  run_and_kill([this] { return new Sender(sender()) == nullptr ? 1 : 0; });
  const auto drained = Receiver::open(url_, {.wait = Deadline::after(milliseconds(30))});
  ASSERT_FALSE(drained);
  EXPECT_EQ(drained.error().code, ErrorCode::kTimedOut);
  EXPECT_FALSE(name_exists());
}

TEST_P(RingLifeTest, TheNameGoesWithTheLastParticipant) {
  for (const bool sender_first : {true, false}) {
    Sender sending = sender();
    Receiver receiving = receiver();
    EXPECT_TRUE(name_exists());
    ASSERT_EQ(sending.send(bytes_of("x")), Status::kOk);
    ASSERT_EQ(receive(receiving), "x");
    if (sender_first) {
      EXPECT_EQ(sending.close(), Status::kOk);
    } else {
      receiving.detach();
    }
    EXPECT_TRUE(name_exists());
    if (sender_first) {
      receiving.detach();
    } else {
      EXPECT_EQ(sending.close(), Status::kOk);
    }
    EXPECT_FALSE(name_exists());
  }
}

TEST_P(RingLifeTest, KeepLeavesTheName) {
  {
    Sender sending = sender("?keep=1");
    Receiver receiving = receiver("?keep=1");
  }
  ASSERT_TRUE(name_exists());
  // And another pair can use it, whatever orderly closes stand in it.
  Sender sending = sender();
  ASSERT_EQ(sending.send(bytes_of("again")), Status::kOk);
  Receiver receiving = receiver();
  EXPECT_EQ(receive(receiving), kEndOfStreamText) << "the first sender's stream, unread so far";
  receiving.detach();
  receiving = receiver();
  EXPECT_EQ(receive(receiving), "again");
  EXPECT_EQ(sending.send(bytes_of("and on")), Status::kOk);
  EXPECT_EQ(receive(receiving), "and on");
}

TEST_P(RingLifeTest, WhatASenderLeavesUnreadAwaitsAReceiver) {
  {
    Sender sending = sender();
    ASSERT_EQ(sending.send(bytes_of("left behind")), Status::kOk);
    EXPECT_EQ(sending.close(), Status::kOk);
  }
  ASSERT_TRUE(name_exists());
  Receiver receiving = receiver();
  EXPECT_EQ(receive(receiving), "left behind");
  EXPECT_EQ(receive(receiving), kEndOfStreamText);
  receiving.detach();
  EXPECT_FALSE(name_exists());
}

TEST_P(RingLifeTest, WhatAReceiverLeavesUnreadGoesWithIt) {
  Sender sending = sender();
  Receiver receiving = receiver();
  ASSERT_EQ(sending.send(bytes_of("unread")), Status::kOk);
  receiving.detach();
  EXPECT_EQ(sending.close(), Status::kPeerGone);
  EXPECT_FALSE(name_exists());
}

TEST_P(RingLifeTest, ASuccessorSendsOnWhereAKilledSenderStopped) {
  run_and_kill([this] {
    auto* sending = new Sender(sender());
    for (int i = 0; i < 5; ++i) {
      if (sending->send(bytes_of(std::to_string(i))) != Status::kOk) return 1;
    }
    static auto claim = sending->claim(100);
    return claim ? 0 : 2;
  });
  Sender sending = sender();
  for (int i = 5; i < 10; ++i) ASSERT_EQ(sending.send(bytes_of(std::to_string(i))), Status::kOk);
  EXPECT_EQ(sending.info().messages, 10u);
  Receiver receiving = receiver();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(receive(receiving), std::to_string(i));
}

TEST_P(RingLifeTest, ASuccessorReadsOnWhereAKilledReceiverStopped) {
  Sender sending = sender();
  for (int i = 0; i < 10; ++i) ASSERT_EQ(sending.send(bytes_of(std::to_string(i))), Status::kOk);
  run_and_kill([this] {
    auto* receiving = new Receiver(receiver("?ack=eager"));
    for (int i = 0; i < 5; ++i) {
      if (receive(*receiving) != std::to_string(i)) return 1;
    }
    return 0;
  });
  Receiver receiving = receiver();
  for (int i = 5; i < 10; ++i) EXPECT_EQ(receive(receiving), std::to_string(i));
  ASSERT_EQ(sending.send(bytes_of("on")), Status::kOk);
  EXPECT_EQ(receive(receiving), "on");
}

TEST_P(RingLifeTest, WhenAllWereKilledTheNextGoOn) {
  run_and_kill([this] {
    auto* sending = new Sender(sender());
    auto* receiving = new Receiver(receiver("?ack=eager"));
    for (int i = 0; i < 5; ++i) {
      if (sending->send(bytes_of(std::to_string(i))) != Status::kOk) return 1;
    }
    return receive(*receiving) == "0" && receive(*receiving) == "1" ? 0 : 2;
  });
  ASSERT_TRUE(name_exists());
  Receiver receiving = receiver();
  Sender sending = sender();
  ASSERT_EQ(sending.send(bytes_of("5")), Status::kOk);
  EXPECT_EQ(sending.close(), Status::kOk);
  for (int i = 2; i <= 5; ++i) EXPECT_EQ(receive(receiving), std::to_string(i));
  EXPECT_EQ(receive(receiving), kEndOfStreamText);
  receiving.detach();
  EXPECT_FALSE(name_exists());
}

TEST_P(RingLifeTest, AReceiverThatAwaitsASuccessorWaitsForTheNextSender) {
  enum : int { kOpening, kOpen, kKilled, kNoticed };
  Shared<std::atomic<int>> state;
  Child child([this, &state] {
    Receiver receiving = receiver("", {.await_successor = true});
    *state = kOpen;
    if (receive(receiving) != "first") return 1;
    while (*state != kKilled) usleep(100);
    // A wait that times out has looked at the sender before: its death changes nothing.
    const Status told = receiving.next(Deadline::after(milliseconds(1))).status();
    *state = kNoticed;
    if (told != Status::kTimedOut) return 2;
    if (receive(receiving) != "second") return 3;
    return receive(receiving) == kEndOfStreamText ? 0 : 4;
  });
  run_and_kill([this, &state] {
    auto* sending = new Sender(sender());
    while (*state != kOpen) usleep(100);
    return sending->send(bytes_of("first")) == Status::kOk ? 0 : 1;
  });
  *state = kKilled;
  while (*state != kNoticed) usleep(100);  // the watchdog bounds it
  Sender sending = sender();
  ASSERT_EQ(sending.send(bytes_of("second")), Status::kOk);
  EXPECT_EQ(sending.close(), Status::kOk);
  EXPECT_EQ(child.join(), 0);
}

TEST_P(RingLifeTest, ASenderThatAwaitsASuccessorWaitsForTheNextReceiver) {
  Sender sending = sender("?capacity=4KiB&await_successor=1");
  const std::string message(1'000, 'x');
  run_and_kill([this] { return new Receiver(receiver()) == nullptr ? 1 : 0; });
  while (sending.try_send(bytes_of(message)) == Status::kOk) {
  }
  EXPECT_EQ(sending.send(bytes_of(message), Deadline::after(milliseconds(200))), Status::kTimedOut);
  { const Receiver leaves_in_order = receiver(); }
  EXPECT_EQ(sending.send(bytes_of(message), Deadline::after(milliseconds(50))), Status::kTimedOut);
  Receiver next = receiver();
  EXPECT_EQ(receive(next), message);
  EXPECT_EQ(sending.status(), Status::kOk);
}

// The first stream has ended and is still being read when the second sender comes: that the first
// one's receiver leaves then is no news to it.
TEST_P(RingLifeTest, AStreamBehindAnEndIsForTheNextReceiver) {
  Receiver first_receiver = [this] {
    Sender first = sender();
    EXPECT_EQ(first.send(bytes_of("first")), Status::kOk);
    return receiver();
  }();
  Sender second = sender();
  ASSERT_EQ(second.send(bytes_of("second")), Status::kOk);
  EXPECT_EQ(receive(first_receiver), "first");
  EXPECT_EQ(receive(first_receiver), kEndOfStreamText);
  first_receiver.detach();

  ASSERT_EQ(second.send(bytes_of("third")), Status::kOk);
  Receiver second_receiver = receiver();
  ASSERT_EQ(second.send(bytes_of("fourth")), Status::kOk);
  EXPECT_EQ(receive(second_receiver), "second");
  EXPECT_EQ(receive(second_receiver), "third");
  EXPECT_EQ(receive(second_receiver), "fourth");
  second_receiver.detach();
  Status status = Status::kOk;
  while (status == Status::kOk) status = second.send(bytes_of("unread"));
  EXPECT_EQ(status, Status::kPeerGone);
}

TEST_P(RingLifeTest, AnEagerReceiverGetsAtMostOneMessageAgain) {
  Sender sending = sender();
  for (int i = 0; i < 10; ++i) ASSERT_EQ(sending.send(bytes_of(std::to_string(i))), Status::kOk);
  run_and_kill([this] {
    auto* receiving = new Receiver(receiver("?ack=eager"));
    for (int i = 0; i < 4; ++i) {
      if (receive(*receiving) != std::to_string(i)) return 1;
    }
    static auto held = receiving->try_next();
    return held && held->text() == "4" ? 0 : 2;
  });
  Receiver receiving = receiver();
  EXPECT_EQ(receive(receiving), "4");
}

TEST_P(RingLifeTest, WhatIsNoRingIsRefused) {
  {
    std::ofstream file(file_of_name());
    file << std::string(8192, 'x');
  }
  ASSERT_EQ(chmod(file_of_name().c_str(), 0600), 0);
  // Beside a segment stands no ring, but what tells of one.
  const ErrorCode why = at_key() ? ErrorCode::kForeignObject : ErrorCode::kBadMagic;
  const auto sending = Sender::open(url_);
  ASSERT_FALSE(sending);
  EXPECT_EQ(sending.error().code, why);
  const auto receiving = Receiver::open(url_);
  ASSERT_FALSE(receiving);
  EXPECT_EQ(receiving.error().code, why);
  EXPECT_TRUE(name_exists()) << "it is somebody else's";
  std::remove(file_of_name().c_str());
}

TEST_P(RingLifeTest, InspectTellsWhoIsThere) {
  const auto nothing = inspect(url_);
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, ErrorCode::kNotFound);

  Sender sending = sender("?capacity=64KiB", {.name = "feed"});
  ASSERT_EQ(sending.send(bytes_of("12345678")), Status::kOk);
  const auto info = inspect(url_);
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(info->name, url_);
  EXPECT_EQ(info->capacity_bytes, 65536u);
  EXPECT_EQ(info->max_message_bytes, sending.max_message_bytes());
  EXPECT_EQ(info->messages, 1u);
  EXPECT_EQ(info->pending_bytes, 16u);
  EXPECT_NE(info->instance_id, 0u);
  ASSERT_TRUE(info->memory);
  EXPECT_GT(info->memory->size_bytes, 65536u);
  ASSERT_EQ(info->participants.size(), 1u);
  EXPECT_TRUE(info->participants[0].alive);
  EXPECT_EQ(info->participants[0].name, "feed");
  EXPECT_EQ(info->participants[0].pid, static_cast<std::uint32_t>(getpid()));
}

TEST_P(RingLifeTest, RemoveTakesANameThatIsUnused) {
  const auto nothing = remove(url_);
  ASSERT_FALSE(nothing);
  EXPECT_EQ(nothing.error().code, ErrorCode::kNotFound);
  {
    Sender sending = sender();
    const auto used = remove(url_);
    ASSERT_FALSE(used);
    EXPECT_EQ(used.error().code, ErrorCode::kBusy);
    EXPECT_TRUE(name_exists());
    EXPECT_TRUE(remove(url_, true));
    EXPECT_FALSE(name_exists());
    EXPECT_EQ(sending.send(bytes_of("goes on")), Status::kOk);
  }
  run_and_kill([this] { return new Sender(sender()) == nullptr ? 1 : 0; });
  EXPECT_TRUE(name_exists());
  EXPECT_TRUE(remove(url_));
  EXPECT_FALSE(name_exists());
}

TEST_P(RingLifeTest, ARingThatNoChannelIsMadeOfIsSaidToBeOne) {
  using Ring = spsc_ring<std::uint64_t>;
  const SpscParams params{.capacity = 8};
  const auto layout = Ring::layout_for(params);
  ASSERT_TRUE(layout);
  const auto name = Url::parse(url_)->segment();
  ASSERT_TRUE(name);
  const auto made = Segment::create(*name, layout->total_bytes, {},
                                    [&](std::span<std::byte> bytes) -> Result<void> {
                                      if (auto ring = Ring::create(bytes, params); !ring) {
                                        return std::move(ring).error();
                                      }
                                      return {};
                                    });
  ASSERT_TRUE(made) << made.error().message;
  const auto refused = [](const auto& result) {
    return result ? ErrorCode::kSystem : result.error().code;
  };
  EXPECT_EQ(refused(inspect(url_)), ErrorCode::kBadKind);
  EXPECT_EQ(refused(Sender::open(url_)), ErrorCode::kBadKind);
  EXPECT_EQ(refused(Receiver::open(url_)), ErrorCode::kBadKind);
  EXPECT_TRUE(remove(url_));
}

// Also not when the ring that it has found is taken away before it is in, at whichever of its
// system calls. (It made one of its own then, and sent to nobody.)
TEST_P(RingLifeTest, ASenderThatIsToJoinMakesNoRing) {
  for (int moment = 0, there = true; there; ++moment) {
    EXPECT_EQ(sender().send("keeps the name"), Status::kOk);
    Stepper joins([&] {
      Stepper::begin();
      auto joined = Sender::open(url_ + "?start=join");
      if (joined) static_cast<void>(joined->send("into what was there"));
      Stepper::end();
    });
    for (int i = 0; i <= moment && there; ++i) there = joins.run_to_system_call();
    take_name_away();
    joins.finish();
    joins.kill();
    ASSERT_FALSE(name_exists()) << "taken away at stop " << moment << " at a system call";
  }
}

}  // namespace
}  // namespace rondo::testing
