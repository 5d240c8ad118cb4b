#include "os.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "rondo/core/cancellation_disabled.hpp"
#include "system_linux.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

int set_lock(NativeHandle file, short type, std::uint64_t byte, std::uint64_t count = 1) noexcept {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(byte);
  lock.l_len = static_cast<off_t>(count);
  return retry_interrupted([&] { return fcntl(file, F_OFD_SETLK, &lock); }) == 0 ? 0 : errno;
}

}  // namespace

std::uint32_t process_id() noexcept { return static_cast<std::uint32_t>(getpid()); }
std::string_view program_name() noexcept { return program_invocation_short_name; }

int lock_byte(NativeHandle file, std::uint64_t byte) noexcept {
  return set_lock(file, F_WRLCK, byte);
}
void unlock_byte(NativeHandle file, std::uint64_t byte) noexcept { set_lock(file, F_UNLCK, byte); }
void unlock_all(NativeHandle file) noexcept {
  set_lock(file, F_UNLCK, 0, 0);
}  // length 0: to the end

Presence bytes_locked_by_other(NativeHandle file, std::uint64_t first,
                               std::uint64_t count) noexcept {
  struct flock lock = {};
  // As if to read: what is in the way of that is an exclusive lock, which takes a descriptor that
  // is open for writing. A process that may only read the file can take shared ones, and owns
  // nothing.
  lock.l_type = F_RDLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(first);
  lock.l_len = static_cast<off_t>(count);
  if (retry_interrupted([&] { return fcntl(file, F_OFD_GETLK, &lock); }) != 0) {
    return Presence::kUnknown;
  }
  return lock.l_type == F_UNLCK ? Presence::kAbsent : Presence::kPresent;
}

int lock_byte_within(NativeHandle file, std::uint64_t byte,
                     std::chrono::nanoseconds timeout) noexcept {
  // F_OFD_SETLKW would wait in the kernel, but without a deadline. Joining and leaving are rare and
  // short, so asking again costs little.
  using Clock = std::chrono::steady_clock;
  constexpr auto kLongestPause = std::chrono::microseconds(2000);
  const auto start = Clock::now();
  auto pause = std::chrono::microseconds(50);
  for (;;) {
    const int error = lock_byte(file, byte);
    if (error != EAGAIN && error != EACCES) return error;
    if (Clock::now() - start >= timeout) return error;
    const CancellationDisabled here;
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, kLongestPause);
  }
}

}  // namespace rondo::inline RONDO_ABI::detail
