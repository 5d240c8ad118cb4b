// Sockets that listen, and connecting to them: with a name in the file system, with an abstract
// one, or at a port of TCP.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
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

struct ListeningSocket {
  FdStream socket;
  std::unique_ptr<Cleanup> cleanup;  // takes the name away; null: it goes with the socket
  std::string path;                  // absolute; empty: it has no name in the file system
  FileIdentity identity{};
  std::optional<FileIdentity> root{};  // that the path begins at

  // Whether connections to the path come here. Of a process that has another root by now the path
  // is another one, and tells nothing.
  [[nodiscard]] bool at_its_name() const noexcept {
    return socket.is_open() &&
           (path.empty() || !leads_elsewhere(path, identity) || identity_at("/") != root);
  }
  // Lets no peer in any more. Those that have connected and were not accepted go one by one, as
  // they may have sent something (untrusted_descriptors.hpp).
  void close() noexcept;
};

// Listens at the URL's path, or receives datagrams there, with a socket that its mode lets users
// connect to. A socket that its owner left behind is replaced. `owner`: the side that makes the
// name, for messages: "a receiver".
// Errors: kBusy (a process listens there), kForeignObject (it is no socket), kTimedOut,
// kPermission, kSystem.
[[nodiscard]] Result<ListeningSocket> listen_at(const Url& url, const OpenOptions& options,
                                                SocketKind kind, int backlog,
                                                std::string_view owner);

// What a connect() to a UNIX socket came to. Errors: kNotFound (no process listens now),
// kForeignObject, kPermission, kSystem.
[[nodiscard]] Result<void> judge_connect(const Url& url, int error);

// Connects, without waiting. Errors: kNotFound (no process listens now), kNoDirectory,
// kForeignObject (a socket of another kind), kPermission, kSystem.
[[nodiscard]] Result<FdStream> connect_to(const Url& url, SocketKind kind);

// Which of a host's addresses is tried first: that one of them takes a connection does not say that
// it is the other side.
struct AddressTurn {
  std::size_t first = 0;
  std::size_t addresses = 1;  // as many as were found

  // Whether it has come round.
  bool next() noexcept {
    first = (first + 1) % addresses;
    return first == 0;
  }
};

// The same for unix:, unix-seqpacket:, unix-dgram: and tcp:, by what the URL says.
// A port 0 becomes the one that was found, in `url` as well. Errors: also kNotFound (a host without
// an address).
[[nodiscard]] Result<ListeningSocket> listen_for_peers(Url& url, const OpenOptions& options,
                                                       int backlog, std::string_view owner);
// May wait: for the system's name service, and for the answer of a machine, until options.wait.
// Errors: also kTimedOut; kNotFound says why, as far as the system does.
[[nodiscard]] Result<UniqueFd> connect_by_url(const Url& url, const OpenOptions& options,
                                              AddressTurn& turn);
// (tcp.cpp)
[[nodiscard]] Result<ListeningSocket> listen_at_port(Url& url, int backlog, std::string_view owner);
[[nodiscard]] Result<UniqueFd> connect_to_port(const Url& url, const OpenOptions& options,
                                               AddressTurn& turn);

// What a URL's socket keeps apart.
[[nodiscard]] inline SocketKind kind_of(const Url& url) noexcept {
  switch (url.scheme) {
    case Scheme::kUnixSeqpacket: return SocketKind::kMessages;
    case Scheme::kUnixDgram: return SocketKind::kDatagrams;
    default: return SocketKind::kStream;
  }
}
// Whether a connection of TCP lies below.
[[nodiscard]] inline bool is_over_tcp(const Url& url) noexcept {
  return url.scheme == Scheme::kTcp || url.scheme == Scheme::kTls || url.scheme == Scheme::kAuto;
}
// Whether a UNIX socket has an abstract name, and that, without the @.
[[nodiscard]] inline bool is_abstract(const Url& url) noexcept {
  const bool can_be = url.scheme == Scheme::kUnix || url.scheme == Scheme::kUnixDgram;
  return can_be && url.target.starts_with('@');
}
[[nodiscard]] inline std::string_view abstract_name(const Url& url) noexcept {
  return std::string_view(url.target).substr(1);
}

// Whether the URL lets a process with these credentials be the other end. By default oneself alone.
[[nodiscard]] bool is_allowed(const Url& url, const PeerCredentials& peer) noexcept;

// The same where mode= lets others in besides: for all but shm+guarded:. Errors: kForeignOwner.
[[nodiscard]] Result<void> check_peer(const Url& url, const PeerCredentials& peer);

// The credentials of the other end.
[[nodiscard]] Result<PeerCredentials> credentials_of(const Url& url, NativeHandle socket);

}  // namespace rondo::inline RONDO_ABI::detail
