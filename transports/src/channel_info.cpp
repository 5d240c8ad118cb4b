#include "rondo/transports/channel_info.hpp"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include "endpoint/broadcast.hpp"
#include "endpoint/frames.hpp"
#include "endpoint/mpmc.hpp"
#include "open/remove_name.hpp"
#include "rondo/core/record_ring.hpp"
#include "rondo/core/segment_info.hpp"

namespace rondo::inline RONDO_ABI {
namespace {

// How long a ring is looked into whose headers are in motion; one walk is made in any case.
constexpr std::chrono::milliseconds kWalkPatience{50};

bool is_segment(const Url& url) noexcept {
  return url.scheme == Scheme::kShm || url.scheme == Scheme::kFile;
}

SegmentName segment_name(const Url& url) {
  return {url.scheme == Scheme::kShm ? Backing::kSharedMemory : Backing::kFile, url.target};
}

Error not_possible(const Url& url, std::string_view what, std::string_view where) {
  return Error{ErrorCode::kUnsupported, url.name() + " can't be " + std::string(what) +
                                            " from outside; that works for " + std::string(where)};
}

}  // namespace

void detail::say_who_it_is(const std::vector<ParticipantInfo>& participants, std::uint32_t slot,
                           ReaderInfo& reader) {
  const auto found = std::ranges::find(participants, slot, &ParticipantInfo::slot);
  if (found == participants.end()) return;
  reader.alive = found->alive;
  reader.pid = found->pid;
  reader.participant = found->name;
}

void detail::look_at_readers(const RecordParts& parts, std::uint64_t sent, Position tail,
                             ChannelInfo& info) {
  info.reader_places = parts.readers;
  if (parts.readers == 1) return;
  for (std::uint32_t i = 0; i < parts.readers; ++i) {
    const RecordConsumerPart& part = parts.consumer_at(i);
    // relaxed, all of these: for people.
    constexpr auto kRelaxed = std::memory_order_relaxed;
    const std::uint64_t state = part.state.load(kRelaxed);
    ReaderInfo reader;
    reader.reader = i;
    reader.policy = reader_state::policy_of(state);
    if (reader.policy == ReaderPolicy::kNone) continue;
    say_who_it_is(info.participants, record_ring::kConsumerSlot + i, reader);
    reader.evicted = parts.producer->evicted[i].load(kRelaxed) == state;
    reader.name = reader_name(part);
    // One without a name that has left will not come back.
    const bool left = reader.policy == ReaderPolicy::kDetached;
    if (left && !reader.alive && reader.name.empty()) continue;
    if (const auto account = read_account(part)) {
      reader.before = account->next - account->received - account->lost;
      reader.received = account->received;
      reader.lost = account->lost;
      reader.to_come = account->next <= sent ? sent - account->next : 0;
      const std::uint64_t behind = tail - account->position;
      reader.behind_bytes = behind < std::uint64_t{1} << 63 ? behind : 0;
    }
    if (reader.policy == ReaderPolicy::kReliable && !reader.evicted) {
      info.pending_bytes = std::max(info.pending_bytes, reader.behind_bytes);
    }
    info.readers.push_back(std::move(reader));
  }
}

std::string detail::reader_name(const RecordConsumerPart& part) {
  std::string name;
  for (std::size_t at = 0; at < kReaderNameBytes; ++at) {
    // relaxed: for people.
    const std::uint64_t word = part.name[at / 8].load(std::memory_order_relaxed);
    const auto byte = static_cast<unsigned char>(word >> at % 8 * 8);
    if (byte == 0) break;
    name += byte < 0x20 || byte > 0x7e ? '?' : static_cast<char>(byte);
  }
  return name;
}

namespace {

// What goes on in the ring. Only reads; a live sender may outrun the walk along its headers, then
// the numbers stay at zero.
void look_into_ring(const Segment& segment, const Url& url, ChannelInfo& info) {
  if (info.kind == RingKind::kMpmc) {
    if (const auto slots = mpmc_attach(segment.bytes())) detail::describe_slots(*slots, info);
    return;
  }
  if (info.kind == RingKind::kFramePool) {
    if (const auto pool = frame_pool::attach(segment.bytes())) detail::describe_pool(*pool, info);
    return;
  }
  const auto parts = record_ring::attach(segment.bytes(), url.name());
  if (!parts) return;
  info.max_message_bytes = record_ring::max_record_bytes(parts->capacity);
  info.reader_places = parts->readers;
  // A walk from the last checkpoint, where a successor of the sender would start.
  auto producer = record_ring::Producer::attach(*parts);
  const Deadline patience = Deadline::after(kWalkPatience);
  for (int tries = 0; tries < 100 && !producer && !patience.passed(); ++tries) {
    producer = record_ring::Producer::attach(*parts);
  }
  if (!producer) return;
  info.messages = producer->sequence();
  detail::look_at_readers(*parts, producer->sequence(), producer->position(), info);
  if (parts->readers > 1) return;
  // relaxed: for people.
  const std::uint64_t pending =
      producer->position() - parts->consumer->head.load(std::memory_order_relaxed);
  info.pending_bytes = pending <= parts->capacity ? pending : 0;
}

Result<void> refuse_if_used(const Url& url) {
  const auto found = inspect_segment(segment_name(url));
  if (!found) return found.error();
  const auto live = std::ranges::find_if(found->participants, &ParticipantInfo::alive);
  if (live == found->participants.end()) return {};
  return Error{ErrorCode::kBusy, url.name() + " is in use by " + live->name + " (process " +
                                     std::to_string(live->pid) +
                                     "); end it first, or remove the name all the same"};
}

}  // namespace

Result<ChannelInfo> inspect(std::string_view text) {
  const auto url = Url::parse(text);
  if (!url) return url.error();
  if (!is_segment(*url)) return not_possible(*url, "looked at", "shm: and file:");
  auto found = inspect_segment(segment_name(*url));
  if (!found) return std::move(found).error();
  if (found->problem) return *std::move(found->problem);

  ChannelInfo info;
  info.scheme = url->scheme;
  info.name = url->name();
  info.participants = std::move(found->participants);
  if (found->geometry) {
    info.kind = found->geometry->kind;
    info.capacity_bytes = found->geometry->capacity;
    info.instance_id = found->geometry->instance_id;
  }
  const auto segment = Segment::attach(segment_name(*url), url->options.segment, Access::kReadOnly);
  if (!segment) return segment.error();
  info.memory = segment->report();
  look_into_ring(*segment, *url, info);
  return info;
}

Result<void> remove(std::string_view text, bool even_if_used) {
  const auto url = Url::parse(text);
  if (!url) return url.error();
  if (url->scheme == Scheme::kFifo || url->scheme == Scheme::kUnix ||
      url->scheme == Scheme::kGuarded) {
    return detail::remove_special_file(*url, even_if_used);
  }
  if (!is_segment(*url))
    return not_possible(*url, "removed", "shm:, file:, fifo:, unix: and shm+guarded:");
  if (!even_if_used) {
    if (auto unused = refuse_if_used(*url); !unused) return unused;
  }
  return Segment::remove(segment_name(*url),
                         even_if_used ? Segment::Remove::kAlways : Segment::Remove::kIfUnused);
}

}  // namespace rondo::inline RONDO_ABI
