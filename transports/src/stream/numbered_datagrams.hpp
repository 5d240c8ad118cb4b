// Datagrams that may be lost, doubled or overtaken on their way: what each says about itself, and
// what a receiver makes of that. Of udp:.
//
// In front of the packet (packets.hpp) each datagram has a header:
//
//   offset  size  field          meaning
//        0     8  magic          kMagic
//        8     4  crc            CRC-32C of all that follows
//       12     4  header_bytes   of the user's, in front of each message (header=)
//       16     8  session        random; another one for each sender
//       24     8  number         of the datagram in its session, from 0
//       32     8  first          number in its session of the first message in it, or of the next
//       40     4  messages       in it
//       44     4  mark           1: a hello, or the end of the stream, in place of messages
//
// The receiver takes datagrams in the order of their numbers alone. One that comes behind a later
// one is not taken any more: its messages count as lost already. The first session that it hears of
// is its stream; another one is a new sender's, and what comes of an earlier one after that is
// stale. A session begins, for a receiver, with a message or a hello, and not with an end: that may
// be an echo of an earlier stream.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <span>

#include "rondo/core/version.hpp"
#include "rondo/transports/channel_info.hpp"

namespace rondo::inline RONDO_ABI::detail {

struct DatagramHeader {
  static constexpr std::uint64_t kMagic = 0x3150'4455'444E'4F52;  // "RONDUDP1" in memory
  enum class Mark : std::uint32_t { kNone = 0, kHello = 1, kEnd = 2 };

  std::uint64_t magic = kMagic;
  std::uint32_t crc = 0;
  std::uint32_t header_bytes = 0;
  std::uint64_t session = 0;
  std::uint64_t number = 0;
  std::uint64_t first = 0;
  std::uint32_t messages = 0;
  Mark mark = Mark::kNone;
};
static_assert(sizeof(DatagramHeader) == 48 && offsetof(DatagramHeader, header_bytes) == 12 &&
              offsetof(DatagramHeader, session) == 16 && offsetof(DatagramHeader, mark) == 44);

// With the packet behind it.
[[nodiscard]] std::uint32_t crc_of(const DatagramHeader& header,
                                   std::span<const std::byte> packet) noexcept;

// A sender's numbers.
class DatagramNumbers {
 public:
  DatagramNumbers(std::uint64_t session, std::uint32_t header_bytes) noexcept {
    next_.session = session;
    next_.header_bytes = header_bytes;
  }
  // The header of a packet of records, or of a mark: the next datagram.
  [[nodiscard]] DatagramHeader next(std::span<const std::byte> packet) noexcept;
  // From that header on, as it was not sent.
  void take_back(const DatagramHeader& header) noexcept {
    next_.number = header.number;
    next_.first = header.first;
  }

 private:
  DatagramHeader next_;
};

// A receiver's judgement, one datagram after the other.
class DatagramOrder {
 public:
  enum class Verdict : std::uint8_t {
    kTake,
    kDrop,
    kMismatch,  // the sender has another header=
    kSuccessor  // of another sender, while the stream of this one has not ended
  };

  // `follow`: the stream goes on with another sender.
  DatagramOrder(std::uint32_t header_bytes, bool follow) noexcept
      : header_bytes_(header_bytes), follow_(follow) {}

  // `bytes`: the whole datagram, which begins with its header.
  [[nodiscard]] Verdict judge(const DatagramHeader& header, std::size_t header_size,
                              std::span<const std::byte> packet) noexcept;
  [[nodiscard]] const DatagramsInfo& counts() const noexcept { return counts_; }
  [[nodiscard]] bool has_begun() const noexcept { return counts_.sessions > 0; }

 private:
  static constexpr std::uint64_t kWindow = 1024;

  [[nodiscard]] bool is_stale(std::uint64_t session) const noexcept;
  void begin(const DatagramHeader& header) noexcept;
  // Takes note of a number in the window.
  void mark_seen(std::uint64_t number) noexcept;

  std::uint32_t header_bytes_;
  bool follow_;
  DatagramsInfo counts_;
  std::array<std::uint64_t, 16> earlier_{};  // sessions, a ring of them
  std::size_t next_earlier_ = 0;
  std::uint64_t next_number_ = 0;   // behind the last one that was taken
  std::uint64_t next_message_ = 0;  // the same of messages
  std::bitset<kWindow> seen_;       // of the last kWindow numbers before next_number_
};

}  // namespace rondo::inline RONDO_ABI::detail
