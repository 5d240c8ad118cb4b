// Addresses of sockets that stand in no directory: abstract names of UNIX sockets, and TCP's. What
// is asked of the system, one call each. `int`: 0, or the error.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "open/sockets.hpp"
#include "rondo/core/descriptor.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "url/host_port.hpp"

namespace rondo::inline RONDO_ABI::detail {

// As the system has it: the first `size_bytes` of `bytes`.
struct SocketAddress {
  alignas(8) std::array<std::byte, 128> bytes{};
  std::uint32_t size_bytes = 0;
};

// Of exactly these bytes, 107 at most: padding would be part of the name.
[[nodiscard]] SocketAddress abstract_address(std::string_view name) noexcept;

// The next datagram, and who sent it; does not wait. -1: none now, or why not, in errno. Its whole
// size, however much of it there is room for.
[[nodiscard]] std::ptrdiff_t receive_from(NativeHandle socket, std::span<std::byte> bytes,
                                          SocketAddress& sender) noexcept;
// From now on, or no more, a socket of datagrams is told by the kernel who sends each.
void tell_senders(NativeHandle socket, bool told) noexcept;
// As above, of a socket that is told.
[[nodiscard]] std::ptrdiff_t receive_from(NativeHandle socket, std::span<std::byte> bytes,
                                          SocketAddress& sender, PeerCredentials& who) noexcept;
// As send_now(), with the effective ids of this process, which are those that a listener has.
[[nodiscard]] bool send_as_self(NativeHandle socket, std::span<const std::byte> bytes) noexcept;
[[nodiscard]] bool is_abstract_address(const SocketAddress& address) noexcept;
// A socket of datagrams takes them from whoever sends some again; what lies in it is gone.
void disconnect(NativeHandle socket) noexcept;

// What a lookup has come to.
enum class Resolved : std::uint8_t {
  kYes,
  kNotNow,  // the name service does not answer; later it may
  kNever    // there is no such name, or it has no address here
};
// The addresses of a host, in the order in which they are to be tried; of none: those of every
// address of this machine, to listen at, or of this machine, to connect to. `reason`: in the
// system's words. Blocks on the system's name service for as long as that takes, whatever the
// deadline and the stop flag; for an address in digits not at all.
[[nodiscard]] Resolved resolve(const HostPort& target, bool to_listen,
                               std::vector<SocketAddress>& addresses, std::string& reason);

// A stream socket, or one of datagrams, for such an address, which does not block; none: errno says
// why.
[[nodiscard]] UniqueFd make_socket_for(const SocketAddress& address,
                                       bool datagrams = false) noexcept;
[[nodiscard]] bool is_ipv6(const SocketAddress& address) noexcept;
[[nodiscard]] int bind_to(NativeHandle socket, const SocketAddress& address) noexcept;
// EINPROGRESS: outcome_of() tells.
[[nodiscard]] int connect_to(NativeHandle socket, const SocketAddress& address) noexcept;
// Of a connection that was begun: 0 (it stands), EINPROGRESS, or why it failed.
[[nodiscard]] int outcome_of(NativeHandle socket) noexcept;
// Of such an error: whether another address, or the same one later, may do.
[[nodiscard]] bool may_come(int error) noexcept;
// Whether its other end is itself: so a connection to a port that no process listens at can end
// that was given the same port for its own end.
[[nodiscard]] bool is_own_peer(NativeHandle socket) noexcept;
// Gives a UNIX socket a name that no other one has: an abstract one.
[[nodiscard]] int bind_to_any_name(NativeHandle socket) noexcept;
// Whether two sockets with addresses are connected to each other.
[[nodiscard]] bool are_ends_of_one(NativeHandle one, NativeHandle other);
// It goes at once, and its port with it.
void reset_on_close(NativeHandle socket) noexcept;

// "127.0.0.1:7000", "[::1]:7000"; of the socket's own end, or of the other one.
[[nodiscard]] std::string own_address(NativeHandle socket);
[[nodiscard]] std::string peer_address(NativeHandle socket);

// By which those who connect are told apart, from such an address: an IPv4 address by itself, of
// IPv6 the first 64 bits, as one machine has as many of the others as it likes; and of one that is
// valid on a link alone, the link.
[[nodiscard]] std::uint64_t origin_of(const std::string& address) noexcept;

// Whether it is a group's (multicast).
[[nodiscard]] bool is_group(const SocketAddress& address) noexcept;
// The interface of that name, or that has that address; 0: there is none. Empty: the system's
// choice, which is 0, too.
[[nodiscard]] unsigned find_interface(const std::string& wanted) noexcept;
// Over which interface a group is to be reached, by its number: over this one, which then stands in
// the address, too; 0: over the one that stands there. 0: it is the system's choice, which has none
// for a group of one interface or one link alone (ff01::, ff02::).
[[nodiscard]] unsigned settle_interface(SocketAddress& group, unsigned interface) noexcept;
[[nodiscard]] bool needs_interface(const SocketAddress& group) noexcept;
// Else a socket of datagrams gets what is sent to a group that any other one of this machine has
// joined, if only the port is its own.
void refuse_others_groups(NativeHandle socket) noexcept;
// Before a socket is bound to a group's address: others may be, too.
[[nodiscard]] int share_address(NativeHandle socket) noexcept;
[[nodiscard]] int join_group(NativeHandle socket, const SocketAddress& group,
                             unsigned interface) noexcept;
// Before a socket is connected to a group's address; also to those on this machine.
[[nodiscard]] int set_group_sending(NativeHandle socket, const SocketAddress& group, unsigned hops,
                                    unsigned interface) noexcept;

// Before a socket of IPv6 is bound, whether IPv4 is not served by it.
[[nodiscard]] int set_ipv6_alone(NativeHandle socket, bool alone) noexcept;
// Asks for a buffer of so many bytes: for what is received, or sent. What the system makes of it.
[[nodiscard]] std::uint64_t wish_buffer(NativeHandle socket, bool receives,
                                        std::uint64_t size_bytes) noexcept;
// Before a listener is bound. `ipv6_alone`: IPv4 is not served by this socket.
[[nodiscard]] int prepare_listener(NativeHandle socket, bool ipv6, bool ipv6_alone) noexcept;
// Of a connection: messages leave at once; and unless `keepalive` is zero, a machine at the other
// end that answers nothing for about so long is lost, idle or not. One whose process merely does
// not read is not, where the kernel can tell (Linux 6.15).
void prepare_connection(NativeHandle socket, std::chrono::seconds keepalive) noexcept;

// Waits until one of them has connected, or failed; until `deadline` at most.
void wait_connected(std::span<const UniqueFd> sockets, Deadline deadline) noexcept;

}  // namespace rondo::inline RONDO_ABI::detail
