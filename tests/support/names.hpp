// Names for what tests make.
#pragma once

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <string>

namespace rondo::testing {

// A name that no other test uses, in this program or any other. The pid tells whose it is; the
// time tells it from what a killed one with the same pid has left behind.
inline std::string unique_word() {
  static std::atomic<int> counter{0};
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  return "test-" + std::to_string(getpid()) + "-" + std::to_string(++counter) + "-" +
         std::to_string(now);
}

}  // namespace rondo::testing
