// auto: a connection of TCP that becomes a ring in shared memory where both ends are on one machine
// and let each other in. What they say over it, once they have met (handshake.hpp):
//
//   sender                                         receiver
//   ------------------------------------------     ------------------------------------------
//   listens at an abstract name that it draws
//   Invitation: that name, and a token        ->   connects to the name, looks at the credentials
//   looks at the credentials and the token    <-   by that socket: the token
//   lets it into a ring (guarded/wire.hpp)    <->
//                                             <-   Choice: the ring, the connection, or neither
//   if it is the ring: kAgreed                ->
//
// On another machine, or in another network namespace, no process listens at the name. Who learns
// it from the system's list of sockets has not the token, which went through the connection alone.
// Whatever goes wrong on the way to the ring, the connection serves: it is the receiver who says
// which of the two it is, and nothing of either is used before. The side that listens does all that
// with several at once, and is open to more, until it is settled with one.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "guarded/channel.hpp"
#include "open/addresses.hpp"
#include "open/listening_socket.hpp"
#include "open/meeting.hpp"
#include "open/open.hpp"
#include "open/reception.hpp"
#include "open/sockets.hpp"
#include "open/untrusted_descriptors.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

// How long the other side is waited for in all; and how long a receiver tries to get into the ring.
constexpr std::chrono::seconds kSettlingTimeout{5};
constexpr std::chrono::seconds kJoinTimeout{2};
// So many may come to the abstract name at once, the receiver among them; of more, the one that
// came first goes.
constexpr std::size_t kMaxGuests = 8;
// The same of those with whom it is to be settled which of the two it is.
constexpr std::size_t kMaxSides = 8;
constexpr std::size_t kGuestBacklog = 64;
// Between two looks at sockets that are not waited for: those of guests, and of a ring's acceptor.
constexpr std::chrono::milliseconds kJoinSlice{1};

using SharedSecret = std::array<std::uint32_t, 4>;

// Throws what std::random_device does.
SharedSecret draw_secret() {
  std::random_device random;
  SharedSecret secret{};
  std::ranges::generate(secret, [&] { return random(); });
  return secret;
}

//   offset  size  field    meaning
//        0     8  magic    kMagic
//        8    16  name     of the abstract socket, as rendezvous() spells it; zero: there is none
//       24    16  token
struct Invitation {
  static constexpr std::uint64_t kMagic = 0x4F54'5541'444E'4F52;  // "RONDAUTO" in memory

  std::uint64_t magic = kMagic;
  SharedSecret name{};
  SharedSecret token{};
};
static_assert(sizeof(Invitation) == 40 && std::is_trivially_copyable_v<Invitation>);

enum class Choice : std::uint8_t {
  kRing = 0x52,
  kConnection = 0x53,
  kNeither = 0x55  // the receiver has other headers than the ring
};
constexpr auto kAgreed = std::byte{0x54};

SocketAddress rendezvous(const SharedSecret& name) {
  std::string text = "rondo-auto-";
  for (const std::uint32_t part : name) {
    for (int shift = 28; shift >= 0; shift -= 4) text += "0123456789abcdef"[part >> shift & 15u];
  }
  return abstract_address(text);
}

// Whether something has come, was not there yet, or never will.
enum class Heard : std::uint8_t { kAll, kNotYet, kGone };

// Reads up to the size of `into`, of which `heard` bytes have come.
Heard hear(NativeHandle socket, std::span<std::byte> into, std::size_t& heard) noexcept {
  while (heard < into.size()) {
    const std::ptrdiff_t came = receive_now(socket, into.subspan(heard));
    if (came < 0 && (errno == EAGAIN || errno == EINTR)) return Heard::kNotYet;
    if (came <= 0) return Heard::kGone;
    heard += static_cast<std::size_t>(came);
  }
  return Heard::kAll;
}

enum class Settled : std::uint8_t {
  kNotYet,
  kRing,
  kConnection,
  kGone  // the other side is, or it is none of ours
};

using SocketsOfSide = std::array<NativeHandle, 2>;

// --- The sender's side ---------------------------------------------------------------------------

class RingHost {
 public:
  RingHost(Meeting met, const OpenOptions& options)
      : met_(std::move(met)),
        options_(options),
        listener_{FdStream({}, FdStream::Direction::kRead), nullptr, {}} {
    guests_.reserve(kMaxGuests);
    Invitation invitation;
    if (listen()) {
      invitation.name = name_;
      invitation.token = token_;
    }
    invited_ = send_now(met_.socket.get(), std::as_bytes(std::span(&invitation, 1)));
  }
  RingHost(RingHost&&) = delete;
  ~RingHost() { listener_.close(); }

  // Does what can be done now. Errors: kGeometryMismatch (the receiver has other headers).
  Result<Settled> step() {
    if (!invited_) return Settled::kGone;
    if (acceptor_ == nullptr) look_for_guest();
    if (acceptor_ != nullptr) acceptor_->service();
    Choice choice{};
    std::size_t heard = 0;
    switch (hear(met_.socket.get(), std::as_writable_bytes(std::span(&choice, 1)), heard)) {
      case Heard::kNotYet: return Settled::kNotYet;
      case Heard::kGone: return Settled::kGone;
      case Heard::kAll: break;
    }
    if (choice == Choice::kConnection) return Settled::kConnection;
    // Of one that has come for the ring; others can say anything.
    if (choice == Choice::kNeither && acceptor_ != nullptr) return other_headers();
    const bool inside = acceptor_ != nullptr && acceptor_->admissions() == 1 &&
                        acceptor_->presence() == Presence::kPresent;
    if (choice != Choice::kRing || !inside) return Settled::kGone;
    return send_now(met_.socket.get(), std::span(&kAgreed, 1)) ? Settled::kRing : Settled::kGone;
  }
  // Which sockets tell that there is something to do; and by when it is to be looked for anyway.
  [[nodiscard]] SocketsOfSide sockets() const noexcept {
    return {met_.socket.get(), acceptor_ == nullptr ? listener_.socket.fd() : kNoHandle};
  }
  [[nodiscard]] Deadline next_look() const noexcept {
    const bool looks = acceptor_ != nullptr || !guests_.empty();
    return looks ? Deadline::after(kJoinSlice) : Deadline::after(kWaitSlice);
  }

  [[nodiscard]] const Url& url() const noexcept { return met_.url; }
  // Once step() has said kRing or kConnection.
  Result<SenderParts> finish(Settled settled) {
    if (settled == Settled::kRing) {
      return make_guarded_sender(std::move(acceptor_), met_.url, options_);
    }
    return make_socket_sender(std::move(met_), options_);
  }

 private:
  [[nodiscard]] Error other_headers() const {
    return Error{ErrorCode::kGeometryMismatch, met_.url.name() +
                                                   ": the receiver there has not header=" +
                                                   std::to_string(met_.url.options.header_bytes()) +
                                                   "; say the same on both sides"};
  }

  bool listen() noexcept {
    if (!can_leak()) return false;
    try {
      name_ = draw_secret();
      token_ = draw_secret();
      FdStream made(make_socket(SocketKind::kMessages), FdStream::Direction::kRead);
      if (!made.is_open()) return false;
      set_pass_descriptors(made.fd(), false);
      if (bind_to(made.fd(), rendezvous(name_)) != 0) return false;
      if (listen_on(made.fd(), int{kGuestBacklog}) != 0) return false;
      listener_.socket = std::move(made);
      return true;
    } catch (const std::exception&) {  // no source of random numbers, or no memory
      return false;
    }
  }

  // Lets the one with the token in. Whoever has come is heard before another one takes its place.
  void look_for_guest() {
    for (std::size_t i = 0; i < kGuestBacklog && listener_.socket.is_open(); ++i) {
      UniqueFd socket = can_leak() ? accept_from(listener_.socket.fd()) : UniqueFd();
      if (!socket) {
        // Whom it can't let in is turned away, and chooses the connection.
        if (!can_leak() || (errno != EAGAIN && !is_of_a_connection(errno))) listener_.close();
        break;
      }
      UntrustedSocket guest(std::move(socket));
      const auto credentials = credentials_of(met_.url, guest.get());
      if (!credentials || !is_allowed(met_.url, *credentials)) continue;
      switch (token_of(guest.get())) {
        case Heard::kAll: return let_in(std::move(guest));
        case Heard::kGone: continue;
        case Heard::kNotYet: break;
      }
      if (guests_.size() == kMaxGuests) guests_.erase(guests_.begin());
      guests_.push_back(std::move(guest));
    }
    for (std::size_t i = 0; i < guests_.size();) {
      const Heard heard = token_of(guests_[i].get());
      if (heard == Heard::kAll) return let_in(std::move(guests_[i]));
      if (heard == Heard::kNotYet) {
        ++i;
      } else {
        guests_.erase(guests_.begin() + static_cast<std::ptrdiff_t>(i));
      }
    }
  }

  [[nodiscard]] Heard token_of(NativeHandle guest) const noexcept {
    SharedSecret token{};
    switch (receive_struct(guest, token)) {
      case WireResult::kNotNow: return Heard::kNotYet;
      case WireResult::kDone: return token == token_ ? Heard::kAll : Heard::kGone;
      case WireResult::kGone:
      case WireResult::kBroken: break;
    }
    return Heard::kGone;
  }

  // Without a ring for it the socket is closed, and the receiver chooses the connection.
  void let_in(UntrustedSocket socket) {
    auto acceptor = GuardedAcceptor::over(std::move(socket), met_.url, options_);
    guests_.clear();
    listener_.close();
    if (acceptor) acceptor_ = std::move(acceptor).value();
  }

  Meeting met_;
  const OpenOptions& options_;
  ListeningSocket listener_;
  SharedSecret name_{};
  SharedSecret token_{};
  bool invited_ = false;
  std::vector<UntrustedSocket> guests_;  // who have not said the token yet
  std::unique_ptr<GuardedAcceptor> acceptor_;
};

// --- The receiver's side -------------------------------------------------------------------------

// What of the URL is about the ring: its size is the sender's to say; headers are what both say, as
// over the connection.
Url url_of_ring(Url url) {
  url.options.capacity.reset();
  url.options.header = url.options.header.value_or(0);
  return url;
}

class RingGuest {
 public:
  RingGuest(Meeting met, const OpenOptions& options) : met_(std::move(met)), options_(options) {}
  RingGuest(RingGuest&&) = delete;

  // Does what can be done now. Errors: kGeometryMismatch (other headers than the sender has).
  Result<Settled> step() {
    switch (phase_) {
      case Phase::kInvited: {
        const auto room = std::as_writable_bytes(std::span(&invitation_, 1));
        switch (hear(met_.socket.get(), room, heard_)) {
          case Heard::kNotYet: return Settled::kNotYet;
          case Heard::kGone: return Settled::kGone;
          case Heard::kAll: break;
        }
        if (invitation_.magic != Invitation::kMagic) return Settled::kGone;
        if (!approach()) return choose(Choice::kConnection);
        limit_ = Deadline::after(kJoinTimeout);
        phase_ = Phase::kJoining;
        [[fallthrough]];
      }
      case Phase::kJoining: {
        const auto in = connector_->step();
        if (!in && in.error().code == ErrorCode::kGeometryMismatch) {
          static_cast<void>(choose(Choice::kNeither));
          return in.error();
        }
        if (in && !*in && !limit_.passed()) return Settled::kNotYet;
        return choose(in && *in ? Choice::kRing : Choice::kConnection);
      }
      case Phase::kChosen: {
        std::byte answer{};
        std::size_t heard = 0;
        const Heard came = hear(met_.socket.get(), std::span(&answer, 1), heard);
        if (came == Heard::kNotYet) return Settled::kNotYet;
        return came == Heard::kAll && answer == kAgreed ? Settled::kRing : Settled::kGone;
      }
    }
    return Settled::kGone;
  }
  [[nodiscard]] SocketsOfSide sockets() const noexcept {
    return {phase_ == Phase::kJoining ? connector_->socket() : met_.socket.get(), kNoHandle};
  }
  [[nodiscard]] Deadline next_look() const noexcept {
    return earlier(limit_, Deadline::after(kWaitSlice));
  }

  [[nodiscard]] const Url& url() const noexcept { return met_.url; }
  Result<ReceiverParts> finish(Settled settled) {
    if (settled == Settled::kRing) {
      return make_guarded_receiver(*std::move(connector_), url_of_ring(met_.url), options_);
    }
    return make_socket_receiver(std::move(met_), options_);
  }

 private:
  enum class Phase : std::uint8_t { kInvited, kJoining, kChosen };

  // Goes where the invitation says; false if there is no way.
  bool approach() {
    if (invitation_.name == SharedSecret{} || !can_leak()) return false;
    FdStream made(make_socket(SocketKind::kMessages), FdStream::Direction::kWrite);
    if (!made.is_open()) return false;
    if (connect_to(made.fd(), rendezvous(invitation_.name)) != 0) return false;
    auto connector = GuardedConnector::over(std::move(made), url_of_ring(met_.url), options_.name);
    if (!connector) return false;
    connector_.emplace(std::move(connector).value());
    return send_struct(connector_->socket(), invitation_.token) == WireResult::kDone;
  }

  Settled choose(Choice choice) {
    phase_ = Phase::kChosen;
    limit_ = Deadline::never();
    if (!send_now(met_.socket.get(), std::as_bytes(std::span(&choice, 1)))) return Settled::kGone;
    if (choice == Choice::kRing) return Settled::kNotYet;
    connector_.reset();
    return Settled::kConnection;
  }

  Meeting met_;
  const OpenOptions& options_;
  Phase phase_ = Phase::kInvited;
  Invitation invitation_;
  std::size_t heard_ = 0;  // bytes of it
  Deadline limit_ = Deadline::never();
  std::optional<GuardedConnector> connector_;
};

// -------------------------------------------------------------------------------------------------

// One with whom it is to be settled, in so long.
template <class Side>
struct Settling {
  Settling(Meeting met, const OpenOptions& options) : side(std::move(met), options) {}

  Side side;
  Deadline limit = Deadline::after(kSettlingTimeout);

  // kGone: also if it took too long.
  Result<Settled> step() {
    const Result<Settled> settled = side.step();
    if (!settled || *settled != Settled::kNotYet) return settled;
    return limit.passed() ? Settled::kGone : Settled::kNotYet;
  }
};

std::string words_for(const Url& url, Hello ours) {
  return std::string(other_side_of(ours)) + " for " + url.name();
}

// Connects to one after the other, until it is settled with one of them.
template <class Side, class Parts>
Result<Parts> connect_auto(const Url& url, const OpenOptions& options, Hello ours) {
  Retry retry(kLongestPauseOfTcp);
  for (;;) {
    auto met = connect_to_peer(url, options, ours);
    if (!met) return std::move(met).error();
    Settling<Side> one(std::move(met).value(), options);
    Result<Settled> settled = one.step();
    while (settled && *settled == Settled::kNotYet) {
      if (auto go_on = Retry::allowed(options, words_for(url, ours)); !go_on) {
        return std::move(go_on).error();
      }
      wait_readable(one.side.sockets(), earlier(options.wait, one.side.next_look()));
      settled = one.step();
    }
    if (!settled) return settled.error();
    if (*settled != Settled::kGone) {
      auto parts = one.side.finish(*settled);
      // The sender died as soon as it had let us in: there may be another one.
      if (parts || parts.error().code != ErrorCode::kReplaced) return parts;
    }
    if (auto paused = retry.pause(options, words_for(url, ours)); !paused) {
      return std::move(paused).error();
    }
  }
}

// Listens, until it is settled with one of those that have come.
template <class Side, class Parts>
Result<Parts> await_auto(const Url& url, const OpenOptions& options, Hello ours) {
  auto opened = Reception::open(url, options, {}, kMeetingBacklog, this_side_of(ours));
  if (!opened) return std::move(opened).error();
  OpenDoor door{std::move(opened).value()};
  const Url found = door.reception->url();
  const Hello opposite = hello_at(url, ours == Hello::kSends ? Hello::kReceives : Hello::kSends);
  const auto judge = [&](Hello hello, const Peer&, NativeHandle) {
    return hello == opposite ? Answer::kConfirmed : Answer::kWrongSide;
  };
  std::vector<std::unique_ptr<Settling<Side>>> all;
  for (;;) {
    while (auto arrival = door.reception->next(judge)) {
      if (all.size() == kMaxSides) all.erase(all.begin());
      all.push_back(std::make_unique<Settling<Side>>(
          Meeting{std::move(arrival->socket), nullptr, std::move(arrival->peer), found}, options));
    }
    if (const int error = door.reception->trouble(); error != 0 && all.empty()) {
      return system_error(url, "accept", error);
    }
    std::array<NativeHandle, 1 + 2 * kMaxSides> sockets{door.reception->fd()};
    static_assert(sockets.size() <= kMaxWaitedFor);
    std::size_t count = 1;
    Deadline next_look = earlier(options.wait, Deadline::after(kWaitSlice));
    for (std::size_t i = 0; i < all.size();) {
      const Result<Settled> settled = all[i]->step();
      if (settled && *settled == Settled::kNotYet) {
        for (const NativeHandle socket : all[i]->side.sockets()) sockets[count++] = socket;
        next_look = earlier(next_look, all[i++]->side.next_look());
        continue;
      }
      const std::unique_ptr<Settling<Side>> one = std::move(all[i]);
      all.erase(all.begin() + static_cast<std::ptrdiff_t>(i));
      if (!settled) return settled.error();
      if (*settled == Settled::kGone) continue;
      auto parts = one->side.finish(*settled);
      if (parts || parts.error().code != ErrorCode::kReplaced) return parts;
    }
    if (auto go_on = Retry::allowed(options, words_for(found, ours)); !go_on) {
      return std::move(go_on).error();
    }
    wait_readable(std::span(sockets).first(count), next_look);
  }
}

template <class Side, class Parts>
Result<Parts> open_auto(const Url& url, const OpenOptions& options, Hello ours) {
  const bool listens = url.options.listen.value_or(ours == Hello::kReceives);
  return listens ? await_auto<Side, Parts>(url, options, ours)
                 : connect_auto<Side, Parts>(url, options, ours);
}

}  // namespace

Result<SenderParts> open_auto_sender(const Url& url, const OpenOptions& options) {
  return open_auto<RingHost, SenderParts>(url, options, Hello::kSends);
}

Result<ReceiverParts> open_auto_receiver(const Url& url, const OpenOptions& options) {
  return open_auto<RingGuest, ReceiverParts>(url, options, Hello::kReceives);
}

Result<PairParts> open_auto_pair(const Url& url, const OpenOptions& options) {
  auto met = meet_oneself(url, options);
  if (!met) return std::move(met).error();
  RingHost host(std::move(met->sender), options);
  RingGuest guest(std::move(met->receiver), options);
  Result<Settled> sends = Settled::kNotYet;
  Result<Settled> receives = Settled::kNotYet;
  for (const Deadline limit = Deadline::after(kSettlingTimeout);;) {
    if (*sends == Settled::kNotYet) sends = host.step();
    if (!sends) return sends.error();
    if (*receives == Settled::kNotYet) receives = guest.step();
    if (!receives) return receives.error();
    if (*sends == Settled::kGone || *receives == Settled::kGone || limit.passed()) {
      return Error{ErrorCode::kSystem, host.url().name() + ": the two ends did not come together"};
    }
    if (*sends != Settled::kNotYet && *receives != Settled::kNotYet) break;
    const SocketsOfSide sockets = guest.sockets();
    wait_readable(sockets, earlier(limit, Deadline::after(kJoinSlice)));
  }
  auto sender = host.finish(*sends);
  if (!sender) return std::move(sender).error();
  return make_pair(std::move(sender).value(), [&] { return guest.finish(*receives); });
}

}  // namespace rondo::inline RONDO_ABI::detail
