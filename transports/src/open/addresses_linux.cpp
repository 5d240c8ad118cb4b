#include "open/addresses.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <system_error>

#include "open/error_of.hpp"
#include "rondo/core/cancellation_disabled.hpp"
#include "rondo/core/timespec.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr int kRtoMaxMs = 44;         // TCP_RTO_MAX_MS, which older headers lack
constexpr int kLeastRtoMaxMs = 1000;  // the kernel takes no less
constexpr int kMostRtoMaxMs = 120'000;
constexpr std::size_t kMaxPolled = 32;

const sockaddr* raw(const SocketAddress& address) noexcept {
  return reinterpret_cast<const sockaddr*>(address.bytes.data());
}

SocketAddress address_of(const sockaddr* from, socklen_t size) noexcept {
  SocketAddress address;
  address.size_bytes =
      static_cast<std::uint32_t>(std::min<std::size_t>(size, address.bytes.size()));
  std::memcpy(address.bytes.data(), from, address.size_bytes);
  return address;
}

using AskName = int (*)(int, sockaddr*, socklen_t*) noexcept;

SocketAddress name_of(int socket, AskName ask) noexcept {
  SocketAddress address;
  socklen_t size = static_cast<socklen_t>(address.bytes.size());
  if (ask(socket, reinterpret_cast<sockaddr*>(address.bytes.data()), &size) == 0) {
    address.size_bytes = std::min<std::uint32_t>(size, address.bytes.size());
  }
  return address;
}

std::string text_of(const SocketAddress& address) {
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (address.size_bytes == 0 ||
      getnameinfo(raw(address), address.size_bytes, host, sizeof host, port, sizeof port,
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return {};
  }
  std::string text(host);
  // An IPv4 peer of an IPv6 socket.
  constexpr std::string_view kMapped = "::ffff:";
  if (text.starts_with(kMapped) && text.find('.') != std::string::npos) {
    text.erase(0, kMapped.size());
  }
  if (text.find(':') != std::string::npos) text = '[' + text + ']';
  return text + ':' + port;
}

// Of "%eth0]:7000", without the port.
std::uint32_t zone_hash(std::string_view zone) noexcept {
  std::uint32_t hash = 2166136261u;  // FNV-1a
  for (const char c : zone.substr(0, zone.find(']'))) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 16777619u;
  }
  return hash;
}

void set_number(int socket, int level, int option, int value) noexcept {
  static_cast<void>(setsockopt(socket, level, option, &value, sizeof value));
}

}  // namespace

SocketAddress abstract_address(std::string_view name) noexcept {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t size = name.copy(address.sun_path + 1, sizeof address.sun_path - 1);
  return address_of(reinterpret_cast<const sockaddr*>(&address),
                    static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + size));
}

std::ptrdiff_t receive_from(NativeHandle socket, std::span<std::byte> bytes,
                            SocketAddress& sender) noexcept {
  const CancellationDisabled here;
  socklen_t size = static_cast<socklen_t>(sender.bytes.size());
  const ssize_t came = recvfrom(socket, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_TRUNC,
                                reinterpret_cast<sockaddr*>(sender.bytes.data()), &size);
  sender.size_bytes = static_cast<std::uint32_t>(std::min<std::size_t>(size, sender.bytes.size()));
  return came;
}

void tell_senders(NativeHandle socket, bool told) noexcept {
  set_number(socket, SOL_SOCKET, SO_PASSCRED, told ? 1 : 0);
}

std::ptrdiff_t receive_from(NativeHandle socket, std::span<std::byte> bytes, SocketAddress& sender,
                            PeerCredentials& who) noexcept {
  const CancellationDisabled here;
  // Room for these alone: descriptors that come along are not let in.
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(ucred))> control{};
  iovec room{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_name = sender.bytes.data();
  message.msg_namelen = static_cast<socklen_t>(sender.bytes.size());
  message.msg_iov = &room;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t came = recvmsg(socket, &message, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
  if (came < 0) return came;
  sender.size_bytes =
      static_cast<std::uint32_t>(std::min<std::size_t>(message.msg_namelen, sender.bytes.size()));
  ucred told{};
  told.uid = told.gid = ~0u;
  const cmsghdr* const part = CMSG_FIRSTHDR(&message);
  if (part != nullptr && part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_CREDENTIALS) {
    std::memcpy(&told, CMSG_DATA(part), sizeof told);
  }
  who = {static_cast<std::uint32_t>(told.pid), told.uid, told.gid};
  return came;
}

bool send_as_self(NativeHandle socket, std::span<const std::byte> bytes) noexcept {
  const CancellationDisabled here;
  alignas(cmsghdr) std::array<std::byte, CMSG_SPACE(sizeof(ucred))> control{};
  iovec all{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &all;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const part = CMSG_FIRSTHDR(&message);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_CREDENTIALS;
  part->cmsg_len = CMSG_LEN(sizeof(ucred));
  const ucred self{getpid(), geteuid(), getegid()};
  std::memcpy(CMSG_DATA(part), &self, sizeof self);
  return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT) ==
         static_cast<ssize_t>(bytes.size());
}

bool is_abstract_address(const SocketAddress& address) noexcept {
  constexpr std::size_t kName = offsetof(sockaddr_un, sun_path);
  return address.size_bytes > kName + 1 && raw(address)->sa_family == AF_UNIX &&
         address.bytes[kName] == std::byte{0};
}

void disconnect(NativeHandle socket) noexcept {
  sockaddr none{};
  none.sa_family = AF_UNSPEC;
  static_cast<void>(connect(socket, &none, sizeof none));
}

Resolved resolve(const HostPort& target, bool to_listen, std::vector<SocketAddress>& addresses,
                 std::string& reason) {
  const CancellationDisabled here;
  addrinfo wanted{};
  wanted.ai_family = AF_UNSPEC;
  wanted.ai_socktype = SOCK_STREAM;
  wanted.ai_flags = AI_NUMERICSERV | AI_NUMERICHOST | (to_listen ? AI_PASSIVE : 0);
  const std::string port = std::to_string(target.port);
  const char* const host = target.host.empty() ? nullptr : target.host.c_str();
  addrinfo* found = nullptr;
  int result = getaddrinfo(host, port.c_str(), &wanted, &found);
  if (result == EAI_NONAME && host != nullptr) {  // no address in digits
    wanted.ai_flags &= ~AI_NUMERICHOST;
    result = getaddrinfo(host, port.c_str(), &wanted, &found);
  }
  if (result != 0) {
    reason = result == EAI_SYSTEM ? std::generic_category().message(errno) : gai_strerror(result);
    const bool later = result == EAI_AGAIN || result == EAI_SYSTEM || result == EAI_MEMORY;
    return later ? Resolved::kNotNow : Resolved::kNever;
  }
  struct Freed {
    addrinfo* list;
    ~Freed() { freeaddrinfo(list); }
  } const freed{found};
  for (const addrinfo* one = found; one != nullptr; one = one->ai_next) {
    if (one->ai_family != AF_INET && one->ai_family != AF_INET6) continue;
    addresses.push_back(address_of(one->ai_addr, one->ai_addrlen));
  }
  // What serves both kinds comes first.
  if (to_listen && host == nullptr) {
    std::ranges::sort(addresses, {}, [](const auto& one) { return is_ipv6(one) ? 0 : 1; });
  }
  reason = "it has no address of IPv4 or IPv6";
  return addresses.empty() ? Resolved::kNever : Resolved::kYes;
}

UniqueFd make_socket_for(const SocketAddress& address, bool datagrams) noexcept {
  return open_socket_of(raw(address)->sa_family,
                        (datagrams ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK);
}

bool is_ipv6(const SocketAddress& address) noexcept { return raw(address)->sa_family == AF_INET6; }

int bind_to(NativeHandle socket, const SocketAddress& address) noexcept {
  return error_of(bind(socket, raw(address), address.size_bytes));
}

int connect_to(NativeHandle socket, const SocketAddress& address) noexcept {
  const CancellationDisabled here;
  return error_of(connect(socket, raw(address), address.size_bytes));
}

int outcome_of(NativeHandle socket) noexcept {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(socket, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  if (error != 0) return error;
  SocketAddress peer;
  size = static_cast<socklen_t>(peer.bytes.size());
  if (getpeername(socket, reinterpret_cast<sockaddr*>(peer.bytes.data()), &size) == 0) return 0;
  return errno == ENOTCONN ? EINPROGRESS : errno;
}

bool may_come(int error) noexcept {
  switch (error) {
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENETUNREACH:
    case ENETDOWN:
    case EAFNOSUPPORT:
    case EADDRNOTAVAIL:  // no address of this kind, or no port, for our own end
    case EADDRINUSE:
    case EAGAIN:
    case EINTR: return true;
    default: return false;
  }
}

bool is_own_peer(NativeHandle socket) noexcept {
  const SocketAddress own = name_of(socket, getsockname);
  const SocketAddress peer = name_of(socket, getpeername);
  return own.size_bytes != 0 && own.size_bytes == peer.size_bytes && own.bytes == peer.bytes;
}

int bind_to_any_name(NativeHandle socket) noexcept {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  return error_of(
      bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address.sun_family));
}

bool are_ends_of_one(NativeHandle one, NativeHandle other) {
  const SocketAddress here = name_of(one, getsockname);
  const SocketAddress there = name_of(other, getpeername);
  if (here.size_bytes <= sizeof(sa_family_t)) return false;
  // As text: the same IPv4 address is another one to an IPv6 socket.
  if (raw(here)->sa_family != AF_UNIX) {
    const std::string address = text_of(here);
    return !address.empty() && address == text_of(there);
  }
  return here.size_bytes == there.size_bytes && here.bytes == there.bytes;
}

void reset_on_close(NativeHandle socket) noexcept {
  const linger at_once{1, 0};
  static_cast<void>(setsockopt(socket, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
}

std::string own_address(NativeHandle socket) { return text_of(name_of(socket, getsockname)); }
std::string peer_address(NativeHandle socket) { return text_of(name_of(socket, getpeername)); }

std::uint64_t origin_of(const std::string& address) noexcept {
  constexpr std::uint64_t kIpv4 = std::uint64_t{1} << 32;  // as such an IPv6 address there is none
  std::array<char, INET6_ADDRSTRLEN> host{};
  const bool ipv6 = address.starts_with('[');
  const std::size_t begin = ipv6 ? 1 : 0;
  const std::size_t end = address.find_first_of(ipv6 ? "%]" : ":", begin);
  if (end == std::string::npos || end - begin >= host.size()) return 0;
  address.copy(host.data(), end - begin, begin);
  std::array<std::uint8_t, sizeof(in6_addr)> bytes{};
  if (inet_pton(ipv6 ? AF_INET6 : AF_INET, host.data(), bytes.data()) != 1) return 0;
  std::uint64_t origin = 0;
  for (std::size_t i = 0; i < (ipv6 ? 8 : 4); ++i) origin = origin << 8 | bytes[i];
  if (!ipv6) return kIpv4 | origin;
  // Of a link (fe80::/64), the half behind the prefix's bits is free for its zone.
  if (address[end] == '%') origin ^= zone_hash(std::string_view(address).substr(end));
  return origin;
}

bool is_group(const SocketAddress& address) noexcept {
  if (is_ipv6(address)) {
    return IN6_IS_ADDR_MULTICAST(&reinterpret_cast<const sockaddr_in6*>(raw(address))->sin6_addr);
  }
  return raw(address)->sa_family == AF_INET &&
         IN_MULTICAST(ntohl(reinterpret_cast<const sockaddr_in*>(raw(address))->sin_addr.s_addr));
}

unsigned settle_interface(SocketAddress& group, unsigned interface) noexcept {
  if (!is_ipv6(group)) return interface;
  auto* const address = reinterpret_cast<sockaddr_in6*>(group.bytes.data());
  if (interface != 0) address->sin6_scope_id = interface;
  return address->sin6_scope_id;
}

bool needs_interface(const SocketAddress& group) noexcept {
  if (!is_ipv6(group)) return false;
  const in6_addr* const address = &reinterpret_cast<const sockaddr_in6*>(raw(group))->sin6_addr;
  return IN6_IS_ADDR_MC_NODELOCAL(address) || IN6_IS_ADDR_MC_LINKLOCAL(address);
}

unsigned find_interface(const std::string& wanted) noexcept {
  if (wanted.empty()) return 0;
  if (const unsigned index = if_nametoindex(wanted.c_str()); index != 0) return index;
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return 0;
  unsigned index = 0;
  for (const ifaddrs* one = all; one != nullptr && index == 0; one = one->ifa_next) {
    char host[NI_MAXHOST];
    const bool internet = one->ifa_addr != nullptr && (one->ifa_addr->sa_family == AF_INET ||
                                                       one->ifa_addr->sa_family == AF_INET6);
    if (!internet) continue;
    const socklen_t size =
        one->ifa_addr->sa_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    if (getnameinfo(one->ifa_addr, size, host, sizeof host, nullptr, 0, NI_NUMERICHOST) == 0 &&
        wanted == host) {
      index = if_nametoindex(one->ifa_name);
    }
  }
  freeifaddrs(all);
  return index;
}

// One of IPv6 may be sent to by IPv4, too.
void refuse_others_groups(NativeHandle socket) noexcept {
  set_number(socket, IPPROTO_IP, IP_MULTICAST_ALL, 0);
  set_number(socket, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
}

int share_address(NativeHandle socket) noexcept {
  const int reuse = 1;
  return error_of(setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
}

int join_group(NativeHandle socket, const SocketAddress& group, unsigned interface) noexcept {
  // Of IPv6 what comes over another one, where somebody else has joined it, would come, too.
  if (is_ipv6(group) && interface != 0) {
    set_number(socket, SOL_SOCKET, SO_BINDTOIFINDEX, static_cast<int>(interface));
  }
  group_req wanted{};
  wanted.gr_interface = interface;
  std::memcpy(&wanted.gr_group, group.bytes.data(), group.size_bytes);
  const int level = is_ipv6(group) ? IPPROTO_IPV6 : IPPROTO_IP;
  return error_of(setsockopt(socket, level, MCAST_JOIN_GROUP, &wanted, sizeof wanted));
}

int set_group_sending(NativeHandle socket, const SocketAddress& group, unsigned hops,
                      unsigned interface) noexcept {
  const int limit = static_cast<int>(hops);
  const int index = static_cast<int>(interface);
  if (is_ipv6(group)) {
    set_number(socket, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 1);
    set_number(socket, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, limit);
    return error_of(setsockopt(socket, IPPROTO_IPV6, IPV6_MULTICAST_IF, &index, sizeof index));
  }
  set_number(socket, IPPROTO_IP, IP_MULTICAST_LOOP, 1);
  set_number(socket, IPPROTO_IP, IP_MULTICAST_TTL, limit);
  ip_mreqn over{};
  over.imr_ifindex = index;
  return error_of(setsockopt(socket, IPPROTO_IP, IP_MULTICAST_IF, &over, sizeof over));
}

int set_ipv6_alone(NativeHandle socket, bool alone) noexcept {
  const int value = alone ? 1 : 0;
  return error_of(setsockopt(socket, IPPROTO_IPV6, IPV6_V6ONLY, &value, sizeof value));
}

std::uint64_t wish_buffer(NativeHandle socket, bool receives, std::uint64_t size_bytes) noexcept {
  const int option = receives ? SO_RCVBUF : SO_SNDBUF;
  const int wished = static_cast<int>(std::min<std::uint64_t>(size_bytes, 1u << 30));
  set_number(socket, SOL_SOCKET, option, wished);
  int got = 0;
  socklen_t size = sizeof got;
  if (getsockopt(socket, SOL_SOCKET, option, &got, &size) != 0) return 0;
  return static_cast<std::uint64_t>(got) / 2;  // the kernel counts its own part twice
}

int prepare_listener(NativeHandle socket, bool ipv6, bool ipv6_alone) noexcept {
  // After a restart the port may have connections that wait for their last packets.
  const int reuse = 1;
  if (setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse) != 0) return errno;
  return ipv6 ? set_ipv6_alone(socket, ipv6_alone) : 0;
}

void prepare_connection(NativeHandle socket, std::chrono::seconds keepalive) noexcept {
  set_number(socket, IPPROTO_TCP, TCP_NODELAY, 1);
  const int seconds = static_cast<int>(keepalive.count());
  set_number(socket, SOL_SOCKET, SO_KEEPALIVE, seconds > 0 ? 1 : 0);
  if (seconds <= 0) return;
  // Asked after half of the time, three times more until its end.
  constexpr int kProbes = 3;
  set_number(socket, IPPROTO_TCP, TCP_KEEPIDLE, std::max(1, seconds / 2));
  set_number(socket, IPPROTO_TCP, TCP_KEEPINTVL, std::max(1, seconds / (2 * kProbes)));
  set_number(socket, IPPROTO_TCP, TCP_KEEPCNT, kProbes);
  // While something is on its way to the other side, none of that acts: then the kernel sends it
  // again, 15 times (net.ipv4.tcp_retries2), which with pauses of this length takes about the same
  // time. That leaves those alone who do not read for an hour, as their kernel answers.
  const int pause = std::clamp(seconds * 1000 / 15, kLeastRtoMaxMs, kMostRtoMaxMs);
  if (setsockopt(socket, IPPROTO_TCP, kRtoMaxMs, &pause, sizeof pause) == 0) return;
  // An older kernel has but one limit for both.
  const unsigned limit = static_cast<unsigned>(seconds) * 1000;
  static_cast<void>(setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &limit, sizeof limit));
}

void wait_connected(std::span<const UniqueFd> sockets, Deadline deadline) noexcept {
  std::array<pollfd, kMaxPolled> polled{};
  const std::size_t count = std::min(sockets.size(), polled.size());
  for (std::size_t i = 0; i < count; ++i) polled[i] = {sockets[i].get(), POLLOUT, 0};
  const CancellationDisabled here;
  const timespec time = timespec_of(deadline.remaining());
  static_cast<void>(ppoll(polled.data(), count, deadline.is_never() ? nullptr : &time, nullptr));
}

}  // namespace rondo::inline RONDO_ABI::detail
