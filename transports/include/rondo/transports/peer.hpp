// Who is at the other end of a connection.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

struct Peer {
  // Of a UNIX socket, by the kernel's word: who connected, or began to listen, as of that time. It
  // may have handed its socket on since.
  struct Process {
    std::uint32_t pid = 0;  // 0: in a PID namespace that is not seen from here
    std::uint32_t user = 0;
    std::uint32_t group = 0;  // its effective one; what other groups it is in is not told
  };
  std::optional<Process> process{};
  // Of TCP and TLS: "192.0.2.7:40312", "[2001:db8::7]:40312". Proves nothing.
  std::string address{};
  // Of TLS: the subject of its certificate, as "CN=alice,O=Example", which was verified (ca=), or
  // what the key is called that it has (psk=). Empty: it has shown none.
  std::string identity{};
};

}  // namespace rondo::inline RONDO_ABI
