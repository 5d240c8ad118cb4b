// Questions: how many messages per second pass from P producers to C consumers in one process; what
// a round trip through two rings costs; what announcing costs; what batches gain.
// Not measured: process boundaries, wake-ups, cold memory. 1024 slots, so the ring both wraps and
// fills; every message is written and read in full, and summed up. Threads are pinned in turn to
// two cores: 2P2C and 4P4C are oversubscribed there. A thread that gets nothing pauses, and yields
// after 200 times in vain. Engines are interleaved, each run has a fresh ring, each sample is
// bracketed by a probe of how far apart the cores are, and medians are taken within a tag
// (support/machine.hpp). Samples whose threads lost more than a tenth of the two cores to others
// are dropped.
//
//   mpmc_versus [rounds [only-engines-whose-name-contains]]
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "mpmc_rivals.hpp"
#include "rivals/left_out.hpp"
#include "rivals/mpmc_boost_lockfree.hpp"
#include "support/machine.hpp"
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

// Million messages per second, in a run of `messages`.
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
  return static_cast<double>(each) * pairs / seconds / 1e6;
}

template <class Queue, class T>
double throughput(int pairs, std::uint32_t batch) {
  const double first = throughput_of<Queue, T>(kFirstMessages, pairs, batch);
  if (first <= kDisturbed) return first;
  const auto messages = static_cast<std::uint64_t>(first * 1e6 * kSampleSeconds);
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
};

template <template <class> class Queue, class T>
Engine engine(std::string name) {
  return {std::move(name), &throughput<Queue<T>, T>, &round_trip<Queue<T>, T>};
}

template <class T>
std::vector<Engine> engines() {
  using Ours = RondoMpmc<T>;
  using Unannounced = RondoMpmc<T, MpmcUnannounced>;
  return {
      {"mpmc_ring", &throughput<Ours, T>, &round_trip<Ours, T>},
      {"mpmc_ring, not announced", &throughput<Unannounced, T>, &round_trip<Unannounced, T>},
      {"mpmc_ring, batches of 16", &throughput<Ours, T>, nullptr, kBatch},
      {"bare slots, no queue", nullptr, &round_trip<BareSlots<T>, T>},
      engine<TicketRing, T>("ticket and turn ring"),
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

struct Samples {
  std::map<Placement, std::vector<double>> taken;
  bool wrong = false;  // one of them, which is not among those taken
};

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::nth_element(values.begin(), values.begin() + static_cast<long>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

void take_sample(Samples& into, Samples& bare, double (*measure)(int, std::uint32_t), int pairs,
                 std::uint32_t batch) {
  const double before = probe();
  const double value = measure(pairs, batch);
  const double after = probe();
  if (value == kWrong) into.wrong = true;
  if (value <= kDisturbed) return;
  const Placement placement = classify(before, after);
  into.taken[placement].push_back(value);
  bare.taken[placement].push_back((before + after) / 2);
}

// Whether ours were right.
template <class T>
bool compare(std::string_view title, int rounds, std::string_view only) {
  constexpr std::array kPairs{1, 2, 4};
  struct Row {
    Engine engine;
    std::array<Samples, 4> samples;  // 1, 2, 4 pairs; round trip
  };
  std::vector<Row> rows;
  for (Engine& each : engines<T>()) {
    if (each.name.find(only) != std::string::npos) rows.push_back({std::move(each), {}});
  }
  Samples bare;
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t k = 0; k < rows.size(); ++k) {
      // Nobody always comes after the same one: what uses much time is given less of it afterwards.
      Row& row = rows[(k + static_cast<std::size_t>(round)) % rows.size()];
      for (std::size_t i = 0; i < kPairs.size(); ++i) {
        if (row.engine.throughput == nullptr || kPairs[i] > row.engine.most_pairs) continue;
        take_sample(row.samples[i], bare, row.engine.throughput, kPairs[i], row.engine.batch);
      }
      if (row.engine.round_trip != nullptr) {
        take_sample(row.samples[3], bare, row.engine.round_trip, 1, 1);
      }
    }
  }
  for (const Placement placement : kPlacements) {
    if (bare.taken[placement].size() < rows.size()) continue;
    fmt::print("\n{}, {} slots, {} (bare exchange {:.0f} ns)\n", title, kSlots,
               to_string(placement), median(bare.taken[placement]));
    fmt::print("{:30}{:>12}{:>12}{:>12}{:>16}\n", "M messages/s (samples)", "1P1C", "2P2C", "4P4C",
               "round trip, ns");
    for (Row& row : rows) {
      fmt::print("{:30}", row.engine.name);
      for (std::size_t i = 0; i < 4; ++i) {
        const auto& values = row.samples[i].taken[placement];
        fmt::print("{:>{}}",
                   values.empty() ? "-" : fmt::format("{:.1f} ({})", median(values), values.size()),
                   i == 3 ? 16 : 12);
      }
      fmt::print("\n");
    }
  }
  bool ours_right = true;
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < kPairs.size(); ++i) {
      if (!row.samples[i].wrong) continue;
      fmt::print("FAILED: {}, {} to {}: what was received is not what was sent\n", row.engine.name,
                 kPairs[i], kPairs[i]);
      ours_right = ours_right && !row.engine.name.starts_with("mpmc_ring");
    }
  }
  return ours_right;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) {
  using namespace rondo::bench;
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 5;
  const std::string_view only = argc > 2 ? argv[2] : "";
  print_left_out();
  const bool small = compare<Message<8>>("8-byte messages", rounds, only);
  const bool large = compare<Message<64>>("64-byte messages", rounds, only);
  return small && large ? 0 : 1;
}
