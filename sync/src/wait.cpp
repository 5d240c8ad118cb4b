#include "rondo/sync/wait.hpp"

#include <array>
#include <thread>
#include <utility>

namespace rondo::inline RONDO_ABI {
namespace {

constexpr std::array<std::pair<std::string_view, WaitMode>, 5> kModes{{
    {"spin", WaitMode::kSpin},
    {"pause", WaitMode::kPause},
    {"yield", WaitMode::kYield},
    {"adaptive", WaitMode::kAdaptive},
    {"park", WaitMode::kPark},
}};

}  // namespace

void detail::yield_core() noexcept { std::this_thread::yield(); }

std::optional<WaitMode> parse_wait_mode(std::string_view text) noexcept {
  for (const auto& [name, mode] : kModes) {
    if (text == name) return mode;
  }
  return std::nullopt;
}

std::string_view to_string(WaitMode mode) noexcept {
  for (const auto& [name, known] : kModes) {
    if (mode == known) return name;
  }
  return "unknown";
}

std::string_view wait_mode_names() noexcept { return "spin, pause, yield, adaptive, park"; }

}  // namespace rondo::inline RONDO_ABI
