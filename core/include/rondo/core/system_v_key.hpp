// The key of a System V queue or segment, as people write it.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// 32 bits, decimal or with 0x in front; not 0, which is IPC_PRIVATE. None: it is no key.
[[nodiscard]] RONDO_API std::optional<std::uint32_t> system_v_key_of(
    std::string_view text) noexcept;

}  // namespace rondo::inline RONDO_ABI::detail
