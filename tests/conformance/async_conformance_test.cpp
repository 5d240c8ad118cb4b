// What rondo/async.hpp promises, on every transport. Each line has a test of the same name, in this
// order.
//   1. TasksPassOnWhatComes
//   2. WhatIsThereIsTakenWithoutASuspension
//   3. ManyTasksShareAThread
//   4. AnAwaitTakesNoMemory
//   5. TheEndOfTheStreamIsTold
//   6. ADeadSenderIsTold
//   7. ADeadlineEndsIt
//   8. AStopRequestEndsItAndTakesNothing
//   9. AnExecutorThatGoesLeavesTheHandles
//  10. ATaskThatIsDestroyedLeavesTheSet
//  11. AHandleIsAwaitedByOneTaskAtATime
//  12. OfTwoThatAreToldOfOneMessageOneGoesOn, where they share them
//  13. AForkedChildIsTold
//      AForkedChildRunsNothing
// and of tasks alone:
//  14. TasksHaveResults
//  15. WhatTheyThrowComesOut
//  16. TasksThatDoNotSleepNeedNoStack
//  17. WhoYieldsGoesBehindTheOthers
//  18. SleepersWakeInTheOrderOfTheirTimes
//  19. RunEndsAtItsDeadlineOrWhenInterrupted
//  20. ATaskMaySpawnOthers
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <new>
#include <rondo/async.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "conformance/channel_fixture.hpp"

namespace {
// Of this thread: what the test itself does in others does not count.
thread_local std::uint64_t allocations = 0;
}  // namespace

// Not inlined, or gcc takes the pair for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* const memory = std::malloc(size == 0 ? 1 : size)) return memory;
  throw std::bad_alloc();
}
// As the standard library's own, which a sanitizer replaces by one that belongs to its delete.
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  try {
    return ::operator new(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::unique_ptr<Executor> make_executor(WaitMode mode = WaitMode::kAdaptive,
                                        const std::atomic<bool>* stop = nullptr) {
  auto executor = Executor::make(mode, stop);
  if (!executor) throw std::runtime_error(executor.error().message);
  return std::move(executor).value();
}

class AsyncTest : public ChannelTest {
 protected:
  std::unique_ptr<Executor> executor_ = make_executor();
};

INSTANTIATE_TEST_SUITE_P(Every, AsyncTest, ::testing::ValuesIn(kChannelCases),
                         [](const auto& channel) { return std::string(channel.param.name); });

void send(Sender& sender, const std::string& text) {
  ASSERT_EQ(sender.send(bytes_of(text)), Status::kOk);
}

// Numbered messages with pauses, in which the other side falls asleep; then the end.
void send_numbered(Sender& sender, std::uint64_t messages) {
  std::mt19937_64 random(7);
  for (std::uint64_t i = 0; i < messages; ++i) {
    send(sender, numbered_message(i, 40));
    if (random() % 8 == 0) usleep(static_cast<unsigned>(random() % 300));
  }
  sender.close();
}

// What is unread would keep the channel's name.
void drain(Sender& sender, Receiver& receiver) {
  while (receiver.try_next()) static_cast<void>(sender.flush(Deadline::now()));
}

Task<Status> pass_on(Receiver& in, Sender& out) {
  for (;;) {
    auto message = co_await async_next(in);
    if (!message) co_return message.status();
    auto claim = co_await async_claim(out, message->size());
    if (!claim) co_return claim.status();
    std::ranges::copy(message->bytes(), claim->bytes().begin());
    std::move(*claim).commit();
  }
}

TEST_P(AsyncTest, TasksPassOnWhatComes) {
  constexpr std::uint64_t kMessages = 2'000;
  auto [sender, in] = open();
  auto [out, receiver] = open();
  Status end = Status::kOk;
  const auto whole = [&, &in = in, &out = out]() -> Task<> {
    end = co_await pass_on(in, out);
    out.close();
  };
  executor_->spawn(whole());
  std::thread sending([&sender = sender] { send_numbered(sender, kMessages); });
  std::thread receiving([&receiver = receiver] {
    for (std::uint64_t i = 0; i < kMessages; ++i) {
      ASSERT_EQ(receive(receiver), numbered_message(i, 40));
      if (i % 512 == 0) usleep(2'000);  // the channel fills up meanwhile
    }
    EXPECT_EQ(receive(receiver), kEndOfStreamText);
  });
  EXPECT_EQ(executor_->run(), Status::kOk);
  EXPECT_EQ(end, Status::kEnded);
  sending.join();
  receiving.join();
}

TEST_P(AsyncTest, WhatIsThereIsTakenWithoutASuspension) {
  auto [sender, receiver] = open();
  for (int i = 0; i < 3; ++i) send(sender, std::to_string(i));
  auto awaited = async_next(receiver);
  EXPECT_TRUE(awaited.await_ready());
  EXPECT_EQ(awaited.await_resume()->text(), "0");
  auto room = async_claim(sender, 5);
  EXPECT_TRUE(room.await_ready());
  EXPECT_TRUE(room.await_resume());
  int turns = 0;
  const auto take = [&, &receiver = receiver]() -> Task<> {
    for (int i = 1; i < 3; ++i) {
      auto message = co_await async_next(receiver);
      EXPECT_EQ(message->text(), std::to_string(i));
      EXPECT_EQ(turns, 0);
    }
    EXPECT_EQ((co_await async_next(receiver, Deadline::now())).status(), Status::kWouldBlock);
  };
  const auto other = [&]() -> Task<> {
    ++turns;
    co_return;
  };
  executor_->spawn(take());
  executor_->spawn(other());
  EXPECT_EQ(executor_->run(), Status::kOk);
  EXPECT_EQ(turns, 1);
}

TEST_P(AsyncTest, ManyTasksShareAThread) {
  constexpr std::uint64_t kMessages = 500;
  constexpr int kChannels = 4;
  std::vector<std::pair<Sender, Receiver>> channels;
  for (int i = 0; i < kChannels; ++i) channels.push_back(open());
  std::uint64_t received = 0;
  const auto take = [&](Receiver& receiver) -> Task<> {
    for (std::uint64_t i = 0;; ++i) {
      auto message = co_await async_next(receiver);
      if (!message) {
        EXPECT_EQ(message.status(), Status::kEnded);
        EXPECT_EQ(i, kMessages);
        co_return;
      }
      EXPECT_EQ(message->text(), numbered_message(i, 40));
      ++received;
    }
  };
  std::vector<std::thread> sending;
  for (auto& [sender, receiver] : channels) {
    executor_->spawn(take(receiver));
    sending.emplace_back([&sender = sender] { send_numbered(sender, kMessages); });
  }
  EXPECT_EQ(executor_->run(), Status::kOk);
  for (std::thread& thread : sending) thread.join();
  EXPECT_EQ(received, kChannels * kMessages);
}

TEST_P(AsyncTest, AnAwaitTakesNoMemory) {
  // What a stream's descriptor takes is its own.
  if (!GetParam().ring) GTEST_SKIP() << "its members are watched by an epoll";
  auto [sender, receiver] = open();
  auto [second, second_receiver] = open();
  std::uint64_t before = 0;
  const auto answer = [](Receiver& in, Sender& out) -> Task<> {
    for (;;) {
      auto message = co_await async_next(in);
      if (!message) co_return;
      auto claim = co_await async_claim(out, 1);
      std::move(*claim).commit();
    }
  };
  const auto ask = [&](Sender& out, Receiver& in) -> Task<> {
    for (int i = 0; i < 200; ++i) {
      if (i == 100) before = allocations;
      auto claim = co_await async_claim(out, 1);
      std::move(*claim).commit();
      // Not there yet: this one sleeps, and so does the other one then.
      auto message = co_await async_next(in);
      EXPECT_TRUE(message);
    }
    EXPECT_EQ(allocations, before);
    out.close();
  };
  executor_->spawn(answer(receiver, second));
  executor_->spawn(ask(sender, second_receiver));
  EXPECT_EQ(executor_->run(), Status::kOk);
  EXPECT_GT(before, 0u);
}

TEST_P(AsyncTest, TheEndOfTheStreamIsTold) {
  for (const bool waiting : {false, true}) {
    auto [sender, receiver] = open();
    Status end = Status::kOk;
    const auto take = [&, &receiver = receiver]() -> Task<> {
      end = (co_await async_next(receiver)).status();
      EXPECT_EQ((co_await async_next(receiver)).status(), end);
    };
    executor_->spawn(take());
    if (waiting) {
      EXPECT_EQ(executor_->run(Deadline::after(milliseconds(5))), Status::kTimedOut);
    }
    sender.close();
    EXPECT_EQ(executor_->run(), Status::kOk);
    EXPECT_EQ(end, Status::kEnded);
  }
}

class AsyncOfTheBereaved : public AsyncTest {
 protected:
  AsyncOfTheBereaved() : url_(url()) {}
  // What the dead made.
  ~AsyncOfTheBereaved() override { remove_what_the_dead_left(url_); }

  std::string url_;
};

INSTANTIATE_TEST_SUITE_P(Every, AsyncOfTheBereaved, ::testing::ValuesIn(kChannelCases),
                         [](const auto& channel) { return std::string(channel.param.name); });

TEST_P(AsyncOfTheBereaved, ADeadSenderIsTold) {
  if (!GetParam().processes) GTEST_SKIP() << "both ends are in one process";
  Child child([&] {
    auto sender = Sender::open(url_ + "?" + options_of(GetParam(), 4096));
    if (!sender) return 1;
    send(*sender, "last words");
    for (;;) static_cast<void>(sender->wait_for_receiver()), usleep(100);
    return 0;
  });
  auto receiver = Receiver::open(url_ + "?" + options_of(GetParam(), 4096));
  ASSERT_TRUE(receiver) << receiver.error().message;
  Status end = Status::kOk;
  const auto take = [&]() -> Task<> {
    {
      auto message = co_await async_next(*receiver);
      EXPECT_EQ(message->text(), "last words");
    }
    child.signal(SIGKILL);
    end = (co_await async_next(*receiver)).status();
  };
  executor_->spawn(take());
  EXPECT_EQ(executor_->run(), Status::kOk);
  EXPECT_EQ(end, Status::kPeerDied);
}

TEST_P(AsyncTest, ADeadlineEndsIt) {
  auto [sender, receiver] = open();
  const auto late = [&, &sender = sender, &receiver = receiver]() -> Task<> {
    for (int round = 0; round < 3; ++round) {
      const Deadline deadline = Deadline::after(milliseconds(5));
      EXPECT_EQ((co_await async_next(receiver, deadline)).status(), Status::kTimedOut);
      EXPECT_TRUE(deadline.passed());
    }
    fill_up(sender, 500);
    const Deadline deadline = Deadline::after(milliseconds(5));
    EXPECT_EQ((co_await async_claim(sender, 500, deadline)).status(), Status::kTimedOut);
    EXPECT_TRUE(deadline.passed());
    EXPECT_TRUE(co_await async_next(receiver, Deadline::after(seconds(3600))));
    EXPECT_EQ((co_await async_claim(sender, sender.max_message_bytes() + 1)).status(),
              Status::kTooLarge);
  };
  executor_->spawn(late());
  EXPECT_EQ(executor_->run(), Status::kOk);
  drain(sender, receiver);
}

TEST_P(AsyncTest, AStopRequestEndsItAndTakesNothing) {
  auto [sender, receiver] = open();
  for (int round = 0; round < 20; ++round) {
    std::stop_source source;
    Status end = Status::kOk;
    const auto take = [&, &receiver = receiver]() -> Task<> {
      end = (co_await async_next(receiver, Deadline::never(), source.get_token())).status();
    };
    executor_->spawn(take());
    std::thread stopping([&] {
      if (round % 2 == 0) usleep(1'000);
      source.request_stop();
    });
    EXPECT_EQ(executor_->run(), Status::kOk);
    stopping.join();
    EXPECT_EQ(end, Status::kInterrupted);
  }
  // Beside a message it is one of both: who has been stopped before has taken nothing.
  std::stop_source source;
  std::vector<Status> ends;
  const auto take = [&, &receiver = receiver]() -> Task<> {
    for (int i = 0; i < 2; ++i) {
      const auto message = co_await async_next(receiver, Deadline::never(), source.get_token());
      ends.push_back(message.status());
    }
  };
  executor_->spawn(take());
  EXPECT_EQ(executor_->run(Deadline::after(milliseconds(2))), Status::kTimedOut);
  send(sender, "comes with the stop");
  send(sender, "stays");
  source.request_stop();
  EXPECT_EQ(executor_->run(), Status::kOk);
  EXPECT_EQ(ends, (std::vector<Status>{Status::kOk, Status::kInterrupted}));
  EXPECT_EQ(receive(receiver), "stays");
}

TEST_P(AsyncTest, AnExecutorThatGoesLeavesTheHandles) {
  auto [sender, receiver] = open();
  bool destroyed = false;
  struct Mark {
    bool* set;
    ~Mark() { *set = true; }
  };
  const auto take = [&, &receiver = receiver]() -> Task<> {
    const Mark mark{&destroyed};
    static_cast<void>(co_await async_next(receiver));
    ADD_FAILURE() << "ran on";
  };
  const auto outer = [&]() -> Task<> { co_await take(); };
  for (const bool begun : {false, true}) {
    executor_->spawn(outer());
    if (begun) {
      EXPECT_EQ(executor_->run(Deadline::after(milliseconds(2))), Status::kTimedOut);
    }
    executor_ = make_executor();
    EXPECT_EQ(destroyed, begun);
  }
  send(sender, "message");
  EXPECT_EQ(receive(receiver), "message");
}

TEST_P(AsyncTest, ATaskThatIsDestroyedLeavesTheSet) {
  auto [sender, receiver] = open();
  const auto take = [&, &receiver = receiver]() -> Task<> {
    static_cast<void>(co_await async_next(receiver));
    ADD_FAILURE() << "ran on";
  };
  const auto take_again = [&, &receiver = receiver]() -> Task<> {
    auto message = co_await async_next(receiver);
    EXPECT_EQ(message->text(), "message");
  };
  for (const bool ready : {false, true}) {
    auto kept = std::make_unique<Task<>>(take());
    auto outer =
        std::make_unique<Task<>>([](Task<>& inner) -> Task<> { co_await std::move(inner); }(*kept));
    const auto whole = [](Task<>& inner) -> Task<> { co_await std::move(inner); };
    executor_->spawn(whole(*outer));
    EXPECT_EQ(executor_->run(Deadline::after(milliseconds(2))), Status::kTimedOut);
    // They belong to those that await them by now.
    outer.reset();
    kept.reset();
    // While it waits; and when there is something.
    if (ready) send(sender, "message");
    executor_ = make_executor();
    if (!ready) send(sender, "message");
    executor_->spawn(take_again());
    EXPECT_EQ(executor_->run(), Status::kOk);
    EXPECT_EQ(executor_->run(), Status::kOk);
  }
}

// Nothing of the parent's tasks is run in a child, also what had not begun.
TEST_P(AsyncTest, AForkedChildRunsNothing) {
  Shared<std::atomic<int>> runs;
  const auto count = [&]() -> Task<> {
    runs->fetch_add(1);
    co_return;
  };
  executor_->spawn(count());
  Child child([&] { return executor_->run() == Status::kForked ? 0 : 1; });
  EXPECT_EQ(child.join(), 0);
  EXPECT_EQ(runs->load(), 0);
  EXPECT_EQ(executor_->run(), Status::kOk);
  EXPECT_EQ(runs->load(), 1);
}

TEST_P(AsyncTest, AHandleIsAwaitedByOneTaskAtATime) {
  auto [sender, receiver] = open();
  int refused = 0;
  int taken = 0;
  const auto take = [&, &receiver = receiver]() -> Task<> {
    auto message = co_await async_next(receiver);
    (message.status() == Status::kIoError ? refused : taken) += 1;
  };
  executor_->spawn(take());
  executor_->spawn(take());
  EXPECT_EQ(executor_->run(Deadline::after(milliseconds(2))), Status::kTimedOut);
  EXPECT_EQ(refused, 1);
  send(sender, "for the first");
  EXPECT_EQ(executor_->run(), Status::kOk);
  EXPECT_EQ(taken, 1);
}

TEST_P(AsyncTest, OfTwoThatAreToldOfOneMessageOneGoesOn) {
  if (!GetParam().slots || !GetParam().processes) GTEST_SKIP() << "each has messages of its own";
  const std::string name = url();
  auto sender = Sender::open(name + "?" + options_of(GetParam(), 4096));
  ASSERT_TRUE(sender) << sender.error().message;
  auto one = Receiver::open(name);
  auto other = Receiver::open(name);
  ASSERT_TRUE(one && other);
  std::vector<Status> heard;
  const auto take = [&](Receiver& receiver) -> Task<> {
    for (Status status = Status::kOk; status == Status::kOk;) {
      const auto message = co_await async_next(receiver);
      heard.push_back(status = message.status());
      if (status == Status::kOk) executor_->interrupt();
    }
  };
  executor_->spawn(take(*one));
  executor_->spawn(take(*other));
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(executor_->run(Deadline::after(milliseconds(1))), Status::kTimedOut);
    send(*sender, "for one of them");
    EXPECT_EQ(executor_->run(), Status::kInterrupted);
  }
  EXPECT_EQ(heard, std::vector<Status>(20, Status::kOk));
  sender->close();
  EXPECT_EQ(executor_->run(), Status::kOk);
  EXPECT_EQ(heard.size(), 22u);
  EXPECT_EQ(heard.back(), Status::kEnded);
}

TEST_P(AsyncTest, AForkedChildIsTold) {
  auto [sender, receiver] = open();
  std::string text;
  const auto take = [&, &receiver = receiver]() -> Task<> {
    auto message = co_await async_next(receiver);
    if (message) text = message->text();
  };
  executor_->spawn(take());
  EXPECT_EQ(executor_->run(Deadline::after(milliseconds(2))), Status::kTimedOut);
  Child child([&] { return executor_->run() == Status::kForked ? 0 : 1; });
  EXPECT_EQ(child.join(), 0);
  send(sender, "for the parent");
  EXPECT_EQ(executor_->run(), Status::kOk);
  EXPECT_EQ(text, "for the parent");
}

// ---- tasks alone ----

class TaskTest : public Watchdog {
 protected:
  std::unique_ptr<Executor> executor_ = make_executor();
};

Task<int> number(int value) { co_return value; }
Task<std::unique_ptr<int>> slow_number(int value) {
  co_await async_yield();
  co_return std::make_unique<int>(value);
}

TEST_F(TaskTest, TasksHaveResults) {
  int sum = 0;
  const auto add = [&]() -> Task<> {
    sum += co_await number(1);
    sum += *co_await slow_number(2);
  };
  executor_->spawn(add());
  EXPECT_EQ(sum, 0);
  EXPECT_EQ(executor_->run(), Status::kOk);
  EXPECT_EQ(sum, 3);
  EXPECT_EQ(executor_->run(), Status::kOk);
}

Task<int> throwing(bool slowly) {
  if (slowly) co_await async_yield();
  throw std::runtime_error("thrown");
}

TEST_F(TaskTest, WhatTheyThrowComesOut) {
  int caught = 0;
  bool other = false;
  const auto outer = [&]() -> Task<> {
    for (const bool slowly : {false, true}) {
      try {
        static_cast<void>(co_await throwing(slowly));
      } catch (const std::runtime_error&) {
        ++caught;
      }
    }
    static_cast<void>(co_await throwing(true));
  };
  const auto lasting = [&]() -> Task<> {
    for (int i = 0; i < 100; ++i) co_await async_yield();
    other = true;
  };
  executor_->spawn(outer());
  executor_->spawn(lasting());
  EXPECT_THROW(executor_->run(), std::runtime_error);
  EXPECT_EQ(caught, 2);
  EXPECT_EQ(executor_->run(), Status::kOk);
  EXPECT_TRUE(other);
}

TEST_F(TaskTest, TasksThatDoNotSleepNeedNoStack) {
  std::uint64_t sum = 0;
  const auto add = [&]() -> Task<> {
    for (int i = 0; i < 300'000; ++i) sum += static_cast<std::uint64_t>(co_await number(1));
  };
  executor_->spawn(add());
  EXPECT_EQ(executor_->run(), Status::kOk);
  EXPECT_EQ(sum, 300'000u);
}

TEST_F(TaskTest, WhoYieldsGoesBehindTheOthers) {
  std::string order;
  const auto write = [&](char name) -> Task<> {
    for (int i = 0; i < 3; ++i) {
      order += name;
      co_await async_yield();
    }
  };
  for (const char name : {'a', 'b', 'c'}) executor_->spawn(write(name));
  EXPECT_EQ(executor_->run(), Status::kOk);
  EXPECT_EQ(order, "abcabcabc");
}

TEST_F(TaskTest, SleepersWakeInTheOrderOfTheirTimes) {
  std::vector<int> order;
  const Deadline start = Deadline::after(milliseconds(1));
  std::stop_source source;
  const auto sleep = [&](int time) -> Task<> {
    const Deadline deadline = Deadline::at(start.time() + milliseconds(time));
    EXPECT_EQ(co_await async_sleep(deadline), Status::kOk);
    EXPECT_TRUE(deadline.passed());
    order.push_back(time);
  };
  const auto stopped = [&]() -> Task<> {
    EXPECT_EQ(co_await async_sleep(Deadline::never(), source.get_token()), Status::kInterrupted);
  };
  const auto stopping = [&]() -> Task<> {
    co_await sleep(50);
    source.request_stop();
  };
  executor_->spawn(stopped());
  executor_->spawn(stopping());
  for (const int time : {30, 10, 20}) executor_->spawn(sleep(time));
  EXPECT_EQ(executor_->run(), Status::kOk);
  EXPECT_EQ(order.back(), 50);
  EXPECT_EQ(order.size(), 4u);
}

TEST_F(TaskTest, RunEndsAtItsDeadlineOrWhenInterrupted) {
  std::atomic<bool> stop{false};
  executor_ = make_executor(WaitMode::kPark, &stop);
  const auto forever = []() -> Task<> { co_await async_sleep(Deadline::never()); };
  const auto busy = []() -> Task<> {
    for (;;) co_await async_yield();
  };
  executor_->spawn(forever());
  for (const bool with_busy : {false, true}) {
    if (with_busy) executor_->spawn(busy());
    EXPECT_FALSE(executor_->idle());
    EXPECT_EQ(executor_->run(Deadline::now()), Status::kWouldBlock);
    const Deadline deadline = Deadline::after(milliseconds(5));
    EXPECT_EQ(executor_->run(deadline), Status::kTimedOut);
    EXPECT_TRUE(deadline.passed());
    for (int round = 0; round < 100; ++round) {
      std::thread interrupting([&] { executor_->interrupt(); });
      EXPECT_EQ(executor_->run(), Status::kInterrupted);
      interrupting.join();
    }
    executor_->interrupt();
    EXPECT_EQ(executor_->run(), Status::kInterrupted);
  }
  stop = true;
  EXPECT_EQ(executor_->run(), Status::kInterrupted);
}

TEST_F(TaskTest, ATaskMaySpawnOthers) {
  int ran = 0;
  std::function<Task<>(int)> spawn = [&](int depth) -> Task<> {
    ++ran;
    if (depth > 0) {
      for (int i = 0; i < 2; ++i) executor_->spawn(spawn(depth - 1));
    }
    co_return;
  };
  executor_->spawn(spawn(6));
  EXPECT_EQ(executor_->run(), Status::kOk);
  EXPECT_EQ(ran, 127);
  EXPECT_TRUE(executor_->idle());
}

}  // namespace
}  // namespace rondo::testing
