// Messages over a mechanism that keeps them apart itself: packets between the staging ring and the
// mechanism (packet_port.hpp).
//
// A packet is a piece of a record ring, as record_layout.hpp has it: a record or several, each a
// header word and its bytes, padded with zeros to 8, and the last one's padding left out. So
//
//   - many small messages go in one packet, and a packet goes straight from the sender's ring into
//     the receiver's;
//   - a message may be empty: a packet never is, which on sockets would look like the end;
//   - the headers number the messages, so that the receiver sees whether one is missing;
//   - a packet of nothing but the header of an end, or of one broken off, says so; and one of
//     padding of no bytes is a hello: it tells that a sender is there;
//   - a header of padding of 1 to 256 bytes, without them, before the first message says that each
//     message begins with a header of so many bytes, padded to 8 (header=); there is no such mark
//     where the mechanism says so with each packet.
//
// A raw packet (framing=raw) is the bytes of a message and nothing else, for programs that are not
// ours. It can tell none of that: an empty message is not sent, and the stream ends with the
// mechanism.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "rondo/core/record_ring.hpp"
#include "rondo/core/version.hpp"
#include "stream/outlet.hpp"
#include "stream/packet_port.hpp"

namespace rondo::inline RONDO_ABI::detail {

enum class PacketForm : std::uint8_t { kRecords, kRaw };
// With which message a receiver may begin: with the first; with any, where another receiver may
// have taken those before it; or each packet with any, where the port counts those that are lost.
enum class PacketStart : std::uint8_t { kFirst, kAny, kEach };

// What a packet holds beside the bytes of one message.
[[nodiscard]] constexpr std::size_t packet_overhead(PacketForm form) noexcept {
  return form == PacketForm::kRecords ? record_header::kBytes : 0;
}

// Packets out: walks the records that a Producer of the same thread has committed, as the ring's
// consumer.
class PacketWriter {
 public:
  // Messages are put together in packets of `pack_bytes` at most.
  PacketWriter(const RecordParts& parts, PacketForm form, std::size_t pack_bytes,
               std::uint32_t header = 0) noexcept
      : parts_(parts), form_(form), header_(header), pack_bytes_(pack_bytes) {}

  // The packets that are to be sent next, in order; empty if there are none. Valid until sent().
  [[nodiscard]] std::span<const PacketPort::Packet> packets() noexcept;
  // The first `count` of them have been sent.
  void sent(std::size_t count) noexcept;
  // From now on a packet of several messages is no larger.
  void pack_at_most(std::size_t bytes) noexcept { pack_bytes_ = std::min(pack_bytes_, bytes); }
  // From now on `mark`, kEnd or kBrokenOff, follows the last record.
  void finish(RecordKind mark) noexcept {
    finishing_ = true;
    mark_kind_ = mark;
  }

 private:
  struct Place {
    Position position = 0;       // of a header
    std::uint64_t sequence = 0;  // of the record there
  };
  [[nodiscard]] std::size_t pack(Position first, std::size_t bytes, Place& behind) noexcept;
  void give_back(const Place& place) noexcept;

  RecordParts parts_;
  PacketForm form_;
  std::uint32_t header_;  // bytes of the user's in front of each message, until that was said
  std::uint64_t begin_mark_ = 0;
  std::size_t pack_bytes_;
  Place at_;  // of what is not given back
  bool finishing_ = false;
  RecordKind mark_kind_ = RecordKind::kEnd;
  bool finished_ = false;
  std::uint64_t mark_ = 0;
  std::array<PacketPort::Packet, PacketPort::kMaxPackets> packets_;
  std::array<Place, PacketPort::kMaxPackets> behind_;
  std::size_t mark_at_ = PacketPort::kMaxPackets;  // which of the packets is the mark
};

class PacketOutlet final : public Outlet {
 public:
  PacketOutlet(std::unique_ptr<PacketPort> port, const RecordParts& parts, PacketForm form,
               std::uint32_t header = 0) noexcept
      : port_(std::move(port)),
        form_(form),
        writer_(parts, form, std::min(port_->max_packet_bytes(), port_->pack_bytes()),
                port_->says_headers() ? 0 : header) {}

  Status move_on(bool& all) noexcept override;
  void finish(bool in_order) noexcept override {
    writer_.finish(in_order ? RecordKind::kEnd : RecordKind::kBrokenOff);
  }
  bool peer_gone() const noexcept override { return port_->peer_gone(); }
  WaitResult wait_for_receiver(Deadline deadline, const std::atomic<bool>* stop) noexcept override {
    return port_->wait_for_receiver(deadline, stop);
  }
  std::size_t max_message_bytes() const noexcept override {
    return port_->max_packet_bytes() - packet_overhead(form_);
  }
  WaitResult wait(Deadline deadline, WaitMode mode,
                  const std::atomic<bool>* stop) const noexcept override {
    return port_->wait(PacketPort::Direction::kWrite, deadline, mode, stop);
  }
  NativeHandle fd() const noexcept override { return port_->fd(); }
  bool has_pulse() const noexcept override { return port_->has_pulse(); }
  std::uint64_t pulse() const noexcept override { return port_->pulse(); }
  void describe(ChannelInfo& info) const override { port_->describe(info); }
  void close() noexcept override { port_->close(); }

 private:
  std::unique_ptr<PacketPort> port_;
  PacketForm form_;
  PacketWriter writer_;
};

class PacketInlet final : public Inlet {
 public:
  // Of the chunk that an inlet of such packets needs. Most of it is touched by large packets alone.
  [[nodiscard]] static std::size_t chunk_bytes(std::size_t max_packet_bytes) noexcept;

  // `chunk` outlives this object.
  PacketInlet(std::unique_ptr<PacketPort> port, record_ring::Producer producer,
              std::span<std::byte> chunk, PacketForm form, PacketStart start = PacketStart::kFirst,
              std::uint32_t header = 0) noexcept;

  bool take_in() noexcept override;
  Outcome let_in() noexcept override;
  Status state() const noexcept override { return state_; }
  std::size_t max_message_bytes() const noexcept override {
    return packet_bytes_ - packet_overhead(form_);
  }
  WaitResult wait(Deadline deadline, WaitMode mode,
                  const std::atomic<bool>* stop) const noexcept override {
    return port_->wait(PacketPort::Direction::kRead, deadline, mode, stop);
  }
  NativeHandle fd() const noexcept override { return port_->fd(); }
  bool has_pulse() const noexcept override { return port_->has_pulse(); }
  std::uint64_t pulse() const noexcept override { return port_->pulse(); }
  std::uint64_t lost() const noexcept override { return port_->lost(); }
  void describe(ChannelInfo& info) const override { port_->describe(info); }
  void close() noexcept override { port_->close(); }

 private:
  [[nodiscard]] std::size_t make_rooms() noexcept;
  [[nodiscard]] bool in_place() const noexcept { return reserved_ != nullptr && next_ == 0; }
  void clear_header() noexcept;
  void begin_packet() noexcept;
  [[nodiscard]] bool take_packet() noexcept;
  [[nodiscard]] bool take_record() noexcept;
  [[nodiscard]] bool take_raw() noexcept;
  [[nodiscard]] bool commit(std::size_t size_bytes, const std::byte* bytes,
                            std::size_t footprint) noexcept;
  void refuse_packet() noexcept;
  void judge_mark() noexcept;
  [[nodiscard]] bool is_empty_message() const noexcept;

  std::unique_ptr<PacketPort> port_;
  record_ring::Producer producer_;
  std::span<std::byte> chunk_;
  PacketForm form_;
  std::size_t packet_bytes_;  // of the largest
  std::array<PacketPort::Room, PacketPort::kMaxPackets> rooms_;
  std::size_t came_ = 0;             // rooms that packets have come into
  std::size_t next_ = 0;             // the one that is taken in now
  std::size_t lately_ = 0;           // packets that came when some last did
  std::byte* reserved_ = nullptr;    // where the first packet lies, if that is the ring itself
  bool begun_ = false;               // something of the packet is taken in
  std::span<const std::byte> rest_;  // of that packet
  std::uint64_t word_ = 0;           // the header at its beginning
  std::uint64_t sequence_ = 0;       // of the next message
  PacketStart start_;
  bool any_sequence_;     // that one may have any number
  std::uint32_t header_;  // bytes of the user's in front of each message
  bool headed_;           // the other side has said so, or does with each packet
  Status state_ = Status::kOk;
};

}  // namespace rondo::inline RONDO_ABI::detail
