// unix-dgram: the receiver binds the name, and a sender finds it there. Datagrams of anybody whom
// the system lets through come to such a socket, and it does not tell who has gone. So the two of a
// channel meet before messages go:
//
//   sender                                       receiver
//   ------------------------------------------   ------------------------------------------
//   binds a socket of datagrams, and a
//   listening one, to one random abstract name
//   connects to the URL's name; says hello  ->   connects to the listening socket at the name
//                                                that the hello came from: the life line
//                                                looks at the credentials there, and
//                                                whether they are those of the hello
//                                                connects its own socket to that name: from now
//                                                on the kernel refuses datagrams of all others
//                                                throws away what has come by then
//   looks at the credentials there          <-   an Answer (handshake.hpp), over the life line
//   sends its messages                           takes the URL's name away
//
// The hello is a packet of padding (packets.hpp), which a receiver ignores; a sender says it again
// until it is answered. Nobody else can have the name of either socket, as one process has both; at
// another listener's name a stranger can have a socket of datagrams, but his hello says who he is.
// With framing=raw nothing of this is said: the name stays for as long as the receiver, and whoever
// sends there is a sender.
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "endpoint/packets.hpp"
#include "open/addresses.hpp"
#include "open/datagram_packets.hpp"
#include "open/listening_socket.hpp"
#include "open/meeting.hpp"
#include "open/name.hpp"
#include "open/open.hpp"
#include "open/packet_socket.hpp"
#include "open/sockets.hpp"
#include "open/untrusted_descriptors.hpp"
#include "rondo/core/instance_id.hpp"
#include "rondo/core/os.hpp"
#include "rondo/core/user_ids.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

using Direction = FdStream::Direction;

constexpr std::uint64_t kDatagramHello = record_header::make(RecordKind::kPadding, 0, 0);
// Of one that is in the way of its own answer nobody waits for the end.
constexpr int kMostThrownAway = 4096;
// Datagrams, or connections, between two looks at the deadline and the stop flag: strangers may
// send more all the time.
constexpr int kMostLookedAt = 64;

std::string sender_for(const Url& url) { return "a sender for " + url.name(); }
std::string receiver_for(const Url& url) { return "a receiver for " + url.name(); }

// With framing=raw there is no moment to look at credentials in. Errors: kInvalidOption,
// kForeignOwner.
Result<void> check_unasked(const Url& url) {
  if (has_handshake(url)) return {};
  if (!url.options.users.empty() || !url.options.groups.empty()) {
    return Error{ErrorCode::kInvalidOption,
                 url.name() +
                     ": with framing=raw the users at the other end are not known; leave uid= and "
                     "gid= out, and let the mode of the file decide"};
  }
  const Permissions mode = url.options.segment.mode;
  if (is_abstract(url)) {
    if ((mode & 06u) == 06) return {};
    return Error{ErrorCode::kInvalidOption,
                 url.name() +
                     ": with framing=raw any user can be at the other end of an abstract name; "
                     "say mode=0666 if that is meant, or use a path"};
  }
  return {};
}

// Whether what stands at the name, and a link on the way there, belong to one who may be at the
// other end; and what it is. For a sender, whose system tells nothing of the process there. Errors:
// kForeignOwner, those of system_error(): only what is not there may come.
Result<FileStatus> check_owner_of_name(const Url& url) {
  FileStatus link;
  FileStatus status;
  int error = link_status_of(url.target, link);
  if (error == 0) error = status_of(url.target, status);
  if (error != 0) return system_error(url, "stat", error);
  for (const std::uint32_t owner : {link.owner, status.owner}) {
    if (is_own_user(owner) || owner == 0) continue;
    return Error{ErrorCode::kForeignOwner, url.name() + " belongs to " + describe_user(owner) +
                                               "; mode=0660 or so allows that"};
  }
  return status;
}

// For framing=raw. Errors: those of connect_by_url(), kForeignOwner.
Result<UniqueFd> connect_unasked(const Url& url, const OpenOptions& options) {
  AddressTurn turn;
  if (is_abstract(url) || url.options.segment.mode.shared()) {
    return connect_by_url(url, options, turn);
  }
  // Before and after: a stranger who takes his own name away as soon as one is connected to it
  // can't take away the one that was there before.
  const auto before = check_owner_of_name(url);
  if (!before) return before.error();
  auto socket = connect_by_url(url, options, turn);
  if (!socket) return socket;
  const auto after = check_owner_of_name(url);
  if (!after) return after.error();
  if (after->device == before->device && after->inode == before->inode) return socket;
  return Error{ErrorCode::kNotFound, url.name() + " is another one by now"};
}

// An end over sockets that have met.
Result<std::unique_ptr<PacketPort>> datagrams_over(const Url& url, FdStream socket,
                                                   FdStream life_line) {
  auto packets = packets_over(std::move(socket), url);
  if (!packets) return packets;
  return std::unique_ptr<PacketPort>(
      std::make_unique<DatagramPackets>(std::move(packets).value(), std::move(life_line)));
}

// ---- the sender ----

// A sender on its way to a receiver.
class DatagramCaller {
 public:
  static Result<DatagramCaller> make(const Url& url);

  // Says hello to whoever is at the URL's name now. Errors: but kNotFound those of
  // connect_by_url().
  Result<void> call();
  // Whether a receiver has confirmed it by now. Errors: those of judge().
  Result<bool> answered();
  // What the error of a wait in vain is. One that is not permitted may be the receiver, or a
  // stranger that has found our name, so that the wait goes on behind it.
  [[nodiscard]] Error in_vain(Error error) const {
    if (refused_) error.message += "; one that is not permitted has come: " + refused_->message;
    return error;
  }
  Result<SenderParts> finish(const OpenOptions& options) && {
    auto packets = datagrams_over(url_, std::move(socket_), std::move(life_line_));
    if (!packets) return std::move(packets).error();
    return make_packet_sender(std::move(packets).value(), {}, url_, options);
  }

 private:
  explicit DatagramCaller(const Url& url) : url_(url) {}

  Url url_;
  SocketAddress own_;
  FdStream socket_;  // of datagrams
  UniqueFd listening_;
  FdStream life_line_;
  bool connected_ = false;
  std::optional<Error> refused_;  // who was not permitted
};

Result<DatagramCaller> DatagramCaller::make(const Url& url) {
  ask_about_ids();
  DatagramCaller caller(url);
  caller.own_ = abstract_address("rondo-datagrams-" + std::to_string(new_instance_id()));
  UniqueFd socket = make_socket(SocketKind::kDatagrams);
  if (!socket) return system_error(url, "socket", errno);
  set_pass_descriptors(socket.get(), false);
  int error = bind_to(socket.get(), caller.own_);
  if (error != 0) return system_error(url, "bind", error);
  caller.socket_ = FdStream(std::move(socket), Direction::kWrite);
  caller.listening_ = make_socket(SocketKind::kStream);
  if (!caller.listening_) return system_error(url, "socket", errno);
  set_pass_descriptors(caller.listening_.get(), false);
  error = bind_to(caller.listening_.get(), caller.own_);
  if (error == 0) error = listen_on(caller.listening_.get(), 1);
  if (error != 0) return system_error(url, "listen", error);
  return caller;
}

Result<void> DatagramCaller::call() {
  if (!connected_) {
    const int error = is_abstract(url_)
                          ? connect_to(socket_.fd(), abstract_address(abstract_name(url_)))
                          : connect_to(socket_.fd(), url_.target);
    if (auto judged = judge_connect(url_, error); !judged) return judged;
    connected_ = true;
  }
  // One that is full is one that does not read now.
  connected_ = send_as_self(socket_.fd(), std::as_bytes(std::span(&kDatagramHello, 1))) ||
               errno == EAGAIN || errno == EINTR;
  return {};
}

Result<bool> DatagramCaller::answered() {
  for (int i = 0; !life_line_.is_open(); ++i) {
    const bool bearable = i < kMostLookedAt && can_leak();
    UniqueFd accepted = bearable ? accept_from(listening_.get()) : UniqueFd();
    if (!accepted) return false;
    const auto peer = credentials_of(url_, accepted.get());
    if (!peer) return peer.error();
    if (auto permitted = check_peer(url_, *peer); !permitted) {
      refused_ = std::move(permitted).error();
      close_or_leak(std::move(accepted));
      continue;
    }
    life_line_ = FdStream(std::move(accepted), Direction::kRead);
  }
  std::array<std::byte, 1> answer{};
  const std::ptrdiff_t came = receive_now(life_line_.fd(), answer);
  if (came > 0) return judge(url_, static_cast<Answer>(answer[0]), Hello::kSends);
  if (came < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  life_line_.close();  // it has given up; another one may come
  connected_ = false;
  return false;
}

Result<SenderParts> open_raw_sender(const Url& url, const OpenOptions& options) {
  Retry retry;
  for (;;) {
    auto socket = connect_unasked(url, options);
    if (socket) {
      auto packets = datagrams_over(url, FdStream(std::move(*socket), Direction::kWrite), {});
      if (!packets) return std::move(packets).error();
      return make_packet_sender(std::move(packets).value(), {}, url, options);
    }
    if (socket.error().code != ErrorCode::kNotFound) return std::move(socket).error();
    if (auto paused = retry.pause(options, receiver_for(url)); !paused) {
      return std::move(paused).error();
    }
  }
}

// ---- the receiver ----

// A receiver's socket, at its name.
struct DatagramDoor {
  Url url;
  ListeningSocket at;
  PendingCleanup name;

  static Result<DatagramDoor> make(const Url& url, const OpenOptions& options) {
    Url found = url;
    auto made = listen_for_peers(found, options, 0, "a receiver");
    if (!made) return std::move(made).error();
    PendingCleanup name(std::move(made->cleanup));
    if (has_handshake(url)) tell_senders(made->socket.fd(), true);
    return DatagramDoor{std::move(found), std::move(made).value(), std::move(name)};
  }

  [[nodiscard]] Result<std::optional<FdStream>> try_meet();
  Result<ReceiverParts> finish(FdStream life_line, const OpenOptions& options) && {
    if (life_line.is_open()) name = {};
    auto packets = datagrams_over(url, std::move(at.socket), std::move(life_line));
    if (!packets) return std::move(packets).error();
    return make_packet_receiver(std::move(packets).value(), std::move(name), url, options);
  }

 private:
  [[nodiscard]] FdStream meet(const SocketAddress& sender, const PeerCredentials& who);
};

// The life line of the sender that said hello from there; not open if it is none.
FdStream DatagramDoor::meet(const SocketAddress& sender, const PeerCredentials& who) {
  FdStream life_line(make_socket(SocketKind::kStream), Direction::kRead);
  if (!life_line.is_open() || connect_to(life_line.fd(), sender) != 0) return {};
  set_pass_descriptors(life_line.fd(), false);
  const auto say = [&](Answer answer) {
    return send_now(life_line.fd(), std::as_bytes(std::span(&answer, 1)));
  };
  const auto peer = credentials_of(url, life_line.fd());
  if (!peer || peer->process != who.process || peer->user != who.user) {
    close_or_leak(std::move(life_line).release());
    return {};
  }
  if (!check_peer(url, *peer)) {
    static_cast<void>(say(Answer::kNotPermitted));
    close_or_leak(std::move(life_line).release());
    return {};
  }
  const NativeHandle socket = at.socket.fd();
  if (connect_to(socket, sender) != 0) return {};
  std::array<std::byte, 1> thrown_away{};
  SocketAddress ignored;
  for (int i = 0; i < kMostThrownAway && receive_from(socket, thrown_away, ignored) >= 0; ++i) {
  }
  if (say(Answer::kConfirmed)) {
    tell_senders(socket, false);
    return life_line;
  }
  disconnect(socket);
  return {};
}

// The life line of a sender, if one has come. Errors: kSystem.
Result<std::optional<FdStream>> DatagramDoor::try_meet() {
  for (int i = 0; i < kMostLookedAt; ++i) {
    std::uint64_t said = 0;
    SocketAddress sender;
    PeerCredentials who;
    const std::ptrdiff_t came =
        receive_from(at.socket.fd(), std::as_writable_bytes(std::span(&said, 1)), sender, who);
    if (came < 0 && errno == EAGAIN) return std::optional<FdStream>();
    if (came < 0 && errno != EINTR) return system_error(url, "recvfrom", errno);
    if (came != sizeof said || said != kDatagramHello || !is_abstract_address(sender)) continue;
    if (!can_leak()) continue;
    if (FdStream life_line = meet(sender, who); life_line.is_open()) {
      return std::optional(std::move(life_line));
    }
  }
  return std::optional<FdStream>();
}

}  // namespace

Result<SenderParts> open_datagram_sender(const Url& url, const OpenOptions& options) {
  if (auto sound = check_unasked(url); !sound) return std::move(sound).error();
  if (!has_handshake(url)) return open_raw_sender(url, options);
  auto caller = DatagramCaller::make(url);
  if (!caller) return std::move(caller).error();
  Retry retry;
  for (;;) {
    if (auto called = caller->call(); !called && called.error().code != ErrorCode::kNotFound) {
      return std::move(called).error();
    }
    const auto answered = caller->answered();
    if (!answered) return answered.error();
    if (*answered) return std::move(*caller).finish(options);
    if (auto paused = retry.pause(options, receiver_for(url)); !paused) {
      return caller->in_vain(std::move(paused).error());
    }
  }
}

Result<ReceiverParts> open_datagram_receiver(const Url& url, const OpenOptions& options) {
  if (auto sound = check_unasked(url); !sound) return std::move(sound).error();
  auto door = DatagramDoor::make(url, options);
  if (!door) return std::move(door).error();
  if (!has_handshake(url)) return std::move(*door).finish({}, options);
  for (;;) {
    auto met = door->try_meet();
    if (!met) return std::move(met).error();
    if (*met) return std::move(*door).finish(*std::move(*met), options);
    if (auto go_on = Retry::allowed(options, sender_for(url)); !go_on) {
      return std::move(go_on).error();
    }
    // Where the name was taken away none would come here any more.
    if (!door->at.at_its_name()) {
      auto anew = DatagramDoor::make(url, options);
      if (!anew) return std::move(anew).error();
      *door = std::move(anew).value();
    }
    const NativeHandle socket = door->at.socket.fd();
    wait_readable(std::span(&socket, 1), earlier(options.wait, Deadline::after(kWaitSlice)));
  }
}

Result<PairParts> open_datagram_pair(const Url& url, const OpenOptions& options) {
  if (auto sound = check_unasked(url); !sound) return std::move(sound).error();
  auto door = DatagramDoor::make(url, options);
  if (!door) return std::move(door).error();
  if (!has_handshake(url)) {
    auto sender = open_raw_sender(url, options);
    if (!sender) return std::move(sender).error();
    return make_pair(std::move(sender).value(),
                     [&] { return std::move(*door).finish({}, options); });
  }
  auto caller = DatagramCaller::make(url);
  if (!caller) return std::move(caller).error();
  if (auto called = caller->call(); !called) return std::move(called).error();
  auto met = door->try_meet();
  if (!met) return std::move(met).error();
  const auto answered = caller->answered();
  if (!answered) return answered.error();
  if (!*met || !*answered) {
    return Error{ErrorCode::kBusy, url.name() + ": another sender has come in between"};
  }
  auto sender = std::move(*caller).finish(options);
  if (!sender) return std::move(sender).error();
  return make_pair(std::move(sender).value(),
                   [&] { return std::move(*door).finish(*std::move(*met), options); });
}

}  // namespace rondo::inline RONDO_ABI::detail
