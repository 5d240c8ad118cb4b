// Question: what does it cost to wait for the next message, in each mode, by how long it takes to
// come? The sender waits until the receiver has taken the last one, works or sleeps for `gap`, and
// sends the next: the median of how late that is seen, and the processor time that the receiver
// takes for it and the sender for sending it. The cost is the sum of the three, a microsecond of
// each for a microsecond; the adaptive mode is held against the best of the others.
//
// On two cores the gap passes in work. Where both sides share one, a gap of up to kWorks is work,
// which competes with a receiver that looks, and a longer one is sleep.
//
// Not measured: throughput, messages that come at unlike intervals. The modes take turns, sample by
// sample, so the ratios matter.
//
//   wait_modes_compare [--json FILE] [--rounds N] [--seconds S] [--cores 1|2...] [--gaps US...]
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "support/child.hpp"
#include "support/cores.hpp"
#include "support/machine.hpp"
#include "support/names.hpp"
#include "support/results.hpp"

namespace rondo::bench {
namespace {

using std::chrono::microseconds;
constexpr microseconds kWorks{50};

[[noreturn]] void fail(std::string_view what) {
  fmt::print(stderr, "wait_modes_compare: {}\n", what);
  std::_Exit(1);
}

std::int64_t now_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

double middle(std::vector<double>& values) {
  std::ranges::sort(values);
  return values.empty() ? 0 : values[values.size() / 2];
}

struct Rhythm {
  microseconds gap;
  bool one_core;
  // That are counted, and before them those in which a mode may learn.
  [[nodiscard]] int messages() const { return in(microseconds(100'000), 5, 2000); }
  [[nodiscard]] int warm_up() const { return in(microseconds(50'000), 3, 500); }

 private:
  [[nodiscard]] int in(microseconds time, int least, int most) const {
    return static_cast<int>(std::clamp<std::int64_t>(time / gap, least, most));
  }
};

// What both processes see.
struct Shared {
  Atomic<std::uint64_t> taken{0};
  Atomic<double> latency{0};   // microseconds
  Atomic<double> receiver{0};  // microseconds of processor time per message
};

void receive(Shared& shared, const Rhythm& rhythm, const std::string& url) {
  auto receiver = Receiver::open(url, {.wait = Deadline::after(std::chrono::seconds(10))});
  if (!receiver) fail(receiver.error().message);
  std::vector<double> latencies;
  double began = 0;
  for (int i = 0; i < rhythm.warm_up() + rhythm.messages(); ++i) {
    if (i == rhythm.warm_up()) began = thread_cpu_seconds();
    auto message = receiver->next();
    if (!message) fail(to_string(receiver->status()));
    const std::int64_t now = now_ns();
    std::int64_t sent = 0;
    std::memcpy(&sent, message->bytes().data(), sizeof sent);
    if (i >= rhythm.warm_up()) latencies.push_back(static_cast<double>(now - sent) * 1e-3);
    shared.taken.store(static_cast<std::uint64_t>(i) + 1, std::memory_order_release);
  }
  // relaxed, both: read when this process has ended.
  shared.receiver.store((thread_cpu_seconds() - began) * 1e6 / rhythm.messages(),
                        std::memory_order_relaxed);
  shared.latency.store(middle(latencies), std::memory_order_relaxed);
}

// Microseconds of processor time per message: the median of what sending one took.
double send(Shared& shared, const Rhythm& rhythm, const std::string& url) {
  prctl(PR_SET_TIMERSLACK, 1);
  auto sender = Sender::open(url);
  if (!sender) fail(sender.error().message);
  if (sender->wait_for_receiver() != Status::kOk) fail("nobody came");
  std::vector<double> costs;
  for (int i = 0; i < rhythm.warm_up() + rhythm.messages(); ++i) {
    while (shared.taken.load(std::memory_order_acquire) < static_cast<std::uint64_t>(i)) {
      if (rhythm.one_core) std::this_thread::yield();
    }
    const auto next = Clock::now() + rhythm.gap;
    if (rhythm.one_core && rhythm.gap > kWorks) {
      std::this_thread::sleep_until(next);
    } else {
      while (Clock::now() < next) {
      }
    }
    const double before = thread_cpu_seconds();
    const std::int64_t now = now_ns();
    if (sender->send(std::as_bytes(std::span(&now, 1))) != Status::kOk) fail("send");
    costs.push_back((thread_cpu_seconds() - before) * 1e6);
  }
  costs.erase(costs.begin(), costs.begin() + rhythm.warm_up());
  return middle(costs);
}

struct Entry {
  std::string mode;
  microseconds gap;
  int cores;
  Samples* latency = nullptr;
  Samples* receiver = nullptr;
  Samples* sender = nullptr;
  [[nodiscard]] double cost() const {
    const auto of = [](const Samples* samples) { return *samples->get(Placement::kAny); };
    return of(latency) + of(receiver) + of(sender);
  }
};

void sample(Entry& entry, const std::string& name) {
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  auto* shared = new (memory) Shared;
  const bool one_core = entry.cores == 1;
  const Rhythm rhythm{entry.gap, one_core};
  const std::string url = fmt::format("shm:{}?wait={}", name, entry.mode);
  const pid_t child = fork_child();
  if (child < 0) fail("fork");
  if (child == 0) {
    pin_to(one_core ? 0 : 1);
    receive(*shared, rhythm, url);
    std::_Exit(0);
  }
  entry.sender->add(send(*shared, rhythm, url));
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0) fail(url);
  // relaxed, both: that process has ended.
  entry.receiver->add(shared->receiver.load(std::memory_order_relaxed));
  entry.latency->add(shared->latency.load(std::memory_order_relaxed));
  munmap(memory, sizeof(Shared));
}

void print(const std::vector<Entry>& entries, int cores) {
  fmt::print("\n{}: how late a message is, and what the receiver and the send take, in us\n\n",
             cores == 1 ? "One core" : "Two cores");
  fmt::print("{:>10} {:<10}{:>10}{:>10}{:>10}{:>12}{:>10}\n", "gap/us", "", "late", "receiver",
             "send", "cost", "to best");
  for (const Entry& entry : entries) {
    if (entry.cores != cores) continue;
    double best = 1e300;
    for (const Entry& other : entries) {
      if (other.cores == cores && other.gap == entry.gap && other.mode != "adaptive")
        best = std::min(best, other.cost());
    }
    const auto of = [](const Samples* samples) { return *samples->get(Placement::kAny); };
    fmt::print("{:>10} {:<10}{:>10.1f}{:>10.1f}{:>10.1f}{:>12.1f}", entry.gap.count(), entry.mode,
               of(entry.latency), of(entry.receiver), of(entry.sender), entry.cost());
    if (entry.mode == "adaptive") fmt::print("{:>10.2f}", entry.cost() / best);
    fmt::print("\n");
  }
}

int main(int argc, char** argv) {
  CLI::App app("What waiting costs in each mode");
  RunOptions options;
  options.rounds = 3;
  std::vector<int> cores{2, 1};
  std::vector<int> gaps{1, 3, 10, 20, 30, 50, 100, 300, 1000, 10'000, 100'000, 1'000'000};
  options.add_to(app);
  app.add_option("--cores", cores, "that both sides have, 1 or 2")->check(CLI::Range(1, 2));
  app.add_option("--gaps", gaps, "microseconds between messages")->check(CLI::Range(1, 10'000'000));
  CLI11_PARSE(app, argc, argv);
  const OwnName name("wait-modes");
  Results results("wait_modes_compare");
  pin_to(0);
  std::vector<Entry> entries;
  for (const int count : cores) {
    for (const int gap : gaps) {
      for (const char* mode : {"spin", "pause", "yield", "park", "adaptive"}) {
        entries.push_back({mode, microseconds(gap), count});
      }
    }
  }
  for (Entry& entry : entries) {
    const auto of = [&](const char* question) {
      return &results.add({question,
                           "shm: wait=" + entry.mode,
                           Role::kOurs,
                           {{"gap_us", entry.gap.count()}, {"cores", entry.cores}},
                           "us",
                           false});
    };
    entry.latency = of("wait_latency");
    entry.receiver = of("wait_receiver");
    entry.sender = of("wait_sender");
  }
  {
    Rounds rounds("wait_modes_compare", options.rounds, options.seconds, entries.size());
    while (rounds.next()) {
      for (Entry& entry : entries) {
        rounds.question();
        // Not for seconds, nor where one may have to wait for the other's core.
        const bool brief = entry.cores == 2 && entry.gap <= microseconds(1000);
        const RealTime undisturbed(options.real_time && brief);
        sample(entry, name.get());
      }
    }
  }
  fmt::print("{}\n", describe_machine());
  for (const int count : cores) print(entries, count);
  results.write(options.json);
  return 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
