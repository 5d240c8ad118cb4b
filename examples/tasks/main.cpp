// Coroutines over channels, in one thread: prints what comes on any of the channels that are named,
// until all of them have ended, or Ctrl-C; and a dot when one has said nothing for a second.
//
//   tasks shm:ticks shm:orders    and in another terminal:  echo hi | rondo send shm:ticks
#include <chrono>
#include <csignal>
#include <cstdio>
#include <list>
#include <rondo/async.hpp>
#include <rondo/rondo.hpp>

namespace {

rondo::Executor* running = nullptr;

rondo::Task<> print(rondo::Receiver& receiver, const char* name) {
  for (;;) {
    auto message =
        co_await rondo::async_next(receiver, rondo::Deadline::after(std::chrono::seconds(1)));
    if (message) {
      std::printf("%s: %.*s\n", name, static_cast<int>(message->size()), message->text().data());
    } else if (message.status() == rondo::Status::kTimedOut) {
      std::fputs(".", stderr);
    } else {
      std::printf("%s: %s\n", name, to_string(message.status()).data());
      co_return;
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  auto executor = rondo::Executor::make();
  if (!executor) return std::fprintf(stderr, "%s\n", executor.error().message.c_str()), 1;
  std::list<rondo::Receiver> receivers;  // where a handle stays in its place
  for (int i = 1; i < argc; ++i) {
    auto receiver = rondo::Receiver::open(argv[i]);
    if (!receiver) return std::fprintf(stderr, "%s\n", receiver.error().message.c_str()), 1;
    receivers.push_back(std::move(*receiver));
    (*executor)->spawn(print(receivers.back(), argv[i]));
  }
  running = executor->get();
  std::signal(SIGINT, [](int) { running->interrupt(); });
  const rondo::Status end = (*executor)->run();
  std::signal(SIGINT, SIG_DFL);
  executor->reset();  // its tasks first, whose handles are ours
  return end == rondo::Status::kOk ? 0 : 1;
}
