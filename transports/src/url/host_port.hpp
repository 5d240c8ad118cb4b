// "//HOST:PORT", the target of what goes over a network.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

struct HostPort {
  std::string
      host;  // a name or an address, without brackets; empty: every address, or this machine
  std::uint16_t port = 0;
};

// Empty if it is none; an IPv6 address stands in brackets.
[[nodiscard]] std::optional<HostPort> parse_host_port(std::string_view target);

// Whether that is the address of a group (multicast), in digits.
[[nodiscard]] bool is_group_host(std::string_view host) noexcept;

}  // namespace rondo::inline RONDO_ABI::detail
