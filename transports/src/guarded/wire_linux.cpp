#include "guarded/wire.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "open/untrusted_descriptors.hpp"
#include "rondo/core/cancellation_disabled.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr std::size_t kControlBytes = CMSG_SPACE(kMaxDescriptors * sizeof(int));

WireResult outcome_of_failure() noexcept {
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? WireResult::kNotNow
                                                                   : WireResult::kGone;
}

// Moves the descriptors that came with `message` into `fds`. Whether they are as many as there is
// room for, and memory all of them, at most so much; what is not is left open.
bool take_memory(msghdr& message, std::span<OwnedFd> fds, std::uint64_t most_bytes) noexcept {
  std::size_t count = 0;
  bool sound = true;
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t here = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < here; ++i, ++count) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
      OwnedFd taken = take_over(fd);
      if (!is_memory(taken.get(), most_bytes)) {
        sound = false;
        leak(std::move(taken));
      } else if (count < fds.size()) {
        fds[count] = std::move(taken);
      }
    }
  }
  return sound && count == fds.size();
}

}  // namespace

WireResult send_message(int socket, std::span<const std::byte> message,
                        std::span<const int> fds) noexcept {
  iovec bytes{const_cast<std::byte*>(message.data()), message.size()};
  alignas(cmsghdr) std::array<std::byte, kControlBytes> control{};
  msghdr header{};
  header.msg_iov = &bytes;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(part), fds.data(), fds.size_bytes());
  }
  const CancellationDisabled here;
  const ssize_t sent = sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) return outcome_of_failure();
  return static_cast<std::size_t>(sent) == message.size() ? WireResult::kDone : WireResult::kBroken;
}

WireResult receive_message(int socket, std::span<std::byte> message, std::span<OwnedFd> fds,
                           std::uint64_t most_bytes) noexcept {
  iovec bytes{message.data(), message.size()};
  alignas(cmsghdr) std::array<std::byte, kControlBytes> control{};
  msghdr header{};
  header.msg_iov = &bytes;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_LEN(fds.size() * sizeof(int));
  }
  // A look first: what is not as expected stays in the queue, for close_or_leak().
  const ssize_t received = recvmsg(socket, &header, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (received < 0) return outcome_of_failure();
  const bool sound = take_memory(header, fds, most_bytes);
  if (received == 0) return WireResult::kGone;
  const bool whole = static_cast<std::size_t>(received) == message.size() &&
                     (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
  if (!whole || !sound) return WireResult::kBroken;
  // Out of the queue; the copies of the descriptors there are memory too.
  static_cast<void>(recv(socket, message.data(), message.size(), MSG_DONTWAIT));
  return WireResult::kDone;
}

}  // namespace rondo::inline RONDO_ABI::detail
