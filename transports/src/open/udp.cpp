// udp: the receiver binds the address, and a sender sends to it, whether or not it is there: no one
// answers. What is lost on the way is counted (numbered_datagrams.hpp), and not sent again.
#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "endpoint/packets.hpp"
#include "open/addresses.hpp"
#include "open/name.hpp"
#include "open/open.hpp"
#include "open/ports.hpp"
#include "rondo/core/instance_id.hpp"
#include "stream/fd_stream.hpp"
#include "stream/udp_packets.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

using Direction = FdStream::Direction;

bool is_raw_udp(const Url& url) noexcept { return packet_form(url) == PacketForm::kRaw; }

Result<void> check_udp_limit(const Url& url) {
  return check_packet_limit(url, max_udp_packet(is_raw_udp(url)),
                            "no datagram has room for more; use tcp:, or divide it");
}

// Errors: kNotFound (not now), kInvalidName (never).
Result<std::vector<SocketAddress>> udp_addresses(const Url& url, bool to_bind) {
  std::vector<SocketAddress> addresses;
  std::string reason;
  const Resolved found = resolve(host_port_of(url), to_bind, addresses, reason);
  if (found == Resolved::kYes) return addresses;
  Error error = unresolved(url, reason);
  if (found == Resolved::kNever) error.code = ErrorCode::kInvalidName;
  return error;
}

Result<void> give_buffer(const Url& url, NativeHandle socket, bool receives) {
  if (!url.options.buffer_bytes) return {};
  const std::uint64_t got = wish_buffer(socket, receives, *url.options.buffer_bytes);
  if (got >= *url.options.buffer_bytes) return {};
  return Error{ErrorCode::kInvalidCapacity,
               url.name() + ": buffer=" + format_size(*url.options.buffer_bytes) +
                   " is more than the system gives, " + format_size(got) + "; raise net.core." +
                   (receives ? "rmem_max" : "wmem_max") + ", or say less"};
}

// Of groups alone: the interface, by its number; where it has to, it stands in the address then.
// Errors: kInvalidOption, kNotFound.
Result<unsigned> interface_of(const Url& url, SocketAddress& address) {
  const std::string& wanted = url.options.interface;
  if (!is_group(address) && (url.options.hops || !wanted.empty())) {
    return Error{ErrorCode::kInvalidOption,
                 url.name() +
                     " is no group; ttl= and interface= are for the address of one, from 224.0.0.0 "
                     "to 239.255.255.255 or from ff00:: on"};
  }
  const unsigned index = find_interface(wanted);
  if (index != 0 || wanted.empty()) {
    const unsigned settled = is_group(address) ? settle_interface(address, index) : 0;
    if (settled != 0 || !needs_interface(address)) return settled;
    return Error{ErrorCode::kInvalidOption,
                 url.name() +
                     " is a group of one network alone, as all from ff01:: and ff02:: on are; say "
                     "over which interface it is reached, such as interface=eth0"};
  }
  return Error{ErrorCode::kNotFound, url.name() + ": there is no interface " + wanted +
                                         ", and none that has such an address; `ip address` "
                                         "shows those that there are"};
}

// ---- the sender ----

// Connected: what comes back tells of a host that has refused a datagram. Errors: kNotFound.
Result<UniqueFd> connect_datagrams(const Url& url, SocketAddress& address) {
  const auto interface = interface_of(url, address);
  if (!interface) return interface.error();
  UniqueFd socket = make_socket_for(address, true);
  int error = socket ? 0 : errno;
  if (error == 0 && is_group(address)) {
    error = set_group_sending(socket.get(), address, url.options.hops.value_or(1), *interface);
  }
  if (error == 0) error = connect_to(socket.get(), address);
  if (error == 0) return socket;
  if (may_come(error)) {
    return Error{ErrorCode::kNotFound, url.name() + " can't be reached: " + words_of(error)};
  }
  return system_error(url, "connect", error);
}

// Over the first of the addresses to which there is a way, but for one whose host has refused the
// hello at once, as this machine does, where another one has not: a receiver has one of those of
// localhost. Errors: as above, those of udp_addresses() and give_buffer().
Result<std::unique_ptr<UdpOutgoing>> find_way(const Url& url) {
  auto addresses = udp_addresses(url, false);
  if (!addresses) return std::move(addresses).error();
  std::optional<DatagramNumbers> numbers;
  if (!is_raw_udp(url)) numbers.emplace(new_instance_id(), url.options.header_bytes());
  std::unique_ptr<UdpOutgoing> refused;
  std::optional<Error> error;
  for (SocketAddress& address : *addresses) {
    auto socket = connect_datagrams(url, address);
    if (!socket) {
      error = std::move(socket).error();
      if (error->code == ErrorCode::kInvalidOption) break;
      continue;
    }
    if (auto buffered = give_buffer(url, socket->get(), false); !buffered) {
      return std::move(buffered).error();
    }
    auto port = std::make_unique<UdpOutgoing>(
        FdStream(std::move(socket).value(), Direction::kWrite), numbers);
    port->say_hello();
    if (outcome_of(port->fd()) != ECONNREFUSED) return port;
    if (refused == nullptr) refused = std::move(port);
  }
  if (refused != nullptr) return refused;
  return *std::move(error);
}

// ---- the receiver ----

int bind_datagrams(const Url& url, const SocketAddress& address, unsigned interface,
                   UniqueFd& socket) {
  socket = make_socket_for(address, true);
  if (!socket) return errno;
  if (is_ipv6(address)) {
    const int error = set_ipv6_alone(socket.get(), !host_port_of(url).host.empty());
    if (error != 0) return error;
  }
  refuse_others_groups(socket.get());
  if (!is_group(address)) return bind_to(socket.get(), address);
  // Each of several receivers of a group gets what is sent to it, and nothing else.
  int error = share_address(socket.get());
  if (error == 0) error = bind_to(socket.get(), address);
  return error == 0 ? join_group(socket.get(), address, interface) : error;
}

// A port 0 becomes the one that was found, in `url` as well.
Result<UniqueFd> bind_receiver(Url& url) {
  auto addresses = udp_addresses(url, true);
  if (!addresses) return std::move(addresses).error();
  int error = 0;
  for (SocketAddress& address : *addresses) {
    const auto interface = interface_of(url, address);
    if (!interface) return interface.error();
    UniqueFd socket;
    error = bind_datagrams(url, address, *interface, socket);
    if (error == EADDRINUSE) break;  // another address is no substitute
    if (error != 0) continue;
    if (auto buffered = give_buffer(url, socket.get(), true); !buffered) {
      return std::move(buffered).error();
    }
    if (auto named = name_port(url, socket.get()); !named) return std::move(named).error();
    return socket;
  }
  return cannot_bind(url, "bind", error, "a receiver");
}

Result<ReceiverParts> make_udp_receiver(const Url& url, UniqueFd socket,
                                        const OpenOptions& options) {
  std::optional<DatagramOrder> order;
  if (!is_raw_udp(url)) {
    order.emplace(url.options.header_bytes(),
                  url.options.await_successor || options.await_successor);
  }
  return make_packet_receiver(
      std::make_unique<UdpIncoming>(FdStream(std::move(socket), Direction::kRead), order,
                                    url.options.silence),
      {}, url, options, PacketStart::kEach);
}

}  // namespace

Result<SenderParts> open_udp_sender(const Url& url, const OpenOptions& options) {
  if (auto fits = check_udp_limit(url); !fits) return std::move(fits).error();
  if (host_port_of(url).port == 0) {
    return Error{ErrorCode::kInvalidOption,
                 url.name() +
                     ": port 0 stands for any free one, of the receiver; a sender needs to be told "
                     "which it is"};
  }
  Retry retry;
  for (;;) {
    auto port = find_way(url);
    if (port) return make_packet_sender(std::move(port).value(), {}, url, options);
    if (port.error().code != ErrorCode::kNotFound) return std::move(port).error();
    if (auto paused = retry.pause(options, "a way: " + port.error().message); !paused) {
      return std::move(paused).error();
    }
  }
}

Result<ReceiverParts> open_udp_receiver(const Url& url, const OpenOptions& options) {
  if (auto fits = check_udp_limit(url); !fits) return std::move(fits).error();
  Url found = url;
  auto socket = bind_receiver(found);
  if (!socket) return std::move(socket).error();
  return make_udp_receiver(found, std::move(socket).value(), options);
}

Result<PairParts> open_udp_pair(const Url& url, const OpenOptions& options) {
  if (auto fits = check_udp_limit(url); !fits) return std::move(fits).error();
  Url found = url;
  auto socket = bind_receiver(found);
  if (!socket) return std::move(socket).error();
  auto sender = open_udp_sender(found, options);
  if (!sender) return std::move(sender).error();
  return make_pair(std::move(sender).value(),
                   [&] { return make_udp_receiver(found, std::move(socket).value(), options); });
}

}  // namespace rondo::inline RONDO_ABI::detail
