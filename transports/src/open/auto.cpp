// auto: a connection of TCP that becomes a ring in shared memory where both ends are on one machine
// and let each other in. What they say over it, once they have met (handshake.hpp):
//
//   sender                                         receiver
//   ------------------------------------------     ------------------------------------------
//   listens at an abstract name that it draws
//   Invitation: that name, and a token        ->   connects to the name, looks at the credentials
//   looks at the credentials and the token    <-   by that socket: the token
//   lets it into a ring (guarded/wire.hpp)    <->
//                                             <-   Choice: the ring, or the connection
//   if it is the ring: kAgreed                ->
//
// On another machine, or in another network namespace, no process listens at the name. Who learns
// it from the system's list of sockets has not the token, which went through the connection alone.
// Whatever goes wrong on the way to the ring, the connection serves: it is the receiver who says
// which of the two it is, and nothing of either is used before.
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
constexpr int kGuestBacklog = 64;
// A ring's acceptor has sockets of its own to look at.
constexpr std::chrono::milliseconds kJoinSlice{1};

using Secret = std::array<std::uint32_t, 4>;

// Throws what std::random_device does.
Secret draw_secret() {
  std::random_device random;
  Secret secret{};
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
  Secret name{};
  Secret token{};
};
static_assert(sizeof(Invitation) == 40 && std::is_trivially_copyable_v<Invitation>);

enum class Choice : std::uint8_t { kRing = 0x52, kConnection = 0x53 };
constexpr auto kAgreed = std::byte{0x54};

SocketAddress rendezvous(const Secret& name) {
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

// --- The sender's side ---------------------------------------------------------------------------

class RingHost {
 public:
  RingHost(Meeting met, const OpenOptions& options)
      : met_(std::move(met)),
        options_(options),
        listener_{FdStream({}, FdStream::Direction::kRead), nullptr, {}} {
    guests_.reserve(kMaxGuests + 1);
    Invitation invitation;
    if (listen()) {
      invitation.name = name_;
      invitation.token = token_;
    }
    invited_ = send_now(met_.socket.get(), std::as_bytes(std::span(&invitation, 1)));
  }
  RingHost(RingHost&&) = delete;
  ~RingHost() { listener_.close(); }

  // Does what can be done now.
  Settled step() {
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
    const bool inside = acceptor_ != nullptr && acceptor_->admissions() == 1;
    if (choice != Choice::kRing || !inside) return Settled::kGone;
    return send_now(met_.socket.get(), std::span(&kAgreed, 1)) ? Settled::kRing : Settled::kGone;
  }
  // Waits until there is something to do, or `deadline`.
  void wait(Deadline deadline) const noexcept {
    static_assert(2 + kMaxGuests <= kMaxWaitedFor);
    std::array<NativeHandle, 2 + kMaxGuests> sockets{};
    std::size_t count = 0;
    sockets[count++] = met_.socket.get();
    if (acceptor_ != nullptr) {
      deadline = earlier(deadline, Deadline::after(kJoinSlice));
    } else if (listener_.socket.is_open()) {
      sockets[count++] = listener_.socket.fd();
      for (const Guest& guest : guests_) sockets[count++] = guest.socket.get();
    }
    wait_readable(std::span(sockets).first(count), deadline);
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
  struct Guest {
    UntrustedSocket socket;
  };

  bool listen() noexcept {
    try {
      name_ = draw_secret();
      token_ = draw_secret();
      FdStream socket(make_socket(SocketKind::kMessages), FdStream::Direction::kRead);
      if (!socket.is_open()) return false;
      set_pass_descriptors(socket.fd(), false);
      if (bind_to(socket.fd(), rendezvous(name_)) != 0) return false;
      if (listen_on(socket.fd(), kGuestBacklog) != 0) return false;
      listener_.socket = std::move(socket);
      return true;
    } catch (const std::exception&) {  // no source of random numbers, or no memory
      return false;
    }
  }

  void look_for_guest() {
    for (std::size_t i = 0; i < kMaxGuests && listener_.socket.is_open() && can_leak(); ++i) {
      UniqueFd socket = accept_from(listener_.socket.fd());
      if (!socket) break;
      guests_.push_back({UntrustedSocket(std::move(socket))});
      if (guests_.size() > kMaxGuests) guests_.erase(guests_.begin());
    }
    for (std::size_t i = 0; i < guests_.size();) {
      Secret token{};
      switch (receive_struct(guests_[i].socket.get(), token)) {
        case WireResult::kNotNow: ++i; continue;
        case WireResult::kDone:
          if (token == token_) return let_in(std::move(guests_[i].socket));
          break;
        case WireResult::kGone:
        case WireResult::kBroken: break;
      }
      guests_.erase(guests_.begin() + static_cast<std::ptrdiff_t>(i));
    }
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
  Secret name_{};
  Secret token_{};
  bool invited_ = false;
  std::vector<Guest> guests_;
  std::unique_ptr<GuardedAcceptor> acceptor_;
};

// --- The receiver's side -------------------------------------------------------------------------

// What of the URL is about the ring: its size is the sender's to say; and headers are what both say,
// as over the connection.
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
        if (!in && in.error().code == ErrorCode::kGeometryMismatch) return in.error();
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
  void wait(Deadline deadline) const noexcept {
    std::array sockets{met_.socket.get(), kNoHandle};
    if (phase_ == Phase::kJoining) {
      sockets[1] = connector_->socket();
      deadline = earlier(deadline, limit_);
    }
    wait_readable(sockets, deadline);
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
    if (invitation_.name == Secret{} || !can_leak()) return false;
    FdStream socket(make_socket(SocketKind::kMessages), FdStream::Direction::kWrite);
    if (!socket.is_open()) return false;
    if (connect_to(socket.fd(), rendezvous(invitation_.name)) != 0) return false;
    auto connector =
        GuardedConnector::over(std::move(socket), url_of_ring(met_.url), options_.name);
    if (!connector) return false;
    connector_.emplace(std::move(connector).value());
    return send_struct(connector_->socket(), invitation_.token) == WireResult::kDone;
  }

  Settled choose(Choice choice) {
    phase_ = Phase::kChosen;
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

// Until it is settled, or kGone: the other side took too long.
template <class Side>
Result<Settled> settle(Side& side, const OpenOptions& options) {
  const Deadline limit = Deadline::after(kSettlingTimeout);
  for (;;) {
    const Result<Settled> settled = side.step();
    if (!settled || *settled != Settled::kNotYet) return settled;
    if (limit.passed()) return Settled::kGone;
    if (auto go_on = Retry::allowed(options, "an answer from " + side.url().name()); !go_on) {
      return std::move(go_on).error();
    }
    side.wait(earlier(earlier(limit, options.wait), Deadline::after(kWaitSlice)));
  }
}

// Meets one after the other, until it is settled with one of them.
template <class Side, class Parts>
Result<Parts> open_auto(const Url& url, const OpenOptions& options, Hello ours) {
  Retry retry;
  Url at = url;
  for (;;) {
    auto met = meet_peer(at, options, ours);
    if (!met) return std::move(met).error();
    at = met->url;
    Side side(std::move(met).value(), options);
    const auto settled = settle(side, options);
    if (!settled) return settled.error();
    if (*settled != Settled::kGone) {
      auto parts = side.finish(*settled);
      // The sender died as soon as it had let us in: there may be another one.
      if (parts || parts.error().code != ErrorCode::kReplaced) return parts;
    }
    if (auto paused = retry.pause(options, "the other side of " + url.name()); !paused) {
      return std::move(paused).error();
    }
  }
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
  Settled sends = Settled::kNotYet;
  Result<Settled> receives = Settled::kNotYet;
  for (const Deadline limit = Deadline::after(kSettlingTimeout);;) {
    if (sends == Settled::kNotYet) sends = host.step();
    if (*receives == Settled::kNotYet) receives = guest.step();
    if (!receives) return receives.error();
    if (sends == Settled::kGone || *receives == Settled::kGone || limit.passed()) {
      return Error{ErrorCode::kSystem, host.url().name() + ": the two ends did not come together"};
    }
    if (sends != Settled::kNotYet && *receives != Settled::kNotYet) break;
  }
  auto sender = host.finish(sends);
  if (!sender) return std::move(sender).error();
  return make_pair(std::move(sender).value(), [&] { return guest.finish(*receives); });
}

}  // namespace rondo::inline RONDO_ABI::detail
