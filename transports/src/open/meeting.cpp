#include "open/meeting.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "endpoint/packets.hpp"
#include "endpoint/stream.hpp"
#include "open/addresses.hpp"
#include "open/listening_socket.hpp"
#include "open/name.hpp"
#include "open/open.hpp"
#include "open/packet_socket.hpp"
#include "open/reception.hpp"
#include "open/remove_name.hpp"
#include "open/sockets.hpp"
#include "open/untrusted_descriptors.hpp"
#include "tls/tls.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

using Direction = ByteStream::Direction;

// How long one of several addresses is given to answer before the next one is tried: twice as long
// in each round.
constexpr std::chrono::seconds kAnswerOfOne{1};
constexpr std::chrono::seconds kLongestAnswerOfOne{64};
// Where one thread opens both ends, and the one that listens tells when there is something to do.
constexpr std::chrono::milliseconds kOtherEndInterval{1};

// A connection on which we have said who we are.
struct Call {
  UniqueFd socket;
  std::unique_ptr<SecureLayer> secure;  // null: none is asked for
  Peer peer;
  bool secured = false;  // the handshake of TLS is over, or there is none
};

bool say_hello(const Url& url, Call& call, Hello ours) {
  const Hello hello = hello_at(url, ours);
  return !has_handshake(url) ||
         send_through(call.socket.get(), call.secure.get(), std::as_bytes(std::span(&hello, 1)));
}

// `side`: as of secure_side(). kNotFound: no process listens now.
Result<Call> call(const Url& url, SecureSide* side, const OpenOptions& options, Hello ours,
                  AddressTurn& turn) {
  auto connected = connect_by_url(url, options, turn);
  if (!connected) return std::move(connected).error();
  Call made{std::move(connected).value(), nullptr, {}};
  const NativeHandle fd = made.socket.get();
  if (is_over_tcp(url)) {
    prepare_connection(fd, url.options.keepalive);
    made.peer.address = peer_address(fd);
  } else {
    set_pass_descriptors(fd, false);
    const auto credentials = credentials_of(url, fd);
    if (!credentials) return credentials.error();
    if (auto permitted = check_peer(url, *credentials); !permitted) {
      close_or_leak(std::move(made.socket));
      return std::move(permitted).error();
    }
    made.peer.process = {credentials->process, credentials->user, credentials->group};
  }
  if (side != nullptr) {
    made.secure = side->begin(fd);
    if (made.secure == nullptr) {
      return Error{ErrorCode::kNoSpace, url.name() + ": there is no memory for TLS"};
    }
    return made;  // what is to be said comes after the handshake of TLS
  }
  made.secured = true;
  if (!say_hello(url, made, ours)) {
    return Error{ErrorCode::kNotFound, url.name() + " was closed at once"};
  }
  return made;
}

enum class Answered : std::uint8_t {
  kNotYet,
  kYes,   // the other side has taken the connection
  kNever  // it never will
};

Error no_tls_with(const Url& url, const SecureLayer& layer) {
  const bool stranger = layer.refusal() == SecureLayer::Refusal::kStranger;
  return Error{stranger ? ErrorCode::kForeignOwner : ErrorCode::kForeignObject,
               url.name() + ": no connection with what answers there: " + layer.why()};
}

// How far the other side is. Never blocks.
Result<Answered> look(const Url& url, Call& call, Hello ours) {
  SecureLayer* const secure = call.secure.get();
  if (!call.secured) {
    switch (secure->shake_hands()) {
      case SecureLayer::Handshake::kNotNow: return Answered::kNotYet;
      case SecureLayer::Handshake::kGone: return Answered::kNever;
      case SecureLayer::Handshake::kRefused: return no_tls_with(url, *secure);
      case SecureLayer::Handshake::kDone: break;
    }
    call.secured = true;
    call.peer.identity = secure->peer_identity();
    if (!say_hello(url, call, ours)) return Answered::kNever;
  }
  if (!has_handshake(url)) return Answered::kYes;
  std::array<std::byte, 1> answer{};
  switch (receive_through(call.socket.get(), secure, answer).outcome) {
    case ByteStream::Outcome::kMoved: {
      const auto taken = judge(url, static_cast<Answer>(answer[0]), ours);
      if (!taken) return taken.error();
      return *taken ? Answered::kYes : Answered::kNever;
    }
    case ByteStream::Outcome::kNotNow: return Answered::kNotYet;
    default: break;
  }
  const bool refused = secure != nullptr && secure->refusal() != SecureLayer::Refusal::kNone;
  return refused ? Result<Answered>(no_tls_with(url, *secure)) : Answered::kNever;
}

// True once the other side has taken the connection; false if it never will.
Result<bool> await_answer(const Url& url, const OpenOptions& options, Hello ours, Call& call) {
  Deadline::Clock::time_point gave_way{};
  for (;;) {
    const auto answered = look(url, call, ours);
    if (!answered) return answered.error();
    if (*answered != Answered::kNotYet) return *answered == Answered::kYes;
    const bool writes = call.secure != nullptr && call.secure->has_unsent();
    if (wait_for_descriptor(call.socket.get(), writes ? Direction::kWrite : Direction::kRead,
                            options.wait, WaitMode::kPark, options.stop,
                            gave_way) != WaitResult::kReady) {
      return Error{ErrorCode::kTimedOut, url.name() + " has " + std::string(other_side_of(ours)) +
                                             " that is busy with another one, or stopped"};
    }
  }
}

// Whether it was closed at its other end, before anything was said there.
bool is_lost(NativeHandle socket) noexcept {
  std::array<std::byte, 1> any{};
  const std::ptrdiff_t came = receive_now(socket, any, true);
  return came == 0 || (came < 0 && errno != EAGAIN && errno != EINTR);
}

// Waits for one that does the opposite of what we do; if `own` is given, for the other end of that
// and no other: a stranger who was confirmed would lose what it sends, so it is told to come again.
// `go_on_elsewhere`: is called again and again meanwhile, and soon, until it says that there is
// nothing more to do; or why there is no use in waiting.
Result<Arrival> await_arrival(std::optional<Reception>& reception, const Url& url,
                              const OpenOptions& options, Hello ours,
                              const FunctionRef<Result<bool>()>& go_on_elsewhere,
                              NativeHandle own = kNoHandle) {
  const Hello opposite = hello_at(url, ours == Hello::kSends ? Hello::kReceives : Hello::kSends);
  const auto judge = [&](Hello hello, const Peer&, NativeHandle socket) {
    if (hello != opposite && has_handshake(url)) return Answer::kWrongSide;
    if (own != kNoHandle && !are_ends_of_one(own, socket)) return Answer::kFull;
    return Answer::kConfirmed;
  };
  for (;;) {
    if (auto arrival = reception->next(judge)) return *std::move(arrival);
    // A process that was forked meanwhile has the listening socket, too, or it was cut.
    if (own != kNoHandle && is_lost(own)) {
      return Error{ErrorCode::kBusy,
                   url.name() + ": another process that listens there took our own connection"};
    }
    if (const int error = reception->trouble(); error != 0) {
      return system_error(url, "accept", error);
    }
    std::string waited_for = std::string(other_side_of(ours)) + " for " + reception->url().name();
    if (!reception->last_refusal().empty()) {
      waited_for += " (the last one that came was turned away: " + reception->last_refusal() + ')';
    }
    if (auto go_on = Retry::allowed(options, waited_for); !go_on) {
      return std::move(go_on).error();
    }
    // Where the name was taken away none would come here any more.
    if (!reception->at_its_name()) {
      auto anew =
          Reception::open(reception->url(), options, {}, kMeetingBacklog, this_side_of(ours));
      if (!anew) return std::move(anew).error();
      reception->close();
      reception.emplace(std::move(anew).value());
    }
    const auto alone = go_on_elsewhere();
    if (!alone) return alone.error();
    reception->wait(
        earlier(options.wait, Deadline::after(*alone ? kNameCheckInterval : kOtherEndInterval)));
  }
}

Result<Meeting> meet_peer(const Url& url, const OpenOptions& options, Hello ours) {
  const bool listens = url.options.listen.value_or(ours == Hello::kReceives);
  return listens ? await_peer(url, options, ours) : connect_to_peer(url, options, ours);
}

}  // namespace

std::string_view other_side_of(Hello ours) noexcept {
  if (ours == Hello::kSends) return "a receiver";
  if (ours == Hello::kReceives) return "a sender";
  return "a listener";
}

std::string_view this_side_of(Hello ours) noexcept {
  return ours == Hello::kSends ? "a sender" : "a receiver";
}

Result<bool> judge(const Url& url, Answer answer, Hello ours) {
  switch (answer) {
    case Answer::kConfirmed: return true;
    case Answer::kFull: return false;
    case Answer::kWrongSide:
      return Error{ErrorCode::kInvalidOption, url.name() + " does not need what this side is; " +
                                                  std::string(other_side_of(ours)) +
                                                  " has to be there, by the same scheme"};
    case Answer::kNotPermitted:
      return Error{ErrorCode::kForeignOwner,
                   url.name() +
                       " does not let this user in; the other side would have to name it "
                       "(uid=), or to have a mode that lets others in"};
  }
  return Error{ErrorCode::kForeignObject,
               url.name() +
                   ": what answers there is no end of such a channel; choose another "
                   "address"};
}

std::shared_ptr<StreamSocket> socket_of(const Url& url, UniqueFd fd,
                                        std::unique_ptr<SecureLayer> secure, Hello ours) {
  return std::make_shared<StreamSocket>(std::move(fd), std::move(secure), is_over_tcp(url),
                                        ours != Hello::kReceives, ours != Hello::kSends);
}

Result<Meeting> connect_to_peer(const Url& url, const OpenOptions& options, Hello ours) {
  Retry retry(is_over_tcp(url) ? kLongestPauseOfTcp : GrowingPause::kLongest);
  const auto side = secure_side(url, false);
  if (!side) return side.error();
  AddressTurn turn;
  std::chrono::seconds answer_of_one = kAnswerOfOne;
  std::size_t refused = 0;
  for (;;) {
    std::string waited_for = std::string(other_side_of(ours)) + " for " + url.name();
    auto made = call(url, side->get(), options, ours, turn);
    if (made) {
      OpenOptions answering = options;
      if (turn.addresses > 1) {
        answering.wait = earlier(options.wait, Deadline::after(answer_of_one));
      }
      const auto confirmed = await_answer(url, answering, ours, *made);
      if (confirmed && *confirmed) {
        return Meeting{std::move(made->socket), std::move(made->secure), std::move(made->peer),
                       url};
      }
      if (!confirmed) {
        const bool late = confirmed.error().code == ErrorCode::kTimedOut;
        if (late && !Retry::allowed(options, waited_for)) return confirmed.error();
        // Not the one that was meant: it may be at another address.
        if (!late && ++refused >= turn.addresses) return confirmed.error();
      }
      if (!turn.next()) continue;
      if (made->secure != nullptr && !made->secured) {
        waited_for += " (something there closes connections before TLS is through)";
      }
      answer_of_one = std::min(2 * answer_of_one, kLongestAnswerOfOne);
    } else if (made.error().code != ErrorCode::kNotFound) {
      return std::move(made).error();
    } else if (is_over_tcp(url)) {
      waited_for += " (" + made.error().message + ')';
    }
    if (auto paused = retry.pause(options, waited_for); !paused) return std::move(paused).error();
  }
}

Result<Meeting> await_peer(const Url& url, const OpenOptions& options, Hello ours) {
  auto opened = Reception::open(url, options, {}, kMeetingBacklog, this_side_of(ours));
  if (!opened) return std::move(opened).error();
  OpenDoor door{std::move(opened).value()};
  auto arrival =
      await_arrival(door.reception, url, options, ours, [] { return Result<bool>(true); });
  if (!arrival) return std::move(arrival).error();
  return Meeting{std::move(arrival->socket), std::move(arrival->secure), std::move(arrival->peer),
                 door.reception->url()};
}

Result<SenderParts> make_socket_sender(Meeting met, const OpenOptions& options) {
  if (kind_of(met.url) == SocketKind::kMessages) {
    auto packets = packets_over(FdStream(std::move(met.socket), Direction::kWrite), met.url);
    if (!packets) return std::move(packets).error();
    return make_packet_sender(std::move(packets).value(), {}, met.url, options);
  }
  auto socket = socket_of(met.url, std::move(met.socket), std::move(met.secure), Hello::kSends);
  return make_stream_sender(std::make_unique<SocketStream>(std::move(socket), Direction::kWrite),
                            {}, met.url, options);
}
Result<ReceiverParts> make_socket_receiver(Meeting met, const OpenOptions& options) {
  if (kind_of(met.url) == SocketKind::kMessages) {
    auto packets = packets_over(FdStream(std::move(met.socket), Direction::kRead), met.url);
    if (!packets) return std::move(packets).error();
    return make_packet_receiver(std::move(packets).value(), {}, met.url, options);
  }
  auto socket = socket_of(met.url, std::move(met.socket), std::move(met.secure), Hello::kReceives);
  return make_stream_receiver(std::make_unique<SocketStream>(std::move(socket), Direction::kRead),
                              {}, met.url, options);
}

Result<SenderParts> open_socket_sender(const Url& url, const OpenOptions& options) {
  auto met = meet_peer(url, options, Hello::kSends);
  if (!met) return std::move(met).error();
  return make_socket_sender(std::move(met).value(), options);
}

Result<ReceiverParts> open_socket_receiver(const Url& url, const OpenOptions& options) {
  auto met = meet_peer(url, options, Hello::kReceives);
  if (!met) return std::move(met).error();
  return make_socket_receiver(std::move(met).value(), options);
}

Result<MetPair> meet_oneself(const Url& url, const OpenOptions& options) {
  auto opened = Reception::open(url, options, {}, kMeetingBacklog, "a receiver");
  if (!opened) return std::move(opened).error();
  OpenDoor door{std::move(opened).value()};
  const Url found = door.reception->url();
  const auto side = secure_side(found, false);
  if (!side) return side.error();
  AddressTurn turn;
  auto made = call(found, side->get(), options, Hello::kSends, turn);
  if (!made) return std::move(made).error();
  // Without an address of its own a UNIX socket can't be told from those of others.
  if (!is_over_tcp(url)) {
    if (const int error = bind_to_any_name(made->socket.get()); error != 0) {
      return system_error(url, "bind", error);
    }
  }
  Answered answered = Answered::kNotYet;
  const auto look_again = [&]() -> Result<bool> {
    if (answered != Answered::kNotYet) return true;
    const auto found_now = look(found, *made, Hello::kSends);
    if (!found_now) return found_now.error();
    answered = *found_now;
    return answered != Answered::kNotYet;
  };
  auto arrival = await_arrival(door.reception, found, options, Hello::kReceives, look_again,
                               made->socket.get());
  door.close();
  if (!arrival) return std::move(arrival).error();
  if (answered == Answered::kNotYet) {
    const auto confirmed = await_answer(found, options, Hello::kSends, *made);
    if (!confirmed) return confirmed.error();
    if (*confirmed) answered = Answered::kYes;
  }
  if (answered != Answered::kYes) {
    return Error{ErrorCode::kBusy, found.name() + ": another sender has come in between"};
  }
  return MetPair{{std::move(made->socket), std::move(made->secure), {}, found},
                 {std::move(arrival->socket), std::move(arrival->secure), {}, found}};
}

Result<PairParts> open_socket_pair(const Url& url, const OpenOptions& options) {
  auto met = meet_oneself(url, options);
  if (!met) return std::move(met).error();
  auto sender = make_socket_sender(std::move(met->sender), options);
  if (!sender) return std::move(sender).error();
  return make_pair(std::move(sender).value(),
                   [&] { return make_socket_receiver(std::move(met->receiver), options); });
}

Result<void> remove_unix_socket(const Url& url, bool even_if_used) {
  if (is_abstract(url)) {
    return Error{ErrorCode::kUnsupported,
                 url.name() + " is no file; it goes with the process that listens there"};
  }
  return remove_special_file(url, even_if_used, "a receiver that waits for its sender");
}

}  // namespace rondo::inline RONDO_ABI::detail
