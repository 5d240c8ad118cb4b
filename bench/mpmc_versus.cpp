// Questions: how many messages per second pass from P producers to C consumers in one process; what
// a round trip through two rings costs; what announcing costs; what batches gain.
// Not measured: process boundaries, wake-ups, cold memory. 1024 slots, so the ring both wraps and
// fills; every message is written and read in full, and summed up. Threads are pinned to the cores
// in turn; how mixes of more threads than cores are measured says mpmc_measure.hpp: compare engines
// within such a mix, not mixes with each other. Engines are interleaved, each run has a fresh ring,
// each sample is bracketed by a probe of how far apart the first two cores are, and medians are
// taken within a placement (support/modes.hpp). Samples whose threads lost more than a tenth of the
// cores to others are dropped.
//
//   mpmc_versus [--json FILE] [--rounds N] [--seconds S] [--few-mixes] [--only PART-OF-A-NAME]
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mpmc_measure.hpp"
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

struct Engine {
  std::string name;
  double (*throughput)(const Mix&, std::uint32_t, std::uint64_t&);
  double (*round_trip)();
  std::uint32_t batch = 1;
  // A thread that is preempted amid a call of some queues holds up all others, which spin: with
  // many more threads than cores that takes minutes. These are left out there.
  bool may_be_preempted = true;
  Role role = Role::kRival;

  [[nodiscard]] bool measured_with(const Mix& mix) const {
    return throughput != nullptr && (may_be_preempted || static_cast<std::size_t>(mix.threads()) <=
                                                             2 * Cores::in_use().count());
  }
};

template <template <class> class Queue, class T>
Engine engine(std::string name, Role role = Role::kRival) {
  return {std::move(name), &throughput<Queue<T>, T>, &round_trip<Queue<T>, T>, 1, true, role};
}

template <class T>
std::vector<Engine> engines() {
  using Ours = RondoMpmc<T>;
  using Unannounced = RondoMpmc<T, MpmcUnannounced>;
  return {
      {"mpmc_ring", &throughput<Ours, T>, &round_trip<Ours, T>, 1, true, Role::kOurs},
      {"mpmc_ring, not announced", &throughput<Unannounced, T>, &round_trip<Unannounced, T>, 1,
       true, Role::kVariant},
      {"mpmc_ring, batches of 16", &throughput<Ours, T>, nullptr, kBatch, true, Role::kVariant},
      {"bare slots, no queue", nullptr, &round_trip<BareSlots<T>, T>, 1, true, Role::kFloor},
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
#ifdef RONDO_RIVAL_CK
      {"concurrencykit ck_ring", &throughput<CkRing<T>, T>, &round_trip<CkRing<T>, T>, 1, false},
#endif
#ifdef RONDO_RIVAL_RTE_RING
      {"DPDK rte_ring", &throughput<RteRing<T>, T>, &round_trip<RteRing<T>, T>, 1, false},
#endif
  };
}

// Balanced ones, many to one, and one to many. In a quick run a few of them.
constexpr std::array kMixes{Mix{1, 1}, Mix{2, 2}, Mix{4, 4}, Mix{4, 1}, Mix{1, 4},
                            Mix{8, 8}, Mix{2, 1}, Mix{7, 1}, Mix{1, 2}, Mix{1, 7}};
constexpr std::size_t kFewMixes = 5;

// Of one size of messages.
struct Table {
  struct Cell {
    Mix mix;
    Samples* samples;
    std::uint64_t messages = 0;  // of the next sample; 0: not known yet
    bool wrong = false;          // what was received is not what was sent: not kept
  };
  struct Row {
    Engine engine;
    std::vector<Cell> cells;  // in the order of the mixes
    Samples* round_trip;
  };
  std::size_t bytes;
  std::vector<Row> rows{};
};

template <class T>
Table table(Results& results, std::span<const Mix> mixes, std::string_view only) {
  Table table{sizeof(T)};
  for (Engine& each : engines<T>()) {
    if (each.name.find(only) == std::string::npos) continue;
    const auto of = [&](const char* question, const Mix& mix, const char* unit,
                        bool more_is_better) {
      return &results.add({question,
                           each.name,
                           each.role,
                           {{"bytes", sizeof(T)},
                            {"producers", mix.producers},
                            {"consumers", mix.consumers},
                            {"slots", kSlots}},
                           unit,
                           more_is_better});
    };
    Table::Row row{each, {}, nullptr};
    for (const Mix& mix : mixes) {
      row.cells.push_back(
          {mix, each.measured_with(mix) ? of("mpmc", mix, "messages/s", true) : nullptr});
    }
    if (each.round_trip != nullptr) {
      row.round_trip = of("mpmc_round_trip", {1, 1}, "ns", false);
    }
    table.rows.push_back(std::move(row));
  }
  return table;
}

void take_sample(const Engine& engine, Table::Cell& cell) {
  const Cores& cores = Cores::in_use();
  const double before = probe_cores(cores.number(0), cores.number(1), true);
  const double value = engine.throughput(cell.mix, engine.batch, cell.messages);
  const double after = probe_cores(cores.number(0), cores.number(1), true);
  if (value == kWrong) {
    cell.wrong = true;
  } else {
    cell.samples->add({before, after}, value, value != kDisturbed);
  }
}

void take_round(Table& table, std::size_t round) {
  for (std::size_t k = 0; k < table.rows.size(); ++k) {
    // Nobody always comes after the same one: what uses much time is given less of it afterwards.
    Table::Row& row = table.rows[(k + round) % table.rows.size()];
    for (Table::Cell& cell : row.cells) {
      if (cell.samples != nullptr) take_sample(row.engine, cell);
    }
    if (row.round_trip == nullptr) continue;
    const Cores& cores = Cores::in_use();
    const double before = probe_cores(cores.number(0), cores.number(1), true);
    const double value = row.engine.round_trip();
    row.round_trip->add({before, probe_cores(cores.number(0), cores.number(1), true)}, value,
                        value != kDisturbed);
  }
}

void print(const Table& table, std::span<const Mix> mixes) {
  for (const Placement placement : kPlacements) {
    const auto cell = [&](const Samples* samples, double unit) -> std::string {
      const auto value = samples == nullptr ? std::nullopt : samples->get(placement);
      return value ? fmt::format("{:.1f} ({})", *value / unit, samples->count(placement)) : "-";
    };
    const bool any = std::any_of(table.rows.begin(), table.rows.end(), [&](const Table::Row& row) {
      return std::any_of(row.cells.begin(), row.cells.end(), [&](const Table::Cell& each) {
        return each.samples != nullptr && each.samples->count(placement) > 0;
      });
    });
    if (!any) continue;
    fmt::print("\n{}-byte messages, {} slots, {}\n{:28}", table.bytes, kSlots, to_string(placement),
               "M messages/s (samples)");
    for (const Mix& mix : mixes) {
      fmt::print("{:>11}", mix.name() + (mix.oversubscribed() ? "*" : ""));
    }
    fmt::print("{:>16}\n", "round trip, ns");
    for (const Table::Row& row : table.rows) {
      fmt::print("{:28}", row.engine.name);
      for (const Table::Cell& each : row.cells) fmt::print("{:>11}", cell(each.samples, 1e6));
      fmt::print("{:>16}\n", cell(row.round_trip, 1));
    }
  }
}

int main(int argc, char** argv) {
  CLI::App app("Many to many: our ring and the queues of others");
  RunOptions options;
  options.rounds = 5;
  std::string only;
  bool few = false;
  options.add_to(app);
  app.add_flag("--few-mixes", few, "not all mixes of producers and consumers");
  app.add_option("--only", only, "only engines whose name has this in it");
  CLI11_PARSE(app, argc, argv);
  if (Cores::in_use().count() < 2) {
    fmt::print(stderr, "mpmc_versus: needs two cores\n");
    return 1;
  }
  Results results("mpmc_versus");
  const auto mixes = std::span(kMixes).first(few ? kFewMixes : kMixes.size());
  std::array tables{table<Message<8>>(results, mixes, only),
                    table<Message<64>>(results, mixes, only)};
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
  fmt::print("*: more threads than cores; each yields as soon as it gets nothing\n");
  bool ours_failed = false;
  for (const Table& table : tables) {
    print(table, mixes);
    for (const Table::Row& row : table.rows) {
      for (const Table::Cell& cell : row.cells) {
        if (!cell.wrong) continue;
        const std::string why = fmt::format("{}, {} B: what was received is not what was sent",
                                            cell.mix.name(), table.bytes);
        fmt::print("FAILED: {}: {}\n", row.engine.name, why);
        results.fail(row.engine.name, why);
        ours_failed =
            ours_failed || row.engine.role == Role::kOurs || row.engine.role == Role::kVariant;
      }
    }
  }
  results.write(options.json);
  return ours_failed ? 1 : 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
