// A participant that dies after each of its instructions. It is single-stepped once; whenever the
// memory has changed, a copy of it is judged, as if the participant had died there.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>

#include "process/stepper.hpp"
#include "support/processes.hpp"

namespace rondo::testing {

struct Deaths {
  std::uint64_t instructions = 0;
  std::uint64_t states = 0;  // of the memory, that were judged
  std::uint64_t failures = 0;
  std::string first_failure;
};

// `live` is the participant's life, with Stepper::begin() and end() around what is stepped.
// `verdict` says what is wrong with a copy of `place`, which it may change; nothing if all is well.
template <class Place, class Verdict>
[[nodiscard]] Deaths deaths_at_each_step(Shared<Place>& place, const std::function<void()>& live,
                                         Verdict verdict) {
  Deaths deaths;
  Shared<Place> copy;
  Stepper victim(live);
  Place before;
  std::memset(static_cast<void*>(&before), 0xFF, sizeof before);
  do {
    if (std::memcmp(&before, &*place, sizeof before) == 0) continue;
    std::memcpy(static_cast<void*>(&before), &*place, sizeof before);
    std::memcpy(static_cast<void*>(&*copy), &*place, sizeof before);
    ++deaths.states;
    const std::string wrong = verdict(*copy);
    if (!wrong.empty() && deaths.failures++ == 0) {
      deaths.first_failure = wrong + " after instruction " + std::to_string(victim.steps());
    }
  } while (victim.step());
  deaths.instructions = victim.steps();
  EXPECT_TRUE(victim.finished()) << "the victim did not come to its end";
  std::printf("died after each of %llu instructions, %llu states: %llu failures\n",
              static_cast<unsigned long long>(deaths.instructions),
              static_cast<unsigned long long>(deaths.states),
              static_cast<unsigned long long>(deaths.failures));
  return deaths;
}

}  // namespace rondo::testing
