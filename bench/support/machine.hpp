// What a measurement has to know about the machine: cores, time, and how far apart two cores are.
#pragma once

#include <pthread.h>
#include <sched.h>
#include <time.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string_view>

#include "rondo/core/platform.hpp"

namespace rondo::bench {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// CPU time of the calling thread, in seconds.
inline double thread_cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

// The share of wall time that the calling thread spent on its core since this was made.
class CpuShare {
 public:
  double get() const { return (thread_cpu_seconds() - cpu_) / seconds_since(wall_); }

 private:
  Clock::time_point wall_ = Clock::now();
  double cpu_ = thread_cpu_seconds();
};

inline bool pin_to(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(core), &set);
  return sched_setaffinity(0, sizeof set, &set) == 0;
}

// The host moves virtual cores about, unseen from inside, and throughput changes several times with
// it. So each sample is bracketed by a probe, and bears a tag; figures are compared within a tag.
enum class Placement { kSiblings, kNear, kFar, kUnclear };
inline constexpr std::array kPlacements{Placement::kNear, Placement::kFar, Placement::kSiblings,
                                        Placement::kUnclear};

inline std::string_view to_string(Placement placement) {
  switch (placement) {
    case Placement::kSiblings: return "siblings";  // two threads of one core
    case Placement::kNear: return "near";          // one last-level cache
    case Placement::kFar: return "far";
    case Placement::kUnclear: return "unclear";
  }
  return "?";
}

// By the mean round trip of two lines, in nanoseconds, before and after a sample.
inline Placement classify(double before, double after) {
  const auto both = [&](double low, double high) {
    return before >= low && after >= low && before < high && after < high;
  };
  if (both(0, 80)) return Placement::kSiblings;
  if (both(80, 250)) return Placement::kNear;
  if (both(400, 1e9)) return Placement::kFar;
  return Placement::kUnclear;
}

// While it lives, the calling thread gives its core to no ordinary thread. Needs root, and leaves
// everything as it is without. Never for longer than a sample, and never for one that waits for a
// thread of the same core.
class RealTime {
 public:
  explicit RealTime(bool wanted) {
    sched_param parameter{};
    parameter.sched_priority = 1;
    active_ = wanted && sched_setscheduler(0, SCHED_FIFO, &parameter) == 0;
  }
  RealTime(const RealTime&) = delete;
  RealTime& operator=(const RealTime&) = delete;
  ~RealTime() {
    if (!active_) return;
    sched_param parameter{};
    sched_setscheduler(0, SCHED_OTHER, &parameter);
  }

 private:
  bool active_;
};

// The bare two-line exchange: each side writes its own line, and waits for the other's. Works
// between processes, too. `from` is the number of exchanges made before.
struct ExchangeLines {
  alignas(kSharingRange) std::atomic<std::uint64_t> ping;
  alignas(kSharingRange) std::atomic<std::uint64_t> pong;

  void serve(std::uint64_t from, std::uint64_t exchanges) {
    for (std::uint64_t i = from + 1; i <= from + exchanges; ++i) {
      while (ping.load(std::memory_order_acquire) != i) {
      }
      pong.store(i, std::memory_order_release);
    }
  }
  // Mean round trip in nanoseconds.
  double ask(std::uint64_t from, std::uint64_t exchanges) {
    const auto start = Clock::now();
    for (std::uint64_t i = from + 1; i <= from + exchanges; ++i) {
      ping.store(i, std::memory_order_release);
      while (pong.load(std::memory_order_acquire) != i) {
      }
    }
    return seconds_since(start) * 1e9 / static_cast<double>(exchanges);
  }
};

// Lets two threads or processes start together. Spins.
class StartLine {
 public:
  void wait() {
    const int round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) == 1) {
      arrived_.store(0, std::memory_order_relaxed);
      round_.store(round + 1, std::memory_order_release);
    } else {
      while (round_.load(std::memory_order_acquire) == round) cpu_relax();
    }
  }

 private:
  std::atomic<int> arrived_{0};
  alignas(kSharingRange) std::atomic<int> round_{0};
};

}  // namespace rondo::bench
