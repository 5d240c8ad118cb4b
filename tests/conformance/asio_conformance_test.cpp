// What rondo/asio.hpp promises, on every transport. Each line has a test of the same name, in this
// order.
//   1. CallbacksGetEveryMessageInOrder
//   2. CoroutinesRelayFromOneChannelToAnother
//   3. AFutureHasTheMessage
//   4. NoHandlerRunsInsideTheCallThatBegins
//   5. AMessageThatIsThereCostsNoMemory
//   6. TheEndOfTheStreamIsAnError
//   7. ADeadSenderIsAnError
//   8. ADeadReceiverIsAnError
//   9. ACancelledOperationTakesNothing
//  10. ACancelOfAnotherThreadIsNeverLost
//  11. ACancelBetweenTheLookAndTheWaitIsMet
//  12. ADeadlineEndsIt
//  13. AMessageBeforeTheDeadlineLeavesNothingBehind
//  14. ASecondOperationIsRefused
//  15. AnObjectMayGoBeforeItsOperation
//  16. AnObjectMayOutliveItsContext
//  17. AHandleGoesInAndOut
//  18. HandlersRunOnTheirExecutorWithTheirAllocator
//  19. ManyThreadsMayRunTheContext
//  20. AMessageThatDoesNotFitIsAnError
//  21. ADescriptorThatCantBeMadeIsAnError
//  22. AStrangerWithTheHandlesOldNumberIsLeftAlone
//  23. AnotherHandleMayTakeItsPlace
//  24. AForkedChildIsTold
//  25. AForkedChildDoesNotEndTheParentsWait
//  26. AHandleIsNotTakenOutDuringALook
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/use_future.hpp>
#include <cstdlib>
#include <functional>
#include <new>
#include <optional>
#include <rondo/asio.hpp>
#include <string>
#include <thread>
#include <vector>

#include "conformance/channel_fixture.hpp"
#include "support/event_loop.hpp"
#include "support/processes.hpp"
#include "support/sanitizers.hpp"

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

namespace net = boost::asio;
using boost::system::error_code;
using std::chrono::milliseconds;
using std::chrono::seconds;

// As many as a queue does not hold if they come one by one.
void send_at_once(rondo::Sender& sender, int count) {
  rondo::Sender::Batch batch(sender);
  for (int i = 0; i < count; ++i) ASSERT_EQ(batch.try_add(bytes_of("m")), Status::kOk);
  ASSERT_EQ(std::move(batch).commit(), Status::kOk);
}

class AsioTest : public ChannelTest {
 protected:
  // Runs what there is, to its end.
  void run() {
    io_.restart();
    io_.run();
  }
  // Runs until nothing is ready.
  void settle() {
    io_.restart();
    while (io_.poll() != 0) {
    }
  }

  net::io_context io_;
};

INSTANTIATE_TEST_SUITE_P(Every, AsioTest, ::testing::ValuesIn(kChannelCases),
                         [](const auto& channel) { return std::string(channel.param.name); });

void send(Sender& sender, const std::string& text) {
  ASSERT_EQ(sender.send(bytes_of(text)), Status::kOk);
}

// What is unread would keep the channel's name.
void drain(asio::Sender& out, asio::Receiver& in) {
  while (in.handle().try_next()) static_cast<void>(out.handle().flush(Deadline::now()));
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

TEST_P(AsioTest, CallbacksGetEveryMessageInOrder) {
  constexpr std::uint64_t kMessages = 2'000;
  auto [sender, receiver] = open();
  asio::Receiver messages(io_, std::move(receiver));
  std::thread sending([&sender = sender] { send_numbered(sender, kMessages); });
  std::uint64_t received = 0;
  error_code last;
  std::function<void(error_code, Message)> take = [&](error_code error, const Message& message) {
    last = error;
    if (error) return;
    EXPECT_EQ(message.text(), numbered_message(received, 40));
    ++received;
    messages.async_next(std::ref(take));  // looks when this one has been given back
  };
  messages.async_next(std::ref(take));
  run();
  sending.join();
  EXPECT_EQ(received, kMessages);
  EXPECT_EQ(last, Status::kEnded) << last.message();
}

net::awaitable<void> relay(asio::Receiver& in, asio::Sender& out, error_code& end) {
  try {
    for (;;) {
      const Message message = co_await in.async_next(net::use_awaitable);
      Claim claim = co_await out.async_claim(message.size(), net::use_awaitable);
      std::ranges::copy(message.bytes(), claim.bytes().begin());
      std::move(claim).commit();
    }
  } catch (const boost::system::system_error& error) {
    end = error.code();
    out.handle().close();
  }
}

TEST_P(AsioTest, CoroutinesRelayFromOneChannelToAnother) {
  constexpr std::uint64_t kMessages = 2'000;
  auto [sender, receiver] = open();
  auto [second_sender, second_receiver] = open();
  asio::Receiver in(io_, std::move(receiver));
  asio::Sender out(io_, std::move(second_sender));
  error_code end;
  net::co_spawn(io_, relay(in, out, end), net::detached);
  std::thread sending([&sender = sender] { send_numbered(sender, kMessages); });
  std::thread receiving([&receiver = second_receiver] {
    for (std::uint64_t i = 0; i < kMessages; ++i) {
      ASSERT_EQ(receive(receiver), numbered_message(i, 40));
      if (i % 512 == 0) usleep(2'000);  // the channel fills up meanwhile
    }
    EXPECT_EQ(receive(receiver), kEndOfStreamText);
  });
  run();
  sending.join();
  receiving.join();
  EXPECT_EQ(end, Status::kEnded) << end.message();
}

TEST_P(AsioTest, AFutureHasTheMessage) {
  auto [sender, receiver] = open();
  asio::Receiver in(io_, std::move(receiver));
  asio::Sender out(io_, std::move(sender));
  auto message = in.async_next(net::use_future);
  auto claim = out.async_claim(5, net::use_future);
  std::thread running([this] { run(); });
  {
    Claim room = claim.get();
    std::ranges::copy(bytes_of("hello"), room.bytes().begin());
    std::move(room).commit();
  }
  EXPECT_EQ(message.get().text(), "hello");
  running.join();
  auto none = async_next(in, Deadline::now(), net::use_future);
  run();
  EXPECT_THROW(none.get(), boost::system::system_error);
}

TEST_P(AsioTest, NoHandlerRunsInsideTheCallThatBegins) {
  auto [sender, receiver] = open("", {}, 1 << 20);
  asio::Receiver in(io_, std::move(receiver));
  // Nor one within another, however many are there.
  constexpr int kMessages = 150;
  send_at_once(sender, kMessages);
  int depth = 0;
  int received = 0;
  std::function<void(error_code, Message)> take = [&](error_code error, Message message) {
    EXPECT_EQ(++depth, 1);
    EXPECT_FALSE(error) << error.message();
    { const Message given_back = std::move(message); }
    if (++received < kMessages) in.async_next(std::ref(take));
    --depth;
  };
  in.async_next(std::ref(take));
  EXPECT_EQ(received, 0);
  run();
  EXPECT_EQ(received, kMessages);
}

TEST_P(AsioTest, AMessageThatIsThereCostsNoMemory) {
  auto [sender, receiver] = open("", {}, 1 << 20);
  asio::Receiver in(io_, std::move(receiver));
  send_at_once(sender, 150);
  struct Take {
    asio::Receiver* in;
    int* left;
    void operator()(error_code error, Message message) const {
      EXPECT_FALSE(error) << error.message();
      { const Message given_back = std::move(message); }
      if (--*left > 0) in->async_next(*this);
    }
  };
  int left = 50;  // Asio keeps the memory of the first ones
  in.async_next(Take{&in, &left});
  std::uint64_t before = 0;
  net::post(io_, [&] { before = allocations; });
  run();
  left = 100;
  in.async_next(Take{&in, &left});
  io_.restart();
  before = allocations;
  io_.run_one();  // a thread begins to run: what it keeps is its own
  const std::uint64_t first = allocations - before;
  before = allocations;
  io_.run();
  EXPECT_EQ(left, 0);
  EXPECT_LE(first, 2u);
  EXPECT_LE(allocations - before, 2u) << "for 100 messages";
}

TEST_P(AsioTest, TheEndOfTheStreamIsAnError) {
  for (const bool waiting : {false, true}) {
    auto [sender, receiver] = open();
    asio::Receiver in(io_, std::move(receiver));
    error_code error;
    std::size_t size = 1;
    const auto begin = [&] {
      in.async_next([&](error_code code, const Message& message) {
        error = code;
        size = message.size();
      });
    };
    if (waiting) {
      begin();
      settle();
    }
    sender.close();
    if (!waiting) begin();
    run();
    EXPECT_EQ(error, Status::kEnded) << error.message();
    EXPECT_EQ(error.message(), to_string(Status::kEnded));
    EXPECT_EQ(size, 0u);
    begin();
    run();
    EXPECT_EQ(error, Status::kEnded) << error.message();
  }
}

class AsioOfTheBereaved : public AsioTest {
 protected:
  AsioOfTheBereaved() : url_(url()) {}
  // What the dead made.
  ~AsioOfTheBereaved() override { remove_what_the_dead_left(url_); }

  std::string url_;
};

INSTANTIATE_TEST_SUITE_P(Every, AsioOfTheBereaved, ::testing::ValuesIn(kChannelCases),
                         [](const auto& channel) { return std::string(channel.param.name); });

TEST_P(AsioOfTheBereaved, ADeadSenderIsAnError) {
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
  asio::Receiver in(io_, std::move(*receiver));
  std::vector<std::string> heard;
  std::function<void(error_code, Message)> take = [&](error_code error, Message message) {
    heard.push_back(error ? error.message() : std::string(message.text()));
    { const Message given_back = std::move(message); }
    if (error) return;
    in.async_next(std::ref(take));
    child.signal(SIGKILL);
  };
  in.async_next(std::ref(take));
  run();
  EXPECT_EQ(heard,
            (std::vector<std::string>{"last words", std::string(to_string(Status::kPeerDied))}));
}

TEST_P(AsioOfTheBereaved, ADeadReceiverIsAnError) {
  if (!GetParam().processes) GTEST_SKIP() << "both ends are in one process";
  Child child([&] {
    auto receiver = Receiver::open(url_ + "?" + options_of(GetParam(), 4096));
    if (!receiver || !receiver->next()) return 1;
    for (;;) pause();
    return 0;
  });
  auto sender = Sender::open(url_ + "?" + options_of(GetParam(), 4096));
  ASSERT_TRUE(sender) << sender.error().message;
  ASSERT_EQ(sender->wait_for_receiver(), Status::kOk);
  asio::Sender out(io_, std::move(*sender));
  while (out.handle().try_send(std::string(300, 'x')) == Status::kOk) {
  }
  error_code end;
  std::function<void(error_code, Claim)> put = [&](error_code error, Claim claim) {
    end = error;
    if (error) return;
    std::move(claim).commit();
    out.async_claim(300, std::ref(put));
  };
  out.async_claim(300, std::ref(put));
  net::post(io_, [&] { child.signal(SIGKILL); });
  run();
  // A stream's end does not tell how; either way it is a broken pipe.
  EXPECT_EQ(end, boost::system::errc::broken_pipe) << end.message();
}

TEST_P(AsioTest, ACancelledOperationTakesNothing) {
  auto [sender, receiver] = open();
  asio::Receiver in(io_, std::move(receiver));
  error_code error;
  const auto begin = [&] {
    error = {};
    in.async_next([&](error_code code, const Message&) { error = code; });
  };
  in.cancel();  // nothing is pending: no harm
  for (int round = 0; round < 3; ++round) {
    // Before it looks,
    begin();
    in.cancel();
    run();
    EXPECT_EQ(error, net::error::operation_aborted) << error.message();
    // while it waits, from another thread,
    begin();
    settle();
    EXPECT_FALSE(error) << error.message();
    std::thread([&] { in.cancel(); }).join();
    run();
    EXPECT_EQ(error, net::error::operation_aborted) << error.message();
    // and beside a message, which stays.
    send(sender, "stays");
    begin();
    in.cancel();
    run();
    EXPECT_EQ(error, net::error::operation_aborted) << error.message();
    begin();
    run();
    EXPECT_FALSE(error) << error.message();
  }
  asio::Sender out(io_, std::move(sender));
  fill_up(out.handle(), 500);
  out.async_claim(500, [&](error_code code, const Claim&) { error = code; });
  settle();
  out.cancel();
  run();
  EXPECT_EQ(error, net::error::operation_aborted) << error.message();
  drain(out, in);
}

// Whether it comes before the look, between that and the wait, or behind both.
TEST_P(AsioTest, ACancelOfAnotherThreadIsNeverLost) {
  constexpr int kRounds = 500;
  auto [sender, receiver] = open();
  asio::Receiver in(io_, std::move(receiver));
  std::atomic<int> begun{0};
  std::thread cancelling([&] {
    std::mt19937_64 random(11);
    for (int round = 1; round <= kRounds; ++round) {
      while (begun.load() < round) std::this_thread::yield();
      for (std::uint64_t left = random() % 20'000; left > 0; --left) cpu_relax();
      in.cancel();
    }
  });
  for (int round = 1; round <= kRounds; ++round) {
    error_code error;
    in.async_next([&](error_code code, const Message&) { error = code; });
    begun.store(round);
    run();
    ASSERT_EQ(error, net::error::operation_aborted) << error.message();
  }
  cancelling.join();
}

// A look during which something happens.
struct Disturbed : asio::BasicEnd<Receiver, net::any_io_executor> {
  using BasicEnd::BasicEnd;
  template <class Token>
  auto async_next(std::function<void()> disturb, Token&& token) {
    return async_look<Message>(
        [disturb](Receiver& receiver) {
          auto found = receiver.next(Deadline::now());
          disturb();
          return found;
        },
        Deadline::never(), token);
  }
};

TEST_P(AsioTest, ACancelBetweenTheLookAndTheWaitIsMet) {
  auto [sender, receiver] = open();
  Disturbed in(io_, std::move(receiver));
  for (int round = 0; round < 2; ++round) {
    error_code error;
    in.async_next([&] { in.cancel(); }, [&](error_code code, const Message&) { error = code; });
    run();
    EXPECT_EQ(error, net::error::operation_aborted) << error.message();
  }
}

TEST_P(AsioTest, ADeadlineEndsIt) {
  auto [sender, receiver] = open();
  asio::Receiver in(io_, std::move(receiver));
  asio::Sender out(io_, std::move(sender));
  for (int round = 0; round < 3; ++round) {
    error_code error;
    const Deadline deadline = Deadline::after(milliseconds(10));
    in.async_next(deadline, [&](error_code code, const Message&) { error = code; });
    run();
    EXPECT_EQ(error, Status::kTimedOut) << error.message();
    EXPECT_EQ(error, boost::system::errc::timed_out);
    EXPECT_TRUE(deadline.passed());
  }
  fill_up(out.handle(), 500);
  error_code error;
  const Deadline deadline = Deadline::after(milliseconds(10));
  async_claim(out, 500, deadline, [&](error_code code, const Claim&) { error = code; });
  run();
  EXPECT_EQ(error, Status::kTimedOut) << error.message();
  EXPECT_TRUE(deadline.passed());
  in.async_next(Deadline::now(), [&](error_code code, const Message&) { error = code; });
  run();
  EXPECT_FALSE(error) << error.message();
  drain(out, in);
  in.async_next(Deadline::now(), [&](error_code code, const Message&) { error = code; });
  run();
  EXPECT_EQ(error, Status::kWouldBlock) << error.message();
}

TEST_P(AsioTest, AMessageBeforeTheDeadlineLeavesNothingBehind) {
  auto [sender, receiver] = open();
  asio::Receiver in(io_, std::move(receiver));
  Deadline soon;
  std::string text;
  // Longer, until it is long enough for this machine.
  for (milliseconds time(30); text.empty(); time *= 2) {
    bool done = false;
    soon = Deadline::after(time);
    in.async_next(soon, [&](error_code error, const Message& message) {
      done = true;
      if (!error) text = message.text();
    });
    settle();
    if (!done) send(sender, "in time");
    io_.restart();
    while (!done) io_.run_one();
  }
  EXPECT_EQ(text, "in time");
  // The deadline of the one does not end the next.
  error_code error;
  bool done = false;
  in.async_next([&](error_code code, const Message&) { error = code, done = true; });
  io_.restart();
  while (!soon.passed()) io_.run_for(milliseconds(10));
  io_.run_for(milliseconds(10));
  EXPECT_FALSE(done) << error.message();
  send(sender, "later");
  run();
  EXPECT_TRUE(done);
  EXPECT_FALSE(error) << error.message();
  // Nor keeps a far one the context at work.
  in.async_next(Deadline::after(seconds(3600)), [](error_code, const Message&) {});
  settle();
  send(sender, "last");
  run();
}

TEST_P(AsioTest, ASecondOperationIsRefused) {
  auto [sender, receiver] = open();
  asio::Receiver in(io_, std::move(receiver));
  std::string first;
  error_code second;
  in.async_next([&](error_code, const Message& message) { first = message.text(); });
  in.async_next([&](error_code error, const Message&) { second = error; });
  settle();
  EXPECT_EQ(second, net::error::already_started) << second.message();
  send(sender, "for the first");
  run();
  EXPECT_EQ(first, "for the first");
}

TEST_P(AsioTest, AnObjectMayGoBeforeItsOperation) {
  for (const bool waiting : {false, true}) {
    auto [sender, receiver] = open();
    error_code error;
    auto in = std::make_unique<asio::Receiver>(io_, std::move(receiver));
    in->async_next([&](error_code code, const Message&) { error = code; });
    if (waiting) settle();
    in.reset();
    run();
    EXPECT_EQ(error, net::error::operation_aborted) << error.message();
  }
  // From within its own handler, too.
  auto [sender, receiver] = open();
  send(sender, "last");
  auto in = std::make_unique<asio::Receiver>(io_, std::move(receiver));
  in->async_next([&](error_code, Message message) {
    { const Message given_back = std::move(message); }
    in.reset();
  });
  run();
  EXPECT_FALSE(in);
}

TEST_P(AsioTest, AnObjectMayOutliveItsContext) {
  for (const bool waiting : {false, true}) {
    auto [sender, receiver] = open();
    auto context = std::make_unique<net::io_context>();
    asio::Receiver in(*context, std::move(receiver));
    asio::Sender out(*context, std::move(sender));
    in.async_next([](error_code, const Message&) { FAIL() << "the context is gone"; });
    if (waiting) context->poll();
    context.reset();
    in.cancel();
    // Both handles are as before.
    Sender sends = out.release();
    Receiver receives = in.release();
    send(sends, "still here");
    EXPECT_EQ(receive(receives), "still here");
  }
  auto [sender, receiver] = open();
  auto context = std::make_unique<net::io_context>();
  asio::Receiver in(*context, std::move(receiver));
  in.async_next(Deadline::after(seconds(3600)), [](error_code, const Message&) {});
  context->poll();
  context.reset();
}

TEST_P(AsioTest, AHandleGoesInAndOut) {
  auto [sender, receiver] = open();
  int fd = -1;
  for (int round = 0; round < 3; ++round) {
    asio::Receiver in(io_, std::move(receiver));
    std::string text;
    in.async_next([&](error_code, const Message& message) { text = message.text(); });
    settle();
    const auto now = in.handle().fd();
    ASSERT_TRUE(now) << now.error().message;
    if (round > 0) {
      EXPECT_EQ(*now, fd);
    }
    fd = *now;
    // It may move meanwhile.
    asio::Receiver moved = std::move(in);
    send(sender, "message");
    run();
    EXPECT_EQ(text, "message");
    receiver = moved.release();
    EXPECT_GE(fcntl(fd, F_GETFD), 0) << "the descriptor is the handle's";
    EXPECT_FALSE(receiver.try_next());
    EXPECT_TRUE(quiet(fd, receiver));
    send(sender, "plain");
    EXPECT_TRUE(told(fd));
    EXPECT_EQ(receive(receiver), "plain");
  }
}

// Counts what it gives out.
template <class T>
struct Counting {
  using value_type = T;
  explicit Counting(int& of) : count(&of) {}
  template <class U>
  Counting(const Counting<U>& other) : count(other.count) {}
  T* allocate(std::size_t n) {
    ++*count;
    return std::allocator<T>().allocate(n);
  }
  void deallocate(T* memory, std::size_t n) { std::allocator<T>().deallocate(memory, n); }
  friend bool operator==(const Counting& a, const Counting& b) { return a.count == b.count; }
  int* count;
};

TEST_P(AsioTest, HandlersRunOnTheirExecutorWithTheirAllocator) {
  auto [sender, receiver] = open();
  asio::Receiver in(io_, std::move(receiver));
  net::io_context other;
  auto strand = net::make_strand(other);
  bool done = false;
  int count = 0;
  struct Handler {
    using executor_type = net::strand<net::io_context::executor_type>;
    using allocator_type = Counting<void>;
    [[nodiscard]] executor_type get_executor() const noexcept { return strand; }
    [[nodiscard]] allocator_type get_allocator() const noexcept { return allocator_type(*count); }
    void operator()(error_code error, const Message& message) const {
      EXPECT_FALSE(error) << error.message();
      EXPECT_EQ(message.text(), "message");
      EXPECT_TRUE(strand.running_in_this_thread());
      *done = true;
    }
    executor_type strand;
    bool* done;
    int* count;
  };
  in.async_next(Handler{strand, &done, &count});
  std::thread sending([&sender = sender] {
    usleep(2'000);
    send(sender, "message");
  });
  // Each context has its part of the work.
  while (!done) {
    io_.restart();
    io_.poll();
    other.restart();
    other.poll();
  }
  sending.join();
  EXPECT_GT(count, 0);
}

TEST_P(AsioTest, ManyThreadsMayRunTheContext) {
  constexpr std::uint64_t kMessages = 2'000;
  auto [sender, receiver] = open();
  asio::Receiver in(net::make_strand(io_), std::move(receiver));
  std::uint64_t received = 0;
  net::co_spawn(
      in.get_executor(),
      [&]() -> net::awaitable<void> {
        for (; received < kMessages; ++received) {
          const Message message = co_await in.async_next(net::use_awaitable);
          EXPECT_EQ(message.text(), numbered_message(received, 40));
        }
      },
      net::detached);
  std::vector<std::thread> threads;
  threads.emplace_back([&sender = sender] { send_numbered(sender, kMessages); });
  for (int i = 0; i < 3; ++i) threads.emplace_back([this] { io_.run(); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(received, kMessages);
}

TEST_P(AsioTest, AMessageThatDoesNotFitIsAnError) {
  auto [sender, receiver] = open();
  asio::Sender out(io_, std::move(sender));
  error_code error;
  out.async_claim(out.handle().max_message_bytes() + 1,
                  [&](error_code code, const Claim&) { error = code; });
  run();
  EXPECT_EQ(error, Status::kTooLarge) << error.message();
  EXPECT_EQ(error, boost::system::errc::message_size);
  out.async_claim(0, [&](error_code code, Claim claim) {
    error = code;
    std::move(claim).commit();
  });
  run();
  EXPECT_FALSE(error) << error.message();
  EXPECT_EQ(receive(receiver), "");
}

TEST_P(AsioTest, ADescriptorThatCantBeMadeIsAnError) {
  if (kAddressSanitizer) GTEST_SKIP() << kSanitizerNeedsIt;
  auto [sender, receiver] = open();
  asio::Receiver in(io_, std::move(receiver));
  settle();
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none{3, before.rlim_max};
  setrlimit(RLIMIT_NOFILE, &none);
  error_code error;
  in.async_next([&](error_code code, const Message&) { error = code; });
  run();
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(error, boost::system::errc::too_many_files_open) << error.message();
  send(sender, "later");
  in.async_next([&](error_code code, const Message&) { error = code; });
  run();
  EXPECT_FALSE(error) << error.message();
}

// The handle closes its descriptor while Asio watches it, and the number becomes another's.
TEST_P(AsioTest, AStrangerWithTheHandlesOldNumberIsLeftAlone) {
  auto [sender, receiver] = open();
  auto in = std::make_unique<asio::Receiver>(io_, std::move(receiver));
  in->async_next([](error_code, const Message&) {});
  settle();
  in->cancel();
  run();
  const auto number = in->handle().fd();
  ASSERT_TRUE(number) << number.error().message;
  in->handle().detach();
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  if (ends[1] == *number) std::swap(ends[0], ends[1]);
  if (ends[0] != *number) {
    ASSERT_EQ(fcntl(*number, F_GETFD), -1);
    ASSERT_EQ(dup2(ends[0], *number), *number);
    close(ends[0]);
  }
  net::posix::stream_descriptor stranger(io_, *number);
  bool done = false;
  stranger.async_wait(net::posix::stream_descriptor::wait_read,
                      [&](error_code error) { done = !error; });
  settle();
  in.reset();
  ASSERT_EQ(write(ends[1], "x", 1), 1);
  settle();
  EXPECT_TRUE(done);
  close(ends[1]);
}

TEST_P(AsioTest, AnotherHandleMayTakeItsPlace) {
  auto [sender, receiver] = open();
  asio::Receiver in(io_, std::move(receiver));
  in.async_next([](error_code, const Message&) {});
  settle();
  in.cancel();
  run();
  in.handle().detach();
  sender.close();
  auto [next_sender, next_receiver] = open();
  in.handle() = std::move(next_receiver);
  std::string text;
  error_code error;
  in.async_next([&](error_code code, const Message& message) {
    error = code;
    text = message.text();
  });
  settle();
  EXPECT_EQ(text, "") << error.message();
  send(next_sender, "of the other");
  const Deadline limit = Deadline::after(seconds(10));
  while (text.empty() && !limit.passed()) settle();
  EXPECT_EQ(text, "of the other") << error.message();
}

TEST_P(AsioTest, AForkedChildIsTold) {
  auto [sender, receiver] = open();
  asio::Receiver in(io_, std::move(receiver));
  error_code error;
  std::string text;
  in.async_next([&](error_code code, const Message& message) {
    error = code;
    text = message.text();
  });
  settle();
  io_.notify_fork(net::execution_context::fork_prepare);
  Child child([&] {
    io_.notify_fork(net::execution_context::fork_child);
    settle();
    return error == Status::kForked ? 0 : 1;
  });
  io_.notify_fork(net::execution_context::fork_parent);
  EXPECT_EQ(child.join(), 0);
  send(sender, "to the parent");
  run();
  EXPECT_EQ(text, "to the parent") << error.message();
}

// Its context is not told of the fork, and shares the parent's epoll.
TEST_P(AsioTest, AForkedChildDoesNotEndTheParentsWait) {
  auto [sender, receiver] = open();
  auto in = std::make_unique<asio::Receiver>(io_, std::move(receiver));
  bool done = false;
  in->async_next([&](error_code error, const Message&) { done = !error; });
  settle();
  Child child([&] {
    in.reset();
    return 0;
  });
  EXPECT_EQ(child.join(), 0);
  send(sender, "to the parent");
  const Deadline limit = Deadline::after(seconds(10));
  while (!done && !limit.passed()) settle();
  EXPECT_TRUE(done);
}

TEST_P(AsioTest, AHandleIsNotTakenOutDuringALook) {
  auto [sender, receiver] = open();
  Disturbed in(io_, std::move(receiver));
  std::atomic<bool> looking{false};
  std::atomic<bool> released{false};
  std::optional<Receiver> out;
  std::thread releasing([&] {
    while (!looking.load()) std::this_thread::yield();
    out = in.release();
    released.store(true);
  });
  error_code error;
  bool during = false;
  in.async_next(
      [&] {
        looking.store(true);
        // Long enough for one that does not wait for us to be seen.
        for (int i = 0; i < 20 && !released.load(); ++i) usleep(1'000);
        during = released.load();
      },
      [&](error_code code, const Message&) { error = code; });
  run();
  releasing.join();
  EXPECT_FALSE(during);
  EXPECT_EQ(error, net::error::operation_aborted) << error.message();
  send(sender, "still here");
  EXPECT_EQ(receive(*out), "still here");
}

}  // namespace
}  // namespace rondo::testing
