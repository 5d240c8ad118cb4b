#include "open/name.hpp"

#include <cerrno>

#include "open/remove_name.hpp"
#include "open/sockets.hpp"

namespace rondo::inline RONDO_ABI::detail {

FileIdentity identity_of(const FileStatus& status) noexcept {
  return {status.device, status.inode};
}

std::optional<FileIdentity> identity_at(const std::string& path) noexcept {
  FileStatus status;
  if (link_status_of(path, status) != 0) return std::nullopt;
  return identity_of(status);
}

bool leads_elsewhere(const std::string& path, const FileIdentity& identity) noexcept {
  FileStatus status;
  const int error = link_status_of(path, status);
  if (error != 0) return error == ENOENT || error == ENOTDIR;
  return identity_of(status) != identity;
}

void NameCleanup::run() noexcept {
  // A name that stays behind is replaced by the next one; a wrong one that is taken away is lost.
  // Without a descriptor for the lock ours goes all the same: no process replaces it while it is in
  // use.
  if (!identity_) return;
  if (lock_.take(kNameLockHold) == NameLock::Taken::kByOther) return;
  if (identity_at(path_) == identity_) static_cast<void>(remove_name(path_));
  lock_.release();
}

Result<void> remove_special_file(const Url& url, bool even_if_used, std::string_view listener) {
  NameLock lock(url.target);
  if (lock.take(kNameLockHold) == NameLock::Taken::kByOther && !even_if_used) {
    return Error{ErrorCode::kBusy, url.name() +
                                       " is being opened or closed by a process that has " +
                                       lock.path() + " locked; end it first"};
  }
  FileStatus status;
  if (const int failed = link_status_of(url.target, status); failed != 0) {
    const Error error = system_error(url, "lstat", failed);
    if (error.code != ErrorCode::kNotFound) return error;
    return Error{ErrorCode::kNotFound, "there is no " + url.name()};
  }
  const bool socket = !listener.empty();
  if (status.kind != (socket ? FileKind::kSocket : FileKind::kFifo)) {
    return Error{ErrorCode::kForeignObject,
                 url.target + (socket ? " is no socket" : " is no FIFO") + "; it stays"};
  }
  if (socket && !even_if_used && is_listening(url.target)) {
    return Error{ErrorCode::kBusy, url.name() + " has " + std::string(listener) +
                                       "; end it first, or remove the name all the same"};
  }
  if (const int error = remove_name(url.target); error != 0) {
    return system_error(url, "unlink", error);
  }
  return {};
}

}  // namespace rondo::inline RONDO_ABI::detail
