#include "open/datagram_packets.hpp"

#include <chrono>

namespace rondo::inline RONDO_ABI::detail {
namespace {

using Outcome = PacketPort::Outcome;

// How often a wait looks at the life line.
constexpr std::chrono::milliseconds kLookInterval{50};

}  // namespace

bool DatagramPackets::time_to_ask() noexcept {
  // relaxed: only says that there is something to find out.
  return news_.exchange(false, std::memory_order_relaxed) || pacer_.due();
}

PacketPort::Moved DatagramPackets::receive(std::span<Room> rooms) noexcept {
  const Moved moved = socket_->receive(rooms);
  if (moved.outcome != Outcome::kNotNow || !time_to_ask() || !peer_gone()) return moved;
  // What it sent last came before it went.
  const Moved last = socket_->receive(rooms);
  return last.outcome == Outcome::kNotNow ? Moved{Outcome::kEnd, 0} : last;
}

WaitResult DatagramPackets::wait(Direction direction, Deadline deadline, WaitMode mode,
                                 const std::atomic<bool>* stop) const noexcept {
  for (;;) {
    const Deadline slice = earlier(deadline, Deadline::after(kLookInterval));
    const WaitResult result = socket_->wait(direction, slice, mode, stop);
    if (result != WaitResult::kTimedOut) return result;
    if (peer_gone()) {
      // relaxed: as in time_to_ask().
      news_.store(true, std::memory_order_relaxed);
      return WaitResult::kReady;
    }
    if (deadline.passed()) return WaitResult::kTimedOut;
  }
}

std::uint64_t DatagramPackets::pulse() const noexcept {
  const bool gone = peer_gone();
  // relaxed: as in time_to_ask().
  if (gone) news_.store(true, std::memory_order_relaxed);
  return gone ? 1 : 0;
}

}  // namespace rondo::inline RONDO_ABI::detail
