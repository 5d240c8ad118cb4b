// Question: how long from a ring to the wake of another process, in each way that
// sync::any_doorbell has, and what does the ring take from the ringer's processor? One ring every
// `gap` to a process on another core that sleeps in between; medians. Beside the futex that the
// rings use by themselves, and a ring that comes while one is pending.
//
// Not measured: event loops (fd_wake_compare), many ringers. The ways take turns, sample by sample,
// so the ratios matter.
//
//   doorbells_compare [--json FILE] [--rounds N] [--seconds S] [--real-time]
//                     [--gap MICROSECONDS] [--rings N]
#include <fmt/core.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rondo/sync/any_doorbell.hpp"
#include "support/child.hpp"
#include "support/cores.hpp"
#include "support/machine.hpp"
#include "support/results.hpp"

namespace rondo::bench {
namespace {

using sync::any_doorbell;
using way = any_doorbell::way;
constexpr int kWarmUp = 50;

[[noreturn]] void fail(std::string_view what) {
  fmt::print(stderr, "doorbells_compare: {}\n", what);
  std::_Exit(1);
}

std::int64_t now_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

double middle(std::vector<double>& values) {
  std::ranges::sort(values);
  if (values.empty()) fail("no rings were met");
  return values[values.size() / 2];
}

// What both processes see.
struct Shared {
  sync::doorbell_word word{};
  sem_t semaphore{};
  std::int64_t rung = 0;  // when; the bell orders it
  Atomic<std::uint32_t> ready{0};
  Atomic<std::uint32_t> over{0};
  Atomic<double> wake_us{0};
};

Result<any_doorbell> make(way by, Shared& shared, int waiter) {
  switch (by) {
    case way::futex: break;
    case way::eventfd: return any_doorbell::by_eventfd(shared.word);
    case way::pipe: return any_doorbell::by_pipe(shared.word);
    case way::signal: return any_doorbell::by_signal(shared.word, waiter, SIGRTMIN);
    case way::semaphore: return any_doorbell::by_semaphore(shared.word, shared.semaphore);
  }
  return any_doorbell::by_futex(shared.word);
}

void wait_for_rings(Shared& shared, any_doorbell& bell) {
  std::vector<double> wakes;
  shared.ready.store(1, std::memory_order_release);
  // Not as many as rings: two of them are one where we are late.
  for (int i = 0;; ++i) {
    static_cast<void>(bell.wait());
    const std::int64_t now = now_ns();
    if (shared.over.load(std::memory_order_acquire) != 0) break;
    if (i >= kWarmUp) wakes.push_back(static_cast<double>(now - shared.rung) * 1e-3);
  }
  // relaxed: read when this process has ended.
  shared.wake_us.store(middle(wakes), std::memory_order_relaxed);
}

struct Entry {
  std::string name;
  way by;
  Samples* wake = nullptr;  // microseconds
  Samples* ring = nullptr;
};

void sample(Entry& entry, int gap_us, int rings) {
  void* memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  auto* shared = new (memory) Shared;
  sem_init(&shared->semaphore, 1, 0);
  // A signal's bell is made for the process that waits, in each process; the others before it.
  auto before = make(entry.by == way::signal ? way::futex : entry.by, *shared, getpid());
  const pid_t child = fork_child();
  if (child < 0) fail("fork");
  const auto own = [&](int waiter) {
    return entry.by == way::signal ? make(entry.by, *shared, waiter) : std::move(before);
  };
  if (child == 0) {
    pin_to(1);
    auto bell = own(getpid());
    if (!bell) fail(bell.error().message);
    wait_for_rings(*shared, *bell);
    std::_Exit(0);
  }
  while (shared->ready.load(std::memory_order_acquire) == 0) usleep(100);
  auto bell = own(child);
  if (!bell) fail(bell.error().message);
  std::vector<double> costs;
  for (int i = 0; i < kWarmUp + rings; ++i) {
    usleep(static_cast<unsigned>(gap_us));
    const double ran = thread_cpu_seconds();
    shared->rung = now_ns();
    bell->ring();
    if (i >= kWarmUp) costs.push_back((thread_cpu_seconds() - ran) * 1e6);
  }
  shared->over.store(1, std::memory_order_release);
  bell->ring();
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0) fail(entry.name);
  entry.ring->add(middle(costs));
  // relaxed: that process has ended.
  entry.wake->add(shared->wake_us.load(std::memory_order_relaxed));
  munmap(memory, sizeof(Shared));
}

// Nanoseconds for a ring while one is pending.
double pending_ring() {
  sync::doorbell_word word{};
  any_doorbell bell = any_doorbell::by_futex(word);
  constexpr int kRings = 1'000'000;
  const auto start = Clock::now();
  for (int i = 0; i < kRings; ++i) bell.ring();
  return seconds_since(start) * 1e9 / kRings;
}

int main(int argc, char** argv) {
  CLI::App app("From a ring to the wake of another process, in each way");
  RunOptions options;
  options.rounds = 5;
  int gap = 300;
  int rings = 500;
  options.add_to(app);
  app.add_option("--gap", gap, "microseconds between rings")->check(CLI::Range(1, 1'000'000));
  app.add_option("--rings", rings, "of one sample")->check(CLI::Range(1, 1'000'000));
  CLI11_PARSE(app, argc, argv);
  Results results("doorbells_compare");
  pin_to(0);
  std::vector<Entry> entries{{"futex", way::futex},
                             {"eventfd", way::eventfd},
                             {"pipe", way::pipe},
                             {"signal", way::signal},
                             {"semaphore", way::semaphore}};
  for (Entry& entry : entries) {
    const auto of = [&](const char* question) {
      return &results.add({question, entry.name, Role::kOurs, {{"gap_us", gap}}, "us", false});
    };
    entry.wake = of("doorbell_wake");
    entry.ring = of("doorbell_ring");
  }
  {
    Rounds rounds("doorbells_compare", options.rounds, options.seconds, entries.size());
    while (rounds.next()) {
      for (Entry& entry : entries) {
        rounds.question();
        const RealTime undisturbed(options.real_time);
        sample(entry, gap, rings);
      }
    }
  }
  const auto of = [](const Samples* samples) { return *samples->get(Placement::kAny); };
  fmt::print("{}\nOne ring every {} us, p50; a ring while one is pending takes {:.1f} ns\n\n",
             describe_machine(), gap, pending_ring());
  fmt::print("{:<12}{:>10}{:>10}{:>18}\n", "", "wake/us", "to futex", "ring, of its CPU");
  for (const Entry& entry : entries) {
    fmt::print("{:<12}{:>10.1f}{:>10.2f}{:>18.1f}\n", entry.name, of(entry.wake),
               of(entry.wake) / of(entries.front().wake), of(entry.ring));
  }
  results.write(options.json);
  return 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
