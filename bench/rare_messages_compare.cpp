// Question: what does it cost to wait for a message that comes rarely? One message every `gap`,
// from one process to another that sleeps in between: processor time of the receiver and of the
// sender per message, and that beside a bare futex, which is the least that such a wait takes.
//
// Not measured: latency (docs/waiting.md), streams. The engines take turns, sample by sample. The
// kernel counts the processor time of each process to the nanosecond, the interrupts that it takes
// included, so that a busy machine matters less than elsewhere; the ratios matter.
//
//   rare_messages_compare [--json FILE] [--rounds N] [--seconds S] [--gap MICROSECONDS]
//                         [--messages N]
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "rondo/sync/futex.hpp"
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
  fmt::print(stderr, "rare_messages_compare: {}\n", what);
  std::_Exit(1);
}

struct Rhythm {
  microseconds gap;
  int messages;  // that are counted; before them some to warm up
};
constexpr int kWarmUp = 50;

// What both processes see.
struct Shared {
  Atomic<std::uint32_t> word{0};
  Atomic<double> receiver{0};  // microseconds of processor time per message
};

Shared* map_shared() {
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  return new (memory) Shared;
}

// `take` waits for one message, and says no when there are no more; what all but the first ones
// cost, each. A pool of frames may have passed over some.
template <class Take>
void count_receiver(Shared& shared, const Rhythm& rhythm, Take take) {
  for (int i = 0; i < kWarmUp; ++i) take();
  const double start = process_cpu_microseconds();
  int taken = 0;
  while (taken < rhythm.messages && take()) ++taken;
  if (taken < rhythm.messages / 2) fail("too few messages came");
  // relaxed: read when this process has ended.
  shared.receiver.store((process_cpu_microseconds() - start) / taken, std::memory_order_relaxed);
}

template <class Send>
double count_sender(const Rhythm& rhythm, Send send) {
  double start = 0;
  auto next = Clock::now();
  for (int i = 0; i < kWarmUp + rhythm.messages; ++i) {
    if (i == kWarmUp) start = process_cpu_microseconds();
    next += rhythm.gap;
    std::this_thread::sleep_until(next);
    send();
  }
  return process_cpu_microseconds() - start;
}

struct Entry {
  std::string name;
  std::function<void(Shared&, const Rhythm&)> receive;
  std::function<double(Shared&, const Rhythm&)> send;
  Role role;
  Samples* receiver = nullptr;  // microseconds per message
  Samples* sender = nullptr;
};

Entry bare_futex() {
  return {"bare futex",
          [](Shared& shared, const Rhythm& rhythm) {
            std::uint32_t seen = 0;
            count_receiver(shared, rhythm, [&] {
              while (shared.word.load(std::memory_order_acquire) == seen) {
                static_cast<void>(futex_wait(shared.word, seen, Deadline::never()));
              }
              ++seen;
              return true;
            });
          },
          [](Shared& shared, const Rhythm& rhythm) {
            std::uint32_t sent = 0;
            return count_sender(rhythm, [&] {
              shared.word.store(++sent, std::memory_order_release);
              futex_wake(shared.word, 1);
            });
          },
          Role::kFloor};
}

// Processor time of a sender that only sleeps is part of every entry; this one has nothing else.
Entry channel(const std::string& own_name, const std::string& scheme, const std::string& options) {
  // The names of sockets are paths.
  const bool path = scheme == "unix" || scheme == "shm+guarded";
  const std::string url = scheme + (path ? ":/tmp/" : ":") + own_name;
  const std::string name = options.empty() ? scheme + ":" : fmt::format("{}: {}", scheme, options);
  const auto receiver_url = [=] { return options.empty() ? url : url + "?" + options; };
  return {name,
          [=](Shared& shared, const Rhythm& rhythm) {
            auto receiver =
                Receiver::open(receiver_url(), {.wait = Deadline::after(std::chrono::seconds(10))});
            if (!receiver) fail(receiver.error().message);
            count_receiver(shared, rhythm, [&] {
              if (receiver->next()) return true;
              if (receiver->status() != Status::kEnded) fail(to_string(receiver->status()));
              return false;
            });
          },
          [=](Shared&, const Rhythm& rhythm) {
            auto sender = Sender::open(receiver_url());
            if (!sender) fail(sender.error().message);
            if (sender->wait_for_receivers(1) != Status::kOk) fail("nobody came");
            return count_sender(rhythm, [&] {
              if (sender->send(std::string_view("rarely!")) != Status::kOk) fail("send");
            });
          },
          scheme == "unix" ? Role::kRival : Role::kOurs};
}

void sample(Entry& entry, const Rhythm& rhythm) {
  Shared* shared = map_shared();
  const pid_t child = fork_child();
  if (child < 0) fail("fork");
  if (child == 0) {
    pin_to(1);
    entry.receive(*shared, rhythm);
    std::_Exit(0);
  }
  entry.sender->add(entry.send(*shared, rhythm) / rhythm.messages);
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0) fail(entry.name);
  // relaxed: that process has ended.
  entry.receiver->add(shared->receiver.load(std::memory_order_relaxed));
  munmap(shared, sizeof(Shared));
}

int main(int argc, char** argv) {
  CLI::App app("Processor time per message that comes rarely");
  RunOptions options;
  options.rounds = 5;
  int gap = 1000;
  int messages = 1000;
  options.add_to(app);
  app.add_option("--gap", gap, "microseconds between messages")->check(CLI::Range(1, 1'000'000));
  app.add_option("--messages", messages, "of one sample")->check(CLI::Range(1, 1'000'000));
  CLI11_PARSE(app, argc, argv);
  const OwnName name("rare-messages");
  Results results("rare_messages_compare");
  pin_to(0);
  const Rhythm rhythm{microseconds(gap), messages};
  std::vector<Entry> entries{bare_futex(),
                             channel(name.get(), "shm", ""),
                             channel(name.get(), "shm", "wait=park"),
                             channel(name.get(), "shm", "readers=2"),
                             channel(name.get(), "shm+guarded", ""),
                             channel(name.get(), "shm", "kind=mpmc&slots=64&slot_size=64"),
                             channel(name.get(), "shm", "kind=frames&frames=8&frame_size=64"),
                             channel(name.get(), "unix", "")};
  for (Entry& entry : entries) {
    const auto of = [&](const char* question) {
      return &results.add(
          {question, entry.name, entry.role, {{"gap_us", gap}}, "us of processor time", false});
    };
    entry.receiver = of("rare_receiver");
    entry.sender = of("rare_sender");
  }
  {
    Rounds rounds("rare_messages_compare", options.rounds, options.seconds, entries.size());
    while (rounds.next()) {
      for (Entry& entry : entries) {
        rounds.question();
        sample(entry, rhythm);
      }
    }
  }
  fmt::print("{}\nOne message every {} us: processor time\n\n{:<42}{:>12}{:>10}{:>10}{:>12}\n",
             describe_machine(), gap, "", "receiver/us", "of a core", "to futex", "sender/us");
  const auto each = [](const Samples* samples) { return *samples->get(Placement::kAny); };
  const double least = each(entries.front().receiver);
  for (const Entry& entry : entries) {
    const double mine = each(entry.receiver);
    fmt::print("{:<42}{:>12.1f}{:>9.2f}%{:>10.2f}{:>12.1f}\n", entry.name, mine, 100 * mine / gap,
               mine / least, each(entry.sender));
  }
  results.write(options.json);
  return 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
