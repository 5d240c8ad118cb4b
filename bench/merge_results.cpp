// Makes one file of what the programs of a run have left (docs/bench_schema.md). The modes of the
// placement are found anew, from the probes of all of them: a program during which the cores never
// moved cannot know whether they were near.
//
//   merge_results --out FILE [--packages FILE] FILE...
//
// --packages: lines of a Debian package and its version. Files of Google Benchmark are taken, too.
// What is no file of figures, as a program leaves one that is ended while it writes, is left out.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "support/facts.hpp"
#include "support/modes.hpp"
#include "support/role.hpp"

namespace rondo::bench {
namespace {

using nlohmann::json;

// Null if it is none.
json read(const std::string& path) {
  std::ifstream file(path);
  json content = json::parse(file, nullptr, false);
  if (content.is_object()) return content;
  fmt::print(stderr, "merge_results: {} is no file of figures: left out\n", path);
  return nullptr;
}

void append(json& to, const json& from) { to.insert(to.end(), from.begin(), from.end()); }

Role role_of_google(const std::string& engine) {
  if (engine.find("Boost") != engine.npos) return Role::kRival;
  for (const char* simple : {"Textbook", "Mutex"}) {
    if (engine.find(simple) != engine.npos) return Role::kTextbook;
  }
  return Role::kOurs;
}

// "BM_Claim<Ring>/8/64" is the engine BM_Claim<Ring> with the arguments 8/64, in the benchmark
// BM_Claim.
void append_google(json& all, const json& from, const std::string& program) {
  std::map<std::string, json> series;
  for (const json& run : from.at("benchmarks")) {
    if (run.value("run_type", "") != "iteration" || run.contains("error_occurred")) continue;
    const std::string name = run.value("run_name", run.at("name").get<std::string>());
    const std::size_t slash = name.find('/');
    const std::string engine = name.substr(0, slash);
    json& one = series[name];
    if (one.is_null()) {
      one = {{"program", program},
             {"question", program},
             {"engine", engine},
             {"role", to_string(role_of_google(engine))},
             {"parameters", {{"benchmark", engine.substr(0, engine.find('<'))}}},
             {"unit", run.at("time_unit")},
             {"more_is_better", false},
             {"dropped", 0},
             {"samples", json::array()}};
      if (slash != std::string::npos) one["parameters"]["arguments"] = name.substr(slash + 1);
    }
    one["samples"].push_back({run.at("real_time"), to_string(Placement::kAny)});
  }
  for (auto& [name, one] : series) all["series"].push_back(std::move(one));
  all["programs"].push_back({{"name", program}});
}

// Its modes, and with them each sample's placement.
void place(json& all) {
  auto probes = all.at("other_probes_ns").get<std::vector<double>>();
  const auto each_probed = [&](auto visit) {
    for (json& series : all["series"]) {
      for (json& sample : series["samples"]) {
        if (sample.size() >= 4) visit(sample);
      }
    }
  };
  each_probed([&](const json& sample) {
    probes.push_back(sample[2].get<double>());
    probes.push_back(sample[3].get<double>());
  });
  const Modes modes(std::move(probes), all["machine"].value("cores_0_and_1_are_siblings", false));
  each_probed([&](json& sample) {
    sample[1] = to_string(modes.of({sample[2].get<double>(), sample[3].get<double>()}));
  });
  all["placements"] = to_json(modes);
}

json packages(const std::string& path) {
  json all = json::object();
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const std::size_t space = line.find(' ');
    if (space != line.npos && space + 1 < line.size()) {
      all[line.substr(0, space)] = line.substr(space + 1);
    }
  }
  return all;
}

int main(int argc, char** argv) {
  CLI::App app("One file of what the programs of a run have left");
  std::string out, versions;
  std::vector<std::string> paths;
  app.add_option("--out", out, "the file to write")->required();
  app.add_option("--packages", versions, "a file of packages and their versions");
  app.add_option("files", paths, "of the programs")->required();
  CLI11_PARSE(app, argc, argv);

  json all;
  std::vector<std::string> of_google;
  for (const std::string& path : paths) {
    json one = read(path);
    if (one.is_null()) continue;
    if (one.contains("benchmarks")) {
      of_google.push_back(path);
    } else if (one.value("schema", "") != "rondo-bench" || one.value("version", 0) != 1) {
      fmt::print(stderr, "merge_results: {} is of another schema\n", path);
      return 1;
    } else if (all.is_null()) {
      all = std::move(one);
    } else {
      if (one["date"] < all["date"]) all["date"] = one["date"];
      for (const char* list : {"series", "programs", "failures", "other_probes_ns"}) {
        append(all[list], one[list]);
      }
    }
  }
  if (all.is_null()) {
    fmt::print(stderr, "merge_results: none of the files is a program's of ours\n");
    return 1;
  }
  for (const std::string& path : of_google) {
    append_google(all, read(path), std::filesystem::path(path).stem());
  }
  place(all);
  all["packages"] = packages(versions);
  std::ofstream file(out);
  file << all.dump(1) << '\n';
  if (file.flush()) return 0;
  fmt::print(stderr, "merge_results: cannot write {}\n", out);
  return 1;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
