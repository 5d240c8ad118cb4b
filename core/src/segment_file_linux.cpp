#include "segment_file_linux.hpp"

#include <fcntl.h>
#include <linux/memfd.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <climits>

#include "rondo/core/directory.hpp"
#include "rondo/core/instance_id.hpp"
#include "rondo/core/user_ids.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr std::string_view kSharedMemoryDirectory = "/dev/shm/";
constexpr unsigned kNoExecSeal = 8;  // MFD_NOEXEC_SEAL, which older headers lack
constexpr unsigned kOthersMayWrite = S_IWGRP | S_IWOTH;
constexpr unsigned kOthersMayAnything = S_IRWXG | S_IRWXO;

std::string_view type_name(mode_t mode) noexcept {
  switch (mode & S_IFMT) {
    case S_IFLNK: return "a symbolic link";
    case S_IFDIR: return "a directory";
    case S_IFIFO: return "a FIFO";
    case S_IFSOCK: return "a socket";
    case S_IFCHR:
    case S_IFBLK: return "a device";
    default: return "no regular file";
  }
}

// Of a file that does not let us in: what it has, and which side has to give which option. `mode`:
// ours.
std::string refusal(const struct stat& status, Permissions mode) {
  return explain_mode(status.st_uid, status.st_gid, status.st_mode, mode);
}

Result<void> judge(const struct stat& status, const std::string& what, Permissions mode) {
  if (!S_ISREG(status.st_mode)) {
    return Error{ErrorCode::kForeignObject, what + " is " + std::string(type_name(status.st_mode)) +
                                                ", not a file; choose another name"};
  }
  if (status.st_nlink == 0) {
    return Error{ErrorCode::kReplaced, what + " was removed while it was being opened; try again"};
  }
  if (!is_own_user(status.st_uid) && (mode & kOthersMayAnything) == 0) {
    return Error{ErrorCode::kForeignOwner, what + " " + refusal(status, mode)};
  }
  if ((status.st_mode & kOthersMayWrite & ~mode) != 0) {
    return Error{ErrorCode::kForeignOwner,
                 what + " may be written by others (its mode is " + octal(status.st_mode) +
                     ", at most " + octal(mode) + " was asked for); say mode=" +
                     octal(status.st_mode & 0777U) + " on this side too, or remove it"};
  }
  if (status.st_nlink > 1) {
    return Error{ErrorCode::kForeignObject,
                 what + " has " + std::to_string(status.st_nlink) +
                     " hard links, so it is known under another name too; remove it"};
  }
  return {};
}

Result<void> give_to_group(int fd, const std::string& group, const std::string& what) {
  if (group.empty()) return {};
  const auto id = group_called(group);
  if (!id) {
    return Error{ErrorCode::kInvalidOption, "there is no group '" + group +
                                                "' in /etc/group to give " + what +
                                                " to; say another one, or its number"};
  }
  if (fchown(fd, static_cast<uid_t>(-1), *id) == 0) return {};
  const std::string action = "can't give " + what + " to group " + group;
  if (errno == EPERM) {
    return Error{ErrorCode::kPermission, action +
                                             ": this process is not in it; start it as a member "
                                             "(`id -G` lists its groups), or say another group"};
  }
  if (errno == EINVAL) {
    return Error{ErrorCode::kInvalidOption, action + ": it has no id in this user namespace"};
  }
  return system_error(errno, action);
}

int open_flags(Access access) noexcept {
  return (access == Access::kReadOnly ? O_RDONLY : O_RDWR) | O_NOCTTY;
}

std::string proc_path(int fd) { return "/proc/self/fd/" + std::to_string(fd); }

// Without /proc: by its path, and it has to be the file that was judged.
Result<UniqueFd> open_again(const std::string& path, const struct stat& judged, Access access,
                            const std::string& what) {
  UniqueFd fd = open_file(path.c_str(), open_flags(access) | O_NOFOLLOW | O_NONBLOCK);
  if (!fd) return system_error(errno, "can't open " + what);
  struct stat opened = {};
  if (fstat(fd.get(), &opened) != 0) return system_error(errno, "can't look at " + what);
  if (opened.st_dev != judged.st_dev || opened.st_ino != judged.st_ino) {
    return Error{ErrorCode::kReplaced, what + " was replaced while it was being opened; try again"};
  }
  return fd;
}

}  // namespace

std::string name_problem(const SegmentName& name) {
  const std::string& text = name.name;
  if (text.empty()) return "it is empty";
  if (text.find('\0') != std::string::npos) return "it holds a NUL character";
  if (name.backing == Backing::kFile) {
    const std::string last = text.substr(text.rfind('/') + 1);
    if (last.empty() || last == "." || last == "..") return "it names a directory";
    if (last.size() > NAME_MAX || text.size() >= PATH_MAX) return "it is too long";
    return {};
  }
  if (text.size() > kMaxSegmentNameBytes) {
    return "it has " + std::to_string(text.size()) + " bytes, more than " +
           std::to_string(kMaxSegmentNameBytes);
  }
  if (text.find('/') != std::string::npos) return "it holds a '/'";
  if (text.find("..") != std::string::npos || text == ".") return "it holds '..'";
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  if (std::any_of(text.begin(), text.end(), is_control)) return "it holds a control character";
  return {};
}

std::string path_of(const SegmentName& name) {
  if (name.backing == Backing::kSharedMemory) {
    return std::string(kSharedMemoryDirectory) + std::string(kSharedMemoryPrefix) + name.name;
  }
  return absolute_path(name.name);
}

Error error_at(const std::string& path, const std::string& what, int error,
               const std::string& action) {
  if (auto missing = missing_directory(path, what)) return *std::move(missing);
  return system_error(error, action);
}

Result<UniqueFd> open_checked(const std::string& path, const std::string& what, Access access,
                              Permissions mode) {
  // O_PATH pins the file without opening it: what is judged is what is opened afterwards.
  const UniqueFd pin = open_file(path.c_str(), O_PATH | O_NOFOLLOW);
  if (!pin) return error_at(path, what, errno, "can't open " + what);
  struct stat status = {};
  if (fstat(pin.get(), &status) != 0) return system_error(errno, "can't look at " + what);
  if (auto judged = judge(status, what, mode); !judged) return judged.error();

  UniqueFd fd = open_file(proc_path(pin.get()).c_str(), open_flags(access));
  if (fd) return fd;
  if (errno == ENOENT || errno == ENOTDIR) return open_again(path, status, access, what);
  if (errno == EACCES && !is_own_user(status.st_uid)) {
    return Error{ErrorCode::kPermission, "can't open " + what + ": it " + refusal(status, mode)};
  }
  return system_error(errno, "can't open " + what);
}

Result<UniqueFd> reopen(int fd, Access access, const std::string& what) {
  UniqueFd again = open_file(proc_path(fd).c_str(), open_flags(access));
  if (again) return again;
  if (errno == ENOENT || errno == ENOTDIR) {
    return Error{ErrorCode::kUnsupported,
                 "can't open " + what + " once more, as /proc is missing; mount it"};
  }
  return system_error(errno, "can't open " + what + " once more");
}

Result<NewFile> NewFile::create(const std::string& path, const std::string& what,
                                const SegmentOptions& options) {
  constexpr unsigned kOursAlone = 0600;  // until it has its group
  const std::string directory = directory_of(path);
  UniqueFd fd = open_file(directory.c_str(), O_TMPFILE | O_RDWR, kOursAlone);
  std::string temporary;
  // EISDIR is what kernels and file systems say that don't know O_TMPFILE (open(2)).
  if (!fd && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
    temporary = directory + "/.rondo-tmp-" + std::to_string(new_instance_id());
    fd = open_file(temporary.c_str(), O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW, kOursAlone);
  }
  if (!fd) return error_at(path, what, errno, "can't create " + what + " in " + directory);
  NewFile file(std::move(fd), path, std::move(temporary), what);
  if (auto given = give_to_group(file.fd(), options.group, what); !given) return given.error();
  // Exactly the mode asked for, whatever the umask.
  if (fchmod(file.fd(), options.mode) != 0)
    return system_error(errno, "can't set the mode of " + what);
  return file;
}

NewFile::~NewFile() {
  if (fd_ && !temporary_.empty()) unlink(temporary_.c_str());
}

Result<UniqueFd> NewFile::publish() && {
  int result;
  if (temporary_.empty()) {
    result =
        linkat(AT_FDCWD, proc_path(fd_.get()).c_str(), AT_FDCWD, path_.c_str(), AT_SYMLINK_FOLLOW);
    // Without /proc. Asks for a privilege, or for a recent kernel.
    if (result != 0 && errno == ENOENT) {
      result = linkat(fd_.get(), "", AT_FDCWD, path_.c_str(), AT_EMPTY_PATH);
    }
  } else {
    result = renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_NOREPLACE);
    if (result != 0 && errno == EINVAL) errno = EOPNOTSUPP;
  }
  if (result == 0) {
    temporary_.clear();
    return std::move(fd_);
  }
  if (errno == EEXIST) {
    return Error{ErrorCode::kAlreadyExists,
                 what_ + " exists already; attach to it, or remove it first"};
  }
  return system_error(errno, "can't give " + what_ + " its name");
}

Result<UniqueFd> make_memfd(const std::string& what, Permissions mode, bool huge) {
  const unsigned flags = MFD_ALLOW_SEALING | (huge ? MFD_HUGETLB : 0U);
  UniqueFd fd = open_memory("rondo", flags | kNoExecSeal);
  if (!fd && errno == EINVAL) fd = open_memory("rondo", flags);  // before Linux 6.3
  if (!fd) return system_error(errno, "can't create " + what);
  if (fchmod(fd.get(), mode) != 0) return system_error(errno, "can't set the mode of " + what);
  return fd;
}

}  // namespace rondo::inline RONDO_ABI::detail
