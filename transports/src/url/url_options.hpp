// Taking the options of a URL apart, by the tables that say which there are.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/url.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Takes "a=1&b=2" apart into `options`.
[[nodiscard]] Result<void> parse_options(Scheme scheme, std::string_view text,
                                         ChannelOptions& options);

// What of a URL takes room beside each message, in words: "header=20 with align=64".
[[nodiscard]] std::string what_takes_room(const ChannelOptions& options);

// The smallest capacity of a ring in which records of `max_bytes` always fit.
[[nodiscard]] constexpr std::uint64_t capacity_for(std::uint64_t max_bytes) noexcept {
  std::uint64_t capacity = record_ring::kMinCapacity;
  while (record_ring::max_record_bytes(capacity) < max_bytes) capacity *= 2;
  return capacity;
}

}  // namespace rondo::inline RONDO_ABI::detail
