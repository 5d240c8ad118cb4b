// header=: what the maker of a ring said of it, and whoever joins has to agree with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "rondo/core/result.hpp"
#include "rondo/core/segment_header.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/message_headers.hpp"
#include "rondo/transports/url.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Whether `url` agrees with a channel of such headers. Errors: kGeometryMismatch.
[[nodiscard]] inline Result<void> check_header_bytes(const Url& url, std::uint32_t found) {
  if (url.options.header.value_or(found) == found) return {};
  const std::string asked = std::to_string(*url.options.header);
  return Error{ErrorCode::kGeometryMismatch,
               url.name() +
                   (found == 0 ? " has messages without headers, not header=" + asked +
                                     "; leave the option out"
                               : " has header=" + std::to_string(found) + ", not header=" + asked +
                                     "; open it with the same, or leave the option out") +
                   ", or make the channel anew (rondo rm " + url.name() + ")"};
}

// The maker says it in the segment, which nobody else has seen yet.
inline void write_header_bytes(std::span<std::byte> segment, const Url& url) noexcept {
  auto* header = std::launder(reinterpret_cast<SegmentHeader*>(segment.data()));
  const std::uint64_t bytes = url.options.header_bytes();
  // relaxed: what hands the segment over publishes it.
  header->feature_bits.fetch_or(bytes << kUserHeaderShift, std::memory_order_relaxed);
}

// Takes what the maker said out of `geometry`, so that what is left is the ring's own. What no
// maker says stays: as features that the ring does not know.
inline std::uint32_t take_header_bytes(Geometry& geometry) noexcept {
  const std::uint64_t bytes = geometry.feature_bits >> kUserHeaderShift;
  if (bytes > kMaxHeaderBytes) return 0;
  geometry.feature_bits &= (std::uint64_t{1} << kUserHeaderShift) - 1;
  return static_cast<std::uint32_t>(bytes);
}

// The end in `parts`, if there is one, of a channel of such headers.
template <class Parts>
[[nodiscard]] Result<Parts> behind_headers(Result<Parts> parts, std::uint32_t header_bytes) {
  if (parts) parts->header_bytes = header_bytes;
  return parts;
}

}  // namespace rondo::inline RONDO_ABI::detail
