// Question: what is gained by waking once for a burst of messages, instead of for each? Every `gap`
// a burst of messages, one every so many microseconds, from one process to another that sleeps
// whenever it has nothing: how long the sender is in its sends, and the processor time of the
// receiver, per message. Where they come faster than the receiver wakes up, one wake is for many in
// any case.
//
// Not measured: latency, which a message that is held back pays; receivers that are awake, from
// whom nothing is held back. The engines take turns, sample by sample; the ratios to the first of
// each channel, which wakes for each message, matter.
//
//   held_back_compare [--json FILE] [--rounds N] [--seconds S] [--gap MICROSECONDS] [--burst N]
//                     [--bursts N] [--between MICROSECONDS]
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "rondo/core/atomic.hpp"
#include "rondo/core/platform.hpp"
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
using Clock = std::chrono::steady_clock;

[[noreturn]] void fail(std::string_view what) {
  fmt::print(stderr, "held_back_compare: {}\n", what);
  std::_Exit(1);
}

struct Rhythm {
  microseconds gap;
  microseconds between;
  int burst;
  int bursts;
};

// How the sender wakes.
enum class Way : std::uint8_t { kEach, kWatermark, kLaterAndWake };

struct Entry {
  std::string channel;
  std::string url;
  Way way;
  Samples* sender = nullptr;  // microseconds per message
  Samples* receiver = nullptr;
};

std::string_view name_of(Way way) {
  switch (way) {
    case Way::kEach: return "each message wakes";
    case Way::kWatermark: return "wake_every=";
    case Way::kLaterAndWake: return "Wake::kLater, then wake()";
  }
  return {};
}

void receive(const Entry& entry, const Rhythm& rhythm, Atomic<double>& cost) {
  auto receiver = Receiver::open(entry.url, {.wait = Deadline::after(std::chrono::seconds(10))});
  if (!receiver) fail(receiver.error().message);
  const double start = process_cpu_microseconds();
  int taken = 0;
  while (receiver->next()) ++taken;
  if (receiver->status() != Status::kEnded) fail(to_string(receiver->status()));
  if (taken != rhythm.burst * rhythm.bursts) fail("not all messages came");
  // relaxed: read when this process has ended.
  cost.store((process_cpu_microseconds() - start) / taken, std::memory_order_relaxed);
}

// Per message.
double send(const Entry& entry, const Rhythm& rhythm) {
  std::string url = entry.url;
  if (entry.way == Way::kWatermark) url += fmt::format("&wake_every={}", rhythm.burst);
  auto sender = Sender::open(url, {.wait = Deadline::after(std::chrono::seconds(10))});
  if (!sender) fail(sender.error().message);
  if (sender->wait_for_receiver() != Status::kOk) fail("nobody came");
  const Wake wake = entry.way == Way::kLaterAndWake ? Wake::kLater : Wake::kAuto;
  Clock::duration in_calls{};
  const auto timed = [&](auto call) {
    const auto start = Clock::now();
    if (call() != Status::kOk) fail("send");
    in_calls += Clock::now() - start;
  };
  auto next = Clock::now();
  for (int i = 0; i < rhythm.bursts; ++i) {
    next += rhythm.gap;
    std::this_thread::sleep_until(next);
    auto when = Clock::now();
    for (int j = 0; j < rhythm.burst; ++j) {
      timed([&] { return sender->send(std::string_view("message!"), Deadline::never(), wake); });
      when += rhythm.between;
      while (Clock::now() < when) cpu_relax();
    }
    if (wake == Wake::kLater) timed([&] { return sender->wake(Deadline::never()); });
  }
  if (sender->close() != Status::kOk) fail("close");
  return std::chrono::duration<double, std::micro>(in_calls).count() /
         (rhythm.burst * rhythm.bursts);
}

void sample(Entry& entry, const Rhythm& rhythm) {
  void* memory = mmap(nullptr, sizeof(Atomic<double>), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  auto* cost = new (memory) Atomic<double>(0);
  const pid_t child = fork_child();
  if (child < 0) fail("fork");
  if (child == 0) {
    pin_to(1);
    receive(entry, rhythm, *cost);
    std::_Exit(0);
  }
  entry.sender->add(send(entry, rhythm));
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0) fail(entry.channel);
  // relaxed: that process has ended.
  entry.receiver->add(cost->load(std::memory_order_relaxed));
  munmap(memory, sizeof(Atomic<double>));
}

int main(int argc, char** argv) {
  CLI::App app("What waking once for a burst of messages gains");
  RunOptions options;
  options.rounds = 5;
  int gap = 1000;
  int between = 1;
  int burst = 32;
  int bursts = 500;
  options.add_to(app);
  app.add_option("--gap", gap, "microseconds between bursts")->check(CLI::Range(100, 1'000'000));
  app.add_option("--between", between, "microseconds between messages of a burst")
      ->check(CLI::Range(1, 10'000));
  app.add_option("--burst", burst, "messages of one burst")->check(CLI::Range(1, 60));
  app.add_option("--bursts", bursts, "of one sample")->check(CLI::Range(1, 100'000));
  CLI11_PARSE(app, argc, argv);
  const OwnName name("held-back");
  Results results("held_back_compare");
  pin_to(0);
  const Rhythm rhythm{microseconds(gap), microseconds(between), burst, bursts};
  const std::pair<std::string, std::string> channels[] = {
      {"shm:", "shm:" + name.get() + "?wait=park"},
      {"shm: kind=mpmc", "shm:" + name.get() + "?wait=park&kind=mpmc&slots=64&slot_size=64"},
      {"unix:", "unix:/tmp/" + name.get() + "?wait=park"}};
  std::vector<Entry> entries;
  for (const auto& [channel, url] : channels) {
    for (const Way way : {Way::kEach, Way::kWatermark, Way::kLaterAndWake}) {
      entries.push_back({channel, url, way});
    }
  }
  for (Entry& entry : entries) {
    const auto of = [&](const char* question) {
      return &results.add({question,
                           fmt::format("{} {}", entry.channel, name_of(entry.way)),
                           entry.way == Way::kEach ? Role::kRival : Role::kOurs,
                           {{"gap_us", gap}, {"between_us", between}, {"burst", burst}},
                           "us per message",
                           false});
    };
    entry.sender = of("held_back_sender");
    entry.receiver = of("held_back_receiver");
  }
  {
    Rounds rounds("held_back_compare", options.rounds, options.seconds, entries.size());
    while (rounds.next()) {
      for (Entry& entry : entries) {
        rounds.question();
        const RealTime undisturbed(options.real_time);
        sample(entry, rhythm);
      }
    }
  }
  fmt::print(
      "{}\nBursts of {} messages, one every {} us, every {} us: us per "
      "message\n\n{:<18}{:<28}{:>8}{:>8}{:>10}"
      "{:>8}\n",
      describe_machine(), burst, between, gap, "", "", "sends", "ratio", "receiver", "ratio");
  const auto value = [](const Samples* samples) { return *samples->get(Placement::kAny); };
  double sends = 0;
  double receives = 0;
  for (const Entry& entry : entries) {
    if (entry.way == Way::kEach) {
      sends = value(entry.sender);
      receives = value(entry.receiver);
    }
    fmt::print("{:<18}{:<28}{:>8.3f}{:>8.2f}{:>10.3f}{:>8.2f}\n", entry.channel, name_of(entry.way),
               value(entry.sender), value(entry.sender) / sends, value(entry.receiver),
               value(entry.receiver) / receives);
  }
  results.write(options.json);
  return 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
