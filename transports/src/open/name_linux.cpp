#include "open/name_linux.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "open/remove_name.hpp"
#include "rondo/core/cancellation_disabled.hpp"
#include "rondo/core/directory.hpp"

namespace rondo::inline RONDO_ABI::detail {

FileIdentity identity_of(const struct stat& status) noexcept {
  return {status.st_dev, status.st_ino};
}

std::optional<FileIdentity> identity_at(const std::string& path) noexcept {
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) return std::nullopt;
  return identity_of(status);
}

bool leads_elsewhere(const std::string& path, const FileIdentity& identity) noexcept {
  struct stat status {};
  if (lstat(path.c_str(), &status) != 0) return errno == ENOENT || errno == ENOTDIR;
  return identity_of(status) != identity;
}

void NameCleanup::run() noexcept {
  // A name that stays behind is replaced by the next one; a wrong one that is taken away is lost.
  // Without a descriptor for the lock ours goes all the same: no process replaces it while it is in
  // use.
  if (lock_.take(kNameLockHold) == NameLock::Taken::kByOther) return;
  if (identity_at(path_) == identity_) unlink(path_.c_str());
  lock_.release();
}

sockaddr_un socket_address(const std::string& path) noexcept {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  return address;
}

bool is_listening(const std::string& path) noexcept {
  const CancellationDisabled here;
  const sockaddr_un address = socket_address(path);
  const UniqueFd probe = open_socket(SOCK_DGRAM);
  if (!probe) return true;
  const int result =
      connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const bool dead = result != 0 && (errno == ECONNREFUSED || errno == ENOENT);
  return !dead;
}

Result<void> remove_special_file(const Url& url, bool even_if_used, std::string_view listener) {
  NameLock lock(url.target);
  if (lock.take(kNameLockHold) == NameLock::Taken::kByOther && !even_if_used) {
    return Error{ErrorCode::kBusy, url.name() +
                                       " is being opened or closed by a process that has " +
                                       lock.path() + " locked; end it first"};
  }
  struct stat status {};
  if (lstat(url.target.c_str(), &status) != 0) {
    const Error error = system_error(url, "lstat", errno);
    if (error.code != ErrorCode::kNotFound) return error;
    return Error{ErrorCode::kNotFound, "there is no " + url.name()};
  }
  const bool socket = !listener.empty();
  if (socket ? !S_ISSOCK(status.st_mode) : !S_ISFIFO(status.st_mode)) {
    return Error{ErrorCode::kForeignObject,
                 url.target + (socket ? " is no socket" : " is no FIFO") + "; it stays"};
  }
  if (socket && !even_if_used && is_listening(url.target)) {
    return Error{ErrorCode::kBusy, url.name() + " has " + std::string(listener) +
                                       "; end it first, or remove the name all the same"};
  }
  if (unlink(url.target.c_str()) != 0) return system_error(url, "unlink", errno);
  return {};
}

Error system_error(const Url& url, std::string_view call, int error) {
  if (error == ENOENT || error == ENOTDIR) {
    if (auto missing = missing_directory(url.target, url.name())) return *std::move(missing);
  }
  ErrorCode code = ErrorCode::kSystem;
  switch (error) {
    case EACCES:
    case EPERM:
    case EROFS: code = ErrorCode::kPermission; break;
    case ENOENT:
    case ENOTDIR: code = ErrorCode::kNotFound; break;
    case EMFILE:
    case ENFILE: code = ErrorCode::kNoDescriptors; break;
    case ENOSPC:
    case ENOMEM:
    case EDQUOT: code = ErrorCode::kNoSpace; break;
    case ELOOP: code = ErrorCode::kForeignObject; break;
    default: break;
  }
  return Error{
      code, url.name() + ": " + std::string(call) + ": " + std::generic_category().message(error)};
}

}  // namespace rondo::inline RONDO_ABI::detail
