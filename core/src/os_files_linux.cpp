#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <memory>

#include "rondo/core/os.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr unsigned kNoExecSeal = 8;  // MFD_NOEXEC_SEAL, which older headers lack

FileKind kind_of(mode_t mode) noexcept {
  switch (mode & S_IFMT) {
    case S_IFREG: return FileKind::kRegular;
    case S_IFDIR: return FileKind::kDirectory;
    case S_IFLNK: return FileKind::kSymbolicLink;
    case S_IFIFO: return FileKind::kFifo;
    case S_IFSOCK: return FileKind::kSocket;
    case S_IFCHR:
    case S_IFBLK: return FileKind::kDevice;
    default: return FileKind::kOther;
  }
}

FileStatus told(const struct stat& status) noexcept {
  constexpr std::uint64_t kBlockBytes = 512;
  return {.kind = kind_of(status.st_mode),
          .device = status.st_dev,
          .inode = status.st_ino,
          .links = status.st_nlink,
          .size_bytes = static_cast<std::uint64_t>(status.st_size),
          .allocated_bytes = static_cast<std::uint64_t>(status.st_blocks) * kBlockBytes,
          .owner = status.st_uid,
          .group = status.st_gid,
          .mode = status.st_mode & 07777};
}

// 0, or what a system call says that returned `result`.
int error_of(int result) noexcept { return result == 0 ? 0 : errno; }

int open_flags(Access access) noexcept {
  return (access == Access::kReadOnly ? O_RDONLY : O_RDWR) | O_NOCTTY;
}

std::string proc_path(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

}  // namespace

int status_of(NativeHandle file, FileStatus& status) noexcept {
  struct stat found = {};
  if (fstat(file, &found) != 0) return errno;
  status = told(found);
  return 0;
}

int status_of(const std::string& path, FileStatus& status) noexcept {
  struct stat found = {};
  if (stat(path.c_str(), &found) != 0) return errno;
  status = told(found);
  return 0;
}

int link_status_of(const std::string& path, FileStatus& status) noexcept {
  struct stat found = {};
  if (lstat(path.c_str(), &found) != 0) return errno;
  status = told(found);
  return 0;
}

bool may_write(const std::string& path) noexcept { return access(path.c_str(), W_OK) == 0; }

int list_directory(const std::string& directory, FunctionRef<void(std::string_view)> see) {
  UniqueFd opened = open_file(directory.c_str(), O_RDONLY | O_DIRECTORY);
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(opened ? fdopendir(opened.get()) : nullptr,
                                                    &closedir);
  if (!entries) return errno;
  static_cast<void>(opened.release());  // closedir() closes it
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is our own.
  while (const dirent* entry = readdir(entries.get())) see(entry->d_name);
  return 0;
}

std::string_view shared_memory_directory() noexcept { return "/dev/shm"; }

bool is_path_too_long(std::string_view path, std::string_view name) noexcept {
  return name.size() > NAME_MAX || path.size() >= PATH_MAX;
}

std::uint64_t file_size_limit() noexcept {
  struct rlimit limit = {};
  return getrlimit(RLIMIT_FSIZE, &limit) == 0 ? limit.rlim_cur : UINT64_MAX;
}

bool is_in_memory(NativeHandle file) noexcept {
  struct statfs file_system = {};
  return fstatfs(file, &file_system) == 0 &&
         (file_system.f_type == TMPFS_MAGIC || file_system.f_type == HUGETLBFS_MAGIC);
}

OpenFor open_for(NativeHandle file) noexcept {
  const int mode = fcntl(file, F_GETFL) & O_ACCMODE;
  return {.reading = mode != O_WRONLY, .writing = mode != O_RDONLY};
}

UniqueFd pin_file(const std::string& path) noexcept {
  return open_file(path.c_str(), O_PATH | O_NOFOLLOW);
}

UniqueFd reopen_file(NativeHandle file, Access access) {
  return open_file(proc_path(file).c_str(), open_flags(access));
}

UniqueFd open_at(const std::string& path, Access access) noexcept {
  return open_file(path.c_str(), open_flags(access) | O_NOFOLLOW | O_NONBLOCK);
}

UniqueFd make_unnamed_file(const std::string& directory, Permissions mode) noexcept {
  UniqueFd file = open_file(directory.c_str(), O_TMPFILE | O_RDWR, mode);
  // EISDIR is what kernels and file systems say that don't know O_TMPFILE (open(2)).
  if (!file && (errno == EISDIR || errno == EINVAL)) errno = EOPNOTSUPP;
  return file;
}

UniqueFd make_file(const std::string& path, Permissions mode) noexcept {
  return open_file(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW, mode);
}

UniqueFd open_or_make_file(const std::string& path, Permissions mode) noexcept {
  constexpr int kHow = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  return open_file(path.c_str(), kHow, mode);
}

UniqueFd make_memory_file(const char* name, bool huge) noexcept {
  const unsigned flags = MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB : 0U);
  UniqueFd file = open_memory(name, flags | kNoExecSeal);
  if (!file && errno == EINVAL) file = open_memory(name, flags);  // before Linux 6.3
  return file;
}

int set_mode(NativeHandle file, Permissions mode) noexcept { return error_of(fchmod(file, mode)); }

int set_group(NativeHandle file, std::uint32_t group) noexcept {
  return error_of(fchown(file, static_cast<uid_t>(-1), group));
}

int set_size(NativeHandle file, std::uint64_t size_bytes) noexcept {
  return error_of(ftruncate(file, static_cast<off_t>(size_bytes)));
}

int reserve_space(NativeHandle file, std::uint64_t size_bytes) noexcept {
  int error;
  do {
    error = posix_fallocate(file, 0, static_cast<off_t>(size_bytes));
  } while (error == EINTR);
  return error;
}

int give_name(NativeHandle file, const std::string& path) {
  if (linkat(AT_FDCWD, proc_path(file).c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) == 0) {
    return 0;
  }
  if (errno != ENOENT) return errno;
  // Without /proc. Asks for a privilege, or for a recent kernel.
  return error_of(linkat(file, "", AT_FDCWD, path.c_str(), AT_EMPTY_PATH));
}

int rename_file(const std::string& from, const std::string& to) noexcept {
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
  return errno == EINVAL ? EOPNOTSUPP : errno;
}

int remove_name(const std::string& path) noexcept { return error_of(unlink(path.c_str())); }

int seals_of(NativeHandle file, Seals& seals) noexcept {
  constexpr int kSize = F_SEAL_SHRINK | F_SEAL_GROW;
  const int found = fcntl(file, F_GET_SEALS);
  if (found < 0) return errno;
  seals = {.size = (found & kSize) == kSize, .writing = (found & F_SEAL_FUTURE_WRITE) != 0};
  return 0;
}

int seal(NativeHandle file, Seals seals) noexcept {
  int wanted = F_SEAL_SEAL;
  if (seals.size) wanted |= F_SEAL_SHRINK | F_SEAL_GROW;
  if (seals.writing) wanted |= F_SEAL_FUTURE_WRITE;
  return error_of(fcntl(file, F_ADD_SEALS, wanted));
}

}  // namespace rondo::inline RONDO_ABI::detail
