#include "url_options.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <string>
#include <utility>

namespace rondo::detail {
namespace {

// The largest message of a byte stream: its length is written as 32 bits, and a record ring needs
// some of the highest values.
constexpr std::uint64_t kLargestMax = record_ring::max_record_bytes(record_ring::kMaxCapacity);

constexpr unsigned bit(Scheme scheme) noexcept { return 1u << static_cast<unsigned>(scheme); }
constexpr unsigned kSegments = bit(Scheme::kShm) | bit(Scheme::kFile);
constexpr unsigned kRings = kSegments | bit(Scheme::kInproc);
constexpr unsigned kStreams =
    bit(Scheme::kPipe) | bit(Scheme::kFd) | bit(Scheme::kFifo) | bit(Scheme::kUnix);
constexpr unsigned kFiles = kSegments | bit(Scheme::kFifo) | bit(Scheme::kUnix);
constexpr unsigned kAll = kRings | kStreams;

// An option and what it holds. `set` takes the value in; if it can't, returns what would be right.
struct Option {
  std::string_view name;
  unsigned schemes;
  ErrorCode error;
  std::string (*set)(std::string_view value, ChannelOptions& options);
};

std::string set_flag(std::string_view value, bool& flag) {
  if (value != "0" && value != "1") return "0 or 1";
  flag = value == "1";
  return {};
}

std::string set_capacity(std::string_view value, ChannelOptions& options) {
  const auto bytes = parse_size(value);
  if (!bytes) return "a size such as 64KiB, 1MiB or 4GiB";
  if (*bytes < record_ring::kMinCapacity || *bytes > record_ring::kMaxCapacity) {
    return "a power of two from " + format_size(record_ring::kMinCapacity) + " to " +
           format_size(record_ring::kMaxCapacity);
  }
  if (!std::has_single_bit(*bytes)) {
    return "a power of two; the nearest are " + format_size(std::bit_floor(*bytes)) + " and " +
           format_size(std::bit_ceil(*bytes));
  }
  options.capacity = *bytes;
  return {};
}

std::string set_max(std::string_view value, ChannelOptions& options) {
  const auto bytes = parse_size(value);
  if (!bytes || *bytes > kLargestMax) {
    return "a size such as 64KiB, at most " + std::to_string(kLargestMax);
  }
  options.max_bytes = *bytes;
  return {};
}

std::string set_wait(std::string_view value, ChannelOptions& options) {
  const auto mode = parse_wait_mode(value);
  if (!mode) return "one of " + std::string(wait_mode_names());
  options.wait = *mode;
  return {};
}

std::string set_acknowledge(std::string_view value, ChannelOptions& options) {
  if (value != "lazy" && value != "eager") return "lazy or eager";
  options.acknowledge = value == "eager" ? Acknowledge::kEagerly : Acknowledge::kLazily;
  return {};
}

std::string set_linger(std::string_view value, ChannelOptions& options) {
  return set_flag(value, options.linger);
}
std::string set_keep(std::string_view value, ChannelOptions& options) {
  return set_flag(value, options.keep);
}
std::string set_lock(std::string_view value, ChannelOptions& options) {
  return set_flag(value, options.segment.lock);
}

std::string set_mode(std::string_view value, ChannelOptions& options) {
  unsigned mode = 0;
  const char* end = value.data() + value.size();
  const auto [rest, error] = std::from_chars(value.data(), end, mode, 8);
  const bool whole = error == std::errc() && rest == end;
  if (!whole || mode > 0777 || (mode & 0600) != 0600) {
    return "octal permissions that let the owner read and write, such as 0600 or 0660";
  }
  options.segment.mode = mode;
  return {};
}

std::string set_huge(std::string_view value, ChannelOptions& options) {
  constexpr std::array<std::pair<std::string_view, HugePages>, 3> kValues{
      {{"no", HugePages::kNo}, {"try", HugePages::kTry}, {"require", HugePages::kRequire}}};
  for (const auto& [name, huge_pages] : kValues) {
    if (value != name) continue;
    options.segment.huge_pages = huge_pages;
    return {};
  }
  return "no, try or require";
}

std::string set_numa(std::string_view value, ChannelOptions& options) {
  int node = -1;
  const char* end = value.data() + value.size();
  const auto [rest, error] = std::from_chars(value.data(), end, node);
  if (error != std::errc() || rest != end || node < 0 || node > 1023) {
    return "the number of a memory node, such as 0";
  }
  options.segment.numa_node = node;
  return {};
}

constexpr std::array kOptions{
    Option{"capacity", kAll, ErrorCode::kInvalidCapacity, set_capacity},
    Option{"max", kStreams, ErrorCode::kInvalidOption, set_max},
    Option{"wait", kAll, ErrorCode::kInvalidOption, set_wait},
    Option{"ack", kRings, ErrorCode::kInvalidOption, set_acknowledge},
    Option{"linger", kRings, ErrorCode::kInvalidOption, set_linger},
    Option{"keep", kSegments | bit(Scheme::kFifo), ErrorCode::kInvalidOption, set_keep},
    Option{"mode", kFiles, ErrorCode::kInvalidOption, set_mode},
    Option{"huge", kSegments, ErrorCode::kInvalidOption, set_huge},
    Option{"lock", kSegments, ErrorCode::kInvalidOption, set_lock},
    Option{"numa", kSegments, ErrorCode::kInvalidOption, set_numa},
};

std::string names_for(Scheme scheme) {
  std::string names;
  for (const Option& option : kOptions) {
    if ((option.schemes & bit(scheme)) == 0) continue;
    if (!names.empty()) names += ", ";
    names += option.name;
  }
  return names;
}

Result<void> parse_option(Scheme scheme, std::string_view text, ChannelOptions& options) {
  const std::size_t equals = text.find('=');
  const std::string name(text.substr(0, std::min(equals, std::size_t{80})));
  const auto* option = std::ranges::find(kOptions, std::string_view(name), &Option::name);
  if (option == kOptions.end() || (option->schemes & bit(scheme)) == 0) {
    return Error{ErrorCode::kInvalidOption, std::string(to_string(scheme)) + ": has no option '" +
                                                name + "'; it has " + names_for(scheme)};
  }
  if (equals == std::string_view::npos) {
    return Error{ErrorCode::kInvalidOption,
                 "the option " + name + " needs a value, as in " + name + "=VALUE"};
  }
  const std::string_view value = text.substr(equals + 1);
  const std::string right = option->set(value, options);
  if (right.empty()) return {};
  return Error{option->error, name + "=" + std::string(value.substr(0, 80)) +
                                  " is not possible; it has to be " + right};
}

}  // namespace

Result<void> parse_options(Scheme scheme, std::string_view text, ChannelOptions& options) {
  while (!text.empty()) {
    const std::size_t ampersand = std::min(text.find('&'), text.size());
    Result<void> parsed = parse_option(scheme, text.substr(0, ampersand), options);
    if (!parsed) return parsed;
    text.remove_prefix(std::min(ampersand + 1, text.size()));
  }
  return {};
}

}  // namespace rondo::detail
