#include "open/listening_socket.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <utility>

#include "open/addresses.hpp"
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

// Exactly the mode asked for. No process can connect yet; to a socket of datagrams those that the
// mode less the umask lets through. What is pinned is what is changed, should
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

// Datagrams come to a socket that has a name.
int start_listening(NativeHandle socket, SocketKind kind, int backlog) noexcept {
  return kind == SocketKind::kDatagrams ? 0 : listen_on(socket, backlog);
}

// An abstract name is nobody's file: it is bound at once or taken, and goes with its socket.
Result<ListeningSocket> listen_at_abstract(const Url& url, int backlog, std::string_view owner) {
  ask_about_ids();
  auto made = make_stream(url, kind_of(url), Direction::kRead);
  if (!made) return std::move(made).error();
  set_pass_descriptors(made->fd(), false);
  if (const int error = bind_to(made->fd(), abstract_address(abstract_name(url))); error != 0) {
    if (error != EADDRINUSE) return system_error(url, "bind", error);
    return Error{ErrorCode::kBusy,
                 url.name() + " has " + std::string(owner) + " already; it takes one at a time"};
  }
  if (const int error = start_listening(made->fd(), kind_of(url), backlog); error != 0) {
    return system_error(url, "listen", error);
  }
  return ListeningSocket{std::move(made).value(), nullptr, {}};
}

bool is_own_group(std::uint32_t told) noexcept { return is_group(told, effective_group()); }

}  // namespace

Result<void> judge_connect(const Url& url, int error) {
  // Datagrams of another sender are what the socket there takes.
  const bool met_another = error == EPERM && kind_of(url) == SocketKind::kDatagrams;
  switch (met_another ? ECONNREFUSED : error) {
    case 0: return {};
    case ENOENT:
    case ECONNREFUSED:
    case EAGAIN:  // too many wait to be accepted
    case EINTR: return Error{ErrorCode::kNotFound, "no process listens at " + url.name()};
    case EPROTOTYPE:
      return Error{ErrorCode::kForeignObject,
                   url.name() +
                       ": the socket there belongs to something else; choose another "
                       "path"};
    default: return system_error(url, "connect", error);
  }
}

bool is_allowed(const Url& url, const PeerCredentials& peer) noexcept {
  const auto& users = url.options.users;
  const auto& groups = url.options.groups;
  return is_own_user(peer.user) ||
         std::ranges::any_of(users, [&](auto user) { return is_user(peer.user, user); }) ||
         std::ranges::any_of(groups, [&](auto group) { return is_group(peer.group, group); });
}

Result<void> check_peer(const Url& url, const PeerCredentials& peer) {
  if (is_allowed(url, peer)) return {};
  const bool listed = !url.options.users.empty() || !url.options.groups.empty();
  const Permissions mode = url.options.segment.mode;
  // A file's mode has kept out whom it should; an abstract name has none but this.
  const bool open_to_peer =
      is_abstract(url) ? (mode & 06u) == 06 || ((mode & 060u) == 060 && is_own_group(peer.group))
                       : mode.shared();
  if (!listed && open_to_peer) return {};
  return Error{
      ErrorCode::kForeignOwner,
      url.name() + ": the other side runs as " + describe_user(peer.user) +
          "; mode=0660 or so on both sides lets it in, or uid=" + std::to_string(peer.user)};
}

Result<ListeningSocket> listen_for_peers(Url& url, const OpenOptions& options, int backlog,
                                         std::string_view owner) {
  if (is_over_tcp(url)) return listen_at_port(url, backlog, owner);
  if (is_abstract(url)) return listen_at_abstract(url, backlog, owner);
  return listen_at(url, options, kind_of(url), backlog, owner);
}

Result<UniqueFd> connect_by_url(const Url& url, const OpenOptions& options, AddressTurn& turn) {
  if (is_over_tcp(url)) return connect_to_port(url, options, turn);
  if (is_abstract(url)) {
    auto made = make_stream(url, kind_of(url), Direction::kWrite);
    if (!made) return std::move(made).error();
    const int error = connect_to(made->fd(), abstract_address(abstract_name(url)));
    if (auto judged = judge_connect(url, error); !judged) return std::move(judged).error();
    return std::move(*made).release();
  }
  auto made = connect_to(url, kind_of(url));
  if (!made) return std::move(made).error();
  return std::move(*made).release();
}

Result<ListeningSocket> listen_at(const Url& url, const OpenOptions& options, SocketKind kind,
                                  int backlog, std::string_view owner) {
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
  // One that was taken away already is found out as any that is: it leads elsewhere.
  const auto identity = identity_at(url.target);
  if (!identity && errno != ENOENT) return take_back("lstat", errno);
  give_mode(url.target, url.options.segment.mode);
  if (const int error = start_listening(socket, kind, backlog); error != 0) {
    return take_back("listen", error);
  }
  const FileIdentity ours = identity.value_or(FileIdentity{});
  name->is(ours);
  return ListeningSocket{std::move(made).value(), std::move(name), std::move(path), ours,
                         identity_at("/")};
}

void ListeningSocket::close() noexcept {
  if (!socket.is_open()) return;
  stop_listening(socket.fd());
  while (OwnedFd pending = accept_from(socket.fd())) close_or_leak(std::move(pending));
  socket.close();
}

Result<FdStream> connect_to(const Url& url, SocketKind kind) {
  auto made = make_stream(url, kind, Direction::kWrite);
  if (!made) return made;
  const int error = connect_to(made->fd(), url.target);
  if (error == ENOENT) {  // no process will listen in a directory that is missing
    if (auto missing = missing_directory(url.target, url.name())) return *std::move(missing);
  }
  if (auto judged = judge_connect(url, error); !judged) return std::move(judged).error();
  return made;
}

Result<PeerCredentials> credentials_of(const Url& url, NativeHandle socket) {
  PeerCredentials credentials;
  if (const int error = credentials_of(socket, credentials); error != 0) {
    return system_error(url, "getsockopt", error);
  }
  return credentials;
}

}  // namespace rondo::inline RONDO_ABI::detail
