// shm: and file: seen from outside, without taking part: what lies there, and taking it away.
#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "endpoint/broadcast.hpp"
#include "open/header_of.hpp"
#include "open/kinds.hpp"
#include "open/open.hpp"
#include "rondo/core/record_ring.hpp"
#include "rondo/core/segment_info.hpp"
#include "rondo/transports/channel_info.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

// How long a ring is looked into whose headers are in motion; one walk is made in any case.
constexpr std::chrono::milliseconds kWalkTimeout{50};

Result<void> refuse_if_used(const Url& url) {
  const auto found = inspect_segment(*url.segment());
  // Whose file alone may stand yet: the removal tells, and takes that away.
  if (!found && found.error().code == ErrorCode::kNotFound) return {};
  if (!found) return found.error();
  const auto live = std::ranges::find_if(found->participants, &ParticipantInfo::alive);
  if (live == found->participants.end()) return {};
  return Error{ErrorCode::kBusy, url.name() + " is in use by " + live->name + " (process " +
                                     std::to_string(live->pid) +
                                     "); end it first, or remove the name all the same"};
}

}  // namespace

// A live sender may outrun the walk along its headers, then the numbers stay at zero.
void inspect_record_ring(const Segment& segment, const Geometry& geometry, const Url& url,
                         ChannelInfo& info) {
  const auto parts = record_ring::attach(segment.bytes(), geometry, url.name());
  if (!parts) return;
  info.max_message_bytes = record_ring::max_record_bytes(parts->capacity);
  say_kind(*parts, info);
  // A walk from the last checkpoint, where a successor of the sender would start.
  auto producer = record_ring::Producer::attach(*parts);
  const Deadline timeout = Deadline::after(kWalkTimeout);
  for (int tries = 0; tries < 100 && !producer && !timeout.passed(); ++tries) {
    producer = record_ring::Producer::attach(*parts);
  }
  if (!producer) return;
  info.messages = producer->sequence();
  look_at_readers(*parts, producer->sequence(), producer->position(), info);
  if (parts->readers > 1) return;
  info.pending_bytes = detail::unread_bytes(*parts, producer->position());
}

Result<ChannelInfo> inspect_segment_channel(const Url& url) {
  auto found = inspect_segment(*url.segment());
  if (!found) return std::move(found).error();
  if (found->problem) return *std::move(found->problem);

  ChannelInfo info;
  info.scheme = url.scheme;
  info.name = url.name();
  info.participants = std::move(found->participants);
  const RingKind kind = found->geometry ? found->geometry->kind : kAnyKind;
  if (auto sound = refuse_other_kinds(url, kind); !sound) return std::move(sound).error();
  info.capacity_bytes = found->geometry->capacity;
  info.instance_id = found->geometry->instance_id;
  const auto segment = Segment::attach(*url.segment(), url.options.segment, Access::kReadOnly);
  if (!segment) return segment.error();
  info.memory = segment->report();
  Geometry geometry = *found->geometry;
  const MessageHeaders headers = take_headers(geometry);
  info.header_bytes = headers.bytes;
  info.align_bytes = static_cast<std::uint32_t>(headers.alignment());
  ring_of(kind).inspect(*segment, geometry, url, info);
  info.max_message_bytes = headers.message_of(info.max_message_bytes);
  return info;
}

Result<void> remove_segment(const Url& url, bool even_if_used) {
  if (!even_if_used) {
    if (auto unused = refuse_if_used(url); !unused) return unused;
  }
  return Segment::remove(*url.segment(),
                         even_if_used ? Segment::Remove::kAlways : Segment::Remove::kIfUnused);
}

}  // namespace rondo::inline RONDO_ABI::detail
