#include "rondo/core/user_ids.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>

#include "rondo/core/atomic.hpp"
#include "system_linux.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

// The files of /proc that tell of one kind of ids.
struct Kind {
  const char* overflow;
  const char* map;
  // The user namespace of which is known that every id in it is mapped: a map is written once.
  mutable Atomic<std::uint64_t> whole{0};
};
const Kind kUsers{"/proc/sys/kernel/overflowuid", "/proc/self/uid_map"};
const Kind kGroups{"/proc/sys/kernel/overflowgid", "/proc/self/gid_map"};

constexpr std::uint32_t kUsualOverflow = 65534;
constexpr std::uint64_t kAllIds = 0xFFFF'FFFF;  // 2^32 - 1 is none

// Of the user namespace that we are in; takes no descriptor. 0: not known.
std::uint64_t here() noexcept {
  struct stat status {};
  return stat("/proc/self/ns/user", &status) == 0 ? status.st_ino : 0;
}

// The number that a text begins with.
std::optional<std::uint64_t> number_at(std::string_view text) noexcept {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  return number;
}

// Each line: the first id inside, the first outside, how many.
bool says_all(std::string_view map) noexcept {
  std::uint64_t count = 0;
  for (std::uint64_t fields = 0;; ++fields) {
    const std::size_t begin = map.find_first_not_of(" \n");
    if (begin == std::string_view::npos) return count >= kAllIds;
    map.remove_prefix(begin);
    const std::optional<std::uint64_t> number = number_at(map);
    if (!number) return false;
    if (fields % 3 == 2) count += *number;
    map.remove_prefix(std::min(map.find_first_of(" \n"), map.size()));
  }
}

bool all_mapped(const Kind& kind) noexcept {
  const std::uint64_t name_space = here();
  // relaxed: the word is all there is.
  if (name_space != 0 && kind.whole.load(std::memory_order_relaxed) == name_space) return true;
  // Room for all the lines that the kernel takes.
  std::array<char, 16384> text;
  const bool all = says_all(read_text(kind.map, text));
  // relaxed: as above.
  if (all) kind.whole.store(name_space, std::memory_order_relaxed);
  return all;
}

bool is_anybodys(const Kind& kind, std::uint32_t id) noexcept {
  std::array<char, 32> text;
  const std::uint64_t overflow = number_at(read_text(kind.overflow, text)).value_or(kUsualOverflow);
  return id == overflow && !all_mapped(kind);
}

}  // namespace

bool is_user(std::uint32_t told, std::uint32_t wanted) noexcept {
  return told == wanted && told != kAllIds && !is_anybodys(kUsers, told);
}

bool is_group(std::uint32_t told, std::uint32_t wanted) noexcept {
  return told == wanted && told != kAllIds && !is_anybodys(kGroups, told);
}

void ask_about_ids() noexcept {
  static_cast<void>(all_mapped(kUsers));
  static_cast<void>(all_mapped(kGroups));
}

std::optional<std::uint32_t> group_called(const std::string& name) {
  std::uint32_t id = 0;
  const auto number = [&](std::string_view text) {
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, id);
    return error == std::errc() && rest == end && id != kAllIds;
  };
  if (number(name)) return id;
  // Each line: name, password, number, members.
  const std::string groups = read_text("/etc/group");
  for (std::size_t at = 0; at < groups.size(); at = groups.find('\n', at) + 1) {
    const std::string_view line = std::string_view(groups).substr(at, groups.find('\n', at) - at);
    const std::size_t password = line.find(':') + 1;
    const std::size_t id_at = line.find(':', password) + 1;
    const bool whole = password != 0 && id_at != 0;
    if (whole && line.substr(0, password - 1) == name &&
        number(line.substr(id_at, line.find(':', id_at) - id_at))) {
      return id;
    }
    if (groups.find('\n', at) == std::string::npos) break;
  }
  return std::nullopt;
}

std::string describe_user(std::uint32_t told) {
  std::string words = "user " + std::to_string(told);
  if (is_anybodys(kUsers, told)) words += " (any user without an id in this user namespace)";
  return words;
}

}  // namespace rondo::inline RONDO_ABI::detail
