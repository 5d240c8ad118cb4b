#include "guarded/connector.hpp"

#include <array>
#include <chrono>
#include <new>
#include <string>
#include <utility>

#include "guarded/acceptor.hpp"
#include "open/header_of.hpp"
#include "rondo/core/instance_id.hpp"
#include "rondo/core/os.hpp"
#include "rondo/core/segment_header.hpp"
#include "rondo/core/user_ids.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

class GuardedReceiverMembership final : public Membership {
 public:
  GuardedReceiverMembership(Segment ring, std::unique_ptr<GuardedPart> part) noexcept
      : ring_(std::move(ring)), part_(std::move(part)) {}

  Presence peer() noexcept override { return part_->lock().presence(kGuardedSenderSlot); }
  std::uint64_t peer_pulse() const noexcept override {
    return part_->lock().presence(kGuardedSenderSlot) == Presence::kAbsent ? 2 : 0;
  }
  std::optional<NativeHandle> closing() const noexcept override { return part_->lock().file(); }
  bool peer_joined() noexcept override { return true; }
  // Sealed: no process can take memory away.
  bool damaged() const noexcept override { return false; }
  // The ring goes with its sender.
  bool at_its_name() const noexcept override {
    return part_->lock().held_by_other(kGuardedSenderSlot);
  }
  void leave(const Participants::NameGoes& name_goes) noexcept override {
    name_goes(false);
    part_->close_in_order();
    part_->lock().drop(kGuardedReceiverSlot);
  }
  void describe(ChannelInfo& info) const override {
    info.memory = ring_.report();
    if (const auto geometry = check_header(ring_.bytes(), RingKind::kRecord, "")) {
      info.instance_id = geometry->instance_id;
    }
  }

 private:
  Segment ring_;
  std::unique_ptr<GuardedPart> part_;
};

Error no_ring(const Url& url) {
  return Error{ErrorCode::kBadMagic,
               url.name() +
                   ": what answers there is no sender of a guarded ring; choose another "
                   "path"};
}

// Why one was not let in.
Result<void> judge(const Url& url, std::uint32_t verdict) {
  switch (static_cast<GuardedVerdict>(verdict)) {
    case GuardedVerdict::kAdmitted: return {};
    case GuardedVerdict::kNotPermitted:
      return Error{
          ErrorCode::kForeignOwner,
          url.name() + " does not let in the user with the id " + std::to_string(effective_user()) +
              "; its sender would have to name it, as in uid=" + std::to_string(effective_user())};
    case GuardedVerdict::kFull:
      return Error{ErrorCode::kBusy,
                   url.name() + " has as many receivers as it takes; end one of them first"};
    case GuardedVerdict::kNoRoom:
      return Error{ErrorCode::kNoDescriptors,
                   url.name() +
                       " has a sender without descriptors, or without memory, for one more "
                       "receiver; raise its `ulimit -n`"};
    case GuardedVerdict::kUnsound: break;
  }
  return Error{ErrorCode::kUnsupported, url.name() +
                                            " did not accept our part of the ring; use "
                                            "one version of Rondo on both sides"};
}

}  // namespace

GuardedPart::GuardedPart(Segment memory, LivenessLock lock) noexcept
    : memory_(std::move(memory)), lock_(std::move(lock)) {}

GuardedPart::~GuardedPart() {
  // A child that was forked takes nothing from its parent.
  if (!lock_.forked()) close_in_order();
}

void GuardedPart::close_in_order() noexcept {
  // relaxed: an orderly close orders nothing, and may repeat that of a receiver that has left.
  consumer().record_waiter.state.fetch_or(BellWaiter::kGone, std::memory_order_relaxed);
}

RecordConsumerPart& GuardedPart::consumer() noexcept {
  return *std::launder(reinterpret_cast<RecordConsumerPart*>(memory_.bytes().data()));
}

Result<GuardedConnector> GuardedConnector::connect(const Url& url, const std::string& name) {
  auto socket = connect_to(url, SocketKind::kMessages);
  if (!socket) return std::move(socket).error();
  return over(std::move(socket).value(), url, name);
}

Result<GuardedConnector> GuardedConnector::over(FdStream socket, const Url& url,
                                                const std::string& name) {
  GuardedConnector connector(url, name, std::move(socket));
  const auto peer = credentials_of(url, connector.socket_.get());
  if (!peer) return peer.error();
  if (!is_allowed(url, *peer)) {
    return Error{ErrorCode::kForeignOwner,
                 url.name() + ": the sender runs as " + describe_user(peer->user) +
                     "; if you trust it, say uid=" + std::to_string(peer->user)};
  }
  return connector;
}

Result<bool> GuardedConnector::step() {
  const auto gone = [&] { return Error{ErrorCode::kNotFound, url_.name() + ": the sender left"}; };
  if (!ring_) {
    GuardedOffer offer;
    std::array<OwnedFd, 1> fd;
    switch (receive_struct(socket_.get(), offer, std::span<OwnedFd>(fd))) {
      case WireResult::kNotNow: return false;
      case WireResult::kDone: break;
      case WireResult::kGone: return gone();
      case WireResult::kBroken:
        // A refusal comes without a ring, another version with what this one can't judge.
        if (offer.verdict == 0 && offer.version == GuardedOffer::kVersion) return no_ring(url_);
        break;
    }
    if (auto taken = take_offer(offer, fd[0]); !taken) return taken.error();
    if (auto answered = answer(offer.start); !answered) return answered.error();
  }
  GuardedJoinReply join_reply;
  switch (receive_struct(socket_.get(), join_reply)) {
    case WireResult::kNotNow: return false;
    case WireResult::kGone: return gone();
    case WireResult::kBroken: return no_ring(url_);
    case WireResult::kDone: break;
  }
  if (join_reply.magic != GuardedOffer::kMagic) return no_ring(url_);
  if (auto judged = judge(url_, join_reply.verdict); !judged) return judged.error();
  if (join_reply.reader >= parts_.readers) return no_ring(url_);
  parts_.reader = join_reply.reader;
  // relaxed: our own, and it is not waited for yet.
  if (parts_.readers > 1) parts_.consumer->state.store(join_reply.state, std::memory_order_relaxed);
  return true;
}

Result<void> GuardedConnector::take_offer(const GuardedOffer& offer, const OwnedFd& ring_fd) {
  if (offer.magic != GuardedOffer::kMagic) return no_ring(url_);
  if (offer.version != GuardedOffer::kVersion) {
    return Error{ErrorCode::kBadVersion, url_.name() + " speaks version " +
                                             std::to_string(offer.version) + ", this program " +
                                             std::to_string(GuardedOffer::kVersion) +
                                             "; use one version of Rondo on both sides"};
  }
  if (auto judged = judge(url_, offer.verdict); !judged) return judged;
  SegmentOptions wishes = url_.options.segment;
  wishes.sole_writer = true;
  auto ring = Segment::attach_fd(ring_fd.get(), wishes, Access::kReadOnly);
  if (!ring) {
    return Error{ring.error().code, url_.name() + ": " + ring.error().message};
  }
  auto geometry = check_header(ring->bytes(), RingKind::kRecord, url_.name());
  if (!geometry) return geometry.error();
  headers_ = take_headers(*geometry);
  if (auto agreed = check_headers(url_, headers_); !agreed) return agreed;
  const auto parts = record_ring::attach(ring->bytes(), *geometry, url_.name());
  if (!parts) return parts.error();
  if (auto agreed = check_requested(url_, *parts); !agreed) return agreed;
  parts_ = *parts;
  ring_.emplace(std::move(ring).value());
  return {};
}

// Makes our part of the ring, and hands it over.
Result<void> GuardedConnector::answer(std::uint64_t start) {
  auto part =
      Segment::create({Backing::kMemfd, {}}, kPartAlignment, {.sole_writer = true},
                      [this, start](std::span<std::byte> bytes) -> Result<void> {
                        auto* consumer = new (bytes.data()) RecordConsumerPart{};
                        // One of several writes its name when it joins them.
                        if (parts_.readers == 1) write_name(*consumer, name_);
                        // relaxed: the socket orders them.
                        consumer->head.store(start, std::memory_order_relaxed);
                        // No sleep of ours is taken for one of a predecessor's.
                        consumer->record_waiter.state.store(
                            static_cast<std::uint32_t>(new_instance_id()) & ~BellWaiter::kFlags,
                            std::memory_order_relaxed);
                        return {};
                      });
  if (!part) return part.error();
  auto lock = LivenessLock::open(*part);
  if (!lock) return lock.error();
  if (!lock->try_hold(kGuardedReceiverSlot)) {
    return Error{ErrorCode::kSystem, url_.name() + ": can't lock our own part"};
  }
  // Descriptions that we don't use ourselves.
  const auto to_read = part->open_description(Access::kReadOnly);
  if (!to_read) return to_read.error();
  const OwnedFd reading(*to_read);
  const auto to_lock = part->open_description(Access::kReadWrite);
  if (!to_lock) return to_lock.error();
  const OwnedFd locking(*to_lock);
  const std::array fds{reading.get(), locking.get()};
  part_ = std::make_unique<GuardedPart>(std::move(part).value(), std::move(lock).value());
  if (send_struct(socket_.get(), GuardedAnswer{}, std::span<const NativeHandle>(fds)) !=
      WireResult::kDone) {
    return Error{ErrorCode::kNotFound, url_.name() + ": the sender left"};
  }
  parts_.consumer = &part_->consumer();
  return {};
}

void GuardedConnector::wait(Deadline deadline) const noexcept {
  const NativeHandle socket = socket_.get();
  wait_readable(std::span(&socket, 1), earlier(deadline, Deadline::after(kWaitSlice)));
}

GuardedConnector::JoinedRing GuardedConnector::join() && {
  return {std::make_unique<GuardedReceiverMembership>(std::move(*ring_), std::move(part_)), parts_};
}

}  // namespace rondo::inline RONDO_ABI::detail
