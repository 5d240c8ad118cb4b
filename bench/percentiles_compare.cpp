// Question: how late is a single message, from one process to another? Messages of 64 bytes are due
// by a schedule, one every `interval`; how late each one is read, from when it was due: p50, p90,
// p99, p99.9, p99.99 and the latest.
//
// By the schedule, and not from when it was sent: a sender that is held up is late with all that
// was due meanwhile, and these messages count with the time that they were late, not as the one
// that held them up (coordinated omission).
//
// The machine has a jitter of its own: a core that does nothing but look at the clock finds itself
// thrown back by interrupts and by the host. So one contestant sends nothing: its receiver looks at
// the clock by the same schedule, and says how late it was. What is in its tail is in all tails.
//
//   the clock alone     as above
//   one line            a bare word between the processes, which the receiver spins on
//   shm:, spinning      try_next() in a loop
//   shm:                next(), which spins for a while and then sleeps
//   shm:, wait=park     next(), which sleeps at once
//   pipe, UNIX socket   read() and write(), which sleep
//
// Each sample is a fifth of a second on a fresh channel (of ten thousand messages at the lower
// rate: there p99.99 is the latest one); its percentiles are a sample of the series `latency`.
// Nothing is dropped: a tail without what disturbed it would be made up. Both sides share one
// clock, read by each: some 25 ns of it are in every figure.
//
// Not measured: rates near the limit (there throughput is the question); messages of other sizes;
// bursts; who shares the cores, but as far as --real-time keeps it away.
//
//   percentiles_compare [--json FILE] [--rounds N] [--seconds S] [--real-time]
#include <fmt/core.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <span>
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

constexpr std::size_t kBytes = 64;
constexpr std::uint64_t kSampleNs = 200'000'000;
constexpr std::array<std::uint64_t, 2> kIntervals{20'000, 2'000};  // 50 thousand a second, and 500
constexpr std::uint64_t kMost = kSampleNs / kIntervals.back();
constexpr std::uint64_t kProbes = 2000;

struct Percentile {
  const char* name;
  double share;
};
constexpr std::array kPercentiles{Percentile{"p50", 0.5},       Percentile{"p90", 0.9},
                                  Percentile{"p99", 0.99},      Percentile{"p99.9", 0.999},
                                  Percentile{"p99.99", 0.9999}, Percentile{"max", 1.0}};

std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(
      std::chrono::nanoseconds(Clock::now().time_since_epoch()).count());
}

// What both processes see.
struct Shared {
  ExchangeLines lines;
  StartLine line;
  std::uint64_t start_ns;  // when the first message is due
  std::uint64_t interval_ns;
  std::uint64_t messages;
  double before_ns, after_ns;  // probes
  std::atomic<bool> there;     // the receiver is on its core
  alignas(kSharingRange) std::atomic<std::uint64_t> word;
  alignas(kSharingRange) std::atomic<std::uint64_t> received;
  std::array<std::uint32_t, kMost> late_ns;

  [[nodiscard]] std::uint64_t due(std::uint64_t i) const { return start_ns + i * interval_ns; }
  // Of message i, at once after it was read.
  void note(std::uint64_t i) {
    const std::uint64_t now = now_ns();
    const std::uint64_t late = now - std::min(now, due(i));
    late_ns[i] = static_cast<std::uint32_t>(std::min<std::uint64_t>(late, UINT32_MAX));
  }
  // Both sides have what they need: measures how far apart they are, and starts the schedule.
  void begin_sending() {
    line.wait();
    before_ns = lines.ask(0, kProbes);
    start_ns = now_ns() + 100'000;
    line.wait();
  }
  void begin_receiving() {
    line.wait();
    lines.serve(0, kProbes);
    line.wait();
  }
};

// One way from the one to the other. Each side opens what it needs, begins, and does its part.
struct Way {
  std::string name;
  Role role;
  std::function<void(Shared&)> send;
  std::function<void(Shared&)> receive;
  std::array<std::array<Samples*, kPercentiles.size()>, kIntervals.size()> samples{};
};

struct Payload {
  std::uint64_t words[kBytes / 8];
};

[[noreturn]] void fail(std::string_view what) {
  fmt::print(stderr, "percentiles_compare: {}\n", what);
  std::_Exit(1);
}

// Calls send(payload) for each message when it is due, or at once if that has passed.
template <class Send>
void by_schedule(Shared& shared, Send send) {
  shared.begin_sending();
  Payload payload{};
  for (std::uint64_t i = 0; i < shared.messages; ++i) {
    while (now_ns() < shared.due(i)) cpu_relax();
    for (std::uint64_t& word : payload.words) word = i;
    send(payload);
  }
}
// Calls receive(payload) until all have come.
template <class Receive>
void note_all(Shared& shared, Receive receive) {
  shared.begin_receiving();
  Payload payload{};
  for (std::uint64_t i = 0; i < shared.messages; ++i) {
    receive(payload);
    shared.note(i);
    if (payload.words[0] != i || payload.words[kBytes / 8 - 1] != i) fail("out of order or torn");
  }
}

Way clock_alone() {
  return {"the clock alone", Role::kFloor, [](Shared& shared) { shared.begin_sending(); },
          [](Shared& shared) {
            shared.begin_receiving();
            for (std::uint64_t i = 0; i < shared.messages; ++i) {
              while (now_ns() < shared.due(i)) cpu_relax();
              shared.note(i);
            }
          }};
}

Way one_line() {
  return {"one line", Role::kFloor,
          [](Shared& shared) {
            by_schedule(shared, [&](const Payload& payload) {
              // The receiver has to have seen the last one.
              while (shared.received.load(std::memory_order_acquire) != payload.words[0])
                cpu_relax();
              shared.word.store(payload.words[0] + 1, std::memory_order_release);
            });
          },
          [](Shared& shared) {
            note_all(shared, [&, i = std::uint64_t{0}](Payload& payload) mutable {
              while (shared.word.load(std::memory_order_acquire) != i + 1) cpu_relax();
              for (std::uint64_t& word : payload.words) word = i;
              shared.received.store(++i, std::memory_order_release);
            });
          }};
}

template <class T>
T must(Result<T> result) {
  if (!result) fail(result.error().message);
  return std::move(result).value();
}

Way channel(std::string name, const std::string& url, bool spins) {
  return {std::move(name), Role::kOurs,
          [=](Shared& shared) {
            Sender sender = must(Sender::open(url));
            if (sender.wait_for_receiver() != Status::kOk) fail("no receiver");
            by_schedule(shared, [&](const Payload& payload) {
              if (sender.send(std::as_bytes(std::span(payload.words))) != Status::kOk) fail("send");
            });
            static_cast<void>(sender.close());
          },
          [=](Shared& shared) {
            Receiver receiver =
                must(Receiver::open(url, {.wait = Deadline::after(std::chrono::seconds(10))}));
            note_all(shared, [&](Payload& payload) {
              const auto take = [&](const Message& message) {
                std::memcpy(&payload, message.bytes().data(), kBytes);
              };
              if (spins) {
                for (;; cpu_relax()) {
                  if (const auto message = receiver.try_next()) return take(*message);
                }
              }
              auto message = receiver.next();
              if (!message) fail(to_string(receiver.status()));
              take(*message);
            });
          }};
}

// `make` fills both ends: what is written to the first is read from the second.
Way descriptors(const char* name, int (*make)(int*)) {
  auto ends = std::make_shared<std::array<int, 2>>();
  if (make(ends->data()) != 0) fail(name);
  return {name, Role::kRival,
          [=](Shared& shared) {
            by_schedule(shared, [&](const Payload& payload) {
              if (write((*ends)[0], &payload, kBytes) != kBytes) fail("write");
            });
          },
          [=](Shared& shared) {
            note_all(shared, [&](Payload& payload) {
              if (read((*ends)[1], &payload, kBytes) != kBytes) fail("read");
            });
          }};
}

std::vector<Way> ways(const std::string& name) {
  const std::string url = "shm:" + name + "?capacity=1MiB";
  return {clock_alone(),
          one_line(),
          channel("shm:, spinning", url, true),
          channel("shm:", url, false),
          channel("shm:, wait=park", url + "&wait=park", false),
          descriptors("pipe",
                      [](int* ends) {
                        const int result = pipe(ends);
                        std::swap(ends[0], ends[1]);
                        return result;
                      }),
          descriptors("UNIX socket",
                      [](int* ends) { return socketpair(AF_UNIX, SOCK_STREAM, 0, ends); })};
}

Shared* map_shared() {
  void* const memory =
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) fail("mmap");
  std::memset(memory, 0, sizeof(Shared));  // its pages, before anything is measured
  return new (memory) Shared;
}

void take_sample(Way& way, std::size_t interval, bool real_time) {
  Shared* const shared = map_shared();
  shared->interval_ns = kIntervals[interval];
  shared->messages = kSampleNs / kIntervals[interval];
  const pid_t child = fork_child();
  if (child < 0) fail("fork");
  if (child == 0) {
    alarm(30);  // a sender that failed sends nothing more
    pin_to(1);
    shared->there.store(true, std::memory_order_release);
    const RealTime undisturbed(real_time);
    way.receive(*shared);
    shared->line.wait();
    shared->lines.serve(kProbes, kProbes);
    std::_Exit(0);
  }
  // It was born on this core.
  while (!shared->there.load(std::memory_order_acquire)) std::this_thread::yield();
  {
    const RealTime undisturbed(real_time);
    way.send(*shared);
    shared->line.wait();
    shared->after_ns = shared->lines.ask(kProbes, kProbes);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child || status != 0) fail(way.name + " did not end well");

  const std::span<std::uint32_t> late(shared->late_ns.data(), shared->messages);
  std::sort(late.begin(), late.end());
  for (std::size_t k = 0; k < kPercentiles.size(); ++k) {
    const auto at =
        static_cast<std::size_t>(kPercentiles[k].share * static_cast<double>(late.size()));
    way.samples[interval][k]->add({shared->before_ns, shared->after_ns},
                                  static_cast<double>(late[std::min(at, late.size() - 1)]), true);
  }
  munmap(shared, sizeof(Shared));
  // Real-time threads have 95 % of each second, and no more.
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
}

std::string rate(std::size_t interval) {
  return fmt::format("{} k/s", 1'000'000 / kIntervals[interval]);
}

int main(int argc, char** argv) {
  CLI::App app("How late single messages are that are due by a schedule");
  RunOptions options;
  options.add_to(app);
  CLI11_PARSE(app, argc, argv);
  if (Cores::in_use().count() < 2) {
    fmt::print(stderr, "percentiles_compare: needs two cores\n");
    return 1;
  }
  const OwnName name("percentiles-compare");
  Results results("percentiles_compare");
  pin_to(0);
  std::vector<Way> all = ways(name.get());
  for (Way& way : all) {
    for (std::size_t i = 0; i < kIntervals.size(); ++i) {
      for (std::size_t k = 0; k < kPercentiles.size(); ++k) {
        way.samples[i][k] = &results.add(
            {"latency",
             way.name,
             way.role,
             {{"bytes", kBytes}, {"rate", rate(i)}, {"percentile", kPercentiles[k].name}},
             "ns",
             false});
      }
    }
  }
  {
    Rounds rounds("percentiles_compare", options.rounds, options.seconds,
                  all.size() * kIntervals.size());
    for (std::size_t round = 0; rounds.next(); ++round) {
      for (std::size_t i = 0; i < kIntervals.size(); ++i) {
        // Nobody always comes after the same one: what the kernel gives to others once a second
        // would else meet the same one again and again.
        for (std::size_t k = 0; k < all.size(); ++k) {
          rounds.question();
          take_sample(all[(k + round) % all.size()], i, options.real_time);
        }
      }
    }
  }
  results.place();
  fmt::print("{}\n", describe_machine());
  results.print_placements();
  for (const Placement placement : kPlacements) {
    for (std::size_t i = 0; i < kIntervals.size(); ++i) {
      if (all.front().samples[i][0]->count(placement) == 0) continue;
      fmt::print("\n{:<24}", fmt::format("us late, {}, {}", rate(i), to_string(placement)));
      for (const Percentile& each : kPercentiles) fmt::print("{:>10}", each.name);
      fmt::print("{:>9}\n", "samples");
      for (const Way& way : all) {
        fmt::print("{:<24}", way.name);
        for (const Samples* samples : way.samples[i]) {
          const auto value = samples->get(placement);
          fmt::print("{:>10}", value ? fmt::format("{:.2f}", *value * 1e-3) : "-");
        }
        fmt::print("{:>9}\n", way.samples[i][0]->count(placement));
      }
    }
  }
  results.write(options.json);
  return 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
