// Deaths at each system call. What others see of a process apart from its segment's memory (names,
// locks, files) changes at system calls only, so these are all the moments at which it can die with
// a different trace.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "process/stepper.hpp"

namespace rondo::testing {

// Lets `work` run in a child to its system call number `moment`, before and after it counted apart,
// and kills it there; between its calls `meanwhile` keeps the other side going. False if it came to
// its end before.
inline bool kill_at_system_call(
    int moment, const std::function<void()>& work, const std::function<void()>& meanwhile = [] {}) {
  Stepper victim([&] {
    Stepper::begin();
    work();
    Stepper::end();
  });
  bool there = true;
  for (int i = 0; i <= moment && there; ++i) {
    there = victim.run_to_system_call();
    meanwhile();
  }
  return there;  // SIGKILL, and waits for it
}

// The same at each of them in turn; `look` judges what it left. Returns how many there were.
inline int at_each_system_call(const std::function<void()>& work,
                               const std::function<void()>& look) {
  for (int moment = 0;; ++moment) {
    SCOPED_TRACE("stop " + std::to_string(moment) + " at a system call");
    const bool there = kill_at_system_call(moment, work);
    look();
    if (!there || ::testing::Test::HasFatalFailure()) return moment;
  }
}

}  // namespace rondo::testing
