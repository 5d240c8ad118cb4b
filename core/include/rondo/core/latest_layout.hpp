// What a last-value cell looks like in memory.
//
//   offset                    what                 written by
//   0                         segment header       creator       (segment_header.hpp)
//   4096                      participant table    participants  (participants.hpp)
//   layout.writer             LatestWriterPart     the writer
//   layout.values + b*stride  buffer b             the writer
//   layout.waiters + i*4096   LatestWaiterPart i   waiter i
//
// Slot 0 of the participant table is the writer's; slot 1 + i belongs to waiter i. Readers that do
// not sleep in the futex need no slot, and nothing but read access.
//
// Value number n, counted from 1, lies in buffer n & (buffers - 1): 8-byte words, zero behind the
// value's last byte. Each buffer has sharing ranges of its own.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "rondo/core/atomic.hpp"
#include "rondo/core/bell.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/position.hpp"
#include "rondo/core/segment_header.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// The writer's words; its buffers follow.
//
//   offset  size  field            meaning
//        0     8  version          values ever stored; 0: none yet
//      128     4  change_notifier  rung when version moved
//      136     8  awaiting         waiters that may sleep from now on, a bit each; written by them
struct LatestWriterPart {
  alignas(kSharingRange) Atomic<std::uint64_t> version;
  alignas(kSharingRange) BellNotifier change_notifier;
  Atomic<std::uint64_t> awaiting;
};
static_assert(offsetof(LatestWriterPart, version) == 0);
static_assert(offsetof(LatestWriterPart, change_notifier) == 128);
static_assert(offsetof(LatestWriterPart, awaiting) == 136);
static_assert(sizeof(LatestWriterPart) == 256);
static_assert(std::is_standard_layout_v<LatestWriterPart>);
static_assert(std::is_trivially_destructible_v<LatestWriterPart>);

// The word of a reader that sleeps.
//
//   offset  size  field          meaning
//        0     4  change_waiter  the reader sleeps for a change
struct LatestWaiterPart {
  alignas(kSharingRange) BellWaiter change_waiter;
};
static_assert(offsetof(LatestWaiterPart, change_waiter) == 0);
static_assert(sizeof(LatestWaiterPart) == kSharingRange);
static_assert(std::is_standard_layout_v<LatestWaiterPart>);
static_assert(std::is_trivially_destructible_v<LatestWaiterPart>);

inline constexpr std::uint32_t kMaxLatestBuffers = 1024;
inline constexpr std::uint32_t kMaxLatestWaiters = 64;
inline constexpr std::uint32_t kMaxLatestValueBytes = std::uint32_t{1} << 30;

// What a new cell shall be like.
struct LatestParams {
  // A power of two, at least 2. A reader begins anew when buffers - 1 stores were completed while
  // it copied: more of them for a writer without a pause.
  std::uint32_t buffers = 4;
  std::uint32_t waiters = 0;      // readers that may sleep until the value changes
  std::uint64_t instance_id = 0;  // 0: a random one
  std::uint64_t type_tag = 0;     // segment_header.hpp
};

// Where the parts lie, in bytes from the segment's start.
struct LatestLayout {
  std::uint64_t writer;
  std::uint64_t values;
  std::uint64_t stride;  // from one buffer to the next
  std::uint64_t waiters;
  std::uint64_t total_bytes;
  std::uint32_t participants;
};

// A process's own copy of where everything lies; taken at attach, never read again from the
// segment.
struct LatestParts {
  LatestWriterPart* writer;
  Atomic<std::uint64_t>* values;
  std::uint64_t stride_words;
  std::uint64_t buffers;  // a power of two, at least 2
  LatestWaiterPart* waiters;
  std::uint64_t waiter_stride;  // in parts
  std::uint32_t waiter_count;

  // The words of value number `version`. Inside the values, whatever the number.
  [[nodiscard]] Atomic<std::uint64_t>* words_of(std::uint64_t version) const noexcept {
    return values + index_of(version, buffers) * stride_words;
  }
  // Below waiter_count.
  [[nodiscard]] BellWaiter& waiter(std::uint32_t index) const noexcept {
    return waiters[index * waiter_stride].change_waiter;
  }
};

namespace detail {

// Why there is no such cell; empty if there is.
[[nodiscard]] inline std::string latest_problem(std::uint64_t buffers, std::uint64_t waiters,
                                                std::uint64_t value_bytes) {
  if (buffers < 2 || buffers > kMaxLatestBuffers || !std::has_single_bit(buffers)) {
    return "it has " + std::to_string(buffers) + " buffers; possible are powers of two from 2 to " +
           std::to_string(kMaxLatestBuffers);
  }
  if (waiters > kMaxLatestWaiters) {
    return "it has room for " + std::to_string(waiters) + " who wait; possible are 0 to " +
           std::to_string(kMaxLatestWaiters);
  }
  if (value_bytes == 0 || value_bytes > kMaxLatestValueBytes) {
    return "its value has " + std::to_string(value_bytes) + " bytes; possible are 1 to 2^30";
  }
  return {};
}

// Of parameters without an objection.
[[nodiscard]] constexpr LatestLayout latest_layout(std::uint64_t buffers, std::uint32_t waiters,
                                                   std::uint64_t value_bytes) noexcept {
  const std::uint32_t participants = 1 + waiters;
  const std::uint64_t writer = after_participants(participants);
  const std::uint64_t values = writer + sizeof(LatestWriterPart);
  const std::uint64_t stride = round_up(value_bytes, kSharingRange);
  const std::uint64_t first_waiter = round_up(values + buffers * stride, kPartAlignment);
  return {writer,      values, stride, first_waiter, first_waiter + waiters * kPartAlignment,
          participants};
}

}  // namespace detail
}  // namespace rondo::inline RONDO_ABI
