// header=: so many bytes of the user's own in front of each message, in the same record.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "rondo/core/position.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/value.hpp"

namespace rondo::inline RONDO_ABI::detail {

inline constexpr std::uint32_t kMaxHeaderBytes = 256;

struct MessageHeaders {
  std::uint16_t bytes = 0;
  // What they take of a record: the message behind them is aligned as it would be without.
  std::uint16_t room = 0;

  MessageHeaders() noexcept = default;
  // `header_bytes`: at most kMaxHeaderBytes.
  explicit MessageHeaders(std::uint32_t header_bytes) noexcept
      : bytes(static_cast<std::uint16_t>(header_bytes)),
        room(static_cast<std::uint16_t>(round_up(header_bytes, kMessageAlignment))) {}

  // Of the record for a message of `size_bytes`; what no record can have if there is no such size.
  [[nodiscard]] std::size_t record_of(std::size_t size_bytes) const noexcept {
    constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max();
    return size_bytes > kMost - room ? kMost : size_bytes + room;
  }
  // Of the message in a record of `record_bytes`.
  [[nodiscard]] std::size_t message_of(std::size_t record_bytes) const noexcept {
    return record_bytes > room ? record_bytes - room : 0;
  }
};

}  // namespace rondo::inline RONDO_ABI::detail
