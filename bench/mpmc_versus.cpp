// Questions: how many messages per second pass from P producers to C consumers in one process; what
// a round trip through two rings costs; what announcing costs; what batches gain.
// Not measured: process boundaries, wake-ups, cold memory. 1024 slots, so the ring both wraps and
// fills; every message is written and read in full, and summed up. Threads are pinned in turn to
// two cores: 2P2C and 4P4C are oversubscribed there. A thread that gets nothing pauses, and yields
// after 200 times in vain. Engines are interleaved, each run has a fresh ring, each sample is
// bracketed by a probe of how far apart the cores are, and medians are taken within a placement
// (support/modes.hpp). Samples whose threads lost more than a tenth of the two cores to others
// are dropped.
//
//   mpmc_versus [--json FILE] [--rounds N] [--seconds S] [--only PART-OF-A-NAME]
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "mpmc_rivals.hpp"
#include "rivals/left_out.hpp"
#include "rivals/mpmc_boost_lockfree.hpp"
#include "support/cores.hpp"
#include "support/machine.hpp"
#include "support/results.hpp"
#ifdef RONDO_RIVAL_XENIUM
#include "rivals/mpmc_xenium.hpp"
#endif
#ifdef RONDO_RIVAL_ATOMIC_QUEUE
#include "rivals/mpmc_atomic_queue.hpp"
#endif
#ifdef RONDO_RIVAL_CONCURRENTQUEUE
#include "rivals/mpmc_concurrentqueue.hpp"
#endif
#ifdef RONDO_RIVAL_TBB
#include "rivals/mpmc_tbb.hpp"
#endif
#ifdef RONDO_RIVAL_CK
#include "rivals/mpmc_ck_ring.hpp"
#endif
#ifdef RONDO_RIVAL_RTE_RING
#include "rivals/rte_ring.hpp"
#endif

namespace rondo::bench {
namespace {

constexpr std::size_t kSlots = 1024;
constexpr std::uint64_t kFirstMessages = 100'000;  // by which the length of a sample is estimated
constexpr double kSampleSeconds = 0.01;            // regimes show, and the start does not matter
constexpr std::uint32_t kBatch = 16;

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
  // False when it has taken so long that something must have been lost.
  [[nodiscard]] bool vain() {
    if (++times_ % 200 != 0) {
      cpu_relax();
      return true;
    }
    std::this_thread::yield();
    return seconds_since(start_) < kSeconds;
  }

 private:
  static constexpr double kSeconds = 30;
  std::uint32_t times_ = 0;
  Clock::time_point start_ = Clock::now();
};

double probe() {
  ExchangeLines lines{};
  std::atomic<bool> there{false};
  constexpr std::uint64_t kExchanges = 2'000;
  std::thread server([&] {
    pin_to(1);
    const RealTime undisturbed(true);
    there.store(true);
    lines.serve(0, kExchanges);
  });
  pin_to(0);
  while (!there.load()) std::this_thread::yield();  // it was born on this core
  const RealTime undisturbed(true);
  lines.ask(0, kExchanges / 10);
  const double result = lines.ask(kExchanges / 10, kExchanges - kExchanges / 10);
  server.join();
  return result;
}

template <class Queue, class T>
void produce(Queue& queue, auto& handle, std::uint64_t messages, std::uint32_t batch) {
  Patience patience;
  if constexpr (requires { queue.push_many(handle, std::span<const T>()); }) {
    if (batch > 1) {
      std::array<T, kBatch> values{};
      for (std::uint64_t i = 0; i < messages;) {
        const auto count = static_cast<std::uint32_t>(std::min<std::uint64_t>(batch, messages - i));
        for (std::uint32_t k = 0; k < count; ++k) values[k].fill(i + k);
        for (std::uint32_t done = 0; done < count;) {
          const std::size_t pushed =
              queue.push_many(handle, std::span<const T>(values).subspan(done, count - done));
          if (pushed == 0 && !patience.vain()) return;
          done += static_cast<std::uint32_t>(pushed);
        }
        i += count;
      }
      return;
    }
  }
  T value{};
  for (std::uint64_t i = 0; i < messages; ++i) {
    value.fill(i);
    while (!queue.push(handle, value)) {
      if (!patience.vain()) return;
    }
  }
}

// Consumers share what there is, until all has come.
template <class Queue, class T>
std::uint64_t consume(Queue& queue, auto& handle, std::atomic<std::uint64_t>& left,
                      std::uint32_t batch) {
  Patience patience;
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

// The share of two cores that the threads of a sample had.
class TwoCores {
 public:
  void add_this_thread() { cpu_.fetch_add(static_cast<std::uint64_t>(thread_cpu_seconds() * 1e9)); }
  [[nodiscard]] bool ours(double seconds) const {
    return static_cast<double>(cpu_.load()) * 1e-9 > 0.9 * 2 * seconds;
  }

 private:
  std::atomic<std::uint64_t> cpu_{0};
};

constexpr double kDisturbed = 0;
constexpr double kWrong = -1;  // what was received is not what was sent

// Messages per second, in a run of `messages`.
template <class Queue, class T>
double throughput_of(std::uint64_t messages, int pairs, std::uint32_t batch) {
  auto queue = std::make_unique<Queue>(kSlots);
  const std::uint64_t each = messages / static_cast<std::uint64_t>(pairs);
  std::atomic<std::uint64_t> left{each * static_cast<std::uint64_t>(pairs)};
  std::atomic<std::uint64_t> sum{0};
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  TwoCores cores;
  std::vector<std::thread> threads;
  for (int i = 0; i < 2 * pairs; ++i) {
    threads.emplace_back([&, i] {
      // Producers on alternating cores, and consumers on the respective other one.
      const bool producer = i < pairs;
      pin_to(producer ? i % 2 : (i - pairs + 1) % 2);
      auto handle = queue->handle(static_cast<std::uint32_t>(i));
      ready.fetch_add(1);
      while (!go.load(std::memory_order_acquire)) std::this_thread::yield();
      const RealTime undisturbed(pairs == 1);
      if (producer) {
        produce<Queue, T>(*queue, handle, each, batch);
      } else {
        sum.fetch_add(consume<Queue, T>(*queue, handle, left, batch));
      }
      cores.add_this_thread();
    });
  }
  while (ready.load() != 2 * pairs) std::this_thread::yield();
  const auto start = Clock::now();
  go.store(true, std::memory_order_release);
  for (auto& thread : threads) thread.join();
  const double seconds = seconds_since(start);
  const std::uint64_t expected =
      each * (each - 1) / 2 * static_cast<std::uint64_t>(pairs) * (sizeof(T) / 8);
  if (sum.load() != expected) return kWrong;
  if (!cores.ours(seconds)) return kDisturbed;
  return static_cast<double>(each) * pairs / seconds;
}

template <class Queue, class T>
double throughput(int pairs, std::uint32_t batch) {
  const double first = throughput_of<Queue, T>(kFirstMessages, pairs, batch);
  if (first <= kDisturbed) return first;
  const auto messages = static_cast<std::uint64_t>(first * kSampleSeconds);
  return throughput_of<Queue, T>(std::max(messages, kFirstMessages), pairs, batch);
}

// Nanoseconds there and back, through two rings.
template <class Queue, class T>
double round_trip(int, std::uint32_t) {
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

struct Engine {
  std::string name;
  double (*throughput)(int, std::uint32_t);
  double (*round_trip)(int, std::uint32_t);
  std::uint32_t batch = 1;
  int most_pairs = 4;
  Role role = Role::kRival;
};

template <template <class> class Queue, class T>
Engine engine(std::string name, Role role = Role::kRival) {
  return {std::move(name), &throughput<Queue<T>, T>, &round_trip<Queue<T>, T>, 1, 4, role};
}

template <class T>
std::vector<Engine> engines() {
  using Ours = RondoMpmc<T>;
  using Unannounced = RondoMpmc<T, MpmcUnannounced>;
  return {
      {"mpmc_ring", &throughput<Ours, T>, &round_trip<Ours, T>, 1, 4, Role::kOurs},
      {"mpmc_ring, not announced", &throughput<Unannounced, T>, &round_trip<Unannounced, T>, 1, 4,
       Role::kOurs},
      {"mpmc_ring, batches of 16", &throughput<Ours, T>, nullptr, kBatch, 4, Role::kOurs},
      {"bare slots, no queue", nullptr, &round_trip<BareSlots<T>, T>, 1, 4, Role::kFloor},
      engine<TicketRing, T>("ticket and turn ring", Role::kTextbook),
      engine<BoostLockfree, T>("Boost.Lockfree queue"),
#ifdef RONDO_RIVAL_XENIUM
      engine<XeniumVyukov, T>("xenium vyukov_bounded_queue"),
#endif
#ifdef RONDO_RIVAL_ATOMIC_QUEUE
      engine<AtomicQueue, T>("atomic_queue"),
#endif
#ifdef RONDO_RIVAL_CONCURRENTQUEUE
      engine<Moodycamel, T>("moodycamel ConcurrentQueue"),
#endif
#ifdef RONDO_RIVAL_TBB
      engine<TbbBounded, T>("TBB concurrent_bounded_queue"),
#endif
  // A thread preempted amid a call of these holds up all others, which spin: 4P4C takes minutes.
#ifdef RONDO_RIVAL_CK
      {"concurrencykit ck_ring", &throughput<CkRing<T>, T>, &round_trip<CkRing<T>, T>, 1, 2},
#endif
#ifdef RONDO_RIVAL_RTE_RING
      {"DPDK rte_ring", &throughput<RteRing<T>, T>, &round_trip<RteRing<T>, T>, 1, 2},
#endif
  };
}

// Whether what was received is what was sent.
bool take_sample(Samples& into, double (*measure)(int, std::uint32_t), int pairs,
                 std::uint32_t batch) {
  const double before = probe();
  const double value = measure(pairs, batch);
  const double after = probe();
  if (value != kWrong) into.add({before, after}, value, value != kDisturbed);
  return value != kWrong;
}

constexpr std::array kPairs{1, 2, 4};

// Of one size of messages.
struct Table {
  std::size_t bytes;
  struct Row {
    Engine engine;
    std::array<Samples*, 4> samples;  // 1, 2, 4 pairs; round trip
    std::array<bool, 3> wrong{};      // of 1, 2, 4 pairs: one sample, which is not kept
  };
  std::vector<Row> rows{};
};

template <class T>
Table table(Results& results, std::string_view only) {
  Table table{sizeof(T)};
  for (Engine& each : engines<T>()) {
    if (each.name.find(only) == std::string::npos) continue;
    const auto of = [&](const char* question, int pairs, const char* unit, bool more_is_better) {
      return &results.add(
          {question,
           each.name,
           each.role,
           {{"bytes", sizeof(T)}, {"producers", pairs}, {"consumers", pairs}, {"slots", kSlots}},
           unit,
           more_is_better});
    };
    Table::Row row{each, {}};
    for (std::size_t i = 0; i < kPairs.size(); ++i) {
      if (each.throughput == nullptr || kPairs[i] > each.most_pairs) continue;
      row.samples[i] = of("mpmc", kPairs[i], "messages/s", true);
    }
    if (each.round_trip != nullptr) row.samples[3] = of("mpmc_round_trip", 1, "ns", false);
    table.rows.push_back(std::move(row));
  }
  return table;
}

void take_round(Table& table, std::size_t round) {
  for (std::size_t k = 0; k < table.rows.size(); ++k) {
    // Nobody always comes after the same one: what uses much time is given less of it afterwards.
    Table::Row& row = table.rows[(k + round) % table.rows.size()];
    const Engine& engine = row.engine;
    for (std::size_t i = 0; i < kPairs.size(); ++i) {
      if (row.samples[i] == nullptr) continue;
      const bool right = take_sample(*row.samples[i], engine.throughput, kPairs[i], engine.batch);
      row.wrong[i] = row.wrong[i] || !right;
    }
    if (row.samples[3] != nullptr) take_sample(*row.samples[3], engine.round_trip, 1, 1);
  }
}

void print(const Table& table) {
  for (const Placement placement : kPlacements) {
    const auto cell = [&](const Samples* samples, double unit) -> std::string {
      const auto value = samples == nullptr ? std::nullopt : samples->get(placement);
      return value ? fmt::format("{:.1f} ({})", *value / unit, samples->count(placement)) : "-";
    };
    const bool any = std::any_of(table.rows.begin(), table.rows.end(), [&](const Table::Row& row) {
      return std::any_of(row.samples.begin(), row.samples.end(), [&](const Samples* samples) {
        return samples != nullptr && samples->count(placement) > 0;
      });
    });
    if (!any) continue;
    fmt::print("\n{}-byte messages, {} slots, {}\n", table.bytes, kSlots, to_string(placement));
    fmt::print("{:30}{:>12}{:>12}{:>12}{:>16}\n", "M messages/s (samples)", "1P1C", "2P2C", "4P4C",
               "round trip, ns");
    for (const Table::Row& row : table.rows) {
      fmt::print("{:30}{:>12}{:>12}{:>12}{:>16}\n", row.engine.name, cell(row.samples[0], 1e6),
                 cell(row.samples[1], 1e6), cell(row.samples[2], 1e6), cell(row.samples[3], 1));
    }
  }
}

int main(int argc, char** argv) {
  CLI::App app("Many to many: our ring and the queues of others");
  RunOptions options;
  options.rounds = 5;
  std::string only;
  options.add_to(app);
  app.add_option("--only", only, "only engines whose name has this in it");
  CLI11_PARSE(app, argc, argv);
  if (Cores::in_use().count() < 2) {
    fmt::print(stderr, "mpmc_versus: needs two cores\n");
    return 1;
  }
  Results results("mpmc_versus");
  std::array tables{table<Message<8>>(results, only), table<Message<64>>(results, only)};
  {
    Rounds rounds("mpmc_versus", options.rounds, options.seconds, tables.size());
    for (std::size_t round = 0; rounds.next(); ++round) {
      for (Table& table : tables) {
        rounds.question();
        take_round(table, round);
      }
    }
  }
  results.place();
  fmt::print("{}\n", describe_machine());
  print_left_out();
  results.print_placements();
  bool ours_failed = false;
  for (const Table& table : tables) {
    print(table);
    for (const Table::Row& row : table.rows) {
      for (std::size_t i = 0; i < kPairs.size(); ++i) {
        if (!row.wrong[i]) continue;
        const std::string why =
            fmt::format("{} to {}, {} B: what was received is not what was sent", kPairs[i],
                        kPairs[i], table.bytes);
        fmt::print("FAILED: {}: {}\n", row.engine.name, why);
        results.fail(row.engine.name, why);
        ours_failed = ours_failed || row.engine.role == Role::kOurs;
      }
    }
  }
  results.write(options.json);
  return ours_failed ? 1 : 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
