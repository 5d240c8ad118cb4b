// How often this program has given its core away. For one source of a program: it stands in for the
// C library's function.
#pragma once

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace rondo::testing {
inline std::atomic<std::uint64_t> yielded_cores{0};
}  // namespace rondo::testing

extern "C" int sched_yield() noexcept {
  ++rondo::testing::yielded_cores;
  return static_cast<int>(syscall(SYS_sched_yield));
}
