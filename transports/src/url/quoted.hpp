// What a user wrote, as a message can show it.
#pragma once

#include <string>
#include <string_view>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// In quotes, without control characters, and no longer than a line.
[[nodiscard]] inline std::string quoted(std::string_view text) {
  std::string result = "'";
  for (const char c : text.substr(0, 80)) {
    const bool shows = c >= ' ' && c != '\x7f';
    result += shows ? c : '?';
  }
  return result += text.size() > 80 ? "...'" : "'";
}

}  // namespace rondo::inline RONDO_ABI::detail
