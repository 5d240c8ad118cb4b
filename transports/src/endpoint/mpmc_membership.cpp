// Joining, leaving and looking after an mpmc ring, for its senders and receivers alike.
#include <string>
#include <utility>

#include "endpoint/absence.hpp"
#include "endpoint/mpmc.hpp"
#include "open/header_of.hpp"
#include "url/url_options.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

// How many slots that can't be taken over yet a newcomer looks into.
constexpr int kMostUnrecovered = 16;

// Says what of the ring there is not as `url` has it; empty if all is.
std::string disagreement(const Url& url, const MpmcParts& found) {
  std::string there;
  std::string wanted;
  const auto compare = [&](std::string_view option, const std::string& is,
                           const std::string& want) {
    if (is == want) return;
    if (!there.empty()) there += " and ", wanted += " and ";
    there.append(option).append("=").append(is);
    wanted.append(option).append("=").append(want);
  };
  const ChannelOptions& options = url.options;
  if (options.slots)
    compare("slots", std::to_string(found.capacity), std::to_string(*options.slots));
  if (options.slot_bytes) {
    compare("slot_size", std::to_string(found.slot_bytes), std::to_string(*options.slot_bytes));
  }
  if (options.on_consumer_death) {
    const auto name = [](OnConsumerDeath what) {
      return std::string(what == OnConsumerDeath::kDrop ? "drop" : "redeliver");
    };
    compare("on_consumer_death", name(found.on_consumer_death), name(*options.on_consumer_death));
  }
  if (there.empty()) return {};
  return url.name() + " exists with " + there + ", not " + wanted +
         "; leave the option out, or remove it first (rondo rm " + url.name() + ")";
}

}  // namespace

MpmcParams mpmc_params(const Url& url) noexcept {
  const ChannelOptions& options = url.options;
  MpmcParams params;
  params.capacity = options.slots.value_or(ChannelOptions::kDefaultSlots);
  params.slot_bytes = options.slot_bytes.value_or(ChannelOptions::kDefaultSlotBytes);
  params.participants = mpmc_limits::kMaxParticipants;
  params.on_consumer_death = options.on_consumer_death.value_or(OnConsumerDeath::kRedeliver);
  return params;
}

Result<void> create_mpmc(std::span<std::byte> bytes, const Url& url) {
  return MpmcRing::create(bytes, mpmc_params(url));
}

Result<std::uint64_t> size_of_slots(const Url& url) {
  const MpmcParams params = mpmc_params(url);
  const MessageHeaders headers = wished_headers(url.options);
  if (headers.message_of(params.slot_bytes) == 0) {
    return Error{ErrorCode::kInvalidCapacity,
                 "in a new " + url.name() + " slots would have " +
                     std::to_string(params.slot_bytes) + " bytes, and " +
                     what_takes_room(url.options) +
                     " leaves none of them to the message; say a larger slot_size="};
  }
  const auto layout = MpmcRing::layout_for(params);
  if (!layout) return layout.error();
  return layout->total_bytes;
}

bool slots_are_sized(const ChannelOptions& options) noexcept {
  return options.slots.has_value() || options.slot_bytes.has_value();
}

void inspect_slots(const Segment& segment, const Geometry& geometry, const Url& url,
                   ChannelInfo& info) {
  info.kind = MpmcInfo();
  const auto parts = mpmc_attach(segment.bytes(), geometry, url.name());
  if (parts) describe_mpmc(*parts, info);
}

void describe_mpmc(const MpmcParts& parts, ChannelInfo& info) {
  const MpmcRing ring(parts);
  MpmcInfo own;
  own.slots = parts.capacity;
  info.capacity_bytes = parts.capacity * parts.slot_bytes;
  info.max_message_bytes = parts.slot_bytes;
  info.messages = ring.claimed();
  own.pending_messages = ring.size();
  info.pending_bytes = own.pending_messages * parts.stride;
  const MpmcPresence::Count senders = ring.producing().count();
  const MpmcPresence::Count receivers = ring.consuming().count();
  own.senders_closed = senders.left;
  own.senders_died = senders.died;
  own.receivers_left = receivers.left;
  own.receivers_died = receivers.died;
  for (std::uint32_t i = 0; i < parts.participant_count; ++i) {
    const MpmcParticipantPart& part = parts.participants[i];
    // relaxed, all: statistics.
    const RecoveredBy by{.slot = i,
                         .tombstones = part.tombstones.load(std::memory_order_relaxed),
                         // relaxed: as above.
                         .orphaned = part.orphaned.load(std::memory_order_relaxed),
                         // relaxed: as above.
                         .dropped = part.dropped.load(std::memory_order_relaxed),
                         // relaxed: as above.
                         .redelivered = part.redelivered.load(std::memory_order_relaxed)};
    if (by.anything()) own.recovered.push_back(by);
  }
  info.kind = std::move(own);
}

Result<MpmcMembership> MpmcMembership::take(RingSegment found, const Url& url,
                                            const OpenOptions& options, Role role,
                                            NameKeeper keeper) {
  auto attachment = Attachment<MpmcRing>::to(std::move(found), url.name());
  if (!attachment) return std::move(attachment).error();
  if (std::string what = disagreement(url, attachment->parts()); !what.empty()) {
    return Error{ErrorCode::kGeometryMismatch, std::move(what)};
  }
  MpmcMembership membership(std::move(attachment).value(), std::move(keeper));
  if (auto joined = membership.join(options, role); !joined) return std::move(joined).error();
  return membership;
}

Result<void> MpmcMembership::join(const OpenOptions& options, Role role) {
  const JoinRequest request{
      .slot_count = attachment_.participants().count(), .role = role, .name = options.name};
  // Each slot that has to wait for a live participant costs a pass over all; a hostile one can make
  // all of them such.
  int unrecovered = 0;
  const auto joined = attachment_.join(request, [&](std::uint32_t slot) {
    if (unrecovered == kMostUnrecovered) return false;
    const bool taken = take_over(slot);
    unrecovered += taken ? 0 : 1;
    return taken;
  });
  if (!joined) return joined.error();
  return {};
}

// Called under the membership lock: none joins or leaves in order meanwhile.
bool MpmcMembership::take_over(std::uint32_t slot) noexcept {
  auto recovery = ring_.recovery(slot);
  Participants& participants = attachment_.participants();
  if (recovery.one(slot, participants).pending) return false;
  if (participants.presence(0, participants.count()) != Presence::kAbsent) return true;
  if (recovery.all(participants).pending) return true;
  Position from = 0;
  if (!ring_.given_back(from, ring_.claimed())) return true;
  ring_.producing().reset();
  ring_.consuming().reset();
  return true;
}

std::uint64_t MpmcMembership::pulse() const noexcept {
  return ring_.producing().epoch() + ring_.consuming().epoch();
}

std::uint64_t MpmcMembership::deaths() const noexcept {
  std::uint64_t dead = damaged() ? 1 : 0;
  for (std::uint32_t i = 0; i < ring_.parts().participant_count; ++i) {
    if (!ring_.producing().present(i) && !ring_.consuming().present(i)) continue;
    const Participants& participants = attachment_.participants();
    if (participants.is_dead(i)) dead += death_mark(i, participants.generation(i));
  }
  return dead;
}

void MpmcMembership::recover() noexcept {
  if (!ring_.recovery(slot()).all(attachment_.participants()).anything()) return;
  MpmcNotifier(ring_.sleeping_producers()).ring(mpmc_limits::kMaxParticipants);
  MpmcNotifier(ring_.sleeping_consumers()).ring(mpmc_limits::kMaxParticipants);
}

void MpmcMembership::leave(bool keep, const Participants::NameGoes& orderly_close,
                           const Participants::NameGoes& discards) noexcept {
  keeper_.leave(attachment_, [&](bool last) {
    orderly_close(last);
    return last && !keep && (!anything_unread() || discards(last));
  });
}

// Under the membership lock, when no other is attached: what the dead held is set free, and so
// is unread.
bool MpmcMembership::anything_unread() noexcept {
  if (ring_.recovery(slot()).all(attachment_.participants()).pending) return true;
  Position from = 0;
  return !ring_.given_back(from, ring_.claimed());
}

void MpmcMembership::describe(ChannelInfo& info) const {
  describe_attachment(attachment_, info);
  describe_mpmc(ring_.parts(), info);
}

}  // namespace rondo::inline RONDO_ABI::detail
