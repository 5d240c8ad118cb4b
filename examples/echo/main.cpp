// An echo server for any number of connections, in one thread: what comes on one goes back on it.
//
//   echo tcp://:7000                  (or unix:/tmp/echo, unix:@echo)
//   echo 'tcp://:7000?framing=lines'  and in another terminal:  nc localhost 7000
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <rondo/async.hpp>
#include <rondo/rondo.hpp>

namespace {

rondo::Task<> echo(std::unique_ptr<rondo::Connection> peer) {
  for (;;) {
    auto message = co_await rondo::async_next(peer->receiver);
    if (!message) break;
    auto claim = co_await rondo::async_claim(peer->sender, message->size());
    if (!claim) co_return;
    std::ranges::copy(message->bytes(), claim->bytes().begin());
    std::move(*claim).commit();
  }
  // What goes out of scope waits for nobody: so one that reads slowly is given its time before.
  const auto limit = rondo::Deadline::after(std::chrono::seconds(5));
  while (peer->sender.flush(rondo::Deadline::now()) == rondo::Status::kWouldBlock &&
         !limit.passed()) {
    co_await rondo::async_sleep(rondo::Deadline::after(std::chrono::milliseconds(10)));
  }
}

rondo::Task<> serve(rondo::Executor& executor, rondo::Listener& listener) {
  for (;;) {
    auto peer = co_await rondo::async_accept(listener);
    if (peer.status() == rondo::Status::kNoMemory) continue;  // for this one; the next one may come
    if (!peer) co_return;
    executor.spawn(echo(*std::move(peer)));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return std::fputs("usage: echo URL\n", stderr), 2;
  auto listener = rondo::Listener::open(argv[1], {.idle = std::chrono::minutes(10)});
  if (!listener) return std::fprintf(stderr, "%s\n", listener.error().message.c_str()), 1;
  std::printf("%s\n", listener->info().name.c_str());  // with the port, should it have been 0
  std::fflush(stdout);
  auto executor = rondo::Executor::make();
  if (!executor) return std::fprintf(stderr, "%s\n", executor.error().message.c_str()), 1;
  (*executor)->spawn(serve(**executor, *listener));
  return (*executor)->run() == rondo::Status::kOk ? 0 : 1;
}
