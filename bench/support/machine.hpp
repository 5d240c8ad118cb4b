// What a measurement has to know about the machine: cores, time, and how far apart two cores are.
#pragma once

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "rondo/core/platform.hpp"

namespace rondo::bench {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

inline double seconds_on(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}
// CPU time so far, of the calling thread and of the process.
inline double thread_cpu_seconds() { return seconds_on(CLOCK_THREAD_CPUTIME_ID); }
inline double process_cpu_microseconds() { return seconds_on(CLOCK_PROCESS_CPUTIME_ID) * 1e6; }

// The share of wall time that the calling thread spent on its core since this was made.
class CpuShare {
 public:
  double get() const { return (thread_cpu_seconds() - cpu_) / seconds_since(wall_); }

 private:
  Clock::time_point wall_ = Clock::now();
  double cpu_ = thread_cpu_seconds();
};

// The calling thread, to a core by the system's number.
inline bool pin_to_number(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(core), &set);
  return sched_setaffinity(0, sizeof set, &set) == 0;
}

// While it lives, the calling thread gives its core to no ordinary thread. Needs root, and leaves
// everything as it is without. Never for longer than a sample, and for one that waits for a thread
// of the same core only if all of these have it, and yield.
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
  // A round trip in nanoseconds: the median of the means of some pieces, so that a thread that
  // loses its core for a moment, which can be a thousand times as long, does not look far away.
  double ask(std::uint64_t from, std::uint64_t exchanges) {
    std::array<double, 20> pieces{};
    std::uint64_t i = from;
    for (std::size_t k = 0; k < pieces.size(); ++k) {
      const std::uint64_t first = i;
      const std::uint64_t end = from + exchanges * (k + 1) / pieces.size();
      const auto start = Clock::now();
      while (i < end) {
        ping.store(++i, std::memory_order_release);
        while (pong.load(std::memory_order_acquire) != i) {
        }
      }
      pieces[k] =
          seconds_since(start) * 1e9 / static_cast<double>(std::max<std::uint64_t>(end - first, 1));
    }
    const auto middle = pieces.begin() + pieces.size() / 2;
    std::nth_element(pieces.begin(), middle, pieces.end());
    return *middle;
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
