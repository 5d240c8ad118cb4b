#include "open/unix_listener.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <utility>

#include "open/name.hpp"
#include "open/open.hpp"
#include "open/untrusted_descriptors.hpp"
#include "rondo/core/directory.hpp"
#include "rondo/core/os.hpp"
#include "rondo/core/user_ids.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

using Direction = FdStream::Direction;

Result<FdStream> make_stream(const Url& url, SocketKind kind, Direction direction) {
  UniqueFd fd = make_socket(kind);
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
  FileStatus status;
  if (link_status_of(url.target, status) != 0) return {};
  if (status.kind != FileKind::kSocket) {
    return Error{ErrorCode::kForeignObject,
                 url.target + " is no socket; choose another path, or remove it"};
  }
  if (is_listening(url.target)) {
    return Error{ErrorCode::kBusy,
                 url.name() + " has " + std::string(owner) + " already; it takes one at a time"};
  }
  // Its owner may be taking it away in this moment.
  const int error = remove_name(url.target);
  if (error != 0 && error != ENOENT) return system_error(url, "unlink", error);
  return {};
}

// Exactly the mode asked for. No process can connect yet. What is pinned is what is changed, should
// a link have been put in its place.
void give_mode(const std::string& path, Permissions mode) noexcept {
  const UniqueFd pin = pin_file(path);
  if (!pin) return;
  FileStatus status;
  if (status_of(pin.get(), status) == 0 && status.kind == FileKind::kSocket &&
      is_own_user(status.owner)) {
    // Without /proc it stays as the umask had it.
    static_cast<void>(set_mode_of_pinned(pin.get(), mode));
  }
}

}  // namespace

Result<Listener> listen_at(const Url& url, const OpenOptions& options, SocketKind kind, int backlog,
                           std::string_view owner) {
  ask_about_ids();
  NameLock lock(url.target);
  if (auto locked = lock_name(lock, url, options); !locked) return std::move(locked).error();
  if (auto cleared = clear_name(url, owner); !cleared) return std::move(cleared).error();
  auto made = make_stream(url, kind, Direction::kRead);
  if (!made) return std::move(made).error();
  // Before there is anything to clean up: there may be no memory for it.
  auto name = std::make_unique<NameCleanup>(url.target);
  std::string path = absolute_path(url.target);
  const NativeHandle socket = made->fd();
  set_pass_descriptors(socket, false);
  static_cast<void>(set_mode(socket, url.options.segment.mode));  // that of the name, too
  if (const int error = bind_to(socket, url.target); error != 0) {
    return system_error(url, "bind", error);
  }
  const auto take_back = [&](std::string_view call, int error) {
    static_cast<void>(remove_name(url.target));  // under its lock
    return system_error(url, call, error);
  };
  const auto identity = identity_at(url.target);
  if (!identity) return take_back("lstat", errno);
  give_mode(url.target, url.options.segment.mode);
  if (const int error = listen_on(socket, backlog); error != 0) return take_back("listen", error);
  name->is(*identity);
  return Listener{std::move(made).value(), std::move(name), std::move(path), *identity};
}

void Listener::close() noexcept {
  if (!socket.is_open()) return;
  stop_listening(socket.fd());
  while (OwnedFd pending = accept_from(socket.fd())) close_or_leak(std::move(pending));
  socket.close();
}

Result<FdStream> connect_to(const Url& url, SocketKind kind) {
  auto made = make_stream(url, kind, Direction::kWrite);
  if (!made) return made;
  const int error = connect_to(made->fd(), url.target);
  if (error == 0) return made;
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

Result<PeerCredentials> credentials_of(const Url& url, NativeHandle socket) {
  PeerCredentials credentials;
  if (const int error = credentials_of(socket, credentials); error != 0) {
    return system_error(url, "getsockopt", error);
  }
  return credentials;
}

}  // namespace rondo::inline RONDO_ABI::detail
