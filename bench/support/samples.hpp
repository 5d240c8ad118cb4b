// Samples by name and placement, and what is said about them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/machine.hpp"

namespace rondo::bench {

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

// The figures of one question to one engine.
class Samples {
 public:
  // `clean`: both sides had their cores for themselves.
  void add(Placement placement, double value, bool clean) {
    if (clean) {
      clean_[placement].push_back(value);
    } else {
      ++dropped_;
    }
  }
  [[nodiscard]] std::size_t count(Placement placement) const {
    const auto found = clean_.find(placement);
    return found == clean_.end() ? 0 : found->second.size();
  }
  [[nodiscard]] std::optional<double> get(Placement placement) const {
    if (count(placement) == 0) return std::nullopt;
    return median(clean_.at(placement));
  }
  [[nodiscard]] std::size_t dropped() const { return dropped_; }

 private:
  std::map<Placement, std::vector<double>> clean_;
  std::size_t dropped_ = 0;
};

// "AMD EPYC, 2 cores, Linux 6.18"
std::string describe_machine();

}  // namespace rondo::bench

// ---- implementation

#include <sys/utsname.h>
#include <unistd.h>

namespace rondo::bench {

inline std::string describe_machine() {
  std::string model = "unknown processor";
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) != 0) continue;
    model = line.substr(line.find(':') + 2);
    break;
  }
  utsname system{};
  uname(&system);
  const std::string release(system.release);
  const std::size_t dot = release.find('.', release.find('.') + 1);
  return model + ", " + std::to_string(sysconf(_SC_NPROCESSORS_ONLN)) + " cores, " +
         system.sysname + " " + release.substr(0, dot);
}

}  // namespace rondo::bench
