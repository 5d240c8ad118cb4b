// When a message that is sent wakes receivers, on every transport: at once, later, by a watermark.
// Counted by the kernel: the sender's system calls that wake, or that write to a byte stream. Each
// line has a test of the same name, in this order.
//   1. EachMessageWakesASleepOnce
//   2. WhatIsForLaterWakesNobody
//   3. AMessageWakesForThoseBefore
//   4. AClaimIsHeldBackAsAMessageIs
//   5. WakingOfWhatIsNotHeldBackDoesNothing
//   6. SoManyMessagesWakeOnce
//   7. OneThatWakesNowWakesForAll
//   8. SoManyBytesWakeOnce
//   9. AMessageFindsThatTheTimeHasCome
//  10. WhicheverComesFirst
//  11. ABatchCountsByItsMessages
//  12. AllThatWaitsOrEndsWakesFirst
//  13. AWaitSetWakesForItsSendersFirst
//  14. WhoFindsNoRoomWakesFirst
//  15. WhoFindsNoRoomInABatchWakesFirst
//  16. ABatchThatWaitsForRoomWakesFirst
//  17. AMovedSenderKeepsWhatItHoldsBack
//  18. ASenderInAnEventLoopWakesEach
//  19. AsManyOfSeveralWakeAsMessagesWereHeldBack
//  20. AChildOfAForkWakesNobody
//  21. NorDoesItSendMoreForLater
//  22. NorTheFirst
//  23. WhatAByteStreamDidNotTakeIsWrittenByTheNextWake
#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "conformance/channel_fixture.hpp"
#include "rondo/async.hpp"
#include "support/counted_wakes.hpp"
#include "support/sanitizers.hpp"

namespace rondo::testing {
namespace {

struct WakeCase {
  ChannelCase channel;
  const char* name;
  std::string options;
  std::uint32_t receivers = 1;
};
void PrintTo(const WakeCase& one, std::ostream* out) { *out << one.name; }

// Room for more messages than the tests leave unread.
std::vector<WakeCase> wake_cases() {
  std::vector<WakeCase> cases;
  for (const ChannelCase& channel : kChannelCases) {
    cases.push_back(
        {channel, channel.name.data(),
         channel.slots ? "kind=mpmc&slots=64&slot_size=128" : options_of(channel, 16 << 10)});
  }
  for (const ChannelCase& channel : kLossyChannelCases) {
    cases.push_back({channel, channel.name.data(), "kind=frames&frames=64&frame_size=128"});
  }
  cases.push_back({kChannelCases[0], "ShmReaders", "capacity=16KiB&readers=3", 3});
  cases.push_back({kLossyChannelCases[0], "ShmFramesReaders",
                   "kind=frames&frames=64&frame_size=128&readers=3", 3});
  return cases;
}

class ChannelWake : public ::testing::TestWithParam<WakeCase> {
 protected:
  ChannelWake() { alarm(240); }
  ~ChannelWake() override { alarm(0); }

  [[nodiscard]] static bool is_ring() { return GetParam().channel.ring; }
  [[nodiscard]] static bool is_frames() { return GetParam().channel.frames; }

  // A sender whose receivers sleep: they have announced it, and nothing but a wake, or their own
  // look, ends that. (The far end of a byte stream sleeps in the kernel.)
  void open(const std::string& options = "") {
    close();
    std::string url = fresh_url(GetParam().channel, directory_.path());
    const std::string needed = needed_options(GetParam().channel);
    auto pair =
        open_pair(url + "?" + GetParam().options + options + (needed.empty() ? "" : "&") + needed);
    ASSERT_TRUE(pair) << pair.error().message;
    sender_.emplace(std::move(pair->first));
    receivers_.push_back(std::move(pair->second));
    while (receivers_.size() < GetParam().receivers) {
      auto receiver = Receiver::open(url);
      ASSERT_TRUE(receiver) << receiver.error().message;
      receivers_.push_back(std::move(receiver).value());
    }
    fall_asleep();
  }
  void close() {
    static_cast<void>(read());  // a sender of which all is taken does not wait
    sender_.reset();
    for (Receiver& receiver : receivers_) {
      while (receiver.try_next()) {
      }
    }
    receivers_.clear();
  }
  void fall_asleep() {
    for (Receiver& receiver : receivers_) {
      ASSERT_TRUE(!is_ring() || receiver.arm());
    }
    static_cast<void>(wakes());  // of the process's thread for descriptors
  }
  // What each of them has to read, or that those have who share it.
  [[nodiscard]] int read() {
    int most = 0;
    for (Receiver& receiver : receivers_) {
      int count = 0;
      while (receiver.try_next()) ++count;
      most = std::max(most, count);
    }
    return most;
  }
  void send(int messages, Wake wake = Wake::kAuto, std::size_t size_bytes = 8) {
    const std::string text(size_bytes, 'x');
    for (int i = 0; i < messages; ++i) ASSERT_EQ(sender_->try_send(text, wake), Status::kOk);
  }
  [[nodiscard]] static int wakes() { return CountedWakes::taken(); }

  // As the body of the test: with the calls of its thread counted.
  template <class Body>
  void counted(Body&& body) {
    if (kSanitized) GTEST_SKIP() << "the sanitizer makes system calls of its own";
    CountedWakes::run([&] {
      body();
      close();
    });
  }

  std::optional<Sender> sender_;
  std::vector<Receiver> receivers_;
  ScratchDirectory directory_;
};

INSTANTIATE_TEST_SUITE_P(Every, ChannelWake, ::testing::ValuesIn(wake_cases()),
                         [](const auto& one) { return std::string(one.param.name); });

// While it has not woken up, there is nothing to wake it for.
TEST_P(ChannelWake, EachMessageWakesASleepOnce) {
  counted([&] {
    open();
    send(1);
    EXPECT_EQ(wakes(), 1);
    send(5);
    EXPECT_EQ(wakes(), is_ring() ? 0 : 5);
    EXPECT_EQ(read(), 6);
    fall_asleep();
    send(1);
    EXPECT_EQ(wakes(), 1);
  });
}

TEST_P(ChannelWake, WhatIsForLaterWakesNobody) {
  counted([&] {
    open();
    send(5, Wake::kLater);
    EXPECT_EQ(wakes(), 0);
    // In a ring it is there to be found.
    EXPECT_EQ(read(), is_ring() ? 5 : 0);
    int unread = is_ring() ? 0 : 5;
    for (int round = 0; round < 3; ++round) {
      fall_asleep();
      send(3, Wake::kLater);
      EXPECT_EQ(wakes(), 0);
      EXPECT_EQ(sender_->wake(), Status::kOk);
      EXPECT_EQ(wakes(), 1);
      EXPECT_EQ(read(), unread + 3);
      unread = 0;
    }
  });
}

TEST_P(ChannelWake, AMessageWakesForThoseBefore) {
  counted([&] {
    for (const Wake wake : {Wake::kAuto, Wake::kNow}) {
      open();
      send(5, Wake::kLater);
      EXPECT_EQ(wakes(), 0);
      send(1, wake);
      EXPECT_EQ(wakes(), 1);
      EXPECT_EQ(read(), 6);
    }
  });
}

TEST_P(ChannelWake, AClaimIsHeldBackAsAMessageIs) {
  counted([&] {
    open();
    for (int i = 0; i < 3; ++i) {
      auto claim = sender_->try_claim(8);
      ASSERT_TRUE(claim);
      std::move(*claim).commit(Wake::kLater);
      EXPECT_EQ(wakes(), 0);
    }
    auto claim = sender_->claim(8);
    ASSERT_TRUE(claim);
    std::move(*claim).commit(Wake::kNow);
    EXPECT_EQ(wakes(), 1);
    EXPECT_EQ(read(), 4);
  });
}

TEST_P(ChannelWake, WakingOfWhatIsNotHeldBackDoesNothing) {
  counted([&] {
    open("&wake_every=100");
    EXPECT_EQ(sender_->wake(), Status::kOk);
    EXPECT_EQ(wakes(), 0);
    send(1, Wake::kLater);
    EXPECT_EQ(sender_->wake(), Status::kOk);
    EXPECT_EQ(sender_->wake(), Status::kOk);
    EXPECT_EQ(wakes(), 1);
    EXPECT_EQ(read(), 1);
    fall_asleep();
    EXPECT_EQ(sender_->wake(), Status::kOk);
    EXPECT_EQ(sender_->flush(), Status::kOk);
    EXPECT_EQ(wakes(), 0);
    sender_->close();
    EXPECT_EQ(sender_->wake(), Status::kClosed);
  });
}

TEST_P(ChannelWake, SoManyMessagesWakeOnce) {
  counted([&] {
    open("&wake_every=4");
    for (int round = 0; round < 3; ++round) {
      send(3);
      EXPECT_EQ(wakes(), 0);
      send(1);
      EXPECT_EQ(wakes(), 1);
      // Nobody counts while the sleeper has not woken up.
      send(10);
      EXPECT_EQ(wakes(), is_ring() ? 0 : 2);
      if (!is_ring()) {
        EXPECT_EQ(sender_->wake(), Status::kOk);  // the last two
      }
      EXPECT_EQ(wakes(), is_ring() ? 0 : 1);
      EXPECT_EQ(read(), 14);
      fall_asleep();
    }
    // Those for later count, too.
    send(3, Wake::kLater);
    EXPECT_EQ(wakes(), 0);
    send(1);
    EXPECT_EQ(wakes(), 1);
  });
}

TEST_P(ChannelWake, OneThatWakesNowWakesForAll) {
  counted([&] {
    open("&wake_every=100");
    send(3);
    send(3, Wake::kLater);
    EXPECT_EQ(wakes(), 0);
    send(1, Wake::kNow);
    EXPECT_EQ(wakes(), 1);
    EXPECT_EQ(read(), 7);
  });
}

TEST_P(ChannelWake, SoManyBytesWakeOnce) {
  if (GetParam().channel.slots || is_frames()) {
    GTEST_SKIP() << "their messages are counted, not their bytes";
  }
  counted([&] {
    open("&wake_bytes=1KiB");  // each of these takes 8 + 104
    send(9, Wake::kAuto, 100);
    EXPECT_EQ(wakes(), 0);
    send(1, Wake::kAuto, 100);
    EXPECT_EQ(wakes(), 1);
    EXPECT_EQ(read(), 10);
    fall_asleep();
    send(1, Wake::kAuto, 1016);  // enough by itself
    EXPECT_EQ(wakes(), 1);
  });
}

TEST_P(ChannelWake, AMessageFindsThatTheTimeHasCome) {
  counted([&] {
    open("&wake_after=3600s");
    send(20);
    EXPECT_EQ(wakes(), 0);
    close();

    open("&wake_after=1us");
    send(1);
    const auto since = Deadline::Clock::now();
    while (Deadline::Clock::now() - since <= std::chrono::microseconds(1)) {
    }
    send(1);
    EXPECT_GE(wakes(), 1);
  });
}

TEST_P(ChannelWake, WhicheverComesFirst) {
  counted([&] {
    open("&wake_every=3&wake_after=3600s");
    send(2);
    EXPECT_EQ(wakes(), 0);
    send(1);
    EXPECT_EQ(wakes(), 1);
  });
}

TEST_P(ChannelWake, ABatchCountsByItsMessages) {
  counted([&] {
    const int size = is_frames() ? 1 : 3;  // a batch of frames has one
    open("&wake_every=" + std::to_string(2 * size));
    const auto send_batch = [&](Wake wake) {
      Sender::Batch batch(*sender_);
      for (int i = 0; i < size; ++i) ASSERT_EQ(batch.try_add(bytes_of("x")), Status::kOk);
      ASSERT_EQ(std::move(batch).commit(Deadline::never(), wake), Status::kOk);
    };
    send_batch(Wake::kAuto);
    EXPECT_EQ(wakes(), 0);
    send_batch(Wake::kAuto);
    EXPECT_EQ(wakes(), 1);
    EXPECT_EQ(read(), 2 * size);
    fall_asleep();
    send_batch(Wake::kLater);
    send_batch(Wake::kLater);
    send_batch(Wake::kLater);
    EXPECT_EQ(wakes(), 0);
    send_batch(Wake::kNow);
    EXPECT_EQ(wakes(), 1);
    EXPECT_EQ(read(), 4 * size);
  });
}

TEST_P(ChannelWake, AllThatWaitsOrEndsWakesFirst) {
  const std::pair<const char*, std::function<void(Sender&)>> acts[] = {
      {"wake", [](Sender& sender) { EXPECT_EQ(sender.wake(), Status::kOk); }},
      {"flush", [](Sender& sender) { static_cast<void>(sender.flush(Deadline::now())); }},
      {"wait_for_receiver",
       [](Sender& sender) { EXPECT_EQ(sender.wait_for_receiver(), Status::kOk); }},
      {"wait_for_receivers",
       [](Sender& sender) {
         EXPECT_EQ(sender.wait_for_receivers(GetParam().receivers), Status::kOk);
       }},
      {"fd", [](Sender& sender) { EXPECT_TRUE(sender.fd()); }},
      {"arm", [](Sender& sender) { static_cast<void>(sender.arm(8)); }},
      {"close", [](Sender& sender) { static_cast<void>(sender.close()); }},
      {"break_off", [](Sender& sender) { sender.break_off(); }},
      {"destructor", [](Sender& sender) { const Sender gone(std::move(sender)); }},
      {"assignment", [](Sender& sender) { sender = std::move(open_pair("inproc:")->first); }},
  };
  counted([&] {
    for (const bool by_watermark : {false, true}) {
      for (const auto& [name, act] : acts) {
        open("&wake_every=100");
        send(2, by_watermark ? Wake::kAuto : Wake::kLater);
        EXPECT_EQ(wakes(), 0) << name;
        act(*sender_);
        EXPECT_GE(wakes(), 1) << name;
      }
    }
  });
}

// Room for a large message, where small ones still fit.
TEST_P(ChannelWake, AWaitSetWakesForItsSendersFirst) {
  if (!is_ring() || is_frames()) GTEST_SKIP() << "there is room";
  counted([&] {
    open("&wake_every=1000");
    const std::size_t size = GetParam().channel.slots ? 1 : 1'000;
    auto set = WaitSet::make();
    ASSERT_TRUE(set);
    ASSERT_TRUE(set->add(*sender_, 1, sender_->max_message_bytes()));
    send(GetParam().channel.slots ? 64 : 12, Wake::kLater, size);
    EXPECT_EQ(wakes(), 0);
    std::array<WaitSet::Key, 1> room{};
    EXPECT_EQ(set->wait(room, Deadline::now()).status(), Status::kWouldBlock);
    EXPECT_EQ(wakes(), 1);
    ASSERT_TRUE(set->remove(1));
  });
}

TEST_P(ChannelWake, WhoFindsNoRoomWakesFirst) {
  if (is_frames()) GTEST_SKIP() << "there is always room for one more";
  counted([&] {
    for (const bool waits : {false, true}) {
      open();
      Status status = Status::kOk;
      int woken = 0;
      for (int i = 0; i < 10'000 && status == Status::kOk && woken == 0; ++i) {
        status = sender_->send(
            std::string(100, 'x'),
            waits ? Deadline::after(std::chrono::milliseconds(1)) : Deadline::now(), Wake::kLater);
        woken = wakes();
      }
      // A byte stream has room again.
      EXPECT_EQ(status, !is_ring() ? Status::kOk : waits ? Status::kTimedOut : Status::kWouldBlock);
      EXPECT_GE(woken, 1);
      EXPECT_EQ(woken, is_ring() ? 1 : woken);
    }
  });
}

TEST_P(ChannelWake, WhoFindsNoRoomInABatchWakesFirst) {
  counted([&] {
    open();
    send(2, Wake::kLater);
    {
      Sender::Batch batch(*sender_);
      Status status = Status::kOk;
      for (int i = 0; i < 10'000 && status == Status::kOk; ++i) {
        status = batch.try_add(bytes_of(std::string(100, 'x')));
      }
      EXPECT_EQ(status, Status::kWouldBlock);
      EXPECT_EQ(wakes(), 1);
    }
    EXPECT_EQ(read(), 2);
  });
}

TEST_P(ChannelWake, ABatchThatWaitsForRoomWakesFirst) {
  if (!GetParam().channel.slots) GTEST_SKIP() << "no commit waits for room";
  counted([&] {
    open();
    send(64, Wake::kLater, 1);
    EXPECT_EQ(wakes(), 0);
    Sender::Batch batch(*sender_);
    EXPECT_EQ(batch.try_add(bytes_of(std::string("x"))), Status::kOk);
    EXPECT_EQ(std::move(batch).commit(Deadline::after(std::chrono::milliseconds(1))),
              Status::kTimedOut);
    EXPECT_EQ(wakes(), 1);
    EXPECT_EQ(read(), 64);
  });
}

TEST_P(ChannelWake, AMovedSenderKeepsWhatItHoldsBack) {
  counted([&] {
    open();
    send(2, Wake::kLater);
    Sender moved(std::move(*sender_));
    EXPECT_EQ(moved.try_send(std::string_view("x"), Wake::kLater), Status::kOk);
    EXPECT_EQ(wakes(), 0);
    *sender_ = std::move(moved);
    EXPECT_EQ(wakes(), 0);
    EXPECT_EQ(sender_->wake(), Status::kOk);
    EXPECT_EQ(wakes(), 1);
    EXPECT_EQ(read(), 3);
  });
}

// Such a loop sleeps without telling its senders.
TEST_P(ChannelWake, ASenderInAnEventLoopWakesEach) {
  const std::function<void(Sender&)> ways[] = {
      [](Sender& sender) { EXPECT_TRUE(sender.fd()); },
      [](Sender& sender) { sender.wake_each(); },
      [](Sender& sender) {
        auto executor = Executor::make();
        const auto claim = [&]() -> Task<> {
          auto claimed = co_await async_claim(sender, 8);
          EXPECT_TRUE(claimed);
        };
        (*executor)->spawn(claim());
        EXPECT_EQ((*executor)->run(), Status::kOk);
      },
  };
  counted([&] {
    for (const auto& way : ways) {
      open("&wake_every=100");
      way(*sender_);
      static_cast<void>(wakes());  // of the process's thread for descriptors
      send(1);
      EXPECT_EQ(wakes(), 1);
      EXPECT_EQ(read(), 1);
      fall_asleep();
      send(3, Wake::kLater);
      EXPECT_EQ(wakes(), 0);
      EXPECT_EQ(sender_->wake(), Status::kOk);
      EXPECT_EQ(wakes(), 1);
      EXPECT_EQ(read(), 3);
    }
  });
}

// Of kind=mpmc a wake is for one receiver, and a message for one, too.
TEST_P(ChannelWake, AsManyOfSeveralWakeAsMessagesWereHeldBack) {
  if (!GetParam().channel.slots) GTEST_SKIP() << "one wake is for all";
  counted([&] {
    open("&wake_every=3");
    const std::string url = sender_->info().name;
    while (receivers_.size() < 5) {
      auto receiver = Receiver::open(url);
      ASSERT_TRUE(receiver) << receiver.error().message;
      receivers_.push_back(std::move(receiver).value());
      ASSERT_TRUE(receivers_.back().arm());
    }
    static_cast<void>(wakes());
    send(2);
    EXPECT_EQ(wakes(), 0);
    send(1);
    // One that is still on its way into its sleep costs another wake: where there is no io_uring.
    const int woken = wakes();
    EXPECT_GE(woken, 3);
    send(2, Wake::kLater);
    EXPECT_EQ(wakes(), 0);
    EXPECT_EQ(sender_->wake(), Status::kOk);
    EXPECT_EQ(woken + wakes(), 5);
  });
}

TEST_P(ChannelWake, AChildOfAForkWakesNobody) {
  counted([&] {
    open();
    send(1, Wake::kLater);
    Child child([&] {
      return sender_->wake() == Status::kForked && sender_->flush() == Status::kForked &&
                     wakes() == 0
                 ? 0
                 : 1;
    });
    EXPECT_EQ(child.join(), 0);
    EXPECT_EQ(sender_->wake(), Status::kOk);
    EXPECT_EQ(wakes(), 1);
  });
}

TEST_P(ChannelWake, NorDoesItSendMoreForLater) {
  const ChannelCase& channel = GetParam().channel;
  if (is_ring() && !channel.slots && !is_frames() && GetParam().receivers == 1 &&
      channel.scheme != "shm+guarded:") {
    GTEST_SKIP() << "the fast path of one sender to one receiver does not look";
  }
  open();
  send(2, Wake::kLater);
  Child child([&] {
    static_cast<void>(sender_->try_send(std::string_view("x"), Wake::kLater));
    return sender_->status() == Status::kForked ? 0 : 1;
  });
  EXPECT_EQ(child.join(), 0);
  EXPECT_EQ(sender_->wake(), Status::kOk);
  EXPECT_EQ(read(), 2);
  close();
}

// Sent, claimed, and in a batch.
TEST_P(ChannelWake, NorTheFirst) {
  open();
  for (int way = 0; way < 3; ++way) {
    Child child([&] {
      if (way == 0) {
        if (sender_->try_send(std::string_view("x"), Wake::kLater) != Status::kForked) return 1;
      } else if (way == 1) {
        if (auto claim = sender_->try_claim(1)) std::move(*claim).commit(Wake::kLater);
      } else {
        Sender::Batch batch(*sender_);
        static_cast<void>(batch.try_add(std::as_bytes(std::span("x", 1))));
        static_cast<void>(std::move(batch).commit(Deadline::now(), Wake::kLater));
      }
      return sender_->status() == Status::kForked ? 0 : 2;
    });
    EXPECT_EQ(child.join(), 0) << way;
  }
  EXPECT_EQ(read(), 0);
  send(2);
  EXPECT_EQ(read(), 2);
  close();
}

TEST_P(ChannelWake, WhatAByteStreamDidNotTakeIsWrittenByTheNextWake) {
  if (is_ring()) GTEST_SKIP() << "all of it is there";
  counted([&] {
    open();
    int sent = 0;
    while (sender_->try_send(std::string(1'000, 'x')) == Status::kOk) ++sent;
    int received = 0;
    for (int turn = 0; turn < 10'000 && received < sent; ++turn) {
      EXPECT_EQ(sender_->wake(), Status::kOk);
      received += read();
      sched_yield();
    }
    EXPECT_EQ(received, sent);
  });
}

}  // namespace
}  // namespace rondo::testing
