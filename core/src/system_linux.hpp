// What the Linux sources of core share.
#pragma once

#include <cerrno>
#include <string>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// What stands in a file of the system, such as /proc/meminfo; empty if it can't be read.
[[nodiscard]] std::string read_text(const char* path) noexcept;

// Repeats a system call that a signal interrupted.
template <class Call>
auto retry_interrupted(Call&& call) noexcept {
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

}  // namespace rondo::inline RONDO_ABI::detail
