#include "stream/socket_packets.hpp"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>

#include "rondo/core/cancellation_disabled.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

using Moved = PacketPort::Moved;
using Outcome = PacketPort::Outcome;

// What the kernel takes for itself of the send buffer, as it looks whether a packet fits.
constexpr std::size_t kOwnBytes = 32;

Moved judge_packets(long packets) noexcept {
  if (packets > 0) return {Outcome::kMoved, static_cast<std::size_t>(packets)};
  switch (errno) {
    case EINTR:  // the caller looks at its stop flag before it tries again
    case EAGAIN: return {Outcome::kNotNow, 0};
    case EPIPE:
    case ECONNREFUSED:  // of datagrams
    case ENOTCONN: return {Outcome::kEnd, 0};
    case ECONNRESET: return {Outcome::kCutOff, 0};
    default: return {Outcome::kRefused, 0};
  }
}

}  // namespace

// One packet takes a simpler call, which costs less.
Moved SocketPackets::send(std::span<const Packet> packets) noexcept {
  constexpr int kFlags = MSG_NOSIGNAL | MSG_DONTWAIT;
  const CancellationDisabled here;
  if (packets.size() == 1) {
    const ssize_t sent = ::send(fd(), packets[0].data(), packets[0].size(), kFlags);
    return judge_packets(sent < 0 ? -1 : 1);
  }
  std::array<iovec, kMaxPackets> vectors;
  std::array<mmsghdr, kMaxPackets> messages{};
  const std::size_t count = std::min(packets.size(), kMaxPackets);
  for (std::size_t i = 0; i < count; ++i) {
    vectors[i] = {const_cast<std::byte*>(packets[i].data()), packets[i].size()};
    messages[i].msg_hdr.msg_iov = &vectors[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  return judge_packets(sendmmsg(fd(), messages.data(), static_cast<unsigned>(count), kFlags));
}

Moved SocketPackets::receive(std::span<Room> rooms) noexcept {
  const CancellationDisabled here;
  if (rooms.size() == 1) {
    Room& room = rooms[0];
    const ssize_t size = recv(fd(), room.bytes.data(), room.bytes.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (size < 0) return judge_packets(-1);
    room.filled_bytes = std::min(static_cast<std::size_t>(size), room.bytes.size());
    room.cut = static_cast<std::size_t>(size) > room.bytes.size();
    return judge_packets(1);
  }
  std::array<iovec, kMaxPackets> vectors;
  std::array<mmsghdr, kMaxPackets> messages{};
  const std::size_t count = std::min(rooms.size(), kMaxPackets);
  for (std::size_t i = 0; i < count; ++i) {
    vectors[i] = {rooms[i].bytes.data(), rooms[i].bytes.size()};
    messages[i].msg_hdr.msg_iov = &vectors[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  const int came =
      recvmmsg(fd(), messages.data(), static_cast<unsigned>(count), MSG_DONTWAIT, nullptr);
  for (std::size_t i = 0; static_cast<int>(i) < came; ++i) {
    rooms[i].filled_bytes = messages[i].msg_len;
    rooms[i].cut = (messages[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
  }
  return judge_packets(came);
}

// Packets without bytes that lie before the end are not told apart from it, and behind them there
// may be others.
bool SocketPackets::at_end() const noexcept {
  int unread = 0;
  return peer_gone() && (ioctl(fd(), SIOCINQ, &unread) != 0 || unread == 0);
}

std::size_t packet_limit_of(NativeHandle socket) noexcept {
  int bytes = 0;
  socklen_t size = sizeof bytes;
  if (getsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, &size) != 0) return 0;
  return bytes > static_cast<int>(kOwnBytes) ? static_cast<std::size_t>(bytes) - kOwnBytes : 0;
}

void wish_packet_limit(NativeHandle socket, std::size_t size_bytes) noexcept {
  constexpr std::size_t kMost = std::numeric_limits<int>::max() / 2 - kOwnBytes;
  // The kernel doubles what it is told.
  const int half = static_cast<int>((std::min(size_bytes, kMost) + kOwnBytes + 1) / 2);
  static_cast<void>(setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &half, sizeof half));
}

}  // namespace rondo::inline RONDO_ABI::detail
