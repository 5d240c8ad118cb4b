// How long a soak test goes on: RONDO_SOAK_SECONDS, which `./dev soak` sets.
#pragma once

#include <chrono>
#include <cstdlib>

namespace rondo::testing {

class SoakTime {
 public:
  // `otherwise`: where no time was given.
  explicit SoakTime(std::chrono::seconds otherwise) {
    const char* given = std::getenv("RONDO_SOAK_SECONDS");
    end_ = Clock::now() + (given != nullptr ? std::chrono::seconds(std::atoi(given)) : otherwise);
  }
  [[nodiscard]] bool over() const { return Clock::now() >= end_; }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point end_;
};

}  // namespace rondo::testing
