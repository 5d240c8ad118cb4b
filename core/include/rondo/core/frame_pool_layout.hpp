// What a frame pool looks like in memory.
//
//   offset                     what                 written by
//   0                          segment header       creator       (segment_header.hpp)
//   4096                       participant table    participants  (participants.hpp)
//   layout.producer            FrameProducerPart    the producer
//   layout.readers + i*4096    FrameReaderPart i    reader i
//   layout.frames + f*stride   frame f              the producer
//
// Slot 0 of the participant table is the producer's; slot 1 + i belongs to reader i. Each part and
// each frame starts on a page. In the header, capacity is the number of frames, slot_bytes the
// size of one, and feature_bits the pins of each reader.
//
// A ticket names a frame and what it holds, in one word:
//
//   bits   0-9   the frame
//   bits  10-62  the number of what was published in it, counted from 1; 0: nothing
//   bit     63   in a state: taken back, but perhaps pinned; in `newest`: the stream has ended
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "rondo/core/atomic.hpp"
#include "rondo/core/bell.hpp"
#include "rondo/core/latest_layout.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/position.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

inline constexpr std::uint32_t kMaxFrames = 1024;
inline constexpr std::uint32_t kMaxFrameReaders = 64;
inline constexpr std::uint32_t kMaxFramePins = 8;

namespace frame_ticket {

inline constexpr std::uint64_t kFlag = std::uint64_t{1} << 63;
inline constexpr int kFrameBits = 10;
static_assert(kMaxFrames == 1u << kFrameBits);

[[nodiscard]] constexpr std::uint64_t make(std::uint64_t number, std::uint32_t frame) noexcept {
  return (number << kFrameBits | frame) & ~kFlag;
}
[[nodiscard]] constexpr std::uint64_t number_of(std::uint64_t ticket) noexcept {
  return (ticket & ~kFlag) >> kFrameBits;
}
// Below kMaxFrames; not yet compared with how many there are.
[[nodiscard]] constexpr std::uint32_t frame_of(std::uint64_t ticket) noexcept {
  return static_cast<std::uint32_t>(ticket) & (kMaxFrames - 1);
}

}  // namespace frame_ticket

// The producer's words.
//
//   offset  size  field             meaning
//        0     8  newest            ticket of the last frame published; bit 63: it was the last one
//      128     4  unpin_waiter      the producer sleeps for a frame that no reader pins
//      256     4  publish_notifier  rung when newest moved
//      384  8192  states[1024]      of frame f: its ticket; 0: free, or being written
//     8576  8192  sizes[1024]       of frame f: bytes of what it holds
struct FrameProducerPart {
  alignas(kSharingRange) Atomic<std::uint64_t> newest;
  alignas(kSharingRange) BellWaiter unpin_waiter;
  alignas(kSharingRange) BellNotifier publish_notifier;
  alignas(kSharingRange) Atomic<std::uint64_t> states[kMaxFrames];
  Atomic<std::uint64_t> sizes[kMaxFrames];
};
static_assert(offsetof(FrameProducerPart, newest) == 0);
static_assert(offsetof(FrameProducerPart, unpin_waiter) == 128);
static_assert(offsetof(FrameProducerPart, publish_notifier) == 256);
static_assert(offsetof(FrameProducerPart, states) == 384);
static_assert(offsetof(FrameProducerPart, sizes) == 8576);
static_assert(sizeof(FrameProducerPart) == 16768);
static_assert(std::is_standard_layout_v<FrameProducerPart>);
static_assert(std::is_trivially_destructible_v<FrameProducerPart>);

// One reader's words. The stats are a last-value cell of their own (latest.hpp), so that any
// process can read them whole, also of a reader that was killed while it wrote them.
//
//   offset  size  field             meaning
//        0    64  pins[8]           tickets of the frames that it holds; 0: none
//      128     4  publish_waiter    the reader sleeps for a frame, or has left
//      256     4  unpin_notifier    rung when it let go of a frame
//      384   256  stats             LatestWriterPart of the cell
//      640   128  stats_words[16]   the cell's four buffers of a FrameReaderStats
//      768     8  policy            a ReaderPolicy: what the reader is here for. For people, for
//                                   waits until readers have come, and for a producer of
//                                   large frames, which leaves those that are kDetached out
inline constexpr std::uint32_t kFrameStatsBuffers = 4;
inline constexpr std::uint32_t kFrameStatsWords = 4;

struct FrameReaderPart {
  alignas(kSharingRange) Atomic<std::uint64_t> pins[kMaxFramePins];
  alignas(kSharingRange) BellWaiter publish_waiter;
  alignas(kSharingRange) BellNotifier unpin_notifier;
  alignas(kSharingRange) LatestWriterPart stats;
  Atomic<std::uint64_t> stats_words[kFrameStatsBuffers * kFrameStatsWords];
  Atomic<std::uint64_t> policy;
};
static_assert(offsetof(FrameReaderPart, pins) == 0);
static_assert(offsetof(FrameReaderPart, publish_waiter) == 128);
static_assert(offsetof(FrameReaderPart, unpin_notifier) == 256);
static_assert(offsetof(FrameReaderPart, stats) == 384);
static_assert(offsetof(FrameReaderPart, stats_words) == 640);
static_assert(offsetof(FrameReaderPart, policy) == 768);
static_assert(sizeof(FrameReaderPart) == 896);
static_assert(std::is_standard_layout_v<FrameReaderPart>);
static_assert(std::is_trivially_destructible_v<FrameReaderPart>);

// What a reader has got, as any process can read it. received + lost = last - origin; what is still
// to come is the producer's newest number - last.
struct FrameReaderStats {
  std::uint64_t origin;    // the number before the first one it asked for
  std::uint64_t last;      // of the last frame that it got
  std::uint64_t received;  // frames it got, each whole
  std::uint64_t lost;      // frames that were gone before it came to them, or that it passed over
};
static_assert(sizeof(FrameReaderStats) == kFrameStatsWords * 8);

// What a new pool shall be like.
struct FramePoolParams {
  // 2 to kMaxFrames. With readers * pins + 2 of them the producer always finds one to write.
  std::uint32_t frames = 8;
  std::uint32_t frame_bytes = 0;  // of the largest frame
  std::uint32_t readers = 1;      // 1 to kMaxFrameReaders
  std::uint32_t pins = 1;         // frames that each reader may hold at once, 1 to kMaxFramePins
  std::uint64_t instance_id = 0;  // 0: a random one
};

// Where the parts lie, in bytes from the segment's start.
struct FramePoolLayout {
  std::uint64_t producer;
  std::uint64_t readers;
  std::uint64_t frames;
  std::uint64_t stride;  // from one frame to the next
  std::uint64_t total_bytes;
  std::uint32_t participants;
};

// A process's own copy of where everything lies; taken at attach, never read again from the
// segment.
struct FramePoolParts {
  FrameProducerPart* producer;
  std::byte* readers;
  std::byte* frames;
  std::uint64_t stride;
  std::uint32_t frame_count;
  std::uint32_t frame_bytes;
  std::uint32_t reader_count;
  std::uint32_t pin_count;

  // Below reader_count.
  [[nodiscard]] FrameReaderPart& reader(std::uint32_t i) const noexcept {
    return *reinterpret_cast<FrameReaderPart*>(readers + i * kPartAlignment);
  }
  // Below frame_count.
  [[nodiscard]] std::byte* frame(std::uint32_t f) const noexcept { return frames + f * stride; }
  // The cell in which reader i keeps its stats; i below reader_count.
  [[nodiscard]] LatestParts stats(std::uint32_t i) const noexcept {
    FrameReaderPart& part = reader(i);
    return {&part.stats, part.stats_words, kFrameStatsWords, kFrameStatsBuffers, nullptr, 0, 0};
  }
};

}  // namespace rondo::inline RONDO_ABI
