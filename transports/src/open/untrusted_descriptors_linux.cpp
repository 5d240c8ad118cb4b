#include "open/untrusted_descriptors.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <atomic>

#include "rondo/core/cancellation_disabled.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr int kPassRights = 83;  // SO_PASSRIGHTS, which older headers lack
// A queue that has more than this in it is not looked through (net.unix.max_dgram_qlen is 10, a
// stream's limit is its bytes).
constexpr int kMostRounds = 256;
// A message without a byte and the end of the queue look the same: so often the look is repeated.
constexpr int kMostEmpty = 16;

std::atomic<int> left_open{0};
std::array<std::atomic<int>, kMaxLeaked> which{};  // 0: none; ours are 3 and more

}  // namespace

void set_pass_descriptors(int socket, bool taken) noexcept {
  const int value = taken ? 1 : 0;
  static_cast<void>(setsockopt(socket, SOL_SOCKET, kPassRights, &value, sizeof value));
}

bool is_memory(int fd, std::uint64_t most_bytes) noexcept {
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0) return false;
  if (most_bytes == kAnySize) return true;
  struct stat status {};
  if ((seals & F_SEAL_GROW) == 0 || fstat(fd, &status) != 0) return false;
  // More than its size may have been allocated.
  return static_cast<std::uint64_t>(status.st_size) <= most_bytes &&
         static_cast<std::uint64_t>(status.st_blocks) * 512 <= most_bytes;
}

void leak(OwnedFd fd) noexcept {
  const int number = fd.release();
  if (number < 0) return;
  // relaxed, both: only the values count.
  const auto before = static_cast<std::size_t>(left_open.fetch_add(1, std::memory_order_relaxed));
  if (before < which.size()) which[before].store(number, std::memory_order_relaxed);
}

void close_leaked() noexcept {
  for (std::atomic<int>& number : which) {
    // relaxed: as above.
    const int left = number.exchange(0, std::memory_order_relaxed);
    const OwnedFd closed(left != 0 ? left : -1);
  }
  left_open.store(0, std::memory_order_relaxed);  // relaxed: as above
}

bool can_leak() noexcept {
  return left_open.load(std::memory_order_relaxed) < kMaxLeaked;  // relaxed: as above
}

void close_or_leak(OwnedFd socket) noexcept {
  const CancellationDisabled here;
  // Nothing comes into the queue any more; and the other side is told, should it stay open here.
  static_cast<void>(shutdown(socket.get(), SHUT_RDWR));
  int empty = 0;
  for (int round = 0; round < kMostRounds; ++round) {
    std::array<char, 4096> bytes;
    iovec room{bytes.data(), bytes.size()};
    msghdr header{};
    header.msg_iov = &room;
    header.msg_iovlen = 1;
    const ssize_t there = recvmsg(socket.get(), &header, MSG_PEEK | MSG_DONTWAIT);
    // Without room for descriptors the kernel says that there are some, and leaves them there.
    if ((header.msg_flags & MSG_CTRUNC) != 0) return leak(std::move(socket));
    if (there < 0 || (there == 0 && ++empty > kMostEmpty)) return;
    if (recv(socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) < 0) return;
  }
  leak(std::move(socket));
}

}  // namespace rondo::inline RONDO_ABI::detail
