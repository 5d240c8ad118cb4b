// What carries packets: whole messages of a mechanism that keeps them apart itself, as sockets of
// datagrams and message queues do.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>

#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/wait.hpp"
#include "rondo/transports/channel_info.hpp"
#include "stream/byte_stream.hpp"

namespace rondo::inline RONDO_ABI::detail {

// One thread at a time.
class PacketPort {
 public:
  using Outcome = ByteStream::Outcome;
  using Direction = ByteStream::Direction;
  struct Moved {
    Outcome outcome;
    std::size_t packets;  // if they moved: at least one
  };
  using Packet = std::span<const std::byte>;
  // Where one packet goes, and what came of it.
  struct Room {
    std::span<std::byte> bytes;
    std::size_t filled_bytes = 0;
    bool cut = false;  // it was larger, or is of other headers than ours (says_headers())
  };
  static constexpr std::size_t kPackBytes = std::size_t{32} << 10;
  // That are handed over at once.
  static constexpr std::size_t kMaxPackets = 16;

  virtual ~PacketPort() = default;

  // The largest packet that the mechanism takes, and that comes from an honest other side.
  [[nodiscard]] virtual std::size_t max_packet_bytes() const noexcept = 0;
  // Whether the mechanism says with each packet how large the headers of its messages are
  // (header=): then no mark does.
  [[nodiscard]] virtual bool says_headers() const noexcept { return false; }
  // Sends the first of the packets, each whole; never blocks. A program whose peer is gone gets no
  // signal.
  [[nodiscard]] virtual Moved send(std::span<const Packet> packets) noexcept = 0;
  // Receives into the first of the rooms; never blocks. Where nothing came, or where it failed, the
  // rooms may hold anything: of a packet that was not kept.
  [[nodiscard]] virtual Moved receive(std::span<Room> rooms) noexcept = 0;
  // Of raw packets: one was larger than a message can be. True: anybody may send here, so that it
  // says nothing of the others; it is counted as one that was not taken.
  [[nodiscard]] virtual bool passes_over_large() noexcept { return false; }
  // Whether a packet without bytes, as one was received, was none, but the end.
  [[nodiscard]] virtual bool at_end() const noexcept { return false; }
  // As those of Conduit and Outlet (outlet.hpp).
  [[nodiscard]] virtual WaitResult wait(Direction direction, Deadline deadline, WaitMode mode,
                                        const std::atomic<bool>* stop) const noexcept = 0;
  [[nodiscard]] virtual bool peer_gone() const noexcept = 0;
  // How much of small messages is put together in one packet at most.
  [[nodiscard]] virtual std::size_t pack_bytes() const noexcept { return kPackBytes; }
  [[nodiscard]] virtual WaitResult wait_for_receiver(Deadline, const std::atomic<bool>*) noexcept {
    return peer_gone() ? WaitResult::kPeerGone : WaitResult::kReady;
  }
  [[nodiscard]] virtual NativeHandle fd() const noexcept = 0;
  [[nodiscard]] virtual bool has_pulse() const noexcept { return false; }
  [[nodiscard]] virtual std::uint64_t pulse() const noexcept { return 0; }
  [[nodiscard]] virtual std::uint64_t lost() const noexcept { return 0; }
  virtual void describe(ChannelInfo& info) const { info.kind = StreamInfo(); }
  virtual void close() noexcept = 0;
};

}  // namespace rondo::inline RONDO_ABI::detail
