// How far apart two cores are, in words, by the machine's own distribution of probes.
//
// A probe is the mean time of an exchange of two lines. The host of a virtual machine moves the
// cores about, so the probes of a run gather around a few values, which differ from machine to
// machine: 50, 105 and 500 ns on one, 252 ns on another. No bound holds for both. So all probes of
// a run are kept, and at its end the places where they lie dense are its modes.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <iterator>
#include <string_view>
#include <utility>
#include <vector>

namespace rondo::bench {

enum class Placement { kSiblings, kNear, kFar, kFarther, kMoved, kUnclear, kAny };

// Those that figures are given for. A sample whose cores moved, or whose probes lie in no mode, is
// counted and not used.
inline constexpr std::array kPlacements{Placement::kNear, Placement::kFar, Placement::kFarther,
                                        Placement::kSiblings, Placement::kAny};

inline std::string_view to_string(Placement placement) {
  switch (placement) {
    case Placement::kSiblings: return "siblings";  // two threads of one core
    case Placement::kNear: return "near";          // the nearest that two cores were
    case Placement::kFar: return "far";
    case Placement::kFarther: return "farther";
    case Placement::kMoved: return "moved";      // one mode before the sample, another one after it
    case Placement::kUnclear: return "unclear";  // a probe that lies in no mode
    case Placement::kAny: return "any";          // not told apart
  }
  return "?";
}

// Before and after a sample, in nanoseconds.
struct Probes {
  double before;
  double after;
};

struct Mode {
  double low;     // all of low..high belongs to it
  double centre;  // where it is densest
  double high;
  std::size_t probes;
  Placement name = Placement::kNear;

  [[nodiscard]] bool has(double probe) const { return low <= probe && probe <= high; }
};

// The modes of a distribution, the nearest first.
//
// The density at a probe is the number of probes within `kWindow` of it: a ratio, for what disturbs
// a probe does so by a share of its length. Two peaks are two modes if the density between them
// falls below a quarter of the lower one (less is chance), and they lie so far apart that a figure
// of the one would mislead about the other (`kApart`). A mode reaches as far as its density is a
// twentieth of its peak; a peak with fewer than 2 % of all probes, or fewer than four, is made of
// accidents. A distribution that drifts has no valley, and stays one mode.
inline std::vector<Mode> find_modes(std::vector<double> probes) {
  constexpr double kWindow = 1.08;
  constexpr double kApart = 1.5;
  std::erase_if(probes, [](double probe) { return !std::isfinite(probe) || probe <= 0; });
  std::sort(probes.begin(), probes.end());
  const std::size_t count = probes.size();
  std::vector<std::size_t> density(count);
  for (std::size_t i = 0, first = 0, last = 0; i < count; ++i) {
    while (probes[first] < probes[i] / kWindow) ++first;
    while (last < count && probes[last] <= probes[i] * kWindow) ++last;
    density[i] = last - first;
  }

  struct Hill {
    std::size_t first, peak, last;
  };
  std::vector<Hill> hills;
  std::size_t valley = 0;  // the least density since the last hill's peak
  for (std::size_t i = 0; i < count; ++i) {
    if (hills.empty()) {
      hills.push_back({0, 0, 0});
      continue;
    }
    Hill& hill = hills.back();
    if (density[i] < density[valley]) valley = i;
    // A gap without any probe has no density at all.
    const bool gap = probes[i] > probes[i - 1] * kWindow * kWindow;
    const std::size_t between = gap ? 0 : density[valley];
    const bool parted = 4 * between < std::min(density[i], density[hill.peak]) &&
                        probes[i] >= probes[hill.peak] * kApart;
    if (parted) {
      const std::size_t start = gap ? i : valley;
      hill.last = start - 1;
      hills.push_back({start, i, i});
      valley = i;
      continue;
    }
    hill.last = i;
    if (density[i] > density[hill.peak]) {
      hill.peak = i;
      valley = i;
    }
  }

  const std::size_t least = std::max<std::size_t>(4, count / 50);
  std::vector<Mode> modes;
  for (const Hill& hill : hills) {
    const std::size_t peak = density[hill.peak];
    if (peak < least) continue;
    const auto belongs = [&](std::size_t i) { return 20 * density[i] >= peak; };
    std::size_t low = hill.peak, high = hill.peak;
    while (low > hill.first && belongs(low - 1)) --low;
    while (high < hill.last && belongs(high + 1)) ++high;
    modes.push_back({probes[low], probes[hill.peak], probes[high], high - low + 1});
  }
  return modes;
}

// The modes of one run, with their names.
class Modes {
 public:
  Modes() = default;
  // `siblings`: the system says that the two cores are two threads of one.
  Modes(std::vector<double> probes, bool siblings) : modes_(find_modes(std::move(probes))) {
    // A host may put two virtual cores on two threads of one core, and the system does not know.
    // Such threads share the first-level cache, and no way between two cores is as short: of three
    // modes or more, the first is theirs if the next is half as far again and more. Two modes alone
    // may be either pair: they are called near and far, which is true of them in any case.
    constexpr double kShared = 1.5;
    const bool shared =
        siblings || (modes_.size() > 2 && modes_[1].centre >= modes_[0].centre * kShared);
    constexpr std::array kNames{Placement::kSiblings, Placement::kNear, Placement::kFar,
                                Placement::kFarther};
    for (std::size_t i = 0; i < modes_.size(); ++i) {
      modes_[i].name = kNames[std::min(i + (shared ? 0 : 1), kNames.size() - 1)];
    }
  }

  [[nodiscard]] Placement of(Probes probes) const {
    const auto mode_of = [&](double probe) {
      return std::find_if(modes_.begin(), modes_.end(),
                          [&](const Mode& mode) { return mode.has(probe); });
    };
    const auto before = mode_of(probes.before);
    const auto after = mode_of(probes.after);
    if (before == modes_.end() || after == modes_.end()) return Placement::kUnclear;
    return before == after ? before->name : Placement::kMoved;
  }
  [[nodiscard]] const std::vector<Mode>& all() const { return modes_; }

 private:
  std::vector<Mode> modes_;
};

// Which of several cores to measure with, beside one that is fixed: the first of those that are
// near it by the modes of all probes; if these show nothing, the nearest. `probes`: some of each of
// the cores. Two threads of one core (`siblings`, as the system says) come last.
inline std::size_t choose_near(const std::vector<std::vector<double>>& probes,
                               const std::vector<bool>& siblings) {
  const bool all_are = std::find(siblings.begin(), siblings.end(), false) == siblings.end();
  std::vector<double> all;
  for (std::size_t i = 0; i < probes.size(); ++i) {
    if (all_are || !siblings[i]) all.insert(all.end(), probes[i].begin(), probes[i].end());
  }
  const Modes modes(std::move(all), all_are);
  std::size_t nearest = probes.size();
  double least = 0;
  for (std::size_t i = 0; i < probes.size(); ++i) {
    if (probes[i].empty() || (siblings[i] && !all_are)) continue;
    // The least of them: what disturbs a probe makes it longer.
    const double probe = *std::min_element(probes[i].begin(), probes[i].end());
    if (modes.of({probe, probe}) == Placement::kNear) return i;
    if (nearest == probes.size() || probe < least) {
      nearest = i;
      least = probe;
    }
  }
  return nearest == probes.size() ? 0 : nearest;
}

}  // namespace rondo::bench
