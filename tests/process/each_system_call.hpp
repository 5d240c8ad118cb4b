// Deaths at each system call. What others see of a process apart from its segment's memory (names,
// locks, files) changes at system calls only, so these are all the moments at which it can die with
// a different trace.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "process/stepper.hpp"

namespace rondo::testing {

// Lets `work` run in a child to each of its system calls in turn, before and after, kills it there,
// and has `look` judge what it left. Returns how many moments there were.
inline int at_each_system_call(const std::function<void()>& work,
                               const std::function<void()>& look) {
  for (int moment = 0;; ++moment) {
    SCOPED_TRACE("stop " + std::to_string(moment) + " at a system call");
    Stepper victim([&] {
      Stepper::begin();
      work();
      Stepper::end();
    });
    bool there = true;
    for (int i = 0; i <= moment && there; ++i) there = victim.run_to_system_call();
    victim.kill();
    look();
    if (!there || ::testing::Test::HasFatalFailure()) return moment;
  }
}

}  // namespace rondo::testing
