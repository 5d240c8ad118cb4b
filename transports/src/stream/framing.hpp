// Messages as frames of a byte stream, between a staging ring and the mover of the bytes. Pure:
// says which bytes go where and never moves them over a descriptor itself.
//
//   frame   u32 little-endian length of the message, then its bytes
//   end     the length 0xFFFFFFFF: the sender closed the stream in order; nothing follows
//   hello   the length 0xFFFFFFFE: nothing; tells a reader that a sender is there
//   broken  the length 0xFFFFFFFD: the sender gave up, and more should have come; nothing follows
//
// A record of the ring holds its length right before its bytes (record_layout.hpp), in this very
// form, so frames are written straight from the ring.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "rondo/core/record_ring.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

static_assert(std::endian::native == std::endian::little,
              "frames are written as they lie in memory");

inline constexpr std::uint32_t kEndOfStream = 0xFFFFFFFF;
inline constexpr std::uint32_t kHello = 0xFFFFFFFE;
inline constexpr std::uint32_t kBrokenStream = 0xFFFFFFFD;
inline constexpr std::size_t kFrameHeaderBytes = 4;

// Frames out: walks the records that a Producer of the same thread has committed. It is the ring's
// consumer, written out because it has to look at many records before it gives back the first.
class FrameWriter {
 public:
  // The most frames that are handed out at once; a writev(2) takes 1024.
  static constexpr std::size_t kMaxPieces = 64;
  using Piece = std::span<const std::byte>;

  explicit FrameWriter(const RecordParts& parts) noexcept : parts_(parts) {}

  // The bytes that are to be written next, in order; empty if there are none. Valid until
  // written().
  [[nodiscard]] std::span<const Piece> pieces() noexcept;
  // The first `bytes` of them have been written.
  void written(std::size_t bytes) noexcept;
  // From now on `mark`, kEndOfStream or kBrokenStream, follows the last record.
  void finish(std::uint32_t mark) noexcept {
    finishing_ = true;
    std::memcpy(mark_.data(), &mark, sizeof mark);
  }

 private:
  RecordParts parts_;
  Position position_ = 0;       // of the first header that is not given back
  std::uint64_t sequence_ = 0;  // of the record there
  std::size_t written_ = 0;     // bytes of the first piece that have been written
  bool finishing_ = false;
  std::array<std::byte, kFrameHeaderBytes> mark_{};
  bool finished_ = false;
  std::array<Piece, kMaxPieces> pieces_;
};

// Frames in: puts what arrives into a ring as records.
class FrameReader {
 public:
  enum class State : std::uint8_t { kOpen, kEnded, kBrokenOff, kCorrupt };

  // `chunk` is read into before anything is known of its contents; it outlives this object, as does
  // `producer`, which no other uses.
  FrameReader(record_ring::Producer& producer, std::span<std::byte> chunk) noexcept
      : producer_(&producer), chunk_(chunk) {}

  // Where the next bytes of the stream go: the rest of a message that has begun, and the chunk.
  // Only when all that arrived has been taken in (take_in() says true).
  [[nodiscard]] std::array<std::span<std::byte>, 2> room() noexcept;
  // `bytes` have arrived there.
  void arrived(std::size_t bytes) noexcept;
  // Makes records of what has arrived. False if it has to be called again once the ring has been
  // drained.
  bool take_in() noexcept;

  [[nodiscard]] State state() const noexcept { return state_; }
  // Forgets a message that has only partly arrived: its sender is gone, another one begins.
  void reset() noexcept;

 private:
  bool begin_message() noexcept;

  record_ring::Producer* producer_;
  std::span<std::byte> chunk_;
  std::size_t begin_ = 0;  // of the chunk's bytes that have not been taken in
  std::size_t end_ = 0;
  std::byte* message_ = nullptr;  // where a message that has begun lies in the ring
  std::size_t size_bytes_ = 0;    // of that message
  std::size_t filled_bytes_ = 0;  // what of it is there
  State state_ = State::kOpen;
};

}  // namespace rondo::inline RONDO_ABI::detail
