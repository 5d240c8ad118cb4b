// Sockets with a name in the file system: listening at one, and connecting to it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "endpoint/stream.hpp"
#include "open/name.hpp"
#include "open/sockets.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/open_options.hpp"
#include "rondo/transports/url.hpp"
#include "stream/fd_stream.hpp"

namespace rondo::inline RONDO_ABI::detail {

struct Listener {
  FdStream socket;
  std::unique_ptr<Cleanup> cleanup;  // takes the name away
  std::string path;                  // absolute
  FileIdentity identity;

  // Whether connections to the path come here.
  [[nodiscard]] bool at_its_name() const noexcept {
    return socket.is_open() && !leads_elsewhere(path, identity);
  }
  // Lets no peer in any more. Those that have connected and were not accepted go one by one, as
  // they may have sent something (untrusted_descriptors.hpp).
  void close() noexcept;
};

// Listens at the URL's path, with a socket that its mode lets users connect to. A socket
// that its owner left behind is replaced. `owner`: the side that makes the name, for messages: "a
// receiver".
// Errors: kBusy (a process listens there), kForeignObject (it is no socket), kTimedOut,
// kPermission, kSystem.
[[nodiscard]] Result<Listener> listen_at(const Url& url, const OpenOptions& options,
                                         SocketKind kind, int backlog, std::string_view owner);

// Connects, without waiting. Errors: kNotFound (no process listens now), kNoDirectory,
// kForeignObject (a socket of another kind), kPermission, kSystem.
[[nodiscard]] Result<FdStream> connect_to(const Url& url, SocketKind kind);

// The credentials of the other end.
[[nodiscard]] Result<PeerCredentials> credentials_of(const Url& url, NativeHandle socket);

}  // namespace rondo::inline RONDO_ABI::detail
