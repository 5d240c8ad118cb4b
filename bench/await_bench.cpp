// Questions about coroutines over channels (rondo/async.hpp), in one thread:
//
//   BM_TryNext      what do a try_send() and the try_next() of that message cost?
//   BM_Next         and a next() in its place?
//   BM_AwaitNext    and a co_await async_next(), which does not sleep, as the message is there?
//   BM_AwaitTurns   two tasks, each of which sleeps until the other one has sent: what does a
//                   message cost through the executor and its wait set?
//
// Not measured: processes, wakes by another one. Compare within one run. Run with the bench preset.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <utility>

#include "rondo/async.hpp"
#include "rondo/rondo.hpp"

namespace rondo::bench {
namespace {

std::pair<Sender, Receiver> open() {
  auto pair = open_pair("inproc:");
  if (!pair) std::abort();
  return std::move(pair).value();
}

void send(Sender& sender) {
  if (sender.try_send("message!") != Status::kOk) std::abort();
}

void run(Task<> task) {
  auto executor = Executor::make(WaitMode::kPause);
  if (!executor) std::abort();
  (*executor)->spawn(std::move(task));
  static_cast<void>((*executor)->run());
}

void BM_TryNext(benchmark::State& state) {
  auto [sender, receiver] = open();
  for (auto _ : state) {
    send(sender);
    const auto message = receiver.try_next();
    benchmark::DoNotOptimize(message->bytes().data());
  }
}
BENCHMARK(BM_TryNext);

void BM_Next(benchmark::State& state) {
  auto [sender, receiver] = open();
  for (auto _ : state) {
    send(sender);
    auto message = receiver.next();
    benchmark::DoNotOptimize(message->bytes().data());
  }
}
BENCHMARK(BM_Next);

Task<> await_next(benchmark::State& state, Sender& sender, Receiver& receiver) {
  for (auto _ : state) {
    send(sender);
    auto message = co_await async_next(receiver);
    benchmark::DoNotOptimize(message->bytes().data());
  }
}
void BM_AwaitNext(benchmark::State& state) {
  auto [sender, receiver] = open();
  run(await_next(state, sender, receiver));
}
BENCHMARK(BM_AwaitNext);

Task<> answer(Receiver& in, Sender& out) {
  while (auto message = co_await async_next(in)) send(out);
}
Task<> ask(benchmark::State& state, Sender& out, Receiver& in) {
  for (auto _ : state) {
    send(out);
    auto message = co_await async_next(in);
    benchmark::DoNotOptimize(message->bytes().data());
  }
  out.close();
  state.SetItemsProcessed(2 * state.iterations());
}
void BM_AwaitTurns(benchmark::State& state) {
  auto [there, far_end] = open();
  auto [back, near_end] = open();
  auto executor = Executor::make(WaitMode::kPause);
  if (!executor) std::abort();
  (*executor)->spawn(answer(far_end, back));
  (*executor)->spawn(ask(state, there, near_end));
  static_cast<void>((*executor)->run());
}
BENCHMARK(BM_AwaitTurns);

}  // namespace
}  // namespace rondo::bench
