#include "url/host_port.hpp"

#include <algorithm>
#include <charconv>
#include <string>
#include <system_error>

#include "url/quoted.hpp"
#include "url/schemes.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr std::size_t kMaxHost = 253;  // of a name in the DNS

bool is_host_character(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '-' || c == '_';
}

// Of an IPv6 address, with a zone: fe80::1%eth0.
bool is_address_character(char c) noexcept { return is_host_character(c) || c == ':' || c == '%'; }

}  // namespace

std::optional<HostPort> parse_host_port(std::string_view target) {
  if (!target.starts_with("//")) return std::nullopt;
  target.remove_prefix(2);
  std::string_view host;
  std::string_view port;
  if (target.starts_with('[')) {
    const std::size_t end = target.find("]:");
    if (end == std::string_view::npos) return std::nullopt;
    host = target.substr(1, end - 1);
    port = target.substr(end + 2);
    if (host.find(':') == std::string_view::npos ||
        !std::ranges::all_of(host, is_address_character)) {
      return std::nullopt;
    }
  } else {
    const std::size_t end = target.find(':');
    if (end == std::string_view::npos) return std::nullopt;
    host = target.substr(0, end);
    port = target.substr(end + 1);
    if (!std::ranges::all_of(host, is_host_character)) return std::nullopt;
  }
  HostPort result{std::string(host)};
  const char* const last = port.data() + port.size();
  const auto [rest, error] = std::from_chars(port.data(), last, result.port);
  if (error != std::errc() || rest != last || host.size() > kMaxHost) return std::nullopt;
  return result;
}

bool is_group_host(std::string_view host) noexcept {
  if (host.find(':') != std::string_view::npos) {
    return host.size() > 2 && (host[0] | 0x20) == 'f' && (host[1] | 0x20) == 'f';
  }
  unsigned first = 0;
  const char* const end = host.data() + host.size();
  const auto [rest, error] = std::from_chars(host.data(), end, first);
  return error == std::errc() && rest != end && *rest == '.' && first >= 224 && first <= 239;
}

Result<void> check_host_port(std::string_view scheme, std::string_view target) {
  if (parse_host_port(target)) return {};
  const std::string name(scheme);
  return Error{ErrorCode::kInvalidName,
               name + ": needs a host and a port from 0 to 65535, as in " + name +
                   "://localhost:7000, " + name + "://[::1]:7000, or " + name +
                   "://:7000 for every address of this machine; found " + quoted(target)};
}

}  // namespace rondo::inline RONDO_ABI::detail
