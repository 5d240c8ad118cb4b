// header= and align=: what the maker of a ring said of them, and whoever joins has to agree with.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "rondo/core/result.hpp"
#include "rondo/core/segment_header.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/message_headers.hpp"
#include "rondo/transports/url.hpp"

namespace rondo::inline RONDO_ABI::detail {

// What the URL asks for, if nothing is found that has some.
[[nodiscard]] inline MessageHeaders wished_headers(const ChannelOptions& options) noexcept {
  return MessageHeaders(options.header_bytes(), options.align_bytes());
}

// Whether `url` agrees with a channel of such headers. Errors: kGeometryMismatch.
[[nodiscard]] inline Result<void> check_headers(const Url& url, const MessageHeaders& found) {
  const auto agrees = [&](std::string_view option, std::optional<std::uint32_t> asked,
                          std::size_t has, bool none, std::string_view without) -> Result<void> {
    if (!asked || *asked == has) return {};
    const std::string wish = std::string(option) + "=" + std::to_string(*asked);
    std::string message = url.name();
    if (none) {
      message.append(" has messages ").append(without).append(", not ").append(wish);
      message += "; leave the option out";
    } else {
      message.append(" has ").append(option).append("=").append(std::to_string(has));
      message.append(", not ").append(wish);
      message += "; open it with the same, or leave the option out";
    }
    return Error{ErrorCode::kGeometryMismatch,
                 message + ", or make the channel anew (rondo rm " + url.name() + ")"};
  };
  if (auto agreed =
          agrees("header", url.options.header, found.bytes, found.bytes == 0, "without headers");
      !agreed) {
    return agreed;
  }
  return agrees("align", url.options.align, found.alignment(),
                found.alignment() == kMessageAlignment, "that begin at multiples of 8");
}

// The maker says it in the segment, which nobody else has seen yet.
inline void write_headers(std::span<std::byte> segment, const Url& url) noexcept {
  auto* header = std::launder(reinterpret_cast<SegmentHeader*>(segment.data()));
  std::uint64_t bits = std::uint64_t{url.options.header_bytes()} << kUserHeaderShift;
  if (url.options.align) {
    bits |= std::uint64_t(std::countr_zero(*url.options.align)) << kUserAlignmentShift;
  }
  // relaxed: what hands the segment over publishes it.
  header->feature_bits.fetch_or(bits, std::memory_order_relaxed);
}

// Takes what the maker said out of `geometry`, so that what is left is the ring's own. What no
// maker says stays: as features that the ring does not know.
inline MessageHeaders take_headers(Geometry& geometry) noexcept {
  constexpr std::uint64_t kHeaderBits =
      (std::uint64_t{1} << (kUserAlignmentShift - kUserHeaderShift)) - 1;
  const std::uint64_t header = geometry.feature_bits >> kUserHeaderShift & kHeaderBits;
  const std::uint64_t power = geometry.feature_bits >> kUserAlignmentShift;
  const std::uint64_t alignment = power == 0 ? kMessageAlignment : std::uint64_t{1} << power;
  if (header > kMaxHeaderBytes || (power != 0 && !is_message_alignment(alignment))) return {};
  geometry.feature_bits &= (std::uint64_t{1} << kUserHeaderShift) - 1;
  return MessageHeaders(static_cast<std::uint32_t>(header), static_cast<std::uint32_t>(alignment));
}

// The end in `parts`, if there is one, of a channel of such headers.
template <class Parts>
[[nodiscard]] Result<Parts> behind_headers(Result<Parts> parts, const MessageHeaders& headers) {
  if (parts) parts->headers = headers;
  return parts;
}

}  // namespace rondo::inline RONDO_ABI::detail
