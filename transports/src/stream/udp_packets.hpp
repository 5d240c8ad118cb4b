// What carries the packets of udp:, which may be lost on their way: datagrams that are numbered
// (numbered_datagrams.hpp), or, raw, any program's.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "rondo/core/version.hpp"
#include "stream/fd_stream.hpp"
#include "stream/numbered_datagrams.hpp"
#include "stream/packet_port.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Of IPv4, 65535 bytes less its header of 20 and that of UDP; IPv6 takes a little more.
inline constexpr std::size_t kMaxDatagram = 65507;
// What any program may send over IPv6.
inline constexpr std::size_t kMaxForeignDatagram = 65527;

// What a packet may have of it, as ours send it.
[[nodiscard]] constexpr std::size_t max_udp_packet(bool raw) noexcept {
  return kMaxDatagram - (raw ? 0 : sizeof(DatagramHeader));
}

// The sending end: a socket that is connected. Nobody says whether anything arrives.
class UdpOutgoing final : public PacketPort {
 public:
  // `numbers`: none if the packets are raw.
  UdpOutgoing(FdStream socket, std::optional<DatagramNumbers> numbers) noexcept;

  std::size_t max_packet_bytes() const noexcept override { return max_udp_packet(!numbers_); }
  bool says_headers() const noexcept override { return true; }
  // What the path takes undivided, as far as is known: of a datagram that is divided each part may
  // be lost.
  std::size_t pack_bytes() const noexcept override { return pack_bytes_; }
  Moved send(std::span<const Packet> packets) noexcept override;
  Moved receive(std::span<Room>) noexcept override { return {Outcome::kNotNow, 0}; }
  WaitResult wait(Direction direction, Deadline deadline, WaitMode mode,
                  const std::atomic<bool>* stop) const noexcept override {
    return socket_.wait(direction, deadline, mode, stop);
  }
  bool peer_gone() const noexcept override { return false; }
  NativeHandle fd() const noexcept override { return socket_.fd(); }
  void describe(ChannelInfo& info) const override;
  // Says the end a few times more, for a few milliseconds.
  void close() noexcept override;
  // So that a receiver knows of a sender that has nothing to send yet. One that never had says it
  // again before its end: what has lost it once would keep the receiver waiting.
  void say_hello() noexcept;

 private:
  void fit_path() noexcept;
  // Datagrams that went, or are given up; -1: not now, or the error in errno.
  [[nodiscard]] int send_some(std::span<const Packet> packets) noexcept;
  void say_again(const DatagramHeader& header, std::uint64_t mark) noexcept;

  FdStream socket_;
  std::optional<DatagramNumbers> numbers_;
  std::size_t pack_bytes_ = kPackBytes;
  DatagramsInfo counts_;
  std::array<DatagramHeader, kMaxPackets> headers_;
  // Those that were said.
  std::optional<DatagramHeader> hello_;
  std::optional<DatagramHeader> end_;
  std::uint64_t end_mark_ = 0;
};

// The receiving end: a socket that is bound.
class UdpIncoming final : public PacketPort {
 public:
  // `order`: none if the packets are raw. `silence`: after which the sender counts as dead; 0: none
  // does.
  UdpIncoming(FdStream socket, std::optional<DatagramOrder> order,
              std::chrono::nanoseconds silence) noexcept;

  std::size_t max_packet_bytes() const noexcept override {
    return order_ ? max_udp_packet(false) : kMaxForeignDatagram;
  }
  bool says_headers() const noexcept override { return true; }
  Moved send(std::span<const Packet>) noexcept override { return {Outcome::kRefused, 0}; }
  Moved receive(std::span<Room> rooms) noexcept override;
  bool passes_over_large() noexcept override {
    --raw_datagrams_;
    ++too_large_;
    return true;
  }
  WaitResult wait(Direction direction, Deadline deadline, WaitMode mode,
                  const std::atomic<bool>* stop) const noexcept override;
  bool peer_gone() const noexcept override { return false; }
  NativeHandle fd() const noexcept override { return socket_.fd(); }
  bool has_pulse() const noexcept override { return silence_.count() > 0; }
  std::uint64_t pulse() const noexcept override { return is_silent() ? 1 : 0; }
  std::uint64_t lost() const noexcept override { return order_ ? order_->counts().lost : 0; }
  void describe(ChannelInfo& info) const override;
  void close() noexcept override { socket_.close(); }

 private:
  using Clock = Deadline::Clock;

  // Of what came into the first `count` rooms that which is for the user, moved to the front.
  [[nodiscard]] std::size_t sort_out(std::span<Room> rooms, std::size_t count) noexcept;
  [[nodiscard]] bool is_silent() const noexcept;
  [[nodiscard]] Deadline silent_from() const noexcept;

  FdStream socket_;
  std::optional<DatagramOrder> order_;
  std::chrono::nanoseconds silence_;
  std::array<DatagramHeader, kMaxPackets> headers_;
  std::array<std::size_t, kMaxPackets> header_sizes_{};  // what there was of each
  std::uint64_t raw_datagrams_ = 0;
  std::uint64_t too_large_ = 0;
  std::uint64_t overflows_ = 0;
  std::size_t dropped_since_ = 0;     // datagrams since the last that was taken
  bool succeeded_ = false;            // another sender has come
  std::atomic<Clock::rep> heard_{0};  // when something last came of the sender; 0: nothing yet
};

}  // namespace rondo::inline RONDO_ABI::detail
