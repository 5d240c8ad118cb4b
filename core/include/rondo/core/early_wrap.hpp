// Going back to the start of a large ring before its end, over lines that are still near.
//
// A ring that is larger than the caches is cold: whenever the producer comes round, the lines that
// it writes have left all caches, and come from memory. While the consumer keeps up, hardly any of
// that space is needed. So a producer that has filled a window's worth, and sees that the consumer
// is close behind, pads to the end of the ring and begins anew. A ring of up to 4 GiB is then as
// fast as one of the window's size; when the consumer falls behind, all of it is used. Batches,
// which have to fit as a whole, go on where they are: a single record that comes to the end of a
// window goes back.
//
// The capacity stays what it is. What was padded over is free, and with a consumer that stops just
// now it is needed after all: then the producer leaps, by a padding in the middle of the ring, over
// the records that are still unread into that gap. So unread records lie in three places at most,
// in the order of their positions:
//
//      lap k - 1                            lap k
//      |......|head  unread |pad        |   |unread |pad       |unread, after the leap  |tail  |
//      0                    gap.start   C   0                  gap.start + 8                   C
//
// The padding's own header at gap.start is still to be read, so a leap goes behind it. Positions
// are then up to two laps apart; the bytes are not, as a padding has none but its header.
#pragma once

#include <cstdint>

#include "rondo/core/min_max.hpp"
#include "rondo/core/position.hpp"
#include "rondo/core/record_layout.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// What the producer of a ring with one consumer knows of it. Nothing of it is shared.
class EarlyWrap {
 public:
  // Bytes. The default capacity of a channel, for the same reason: see docs/performance.md.
  static constexpr std::uint64_t kWindow = std::uint64_t{4} << 20;
  // A padding is no longer than a header can say, so larger rings are not wrapped early.
  static constexpr std::uint64_t kMostBytes = std::uint64_t{4} << 30;
  // Of a ring that one thread fills and empties: it is not wrapped early.
  static constexpr std::uint64_t kNever = std::uint64_t{1} << 63;

  // `window`: a power of two. Rings that are no larger are not wrapped early.
  explicit EarlyWrap(std::uint64_t window) noexcept : window_(window) {}

  // Where a record goes: behind how much padding, and up to where others may then follow without
  // asking. With a padding, that holds when the record has been committed: see padded().
  struct Place {
    std::uint64_t padding;
    Position limit;
  };

  // Where the next record goes, of which there is room behind `padding` at `tail` and before
  // `limit`. `unread`: the bytes from the consumer's position to the tail. `may_pad`: not in a
  // batch, which has to fit as a whole, and may be abandoned.
  [[nodiscard]] Place place(Position tail, Position limit, std::uint64_t capacity,
                            std::uint64_t unread, std::uint64_t padding, std::uint64_t footprint,
                            bool may_pad) const noexcept {
    if (capacity <= window_ || capacity > kMostBytes) return {padding, limit};
    const std::uint64_t index = index_of(tail, capacity);
    const std::uint64_t to_end = capacity - index;
    if (may_pad && padding == 0 && index + footprint > window_ && unread <= window_ / 2 &&
        limit - tail >= to_end + footprint) {
      return {to_end, nearer(limit, tail + to_end + max_of(window_, footprint), tail)};
    }
    // Up to where a window ends, to look again.
    const Position at = tail + padding;
    const std::uint64_t rest = window_ - index_of(at, window_);
    return {padding, nearer(limit, at + max_of(rest, footprint), tail)};
  }

  // A padding that was chosen here, or by a predecessor, has been committed with the record behind
  // it.
  void padded(Position from, Position to, std::uint64_t capacity) noexcept {
    // One that leads into a gap makes none.
    if (index_of(to, capacity) == 0) gap_ = {from, to};
  }
  // The consumer stands at `head`.
  void passed(Position head) noexcept {
    if (!is_open(head)) gap_ = {};
  }

  [[nodiscard]] bool never() const noexcept { return window_ == kNever; }

  // Up to where records may reach from `tail` on, if by the consumer's position it is `limit`: a
  // producer that has leapt into the gap may use the rest of the lap.
  [[nodiscard]] Position limit(Position tail, Position head, Position limit, std::uint64_t capacity,
                               std::uint64_t reserve) const noexcept {
    if (!is_open(head) || static_cast<std::int64_t>(tail - landing(capacity)) < 0) return limit;
    return gap_.end + capacity - reserve;
  }

  // A leap into the gap, for a record of which there is no room at the tail. A padding of 0: there
  // is none, or no use in it. `head` is the consumer's position, or one before it.
  [[nodiscard]] Place leap(Position tail, Position head, std::uint64_t capacity,
                           std::uint64_t footprint, std::uint64_t reserve) const noexcept {
    constexpr Place kNone{0, 0};
    if (!is_open(head)) return kNone;
    const Position to = landing(capacity);
    const Position limit = gap_.end + capacity - reserve;
    const auto room_for_header = static_cast<std::int64_t>(head + capacity - tail);
    if (room_for_header < static_cast<std::int64_t>(record_header::kBytes)) return kNone;
    if (static_cast<std::int64_t>(to - tail) < static_cast<std::int64_t>(record_header::kBytes)) {
      return kNone;
    }
    if (static_cast<std::int64_t>(limit - to) < static_cast<std::int64_t>(footprint)) return kNone;
    return {to - tail, limit};
  }

 private:
  // From where the last early padding begins, to the start of the next lap.
  struct Gap {
    Position start = 0;
    Position end = 0;
  };

  // Whether the consumer has not passed it yet.
  [[nodiscard]] bool is_open(Position head) const noexcept {
    return gap_.start != gap_.end && static_cast<std::int64_t>(gap_.end - head) > 0;
  }
  // Behind the padding's header, a lap later.
  [[nodiscard]] Position landing(std::uint64_t capacity) const noexcept {
    return gap_.start + capacity + record_header::kBytes;
  }
  [[nodiscard]] static Position nearer(Position one, Position other, Position tail) noexcept {
    return one - tail < other - tail ? one : other;
  }

  std::uint64_t window_;
  Gap gap_;
};

}  // namespace rondo::inline RONDO_ABI
