// shm: and file: a ring in a segment that has a name. Which kind of ring it is, the segment says;
// the URL says which one to make, and may insist.
#include <optional>
#include <string>
#include <utility>

#include "endpoint/broadcast.hpp"
#include "endpoint/record.hpp"
#include "open/kinds.hpp"
#include "open/open.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/segment_header.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

// How often the name may change hands while a sender opens it, before something is wrong.
constexpr int kTries = 1000;
// How often a ring that is taken away again is made before the clock is looked at each time.
constexpr int kTriesAtOnce = 10;

class SegmentSeat final : public Seat {
 public:
  // The peers: slots from `peer_slot` on.
  SegmentSeat(Segment segment, Participants participants, std::uint32_t peer_slot,
              std::uint32_t peers) noexcept
      : segment_(std::move(segment)),
        participants_(std::move(participants)),
        peer_slot_(peer_slot),
        peers_(peers),
        before_(participants_.generation(peer_slot)),
        came_(peer() == Presence::kPresent) {}

  Presence peer() noexcept override { return participants_.presence(peer_slot_, peers_); }
  Presence reader(std::uint32_t i) noexcept override {
    return participants_.presence(record_ring::kConsumerSlot + i, 1);
  }
  bool peer_came() noexcept override {
    came_ = came_ || peer() == Presence::kPresent || peer_came_anew();
    return came_;
  }
  // The table's words, these two, which a peer could have scribbled over: they only tell one end
  // from another, where the kernel has said that the peer is absent.
  std::uint64_t comings() noexcept override { return participants_.generation(peer_slot_); }
  bool peer_came_anew() noexcept override { return comings() != before_; }
  bool peer_left() noexcept override { return participants_.says_left(peer_slot_); }
  void await_records(const RecordParts& reader) noexcept override {
    // relaxed: the sleeper's heavy fence orders it before our last look at the ring.
    reader.producer->awaiting.fetch_or(std::uint64_t{1} << reader.reader,
                                       std::memory_order_relaxed);
  }
  bool damaged() const noexcept override { return segment_.truncated(); }
  bool at_its_name() const noexcept override { return segment_.still_at_its_name(); }
  void leave(const Participants::NameGoes& name_goes) noexcept override {
    participants_.leave(name_goes);
  }
  void describe(ChannelInfo& info) const override {
    info.memory = segment_.report();
    info.participants = participants_.snapshot();
    info.at_its_name = at_its_name();
    const auto geometry = check_header(segment_.bytes(), RingKind::kRecord, "");
    if (geometry) info.instance_id = geometry->instance_id;
  }

 private:
  Segment segment_;
  Participants participants_;  // looks into the segment
  std::uint32_t peer_slot_;
  std::uint32_t peers_;
  std::uint32_t before_;  // times that the peer's slot had been taken when we came
  bool came_;
};

bool is_passing(ErrorCode code) noexcept {
  return code == ErrorCode::kNotFound || code == ErrorCode::kReplaced;
}

// Takes a reader's place: the one that bears its name, else one that nobody wants back, else any.
Result<Joined> join_readers(Participants& participants, const RecordParts& parts,
                            const std::string& name, const JoinRequest& request) {
  const auto take = [&](std::uint32_t i) {
    JoinRequest one = request;
    one.first_slot = record_ring::kConsumerSlot + i;
    return participants.join(one);
  };
  const auto refused = [](const Result<Joined>& joined) {
    return !joined && joined.error().code == ErrorCode::kBusy;
  };
  for (const bool unnamed_only : {true, false}) {
    if (unnamed_only && !name.empty()) {
      for (std::uint32_t i = 0; i < parts.readers; ++i) {
        if (bears_name(parts.consumer_at(i), name)) return take(i);
      }
    }
    for (std::uint32_t i = 0; i < parts.readers; ++i) {
      if (unnamed_only && !bears_name(parts.consumer_at(i), {})) continue;
      auto joined = take(i);
      if (!refused(joined)) return joined;
    }
  }
  return Error{ErrorCode::kNoSlot, "all " + std::to_string(parts.readers) +
                                       " places for receivers are taken; make the ring for more "
                                       "of them, up to readers=" +
                                       std::to_string(kMaxReaders)};
}

struct Found {
  Segment segment;
  RingKind kind;
};

// Maps the ring at the name. Errors: kNotFound and kReplaced when there is no such ring now; all
// others are there to stay.
Result<Found> find(const Url& url) {
  auto segment = Segment::attach(*url.segment(), url.options.segment);
  if (!segment) return std::move(segment).error();
  const auto geometry = check_header(segment->bytes(), kAnyKind, url.name());
  if (!geometry) return geometry.error();
  if (auto agreed = agree_on_kind(url, geometry->kind); !agreed) return std::move(agreed).error();
  return Found{std::move(segment).value(), geometry->kind};
}

Result<SenderParts> open_found_sender(Found found, const Url& url, const OpenOptions& options) {
  return ring_of(found.kind).sender(std::move(found.segment), url, options);
}

Result<ReceiverParts> open_found_receiver(Found found, const Url& url, const OpenOptions& options) {
  if (!channel_kind(found.kind)->counts_senders) {
    if (auto refused = refuse_to_count(url, options); !refused) return std::move(refused).error();
  }
  return ring_of(found.kind).receiver(std::move(found.segment), url, options);
}

struct Seated {
  std::unique_ptr<Seat> seat;
  RecordParts parts;
};

// Takes a seat at a record ring.
Result<Seated> take_seat(Segment segment, const Url& url, const OpenOptions& options, Role role) {
  const auto geometry = check_header(segment.bytes(), RingKind::kRecord, url.name());
  if (!geometry) return geometry.error();
  const auto parts = record_ring::attach(segment.bytes(), url.name());
  if (!parts) return parts.error();
  if (auto wishes = check_wishes(url, *parts); !wishes) return wishes.error();
  auto participants = Participants::open(segment, *geometry);
  if (!participants) return std::move(participants).error();

  const bool sends = role == Role::kProducer;
  const JoinRequest request{
      .first_slot = sends ? record_ring::kProducerSlot : record_ring::kConsumerSlot,
      .role = role,
      .name = options.name};
  const auto joined = sends || parts->readers == 1
                          ? participants->join(request)
                          : join_readers(*participants, *parts, url.options.reader_name, request);
  if (!joined) return joined.error();
  const RecordParts mine =
      sends ? *parts : parts->of_reader(joined->slot - record_ring::kConsumerSlot);
  return Seated{
      std::make_unique<SegmentSeat>(std::move(segment), std::move(participants).value(),
                                    sends ? record_ring::kConsumerSlot : record_ring::kProducerSlot,
                                    sends ? parts->readers : 1),
      mine};
}

RecordParams record_params(const Url& url) noexcept {
  return {url.options.capacity.value_or(ChannelOptions::kDefaultCapacity),
          url.options.readers.value_or(1)};
}

const Kind& wished_kind(const Url& url) noexcept {
  return ring_of(url.options.kind.value_or(kDefaultKind));
}

// The ring that an open has made. It goes again if the open fails, unless somebody else has come.
class Made {
 public:
  Made() = default;
  Made(const Made&) = delete;
  Made& operator=(const Made&) = delete;
  ~Made() { take_back(); }

  // One that has come to be meanwhile is as good, unless the URL wants a new one.
  Result<void> make(const Url& url) {
    take_back();
    const Kind& kind = wished_kind(url);
    const auto size = kind.size(url);
    if (!size) return size.error();
    // Not locked in memory twice: it is when it is attached to.
    SegmentOptions wishes = url.options.segment;
    wishes.lock = false;
    auto segment = Segment::create(*url.segment(), *size, wishes, [&](std::span<std::byte> bytes) {
      return kind.create(bytes, url);
    });
    if (segment) {
      segment_.emplace(std::move(segment).value());
      return {};
    }
    if (segment.error().code != ErrorCode::kAlreadyExists) return std::move(segment).error();
    if (url.options.start != Start::kNew) return {};
    return Error{
        ErrorCode::kAlreadyExists,
        url.name() +
            " is there already, and start=new wants one that is not; start=fresh throws away "
            "what an earlier life left, start=any takes it up"};
  }
  // The open has come to its end.
  void stays() noexcept { segment_.reset(); }

 private:
  void take_back() noexcept {
    if (!segment_) return;
    if (const auto geometry = check_header(segment_->bytes(), kAnyKind, "")) {
      remove_if_nobody_came(*segment_, *geometry);
    }
    segment_.reset();
  }

  std::optional<Segment> segment_;
};

// A receiver makes a ring that it knows the size of, if either side may come first.
bool receiver_creates(const Url& url) noexcept {
  const auto makes = wished_kind(url).receiver_makes;
  return makes != nullptr && makes(url.options);
}

// With start=fresh, throws away what an earlier life left. Errors: kBusy, and Segment::remove()'s.
Result<void> clear_away(const Url& url) {
  if (url.options.start != Start::kFresh) return {};
  auto removed = Segment::remove(*url.segment(), Segment::Remove::kIfUnused);
  if (removed || removed.error().code == ErrorCode::kNotFound) return {};
  if (removed.error().code != ErrorCode::kBusy) return removed;
  return Error{ErrorCode::kBusy, url.name() +
                                     " is in use, so that it can't be made anew (start=fresh); end "
                                     "those who are attached (rondo info " +
                                     url.name() + "), or choose another name"};
}

bool over(const OpenOptions& options) noexcept {
  // relaxed: the flag orders nothing.
  const bool stopped = options.stop != nullptr && options.stop->load(std::memory_order_relaxed);
  return stopped || options.wait.passed();
}

Error nothing_to_join(const Url& url) {
  return Error{ErrorCode::kNotFound,
               "there is no " + url.name() + " to join (start=join); start the other side first"};
}

}  // namespace

Result<std::uint64_t> size_of_record_ring(const Url& url) {
  const auto layout = record_ring::layout_for(record_params(url));
  if (!layout) return layout.error();
  return layout->total_bytes;
}

Result<void> create_record_ring(std::span<std::byte> bytes, const Url& url) {
  return record_ring::create(bytes, record_params(url));
}

Result<SenderParts> open_record_sender(Segment segment, const Url& url,
                                       const OpenOptions& options) {
  auto seated = take_seat(std::move(segment), url, options, Role::kProducer);
  if (!seated) return std::move(seated).error();
  if (seated->parts.readers > 1) {
    return make_readers_sender(std::move(seated->seat), seated->parts, url, options);
  }
  return make_ring_sender(std::move(seated->seat), seated->parts, url, options);
}

Result<ReceiverParts> open_record_receiver(Segment segment, const Url& url,
                                           const OpenOptions& options) {
  auto seated = take_seat(std::move(segment), url, options, Role::kConsumer);
  if (!seated) return std::move(seated).error();
  return make_ring_receiver(std::move(seated->seat), seated->parts, url, options);
}

Result<SenderParts> open_segment_sender(const Url& url, const OpenOptions& options) {
  if (auto cleared = clear_away(url); !cleared) return std::move(cleared).error();
  const Start start = url.options.start;
  bool made = start != Start::kNew;  // or it need not be new
  Made ring;
  for (int tries = 0; tries < kTries; ++tries) {
    if (!std::exchange(made, true)) {
      if (auto created = ring.make(url); !created) return std::move(created).error();
    }
    auto found = find(url);
    auto parts = found ? open_found_sender(std::move(found).value(), url, options)
                       : Result<SenderParts>(std::move(found).error());
    if (parts) ring.stays();
    if (parts || !is_passing(parts.error().code)) return parts;
    if (start == Start::kJoin && parts.error().code == ErrorCode::kNotFound) {
      return nothing_to_join(url);
    }
    if (tries >= kTriesAtOnce && over(options)) break;
    if (auto created = ring.make(url); !created) return std::move(created).error();
  }
  return Error{ErrorCode::kReplaced,
               url.name() + " was removed and made anew again and again while it was opened"};
}

Result<ReceiverParts> open_segment_receiver(const Url& url, const OpenOptions& options) {
  if (url.options.start == Start::kNew) {
    return Error{ErrorCode::kInvalidOption,
                 "start=new is a sender's: it makes the ring; a receiver has start=fresh, which "
                 "throws away what an earlier sender left"};
  }
  // Whoever is attached already is as fresh as can be.
  if (auto cleared = clear_away(url); !cleared && cleared.error().code != ErrorCode::kBusy) {
    return std::move(cleared).error();
  }
  Made ring;
  Retry retry;
  for (int made = 0;;) {
    auto found = find(url);
    auto parts = found ? open_found_receiver(std::move(found).value(), url, options)
                       : Result<ReceiverParts>(std::move(found).error());
    if (parts) ring.stays();
    if (parts || !is_passing(parts.error().code)) return parts;
    if (parts.error().code == ErrorCode::kNotFound && url.options.start == Start::kJoin) {
      return nothing_to_join(url);
    }
    if (parts.error().code == ErrorCode::kNotFound && receiver_creates(url)) {
      if (auto created = ring.make(url); !created) return std::move(created).error();
      // Looked at at once, unless somebody takes it away again and again.
      if (++made <= kTriesAtOnce) continue;
    }
    if (auto paused = retry.pause(options, "a sender for " + url.name()); !paused) {
      return std::move(paused).error();
    }
  }
}

Result<PairParts> open_segment_pair(const Url& url, const OpenOptions& options) {
  auto sender = open_segment_sender(url, options);
  if (!sender) return std::move(sender).error();
  return make_pair(std::move(sender).value(), open_segment_receiver(url, options));
}

}  // namespace rondo::inline RONDO_ABI::detail
