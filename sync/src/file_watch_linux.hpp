// Adds a file that is open to what an inotify(7) instance tells of.
#pragma once

#include <sys/inotify.h>

#include <array>
#include <cstdint>
#include <cstdio>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Returns the watch's number, or -1.
[[nodiscard]] inline int watch_file(int instance, int file, std::uint32_t events) noexcept {
  std::array<char, 32> path{};
  std::snprintf(path.data(), path.size(), "/proc/self/fd/%d", file);
  return inotify_add_watch(instance, path.data(), events);
}

}  // namespace rondo::inline RONDO_ABI::detail
