// shm: and file: a ring in a segment that has a name. Which kind of ring it is, the segment says;
// the URL says which one to make, and may insist.
#include <chrono>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "endpoint/absence.hpp"
#include "endpoint/broadcast.hpp"
#include "endpoint/record.hpp"
#include "open/header_of.hpp"
#include "open/kinds.hpp"
#include "open/open.hpp"
#include "rondo/core/attachment.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/segment_header.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

// How often the name may change hands while a sender opens it, before something is wrong.
constexpr int kTries = 1000;
// How often a ring that is taken away again is made before the clock is looked at each time.
constexpr int kTriesAtOnce = 10;
constexpr std::chrono::milliseconds kPauseBetweenTries{1};

class SegmentMembership final : public Membership {
 public:
  // The peers: slots from `peer_slot` on.
  SegmentMembership(Attachment<record_ring> ring, std::uint32_t peer_slot, std::uint32_t peers,
                    NameKeeper keeper) noexcept
      : ring_(std::move(ring)),
        keeper_(std::move(keeper)),
        peer_slot_(peer_slot),
        peers_(peers),
        before_(ring_.participants().generation(peer_slot)),
        came_(peer() == Presence::kPresent) {}

  Presence peer() noexcept override { return ring_.participants().presence(peer_slot_, peers_); }
  Presence reader(std::uint32_t i) noexcept override {
    return ring_.participants().presence(record_ring::kConsumerSlot + i, 1);
  }
  std::uint64_t reader_joins(std::uint32_t i) noexcept override {
    return ring_.participants().generation(record_ring::kConsumerSlot + i);
  }
  std::uint64_t peer_pulse() const noexcept override {
    const bool absent = ring_.participants().presence(peer_slot_, peers_) == Presence::kAbsent;
    return absent ? death_mark(0, ring_.participants().generation(peer_slot_)) : 0;
  }
  std::optional<NativeHandle> closing() const noexcept override {
    return ring_.participants().lock_file();
  }
  bool peer_joined() noexcept override {
    came_ = came_ || peer() == Presence::kPresent || peer_rejoined();
    return came_;
  }
  // The table's words, these two, which a peer could have scribbled over: they only tell one end
  // from another, where the kernel has said that the peer is absent.
  std::uint64_t join_count() noexcept override {
    return ring_.participants().generation(peer_slot_);
  }
  bool peer_rejoined() noexcept override { return join_count() != before_; }
  bool peer_left() noexcept override { return ring_.participants().says_left(peer_slot_); }
  void await_records(const RecordParts& reader) noexcept override {
    // relaxed: the waiter's heavy fence orders it before our last look at the ring.
    reader.producer->awaiting.fetch_or(std::uint64_t{1} << reader.reader,
                                       std::memory_order_relaxed);
  }
  bool damaged() const noexcept override { return ring_.damaged(); }
  bool at_its_name() const noexcept override { return ring_.at_its_name(); }
  void leave(const Participants::NameGoes& name_goes) noexcept override {
    keeper_.leave(ring_, name_goes);
  }
  void describe(ChannelInfo& info) const override { describe_attachment(ring_, info); }

 private:
  Attachment<record_ring> ring_;
  NameKeeper keeper_;
  std::uint32_t peer_slot_;
  std::uint32_t peers_;
  std::uint32_t before_;  // times that the peer's slot had been taken when we came
  bool came_;
};

// Takes a reader's place: the one that bears its name, else one that no reader wants back, else
// any.
Result<Joined> join_readers(Attachment<record_ring>& ring, const std::string& name,
                            const JoinRequest& request) {
  const RecordParts& parts = ring.parts();
  const auto take = [&](std::uint32_t i) {
    JoinRequest one = request;
    one.first_slot = record_ring::kConsumerSlot + i;
    return ring.join(one);
  };
  const auto refused = [](const Result<Joined>& joined) {
    return !joined && joined.error().code == ErrorCode::kBusy;
  };
  for (const bool unnamed_only : {true, false}) {
    if (unnamed_only && !name.empty()) {
      for (std::uint32_t i = 0; i < parts.readers; ++i) {
        if (has_name(parts.consumer_at(i), name)) return take(i);
      }
    }
    for (std::uint32_t i = 0; i < parts.readers; ++i) {
      if (unnamed_only && !has_name(parts.consumer_at(i), {})) continue;
      auto joined = take(i);
      if (!refused(joined)) return joined;
    }
  }
  return Error{ErrorCode::kNoSlot, "all " + std::to_string(parts.readers) +
                                       " places for receivers are taken; make the ring for more "
                                       "of them, up to readers=" +
                                       std::to_string(kMaxReaders)};
}

Result<SenderParts> join_as_sender(RingSegment found, const Url& url, const OpenOptions& options) {
  const RingKind kind = found.geometry.kind;
  if (auto agreed = check_ring_kind(url, kind); !agreed) return std::move(agreed).error();
  const MessageHeaders headers = take_headers(found.geometry);
  if (auto agreed = check_headers(url, headers); !agreed) return std::move(agreed).error();
  return behind_headers(ring_of(kind).sender(std::move(found), url, options), headers);
}

Result<ReceiverParts> join_as_receiver(RingSegment found, const Url& url,
                                       const OpenOptions& options) {
  const RingKind kind = found.geometry.kind;
  if (auto agreed = check_ring_kind(url, kind); !agreed) return std::move(agreed).error();
  if (auto has = check_receiver(url, kind, options); !has) return std::move(has).error();
  const MessageHeaders headers = take_headers(found.geometry);
  if (auto agreed = check_headers(url, headers); !agreed) return std::move(agreed).error();
  return behind_headers(ring_of(kind).receiver(std::move(found), url, options), headers);
}

RecordParams record_params(const Url& url) noexcept {
  return {url.options.capacity.value_or(ChannelOptions::kDefaultCapacity),
          url.options.readers.value_or(1)};
}

RingPlace place_of(const Url& url) { return {*url.segment(), url.options.segment}; }

// One that has come to be meanwhile is as good, unless the URL wants a new one.
Result<void> make(MadeRing& ring, const Url& url) {
  const Kind& kind = wished_kind(url);
  const auto size = kind.size(url);
  if (!size) return size.error();
  auto made = ring.make(place_of(url), *size, [&](std::span<std::byte> bytes) -> Result<void> {
    auto created = kind.create(bytes, url);
    if (created) write_headers(bytes, url);
    return created;
  });
  if (made || made.error().code != ErrorCode::kAlreadyExists) return made;
  if (url.options.start != Start::kNew) return {};
  return Error{ErrorCode::kAlreadyExists,
               url.name() +
                   " is there already, and start=new wants one that is not; start=fresh throws "
                   "away what an earlier life left, start=any takes it up"};
}

// Opens the ring at the URL's name: `join` makes an end of it, `again` is as open_ring() has it.
template <class Parts, class Join>
Result<Parts> open_named(MadeRing& made, const Url& url, Join&& join, const LookAgain& again) {
  std::optional<Parts> parts;
  const auto take = [&](RingSegment found) -> Result<void> {
    Result<Parts> joined = join(std::move(found));
    if (!joined) return std::move(joined).error();
    parts.emplace(std::move(joined).value());
    return {};
  };
  if (auto opened = open_ring(place_of(url), made, take, again); !opened) {
    return std::move(opened).error();
  }
  return std::move(*parts);
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

Result<JoinedRecordRing> join_record_ring(RingSegment found, const Url& url,
                                          const OpenOptions& options, Role role,
                                          NameKeeper keeper) {
  auto ring = Attachment<record_ring>::to(std::move(found), url.name());
  if (!ring) return std::move(ring).error();
  const RecordParts parts = ring->parts();
  if (auto wishes = check_requested(url, parts); !wishes) return wishes.error();

  const bool sends = role == Role::kProducer;
  const JoinRequest request{
      .first_slot = sends ? record_ring::kProducerSlot : record_ring::kConsumerSlot,
      .role = role,
      .name = options.name};
  const auto joined = sends || parts.readers == 1
                          ? ring->join(request)
                          : join_readers(*ring, url.options.reader_name, request);
  if (!joined) return joined.error();
  return JoinedRecordRing{
      std::make_unique<SegmentMembership>(
          std::move(ring).value(), sends ? record_ring::kConsumerSlot : record_ring::kProducerSlot,
          sends ? parts.readers : 1, std::move(keeper)),
      sends ? parts : parts.of_reader(joined->slot - record_ring::kConsumerSlot)};
}

Result<SenderParts> open_record_sender(RingSegment found, const Url& url,
                                       const OpenOptions& options) {
  auto joined_ring = join_record_ring(std::move(found), url, options, Role::kProducer);
  if (!joined_ring) return std::move(joined_ring).error();
  return make_record_sender(std::move(joined_ring->membership), joined_ring->parts, url, options);
}

Result<ReceiverParts> open_record_receiver(RingSegment found, const Url& url,
                                           const OpenOptions& options) {
  auto joined_ring = join_record_ring(std::move(found), url, options, Role::kConsumer);
  if (!joined_ring) return std::move(joined_ring).error();
  return make_ring_receiver(std::move(joined_ring->membership), joined_ring->parts, url, options);
}

Result<SenderParts> open_segment_sender(const Url& url, const OpenOptions& options) {
  if (auto cleared = clear_away(url); !cleared) return std::move(cleared).error();
  MadeRing made;
  if (url.options.start == Start::kNew) {
    if (auto created = make(made, url); !created) return std::move(created).error();
  }
  int tries = 0;
  return open_named<SenderParts>(
      made, url, [&](RingSegment found) { return join_as_sender(std::move(found), url, options); },
      [&](MadeRing& ring, ErrorCode why) -> Result<void> {
        const bool none = why == ErrorCode::kNotFound;
        if (none && url.options.start == Start::kJoin) return nothing_to_join(url);
        ++tries;
        if (tries == kTries || (tries > kTriesAtOnce && over(options))) {
          return Error{
              ErrorCode::kReplaced,
              url.name() +
                  " was removed and made anew again and again, or is being made by a process that "
                  "does not finish, while it was opened"};
        }
        // One that is being made in a System V segment gets its permissions last: in a moment.
        if (!none && tries > kTriesAtOnce) std::this_thread::sleep_for(kPauseBetweenTries);
        // A new one that was taken away is not to be found anew, but made anew.
        return none || url.options.start == Start::kNew ? make(ring, url) : Result<void>();
      });
}

Result<ReceiverParts> open_segment_receiver(const Url& url, const OpenOptions& options) {
  if (url.options.start == Start::kNew) {
    return Error{ErrorCode::kInvalidOption,
                 "start=new is a sender's: it makes the ring; a receiver has start=fresh, which "
                 "throws away what an earlier sender left"};
  }
  // A ring with participants is as fresh as can be.
  if (auto cleared = clear_away(url); !cleared && cleared.error().code != ErrorCode::kBusy) {
    return std::move(cleared).error();
  }
  MadeRing made;
  Retry retry;
  int tries = 0;
  return open_named<ReceiverParts>(
      made, url,
      [&](RingSegment found) { return join_as_receiver(std::move(found), url, options); },
      [&](MadeRing& ring, ErrorCode why) -> Result<void> {
        const bool none = why == ErrorCode::kNotFound;
        if (none && url.options.start == Start::kJoin) return nothing_to_join(url);
        if (none && receiver_creates(url)) {
          if (auto created = make(ring, url); !created) return created;
          // Looked at at once, unless it is taken away again and again.
          if (++tries <= kTriesAtOnce) return {};
        }
        return retry.pause(options, "a sender for " + url.name());
      });
}

Result<PairParts> open_segment_pair(const Url& url, const OpenOptions& options) {
  auto sender = open_segment_sender(url, options);
  if (!sender) return std::move(sender).error();
  return make_pair(std::move(sender).value(), [&] { return open_segment_receiver(url, options); });
}

}  // namespace rondo::inline RONDO_ABI::detail
