#include "rondo/transports/url.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <limits>
#include <string>
#include <utility>

#include "rondo/transports/message_headers.hpp"
#include "url/quoted.hpp"
#include "url/schemes.hpp"
#include "url/url_options.hpp"
#include "url/words.hpp"

namespace rondo::inline RONDO_ABI {

using detail::quoted;
using detail::SchemeRow;

namespace {

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

// What is right for each option alone may be wrong together.
Result<void> check_together(const ChannelOptions& options) {
  if (!options.max_bytes) return {};
  const std::uint64_t record =
      detail::MessageHeaders(options.header_bytes()).record_of(*options.max_bytes);
  if (record > record_ring::max_record_bytes(record_ring::kMaxCapacity)) {
    return Error{ErrorCode::kInvalidOption, "max=" + format_size(*options.max_bytes) +
                                                " leaves no room for header=" +
                                                std::to_string(*options.header) + "; say less"};
  }
  if (!options.capacity || record <= record_ring::max_record_bytes(*options.capacity)) return {};
  const std::uint64_t needed = detail::capacity_for(record);
  return Error{ErrorCode::kInvalidCapacity,
               "capacity=" + format_size(*options.capacity) + " is too little for max=" +
                   format_size(*options.max_bytes) + "; it takes " + format_size(needed)};
}

}  // namespace

std::string_view to_string(Scheme scheme) noexcept { return detail::row_of(scheme).name; }

Result<Url> Url::parse(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  const auto* row = std::ranges::find(detail::kSchemes, name, &SchemeRow::name);
  if (colon == std::string_view::npos || row == detail::kSchemes.end()) {
    const auto any = [](const SchemeRow&) { return true; };
    return Error{ErrorCode::kInvalidUrl,
                 quoted(text) + " names no known transport; a URL begins with one of " +
                     detail::names_of(detail::kSchemes, any, ":", "or") +
                     ", as in shm:ticks?capacity=1MiB"};
  }
  const std::string_view rest = text.substr(colon + 1);
  const std::size_t question = rest.find('?');

  Url url;
  url.scheme = row->scheme;
  Result<std::string> target = decode(rest.substr(0, question));
  if (!target) return std::move(target).error();
  url.target = std::move(target).value();
  if (Result<void> checked = row->check(row->name, url.target); !checked) {
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

std::optional<SegmentName> Url::segment() const {
  const auto& backing = detail::row_of(scheme).segment;
  return backing ? std::optional(SegmentName{*backing, target}) : std::nullopt;
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
