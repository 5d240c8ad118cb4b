// How mpmc_versus.cpp measures: messages a second from P producers to C consumers, and round trips.
//
// Threads are put on the cores in turn. As long as there is a core for each, one that gets nothing
// pauses, and yields after 200 times in vain. With more threads than cores (all mixes but 1P1C, on
// a machine of two) that would measure who is made to wait for a time slice: 200 pauses of a thread
// whose peer is not running bring nothing. So there each thread yields as soon as the queue is full
// or empty for it, in all queues alike: a thread fills or drains what there is room for and makes
// way. What such a figure says is how many messages pass while the cores are always busy; switching
// between threads is part of it. As root, threads have real-time priority, all the same one: they
// make way for each other alone, and none is preempted amid a call. Without, what such a thread
// costs the others is part of the figure, too.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "rondo/core/platform.hpp"
#include "support/cores.hpp"
#include "support/machine.hpp"

namespace rondo::bench {

inline constexpr std::size_t kSlots = 1024;
inline constexpr std::uint64_t kFirstMessages = 30'000;  // by which the length is estimated
inline constexpr std::uint32_t kBatch = 16;

struct Mix {
  int producers;
  int consumers;

  [[nodiscard]] int threads() const { return producers + consumers; }
  [[nodiscard]] bool oversubscribed() const {
    return static_cast<std::size_t>(threads()) > Cores::in_use().count();
  }
  // Regimes show, and the start does not matter; threads that share a core take some turns.
  [[nodiscard]] double sample_seconds() const { return oversubscribed() ? 0.02 : 0.01; }
  [[nodiscard]] std::string name() const {
    return std::to_string(producers) + 'P' + std::to_string(consumers) + 'C';
  }
};

template <std::size_t kBytes>
struct Message {
  std::array<std::uint64_t, kBytes / 8> words;

  void fill(std::uint64_t value) { words.fill(value); }
  [[nodiscard]] std::uint64_t sum() const {
    std::uint64_t result = 0;
    for (const std::uint64_t word : words) result += word;
    return result;
  }
};

// How long a thread that gets nothing spins.
class Patience {
 public:
  explicit Patience(const Mix& mix) : spins_(mix.oversubscribed() ? 1 : 200) {}
  // False when it has taken so long that something must have been lost.
  [[nodiscard]] bool vain() {
    if (++times_ % spins_ != 0) {
      cpu_relax();
      return true;
    }
    std::this_thread::yield();
    return times_ % 1024 >= spins_ || seconds_since(start_) < kSeconds;
  }

 private:
  static constexpr double kSeconds = 30;
  std::uint32_t spins_;
  std::uint32_t times_ = 0;
  Clock::time_point start_ = Clock::now();
};

// Producers share what is to be sent, so that all of them are at work until all has been.
class ToSend {
 public:
  explicit ToSend(std::uint64_t messages) : messages_(messages) {}
  // How many the caller is to send next; 0: there are no more.
  std::uint64_t take() {
    constexpr std::uint64_t kChunk = 256;
    const std::uint64_t first = taken_.fetch_add(kChunk, std::memory_order_relaxed);
    return first < messages_ ? std::min(kChunk, messages_ - first) : 0;
  }

 private:
  std::uint64_t messages_;
  std::atomic<std::uint64_t> taken_{0};
};

// Sends 0, 1, 2 and so on; how many it sent.
template <class Queue, class T>
std::uint64_t produce(Queue& queue, auto& handle, ToSend& to_send, const Mix& mix,
                      std::uint32_t batch) {
  Patience patience(mix);
  std::uint64_t i = 0;
  std::uint64_t count = 0;
  if constexpr (requires { queue.push_many(handle, std::span<const T>()); }) {
    std::array<T, kBatch> values{};
    while (batch > 1 && (count = to_send.take()) != 0) {
      while (count != 0) {
        const auto now = static_cast<std::uint32_t>(std::min<std::uint64_t>(batch, count));
        for (std::uint32_t k = 0; k < now; ++k) values[k].fill(i + k);
        for (std::uint32_t done = 0; done < now;) {
          const std::size_t pushed =
              queue.push_many(handle, std::span<const T>(values).subspan(done, now - done));
          if (pushed == 0 && !patience.vain()) return i;
          done += static_cast<std::uint32_t>(pushed);
        }
        i += now;
        count -= now;
      }
    }
  }
  T value{};
  while ((count = to_send.take()) != 0) {
    for (; count != 0; --count, ++i) {
      value.fill(i);
      while (!queue.push(handle, value)) {
        if (!patience.vain()) return i;
      }
    }
  }
  return i;
}

// Consumers share what there is, until all has come.
template <class Queue, class T>
std::uint64_t consume(Queue& queue, auto& handle, std::atomic<std::uint64_t>& left, const Mix& mix,
                      std::uint32_t batch) {
  Patience patience(mix);
  std::uint64_t sum = 0;
  std::uint64_t mine = 0;  // told to the others now and then
  std::array<T, kBatch> values{};
  while (true) {
    std::uint32_t count = 0;
    if constexpr (requires { queue.pop_many(handle, std::span<T>()); }) {
      count = batch > 1 ? static_cast<std::uint32_t>(queue.pop_many(handle, values))
                        : queue.pop(handle, values[0]);
    } else {
      count = queue.pop(handle, values[0]);
    }
    for (std::uint32_t i = 0; i < count; ++i) sum += values[i].sum();
    mine += count;
    if (count == 0 || mine >= 1'000) {
      if (mine != 0) left.fetch_sub(mine, std::memory_order_relaxed);
      mine = 0;
      if (count != 0) continue;
      if (left.load(std::memory_order_relaxed) == 0 || !patience.vain()) return sum;
    }
  }
}

inline constexpr double kDisturbed = 0;
inline constexpr double kWrong = -1;  // what was received is not what was sent

// Messages per second, in a run of `messages`.
template <class Queue, class T>
double throughput_of(std::uint64_t messages, const Mix& mix, std::uint32_t batch) {
  auto queue = std::make_unique<Queue>(kSlots);
  ToSend to_send(messages);
  std::atomic<std::uint64_t> left{messages};
  std::atomic<std::uint64_t> sum{0};
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  struct Work {
    Clock::time_point start, end;
    double cpu_seconds;
    std::uint64_t sent;
  };
  std::vector<Work> work(static_cast<std::size_t>(mix.threads()));
  std::vector<std::thread> threads;
  for (int i = 0; i < mix.threads(); ++i) {
    threads.emplace_back([&, i] {
      pin_to(i);
      auto handle = queue->handle(static_cast<std::uint32_t>(i));
      const RealTime undisturbed(true);
      ready.fetch_add(1);
      go.wait(false, std::memory_order_acquire);  // asleep: others are still to come to this core
      Work& mine = work[static_cast<std::size_t>(i)];
      const double before = thread_cpu_seconds();
      mine.start = Clock::now();
      if (i < mix.producers) {
        mine.sent = produce<Queue, T>(*queue, handle, to_send, mix, batch);
      } else {
        sum.fetch_add(consume<Queue, T>(*queue, handle, left, mix, batch));
      }
      mine.end = Clock::now();
      mine.cpu_seconds = thread_cpu_seconds() - before;
    });
  }
  while (ready.load() != mix.threads()) std::this_thread::yield();
  go.store(true, std::memory_order_release);
  go.notify_all();
  for (auto& thread : threads) thread.join();
  std::uint64_t expected = 0;
  for (const Work& one : work) {
    if (one.sent != 0) expected += one.sent * (one.sent - 1) / 2 * (sizeof(T) / 8);
  }
  if (sum.load() != expected || left.load() != 0) return kWrong;

  auto start = work.front().start;
  auto end = work.front().end;
  for (const Work& one : work) {
    start = std::min(start, one.start);
    end = std::max(end, one.end);
  }
  const auto seconds_until = [&](Clock::time_point time) {
    return std::chrono::duration<double>(time - start).count();
  };
  // Each core has been ours until its last thread was through.
  const std::size_t cores = std::min(work.size(), Cores::in_use().count());
  for (std::size_t core = 0; core < cores; ++core) {
    double cpu_seconds = 0;
    auto last = start;
    for (std::size_t i = core; i < work.size(); i += cores) {
      cpu_seconds += work[i].cpu_seconds;
      last = std::max(last, work[i].end);
    }
    if (cpu_seconds < 0.9 * seconds_until(last)) return kDisturbed;
  }
  return static_cast<double>(messages) / seconds_until(end);
}

// `messages`: how many make a sample, by what the last one took; 0: not known.
template <class Queue, class T>
double throughput(const Mix& mix, std::uint32_t batch, std::uint64_t& messages) {
  const auto enough = [&](double rate) {
    return std::max(static_cast<std::uint64_t>(rate * mix.sample_seconds()), kFirstMessages);
  };
  if (messages == 0) {
    const double first = throughput_of<Queue, T>(kFirstMessages, mix, batch);
    if (first <= kDisturbed) return first;
    messages = enough(first);
  }
  const double rate = throughput_of<Queue, T>(messages, mix, batch);
  // What was disturbed says nothing of the next one's length.
  if (rate > kDisturbed) messages = enough(rate);
  return rate;
}

// Nanoseconds there and back, through two rings.
template <class Queue, class T>
double round_trip() {
  constexpr int kTrips = 20'000;
  auto there = std::make_unique<Queue>(kSlots);
  auto back = std::make_unique<Queue>(kSlots);
  const auto trip = [](Queue& out, auto& writer, Queue& in, auto& reader, T& value, bool first) {
    if (first) {
      while (!out.push(writer, value)) {
      }
    }
    while (!in.pop(reader, value)) {
    }
    if (!first) {
      while (!out.push(writer, value)) {
      }
    }
  };
  std::atomic<bool> ready{false};
  std::thread server([&] {
    pin_to(1);
    const RealTime undisturbed(true);
    ready.store(true);
    auto reader = there->handle(0);
    auto writer = back->handle(0);
    T value{};
    for (int i = 0; i < kTrips; ++i) trip(*back, writer, *there, reader, value, false);
  });
  pin_to(0);
  auto writer = there->handle(1);
  auto reader = back->handle(1);
  T value{};
  value.fill(1);
  while (!ready.load()) std::this_thread::yield();  // it was born on this core
  const CpuShare share;
  const RealTime undisturbed(true);
  auto start = Clock::now();
  for (int i = 0; i < kTrips; ++i) {
    if (i == kTrips / 10) start = Clock::now();
    trip(*there, writer, *back, reader, value, true);
  }
  const double seconds = seconds_since(start);
  const bool disturbed = share.get() < 0.9;
  server.join();
  if (disturbed) return kDisturbed;
  return seconds * 1e9 / (kTrips - kTrips / 10);
}

}  // namespace rondo::bench
