// What the kinds of ring that channels are made of do where they lie in a segment: one row for
// each. What their URLs may say stands in url/kinds.hpp, which has a row for each, too.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "endpoint/backend.hpp"
#include "endpoint/broadcast.hpp"
#include "endpoint/frames.hpp"
#include "endpoint/mpmc.hpp"
#include "endpoint/name_keeper.hpp"
#include "endpoint/record.hpp"
#include "open/open.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/transports/open_options.hpp"
#include "url/kinds.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Record rings, of one reader or of several (segment.cpp, which has their membership).
[[nodiscard]] Result<std::uint64_t> size_of_record_ring(const Url& url);
[[nodiscard]] Result<void> create_record_ring(std::span<std::byte> bytes, const Url& url);
struct JoinedRecordRing {
  std::unique_ptr<Membership> membership;
  RecordParts parts;
};
// Takes a membership at the ring that was found. Errors: Attachment::to()'s, check_requested()'s,
// Participants::join()'s.
[[nodiscard]] Result<JoinedRecordRing> join_record_ring(RingSegment found, const Url& url,
                                                        const OpenOptions& options, Role role,
                                                        NameKeeper keeper = {});
[[nodiscard]] Result<SenderParts> open_record_sender(RingSegment found, const Url& url,
                                                     const OpenOptions& options);
[[nodiscard]] Result<ReceiverParts> open_record_receiver(RingSegment found, const Url& url,
                                                         const OpenOptions& options);
// (inspect_segment.cpp)
void inspect_record_ring(const Segment& segment, const Geometry& geometry, const Url& url,
                         ChannelInfo& info);

struct Kind {
  RingKind kind;
  // Of the ring that `url` asks for: bytes of its segment, and what makes it there.
  Result<std::uint64_t> (*size)(const Url& url);
  Result<void> (*create)(std::span<std::byte> bytes, const Url& url);
  // Join the ring that was found. Errors: kReplaced: it has to be looked for anew.
  Result<SenderParts> (*sender)(RingSegment found, const Url& url, const OpenOptions& options);
  Result<ReceiverParts> (*receiver)(RingSegment found, const Url& url, const OpenOptions& options);
  // What goes on in it. Only reads; info.participants stands already.
  void (*inspect)(const Segment& segment, const Geometry& geometry, const Url& url,
                  ChannelInfo& info);
  // Whether a receiver makes the ring, because its URL says how large it is; null: never.
  bool (*receiver_makes)(const ChannelOptions& options) = nullptr;
};

inline constexpr std::array kRings{
    Kind{RingKind::kRecord, size_of_record_ring, create_record_ring, open_record_sender,
         open_record_receiver, inspect_record_ring},
    Kind{RingKind::kMpmc, size_of_slots, create_mpmc, open_mpmc_sender, open_mpmc_receiver,
         inspect_slots, slots_are_sized},
    Kind{RingKind::kFramePool, size_of_pool, create_pool, open_pool_sender, open_pool_receiver,
         inspect_pool},
};
static_assert(kRings.size() == kKinds.size() && std::ranges::all_of(kKinds, [](const KindRow& row) {
                return std::ranges::count(kRings, row.kind, &Kind::kind) == 1;
              }));

// Of a kind that channels are made of, as channel_kind() says.
[[nodiscard]] constexpr const Kind& ring_of(RingKind kind) noexcept {
  return *std::ranges::find(kRings, kind, &Kind::kind);
}

// The one that a URL asks for.
[[nodiscard]] inline const Kind& wished_kind(const Url& url) noexcept {
  return ring_of(url.options.kind.value_or(kDefaultKind));
}
// A receiver makes a ring that it knows the size of, if either side may come first.
[[nodiscard]] inline bool receiver_creates(const Url& url) noexcept {
  const auto makes = wished_kind(url).receiver_makes;
  return makes != nullptr && makes(url.options);
}
// What a receiver's options ask for that the ring it has found does not have. Errors:
// kInvalidOption.
[[nodiscard]] inline Result<void> check_receiver(const Url& url, RingKind kind,
                                                 const OpenOptions& options) {
  return channel_kind(kind)->counts_senders ? Result<void>() : reject_sender_count(url, options);
}

}  // namespace rondo::inline RONDO_ABI::detail
