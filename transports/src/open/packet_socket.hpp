// Connected sockets that keep packets apart, as what carries the messages of a channel.
#pragma once

#include <memory>

#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/url.hpp"
#include "stream/fd_stream.hpp"
#include "stream/packet_port.hpp"

namespace rondo::inline RONDO_ABI::detail {

// A UNIX socket that takes packets as large as the URL has to have. Errors: kInvalidCapacity (the
// system lets none be so large).
[[nodiscard]] Result<std::unique_ptr<PacketPort>> packets_over(FdStream socket, const Url& url);

}  // namespace rondo::inline RONDO_ABI::detail
