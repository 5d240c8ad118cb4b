#include "units.hpp"

#include <array>
#include <cmath>

#include <fmt/format.h>

namespace rondo::program {
namespace {

std::string scaled(double value, const char* base_unit) {
  static constexpr std::array kPrefixes{"", "k", "M", "G", "T", "P"};
  std::size_t power = 0;
  while (value >= 999.5 && power + 1 < kPrefixes.size()) {
    value /= 1000;
    ++power;
  }
  if (power == 0) return fmt::format("{:.0f} {}", value, base_unit);
  const int digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f} {}{}", value, digits, kPrefixes[power], base_unit);
}

}  // namespace

std::string human_bytes(std::uint64_t bytes) { return scaled(static_cast<double>(bytes), "B"); }

std::string human_rate(double bytes_per_second) { return scaled(bytes_per_second, "B") + "/s"; }

std::string human_seconds(double seconds) {
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<std::uint64_t>(std::llround(seconds));
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string binary_size(std::uint64_t bytes) {
  static constexpr std::array kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t power = 0;
  while (bytes >= 1024 && bytes % 1024 == 0 && power + 1 < kUnits.size()) {
    bytes /= 1024;
    ++power;
  }
  return fmt::format("{} {}", bytes, kUnits[power]);
}

std::string grouped(std::uint64_t number) {
  std::string digits = fmt::to_string(number);
  for (std::size_t at = digits.size(); at > 3;) digits.insert(at -= 3, 1, ',');
  return digits;
}

}  // namespace rondo::program
