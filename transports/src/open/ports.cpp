#include "open/ports.hpp"

#include <cerrno>
#include <system_error>

#include "open/addresses.hpp"
#include "open/name.hpp"

namespace rondo::inline RONDO_ABI::detail {

HostPort host_port_of(const Url& url) {
  return *parse_host_port(url.target);
}  // Url::parse() saw to it

std::string words_of(int error) { return std::generic_category().message(error); }

Error unresolved(const Url& url, const std::string& reason) {
  return Error{ErrorCode::kNotFound, url.name() + ": the host can't be looked up: " + reason};
}

Result<void> name_port(Url& url, NativeHandle socket) {
  if (host_port_of(url).port != 0) return {};
  const std::string own = own_address(socket);
  if (own.empty()) {
    return Error{ErrorCode::kSystem, url.name() + ": the system does not say which port it has"};
  }
  url.target.replace(url.target.rfind(':'), std::string::npos, own.substr(own.rfind(':')));
  return {};
}

Error cannot_bind(const Url& url, std::string_view call, int error, std::string_view owner) {
  if (error == EADDRINUSE) {
    return Error{ErrorCode::kBusy, url.name() + " has " + std::string(owner) +
                                       " already, or the port is another program's; end it first, "
                                       "or choose another port (0: any free one)"};
  }
  if (error == EADDRNOTAVAIL) {
    return Error{ErrorCode::kNotFound, url.name() + ": that is no address of this machine; " +
                                           std::string(to_string(url.scheme)) +
                                           "://:PORT is every one that it has"};
  }
  return system_error(url, call, error);
}

}  // namespace rondo::inline RONDO_ABI::detail
