#include "rondo/core/available_memory.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <vector>

#include "system_linux.hpp"

namespace rondo::inline RONDO_ABI {
namespace {

// The files of one version of control groups.
struct Files {
  struct Pair {
    const char* limit;
    const char* usage;
  };
  std::array<Pair, 2> pairs;
  std::array<std::string_view, 3> cache;  // the lines of memory.stat that count as left
};
constexpr Files kVersion1{{{{"memory.limit_in_bytes", "memory.usage_in_bytes"},
                            {"memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes"}}},
                          {"total_active_file ", "total_inactive_file ", ""}};
constexpr Files kVersion2{{{{"memory.max", "memory.current"}, {"memory.high", "memory.current"}}},
                          {"active_file ", "inactive_file ", "slab_reclaimable "}};

// The pieces of `text` between separators; into the text, which outlives them.
std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> pieces;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    pieces.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return pieces;
}

// The number at the start of a text; none for "max" and for what is not there.
std::optional<std::uint64_t> number_in(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  return number;
}

// A path as the kernel writes it in mountinfo, where \040 is a space.
std::string unescaped(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escaped = text[i] == '\\' && i + 3 < text.size();
    if (escaped) {
      result +=
          static_cast<char>(std::strtol(std::string(text.substr(i + 1, 3)).c_str(), nullptr, 8));
      i += 3;
    } else {
      result += text[i];
    }
  }
  return result;
}

bool in_list(std::string_view list, std::string_view word) {
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    if (list.substr(begin, end - begin) == word) return true;
    begin = end + 1;
  }
  return false;
}

// Where control groups of a version are mounted, and which of them stands at the mount's root.
struct Mount {
  std::string point;
  std::string top;
};

// mountinfo: id, parent, device, root, mount point, options, optional fields, "-", type, source,
// options of the file system.
std::optional<Mount> find_mount(const std::string& root, std::string_view type) {
  const std::string text = detail::read_text(root + "/proc/self/mountinfo");
  for (const std::string_view line : split(text, '\n')) {
    if (line.find(type) == std::string_view::npos) continue;
    const auto words = split(line, ' ');
    const auto dash = std::find(words.begin(), words.end(), "-");
    if (words.size() < 5 || words.end() - dash < 4 || dash[1] != type) continue;
    if (type == "cgroup" && !in_list(dash[3], "memory")) continue;
    return Mount{unescaped(words[4]), unescaped(words[3])};
  }
  return std::nullopt;
}

// The path of this process's group: a line "NUMBER:CONTROLLERS:PATH"; of version 2, "0::PATH".
std::optional<std::string> find_group(const std::string& root, bool version2) {
  const std::string text = detail::read_text(root + "/proc/self/cgroup");
  for (const std::string_view line : split(text, '\n')) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string_view::npos || second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    if (version2 ? controllers.empty() : in_list(controllers, "memory")) {
      return std::string(line.substr(second + 1));
    }
  }
  return std::nullopt;
}

// The group's path below the mount's root; the root itself when it lies outside, as seen from a
// container with a view of its own.
std::string below(const std::string& group, const std::string& top) {
  if (group.find("/..") != std::string::npos) return {};
  if (top == "/") return group == "/" ? std::string() : group;
  if (group.rfind(top, 0) != 0) return {};
  const std::string rest = group.substr(top.size());
  return rest.empty() || rest[0] == '/' ? rest : std::string();
}

void tighten(AvailableMemory& left, std::uint64_t bytes, const std::string& limit) {
  if (bytes < left.bytes) left = {bytes, limit};
}

// What of a group's usage counts as left. Not cheap: the kernel adds it up on each look.
std::uint64_t cached_in(const std::string& folder, const Files& files) {
  std::uint64_t cache = 0;
  const std::string text = detail::read_text(folder + "/memory.stat");
  for (const std::string_view line : split(text, '\n')) {
    for (const std::string_view name : files.cache) {
      if (name.empty() || !line.starts_with(name)) continue;
      cache += number_in(line.substr(name.size())).value_or(0);
    }
  }
  return cache;
}

// What one group leaves.
void look_at_group(const std::string& root, const std::string& folder, const Files& files,
                   AvailableMemory& left) {
  std::optional<std::uint64_t> cache;  // if it is needed: most groups have no limit
  for (const auto& [limit_file, usage_file] : files.pairs) {
    const std::string path = folder + "/" + limit_file;
    const auto limit = number_in(detail::read_text(root + path));
    if (!limit) continue;
    const auto usage = number_in(detail::read_text(root + folder + "/" + usage_file));
    if (!usage) continue;
    if (!cache) cache = cached_in(root + folder, files);
    const std::uint64_t held = *usage - std::min(*usage, *cache);
    tighten(left, *limit - std::min(*limit, held), path);
  }
}

void look_at_groups(const std::string& root, bool version2, AvailableMemory& left) {
  const auto mount = find_mount(root, version2 ? "cgroup2" : "cgroup");
  const auto group = find_group(root, version2);
  if (!mount || !group) return;
  // Each limit holds for all groups below, so the ancestors' count as well.
  for (std::string path = below(*group, mount->top);; path.resize(path.rfind('/'))) {
    look_at_group(root, mount->point + path, version2 ? kVersion2 : kVersion1, left);
    if (path.find('/') == std::string::npos) return;
  }
}

}  // namespace

AvailableMemory available_memory(const std::string& root) {
  AvailableMemory left;
  constexpr std::string_view kAvailable = "MemAvailable:";
  const std::string text = detail::read_text(root + "/proc/meminfo");
  for (const std::string_view line : split(text, '\n')) {
    if (!line.starts_with(kAvailable)) continue;
    const auto kilobytes = number_in(line.substr(kAvailable.size()));
    if (kilobytes) tighten(left, *kilobytes << 10, {});
  }
  look_at_groups(root, true, left);
  look_at_groups(root, false, left);
  return left;
}

}  // namespace rondo::inline RONDO_ABI
