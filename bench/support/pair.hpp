// Two threads on two cores, and a probe of how far apart these are around each sample.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>
#include <utility>

#include "support/cores.hpp"
#include "support/machine.hpp"
#include "support/modes.hpp"

namespace rondo::bench {

// Two threads on two cores that measure together what they are told.
class Pair {
 public:
  static constexpr std::uint64_t kProbes = 2000;
  static constexpr double kMinCoreShare = 0.97;

  explicit Pair(bool real_time) : real_time_(real_time), other_([this] { follow(); }) {
    stay_on(0);
  }
  ~Pair() {
    consume_ = nullptr;
    line_.wait();
    other_.join();
  }

  // Runs `produce` here and `consume` there; seconds, and whether both had their cores.
  struct Outcome {
    double seconds;
    Probes probes;
    bool clean;
  };
  Outcome run(const std::function<void()>& produce, std::function<void()> consume) {
    consume_ = std::move(consume);
    line_.wait();
    const RealTime fast(real_time_);
    const double before = probe_.ask(probes_, kProbes);
    line_.wait();
    const auto start = Clock::now();
    const CpuShare share;
    produce();
    const double mine = share.get();
    line_.wait();
    const double seconds = seconds_since(start);
    const double after = probe_.ask(probes_ + kProbes, kProbes);
    line_.wait();
    probes_ += 2 * kProbes;
    return {seconds, {before, after}, std::min(mine, other_share_) >= kMinCoreShare};
  }

 private:
  static void stay_on(int core) {
    if (pin_to(core)) return;
    std::fprintf(stderr, "could not be put on core %d\n",
                 Cores::in_use().number(static_cast<std::size_t>(core)));
    std::_Exit(1);
  }
  void follow() {
    stay_on(1);
    for (;;) {
      line_.wait();
      if (!consume_) return;
      const RealTime fast(real_time_);
      probe_.serve(probes_, kProbes);
      line_.wait();
      const CpuShare share;
      consume_();
      other_share_ = share.get();
      line_.wait();
      probe_.serve(probes_ + kProbes, kProbes);
      line_.wait();
    }
  }

  bool real_time_;
  StartLine line_;
  ExchangeLines probe_{};
  std::uint64_t probes_ = 0;
  std::function<void()> consume_;
  double other_share_ = 0;
  std::thread other_;
};

}  // namespace rondo::bench
