// Joining, leaving and looking at a pool of frames, for its sender and its receivers alike.
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "endpoint/broadcast.hpp"
#include "endpoint/frames.hpp"
#include "url/kinds.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

ReaderPolicy policy_of(const FrameReaderPart& part) noexcept {
  // relaxed: for people; and a reader that is just coming counts at the next look.
  const std::uint64_t word = part.policy.load(std::memory_order_relaxed);
  return word <= static_cast<std::uint64_t>(ReaderPolicy::kDetached)
             ? static_cast<ReaderPolicy>(word)
             : ReaderPolicy::kNone;
}

bool reads(ReaderPolicy policy) noexcept {
  return policy != ReaderPolicy::kNone && policy != ReaderPolicy::kDetached;
}

// Errors: kGeometryMismatch, kInvalidOption.
Result<void> check_pool(const Url& url, const FramePoolParts& found) {
  if (auto refused = reject_for_frames(url.options); !refused) return refused;
  const auto differs = [&](std::string_view option, std::uint32_t is,
                           const std::optional<std::uint32_t>& wanted) -> Result<void> {
    if (wanted.value_or(is) == is) return {};
    return Error{ErrorCode::kGeometryMismatch,
                 url.name() + " exists with " + std::string(option) + '=' + std::to_string(is) +
                     ", not " + std::to_string(*wanted) +
                     "; leave the option out, or remove it first (rondo rm " + url.name() + ")"};
  };
  if (auto same = differs("frames", found.frame_count, url.options.frames); !same) return same;
  if (auto same = differs("frame_size", found.frame_bytes, url.options.frame_bytes); !same) {
    return same;
  }
  return differs("readers", found.reader_count, url.options.readers);
}

}  // namespace

FramePoolParams pool_params(const Url& url) noexcept {
  FramePoolParams params;
  params.readers = url.options.readers.value_or(1);
  params.pins = 1;  // a handle shows one Message at a time
  const std::uint32_t enough = params.readers * params.pins + 2;
  params.frames = url.options.frames.value_or(std::max(ChannelOptions::kDefaultFrames, enough));
  params.frame_bytes = url.options.frame_bytes.value_or(ChannelOptions::kDefaultFrameBytes);
  return params;
}

Result<void> create_pool(std::span<std::byte> bytes, const Url& url) {
  return frame_pool::create(bytes, pool_params(url));
}

Result<std::uint64_t> size_of_pool(const Url& url) {
  const auto layout = frame_pool::layout_for(pool_params(url));
  if (!layout) return layout.error();
  return layout->total_bytes;
}

void inspect_pool(const Segment& segment, const Geometry& geometry, const Url& url,
                  ChannelInfo& info) {
  info.kind = FramesInfo();
  const auto parts = frame_pool::attach(segment.bytes(), geometry, url.name());
  if (parts) describe_pool(*parts, info);
}

void describe_pool(const FramePoolParts& parts, ChannelInfo& info) {
  FramesInfo own{.frames = parts.frame_count, .reader_places = parts.reader_count, .readers = {}};
  info.capacity_bytes = std::uint64_t{parts.frame_count} * parts.frame_bytes;
  info.max_message_bytes = parts.frame_bytes;
  // relaxed: for people.
  info.messages = frame_ticket::number_of(parts.producer->newest.load(std::memory_order_relaxed));
  std::array<std::uint32_t, kMaxFrameReaders> held{};
  for_each_held(parts, [&](const HeldFrame& frame) { ++held[frame.reader]; });
  for (std::uint32_t i = 0; i < parts.reader_count; ++i) {
    ReaderInfo reader;
    reader.reader = i;
    reader.policy = policy_of(parts.reader(i));
    reader.frames_held = held[i];
    fill_in_participant(info.participants, frame_pool::kFirstReaderSlot + i, reader);
    // A receiver that has left will not come back.
    if (!reads(reader.policy) && held[i] == 0) continue;
    if (const auto stats = read_frame_stats(parts, i)) {
      reader.before = stats->last - stats->received - stats->lost;
      reader.received = stats->received;
      reader.lost = stats->lost;
      reader.to_come = stats->last <= info.messages ? info.messages - stats->last : 0;
    }
    own.readers.push_back(std::move(reader));
  }
  info.kind = std::move(own);
}

Result<PoolMembership> PoolMembership::take(RingSegment found, const Url& url,
                                            const OpenOptions& options, Role role,
                                            NameKeeper keeper) {
  auto ring = Attachment<frame_pool>::to(std::move(found), url.name());
  if (!ring) return std::move(ring).error();
  const FramePoolParts& parts = ring->parts();
  if (auto sound = check_pool(url, parts); !sound) return std::move(sound).error();

  const bool sends = role == Role::kProducer;
  const JoinRequest request{
      .first_slot = sends ? frame_pool::kProducerSlot : frame_pool::kFirstReaderSlot,
      .slot_count = sends ? 1 : parts.reader_count,
      .role = role,
      .name = options.name};
  const auto begin = [&](std::uint32_t slot) {
    if (sends) return true;
    // What the one before was here for; its pins go when the new reader begins.
    // relaxed: as in policy_of().
    parts.reader(slot - frame_pool::kFirstReaderSlot)
        .policy.store(static_cast<std::uint64_t>(ReaderPolicy::kNone), std::memory_order_relaxed);
    return true;
  };
  const auto joined = ring->join(request, begin);
  if (joined) return PoolMembership(std::move(ring).value(), std::move(keeper));
  const bool full = !sends && parts.reader_count > 1 && joined.error().code == ErrorCode::kNoSlot;
  if (!full) return joined.error();
  return Error{ErrorCode::kNoSlot, "all " + std::to_string(parts.reader_count) +
                                       " places for receivers are taken; make the pool for more "
                                       "of them, up to readers=" +
                                       std::to_string(kMaxFrameReaders)};
}

std::uint32_t PoolMembership::reader() const noexcept {
  return ring_.slot() - frame_pool::kFirstReaderSlot;
}

Presence PoolMembership::sender() const noexcept {
  return ring_.participants().presence(frame_pool::kProducerSlot, 1);
}

Presence PoolMembership::reader(std::uint32_t i) const noexcept {
  if (!reads(policy_of(parts().reader(i)))) return Presence::kAbsent;
  return ring_.participants().presence(frame_pool::kFirstReaderSlot + i, 1);
}

void PoolMembership::leave(bool keep) noexcept {
  keeper_.leave(ring_, [&](bool last) { return last && !keep && !anything_unread(); });
}

bool PoolMembership::anything_unread() const noexcept {
  // relaxed: the membership lock, which the caller holds, orders what others did.
  const std::uint64_t newest =
      frame_ticket::number_of(parts().producer->newest.load(std::memory_order_relaxed));
  std::uint64_t furthest = 0;
  for (std::uint32_t i = 0; i < parts().reader_count; ++i) {
    if (policy_of(parts().reader(i)) == ReaderPolicy::kNone) continue;
    const auto stats = read_frame_stats(parts(), i);
    if (stats) furthest = std::max(furthest, stats->last);
  }
  return furthest < newest;
}

void PoolMembership::describe(ChannelInfo& info) const {
  describe_attachment(ring_, info);
  describe_pool(parts(), info);
}

}  // namespace rondo::inline RONDO_ABI::detail
