// The samples of one question to one engine, and what is said about them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <vector>

#include "support/modes.hpp"

namespace rondo::bench {

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
}

struct Sample {
  double value;
  std::optional<Probes> probes{};  // none: the cores' placement was not asked for
  Placement placement = Placement::kAny;
};

// Where each sample was taken is known when all have been: place() tells.
class Samples {
 public:
  // `clean`: both sides had their cores for themselves.
  void add(Probes probes, double value, bool clean) {
    if (clean) {
      all_.push_back({value, probes, Placement::kUnclear});
    } else {
      ++dropped_;
    }
  }
  // Of a question to which the placement does not matter.
  void add(double value) { all_.push_back({value}); }
  void drop() { ++dropped_; }

  void place(const Modes& modes) {
    for (Sample& sample : all_) {
      if (sample.probes) sample.placement = modes.of(*sample.probes);
    }
  }
  [[nodiscard]] std::size_t count(Placement placement) const {
    return static_cast<std::size_t>(std::count_if(
        all_.begin(), all_.end(), [&](const Sample& each) { return each.placement == placement; }));
  }
  // The median.
  [[nodiscard]] std::optional<double> get(Placement placement) const {
    std::vector<double> values;
    for (const Sample& sample : all_) {
      if (sample.placement == placement) values.push_back(sample.value);
    }
    if (values.empty()) return std::nullopt;
    return median(std::move(values));
  }
  [[nodiscard]] const std::vector<Sample>& all() const { return all_; }
  [[nodiscard]] std::size_t dropped() const { return dropped_; }

 private:
  std::vector<Sample> all_;
  std::size_t dropped_ = 0;
};

}  // namespace rondo::bench
