// What lies beside a message in its record: header=, so many bytes of the user's own in front of
// it, and align=, what lets it begin at a multiple of more than 8.
//
//   the record      up to align - 8   header, padded to 8   message   what the first part left
//
// A record begins at a multiple of 8, of which nothing is known but that it is the same one in each
// process: memory is mapped at multiples of a page, of which align= divides each. So a record has
// room for a message at the worst of them, and each side finds it from the address of the record.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "rondo/core/position.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/value.hpp"

namespace rondo::inline RONDO_ABI::detail {

inline constexpr std::uint32_t kMaxHeaderBytes = 256;

// What align= can be.
[[nodiscard]] constexpr bool is_message_alignment(std::uint64_t bytes) noexcept {
  return bytes == 64 || bytes == 4096;
}

struct MessageHeaders {
  std::uint16_t bytes = 0;
  // What is taken of a record that is not the message; without align= that of the header, behind
  // which the message is aligned as it would be without.
  std::uint16_t room = 0;

  MessageHeaders() noexcept = default;
  // `header_bytes`: at most kMaxHeaderBytes. `alignment`: kMessageAlignment, or an
  // is_message_alignment().
  explicit MessageHeaders(std::uint32_t header_bytes,
                          std::uint32_t alignment = kMessageAlignment) noexcept
      : bytes(static_cast<std::uint16_t>(header_bytes)),
        room(static_cast<std::uint16_t>(round_up(header_bytes, kMessageAlignment) + alignment -
                                        kMessageAlignment)) {}
  [[nodiscard]] bool operator==(const MessageHeaders&) const noexcept = default;

  // The header and its padding, right in front of the message.
  [[nodiscard]] std::size_t header_room() const noexcept {
    return round_up(bytes, kMessageAlignment);
  }
  [[nodiscard]] std::size_t alignment() const noexcept {
    return room - header_room() + kMessageAlignment;
  }
  [[nodiscard]] bool aligns() const noexcept { return room != header_room(); }  // by align=
  // Where the message begins in a record at `record`; at most `room`.
  [[nodiscard]] std::size_t offset_in(const std::byte* record) const noexcept {
    const auto address = reinterpret_cast<std::uintptr_t>(record);
    return round_up(address + header_room(), alignment()) - address;
  }

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
