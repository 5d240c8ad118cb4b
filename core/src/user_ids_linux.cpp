#include "rondo/core/user_ids.hpp"

#include <unistd.h>

#include <cstdlib>
#include <string>

#include "system_linux.hpp"

namespace rondo::detail {
namespace {

// The files of /proc that tell of one kind of ids.
struct Kind {
  const char* overflow;
  const char* map;
};
constexpr Kind kUsers{"/proc/sys/kernel/overflowuid", "/proc/self/uid_map"};
constexpr Kind kGroups{"/proc/sys/kernel/overflowgid", "/proc/self/gid_map"};

constexpr std::uint32_t kUsualOverflow = 65534;
constexpr std::uint64_t kAllIds = 0xFFFF'FFFF;  // 2^32 - 1 is none

// Each line: the first id inside, the first outside, how many.
bool all_mapped(const Kind& kind) {
  const std::string map = read_text(kind.map);
  const char* at = map.c_str();
  std::uint64_t count = 0;
  for (;;) {
    char* end = nullptr;
    static_cast<void>(std::strtoull(at, &end, 10));
    static_cast<void>(std::strtoull(end, &end, 10));
    const std::uint64_t here = std::strtoull(end, &end, 10);
    if (end == at || here == 0) return count >= kAllIds;
    count += here;
    at = end;
  }
}

bool is_anybodys(const Kind& kind, std::uint32_t id) {
  const std::string text = read_text(kind.overflow);
  const std::uint64_t overflow =
      text.empty() ? kUsualOverflow : std::strtoull(text.c_str(), nullptr, 10);
  return id == overflow && !all_mapped(kind);
}

}  // namespace

bool is_user(std::uint32_t told, std::uint32_t wanted) noexcept {
  return told == wanted && told != kAllIds && !is_anybodys(kUsers, told);
}

bool is_group(std::uint32_t told, std::uint32_t wanted) noexcept {
  return told == wanted && told != kAllIds && !is_anybodys(kGroups, told);
}

bool is_own_user(std::uint32_t told) noexcept { return is_user(told, geteuid()); }

std::string user_in_words(std::uint32_t told) {
  std::string words = "user " + std::to_string(told);
  if (is_anybodys(kUsers, told)) words += " (any user without an id in this user namespace)";
  return words;
}

}  // namespace rondo::detail
