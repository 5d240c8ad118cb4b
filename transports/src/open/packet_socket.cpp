#include "open/packet_socket.hpp"

#include <utility>

#include "endpoint/packets.hpp"
#include "stream/socket_packets.hpp"

namespace rondo::inline RONDO_ABI::detail {

Result<std::unique_ptr<PacketPort>> packets_over(FdStream socket, const Url& url) {
  const std::size_t overhead = packet_overhead(url);
  std::size_t limit = packet_limit_of(socket.fd());
  if (url.options.max_bytes && *url.options.max_bytes + overhead > limit) {
    wish_packet_limit(socket.fd(), *url.options.max_bytes + overhead);
    limit = packet_limit_of(socket.fd());
  }
  if (auto enough = check_packet_limit(url, limit, "raise net.core.wmem_max, or use unix:PATH");
      !enough) {
    return std::move(enough).error();
  }
  return std::unique_ptr<PacketPort>(std::make_unique<SocketPackets>(std::move(socket), limit));
}

}  // namespace rondo::inline RONDO_ABI::detail
