#include "segment_file.hpp"

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "rondo/core/directory.hpp"
#include "rondo/core/instance_id.hpp"
#include "rondo/core/os.hpp"
#include "rondo/core/system_v_key.hpp"
#include "rondo/core/user_ids.hpp"
#include "system_v_segment.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr unsigned kOthersMayWrite = 0022;
constexpr unsigned kOthersMayAnything = 0077;

std::string_view name_of(FileKind kind) noexcept {
  switch (kind) {
    case FileKind::kSymbolicLink: return "a symbolic link";
    case FileKind::kDirectory: return "a directory";
    case FileKind::kFifo: return "a FIFO";
    case FileKind::kSocket: return "a socket";
    case FileKind::kDevice: return "a device";
    default: return "no regular file";
  }
}

// Of a file that does not let us in: what it has, and which side has to give which option. `mode`:
// ours.
std::string refusal(const FileStatus& status, Permissions mode) {
  return explain_mode(status.owner, status.group, status.mode, mode);
}

Result<void> give_to_group(NativeHandle file, const std::string& group, const std::string& what) {
  if (group.empty()) return {};
  const auto id = group_called(group);
  if (!id) {
    return Error{ErrorCode::kInvalidOption, "there is no group '" + group +
                                                "' in /etc/group to give " + what +
                                                " to; say another one, or its number"};
  }
  const int error = set_group(file, *id);
  if (error == 0) return {};
  const std::string action = "can't give " + what + " to group " + group;
  if (error == EPERM) {
    return Error{ErrorCode::kPermission, action +
                                             ": this process is not in it; start it as a member "
                                             "(`id -G` lists its groups), or say another group"};
  }
  if (error == EINVAL) {
    return Error{ErrorCode::kInvalidOption, action + ": it has no id in this user namespace"};
  }
  return system_error(error, action);
}

Result<void> give_mode(NativeHandle file, Permissions mode, const std::string& what) {
  const int error = set_mode(file, mode);
  if (error == 0) return {};
  return system_error(error, "can't set the mode of " + what);
}

// Without /proc: by its path, and it has to be the file that was judged.
Result<UniqueFd> open_again(const std::string& path, const FileStatus& judged, Access access,
                            const std::string& what) {
  UniqueFd fd = open_at(path, access);
  if (!fd) return system_error(errno, "can't open " + what);
  FileStatus opened;
  if (const int error = status_of(fd.get(), opened); error != 0) {
    return system_error(error, "can't look at " + what);
  }
  if (opened.device != judged.device || opened.inode != judged.inode) {
    return Error{ErrorCode::kReplaced, what + " was replaced while it was being opened; try again"};
  }
  return fd;
}

}  // namespace

Result<void> judge_file(const FileStatus& status, const std::string& what, Permissions mode) {
  if (status.kind != FileKind::kRegular) {
    return Error{ErrorCode::kForeignObject, what + " is " + std::string(name_of(status.kind)) +
                                                ", not a file; choose another name"};
  }
  if (status.links == 0) {
    return Error{ErrorCode::kReplaced, what + " was removed while it was being opened; try again"};
  }
  if (!is_own_user(status.owner) && (mode & kOthersMayAnything) == 0) {
    return Error{ErrorCode::kForeignOwner, what + " " + refusal(status, mode)};
  }
  if ((status.mode & kOthersMayWrite & ~mode) != 0) {
    return Error{ErrorCode::kForeignOwner,
                 what + " may be written by others (its mode is " + octal(status.mode) +
                     ", at most " + octal(mode) + " was asked for); say mode=" +
                     octal(status.mode & 0777U) + " on this side too, or remove it"};
  }
  if (status.links > 1) {
    return Error{ErrorCode::kForeignObject,
                 what + " has " + std::to_string(status.links) +
                     " hard links, so it is known under another name too; remove it"};
  }
  return {};
}

std::string name_problem(const SegmentName& name) {
  const std::string& text = name.name;
  if (text.empty()) return "it is empty";
  if (text.find('\0') != std::string::npos) return "it holds a NUL character";
  if (name.backing == Backing::kFile) {
    const std::string last = text.substr(text.rfind('/') + 1);
    if (last.empty() || last == "." || last == "..") return "it names a directory";
    if (is_path_too_long(text, last)) return "it is too long";
    return {};
  }
  if (name.backing == Backing::kSystemV) {
    return system_v_key_of(text) ? "" : "it is no key, from 1 to 4294967295, decimal or with 0x";
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
  if (name.backing == Backing::kSystemV) return system_v_path(name.name);
  if (name.backing == Backing::kSharedMemory) {
    return std::string(shared_memory_directory()) + "/" + std::string(kSharedMemoryPrefix) +
           name.name;
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
  // Pinned, so that what is judged is what is opened afterwards.
  const UniqueFd pin = pin_file(path);
  if (!pin) return error_at(path, what, errno, "can't open " + what);
  FileStatus status;
  if (const int error = status_of(pin.get(), status); error != 0) {
    return system_error(error, "can't look at " + what);
  }
  if (auto judged = judge_file(status, what, mode); !judged) return judged.error();

  UniqueFd fd = reopen_file(pin.get(), access);
  if (fd) return fd;
  if (errno == ENOENT || errno == ENOTDIR) return open_again(path, status, access, what);
  if (errno == EACCES && !is_own_user(status.owner)) {
    return Error{ErrorCode::kPermission, "can't open " + what + ": it " + refusal(status, mode)};
  }
  return system_error(errno, "can't open " + what);
}

Result<UniqueFd> reopen(NativeHandle fd, Access access, const std::string& what) {
  UniqueFd again = reopen_file(fd, access);
  if (again) return again;
  if (errno == ENOENT || errno == ENOTDIR) {
    return Error{ErrorCode::kUnsupported,
                 "can't open " + what + " once more, as /proc is missing; mount it"};
  }
  return system_error(errno, "can't open " + what + " once more");
}

Result<NewFile> NewFile::create(const std::string& path, const std::string& what,
                                const SegmentOptions& options) {
  constexpr Permissions kOursAlone = 0600;  // until it has its group
  const std::string directory = directory_of(path);
  UniqueFd fd = make_unnamed_file(directory, kOursAlone);
  std::string temporary;
  if (!fd && errno == EOPNOTSUPP) {
    temporary = directory + "/.rondo-tmp-" + std::to_string(new_instance_id());
    fd = make_file(temporary, kOursAlone);
  }
  if (!fd) return error_at(path, what, errno, "can't create " + what + " in " + directory);
  NewFile file(std::move(fd), path, std::move(temporary), what);
  if (auto given = give_to_group(file.fd(), options.group, what); !given) return given.error();
  if (auto set = give_mode(file.fd(), options.mode, what); !set) return set.error();
  return file;
}

NewFile::~NewFile() {
  if (fd_ && !temporary_.empty()) static_cast<void>(remove_name(temporary_));
}

Result<UniqueFd> NewFile::publish() && {
  const int error =
      temporary_.empty() ? give_name(fd_.get(), path_) : rename_file(temporary_, path_);
  if (error == 0) {
    temporary_.clear();
    return std::move(fd_);
  }
  if (error == EEXIST) {
    return Error{ErrorCode::kAlreadyExists,
                 what_ + " exists already; attach to it, or remove it first"};
  }
  return system_error(error, "can't give " + what_ + " its name");
}

Result<UniqueFd> make_memfd(const std::string& what, Permissions mode, bool huge) {
  UniqueFd fd = make_memory_file("rondo", huge);
  if (!fd) return system_error(errno, "can't create " + what);
  if (auto set = give_mode(fd.get(), mode, what); !set) return set.error();
  return fd;
}

}  // namespace rondo::inline RONDO_ABI::detail
