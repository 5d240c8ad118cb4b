// Question: how long does a message take from one process to another and back, and how many bytes a
// second flow, through a ring in shared memory, through what the kernel offers, and through what
// others offer? The ring is asked through Sender and Receiver, as a program would use it; spsc_ring
// and record_ring show what static use of a ring brings, and the bare exchange of two lines bounds
// what any shared memory can do. The two wake-ups are floors of a round trip that sleeps.
//
// Not measured: waking a receiver that has been idle for long, more than two processes, cold
// memory. Every message is written in full and read in full, and checked; an engine that loses one,
// or their order, is reported as such, and not asked again. Two processes on one core each, but the
// engines with threads of their own, which may go where the kernel wants; samples interleaved,
// each on fresh channels (the libraries keep theirs), bracketed by a probe of the
// cores' placement; medians within a placement. What a spinning process's core did besides spoils
// the sample.
//
//   rondo_driver [--json FILE] [--seconds N] [--bytes B...] [--rings] [--only NAME...]    a table
//   rondo_driver --demo FILE [--seconds N]                               the figures for ./dev demo
#include <fmt/core.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "rivals/left_out.hpp"
#include "rivals/processes.hpp"
#include "rivals/workers.hpp"
#include "support/cores.hpp"
#include "support/machine.hpp"
#include "support/names.hpp"
#include "support/results.hpp"

namespace rondo::bench {
namespace {

volatile sig_atomic_t stop_wanted = 0;  // the signal

struct Row {
  std::size_t engine;
  std::size_t bytes;
  Samples& round_trip_ns;
  Samples& messages_per_s;
};

Row row_of(Results& results, std::size_t index, const Engine& engine, std::size_t bytes) {
  // The wake-ups alone are no way to send anything.
  const bool floor = engine.take_part == nullptr || !engine.manner.streams;
  const Role role = engine.ours ? Role::kOurs : floor ? Role::kFloor : Role::kRival;
  const auto samples = [&](const char* question, const char* unit,
                           bool more_is_better) -> Samples& {
    return results.add({question, engine.name, role, {{"bytes", bytes}}, unit, more_is_better});
  };
  return {index, bytes, samples("process_round_trip", "ns", false),
          samples("process_stream", "messages/s", true)};
}

// As many messages as take some milliseconds.
std::uint64_t messages_for(const Engine& engine, Question question, std::size_t bytes) {
  const Cost& cost = engine.cost;
  if (question == Question::kRoundTrip) {
    const double ns = cost.round_trip_ns + 8 * cost.byte_ns * double(bytes);
    return static_cast<std::uint64_t>(std::max(3e6 / ns, 10.0));
  }
  const double ns = cost.message_ns + cost.byte_ns * double(bytes);
  return static_cast<std::uint64_t>(std::max((engine.manner.spins ? 1.5e7 : 4e6) / ns, 40.0));
}

class Driver {
 public:
  Driver(std::vector<Engine> engines, std::string name, bool real_time)
      : engines_(std::move(engines)), name_(std::move(name)), real_time_(real_time) {}

  // Nothing for an engine that has failed before.
  void measure(Row& row, Question question) {
    const Engine& engine = engines_[row.engine];
    if (failures_.contains(row.engine)) return;
    if (question == Question::kThroughput && !engine.manner.streams) return;
    const Task task{row.engine, question, row.bytes, messages_for(engine, question, row.bytes),
                    ++number_};
    Workers& workers = workers_for(row.engine);
    const std::string failure = workers.run(task);
    if (stop_wanted != 0) return;
    if (!failure.empty()) {
      failures_[row.engine] = fmt::format("{}, with messages of {} bytes", failure, row.bytes);
      return;
    }
    const Meeting& taken = workers.meeting();
    const double per_message = taken.seconds / static_cast<double>(task.messages);
    const Probes probes{taken.before_ns, taken.after_ns};
    if (question == Question::kRoundTrip) {
      row.round_trip_ns.add(probes, per_message * 1e9, taken.clean);
    } else {
      row.messages_per_s.add(probes, 1 / per_message, taken.clean);
    }
  }

  [[nodiscard]] const Engine& engine_of(const Row& row) const { return engines_[row.engine]; }
  [[nodiscard]] const std::string& name_of(const Row& row) const { return engine_of(row).name; }
  // Engines that failed, and how.
  [[nodiscard]] const std::map<std::size_t, std::string>& failures() const { return failures_; }
  [[nodiscard]] const std::vector<Engine>& engines() const { return engines_; }

 private:
  // An engine that stays, with what it has of threads, has two processes of its own.
  Workers& workers_for(std::size_t engine) {
    const std::size_t key = engines_[engine].manner.lasting ? engine : 0;
    auto& workers = workers_[key];
    if (!workers) {
      workers = std::make_unique<Workers>(engines_, fmt::format("{}-{}", name_, key), real_time_);
    }
    return *workers;
  }

  std::vector<Engine> engines_;
  std::string name_;
  bool real_time_;
  std::map<std::size_t, std::unique_ptr<Workers>> workers_;
  std::map<std::size_t, std::string> failures_;
  std::uint64_t number_ = 0;
};

// The placement that most samples had.
Placement usual_placement(const std::vector<Row>& rows) {
  std::map<Placement, std::size_t> votes;
  for (const Row& row : rows) {
    for (const Placement placement : kPlacements) {
      votes[placement] += row.round_trip_ns.count(placement) + row.messages_per_s.count(placement);
    }
  }
  return std::max_element(votes.begin(), votes.end(),
                          [](const auto& a, const auto& b) { return a.second < b.second; })
      ->first;
}

// The wanted placement if there are samples of it, else the one with the most.
Placement placement_of(const Row& row, Placement wanted) {
  const auto count = [&](Placement p) {
    return std::min(row.round_trip_ns.count(p), row.messages_per_s.count(p));
  };
  if (count(wanted) > 0) return wanted;
  return *std::max_element(kPlacements.begin(), kPlacements.end(),
                           [&](Placement a, Placement b) { return count(a) < count(b); });
}

nlohmann::json json_of(const Driver& driver, const Row& row, Placement placement) {
  const auto trip = row.round_trip_ns.get(placement);
  const auto rate = row.messages_per_s.get(placement);
  nlohmann::json json{{"transport", driver.name_of(row)},
                      {"bytes", row.bytes},
                      {"placement", to_string(placement)},
                      {"round_trip_ns", nullptr},
                      {"messages_per_s", nullptr},
                      {"bytes_per_s", nullptr},
                      {"samples", row.round_trip_ns.count(placement)},
                      {"dropped", row.round_trip_ns.dropped() + row.messages_per_s.dropped()}};
  if (trip) json["round_trip_ns"] = *trip;
  if (rate) {
    json["messages_per_s"] = *rate;
    json["bytes_per_s"] = *rate * static_cast<double>(row.bytes);
  }
  return json;
}

void print_table(const Driver& driver, const std::vector<Row>& rows) {
  for (const Placement placement : kPlacements) {
    bool headed = false;
    for (const Row& row : rows) {
      const auto trip = row.round_trip_ns.get(placement);
      const auto rate = row.messages_per_s.get(placement);
      if (!trip && !rate) continue;
      if (!headed) {
        fmt::print("\n{:<16}{:>9}{:>16}{:>16}{:>12}{:>10}\n", to_string(placement), "bytes",
                   "round trip ns", "messages/s", "GB/s", "samples");
        headed = true;
      }
      fmt::print("{:<16}{:>9}{:>16}{:>16}{:>12}{:>10}\n", driver.name_of(row), row.bytes,
                 trip ? fmt::format("{:.0f}", *trip) : "-",
                 rate ? fmt::format("{:.3e}", *rate) : "-",
                 rate ? fmt::format("{:.2f}", *rate * double(row.bytes) * 1e-9) : "-",
                 row.round_trip_ns.count(placement));
    }
  }
}

bool chosen(const std::string& name, const std::vector<std::string>& only) {
  return only.empty() || std::any_of(only.begin(), only.end(), [&](const std::string& part) {
           return name.find(part) != std::string::npos;
         });
}

// Those that ./dev demo shows, and that it has always been asked with.
const std::vector<std::string> kDemo{"bare exchange", "spsc_ring", "record_ring",
                                     "shm ring",      "pipe",      "unix socket"};

int main(int argc, char** argv) {
  CLI::App app("Round trips and throughput between two processes: rings, the kernel, other queues");
  std::string demo, json;
  double seconds = 20;
  bool real_time = false;
  bool rings = false;
  std::vector<std::size_t> sizes{64, 1024, 65536, 1 << 20};
  std::vector<std::string> only;
  app.add_option("--demo", demo, "write the figures for ./dev demo to this file");
  app.add_option("--json", json, "write all figures to this file");
  app.add_option("--seconds", seconds, "measure for about so long")->check(CLI::Range(1, 3600));
  app.add_option("--bytes", sizes, "messages of these sizes")->check(CLI::Range(8, 1 << 20));
  app.add_option("--only", only, "only engines whose name has one of these in it");
  app.add_flag("--rings", rings, "measure our rings only");
  app.add_flag("--real-time", real_time, "keep other programs off the two cores (needs root)");
  CLI11_PARSE(app, argc, argv);
  if (Cores::in_use().count() < 2) {
    fmt::print(stderr, "rondo_driver: needs two cores\n");
    return 1;
  }
  // Ends in order: what was made goes away.
  struct sigaction ends {};
  ends.sa_handler = [](int number) { stop_wanted = number; };
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaction(number, &ends, nullptr);
  signal(SIGPIPE, SIG_IGN);
  if (!demo.empty()) only = kDemo;

  const OwnName own_name("rondo-bench");
  const std::string& name = own_name.get();
  Driver driver(engines_between_processes(name), name, real_time);
  Results results("rondo_driver");
  std::vector<Row> rows;
  std::string unwilling;
  for (std::size_t k = 0; k < driver.engines().size(); ++k) {
    const Engine& engine = driver.engines()[k];
    const bool bare = engine.take_part == nullptr;
    if ((rings && !engine.ours && !bare) || !chosen(engine.name, only)) continue;
    if (engine.start != nullptr && !engine.start()) {
      unwilling = engine.name + " (its daemon did not start; does another one run?)";
      continue;
    }
    if (bare) {
      rows.push_back(row_of(results, k, engine, 64));
      continue;
    }
    for (const std::size_t bytes : sizes) {
      if (bytes <= engine.largest) rows.push_back(row_of(results, k, engine, bytes));
    }
  }
  if (rows.empty() && unwilling.empty()) {
    fmt::print(stderr, "rondo_driver: no such engine\n");
    return 2;
  }
  if (demo.empty() && !rings) print_left_out(unwilling);
  {
    Rounds rounds("rondo_driver", Rounds::kNoRounds, seconds, rows.size());
    while (rounds.next()) {
      for (Row& row : rows) {
        if (stop_wanted != 0) return 128 + stop_wanted;
        rounds.question();
        driver.measure(row, Question::kRoundTrip);
        if (driver.engine_of(row).take_part != nullptr) driver.measure(row, Question::kThroughput);
      }
    }
  }
  for (const auto& [engine, failure] : driver.failures()) {
    results.fail(driver.engines()[engine].name, failure);
  }
  results.place();
  results.write(json);

  const Placement usual = usual_placement(rows);
  if (!demo.empty()) {
    nlohmann::json result{{"machine", describe_machine()},
                          {"placement", to_string(usual)},
                          {"bare_exchange_ns", nullptr},
                          {"rows", nlohmann::json::array()}};
    for (const Row& row : rows) {
      if (driver.engine_of(row).take_part != nullptr) continue;
      if (const auto bare = row.round_trip_ns.get(usual)) result["bare_exchange_ns"] = *bare;
    }
    for (const Row& row : rows) {
      const std::string& engine = driver.name_of(row);
      if (engine == "shm ring" || engine == "pipe" || engine == "unix socket") {
        result["rows"].push_back(json_of(driver, row, placement_of(row, usual)));
      }
    }
    std::ofstream(demo) << result.dump(2) << '\n';
  } else {
    fmt::print("{}\n", describe_machine());
    results.print_placements();
    print_table(driver, rows);
  }
  bool ours_failed = false;
  for (const auto& [engine, failure] : driver.failures()) {
    fmt::print("FAILED: {}: {}\n", driver.engines()[engine].name, failure);
    ours_failed = ours_failed || driver.engines()[engine].ours;
  }
  return ours_failed ? 1 : 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
