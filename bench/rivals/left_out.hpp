// Which rivals this program was built without, and how to get them.
#pragma once

#include <fmt/core.h>

#include <string_view>

namespace rondo::bench {

// By rivals.cmake, with a | between them: "nng (not installed: apt-get install libnng-dev)".
inline constexpr std::string_view kLeftOut = RONDO_LEFT_OUT;

inline void print_left_out(std::string_view also = {}) {
  for (std::string_view rest : {kLeftOut, also}) {
    while (!rest.empty()) {
      const std::size_t end = rest.find('|');
      fmt::print("left out: {}\n", rest.substr(0, end));
      rest = end == rest.npos ? std::string_view() : rest.substr(end + 1);
    }
  }
}

}  // namespace rondo::bench
