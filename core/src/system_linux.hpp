// What the Linux sources of core share.
#pragma once

#include <cerrno>
#include <span>
#include <string>
#include <string_view>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// What stands in a file of the system, such as /proc/meminfo; empty if it can't be read.
[[nodiscard]] std::string read_text(const std::string& path);
// The same without memory of its own; empty also if it does not fit.
[[nodiscard]] std::string_view read_text(const char* path, std::span<char> into) noexcept;

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
