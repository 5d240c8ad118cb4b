#include "guarded/acceptor.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <new>
#include <string>
#include <utility>

#include "endpoint/broadcast.hpp"
#include "open/header_of.hpp"
#include "open/name.hpp"
#include "rondo/core/os.hpp"
#include "rondo/core/out_of_memory.hpp"
#include "rondo/core/segment_header.hpp"
#include "rondo/core/unix_time.hpp"
#include "rondo/core/user_ids.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr int kBacklog = 64;
// So many may be on their way in at once, each for so long: one that says nothing keeps no other
// out.
constexpr std::size_t kMaxHandshakes = 16;
constexpr std::chrono::seconds kHandshakeTimeout{2};

bool same_file(NativeHandle one, NativeHandle other) noexcept {
  FileStatus a;
  FileStatus b;
  return status_of(one, a) == 0 && status_of(other, b) == 0 && identity_of(a) == identity_of(b);
}

// Whether there are descriptors for what a pending peer hands over, and to map it. Asked before it
// does: what can't be taken out of its queue would keep the connection open.
bool room_for_answer(NativeHandle any) noexcept {
  std::array<OwnedFd, 3> taken;
  return std::ranges::all_of(taken, [any](OwnedFd& one) {
    one = duplicate(any);
    return static_cast<bool>(one);
  });
}

}  // namespace

Result<std::unique_ptr<GuardedAcceptor>> GuardedAcceptor::open(const Url& url,
                                                               const OpenOptions& options) {
  // The name first: if it is taken, there is no need for memory.
  auto listener = listen_at(url, options, SocketKind::kMessages, kBacklog, "a sender");
  if (!listener) return std::move(listener).error();
  PendingCleanup name(std::move(listener->cleanup));
  auto acceptor = make(url, options, std::move(listener).value());
  if (acceptor) (*acceptor)->listener_.cleanup = name.take();
  return acceptor;
}

Result<std::unique_ptr<GuardedAcceptor>> GuardedAcceptor::over(UntrustedSocket socket,
                                                               const Url& url,
                                                               const OpenOptions& options) {
  auto acceptor = make(url, options, {FdStream({}, FdStream::Direction::kRead), nullptr, {}});
  if (acceptor) (*acceptor)->begin_handshake(std::move(socket));
  return acceptor;
}

Result<std::unique_ptr<GuardedAcceptor>> GuardedAcceptor::make(const Url& url,
                                                               const OpenOptions& options,
                                                               ListeningSocket listener) {
  if (system_page_bytes() != kPartAlignment) {
    return Error{ErrorCode::kUnsupported, url.name() + ": guarded rings need pages of " +
                                              std::to_string(kPartAlignment) +
                                              " bytes; use shm:NAME on this machine"};
  }
  const RecordParams params{url.options.capacity.value_or(ChannelOptions::kDefaultCapacity),
                            url.options.readers.value_or(1)};
  const auto layout = record_ring::layout_for(params);
  if (!layout) return layout.error();
  SegmentOptions wishes = url.options.segment;
  // the socket's mode says which users may come in; what it hands over is open already
  wishes.mode = 0600;
  wishes.sole_writer = true;
  auto ring = Segment::create(
      {Backing::kMemfd, {}}, layout->total_bytes, wishes,
      [&](std::span<std::byte> bytes) { return record_ring::create(bytes, params); });
  if (!ring) return std::move(ring).error();
  const auto parts = record_ring::attach(ring->bytes(), url.name());
  if (!parts) return parts.error();
  write_headers(ring->bytes(), url);
  const auto fd = ring->open_description(Access::kReadOnly);
  if (!fd) return fd.error();
  OwnedFd ring_fd(*fd);
  return std::unique_ptr<GuardedAcceptor>(new GuardedAcceptor(
      url, options.name, std::move(ring).value(), *parts, std::move(ring_fd), std::move(listener)));
}

GuardedAcceptor::~GuardedAcceptor() {
  if (SetUp::fails() && listener_.cleanup != nullptr) close();
}

GuardedAcceptor::GuardedAcceptor(const Url& url, std::string name, Segment ring,
                                 const RecordParts& parts, OwnedFd ring_fd,
                                 ListeningSocket listener)
    : url_(url),
      name_(name.empty() ? std::string(program_name()) : std::move(name)),
      ring_(std::move(ring)),
      parts_(parts),
      ring_fd_(std::move(ring_fd)),
      listener_(std::move(listener)),
      lets_others_in_(listener_.socket.is_open()) {
  ring_fd_.remember();
  handshakes_.reserve(kMaxHandshakes);
  attached_.resize(parts_.readers);
}

Presence GuardedAcceptor::presence(std::uint32_t reader) const noexcept {
  const Attached& attached = attached_[reader];
  return attached.lock ? attached.lock->presence(kGuardedReceiverSlot) : Presence::kAbsent;
}

std::optional<std::uint32_t> GuardedAcceptor::free_reader() const noexcept {
  for (std::uint32_t i = 0; i < attached_.size(); ++i) {
    if (presence(i) == Presence::kAbsent) return i;
  }
  return std::nullopt;
}

Presence GuardedAcceptor::presence() const noexcept {
  Presence all = Presence::kAbsent;
  for (std::uint32_t i = 0; i < attached_.size(); ++i) {
    const Presence one = presence(i);
    if (one == Presence::kPresent) return one;
    if (one == Presence::kUnknown) all = one;
  }
  return all;
}

// Where the next receiver begins: what its predecessor had not given back comes again. Of several
// readers each finds its own start.
std::uint64_t GuardedAcceptor::start() const noexcept {
  if (parts_.readers > 1) return 0;
  // relaxed: its writer is dead, and if it is nonsense, the next receiver will find that.
  return parts_.consumer->head.load(std::memory_order_relaxed);
}

void GuardedAcceptor::service() noexcept {
  if (listener_.socket.is_open()) accept_those_who_came();
  std::erase_if(handshakes_, [&](PendingHandshake& handshake) { return advance(handshake); });
}

void GuardedAcceptor::accept_those_who_came() noexcept {
  // Not more in one call: those that are turned away can come again faster than that takes.
  for (std::size_t i = 0; i < kMaxHandshakes && handshakes_.size() < kMaxHandshakes; ++i) {
    accept_failed_ = !can_leak();
    if (accept_failed_) break;
    OwnedFd handshake = accept_from(listener_.socket.fd());
    if (!handshake) {
      accept_failed_ = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
      break;
    }
    try {
      begin_handshake(UntrustedSocket(std::move(handshake)));
    } catch (const std::bad_alloc&) {  // it finds its connection closed
    }
  }
}

// Looks at the peer's credentials, and offers the ring.
void GuardedAcceptor::begin_handshake(UntrustedSocket socket) {
  const auto credentials = credentials_of(url_, socket.get());
  if (!credentials) return;
  GuardedOffer offer;
  offer.start = start();
  auto verdict = GuardedVerdict::kAdmitted;
  if (!is_allowed(url_, *credentials)) {
    verdict = GuardedVerdict::kNotPermitted;
  } else if (!free_reader()) {
    verdict = GuardedVerdict::kFull;
  } else if (!room_for_answer(socket.get())) {
    verdict = GuardedVerdict::kNoRoom;
    out_of_descriptors_ = true;
  }
  offer.verdict = static_cast<std::uint32_t>(verdict);
  const NativeHandle ring_fd = ring_fd_.get();
  const bool admitted = verdict == GuardedVerdict::kAdmitted;
  if (admitted) set_pass_descriptors(socket.get(), true);
  const auto fds = admitted ? std::span(&ring_fd, 1) : std::span<const NativeHandle>();
  if (send_struct(socket.get(), offer, fds) != WireResult::kDone || !admitted) return;
  handshakes_.push_back(
      {std::move(socket), *credentials, Deadline::after(kHandshakeTimeout), offer.start});
}

// True when the pending peer is in, or gone.
bool GuardedAcceptor::advance(PendingHandshake& handshake) noexcept {
  GuardedAnswer answer;
  std::array<OwnedFd, 2> fds;
  switch (receive_struct(handshake.socket.get(), answer, std::span<OwnedFd>(fds), kPartAlignment)) {
    case WireResult::kNotNow: return handshake.deadline.passed();
    case WireResult::kGone: return true;
    case WireResult::kBroken: answer.magic = 0; break;
    case WireResult::kDone: break;
  }
  GuardedJoinReply join_reply;
  join_reply.verdict = static_cast<std::uint32_t>(GuardedVerdict::kUnsound);
  if (answer.magic == GuardedOffer::kMagic && answer.version == GuardedOffer::kVersion) {
    try {
      const auto judged = admit(handshake, std::move(fds[0]), std::move(fds[1]));
      if (!judged) return true;
      join_reply = *judged;
    } catch (const std::bad_alloc&) {
      join_reply.verdict = static_cast<std::uint32_t>(GuardedVerdict::kNoRoom);
    }
  }
  // Should it not arrive, the receiver is gone, and will be found dead.
  static_cast<void>(send_struct(handshake.socket.get(), join_reply));
  return true;
}

// Maps the receiver's part in place of its predecessor's, once it is proved harmless. Empty if
// another one has been in and out since the offer, so that it begins at the wrong place: it finds
// the acceptor shut, and connects again.
std::optional<GuardedJoinReply> GuardedAcceptor::admit(const PendingHandshake& handshake,
                                                       OwnedFd part, OwnedFd lock) {
  const auto refuse = [](GuardedVerdict why) {
    return GuardedJoinReply{.verdict = static_cast<std::uint32_t>(why)};
  };
  const auto reader = free_reader();
  if (!reader) return refuse(GuardedVerdict::kFull);
  // Mapped from a description of its own: a mapping keeps the locks of its description alive, also
  // in a child that was forked.
  const auto mapped = Segment::attach_fd(
      part.get(), {.sole_writer = true, .file_bytes = kPartAlignment}, Access::kReadOnly);
  if (!mapped || !same_file(part.get(), lock.get())) {
    return refuse(GuardedVerdict::kUnsound);
  }
  const auto* consumer = reinterpret_cast<const RecordConsumerPart*>(mapped->bytes().data());
  // relaxed: the socket orders the receiver's stores before. A head that is changed later on reads
  // as that of any hostile receiver.
  if (consumer->head.load(std::memory_order_relaxed) != handshake.start) {
    return refuse(GuardedVerdict::kUnsound);
  }
  if (handshake.start != start()) return std::nullopt;
  LivenessLock liveness = LivenessLock::adopt(lock.release());
  if (!liveness.try_hold(kGuardedSenderSlot) || !liveness.held_by_other(kGuardedReceiverSlot)) {
    return refuse(GuardedVerdict::kUnsound);
  }
  const auto* attached = reinterpret_cast<std::byte*>(&parts_.consumer_at(*reader));
  const auto offset = static_cast<std::size_t>(attached - ring_.bytes().data());
  if (!ring_.overlay(offset, *mapped)) return refuse(GuardedVerdict::kUnsound);
  // relaxed: ours alone; what it says is for our own next publish.
  parts_.producer->awaiting.fetch_or(std::uint64_t{1} << *reader, std::memory_order_relaxed);
  ++admissions_;
  out_of_descriptors_ = false;
  attached_[*reader] = {std::move(liveness), handshake.credentials, unix_nanoseconds(),
                        admissions_};
  return GuardedJoinReply{
      .reader = *reader,
      .state = admissions_ << 32 | static_cast<std::uint64_t>(ReaderPolicy::kDetached)};
}

void GuardedAcceptor::wait(Deadline deadline) noexcept {
  static_assert(1 + kMaxHandshakes <= kMaxWaitedFor);
  std::array<NativeHandle, 1 + kMaxHandshakes> sockets{};
  std::size_t count = 0;
  // One that connects and can't be let in now would end each wait at once: it is looked at again
  // after it.
  sockets[count++] = accept_failed_ ? kNoHandle : listener_.socket.fd();
  for (const PendingHandshake& handshake : handshakes_) sockets[count++] = handshake.socket.get();
  wait_readable(std::span(sockets).first(count), earlier(deadline, Deadline::after(kWaitSlice)));
  service();
}

void GuardedAcceptor::close() noexcept {
  if (listener_.cleanup != nullptr && listener_.socket.is_open()) listener_.cleanup->run();
  listener_.close();
  handshakes_.clear();
  for (Attached& attached : attached_) attached.lock.reset();
}

// Without one, it leads nowhere else.
bool GuardedAcceptor::at_its_name() const noexcept {
  return !lets_others_in_ || listener_.at_its_name();
}

std::optional<NativeHandle> GuardedAcceptor::closing() const noexcept {
  if (lets_others_in_ || !attached_.front().lock) return std::nullopt;
  return attached_.front().lock->file();
}

void GuardedAcceptor::describe(ChannelInfo& info) const {
  info.memory = ring_.report();
  info.at_its_name = at_its_name();
  if (out_of_descriptors_ || (accept_failed_ && can_leak())) {
    info.accept_error = "no descriptors are left to let a receiver in; raise `ulimit -n`";
  }
  if (const auto geometry = check_header(ring_.bytes(), RingKind::kRecord, "")) {
    info.instance_id = geometry->instance_id;
  }
  ParticipantInfo self;
  self.slot = record_ring::kProducerSlot;
  self.alive = true;
  self.pid = process_id();
  self.role = Role::kProducer;
  self.name = name_;
  info.participants.push_back(std::move(self));
  for (std::uint32_t i = 0; i < attached_.size(); ++i) {
    const Attached& attached = attached_[i];
    if (!attached.lock) continue;
    ParticipantInfo receiver;
    receiver.slot = record_ring::kConsumerSlot + i;
    receiver.alive = presence(i) != Presence::kAbsent;
    receiver.pid = attached.credentials.process;
    receiver.role = Role::kConsumer;
    receiver.name = reader_name(parts_.consumer_at(i));
    receiver.generation = static_cast<std::uint32_t>(attached.admission);
    receiver.attached_unix_ns = attached.since_unix_ns;
    info.participants.push_back(std::move(receiver));
  }
}

}  // namespace rondo::inline RONDO_ABI::detail
