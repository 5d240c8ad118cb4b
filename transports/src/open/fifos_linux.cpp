#include "open/error_of.hpp"
#include "open/fifos.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cerrno>

namespace rondo::inline RONDO_ABI::detail {
namespace {

struct flock lock_of(std::uint64_t byte, short type) noexcept {
  struct flock lock {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(byte);
  lock.l_len = 1;
  return lock;
}

}  // namespace

int make_fifo(const std::string& path) noexcept { return error_of(mkfifo(path.c_str(), 0600)); }

int set_mode_at(const std::string& path, Permissions mode) noexcept {
  return error_of(chmod(path.c_str(), mode));
}

UniqueFd open_fifo_end(const std::string& path, ByteStream::Direction direction) noexcept {
  const int access = direction == ByteStream::Direction::kRead ? O_RDONLY : O_WRONLY;
  return open_file(path.c_str(), access | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY);
}

int unread_in(NativeHandle fifo, std::size_t& bytes) noexcept {
  int unread = 0;
  if (ioctl(fifo, FIONREAD, &unread) != 0) return errno;
  bytes = static_cast<std::size_t>(unread);
  return 0;
}

int lock_whole(NativeHandle file) noexcept { return error_of(flock(file, LOCK_EX | LOCK_NB)); }

int share_byte(NativeHandle file, std::uint64_t byte) noexcept {
  struct flock lock = lock_of(byte, F_RDLCK);
  return error_of(fcntl(file, F_OFD_SETLK, &lock));
}

bool is_byte_free(NativeHandle file, std::uint64_t byte) noexcept {
  // As if to write: every lock is in the way of that.
  struct flock lock = lock_of(byte, F_WRLCK);
  return fcntl(file, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
}

}  // namespace rondo::inline RONDO_ABI::detail
