// shm: and file: a record ring in a segment that has a name.
#include <optional>
#include <string>
#include <utility>

#include "open.hpp"
#include "ring_channel.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/segment_header.hpp"

namespace rondo::detail {
namespace {

// How often the name may change hands while a sender opens it, before something is wrong.
constexpr int kTries = 1000;

class SegmentSeat final : public Seat {
 public:
  SegmentSeat(Segment segment, Participants participants, const RecordParts& parts,
              std::uint32_t peer_slot) noexcept
      : segment_(std::move(segment)),
        participants_(std::move(participants)),
        parts_(parts),
        peer_slot_(peer_slot),
        dead_before_(generation_of_dead_peer()) {}

  bool forked() const noexcept override { return participants_.forked(); }
  bool peer_attached() noexcept override { return participants_.any_alive(peer_slot_, 1); }
  bool peer_came() noexcept override {
    came_ = came_ || peer_attached() || generation_of_dead_peer() != dead_before_;
    return came_;
  }
  bool damaged() const noexcept override { return segment_.truncated(); }
  bool at_its_name() const noexcept override { return segment_.still_at_its_name(); }
  void leave(NameAfter name) noexcept override {
    const bool last = participants_.leave(name == NameAfter::kGoes);
    if (!last || name != NameAfter::kGoesIfReceiverLeft) return;
    // relaxed: the membership lock, which both of us took, orders the receiver's farewell before.
    const std::uint32_t state =
        parts_.consumer->record_waiter.state.load(std::memory_order_relaxed);
    if ((state & BellWaiter::kGone) != 0) join_and_leave();
  }
  void describe(ChannelInfo& info) const override {
    info.memory = segment_.report();
    info.participants = participants_.snapshot();
    const auto geometry = check_header(segment_.bytes(), RingKind::kRecord, "");
    if (geometry) info.instance_id = geometry->instance_id;
  }

 private:
  // Takes the name away after all, unless somebody else has come.
  void join_and_leave() noexcept {
    if (auto joined = participants_.join({.first_slot = 1 - peer_slot_}); joined) {
      participants_.leave(true);
    }
  }

  // What the table says of a peer that is dead; none if it is alive or has left. Told to people by
  // the table, and here only used to tell one death from another.
  [[nodiscard]] std::optional<std::uint32_t> generation_of_dead_peer() const noexcept {
    for (const ParticipantInfo& info : participants_.snapshot()) {
      if (info.slot == peer_slot_ && !info.alive) return info.generation;
    }
    return std::nullopt;
  }

  Segment segment_;
  Participants participants_;  // looks into the segment
  RecordParts parts_;
  std::uint32_t peer_slot_;
  std::optional<std::uint32_t> dead_before_;
  bool came_ = false;
};

// How a ring is found or made, up to the taken seat. Empty: look again.
struct Seated {
  std::unique_ptr<Seat> seat;
  RecordParts parts;
};

SegmentName name_of(const Url& url) {
  return {url.scheme == Scheme::kShm ? Backing::kSharedMemory : Backing::kFile, url.target};
}

bool is_passing(ErrorCode code) noexcept {
  return code == ErrorCode::kNotFound || code == ErrorCode::kReplaced;
}

// Maps the ring at the name and takes the seat `slot`. Errors: kNotFound and kReplaced when
// there is no such ring now; all others are there to stay.
Result<Seated> attach(const Url& url, const OpenOptions& options, std::uint32_t slot, Role role) {
  auto segment = Segment::attach(name_of(url), url.options.segment);
  if (!segment) return std::move(segment).error();
  const auto geometry = check_header(segment->bytes(), RingKind::kRecord, url.name());
  if (!geometry) return geometry.error();
  const auto parts = record_ring::attach(segment->bytes(), url.name());
  if (!parts) return parts.error();
  if (url.options.capacity && *url.options.capacity != parts->capacity) {
    return Error{ErrorCode::kGeometryMismatch,
                 url.name() + " exists with capacity=" + format_size(parts->capacity) + ", not " +
                     format_size(*url.options.capacity) +
                     "; leave the option out, or remove it first (rondo rm " + url.name() + ")"};
  }
  auto participants = Participants::open(*segment, *geometry);
  if (!participants) return std::move(participants).error();
  const auto joined = participants->join({.first_slot = slot, .role = role, .name = options.name});
  if (!joined) return joined.error();
  return Seated{std::make_unique<SegmentSeat>(std::move(segment).value(),
                                              std::move(participants).value(), *parts, 1 - slot),
                *parts};
}

Result<void> create(const Url& url) {
  const std::uint64_t capacity = url.options.capacity.value_or(ChannelOptions::kDefaultCapacity);
  const auto layout = record_ring::layout_for({capacity});
  if (!layout) return layout.error();
  const auto fill = [capacity](std::span<std::byte> bytes) {
    return record_ring::create(bytes, {capacity});
  };
  auto segment = Segment::create(name_of(url), layout->total_bytes, url.options.segment, fill);
  if (segment || segment.error().code == ErrorCode::kAlreadyExists) return {};
  return std::move(segment).error();
}

}  // namespace

Result<SenderParts> open_segment_sender(const Url& url, const OpenOptions& options) {
  for (int tries = 0; tries < kTries; ++tries) {
    auto seated = attach(url, options, record_ring::kProducerSlot, Role::kProducer);
    if (seated) {
      return make_ring_sender(std::move(seated->seat), seated->parts, url, options);
    }
    if (!is_passing(seated.error().code)) return std::move(seated).error();
    if (auto created = create(url); !created) return std::move(created).error();
  }
  return Error{ErrorCode::kReplaced,
               url.name() + " was removed and made anew again and again while it was opened"};
}

Result<ReceiverParts> open_segment_receiver(const Url& url, const OpenOptions& options) {
  for (;;) {
    auto seated = attach(url, options, record_ring::kConsumerSlot, Role::kConsumer);
    if (seated) {
      auto parts = make_ring_receiver(std::move(seated->seat), seated->parts, url, options);
      if (parts || parts.error().code != ErrorCode::kReplaced) return parts;
    } else if (!is_passing(seated.error().code)) {
      return std::move(seated).error();
    }
    if (auto paused = pause_before_retry(options, "a sender for " + url.name()); !paused) {
      return std::move(paused).error();
    }
  }
}

}  // namespace rondo::detail
