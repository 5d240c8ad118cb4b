// Processes killed at each of their system calls while they make, open, use and leave a channel.
// After each of these moments, successors meet at the name, pass messages, and leave nothing
// behind.
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <string>

#include "process/each_system_call.hpp"
#include "rondo/rondo.hpp"
#include "support/names.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"

namespace rondo {
namespace {

using namespace rondo::testing;

constexpr auto kLong = std::chrono::seconds(60);

template <class Handle>
Handle opened(Result<Handle> handle) {
  if (!handle) {
    std::fprintf(stderr, "%s\n", handle.error().message.c_str());
    std::abort();
  }
  return std::move(handle).value();
}

class KilledAtASystemCall : public Watchdog {
 protected:
  // A sender and a receiver find together, whatever was left there; then nothing is left.
  virtual void expect_that_life_goes_on() {
    {
      Sender sender = opened(Sender::open(url_));
      Receiver receiver = opened(Receiver::open(url_, {.wait = Deadline::after(kLong)}));
      ASSERT_EQ(sender.send("after"), Status::kOk);
      std::string last;
      while (last != "after") {
        auto message = receiver.next(Deadline::after(kLong));
        if (message.status() == Status::kEnded) {
          // A victim's own stream, closed in order: ours is behind its end.
          receiver.detach();
          receiver = opened(Receiver::open(url_, {.wait = Deadline::after(kLong)}));
          continue;
        }
        ASSERT_TRUE(message) << to_string(message.status());
        last = message->text();
      }
    }
    EXPECT_TRUE(directory_.empty());
  }

  void kill_a_sender_from_opening_to_closing() {
    const int moments = at_each_system_call(
        [&] {
          Sender sender = opened(Sender::open(url_));
          static_cast<void>(sender.send("before"));
          static_cast<void>(sender.close());
        },
        [&] { expect_that_life_goes_on(); });
    std::printf("%d moments\n", moments);
    EXPECT_GT(moments, 20);
  }
  // `read`: what it does meanwhile.
  void kill_a_receiver_from_opening_to_leaving(const std::function<void(Receiver&)>& read) {
    const auto leave_a_stream = [this] {
      Sender sender = opened(Sender::open(url_));
      static_cast<void>(sender.send("for the next victim"));
    };
    leave_a_stream();
    const int moments = at_each_system_call(
        [&] {
          Receiver receiver = opened(Receiver::open(url_, {.wait = Deadline::after(kLong)}));
          read(receiver);
          receiver.detach();
        },
        [&] {
          expect_that_life_goes_on();
          leave_a_stream();
        });
    std::printf("%d moments\n", moments);
    EXPECT_GT(moments, 20);
    static_cast<void>(remove(url_, true));
  }

  Directory directory_;
  std::string name_ = "file:" + directory_.path("channel");
  std::string url_ = name_ + "?capacity=4KiB";
};

// The same of a ring in a System V segment, which has a file beside it.
class SegmentKilledAtASystemCall : public KilledAtASystemCall {
 protected:
  SegmentKilledAtASystemCall() { url_ = "sysv-shm:" + std::to_string(key_) + "?capacity=4KiB"; }
  void expect_that_life_goes_on() override {
    KilledAtASystemCall::expect_that_life_goes_on();
    EXPECT_LT(segment_at(key_), 0);
    EXPECT_NE(access(file_of_segment(key_).c_str(), F_OK), 0);
  }

  std::uint32_t key_ = unique_key();
};

// The same, where the channel is a pool of frames.
class PoolKilledAtASystemCall : public KilledAtASystemCall {
 protected:
  PoolKilledAtASystemCall() { url_ = name_ + "?kind=frames&frames=4&frame_size=64"; }
};

TEST_F(KilledAtASystemCall, ACreatorLeavesACompleteSegmentOrNothing) {
  const SegmentName name = directory_.name("segment");
  int complete = 0;
  const int moments = at_each_system_call(
      [&] {
        const Segment segment = sound(create_small(name));
        static_cast<void>(Segment::remove(name));
      },
      [&] {
        if (const auto left = Segment::attach(name)) {
          ++complete;
          EXPECT_TRUE(check_header(left->bytes(), RingKind::kRecord, "it"));
          EXPECT_TRUE(Segment::remove(name));
        } else {
          EXPECT_EQ(code_of(left), code_of(ErrorCode::kNotFound));
        }
        ASSERT_TRUE(directory_.empty());
      });
  std::printf("%d moments, complete at the name in %d\n", moments, complete);
  EXPECT_GT(moments, 10);
  EXPECT_GT(complete, 0);
  EXPECT_LT(complete, moments);
}

TEST_F(KilledAtASystemCall, ASenderFromOpeningToClosing) {
  kill_a_sender_from_opening_to_closing();
}

TEST_F(SegmentKilledAtASystemCall, ASenderFromOpeningToClosing) {
  kill_a_sender_from_opening_to_closing();
}

TEST_F(KilledAtASystemCall, AReceiverFromOpeningToLeaving) {
  kill_a_receiver_from_opening_to_leaving(
      [](Receiver& receiver) { static_cast<void>(receiver.next(Deadline::now())); });
}

TEST_F(PoolKilledAtASystemCall, ASenderFromOpeningToClosing) {
  kill_a_sender_from_opening_to_closing();
}

// Dies with a frame in its hands, too: info() asks the kernel about each participant meanwhile.
TEST_F(PoolKilledAtASystemCall, AReceiverFromOpeningToLeaving) {
  kill_a_receiver_from_opening_to_leaving([](Receiver& receiver) {
    const auto held = receiver.next(Deadline::now());
    static_cast<void>(receiver.info());
  });
}

}  // namespace
}  // namespace rondo
