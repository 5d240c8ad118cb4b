// Rings between threads of one process whose participants are more than two (inproc: with readers=,
// kind=frames, kind=mpmc). What their messages owe stands in conformance/; here: the name, which is
// the process's own, handles that go without a word, threads that end, and forks.
//
//   1. TheNameGoesWithTheLast
//   2. WhatIsUnreadKeepsTheName
//   3. NobodyComesWhileTheNameGoes
//   4. ARingThatIsThereHasItsOwnSize
//   5. AHandleThatGoesInMidMessageHoldsNobody
//   6. TheEndOfAThreadIsNobodysDeath
//   7. AForkedChildIsRefused
#include <gmock/gmock.h>

#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/channel_fixture.hpp"

namespace rondo::testing {
namespace {

using ::testing::HasSubstr;

struct LocalKind {
  std::string_view name;
  std::string_view options;
  std::string_view others;  // of the same kind, and another size
  bool to_each = true;      // receiver, goes each message
};
void PrintTo(const LocalKind& kind, std::ostream* out) { *out << kind.name; }

constexpr LocalKind kLocalKinds[] = {
    {"Readers", "readers=3&capacity=4KiB", "readers=2&capacity=8KiB"},
    {"Frames", "kind=frames&readers=3&frame_size=100", "kind=frames&readers=2&frame_size=50"},
    {"Slots", "kind=mpmc&slots=8&slot_size=100", "kind=mpmc&slots=16&slot_size=100", false},
};

class InprocKinds : public ::testing::TestWithParam<LocalKind> {
 protected:
  InprocKinds() { alarm(240); }
  ~InprocKinds() override { alarm(0); }

  [[nodiscard]] Result<Sender> sender(std::string_view options = GetParam().options) const {
    return Sender::open(name_ + "?" + std::string(options));
  }
  [[nodiscard]] Result<Receiver> receiver(Deadline wait = Deadline::now(),
                                          std::string_view options = {}) const {
    return Receiver::open(name_ + "?" + std::string(options), {.wait = wait});
  }

  std::string name_ = "inproc:" + unique_word();
};

INSTANTIATE_TEST_SUITE_P(Every, InprocKinds, ::testing::ValuesIn(kLocalKinds),
                         [](const auto& kind) { return std::string(kind.param.name); });

TEST_P(InprocKinds, TheNameGoesWithTheLast) {
  for (const bool sender_last : {false, true}) {
    std::optional<Result<Sender>> one(sender());
    ASSERT_TRUE(*one) << one->error().message;
    std::optional<Result<Receiver>> other(receiver());
    ASSERT_TRUE(*other) << other->error().message;
    if (sender_last) other.reset();
    one.reset();
    if (other) {
      EXPECT_FALSE(sender(GetParam().others)) << "it is there while one is attached";
      EXPECT_EQ(receive(**other), kEndOfStreamText);
    }
    other.reset();
    auto anew = sender(GetParam().others);
    EXPECT_TRUE(anew) << anew.error().message;
  }
}

TEST_P(InprocKinds, WhatIsUnreadKeepsTheName) {
  {
    auto one = sender();
    ASSERT_TRUE(one) << one.error().message;
    ASSERT_EQ(one->send("left behind"), Status::kOk);
  }
  EXPECT_FALSE(sender(GetParam().others));
  {
    auto late = receiver();
    ASSERT_TRUE(late) << late.error().message;
    EXPECT_EQ(receive(*late), "left behind");
    EXPECT_EQ(receive(*late), kEndOfStreamText);
  }
  auto anew = sender(GetParam().others);
  EXPECT_TRUE(anew) << anew.error().message;
}

// Whoever finds the ring joins it whole, and the last of all takes the name away.
TEST_P(InprocKinds, NobodyComesWhileTheNameGoes) {
  constexpr int kRounds = 500;
  const auto comes_or = [](const auto& opened, ErrorCode refusal) {
    return opened || opened.error().code == refusal;
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < kRounds; ++round) {
        const auto one = sender();
        ASSERT_TRUE(comes_or(one, ErrorCode::kBusy)) << one.error().message;
      }
    });
    threads.emplace_back([&] {
      for (int round = 0; round < kRounds; ++round) {
        const auto other = receiver();
        ASSERT_TRUE(comes_or(other, ErrorCode::kTimedOut)) << other.error().message;
      }
    });
  }
  for (std::thread& each : threads) each.join();
  auto anew = sender(GetParam().others);
  EXPECT_TRUE(anew) << anew.error().message;
}

TEST_P(InprocKinds, ARingThatIsThereHasItsOwnSize) {
  auto one = sender();
  ASSERT_TRUE(one) << one.error().message;
  const auto refused = receiver(Deadline::now(), GetParam().others);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kGeometryMismatch) << refused.error().message;
  EXPECT_THAT(refused.error().message, HasSubstr("exists with"));
  // Nor is it one of two.
  const auto kind = receiver(Deadline::now(), "kind=record&readers=1");
  ASSERT_FALSE(kind);
  EXPECT_THAT(kind.error().message, HasSubstr(name_));
}

TEST_P(InprocKinds, AHandleThatGoesInMidMessageHoldsNobody) {
  auto one = sender();
  ASSERT_TRUE(one) << one.error().message;
  std::vector<Result<Receiver>> receivers;
  for (int i = 0; i < 2; ++i) receivers.push_back(receiver());
  for (auto& each : receivers) ASSERT_TRUE(each) << each.error().message;
  // One of them goes with a message in its hands.
  ASSERT_EQ(one->send("first"), Status::kOk);
  {
    Receiver going = std::move(receivers.back()).value();
    receivers.pop_back();
    const auto held = going.next(Deadline::after(std::chrono::seconds(60)));
    ASSERT_TRUE(held);
    EXPECT_EQ(held->text(), "first");
  }
  if (GetParam().to_each) {
    EXPECT_EQ(receive(*receivers.front()), "first");
  }
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(one->send(std::to_string(i), Deadline::after(std::chrono::seconds(60))), Status::kOk);
    EXPECT_EQ(receive(*receivers.front()), std::to_string(i));
  }
  // And the sender with one that it has begun.
  {
    Sender going = std::move(*one);
    auto claim = going.try_claim(10);
    ASSERT_TRUE(claim);
  }
  EXPECT_EQ(receive(*receivers.front()), kEndOfStreamText);
}

TEST_P(InprocKinds, TheEndOfAThreadIsNobodysDeath) {
  std::optional<Sender> one;
  std::optional<Receiver> other;
  std::thread([&] {
    auto opened = sender();
    ASSERT_TRUE(opened) << opened.error().message;
    one.emplace(std::move(opened).value());
    auto receiving = receiver();
    ASSERT_TRUE(receiving) << receiving.error().message;
    other.emplace(std::move(receiving).value());
  }).join();
  ASSERT_TRUE(one && other);
  EXPECT_EQ(other->next(Deadline::after(std::chrono::milliseconds(120))).status(),
            Status::kTimedOut);
  std::thread([&] { EXPECT_EQ(one->send("goes on"), Status::kOk); }).join();
  EXPECT_EQ(receive(*other), "goes on");
}

TEST_P(InprocKinds, AForkedChildIsRefused) {
  auto one = sender();
  ASSERT_TRUE(one) << one.error().message;
  auto other = receiver();
  ASSERT_TRUE(other) << other.error().message;
  ASSERT_EQ(one->send("the parent's"), Status::kOk);
  Child child([&] {
    if (one->flush(Deadline::now()) != Status::kForked) return 1;
    // And what goes there changes nothing here.
    const Sender going(std::move(*one));
    const Receiver another(std::move(*other));
    return 0;
  });
  EXPECT_EQ(child.join(), 0);
  EXPECT_EQ(receive(*other), "the parent's");
  EXPECT_EQ(one->close(), Status::kOk);
  EXPECT_EQ(receive(*other), kEndOfStreamText);
}

}  // namespace
}  // namespace rondo::testing
