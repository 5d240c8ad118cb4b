// Question: how many messages per second pass between two threads, one message per call, through
// our rings and through those of others, in the same run?
//
// Not measured: process boundaries, wake-ups, cold memory, batches (spsc_bench.cpp). Every message
// is written in full and read in full, and checked for order and sum. Two threads on one core each;
// the engines take turns, each sample on a fresh queue, bracketed by a probe of the cores'
// placement; a sample that was interrupted is dropped; medians within a placement. The ring both
// wraps and fills. Ratios are to the best of Boost's queue and the textbook ring. For 1 KiB, what a
// hand-over without any ring reaches is measured as well.
//
//   hand_off_compare [--json FILE] [--rounds N] [--real-time] [--bytes B...]
#include <fmt/core.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "support/engines.hpp"
#include "support/halves.hpp"
#include "support/machine.hpp"
#include "support/pair.hpp"
#include "support/payload.hpp"
#include "support/samples.hpp"

namespace rondo::bench {
namespace {

template <class Engine>
void produce(Engine& engine, std::uint64_t messages) {
  typename Engine::Sender sender(engine);
  for (std::uint64_t i = 0; i < messages; ++i) {
    while (!sender.try_send([i](void* to) { write_message(to, Engine::kBytes, i); })) cpu_relax();
  }
}

template <class Engine>
void consume(Engine& engine, std::uint64_t messages) {
  typename Engine::Receiver receiver(engine);
  Checker checker;
  for (std::uint64_t i = 0; i < messages; ++i) {
    while (!receiver.try_receive(
        [&checker, i](const void* from) { checker.read_message(from, Engine::kBytes, i); })) {
      cpu_relax();
    }
  }
  if (!checker.complete(messages, Engine::kBytes)) {
    fmt::print(stderr, "{}: messages arrived torn or out of order\n", Engine::name());
    std::exit(1);
  }
}

struct Contest {
  std::size_t bytes;
  std::size_t slots;
  struct Entry {
    std::string name;
    bool rival;  // one of the two that ratios are taken to
    std::function<void(Pair&, Samples&)> sample;
    Samples samples;
  };
  std::vector<Entry> entries;

  template <class Engine>
  void add(std::uint64_t messages, bool rival = false) {
    entries.push_back({Engine::name(),
                       rival,
                       [=, this](Pair& pair, Samples& samples) {
                         auto engine = std::make_unique<Engine>(slots);
                         const auto outcome = pair.run([&] { produce(*engine, messages); },
                                                       [&] { consume(*engine, messages); });
                         samples.add(outcome.placement,
                                     static_cast<double>(messages) / outcome.seconds,
                                     outcome.clean);
                       },
                       {}});
  }
  [[nodiscard]] double best_rival(Placement placement) const {
    double best = 0;
    for (const Entry& entry : entries) {
      if (entry.rival) best = std::max(best, entry.samples.get(placement).value_or(0));
    }
    return best;
  }
};

template <std::size_t kBytes>
std::unique_ptr<Contest> contest(std::size_t slots) {
  auto made = std::make_unique<Contest>(Contest{kBytes, slots, {}});
  // Some milliseconds for each, and at least a few hundred laps.
  const std::uint64_t messages = std::max<std::uint64_t>(80'000'000 / (kBytes + 16), slots * 200);
  made->add<BoostQueue<kBytes>>(messages, true);
  made->add<Textbook<kBytes>>(messages, true);
  made->add<SpscRing<kBytes, Pacing::kOff>>(messages);
  made->add<SpscRing<kBytes>>(messages);
  made->add<RecordRing<kBytes>>(messages);
  made->add<Channel<kBytes>>(messages);
#if RONDO_BENCH_MOODYCAMEL
  made->add<Moodycamel<kBytes>>(messages);
#endif
  if constexpr (kBytes >= 1024) {
    const std::uint64_t whole = messages / slots * slots;
    made->add<Halves<kBytes, false>>(whole);
    made->add<Halves<kBytes, true>>(whole);
  }
  return made;
}

void print(const Contest& contest) {
  for (const Placement placement : kPlacements) {
    const double rival = contest.best_rival(placement);
    if (rival == 0) continue;
    fmt::print("\n{} B, {} slots, {:<10}{:>14}{:>16}{:>10}\n", contest.bytes, contest.slots,
               to_string(placement), "M messages/s", "to best rival", "samples");
    for (const auto& entry : contest.entries) {
      const auto rate = entry.samples.get(placement);
      if (!rate) continue;
      fmt::print("  {:<28}{:>14.1f}{:>16.2f}{:>10}\n", entry.name, *rate * 1e-6, *rate / rival,
                 entry.samples.count(placement));
    }
  }
}

nlohmann::json json_of(const Contest& contest) {
  auto rows = nlohmann::json::array();
  for (const Placement placement : kPlacements) {
    for (const auto& entry : contest.entries) {
      const auto rate = entry.samples.get(placement);
      if (!rate) continue;
      const double rival = contest.best_rival(placement);
      rows.push_back({{"engine", entry.name},
                      {"bytes", contest.bytes},
                      {"slots", contest.slots},
                      {"placement", to_string(placement)},
                      {"messages_per_s", *rate},
                      {"to_best_rival", rival > 0 ? nlohmann::json(*rate / rival) : nullptr},
                      {"samples", entry.samples.count(placement)}});
    }
  }
  return rows;
}

int main(int argc, char** argv) {
  CLI::App app("Messages per second between two threads: our rings and those of others");
  std::string json;
  int rounds = 15;
  bool real_time = false;
  std::vector<std::size_t> sizes;
  app.add_option("--json", json, "write all figures to this file");
  app.add_option("--rounds", rounds, "samples of each engine")->check(CLI::Range(1, 10000));
  app.add_option("--bytes", sizes, "only messages of these sizes");
  app.add_flag("--real-time", real_time, "keep other programs off the two cores (needs root)");
  CLI11_PARSE(app, argc, argv);
  if (std::thread::hardware_concurrency() < 2) {
    fmt::print(stderr, "hand_off_compare: needs two cores\n");
    return 1;
  }

  std::vector<std::unique_ptr<Contest>> contests;
  contests.push_back(contest<8>(1024));
  contests.push_back(contest<64>(1024));
  contests.push_back(contest<256>(1024));
  contests.push_back(contest<1024>(64));
  contests.push_back(contest<1024>(1024));
  contests.push_back(contest<1024>(8192));  // 8 MiB: beyond the second-level caches
  {
    Pair pair(real_time);
    for (int round = 0; round < rounds; ++round) {
      for (const auto& contest : contests) {
        if (!sizes.empty() && std::ranges::find(sizes, contest->bytes) == sizes.end()) continue;
        for (auto& entry : contest->entries) entry.sample(pair, entry.samples);
      }
    }
  }
  fmt::print("{}\n", describe_machine());
  nlohmann::json result{{"machine", describe_machine()}, {"rows", nlohmann::json::array()}};
  for (const auto& contest : contests) {
    print(*contest);
    for (auto& row : json_of(*contest)) result["rows"].push_back(std::move(row));
  }
  if (!json.empty()) std::ofstream(json) << result.dump(2) << '\n';
  return 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
