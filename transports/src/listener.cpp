#include "rondo/transports/listener.hpp"

#include <algorithm>
#include <cerrno>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "endpoint/backend.hpp"
#include "endpoint/stream.hpp"
#include "open/listening_socket.hpp"
#include "open/meeting.hpp"
#include "open/name.hpp"
#include "open/open.hpp"
#include "open/reception.hpp"
#include "rondo/core/cancellation_disabled.hpp"
#include "rondo/core/fork_check.hpp"
#include "rondo/core/out_of_memory.hpp"
#include "rondo/transports/wait_set.hpp"
#include "stream/framed.hpp"
#include "url/url_options.hpp"

namespace rondo::inline RONDO_ABI {
namespace detail {
namespace {

// How soon one that waits for its place finds that another one has gone.
constexpr std::chrono::milliseconds kFullPause{50};
constexpr int kListenerBacklog = 1024;  // the system allows less (net.core.somaxconn)
// How soon those who may be idle are looked at again, at the earliest.
constexpr std::chrono::milliseconds kIdlenessLook{1};
// A limit of idleness above it is as good as none, and can be added to any time of the clock.
constexpr std::chrono::hours kLongestIdle{24 * 365 * 100};

bool has_connections(const Url& url) noexcept {
  return url.scheme == Scheme::kUnix || is_over_tcp(url);
}

Result<Url> parse_for_connections(std::string_view text) {
  auto url = Url::parse(text);
  if (!url || has_connections(*url)) return url;
  return Error{ErrorCode::kUnsupported,
               url->name() + " is no address that many connect to; unix:, tcp: and tls: are"};
}

}  // namespace

// Makes both handles of a connection, where this side does `ours`.
class ConnectionMaker {
 public:
  static Result<Connection> make(const std::shared_ptr<StreamSocket>& socket, Peer peer,
                                 const Url& url, const OpenOptions& options, Hello ours) {
    using Direction = ByteStream::Direction;
    socket->give_time(options.linger);
    SenderParts sending{record_ring::Producer::shut(), Notifier(), nullptr};
    ReceiverParts receiving{closed_consumer(), Notifier(), nullptr};
    if (ours != Hello::kReceives) {
      auto made = make_stream_sender(std::make_unique<SocketStream>(socket, Direction::kWrite), {},
                                     url, options);
      if (!made) return std::move(made).error();
      sending = std::move(made).value();
    }
    if (ours != Hello::kSends) {
      auto made = make_stream_receiver(std::make_unique<SocketStream>(socket, Direction::kRead), {},
                                       url, options);
      if (!made) return std::move(made).error();
      receiving = std::move(made).value();
    }
    Connection connection{Sender(std::move(sending)), Receiver(std::move(receiving)),
                          std::move(peer)};
    if (ours == Hello::kReceives) connection.sender.stop(Status::kClosed);
    if (ours == Hello::kSends) connection.receiver.status_ = Status::kClosed;
    return connection;
  }
};

}  // namespace detail

using detail::Answer;
using detail::Hello;
using detail::Reception;
using detail::StreamSocket;

Result<Connection> Connection::open(std::string_view text, const OpenOptions& options) {
  return detail::refuse_without_memory([&]() -> Result<Connection> {
    const detail::CancellationDisabled here;
    if (auto fit = detail::check_library(options.headers); !fit) return std::move(fit).error();
    const auto url = detail::parse_for_connections(text);
    if (!url) return url.error();
    auto met = detail::connect_to_peer(*url, options, Hello::kBoth);
    if (!met) return std::move(met).error();
    const auto socket =
        detail::socket_of(met->url, std::move(met->socket), std::move(met->secure), Hello::kBoth);
    return detail::ConnectionMaker::make(socket, std::move(met->peer), met->url, options,
                                         Hello::kBoth);
  });
}

struct Listener::State {
  struct Inside {
    std::weak_ptr<StreamSocket> socket;
    std::uint64_t origin;  // of its peer
  };

  State(Reception opened, const ListenOptions& limits, std::size_t places)
      : reception(std::move(opened)), options(limits) {
    channel.stop = limits.stop;
    channel.linger = limits.linger;
    options.idle = std::min<std::chrono::nanoseconds>(options.idle, detail::kLongestIdle);
    most = places;
  }

  // What has gone is forgotten; what is idle is cut off.
  void look_after() noexcept {
    std::erase_if(inside, [](const Inside& one) { return one.socket.expired(); });
    if (options.idle <= std::chrono::nanoseconds::zero()) return;
    const auto now = Deadline::Clock::now();
    if (now < next_look) return;
    // Often enough to see who is left waiting, and no more often, however close somebody comes to
    // his limit.
    const std::chrono::nanoseconds longest = options.idle / 4;
    const std::chrono::nanoseconds shortest =
        std::max<std::chrono::nanoseconds>(options.idle / 8, detail::kIdlenessLook);
    next_look = now + std::max(longest, shortest);
    // Who was cut off takes its place as long as the program has its handles.
    for (const Inside& one : inside) {
      const auto socket = one.socket.lock();
      if (socket == nullptr || socket->was_cut()) continue;
      const auto waited = socket->waited();
      if (waited < options.idle) {
        next_look = std::min(next_look, now + std::max(options.idle - waited, shortest));
        continue;
      }
      socket->cut();
      ++cut_off;
    }
  }

  // After each next(), which forgets a time that has passed, also one that look_after() has not
  // seen pass.
  void set_next_look() noexcept {
    if (!inside.empty()) reception.look_again_at(Deadline::at(next_look));
  }

  Answer judge(const Peer& peer) const {
    if (inside.size() >= most) return Answer::kFull;
    if (options.connections_per_peer == 0) return Answer::kConfirmed;
    const auto same = std::ranges::count(inside, detail::origin_of(peer), &Inside::origin);
    return same < options.connections_per_peer ? Answer::kConfirmed : Answer::kFull;
  }

  Polled<Connection> try_accept() {
    if (fork_check.forked()) return Status::kForked;
    look_after();
    if (inside.size() >= most) reception.pause(detail::kFullPause);
    auto arrival =
        reception.next([&](Hello, const Peer& peer, NativeHandle) { return judge(peer); });
    set_next_look();
    if (!arrival) {
      if (reception.broken()) return Status::kIoError;
      return reception.deserted() ? Status::kPeerGone : Status::kWouldBlock;
    }
    // What the other one sends, this one receives.
    Hello ours = arrival->hello;
    if (ours != Hello::kBoth) ours = ours == Hello::kSends ? Hello::kReceives : Hello::kSends;
    const auto socket = detail::socket_of(reception.url(), std::move(arrival->socket),
                                          std::move(arrival->secure), ours);
    if (options.idle > std::chrono::nanoseconds::zero() && ours != Hello::kSends) {
      socket->watch_idleness();
    }
    Inside counted{socket, detail::origin_of(arrival->peer)};
    auto made = detail::ConnectionMaker::make(socket, std::move(arrival->peer), reception.url(),
                                              channel, ours);
    if (!made) return Status::kNoMemory;
    inside.push_back(std::move(counted));
    ++accepted;
    if (options.idle > std::chrono::nanoseconds::zero()) {
      next_look = std::min(next_look, Deadline::Clock::now() + options.idle / 4);
      set_next_look();
    }
    return std::optional<Connection>(std::move(made).value());
  }

  void close() noexcept {
    if (!fork_check.forked()) reception.close();
  }

  Reception reception;
  ListenOptions options;
  OpenOptions channel;
  std::size_t most = 0;
  std::vector<Inside> inside;
  Deadline::Clock::time_point next_look = Deadline::Clock::time_point::max();
  std::uint64_t accepted = 0;
  std::uint64_t cut_off = 0;
  detail::ForkCheck fork_check;
};

Result<Listener> Listener::open(std::string_view text, const ListenOptions& options) {
  return detail::refuse_without_memory([&]() -> Result<Listener> {
    const detail::CancellationDisabled here;
    if (auto fit = detail::check_library(options.headers); !fit) return std::move(fit).error();
    auto url = detail::parse_for_connections(text);
    if (!url) return std::move(url).error();
    const std::uint64_t each = detail::staged_bytes(url->options);
    const std::uint64_t most =
        std::min<std::uint64_t>(options.connections, options.buffered_bytes / each);
    if (most == 0 || options.handshakes == 0 ||
        options.handshake <= std::chrono::nanoseconds::zero()) {
      return Error{ErrorCode::kInvalidOption,
                   url->name() + ": these limits let nobody in; one connection takes " +
                       std::to_string(each) + " bytes"};
    }
    OpenOptions opening;
    opening.stop = options.stop;
    auto reception = Reception::open(*url, opening, {options.handshakes, options.handshake},
                                     detail::kListenerBacklog, "a listener");
    if (!reception) return std::move(reception).error();
    detail::OpenDoor door{std::move(reception).value()};
    auto state = std::make_unique<State>(std::move(*door.reception), options,
                                         static_cast<std::size_t>(most));
    door.reception.reset();
    return Listener(std::move(state));
  });
}

Listener::Listener(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Listener::Listener(Listener&& other) noexcept = default;
Listener& Listener::operator=(Listener&& other) noexcept {
  if (this == &other) return *this;
  close();
  state_ = std::move(other.state_);
  return *this;
}
Listener::~Listener() { close(); }

void Listener::close() noexcept {
  if (state_ == nullptr) return;
  const detail::CancellationDisabled here;
  state_->close();
  state_.reset();
}

Polled<Connection> Listener::accept(Deadline deadline) noexcept {
  const detail::CancellationDisabled here;
  if (state_ == nullptr) return Status::kClosed;
  for (;;) {
    try {
      auto connection = state_->try_accept();
      if (connection.status() != Status::kWouldBlock) return connection;
    } catch (const std::bad_alloc&) {
      return Status::kNoMemory;
    }
    const std::atomic<bool>* const stop = state_->options.stop;
    if (const Status why = detail::why_to_end(deadline, stop); why != Status::kOk) return why;
    const Deadline slice =
        stop != nullptr ? Deadline::after(detail::kNameCheckInterval) : Deadline::never();
    state_->reception.wait(earlier(deadline, slice));
  }
}

std::optional<Connection> Listener::try_accept() noexcept {
  auto connection = this->accept(Deadline::now());
  if (!connection) return std::nullopt;
  return std::optional<Connection>(*std::move(connection));
}

NativeHandle Listener::fd() const noexcept {
  return state_ != nullptr ? state_->reception.fd() : detail::kNoHandle;
}

ListenerInfo Listener::info() const {
  ListenerInfo info;
  if (state_ == nullptr) return info;
  const Reception& reception = state_->reception;
  info.name = reception.url().name();
  info.at_its_name = reception.at_its_name();
  info.connections = static_cast<std::uint32_t>(
      std::ranges::count_if(state_->inside, [](const auto& one) { return !one.socket.expired(); }));
  info.handshakes = static_cast<std::uint32_t>(reception.handshakes());
  info.accepted = state_->accepted;
  info.turned_away = reception.turned_away();
  info.last_turned_away = reception.last_refusal();
  info.cut_off = state_->cut_off;
  if (const int error = reception.trouble(); error != 0) {
    info.trouble = detail::system_error(reception.url(), "accept", error).message;
  }
  return info;
}

Result<void> WaitSet::add(Listener& listener, Key key) {
  return add_descriptor(listener.fd(), false, key);
}

}  // namespace rondo::inline RONDO_ABI
