// What rondo/asio.hpp promises of newer Asios than Debian's Boost has, with the one that comes
// without Boost: cancellation slots, and the tokens that stand on them. Each line has a test of the
// same name, in this order.
//   1. EachKindOfCancellationEndsIt
//   2. ASlotCancelsBeforeTheLook
//   3. WhoComesFirstOfAMessageAndATimer
//   4. DeferredBeginsWhenItIsCalled
//   5. ErrorsAreThoseOfTheStandardLibrary
#define RONDO_STANDALONE_ASIO

#include <gtest/gtest.h>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/experimental/as_tuple.hpp>
#include <asio/experimental/awaitable_operators.hpp>
#include <asio/experimental/deferred.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <rondo/asio.hpp>
#include <string>
#include <system_error>
#include <variant>

#include "conformance/channel_fixture.hpp"

namespace rondo::testing {
namespace {

namespace net = ::asio;
using std::chrono::milliseconds;

class AsioCancellationTest : public ChannelTest {
 protected:
  void run() {
    io_.restart();
    io_.run();
  }
  void settle() {
    io_.restart();
    while (io_.poll() != 0) {
    }
  }

  net::io_context io_;
};

INSTANTIATE_TEST_SUITE_P(Every, AsioCancellationTest, ::testing::ValuesIn(kChannelCases),
                         [](const auto& channel) { return std::string(channel.param.name); });

TEST_P(AsioCancellationTest, EachKindOfCancellationEndsIt) {
  auto [sender, receiver] = open();
  asio::Receiver in(io_, std::move(receiver));
  for (const auto kind : {net::cancellation_type::terminal, net::cancellation_type::partial,
                          net::cancellation_type::total}) {
    net::cancellation_signal signal;
    std::error_code error;
    in.async_next(net::bind_cancellation_slot(
        signal.slot(), [&](std::error_code code, const Message&) { error = code; }));
    settle();
    EXPECT_FALSE(error) << error.message();
    signal.emit(kind);
    run();
    EXPECT_EQ(error, net::error::operation_aborted) << error.message();
  }
  // Nothing is left of it.
  std::string text;
  in.async_next([&](std::error_code, const Message& message) { text = message.text(); });
  settle();
  ASSERT_EQ(sender.send("message"), Status::kOk);
  run();
  EXPECT_EQ(text, "message");
}

TEST_P(AsioCancellationTest, ASlotCancelsBeforeTheLook) {
  auto [sender, receiver] = open();
  asio::Receiver in(io_, std::move(receiver));
  ASSERT_EQ(sender.send("stays"), Status::kOk);
  net::cancellation_signal signal;
  std::error_code error;
  in.async_next(net::bind_cancellation_slot(
      signal.slot(), [&](std::error_code code, const Message&) { error = code; }));
  signal.emit(net::cancellation_type::total);
  run();
  EXPECT_EQ(error, net::error::operation_aborted) << error.message();
  const auto message = in.handle().try_next();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->text(), "stays");
}

TEST_P(AsioCancellationTest, WhoComesFirstOfAMessageAndATimer) {
  using net::experimental::awaitable_operators::operator||;
  auto [sender, receiver] = open();
  asio::Receiver in(io_, std::move(receiver));
  std::size_t first = 9;
  std::string text;
  const auto either = [&](milliseconds time) -> net::awaitable<void> {
    net::steady_timer timer(io_, time);
    auto result =
        co_await (timer.async_wait(net::use_awaitable) || in.async_next(net::use_awaitable));
    first = result.index();
    if (first == 1) text = std::get<1>(result).text();
  };
  net::co_spawn(io_, either(milliseconds(5)), net::detached);
  run();
  EXPECT_EQ(first, 0u);
  net::co_spawn(io_, either(std::chrono::hours(1)), net::detached);
  settle();
  ASSERT_EQ(sender.send("message"), Status::kOk);
  run();
  EXPECT_EQ(first, 1u);
  EXPECT_EQ(text, "message");
}

TEST_P(AsioCancellationTest, DeferredBeginsWhenItIsCalled) {
  auto [sender, receiver] = open();
  asio::Receiver in(io_, std::move(receiver));
  asio::Sender out(io_, std::move(sender));
  auto next = in.async_next(net::experimental::deferred);
  auto claim = out.async_claim(5, net::experimental::deferred);
  run();  // nothing is pending
  std::string text;
  std::move(claim)([](std::error_code error, Claim room) {
    ASSERT_FALSE(error) << error.message();
    std::ranges::copy(bytes_of("hello"), room.bytes().begin());
    std::move(room).commit();
  });
  std::move(next)([&](std::error_code, const Message& message) { text = message.text(); });
  run();
  EXPECT_EQ(text, "hello");
}

TEST_P(AsioCancellationTest, ErrorsAreThoseOfTheStandardLibrary) {
  auto [sender, receiver] = open();
  sender.close();
  asio::Receiver in(io_, std::move(receiver));
  std::error_code end;
  net::co_spawn(
      io_,
      [&]() -> net::awaitable<void> {
        auto [error, message] =
            co_await in.async_next(net::experimental::as_tuple(net::use_awaitable));
        end = error;
      },
      net::detached);
  run();
  EXPECT_EQ(end, Status::kEnded) << end.message();
  EXPECT_EQ(make_error_code(Status::kPeerDied), std::errc::broken_pipe);
  EXPECT_EQ(make_error_code(Status::kTimedOut), std::errc::timed_out);
  EXPECT_NE(make_error_code(Status::kEnded), std::errc::broken_pipe);
}

}  // namespace
}  // namespace rondo::testing
