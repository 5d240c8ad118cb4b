// The cores that a measurement uses, of those that this process may run on (all, or what a
// container or taskset leaves). The first two do what takes two: where there are more than two to
// choose from, the first one and the first of the others that is near it, by probes of them all
// (modes.hpp). Not cores 0 and 1 whatever they are: those may belong to somebody else, be two
// threads of one core, or lie in two sockets.
#pragma once

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "support/machine.hpp"
#include "support/modes.hpp"

namespace rondo::bench {

// Whether the system says that two cores are two threads of one. Where a host is below, it may not
// know.
inline bool are_siblings(int core, int other) {
  std::ifstream list("/sys/devices/system/cpu/cpu" + std::to_string(core) +
                     "/topology/thread_siblings_list");
  // "0,4" or "0-1"
  for (int first = 0; list >> first; list.ignore(1, ',')) {
    int last = first;
    if (list.peek() == '-') {
      list.ignore();
      list >> last;
    }
    if (first <= other && other <= last) return true;
  }
  return false;
}

// A bare exchange of two lines between two cores, in nanoseconds. Leaves the calling thread on the
// first one. Always the same two lines: which part of the last-level cache a line is at home in
// makes a tenth. One thread at a time.
inline double probe_cores(int core, int other, bool real_time = false) {
  constexpr std::uint64_t kExchanges = 2000;
  static ExchangeLines lines{};
  static std::uint64_t made = 0;
  std::atomic<bool> there{false};
  std::thread server([&] {
    pin_to_number(other);
    const RealTime undisturbed(real_time);
    there.store(true);
    lines.serve(made, kExchanges);
  });
  pin_to_number(core);
  while (!there.load()) std::this_thread::yield();  // it was born on this core
  const RealTime undisturbed(real_time);
  lines.ask(made, kExchanges / 10);
  const double result = lines.ask(made + kExchanges / 10, kExchanges - kExchanges / 10);
  server.join();
  made += kExchanges;
  return result;
}

class Cores {
 public:
  // Chosen at the first call, which has to be made before a fork whose child pins itself.
  static const Cores& in_use() {
    static const Cores cores;
    return cores;
  }
  // The number of the k-th, over again when there are no more.
  [[nodiscard]] int number(std::size_t k) const { return order_[k % order_.size()]; }
  [[nodiscard]] std::size_t count() const { return order_.size(); }
  [[nodiscard]] bool first_two_are_siblings() const {
    return count() > 1 && are_siblings(number(0), number(1));
  }

 private:
  Cores() : order_(before_main()) {
    if (order_.size() < 3) return;
    std::size_t partner = told_partner();
    if (partner == 0) partner = near_partner();
    // The others stay in their order behind these two.
    std::rotate(order_.begin() + 1, order_.begin() + static_cast<std::ptrdiff_t>(partner),
                order_.begin() + static_cast<std::ptrdiff_t>(partner) + 1);
  }

  static std::vector<int> allowed() {
    std::vector<int> cores;
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
      for (int core = 0; core < CPU_SETSIZE; ++core) {
        if (CPU_ISSET(static_cast<unsigned>(core), &set)) cores.push_back(core);
      }
    }
    if (cores.empty()) cores.push_back(0);
    return cores;
  }
  // As it was when nothing had been pinned yet.
  static const std::vector<int>& before_main() { return kAllowed; }

  // The programs of one run use the same two: run.sh hands on what choose_cores says. 0: not told.
  std::size_t told_partner() {
    const char* const told = std::getenv("RONDO_BENCH_CORES");  // "2,3"
    if (told == nullptr) return 0;
    char* end = nullptr;
    const long first = std::strtol(told, &end, 10);
    const long second = *end == ',' ? std::strtol(end + 1, nullptr, 10) : first;
    const auto at = [&](long core) { return std::find(order_.begin(), order_.end(), core); };
    if (first == second || at(first) == order_.end() || at(second) == order_.end()) return 0;
    std::iter_swap(order_.begin(), at(first));
    return static_cast<std::size_t>(at(second) - order_.begin());
  }
  std::size_t near_partner() {
    constexpr std::size_t kProbes = 5;  // four make a mode, and one may go wrong
    std::vector<std::vector<double>> probes(order_.size() - 1);
    for (std::size_t round = 0; round < kProbes; ++round) {
      for (std::size_t i = 0; i < probes.size(); ++i) {
        probes[i].push_back(probe_cores(order_[0], order_[i + 1]));
      }
    }
    std::vector<bool> siblings;
    for (std::size_t i = 1; i < order_.size(); ++i) {
      siblings.push_back(are_siblings(order_[0], order_[i]));
    }
    set_back();
    return 1 + choose_near(probes, siblings);
  }
  // The calling thread was pinned for the probes.
  void set_back() const {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int core : order_) CPU_SET(static_cast<unsigned>(core), &set);
    sched_setaffinity(0, sizeof set, &set);
  }

  inline static const std::vector<int> kAllowed = allowed();
  std::vector<int> order_;
};

// The calling thread, to the k-th core in use.
inline bool pin_to(int k) {
  return pin_to_number(Cores::in_use().number(static_cast<std::size_t>(k)));
}

}  // namespace rondo::bench
