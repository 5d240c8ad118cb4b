// tcp: a socket that listens at a port, and connecting to it.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "open/addresses.hpp"
#include "open/listening_socket.hpp"
#include "open/name.hpp"
#include "open/open.hpp"
#include "open/ports.hpp"
#include "open/sockets.hpp"
#include "url/host_port.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

// After so long an address that has not answered is left to it, and the next one is tried besides.
constexpr std::chrono::milliseconds kStagger{250};
constexpr std::size_t kMaxAddresses = 16;

// Connects to the addresses of a host, one after the other, and to several at once where one takes
// its time.
class Connector {
 public:
  Connector(const Url& url, std::vector<SocketAddress> addresses, AddressTurn& turn) noexcept
      : url_(url), addresses_(std::move(addresses)) {
    if (addresses_.size() > kMaxAddresses) addresses_.resize(kMaxAddresses);
    turn.addresses = addresses_.size();
    turn.first %= turn.addresses;
    std::rotate(addresses_.begin(), addresses_.begin() + static_cast<std::ptrdiff_t>(turn.first),
                addresses_.end());
  }

  Result<UniqueFd> connect(const OpenOptions& options) {
    for (;;) {
      if (next_ < addresses_.size() && (attempts_.empty() || try_next_.passed())) begin();
      if (UniqueFd connected = look()) return connected;
      if (attempts_.empty()) {
        if (next_ < addresses_.size()) continue;
        if (!may_come(error_)) return system_error(url_, "connect", error_);
        return Error{ErrorCode::kNotFound,
                     "no process listens at " + url_.name() + ": " + words_of(error_)};
      }
      if (auto go_on = Retry::allowed(options, "an answer from " + url_.name()); !go_on) {
        return std::move(go_on).error();
      }
      Deadline slice = earlier(options.wait, Deadline::after(kWaitSlice));
      if (next_ < addresses_.size()) slice = earlier(slice, try_next_);
      wait_connected(attempts_, slice);
    }
  }

 private:
  void begin() {
    const SocketAddress& address = addresses_[next_++];
    try_next_ = Deadline::after(kStagger);
    UniqueFd socket = make_socket_for(address);
    const int error = socket ? connect_to(socket.get(), address) : errno;
    // One that a signal interrupted goes on.
    if (error == 0 || error == EINPROGRESS || (error == EINTR && socket)) {
      attempts_.push_back(std::move(socket));
    } else {
      failed(error);
    }
  }

  // One that stands; those that failed are let go of.
  UniqueFd look() noexcept {
    for (auto attempt = attempts_.begin(); attempt != attempts_.end();) {
      int error = outcome_of(attempt->get());
      if (error == EINPROGRESS) {
        ++attempt;
        continue;
      }
      if (error == 0 && is_own_peer(attempt->get())) {
        reset_on_close(attempt->get());  // it has the port that a process is to listen at
        error = ECONNREFUSED;
      }
      if (error == 0) return std::move(*attempt);
      failed(error);
      std::swap(*attempt, attempts_.back());
      attempts_.pop_back();
    }
    return {};
  }

  // What says most is kept: that one may come, and of that, that the machine answered; an address
  // that is refused for good is no reason to give up the others.
  void failed(int error) noexcept {
    const bool better =
        error_ == 0 || (may_come(error) && (!may_come(error_) || error == ECONNREFUSED));
    if (better) error_ = error;
    try_next_ = Deadline::now();
  }

  const Url& url_;
  std::vector<SocketAddress> addresses_;
  std::size_t next_ = 0;  // of the addresses
  Deadline try_next_ = Deadline::now();
  std::vector<UniqueFd> attempts_;
  int error_ = 0;
};

// A socket bound to one address; 0, or the error and the call that failed.
int listen_at_address(const SocketAddress& address, bool dual, int backlog, UniqueFd& socket,
                      std::string_view& call) noexcept {
  call = "socket";
  socket = make_socket_for(address);
  if (!socket) return errno;
  call = "setsockopt";
  const bool ipv6 = is_ipv6(address);
  // "[::]" is IPv6 alone, so that it goes beside a "0.0.0.0" of another program; no host is both.
  if (const int error = prepare_listener(socket.get(), ipv6, !dual); error != 0) return error;
  call = "bind";
  if (const int error = bind_to(socket.get(), address); error != 0) return error;
  call = "listen";
  return listen_on(socket.get(), backlog);
}

}  // namespace

Result<ListeningSocket> listen_at_port(Url& url, int backlog, std::string_view owner) {
  HostPort place = host_port_of(url);
  std::vector<SocketAddress> addresses;
  std::string reason;
  if (resolve(place, true, addresses, reason) != Resolved::kYes) return unresolved(url, reason);
  int error = 0;
  std::string_view call;
  for (const SocketAddress& address : addresses) {
    UniqueFd socket;
    error = listen_at_address(address, place.host.empty(), backlog, socket, call);
    // Another address is no substitute for one that is taken.
    if (error == EADDRINUSE) break;
    if (error != 0) continue;
    if (auto named = name_port(url, socket.get()); !named) return std::move(named).error();
    return ListeningSocket{FdStream(std::move(socket), FdStream::Direction::kRead), nullptr, {}};
  }
  return cannot_bind(url, call, error, owner);
}

Result<UniqueFd> connect_to_port(const Url& url, const OpenOptions& options, AddressTurn& turn) {
  const HostPort place = host_port_of(url);
  if (place.port == 0) {
    return Error{ErrorCode::kInvalidOption,
                 url.name() +
                     ": port 0 stands for any free one, of the side that listens; the "
                     "other side needs to be told which it is"};
  }
  std::vector<SocketAddress> addresses;
  std::string reason;
  switch (resolve(place, false, addresses, reason)) {
    case Resolved::kYes: break;
    case Resolved::kNotNow: return unresolved(url, reason);
    case Resolved::kNever:
      return Error{ErrorCode::kInvalidName, url.name() + ": the host has no address: " + reason};
  }
  return Connector(url, std::move(addresses), turn).connect(options);
}

}  // namespace rondo::inline RONDO_ABI::detail
