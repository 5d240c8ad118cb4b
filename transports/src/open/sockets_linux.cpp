#include "open/error_of.hpp"
#include "open/sockets.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

#include "rondo/core/cancellation_disabled.hpp"
#include "rondo/core/timespec.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

sockaddr_un address_of(const std::string& path) noexcept {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

}  // namespace

UniqueFd make_socket(SocketKind kind) noexcept {
  switch (kind) {
    case SocketKind::kStream: return open_socket(SOCK_STREAM | SOCK_NONBLOCK);
    case SocketKind::kMessages: return open_socket(SOCK_SEQPACKET | SOCK_NONBLOCK);
    case SocketKind::kDatagrams: break;
  }
  return open_socket(SOCK_DGRAM | SOCK_NONBLOCK);
}

int bind_to(NativeHandle socket, const std::string& path) noexcept {
  const sockaddr_un address = address_of(path);
  return error_of(bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address));
}

int listen_on(NativeHandle socket, int backlog) noexcept {
  return error_of(listen(socket, backlog));
}

void stop_listening(NativeHandle socket) noexcept { static_cast<void>(shutdown(socket, SHUT_RD)); }

void hang_up(NativeHandle socket) noexcept { static_cast<void>(shutdown(socket, SHUT_RDWR)); }

int connect_to(NativeHandle socket, const std::string& path) noexcept {
  const sockaddr_un address = address_of(path);
  return error_of(connect(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address));
}

bool is_of_a_connection(int error) noexcept {
  switch (error) {
    case EINTR:
    case ECONNABORTED:
    case EPERM:
    case EPROTO:
    case ENOPROTOOPT:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ETIMEDOUT: return true;
    default: return false;
  }
}

bool is_listening(const std::string& path) noexcept {
  const CancellationDisabled here;
  const sockaddr_un address = address_of(path);
  const UniqueFd probe = open_socket(SOCK_DGRAM);
  if (!probe) return true;
  const int result =
      connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const bool dead = result != 0 && (errno == ECONNREFUSED || errno == ENOENT);
  return !dead;
}

int set_mode_of_pinned(NativeHandle pin, Permissions mode) {
  // fchmod() refuses what was opened with O_PATH.
  return error_of(chmod(("/proc/self/fd/" + std::to_string(pin)).c_str(), mode));
}

int credentials_of(NativeHandle socket, PeerCredentials& credentials) noexcept {
  ucred told{};
  socklen_t size = sizeof told;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &told, &size) != 0) return errno;
  credentials = {static_cast<std::uint32_t>(told.pid), told.uid, told.gid};
  return 0;
}

std::uint32_t effective_group() noexcept { return getegid(); }

bool send_byte(NativeHandle socket, std::byte byte) noexcept {
  return send(socket, &byte, 1, MSG_NOSIGNAL) == 1;
}

std::ptrdiff_t receive_now(NativeHandle socket, std::span<std::byte> bytes, bool peek) noexcept {
  const CancellationDisabled here;
  return recv(socket, bytes.data(), bytes.size(), MSG_DONTWAIT | (peek ? MSG_PEEK : 0));
}

bool send_now(NativeHandle socket, std::span<const std::byte> bytes) noexcept {
  const CancellationDisabled here;
  return send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
         static_cast<ssize_t>(bytes.size());
}

void set_timer(NativeHandle timer, Deadline time) noexcept {
  itimerspec when{};
  // The clock of a Deadline; a time of zero would stop the timer.
  if (!time.is_never()) {
    when.it_value = timespec_of(std::max<Deadline::Clock::duration>(time.time().time_since_epoch(),
                                                                    std::chrono::nanoseconds(1)));
  }
  static_cast<void>(timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, nullptr));
}

bool may_be_queued(NativeHandle socket) noexcept {
  pollfd polled{socket, POLLIN, 0};
  const CancellationDisabled here;
  int ready = 0;
  do {
    ready = poll(&polled, 1, 0);
  } while (ready < 0 && errno == EINTR);
  return ready != 0;
}

void wait_readable(std::span<const NativeHandle> sockets, Deadline deadline) noexcept {
  std::array<pollfd, kMaxWaitedFor> polled{};
  const std::size_t count = std::min(sockets.size(), polled.size());
  for (std::size_t i = 0; i < count; ++i) polled[i] = {sockets[i], POLLIN, 0};
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline.remaining());
  const CancellationDisabled here;
  static_cast<void>(poll(polled.data(), count, static_cast<int>(left.count())));
}

}  // namespace rondo::inline RONDO_ABI::detail
