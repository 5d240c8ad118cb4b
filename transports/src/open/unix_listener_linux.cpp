#include "open/unix_listener_linux.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <utility>

#include "open/name_linux.hpp"
#include "open/open.hpp"
#include "open/untrusted_descriptors_linux.hpp"
#include "rondo/core/directory.hpp"
#include "rondo/core/user_ids.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

using Direction = FdStream::Direction;

Result<FdStream> make_socket(const Url& url, int type, Direction direction) {
  UniqueFd fd = open_socket(type | SOCK_NONBLOCK);
  if (!fd) return system_error(url, "socket", errno);
  return FdStream(std::move(fd), direction);
}

// How long a process that has stopped amid an open of its own is waited for.
constexpr std::chrono::seconds kMaxTimeout{2};

// Keeps others from judging and replacing what stands at the name at the same time.
Result<void> lock_name(NameLock& lock, const Url& url, const OpenOptions& options) {
  const auto timeout =
      std::clamp<std::chrono::nanoseconds>(options.wait.remaining(), kNameLockHold, kMaxTimeout);
  switch (lock.take(timeout, options.stop)) {
    case NameLock::Taken::kYes: return {};
    case NameLock::Taken::kByOther: break;
    case NameLock::Taken::kFailed:
      if (errno == EEXIST) {
        return Error{ErrorCode::kForeignObject,
                     lock.path() + " is in the way of a lock; choose another path, or remove it"};
      }
      return system_error(url, "lock " + lock.path(), errno);
  }
  return Error{ErrorCode::kBusy, url.name() + " is being opened by a process that has " +
                                     lock.path() + " locked; end it first"};
}

// Removes a socket that its owner left behind. Errors: kBusy, kForeignObject.
Result<void> clear_name(const Url& url, std::string_view owner) {
  struct stat status {};
  if (lstat(url.target.c_str(), &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode)) {
    return Error{ErrorCode::kForeignObject,
                 url.target + " is no socket; choose another path, or remove it"};
  }
  if (is_listening(url.target)) {
    return Error{ErrorCode::kBusy,
                 url.name() + " has " + std::string(owner) + " already; it takes one at a time"};
  }
  // Its owner may be taking it away in this moment.
  if (unlink(url.target.c_str()) != 0 && errno != ENOENT) return system_error(url, "unlink", errno);
  return {};
}

// Exactly the mode asked for. No process can connect yet. What is pinned is what is changed, should
// a link have been put in its place.
void set_mode(const std::string& path, Permissions mode) noexcept {
  const UniqueFd pin = open_file(path.c_str(), O_PATH | O_NOFOLLOW);
  if (!pin) return;
  struct stat status {};
  if (fstat(pin.get(), &status) == 0 && S_ISSOCK(status.st_mode) && is_own_user(status.st_uid)) {
    // Without /proc it stays as the umask had it.
    static_cast<void>(chmod(("/proc/self/fd/" + std::to_string(pin.get())).c_str(), mode));
  }
}

}  // namespace

Result<Listener> listen_at(const Url& url, const OpenOptions& options, int type, int backlog,
                           std::string_view owner) {
  ask_about_ids();
  const sockaddr_un address = socket_address(url.target);
  NameLock lock(url.target);
  if (auto locked = lock_name(lock, url, options); !locked) return std::move(locked).error();
  if (auto cleared = clear_name(url, owner); !cleared) return std::move(cleared).error();
  auto made = make_socket(url, type, Direction::kRead);
  if (!made) return std::move(made).error();
  const int fd = made->fd();
  set_pass_descriptors(fd, false);
  // The name is made with the mode of the socket, less the umask.
  fchmod(fd, url.options.segment.mode);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return system_error(url, "bind", errno);
  }
  const auto take_back = [&](std::string_view call) {
    Error error = system_error(url, call, errno);
    unlink(url.target.c_str());  // under its lock
    return error;
  };
  const auto identity = identity_at(url.target);
  if (!identity) return take_back("lstat");
  set_mode(url.target, url.options.segment.mode);
  if (listen(fd, backlog) != 0) return take_back("listen");
  return Listener{std::move(made).value(), std::make_unique<NameCleanup>(url.target, *identity),
                  absolute_path(url.target), *identity};
}

void Listener::close() noexcept {
  if (!socket.is_open()) return;
  static_cast<void>(shutdown(socket.fd(), SHUT_RD));
  while (OwnedFd pending = accept_from(socket.fd())) close_or_leak(std::move(pending));
  socket.close();
}

Result<FdStream> connect_to(const Url& url, int type) {
  const sockaddr_un address = socket_address(url.target);
  auto made = make_socket(url, type, Direction::kWrite);
  if (!made) return made;
  if (connect(made->fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return made;
  }
  const int error = errno;
  const bool may_come =
      error == ENOENT || error == ECONNREFUSED || error == EAGAIN || error == EINTR;
  if (error == ENOENT) {  // no process will listen in a directory that is missing
    if (auto missing = missing_directory(url.target, url.name())) return *std::move(missing);
  }
  if (may_come) return Error{ErrorCode::kNotFound, "no process listens at " + url.name()};
  if (error == EPROTOTYPE) {
    return Error{ErrorCode::kForeignObject,
                 url.name() + ": the socket there belongs to something else; choose another path"};
  }
  return system_error(url, "connect", error);
}

Result<ucred> credentials_of(const Url& url, int fd) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return system_error(url, "getsockopt", errno);
  }
  return credentials;
}

}  // namespace rondo::inline RONDO_ABI::detail
