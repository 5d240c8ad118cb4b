#include "rondo/transports/url.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <limits>
#include <string>
#include <utility>

#include "url/url_options.hpp"

namespace rondo::inline RONDO_ABI {
namespace {

struct SchemeEntry {
  Scheme scheme;
  std::string_view name;
};
constexpr std::array kSchemes{
    SchemeEntry{Scheme::kShm, "shm"},       SchemeEntry{Scheme::kFile, "file"},
    SchemeEntry{Scheme::kInproc, "inproc"}, SchemeEntry{Scheme::kPipe, "pipe"},
    SchemeEntry{Scheme::kFd, "fd"},         SchemeEntry{Scheme::kFifo, "fifo"},
    SchemeEntry{Scheme::kUnix, "unix"},     SchemeEntry{Scheme::kGuarded, "shm+guarded"},
};

constexpr std::size_t kMaxName = 200;    // of a shm: or inproc: name, in bytes
constexpr std::size_t kMaxPath = 4095;   // PATH_MAX less the final zero
constexpr std::size_t kMaxSocket = 107;  // sun_path less the final zero

std::string quoted(std::string_view text) {
  std::string result = "'";
  for (const char c : text.substr(0, 80)) {
    const bool shows = c >= ' ' && c != '\x7f';
    result += shows ? c : '?';
  }
  return result += text.size() > 80 ? "...'" : "'";
}

std::string scheme_names() {
  std::string names;
  for (const SchemeEntry& entry : kSchemes) {
    if (!names.empty()) names += ", ";
    names.append(entry.name) += ':';
  }
  return names;
}

Result<std::string> decode(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      result += text[i];
      continue;
    }
    unsigned value = 0;
    const char* first = text.data() + i + 1;
    const bool whole = text.size() - i > 2;
    if (!whole || std::from_chars(first, first + 2, value, 16).ptr != first + 2) {
      return Error{ErrorCode::kInvalidUrl, "in " + quoted(text) +
                                               ": '%' needs two hexadecimal digits after it; a "
                                               "'%' itself is written %25"};
    }
    result += static_cast<char>(value);
    i += 2;
  }
  return result;
}

bool is_name_character(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

Result<void> check_name(std::string_view scheme, std::string_view name) {
  const bool good = !name.empty() && name.size() <= kMaxName && name.front() != '.' &&
                    std::ranges::all_of(name, is_name_character);
  if (good) return {};
  return Error{ErrorCode::kInvalidName,
               std::string(scheme) + ": can't be called " + quoted(name) +
                   "; a name is 1 to 200 letters, digits, '.', '_' or '-', and does not begin "
                   "with '.'"};
}

Result<void> check_path(std::string_view scheme, std::string_view path, std::size_t limit) {
  if (path.empty()) {
    return Error{ErrorCode::kInvalidName, std::string(scheme) + ": needs a path, as in " +
                                              std::string(scheme) + ":/tmp/ticks"};
  }
  if (path.find('\0') != std::string_view::npos) {
    return Error{ErrorCode::kInvalidName, "the path " + quoted(path) + " holds a zero byte"};
  }
  if (path.size() > limit) {
    return Error{ErrorCode::kInvalidName,
                 "the path " + quoted(path) + " has " + std::to_string(path.size()) + " bytes; " +
                     std::string(scheme) + ": can take " + std::to_string(limit)};
  }
  return {};
}

Result<void> check_target(Scheme scheme, const std::string& target) {
  const std::string_view name = to_string(scheme);
  switch (scheme) {
    case Scheme::kShm: return check_name(name, target);
    case Scheme::kInproc:
      // Without a name: for open_pair().
      return target.empty() ? Result<void>() : check_name(name, target);
    case Scheme::kFile:
    case Scheme::kFifo: return check_path(name, target, kMaxPath);
    case Scheme::kUnix:
    case Scheme::kGuarded: return check_path(name, target, kMaxSocket);
    case Scheme::kPipe:
      if (target.empty()) return {};
      return Error{ErrorCode::kInvalidName,
                   "pipe: has no name, but is followed by " + quoted(target) +
                       "; a pipe with a name is fifo:PATH, one that is open already is fd:N"};
    case Scheme::kFd: {
      int number = -1;
      const char* end = target.data() + target.size();
      const auto [rest, error] = std::from_chars(target.data(), end, number);
      if (error == std::errc() && rest == end && number >= 0) return {};
      return Error{
          ErrorCode::kInvalidName,
          "fd: needs the number of an open descriptor, as in fd:3; found " + quoted(target)};
    }
  }
  return {};
}

// What is right for each option alone may be wrong together.
Result<void> check_together(const ChannelOptions& options) {
  if (!options.capacity || !options.max_bytes) return {};
  if (*options.max_bytes <= record_ring::max_record_bytes(*options.capacity)) return {};
  const std::uint64_t needed = detail::capacity_for(*options.max_bytes);
  return Error{ErrorCode::kInvalidCapacity,
               "capacity=" + format_size(*options.capacity) + " is too little for max=" +
                   format_size(*options.max_bytes) + "; it takes " + format_size(needed)};
}

}  // namespace

std::string_view to_string(Scheme scheme) noexcept {
  for (const SchemeEntry& entry : kSchemes) {
    if (entry.scheme == scheme) return entry.name;
  }
  return "unknown";
}

Result<Url> Url::parse(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  const auto* entry = std::ranges::find(kSchemes, name, &SchemeEntry::name);
  if (colon == std::string_view::npos || entry == kSchemes.end()) {
    return Error{ErrorCode::kInvalidUrl, quoted(text) +
                                             " names no known transport; a URL begins with one "
                                             "of " +
                                             scheme_names() + " as in shm:ticks?capacity=1MiB"};
  }
  const std::string_view rest = text.substr(colon + 1);
  const std::size_t question = rest.find('?');

  Url url;
  url.scheme = entry->scheme;
  Result<std::string> target = decode(rest.substr(0, question));
  if (!target) return std::move(target).error();
  url.target = std::move(target).value();
  if (Result<void> checked = check_target(url.scheme, url.target); !checked) {
    return std::move(checked).error();
  }
  if (question == std::string_view::npos) return url;
  Result<void> parsed = detail::parse_options(url.scheme, rest.substr(question + 1), url.options);
  if (!parsed) return std::move(parsed).error();
  if (Result<void> checked = check_together(url.options); !checked) {
    return std::move(checked).error();
  }
  return url;
}

std::string Url::name() const { return std::string(to_string(scheme)) + ':' + target; }

std::optional<std::uint64_t> parse_size(std::string_view text) noexcept {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc()) return std::nullopt;
  const std::string_view suffix(rest, end);
  int shift = -1;
  if (suffix.empty() || suffix == "B") shift = 0;
  if (suffix == "KiB" || suffix == "K") shift = 10;
  if (suffix == "MiB" || suffix == "M") shift = 20;
  if (suffix == "GiB" || suffix == "G") shift = 30;
  if (shift < 0 || number > std::numeric_limits<std::uint64_t>::max() >> shift) return std::nullopt;
  return number << shift;
}

std::string format_size(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 4> kSuffixes{"", "KiB", "MiB", "GiB"};
  const int shift = bytes == 0 ? 0 : std::min(std::countr_zero(bytes) / 10, 3);
  return std::to_string(bytes >> (10 * shift)).append(kSuffixes[static_cast<std::size_t>(shift)]);
}

}  // namespace rondo::inline RONDO_ABI
