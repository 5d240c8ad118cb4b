// All that one program measures, and the file that it leaves (docs/bench_schema.md).
#pragma once

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstddef>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "support/cores.hpp"
#include "support/facts.hpp"
#include "support/modes.hpp"
#include "support/progress.hpp"
#include "support/role.hpp"
#include "support/samples.hpp"

namespace rondo::bench {

struct Subject {
  std::string question;
  std::string engine;
  Role role;
  nlohmann::json parameters;  // an object of numbers and words
  std::string unit;           // "messages/s", "ns"
  bool more_is_better;
};

// The options that all programs have.
struct RunOptions {
  std::string json;
  int rounds = 15;
  double seconds = Rounds::kNoSeconds;
  bool real_time = false;

  void add_to(CLI::App& app) {
    app.add_option("--json", json, "write all samples to this file");
    app.add_option("--rounds", rounds, "samples of each engine, at most")
        ->check(CLI::Range(1, Rounds::kNoRounds));
    app.add_option("--seconds", seconds, "as many rounds as this time has room for")
        ->check(CLI::Range(0.1, 86'400.0));
    app.add_flag("--real-time", real_time, "keep other programs off the two cores (needs root)");
  }
};

class Results {
 public:
  // Made before anything is pinned or forked: that chooses the cores.
  explicit Results(std::string program) : program_(std::move(program)) { Cores::in_use(); }

  // Lives as long as this does.
  Samples& add(Subject subject) {
    return series_.emplace_back(std::move(subject), Samples()).second;
  }
  // An engine that lost a message, or their order, or did not finish.
  void fail(std::string engine, std::string why) {
    failures_.push_back(
        {{"program", program_}, {"engine", std::move(engine)}, {"why", std::move(why)}});
  }
  [[nodiscard]] bool failed() const { return !failures_.empty(); }
  // A probe that belongs to no sample.
  void note(Probes probes) {
    probes_.push_back(probes.before);
    probes_.push_back(probes.after);
  }
  // Some at the start, so that a run of few samples knows its machine, too. `Pair` of pair.hpp.
  template <class Pair>
  void calibrate(Pair& pair) {
    for (int i = 0; i < 8; ++i) note(pair.run([] {}, [] {}).probes);
  }

  // When all is measured: finds the modes, and gives each sample its placement.
  void place() {
    std::vector<double> probes = probes_;
    for (const auto& [subject, samples] : series_) {
      for (const Sample& sample : samples.all()) {
        if (!sample.probes) continue;
        probes.push_back(sample.probes->before);
        probes.push_back(sample.probes->after);
      }
    }
    modes_ = Modes(std::move(probes), Cores::in_use().first_two_are_siblings());
    for (auto& [subject, samples] : series_) samples.place(modes_);
  }
  // A line for each mode, and what was not used.
  void print_placements() const {
    for (const Mode& mode : modes_.all()) {
      fmt::print("{}: {:.0f} ns for a bare exchange of two lines ({:.0f} to {:.0f}, {} probes)\n",
                 to_string(mode.name), mode.centre, mode.low, mode.high, mode.probes);
    }
    std::size_t used = 0, moved = 0, unclear = 0, dropped = 0;
    for (const auto& [subject, samples] : series_) {
      for (const Placement placement : kPlacements) used += samples.count(placement);
      moved += samples.count(Placement::kMoved);
      unclear += samples.count(Placement::kUnclear);
      dropped += samples.dropped();
    }
    fmt::print("{} samples; not used: {} whose cores moved, {} unclear, {} disturbed\n", used,
               moved, unclear, dropped);
  }

  [[nodiscard]] nlohmann::json json() const {
    auto rows = nlohmann::json::array();
    for (const auto& [subject, samples] : series_) {
      const bool asked = !samples.all().empty() || samples.dropped() > 0;
      if (asked) rows.push_back(json_of(subject, samples));
    }
    return {{"schema", "rondo-bench"},
            {"version", 1},
            {"date", date_},
            {"machine", machine_facts()},
            {"build", build_facts()},
            {"placements", to_json(modes_)},
            {"programs", {{{"name", program_}, {"seconds", seconds_since(start_)}}}},
            {"other_probes_ns", probes_},
            {"failures", failures_},
            {"series", std::move(rows)}};
  }
  void write(const std::string& path) const {
    if (path.empty()) return;
    std::ofstream file(path);
    file << json().dump(1) << '\n';
    if (file.flush()) return;
    fmt::print(stderr, "{}: cannot write {}\n", program_, path);
    std::exit(1);
  }

 private:
  nlohmann::json json_of(const Subject& subject, const Samples& samples) const {
    auto values = nlohmann::json::array();
    for (const Sample& sample : samples.all()) {
      values.push_back({sample.value, to_string(sample.placement)});
      if (!sample.probes) continue;
      values.back().push_back(sample.probes->before);
      values.back().push_back(sample.probes->after);
    }
    return {{"program", program_},
            {"question", subject.question},
            {"engine", subject.engine},
            {"role", to_string(subject.role)},
            {"parameters", subject.parameters},
            {"unit", subject.unit},
            {"more_is_better", subject.more_is_better},
            {"dropped", samples.dropped()},
            {"samples", std::move(values)}};
  }

  std::string program_;
  std::string date_ = utc_now();
  Clock::time_point start_ = Clock::now();
  std::deque<std::pair<Subject, Samples>> series_;  // references into it stay good
  nlohmann::json failures_ = nlohmann::json::array();
  std::vector<double> probes_;
  Modes modes_;
};

}  // namespace rondo::bench
