// A mechanism that keeps packets apart, in memory: for what stands before one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "rondo/core/descriptor.hpp"
#include "stream/packet_port.hpp"

namespace rondo::testing {

struct PacketQueue {
  std::size_t max_packet_bytes = 4096;
  std::deque<std::vector<std::byte>> packets{};
  std::size_t most_at_once = 16;  // that a call takes or gives
  std::size_t room = ~std::size_t{0};
  bool over = false;  // the other side is gone
  bool anybodys = false;
  std::size_t calls = 0;

  void push(std::span<const std::byte> packet) {
    packets.emplace_back(packet.begin(), packet.end());
  }
};

// Either end of it.
class PacketQueueEnd final : public detail::PacketPort {
 public:
  explicit PacketQueueEnd(PacketQueue& queue) noexcept : queue_(&queue) {}

  std::size_t max_packet_bytes() const noexcept override { return queue_->max_packet_bytes; }
  Moved send(std::span<const Packet> packets) noexcept override {
    ++queue_->calls;
    if (queue_->over) return {Outcome::kEnd, 0};
    std::size_t count = std::min(packets.size(), queue_->most_at_once);
    count = std::min(count, queue_->room - std::min(queue_->room, queue_->packets.size()));
    for (std::size_t i = 0; i < count; ++i) {
      if (packets[i].size() > queue_->max_packet_bytes) return {Outcome::kRefused, 0};
      queue_->push(packets[i]);
    }
    return {count > 0 ? Outcome::kMoved : Outcome::kNotNow, count};
  }
  Moved receive(std::span<Room> rooms) noexcept override {
    ++queue_->calls;
    std::size_t count = 0;
    while (count < std::min(rooms.size(), queue_->most_at_once) && !queue_->packets.empty()) {
      const std::vector<std::byte>& packet = queue_->packets.front();
      Room& room = rooms[count++];
      room.filled_bytes = std::min(packet.size(), room.bytes.size());
      room.cut = packet.size() > room.bytes.size();
      if (room.filled_bytes > 0) {
        std::memcpy(room.bytes.data(), packet.data(), room.filled_bytes);
      }
      queue_->packets.pop_front();
    }
    if (count == 0 && queue_->over) {  // as a socket does
      rooms[0].filled_bytes = 0;
      rooms[0].cut = false;
      return {Outcome::kMoved, 1};
    }
    return {count > 0 ? Outcome::kMoved : Outcome::kNotNow, count};
  }
  bool passes_over_large() noexcept override { return queue_->anybodys; }
  bool at_end() const noexcept override { return queue_->over && queue_->packets.empty(); }
  WaitResult wait(Direction, Deadline, WaitMode, const std::atomic<bool>*) const noexcept override {
    return WaitResult::kReady;
  }
  bool peer_gone() const noexcept override { return queue_->over; }
  NativeHandle fd() const noexcept override { return detail::kNoHandle; }
  void close() noexcept override {}

 private:
  PacketQueue* queue_;
};

}  // namespace rondo::testing
