// How far a program is, on standard error, for who waits: on a terminal in one line, else a line
// now and then. And when it has done enough.
#pragma once

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string_view>

#include "support/machine.hpp"

namespace rondo::bench {

// Rounds of questions: each round asks each of them once, so that what changes in the machine
// meets them all.
//
//   while (rounds.next()) { for (...) { rounds.question(); ... } }
class Rounds {
 public:
  // At most `rounds`, and as many as `seconds` have room for, by the mean of those before; one at
  // least.
  Rounds(std::string_view program, int rounds, double seconds, std::size_t questions)
      : program_(program), rounds_(rounds), seconds_(seconds), questions_(questions) {}
  Rounds(const Rounds&) = delete;
  Rounds& operator=(const Rounds&) = delete;
  ~Rounds() {
    if (terminal_) fmt::print(stderr, "\r{:78}\r", "");
  }

  bool next() {
    const double passed = seconds_since(start_);
    if (round_ > 0 && (round_ == rounds_ || passed + passed / round_ > seconds_)) return false;
    ++round_;
    asked_ = 0;
    return true;
  }
  void question() {
    ++asked_;
    const auto now = Clock::now();
    if (now < quiet_until_) return;
    quiet_until_ = now + (terminal_ ? std::chrono::milliseconds(200) : std::chrono::seconds(20));
    // The first round tells how long a round takes.
    const double done = static_cast<double>(round_ - 1) +
                        static_cast<double>(asked_ - 1) / static_cast<double>(questions_);
    const double passed = seconds_since(start_);
    const double all = done > 0 ? std::min(passed / done * rounds_, seconds_) : seconds_;
    fmt::print(stderr, "{}{}: question {} of {}, round {}{}, about {:.0f} s left{}",
               terminal_ ? "\r" : "", program_, asked_, questions_, round_,
               rounds_ < kNoRounds ? fmt::format(" of {}", rounds_) : "",
               std::max(all - passed, 0.0), terminal_ ? "    " : "\n");
    std::fflush(stderr);
  }

  static constexpr int kNoRounds = 1'000'000;  // only the seconds count
  static constexpr double kNoSeconds = 1e9;    // only the rounds

 private:
  std::string_view program_;
  int rounds_;
  double seconds_;
  std::size_t questions_;
  int round_ = 0;
  std::size_t asked_ = 0;
  bool terminal_ = isatty(2) != 0;
  Clock::time_point start_ = Clock::now();
  Clock::time_point quiet_until_ = start_ + std::chrono::seconds(1);
};

}  // namespace rondo::bench
