// inproc: a ring between threads of one process, found by its name in a table of the process.
#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "endpoint/broadcast.hpp"
#include "endpoint/frames.hpp"
#include "endpoint/mpmc.hpp"
#include "endpoint/name_keeper.hpp"
#include "endpoint/record.hpp"
#include "open/header_of.hpp"
#include "open/kinds.hpp"
#include "open/open.hpp"
#include "rondo/core/available_memory.hpp"
#include "rondo/core/out_of_memory.hpp"
#include "rondo/transports/local_memory.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr std::size_t kSending = 0;
constexpr std::size_t kReceiving = 1;

// One ring. The table's mutex guards what changes.
struct InprocRing {
  std::string name;  // empty: it can't be found
  // Of more participants than two: the ring, with their table, as shm: has it. Else the three below
  // are in its place, which open faster: no descriptor, no system call.
  std::optional<RingSegment> segment;
  LocalMemory memory;
  RecordParts parts{};
  std::array<bool, 2> attached{};
  std::array<std::uint32_t, 2> joins{};  // how often a side has come
  MessageHeaders headers;                // beside each message

  [[nodiscard]] RingKind kind() const noexcept {
    return segment ? segment->geometry.kind : RingKind::kRecord;
  }
};

class InprocTable {
 public:
  static InprocTable& instance() {
    // Never destroyed: handles may outlive the end of main().
    static auto* table = new InprocTable;
    return *table;
  }

  // Takes the ring away from its name. The caller holds the mutex.
  void forget(const std::shared_ptr<InprocRing>& ring) noexcept {
    const auto entry = rings.find(ring->name);
    if (entry != rings.end() && entry->second == ring) rings.erase(entry);
  }

  std::mutex mutex;
  std::map<std::string, std::shared_ptr<InprocRing>> rings;
};

// The ring that an open has put into the table, if it did. An open in vain, which never joined it
// or has no memory for the handle, takes it away again, unless another one has come meanwhile.
class NewRing {
 public:
  NewRing() noexcept = default;
  NewRing(const NewRing&) = delete;
  NewRing& operator=(const NewRing&) = delete;
  ~NewRing() {
    if (ring_ == nullptr) return;
    InprocTable& table = InprocTable::instance();
    const std::lock_guard lock(table.mutex);
    const std::uint32_t in_vain = SetUp::fails() ? 1 : 0;
    if (ring_->joins[0] + ring_->joins[1] <= in_vain) table.forget(ring_);
  }

  void is(std::shared_ptr<InprocRing> ring) noexcept { ring_ = std::move(ring); }

 private:
  std::shared_ptr<InprocRing> ring_;
};

class InprocMembership final : public Membership {
 public:
  // Takes the side. The caller holds the table's mutex.
  InprocMembership(std::shared_ptr<InprocRing> ring, std::size_t side) noexcept
      : ring_(std::move(ring)), side_(side), before_(ring_->joins[1 - side]) {
    ring_->attached[side] = true;
    ++ring_->joins[side];
  }
  InprocMembership(const InprocMembership&) = delete;
  InprocMembership& operator=(const InprocMembership&) = delete;
  ~InprocMembership() override {
    if (SetUp::fails()) leave([](bool) { return false; });
  }

  Presence peer() noexcept override {
    const std::lock_guard lock(InprocTable::instance().mutex);
    came_ = came_ || ring_->attached[1 - side_];
    return ring_->attached[1 - side_] ? Presence::kPresent : Presence::kAbsent;
  }
  // Who goes here says so.
  std::optional<NativeHandle> closing() const noexcept override { return kNoHandle; }
  bool peer_joined() noexcept override { return peer() == Presence::kPresent || came_; }
  std::uint64_t join_count() noexcept override {
    const std::lock_guard lock(InprocTable::instance().mutex);
    return ring_->joins[1 - side_];
  }
  bool peer_rejoined() noexcept override { return join_count() != before_; }
  bool damaged() const noexcept override { return false; }
  bool at_its_name() const noexcept override { return true; }
  void leave(const Participants::NameGoes& name_goes) noexcept override {
    InprocTable& table = InprocTable::instance();
    const std::lock_guard lock(table.mutex);
    if (std::exchange(left_, true)) return;
    ring_->attached[side_] = false;
    const bool last = !ring_->attached[1 - side_];
    if (name_goes(last) && last) table.forget(ring_);
  }
  void describe(ChannelInfo&) const override {}

 private:
  std::shared_ptr<InprocRing> ring_;
  std::size_t side_;
  std::uint32_t before_;
  bool came_ = false;
  bool left_ = false;
};

// Whose participants have a table in the ring.
Result<void> make_segment(InprocRing& ring, const Kind& kind, std::uint64_t size, const Url& url) {
  auto segment = Segment::create({Backing::kHeap, {}}, size, {}, [&](std::span<std::byte> bytes) {
    return kind.create(bytes, url);
  });
  if (!segment) return std::move(segment).error();
  auto found = RingSegment::of(std::move(segment).value(), url.name());
  if (!found) return std::move(found).error();
  ring.segment = std::move(found).value();
  return {};
}

// Of records, whose two participants are known here.
Result<void> make_records(InprocRing& ring, const Kind& kind, std::uint64_t size, const Url& url) {
  if (auto left = check_available_memory(size, url.name()); !left) return left;
  const auto memory = ring.memory.take_zeroed(size, kPartAlignment);
  if (memory.empty()) {
    return Error{ErrorCode::kNoSpace,
                 "no memory for " + url.name() + " of " + format_size(size) + " bytes"};
  }
  bring_in_pages(memory);
  if (auto made = kind.create(memory, url); !made) return made;
  auto parts = record_ring::attach(memory, url.name());
  if (!parts) return std::move(parts).error();
  ring.parts = *parts;
  return {};
}

Result<std::shared_ptr<InprocRing>> make_ring(const Url& url) {
  const Kind& kind = wished_kind(url);
  const auto size = kind.size(url);
  if (!size) return size.error();
  auto ring = std::make_shared<InprocRing>();
  ring->name = url.target;
  ring->headers = wished_headers(url.options);
  const bool of_two = kind.kind == RingKind::kRecord && url.options.readers.value_or(1) == 1;
  auto made = (of_two ? make_records : make_segment)(*ring, kind, *size, url);
  if (!made) return std::move(made).error();
  return ring;
}

// Takes a membership at a ring of two. The caller holds the table's mutex.
Result<JoinedRecordRing> join_ring_of_two(const std::shared_ptr<InprocRing>& ring, std::size_t side,
                                          const Url& url) {
  if (ring->attached[side]) {
    const bool sends = side == kSending;
    return Error{ErrorCode::kBusy,
                 url.name() + " has a " + (sends ? "sender" : "receiver") +
                     " already, in this process; with kind=mpmc it takes several" +
                     (sends ? "" : ", and with readers=N each of several gets every message")};
  }
  if (auto wishes = check_requested(url, ring->parts); !wishes) return std::move(wishes).error();
  return JoinedRecordRing{std::make_unique<InprocMembership>(ring, side), ring->parts};
}

// The ring of that name. kNotFound if there is none and `create` is false. The caller holds the
// table's mutex.
Result<std::shared_ptr<InprocRing>> find_ring(const Url& url, bool create, NewRing& made) {
  InprocTable& table = InprocTable::instance();
  auto entry = table.rings.find(url.target);
  if (entry == table.rings.end()) {
    if (!create) return Error{ErrorCode::kNotFound, "there is no " + url.name()};
    auto ring = make_ring(url);
    if (!ring) return std::move(ring).error();
    entry = table.rings.emplace(url.target, std::move(ring).value()).first;
    made.is(entry->second);
  }
  if (auto agreed = check_ring_kind(url, entry->second->kind()); !agreed) {
    return std::move(agreed).error();
  }
  if (auto agreed = check_headers(url, entry->second->headers); !agreed) {
    return std::move(agreed).error();
  }
  return entry->second;
}

// A membership in a ring of any kind.
using AnyPlace = std::variant<JoinedRecordRing, MpmcMembership, PoolMembership>;
struct AnyMembership {
  AnyPlace place;
  MessageHeaders headers;
};

template <class Place>
Result<AnyPlace> any_place(Result<Place> place) {
  if (!place) return std::move(place).error();
  return AnyPlace(std::move(place).value());
}

// Takes a membership in a ring that lies in a segment. The caller holds the table's mutex.
Result<AnyPlace> join_segment(const std::shared_ptr<InprocRing>& ring, std::size_t side,
                              const Url& url, const OpenOptions& options) {
  NameKeeper keeper(InprocTable::instance().mutex,
                    [ring] { InprocTable::instance().forget(ring); });
  const Role role = side == kSending ? Role::kProducer : Role::kConsumer;
  const auto joined = [&](auto&& join) {
    auto place = any_place(join(*ring->segment, url, options, role, std::move(keeper)));
    if (place) ++ring->joins[side];
    return place;
  };
  switch (ring->kind()) {
    case RingKind::kMpmc: return joined(MpmcMembership::take);
    case RingKind::kFramePool: return joined(PoolMembership::take);
    default: return joined(join_record_ring);
  }
}

// Takes a membership in `ring`; the caller holds the table's mutex. The handle is made outside of
// it, as a receiver waits there.
Result<AnyMembership> join_any_ring(const std::shared_ptr<InprocRing>& ring, std::size_t side,
                                    const Url& url, const OpenOptions& options) {
  if (side == kReceiving) {
    if (auto has = check_receiver(url, ring->kind(), options); !has) return std::move(has).error();
  }
  auto place = ring->segment ? join_segment(ring, side, url, options)
                             : any_place(join_ring_of_two(ring, side, url));
  if (!place) return std::move(place).error();
  return AnyMembership{std::move(place).value(), ring->headers};
}

Result<AnyMembership> find_and_join(const Url& url, std::size_t side, const OpenOptions& options,
                                    NewRing& made) {
  const std::lock_guard lock(InprocTable::instance().mutex);
  auto ring = find_ring(url, side == kSending || receiver_creates(url), made);
  if (!ring) return std::move(ring).error();
  return join_any_ring(*ring, side, url, options);
}

Result<SenderParts> make_sender(AnyMembership membership, const Url& url,
                                const OpenOptions& options) {
  struct Make {
    const Url& url;
    const OpenOptions& options;
    Result<SenderParts> operator()(JoinedRecordRing& joined) const {
      return make_record_sender(std::move(joined.membership), joined.parts, url, options);
    }
    Result<SenderParts> operator()(MpmcMembership& place) const {
      return make_mpmc_sender(std::move(place), url, options);
    }
    Result<SenderParts> operator()(PoolMembership& place) const {
      return make_pool_sender(std::move(place), url, options);
    }
  };
  return behind_headers(std::visit(Make{url, options}, membership.place), membership.headers);
}

Result<ReceiverParts> make_receiver(AnyMembership membership, const Url& url,
                                    const OpenOptions& options) {
  struct Make {
    const Url& url;
    const OpenOptions& options;
    Result<ReceiverParts> operator()(JoinedRecordRing& joined) const {
      return make_ring_receiver(std::move(joined.membership), joined.parts, url, options);
    }
    Result<ReceiverParts> operator()(MpmcMembership& place) const {
      return make_mpmc_receiver(std::move(place), url, options);
    }
    Result<ReceiverParts> operator()(PoolMembership& place) const {
      return make_pool_receiver(std::move(place), url, options);
    }
  };
  return behind_headers(std::visit(Make{url, options}, membership.place), membership.headers);
}

Error needs_a_name() {
  return Error{ErrorCode::kInvalidName,
               "inproc: needs a name, as in inproc:frames; without one it opens as a pair"};
}

}  // namespace

Result<SenderParts> open_inproc_sender(const Url& url, const OpenOptions& options) {
  if (url.target.empty()) return needs_a_name();
  NewRing made;
  auto membership = find_and_join(url, kSending, options, made);
  if (!membership) return std::move(membership).error();
  return make_sender(std::move(membership).value(), url, options);
}

Result<ReceiverParts> open_inproc_receiver(const Url& url, const OpenOptions& options) {
  if (url.target.empty()) return needs_a_name();
  NewRing made;
  Retry retry;
  for (;;) {
    auto membership = find_and_join(url, kReceiving, options, made);
    if (membership) return make_receiver(std::move(membership).value(), url, options);
    if (membership.error().code != ErrorCode::kNotFound) return std::move(membership).error();
    if (auto paused = retry.pause(options, "a sender for " + url.name()); !paused) {
      return std::move(paused).error();
    }
  }
}

Result<PairParts> open_inproc_pair(const Url& url, const OpenOptions& options) {
  if (!url.target.empty()) {
    auto sender = open_inproc_sender(url, options);
    if (!sender) return std::move(sender).error();
    return make_pair(std::move(sender).value(), [&] { return open_inproc_receiver(url, options); });
  }
  auto ring = make_ring(url);
  if (!ring) return std::move(ring).error();
  auto sending = join_any_ring(*ring, kSending, url, options);
  if (!sending) return std::move(sending).error();
  auto sender = make_sender(std::move(sending).value(), url, options);
  if (!sender) return std::move(sender).error();
  return make_pair(std::move(sender).value(), [&]() -> Result<ReceiverParts> {
    auto receiving = join_any_ring(*ring, kReceiving, url, options);
    if (!receiving) return std::move(receiving).error();
    return make_receiver(std::move(receiving).value(), url, options);
  });
}

}  // namespace rondo::inline RONDO_ABI::detail
