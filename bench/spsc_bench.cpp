// Questions about spsc_ring alone, in one process:
//
//   BM_PushPop         what do a push and a pop cost when the other core is idle?
//   BM_HandOff         how many messages per second pass between two threads?
//   BM_HandOffBatch    and in claims of 32?
//   BM_RoundTrip       how long do a message and its answer take, on two rings?
//
// Not measured: process boundaries, wake-ups, cold memory, and where the host has put the two
// cores: Google Benchmark can't tell, so compare with others by hand_off_compare. 1024 slots, so
// that the ring both wraps and fills. Run with the bench preset.
#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "support/cores.hpp"
#include "support/engines.hpp"
#include "support/machine.hpp"
#include "support/payload.hpp"

namespace rondo::bench {
namespace {

constexpr std::size_t kSlots = 1024;
constexpr std::size_t kBatch = 32;

template <std::size_t kBytes>
void BM_PushPop(benchmark::State& state) {
  SpscRing<kBytes> engine(kSlots);
  typename SpscRing<kBytes>::Sender sender(engine);
  typename SpscRing<kBytes>::Receiver receiver(engine);
  Checker checker;
  std::uint64_t i = 0;
  for (auto _ : state) {
    bool done = sender.try_send([i](void* to) { write_message(to, kBytes, i); });
    done &= receiver.try_receive([&](const void* from) { checker.read_message(from, kBytes, i); });
    if (!done) state.SkipWithError("a ring with one message was full or empty");
    ++i;
  }
  if (!checker.complete(i, kBytes)) state.SkipWithError("torn or out of order");
  state.SetItemsProcessed(static_cast<std::int64_t>(i));
}
BENCHMARK(BM_PushPop<8>);
BENCHMARK(BM_PushPop<64>);
BENCHMARK(BM_PushPop<256>);

// Thread 0 sends, thread 1 receives. A fresh ring for each run: thread 0 makes it before the loop,
// which all threads enter together, and takes it away behind it.
template <std::size_t kBytes>
void BM_HandOff(benchmark::State& state) {
  static std::optional<SpscRing<kBytes>> engine;
  pin_to(state.thread_index());
  if (state.thread_index() == 0) engine.emplace(kSlots);
  std::optional<typename SpscRing<kBytes>::Sender> sender;
  std::optional<typename SpscRing<kBytes>::Receiver> receiver;
  Checker checker;
  std::uint64_t i = 0;
  if (state.thread_index() == 0) {
    for (auto _ : state) {
      if (!sender) sender.emplace(*engine);
      while (!sender->try_send([i](void* to) { write_message(to, kBytes, i); })) cpu_relax();
      ++i;
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(i));  // counted once
  } else {
    for (auto _ : state) {
      if (!receiver) receiver.emplace(*engine);
      while (!receiver->try_receive(
          [&](const void* from) { checker.read_message(from, kBytes, i); })) {
        cpu_relax();
      }
      ++i;
    }
    if (!checker.complete(i, kBytes)) state.SkipWithError("torn or out of order");
  }
}
BENCHMARK(BM_HandOff<8>)->Threads(2)->UseRealTime();
BENCHMARK(BM_HandOff<64>)->Threads(2)->UseRealTime();
BENCHMARK(BM_HandOff<256>)->Threads(2)->UseRealTime();

template <std::size_t kBytes>
void BM_HandOffBatch(benchmark::State& state) {
  using Ring = spsc_ring<Message<kBytes>>;
  static std::optional<Pages> pages;
  static std::optional<SpscParts<Message<kBytes>>> parts;
  pin_to(state.thread_index());
  if (state.thread_index() == 0) {
    pages.emplace(Ring::layout_for({.capacity = kSlots}).value().total_bytes);
    parts = Ring::create(pages->bytes(), {.capacity = kSlots}).value();
  }
  std::optional<typename Ring::Producer> producer;
  std::optional<typename Ring::Consumer> consumer;
  Checker checker;
  std::uint64_t i = 0;
  if (state.thread_index() == 0) {
    for (auto _ : state) {
      if (!producer) producer.emplace(*parts);
      auto claim = producer->try_claim(kBatch);
      while (!claim) {
        cpu_relax();
        claim = producer->try_claim(kBatch);
      }
      for (auto& slot : claim->first()) write_message(&slot, kBytes, i++);
      for (auto& slot : claim->second()) write_message(&slot, kBytes, i++);
      std::move(*claim).commit();
    }
    state.SetItemsProcessed(static_cast<std::int64_t>(i));
  } else {
    for (auto _ : state) {
      if (!consumer) consumer.emplace(*parts);
      for (std::size_t left = kBatch; left > 0;) {
        auto messages = consumer->try_next_some(left);
        if (!messages) {
          cpu_relax();
          continue;
        }
        for (const auto& slot : messages->first()) checker.read_message(&slot, kBytes, i++);
        for (const auto& slot : messages->second()) checker.read_message(&slot, kBytes, i++);
        left -= messages->size();
      }
    }
    if (!checker.complete(i, kBytes)) state.SkipWithError("torn or out of order");
  }
}
BENCHMARK(BM_HandOffBatch<8>)->Threads(2)->UseRealTime();
BENCHMARK(BM_HandOffBatch<64>)->Threads(2)->UseRealTime();
BENCHMARK(BM_HandOffBatch<256>)->Threads(2)->UseRealTime();

template <class Engine>
void BM_RoundTrip(benchmark::State& state) {
  static std::optional<Engine> there, back;
  pin_to(state.thread_index());
  const bool asks = state.thread_index() == 0;
  if (asks) {
    there.emplace(kSlots);
    back.emplace(kSlots);
  }
  std::optional<typename Engine::Sender> sender;
  std::optional<typename Engine::Receiver> receiver;
  Checker checker;
  std::uint64_t i = 0;
  const auto send = [&] {
    while (!sender->try_send([i](void* to) { write_message(to, Engine::kBytes, i); })) cpu_relax();
  };
  const auto receive = [&] {
    while (!receiver->try_receive(
        [&](const void* from) { checker.read_message(from, Engine::kBytes, i); })) {
      cpu_relax();
    }
  };
  for (auto _ : state) {
    if (!sender) {
      sender.emplace(asks ? *there : *back);
      receiver.emplace(asks ? *back : *there);
    }
    if (asks) {
      send();
      receive();
    } else {
      receive();
      send();
    }
    ++i;
  }
  if (!checker.complete(i, Engine::kBytes)) state.SkipWithError("torn or out of order");
}
BENCHMARK(BM_RoundTrip<SpscRing<64>>)->Threads(2)->UseRealTime();
BENCHMARK(BM_RoundTrip<RecordRing<64>>)->Threads(2)->UseRealTime();
BENCHMARK(BM_RoundTrip<Textbook<64>>)->Threads(2)->UseRealTime();
BENCHMARK(BM_RoundTrip<BoostQueue<64>>)->Threads(2)->UseRealTime();

}  // namespace
}  // namespace rondo::bench
