// What the transports with a "//HOST:PORT" have in common: tcp: and udp:.
#pragma once

#include <string>
#include <string_view>

#include "rondo/core/descriptor.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/url.hpp"
#include "url/host_port.hpp"

namespace rondo::inline RONDO_ABI::detail {

[[nodiscard]] HostPort host_port_of(const Url& url);
// In the system's words.
[[nodiscard]] std::string words_of(int error);
// kNotFound; `reason`: of resolve().
[[nodiscard]] Error unresolved(const Url& url, const std::string& reason);
// Puts the port that a bound socket has in the place of a port 0. Errors: kSystem.
[[nodiscard]] Result<void> name_port(Url& url, NativeHandle socket);
// Why an address of our own can't be had. `owner`: who else may have it: "a receiver".
[[nodiscard]] Error cannot_bind(const Url& url, std::string_view call, int error,
                                std::string_view owner);

}  // namespace rondo::inline RONDO_ABI::detail
