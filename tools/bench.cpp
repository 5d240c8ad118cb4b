// rondo bench: where Rondo stands on this machine, beside what the kernel offers.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "bench_sample.hpp"
#include "commands.hpp"
#include "exit_code.hpp"
#include "rondo/transports/channel_info.hpp"
#include "say.hpp"
#include "stop_signal.hpp"
#include "support/cores.hpp"
#include "support/facts.hpp"
#include "support/samples.hpp"
#include "units.hpp"

namespace rondo::program {
namespace {

constexpr std::array<std::size_t, 3> kSizes{64, 1024, 65536};
constexpr int kRounds = 3;
constexpr std::string_view kNotMeasured =
    "messages that come by a timetable (the next one is sent when the last has come back, so that "
    "a "
    "stall counts once), waking a receiver that has slept for long, more than two processes, "
    "memory that is not in a cache";

struct Cell {
  const BenchWay* way;
  std::size_t bytes;
  Histogram round_trips;
  std::vector<double> rates;  // messages per second, one of each round
  std::string failure;

  [[nodiscard]] double rate() const { return rates.empty() ? 0 : bench::median(rates); }
};

// Where directories are made that go again.
std::string temporary() {
  const char* const chosen = std::getenv("TMPDIR");
  return chosen != nullptr && *chosen != '\0' ? chosen : "/tmp";
}

// A directory that goes with this object.
class Directory {
 public:
  Directory() {
    std::string pattern = temporary() + "/rondo-bench-XXXXXX";
    if (::mkdtemp(pattern.data()) != nullptr) path_ = pattern;
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

std::vector<Cell> cells_to_measure() {
  std::vector<Cell> cells;
  for (const std::size_t bytes : kSizes) {
    for (const BenchWay& way : bench_ways()) cells.push_back({&way, bytes, {}, {}, {}});
  }
  return cells;
}

// False when a signal asked to stop. In rounds, so that what the machine does for a while meets
// all of them.
bool measure(std::vector<Cell>& cells, double seconds, TwoCores cores, const Directory& directory) {
  const std::string name = fmt::format("rondo-bench-{}", ::getpid());
  const double each = seconds / kRounds / static_cast<double>(cells.size());
  const bool terminal = ::isatty(2) != 0;
  std::size_t done = 0;
  for (int round = 0; round < kRounds; ++round) {
    for (Cell& cell : cells) {
      if (terminal) {
        fmt::print(
            stderr, "\rrondo bench: {:.0f} % ",
            100.0 * static_cast<double>(done) / (kRounds * static_cast<double>(cells.size())));
      }
      ++done;
      if (!cell.failure.empty()) continue;
      BenchSample sample;
      const SampleOutcome outcome = take_bench_sample(*cell.way, cell.bytes, each, cores, name,
                                                      directory.path(), sample, cell.failure);
      if (outcome == SampleOutcome::kStopped) return false;
      if (outcome == SampleOutcome::kFailed) continue;
      cell.round_trips.add(sample.round_trips);
      if (sample.messages_per_s > 0) cell.rates.push_back(sample.messages_per_s);
    }
  }
  if (terminal) fmt::print(stderr, "\r{:24}\r", "");
  return true;
}

// "312 ns", "54.1 us", "2.10 ms".
std::string human_ns(std::uint64_t ns) {
  const auto value = static_cast<double>(ns);
  if (ns < 1000) return fmt::format("{} ns", ns);
  if (ns < 1'000'000) return fmt::format("{:.3g} us", value * 1e-3);
  return fmt::format("{:.3g} ms", value * 1e-6);
}

void print_table(const std::vector<Cell>& cells) {
  for (const std::size_t bytes : kSizes) {
    fmt::print("\n{:<14}{:>10}{:>10}{:>10}{:>10}{:>14}{:>14}\n", binary_size(bytes), "p50", "p99",
               "p99.9", "max", "messages/s", "bytes/s");
    for (const Cell& cell : cells) {
      if (cell.bytes != bytes) continue;
      if (!cell.failure.empty()) {
        fmt::print("{:<14}FAILED: {}\n", cell.way->name, cell.failure);
        continue;
      }
      const auto at = [&](double share) {
        const auto quantile = cell.round_trips.quantile(share);
        return quantile ? human_ns(*quantile) : "-";
      };
      const double rate = cell.rate();
      fmt::print("{:<14}{:>10}{:>10}{:>10}{:>10}{:>14}{:>14}\n", cell.way->name, at(0.5), at(0.99),
                 at(0.999), human_ns(cell.round_trips.max()),
                 rate > 0 ? grouped(static_cast<std::uint64_t>(rate)) : "-",
                 rate > 0 ? human_rate(rate * static_cast<double>(bytes)) : "-");
    }
  }
  fmt::print("\n");
  for (const BenchWay& way : bench_ways()) fmt::print("{:<14}{}\n", way.name, way.how);
  fmt::print(
      "\np50 to max: a message there and back, between two processes; - is where there were too "
      "few.\nNot measured: {}.\n",
      kNotMeasured);
}

nlohmann::ordered_json to_json(const Cell& cell) {
  nlohmann::ordered_json json{{"way", cell.way->name}, {"bytes", cell.bytes}};
  if (!cell.failure.empty()) {
    json["failure"] = cell.failure;
    return json;
  }
  nlohmann::ordered_json& trips = json["round_trip_ns"];
  for (const auto& [name, share] : {std::pair("p50", 0.5), {"p99", 0.99}, {"p99.9", 0.999}}) {
    const auto quantile = cell.round_trips.quantile(share);
    trips[name] = quantile ? nlohmann::ordered_json(*quantile) : nullptr;  // too few to tell
  }
  trips["max"] = cell.round_trips.max();
  trips["count"] = cell.round_trips.total();
  if (!cell.rates.empty()) {
    json["messages_per_s"] = cell.rate();
    json["messages_per_s_of_each_round"] = cell.rates;
  }
  return json;
}

}  // namespace

int run_bench(const BenchOptions& options) {
  stop_signal::install();
  const Directory directory;
  if (directory.path().empty()) {
    say_error("no directory can be made in {}; set TMPDIR to one where it can", temporary());
    return kCannotOpen;
  }
  const bench::Cores& in_use = bench::Cores::in_use();
  const TwoCores cores{in_use.number(0), in_use.number(1)};
  if (cores.first == cores.second) {
    say_note("there is one core for both processes: this measures the scheduler, not the channels");
  }
  auto cells = cells_to_measure();
  if (!measure(cells, options.seconds, cores, directory)) return 128 + stop_signal::number();
  if (options.json) {
    nlohmann::ordered_json json{{"schema", 1},
                                {"machine", bench::describe_machine()},
                                {"cores", {cores.first, cores.second}},
                                {"seconds", options.seconds},
                                {"not_measured", kNotMeasured},
                                {"rows", nlohmann::ordered_json::array()}};
    for (const Cell& cell : cells) json["rows"].push_back(to_json(cell));
    fmt::print("{}\n", json.dump(2));
  } else {
    fmt::print("{}; measured on cores {} and {}\n", bench::describe_machine(), cores.first,
               cores.second);
    print_table(cells);
  }
  const bool failed = std::ranges::any_of(cells, [](const Cell& c) { return !c.failure.empty(); });
  return failed ? kCannotOpen : kSuccess;
}

}  // namespace rondo::program
