// Boost.Asio's coroutines over channels: passes what comes on one channel on to another, and says
// each second how much that was.
//
//   asio shm:ticks shm:copies     and in other terminals:  rondo recv shm:copies
//                                                          echo hi | rondo send shm:ticks
#include <utility>  // Boost 1.74's awaitable.hpp needs it, and does not include it

#include <algorithm>
#include <boost/asio.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <rondo/asio.hpp>
#include <rondo/rondo.hpp>

namespace asio = boost::asio;

asio::awaitable<void> pass_on(rondo::asio::Receiver& in, rondo::asio::Sender& out,
                              std::uint64_t& messages, asio::steady_timer& timer) {
  try {
    for (;;) {
      const rondo::Message message = co_await in.async_next(asio::use_awaitable);
      rondo::Claim claim = co_await out.async_claim(message.size(), asio::use_awaitable);
      std::ranges::copy(message.bytes(), claim.bytes().begin());
      std::move(claim).commit();
      ++messages;
    }
  } catch (const boost::system::system_error& error) {
    if (error.code() == rondo::Status::kEnded) {
      out.handle().close();  // an end in order, on this side too
    } else {
      std::fprintf(stderr, "%s\n", error.what());
      out.handle().break_off();
    }
  }
  timer.cancel();
}

asio::awaitable<void> report(const std::uint64_t& messages, asio::steady_timer& timer) {
  boost::system::error_code cancelled;
  while (!cancelled) {
    timer.expires_after(std::chrono::seconds(1));
    co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, cancelled));
    std::printf("%llu messages\n", static_cast<unsigned long long>(messages));
  }
}

int main(int argc, char** argv) {
  auto sender = rondo::Sender::open(argc > 2 ? argv[2] : "shm:copies");
  if (!sender) return std::fprintf(stderr, "%s\n", sender.error().message.c_str()), 1;
  auto receiver = rondo::Receiver::open(argc > 1 ? argv[1] : "shm:ticks");
  if (!receiver) return std::fprintf(stderr, "%s\n", receiver.error().message.c_str()), 1;

  asio::io_context io;
  rondo::asio::Receiver in(io, std::move(*receiver));
  rondo::asio::Sender out(io, std::move(*sender));
  asio::steady_timer timer(io);
  std::uint64_t messages = 0;
  asio::co_spawn(io, pass_on(in, out, messages, timer), asio::detached);
  asio::co_spawn(io, report(messages, timer), asio::detached);
  io.run();
}
