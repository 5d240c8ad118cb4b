// Messages as frames of a byte stream, between a staging ring and the mover of the bytes. Pure:
// says which bytes go where and never moves them over a descriptor itself.
//
// Ours (framing=rondo):
//   frame    u32 little-endian length of the message, then its bytes
//   end      the length 0xFFFFFFFF: the sender closed the stream in order; nothing follows
//   hello    the length 0xFFFFFFFE, at most once and first: nothing; tells a reader that a sender
//            is there
//   broken   the length 0xFFFFFFFD: the sender gave up, and more should have come; nothing follows
//   checked  the length 0xFFFFFFF1, before the first frame: each length, also that of the end, is
//            followed by three u32: a number that counts the frames from 0, the CRC-32C of the
//            bytes, and that of these three words, so that no wrong length is waited for (crc=1)
//   headed   the length 0xFFFFFFF8 and a u32 from 1 to 256, behind a hello and before all else:
//            each message begins with a header of so many bytes, padded to 8 (header=)
// No mark becomes another one by one wrong bit, but for the end and the two beside it.
// A record of the ring holds its length right before its bytes (record_layout.hpp), in this very
// form, so frames are written straight from the ring.
//
// Those of others have no marks. The end of the stream is the end of the bytes, in order if it
// comes between two messages, and whether the sender gave up is not told:
//   lines       the bytes, then a line feed, which may be missing behind the last
//   raw         the bytes; what comes is cut into messages of block= bytes, the last one may be
//               shorter; or, without that, as it comes
//   length32    u32 little-endian length, then the bytes
//   length32be  the same in network order
//   varint      the length in groups of 7 bits, the lowest first, with the highest bit set in all
//               bytes but the last (as Protocol Buffers are delimited), then the bytes
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "rondo/core/record_ring.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/url.hpp"

namespace rondo::inline RONDO_ABI::detail {

static_assert(std::endian::native == std::endian::little,
              "frames are written as they lie in memory");

inline constexpr std::uint32_t kEndOfStream = 0xFFFFFFFF;
inline constexpr std::uint32_t kHello = 0xFFFFFFFE;
inline constexpr std::uint32_t kBrokenStream = 0xFFFFFFFD;
inline constexpr std::uint32_t kCheckedStream = 0xFFFFFFF1;
inline constexpr std::uint32_t kHeadedStream = 0xFFFFFFF8;
inline constexpr std::size_t kFrameHeaderBytes = 4;

// What both sides have to agree on; the part of a channel's options that is about frames.
struct FrameForm {
  Framing framing = Framing::kRondo;
  bool checked = false;      // of kRondo: a reader wants it so; of itself it takes both
  std::uint64_t block = 0;   // of kRaw; 0: none
  std::uint32_t header = 0;  // bytes of the user's in front of each message

  FrameForm() noexcept = default;
  explicit FrameForm(const ChannelOptions& options) noexcept
      : framing(options.framing),
        checked(options.crc),
        block(options.block_bytes.value_or(0)),
        header(options.header_bytes()) {}
};

// Frames out: walks the records that a Producer of the same thread has committed. It is the ring's
// consumer, written out because it has to look at many records before it gives back the first.
class FrameWriter {
 public:
  // The most that is handed out at once; a writev(2) takes 1024.
  static constexpr std::size_t kMaxPieces = 256;
  // Where small ones lie side by side: to copy them costs less than what the kernel spends on each
  // piece that it is handed.
  static constexpr std::size_t kGatheredBytes = std::size_t{1} << 15;
  using Piece = std::span<const std::byte>;

  explicit FrameWriter(const RecordParts& parts, FrameForm form = {}) noexcept;

  // The bytes that are to be written next, in order; empty if there are none. Valid until
  // written().
  [[nodiscard]] std::span<const Piece> pieces() noexcept;
  // The first `bytes` of them have been written.
  void written(std::size_t bytes) noexcept;
  // From now on `mark`, kEndOfStream or kBrokenStream, follows the last record, if the form has
  // marks.
  void finish(std::uint32_t mark) noexcept {
    finishing_ = form_.framing == Framing::kRondo;
    mark_ = mark;
  }

 private:
  // The longest is a checked frame's.
  static constexpr std::size_t kMaxHeadBytes = 16;
  struct Frame {
    Position next = 0;  // of the header behind the record
    Piece bytes;        // with its length before it where that is the head
    std::array<std::byte, kMaxHeadBytes> head{};
    std::uint8_t head_bytes = 0;
    std::uint8_t tail_bytes = 0;

    [[nodiscard]] std::size_t size() const noexcept {
      return head_bytes + bytes.size() + tail_bytes;
    }
  };
  // Two pieces each at the most: a frame has a head of its own or a tail.
  static constexpr std::size_t kMaxFrames = 128;

  void look_for_frames() noexcept;
  [[nodiscard]] bool drop_written() noexcept;
  [[nodiscard]] Frame& append() noexcept;
  void add_record(const std::byte* record, std::size_t size_bytes) noexcept;
  void add_mark(std::uint32_t mark) noexcept;
  void begin() noexcept;
  void check(Frame& frame, std::uint32_t length) noexcept;
  void add_piece(Piece piece, std::size_t& skip) noexcept;
  void gather(Piece piece) noexcept;
  void forget_pieces() noexcept;

  RecordParts parts_;
  FrameForm form_;
  // Frames that were found and not wholly written: a window of a ring.
  std::array<Frame, kMaxFrames> frames_;
  std::size_t first_ = 0;
  std::size_t count_ = 0;
  std::size_t written_ = 0;     // bytes of the first frame that have been written
  Position position_ = 0;       // of the first header that was not looked at
  std::uint64_t sequence_ = 0;  // of the record there
  std::uint32_t number_ = 0;    // of the next checked frame
  bool begun_ = false;
  bool finishing_ = false;
  bool finished_ = false;
  std::uint32_t mark_ = 0;
  std::array<Piece, kMaxPieces> pieces_;
  std::size_t piece_count_ = 0;
  std::size_t frames_in_pieces_ = 0;  // of those from first_ on
  static constexpr std::size_t kSmallPiece = 4096;
  std::array<std::byte, kGatheredBytes> gathered_;
  std::size_t gathered_bytes_ = 0;
};

// Frames in: puts what arrives into a ring as records.
class FrameReader {
 public:
  enum class State : std::uint8_t { kOpen, kEnded, kBrokenOff, kCutOff, kCorrupt };

  // `chunk` is read into before anything is known of its contents; it outlives this object, as does
  // `producer`, which no other uses.
  FrameReader(record_ring::Producer& producer, std::span<std::byte> chunk,
              FrameForm form = {}) noexcept
      : producer_(&producer), chunk_(chunk), form_(form) {}

  // Where the next bytes of the stream go: the rest of a message that has begun, and the chunk.
  // Only when all that arrived has been taken in (take_in() says true).
  [[nodiscard]] std::array<std::span<std::byte>, 2> room() noexcept;
  // `bytes` have arrived there.
  void arrived(std::size_t bytes) noexcept;
  // No more will come: the other side has closed the stream, or was cut off.
  void ended(bool cut_off) noexcept {
    over_ = true;
    cut_off_ = cut_off;
  }
  // Makes records of what has arrived. False if it has to be called again once the ring has been
  // drained.
  bool take_in() noexcept;

  [[nodiscard]] State state() const noexcept { return state_; }

 private:
  // What stands before a message, once all of it has come.
  struct Head {
    std::uint32_t size_bytes = 0;  // of the message
    std::size_t head_bytes = 0;    // 0: not all of it is there, or there is no message
    std::uint32_t crc = 0;         // that the message shall have
  };

  [[nodiscard]] std::span<const std::byte> there() const noexcept {
    return std::span(chunk_).subspan(begin_, end_ - begin_);
  }
  bool take_in_frames() noexcept;
  bool take_in_lines() noexcept;
  bool take_in_blocks() noexcept;
  bool come_to_the_end() noexcept;
  [[nodiscard]] Head look_at_head() noexcept;
  [[nodiscard]] Head look_at_own_head() noexcept;
  [[nodiscard]] bool pass_headed_mark() noexcept;
  [[nodiscard]] Head look_at_checked_head(std::uint32_t length) noexcept;
  [[nodiscard]] Head look_at_length() const noexcept;
  [[nodiscard]] Head end_by(std::uint32_t mark) noexcept;
  [[nodiscard]] bool begin_record(std::size_t size_bytes) noexcept;
  void fill_record(std::size_t at_most) noexcept;
  void end_record() noexcept;

  record_ring::Producer* producer_;
  std::span<std::byte> chunk_;
  FrameForm form_;
  std::size_t begin_ = 0;  // of the chunk's bytes that have not been taken in
  std::size_t end_ = 0;
  std::size_t searched_ = 0;      // of those, without a line feed
  std::byte* message_ = nullptr;  // where a message that has begun lies in the ring
  std::size_t size_bytes_ = 0;    // of that message, at most
  std::size_t filled_bytes_ = 0;  // what of it is there
  bool headed_ = false;           // the other side has said so, and what we want
  bool checked_ = false;          // the other side has said so
  bool begun_ = false;            // a frame has come, or a hello
  std::uint32_t number_ = 0;      // of the next checked frame
  Head head_;                     // of the message that has begun
  bool over_ = false;
  bool cut_off_ = false;
  State state_ = State::kOpen;
};

}  // namespace rondo::inline RONDO_ABI::detail
