#include "rondo/core/opened.hpp"

#include <algorithm>
#include <string>

namespace rondo::inline RONDO_ABI {
namespace {

bool is_name_character(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

// What of it can be shown.
std::string quoted(std::string_view text) {
  std::string result = "'";
  for (const char c : text.substr(0, 80)) result += c >= ' ' && c != '\x7f' ? c : '?';
  return result += text.size() > 80 ? "...'" : "'";
}

}  // namespace

Result<SegmentName> parse_ring_name(std::string_view text) {
  constexpr std::string_view kMemory = "shm:";
  constexpr std::string_view kFile = "file:";
  const bool file = text.starts_with(kFile);
  if (!file && !text.starts_with(kMemory)) {
    return Error{ErrorCode::kInvalidUrl,
                 quoted(text) +
                     " is no name of a ring; one begins with shm: or file:, "
                     "as in shm:ticks or file:/tmp/ticks"};
  }
  const std::string_view name = text.substr(file ? kFile.size() : kMemory.size());
  if (name.find_first_of("?%") != std::string_view::npos) {
    return Error{ErrorCode::kInvalidName,
                 quoted(text) +
                     " holds '?' or '%', which mean something in a channel's URL; a ring takes its "
                     "parameters and options as arguments, and a path without them"};
  }
  const bool good = file || (!name.empty() && name.size() <= kMaxSegmentNameBytes &&
                             name.front() != '.' && std::ranges::all_of(name, is_name_character));
  if (!good) {
    return Error{ErrorCode::kInvalidName,
                 "shm: can't be called " + quoted(name) +
                     "; a name is 1 to 200 letters, digits, '.', '_' or '-', and does not begin "
                     "with '.'"};
  }
  return SegmentName{file ? Backing::kFile : Backing::kSharedMemory, std::string(name)};
}

}  // namespace rondo::inline RONDO_ABI
