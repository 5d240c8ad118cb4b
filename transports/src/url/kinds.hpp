// The kinds of ring that a URL can ask for: one row for each. What makes and opens them stands in
// open/kinds.hpp, which has a row for each, too.
#pragma once

#include <algorithm>
#include <array>
#include <string_view>

#include "rondo/core/result.hpp"
#include "rondo/core/segment_header.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/url.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Errors: kInvalidOption when what `options` ask of a receiver or of the ring is nothing that a
// pool of frames has.
[[nodiscard]] Result<void> reject_for_frames(const ChannelOptions& options);

struct KindRow {
  RingKind kind;
  std::string_view name;
  std::string_view options;  // that are of this kind; one that no row names is of any
  std::string_view size;     // the options that say how large it is
  bool counts_senders;       // a receiver can wait for so many senders (OpenOptions::senders)
  // What its options may not be together; null: anything.
  Result<void> (*check)(const ChannelOptions& options);
  std::string_view example;  // of a URL
  std::string_view help;
};

inline constexpr std::array kKinds{
    KindRow{RingKind::kRecord, to_string(RingKind::kRecord),
            "capacity ack from readers policy name evict wake_bytes",
            "capacity says how large the ring is", false, nullptr,
            "shm:NAME?capacity=16MiB&readers=64",
            "the default: messages from one sender to one receiver, or, with readers=, to each of "
            "several; the largest is about half of the capacity"},
    KindRow{RingKind::kMpmc, to_string(RingKind::kMpmc), "slots slot_size on_consumer_death",
            "slots and slot_size say how large the ring is", true, nullptr,
            "shm:NAME?kind=mpmc&slots=4096&slot_size=256",
            "many senders and many receivers share the messages; each one, up to slot_size bytes, "
            "goes to one of the receivers"},
    KindRow{RingKind::kFramePool, to_string(RingKind::kFramePool),
            "frames frame_size from readers policy",
            "frames and frame_size say how large the pool is", false, reject_for_frames,
            "shm:NAME?kind=frames&frames=8&frame_size=12MiB&readers=4",
            "large messages to each of several receivers, which may hold one; the sender does not "
            "wait, and a late one is told how many it lost"},
};
inline constexpr RingKind kDefaultKind = RingKind::kRecord;

static_assert(std::ranges::all_of(kKinds, [](const KindRow& row) {
  return std::ranges::count(kKinds, row.kind, &KindRow::kind) == 1;
}));

// Null for a kind that no channel is made of.
[[nodiscard]] constexpr const KindRow* channel_kind(RingKind kind) noexcept {
  const auto* row = std::ranges::find(kKinds, kind, &KindRow::kind);
  return row == kKinds.end() ? nullptr : row;
}

}  // namespace rondo::inline RONDO_ABI::detail
