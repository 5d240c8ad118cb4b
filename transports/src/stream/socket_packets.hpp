// A socket that keeps packets apart: of the type SOCK_SEQPACKET or SOCK_DGRAM, connected.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/url.hpp"
#include "stream/fd_stream.hpp"
#include "stream/packet_port.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Owns the socket.
class SocketPackets final : public PacketPort {
 public:
  // `max_packet_bytes`: as packet_limit_of() has found it.
  SocketPackets(FdStream socket, std::size_t max_packet_bytes) noexcept
      : socket_(std::move(socket)), max_packet_bytes_(max_packet_bytes) {}

  std::size_t max_packet_bytes() const noexcept override { return max_packet_bytes_; }
  Moved send(std::span<const Packet> packets) noexcept override;
  Moved receive(std::span<Room> rooms) noexcept override;
  bool at_end() const noexcept override;
  WaitResult wait(Direction direction, Deadline deadline, WaitMode mode,
                  const std::atomic<bool>* stop) const noexcept override {
    return socket_.wait(direction, deadline, mode, stop);
  }
  bool peer_gone() const noexcept override { return socket_.peer_gone(); }
  NativeHandle fd() const noexcept override { return socket_.fd(); }
  void close() noexcept override { socket_.close(); }

 private:
  FdStream socket_;
  std::size_t max_packet_bytes_;
};

// The largest packet of a UNIX socket, which its send buffer decides. 0: the system does not say.
[[nodiscard]] std::size_t packet_limit_of(NativeHandle socket) noexcept;
// Asks for a send buffer that packets of `size_bytes` fit into; the system has a limit of its own.
void wish_packet_limit(NativeHandle socket, std::size_t size_bytes) noexcept;

}  // namespace rondo::inline RONDO_ABI::detail
