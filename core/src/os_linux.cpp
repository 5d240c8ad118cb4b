#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "rondo/core/os.hpp"
#include "system_linux.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

ErrorCode code_for(int error) noexcept {
  switch (error) {
    case ENOENT:
    case ENOTDIR: return ErrorCode::kNotFound;
    case EEXIST: return ErrorCode::kAlreadyExists;
    case EACCES:
    case EPERM:
    case EROFS: return ErrorCode::kPermission;
    case ELOOP:
    case EISDIR:
    case ENXIO: return ErrorCode::kForeignObject;
    case ENAMETOOLONG: return ErrorCode::kInvalidName;
    case ENOSPC:
    case ENOMEM:
    case EDQUOT:
    case EFBIG: return ErrorCode::kNoSpace;
    case EMFILE:
    case ENFILE: return ErrorCode::kNoDescriptors;
    case ENOSYS:
    case EOPNOTSUPP: return ErrorCode::kUnsupported;
    default: return ErrorCode::kSystem;
  }
}

struct flock lock_of(short type, std::uint64_t byte, std::uint64_t count) noexcept {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  lock.l_start = static_cast<off_t>(byte);
  lock.l_len = static_cast<off_t>(count);  // 0: to the end
  return lock;
}

int set_lock(NativeHandle file, short type, std::uint64_t byte, std::uint64_t count) noexcept {
  struct flock lock = lock_of(type, byte, count);
  return retry_interrupted([&] { return fcntl(file, F_OFD_SETLK, &lock); }) == 0 ? 0 : errno;
}

}  // namespace

std::uint32_t process_id() noexcept { return static_cast<std::uint32_t>(getpid()); }
std::string_view program_name() noexcept { return program_invocation_short_name; }
std::uint32_t effective_user() noexcept { return geteuid(); }

int at_fork(void (*before)(), void (*in_parent)(), void (*in_child)()) noexcept {
  return pthread_atfork(before, in_parent, in_child);
}

Error system_error(int error, const std::string& action) {
  std::string message = action + ": " + std::strerror(error);
  switch (code_for(error)) {
    case ErrorCode::kNoDescriptors: message += "; close some or raise `ulimit -n`"; break;
    case ErrorCode::kNoSpace: message += "; free some, or ask for a smaller capacity"; break;
    default: break;
  }
  return Error{code_for(error), std::move(message)};
}

int lock_byte(NativeHandle file, std::uint64_t byte) noexcept {
  return set_lock(file, F_WRLCK, byte, 1);
}
void unlock_byte(NativeHandle file, std::uint64_t byte) noexcept {
  set_lock(file, F_UNLCK, byte, 1);
}
void unlock_all(NativeHandle file) noexcept { set_lock(file, F_UNLCK, 0, 0); }

int lock_file(NativeHandle file) noexcept {
  struct flock lock = lock_of(F_WRLCK, 0, 0);
  return fcntl(file, F_OFD_SETLK, &lock) == 0 ? 0 : errno;
}

Presence bytes_locked_by_other(NativeHandle file, std::uint64_t first,
                               std::uint64_t count) noexcept {
  // As if to read: what is in the way of that is an exclusive lock, which takes a descriptor that
  // is open for writing. A process that may only read the file can take shared ones, and owns
  // nothing.
  struct flock lock = lock_of(F_RDLCK, first, count);
  if (retry_interrupted([&] { return fcntl(file, F_OFD_GETLK, &lock); }) != 0) {
    return Presence::kUnknown;
  }
  return lock.l_type == F_UNLCK ? Presence::kAbsent : Presence::kPresent;
}

}  // namespace rondo::inline RONDO_ABI::detail
