// What carries the packets of unix-dgram:. Sockets of datagrams do not tell that the other one has
// gone, but for a send that fails; so beside them stands a connection over which nothing goes, the
// life line: the kernel ends it with either process.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "endpoint/backend.hpp"
#include "rondo/core/version.hpp"
#include "stream/fd_stream.hpp"
#include "stream/packet_port.hpp"

namespace rondo::inline RONDO_ABI::detail {

class DatagramPackets final : public PacketPort {
 public:
  // `life_line`: not open if nothing is known of the other side.
  DatagramPackets(std::unique_ptr<PacketPort> socket, FdStream life_line) noexcept
      : socket_(std::move(socket)), life_line_(std::move(life_line)) {}

  std::size_t max_packet_bytes() const noexcept override { return socket_->max_packet_bytes(); }
  Moved send(std::span<const Packet> packets) noexcept override { return socket_->send(packets); }
  Moved receive(std::span<Room> rooms) noexcept override;
  bool passes_over_large() noexcept override { return !life_line_.is_open(); }
  WaitResult wait(Direction direction, Deadline deadline, WaitMode mode,
                  const std::atomic<bool>* stop) const noexcept override;
  bool peer_gone() const noexcept override {
    return life_line_.is_open() && life_line_.peer_gone();
  }
  NativeHandle fd() const noexcept override { return socket_->fd(); }
  bool has_pulse() const noexcept override { return life_line_.is_open(); }
  std::uint64_t pulse() const noexcept override;
  void close() noexcept override {
    socket_->close();
    life_line_.close();
  }

 private:
  [[nodiscard]] bool time_to_ask() noexcept;

  std::unique_ptr<PacketPort> socket_;
  FdStream life_line_;
  ProbePacer pacer_;
  mutable std::atomic<bool> news_{false};  // that the other side has gone
};

}  // namespace rondo::inline RONDO_ABI::detail
