// CRC-32C, the checksum of RFC 3720 (Castagnoli's polynomial 0x1EDC6F41, reflected): with the
// processor's instruction where it has one, else by a table.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// The checksum of `bytes`; or, with the checksum of what comes before them, of both together.
[[nodiscard]] std::uint32_t crc32c(std::span<const std::byte> bytes,
                                   std::uint32_t before = 0) noexcept;
// The same by the table alone.
[[nodiscard]] std::uint32_t crc32c_by_table(std::span<const std::byte> bytes,
                                            std::uint32_t before = 0) noexcept;

// What the system says of the processor; see can_crc32c().
[[nodiscard]] unsigned long processor_features() noexcept;

}  // namespace rondo::inline RONDO_ABI::detail
