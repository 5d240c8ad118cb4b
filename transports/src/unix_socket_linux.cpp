// unix: a stream socket with a name. The receiver makes the name and listens; it takes the name
// away as soon as its sender has come, so that nothing stays behind. The sender waits for a
// welcome: a connection that the receiver never accepted is none.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "name_linux.hpp"
#include "open.hpp"
#include "stream_channel.hpp"

namespace rondo::detail {
namespace {

using Direction = FdStream::Direction;

constexpr std::byte kWelcome{0x52};

Result<FdStream> make_socket(const Url& url, Direction direction) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return system_error(url, "socket", errno);
  return FdStream(fd, direction);
}

Result<void> check_peer(const Url& url, int fd) {
  if ((url.options.segment.mode & 0077) != 0) return {};
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return system_error(url, "getsockopt", errno);
  }
  if (credentials.uid == geteuid()) return {};
  return Error{ErrorCode::kForeignOwner,
               url.name() + ": the other side runs as the user with the id " +
                   std::to_string(credentials.uid) + "; mode=0660 or so on both sides lets it in"};
}

// Keeps other receivers from judging and replacing what stands at the name at the same time: a lock
// on the directory, which ends with its holder.
class DirectoryLock {
 public:
  explicit DirectoryLock(const Url& url) {
    const std::size_t slash = url.target.rfind('/');
    std::string directory = ".";
    if (slash != std::string::npos)
      directory = url.target.substr(0, std::max<std::size_t>(slash, 1));
    fd_ = open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    error_ = fd_ < 0 ? errno : 0;
  }
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;
  ~DirectoryLock() {
    if (fd_ >= 0) close(fd_);
  }
  [[nodiscard]] int error() const noexcept { return error_; }
  // False if somebody else has it now.
  [[nodiscard]] bool try_lock() const noexcept { return flock(fd_, LOCK_EX | LOCK_NB) == 0; }

 private:
  int fd_ = -1;
  int error_ = 0;
};

// Removes a socket that its owner left behind. Errors: kBusy, kForeignObject.
Result<void> clear_name(const Url& url) {
  struct stat status {};
  if (lstat(url.target.c_str(), &status) != 0) return {};
  if (!S_ISSOCK(status.st_mode)) {
    return Error{ErrorCode::kForeignObject,
                 url.target + " is no socket; choose another path, or remove it"};
  }
  if (somebody_listens(url.target)) {
    return Error{ErrorCode::kBusy, url.name() + " has a receiver already; it takes one at a time"};
  }
  if (unlink(url.target.c_str()) != 0) return system_error(url, "unlink", errno);
  return {};
}

struct Listener {
  FdStream socket;
  std::unique_ptr<Cleanup> cleanup;
};

Result<Listener> listen_at(const Url& url, const OpenOptions& options) {
  const sockaddr_un address = socket_address(url.target);
  const DirectoryLock lock(url);
  if (lock.error() != 0) return system_error(url, "open its directory", lock.error());
  while (!lock.try_lock()) {
    if (auto paused = pause_before_retry(options, "the directory of " + url.name()); !paused) {
      return std::move(paused).error();
    }
  }
  if (auto cleared = clear_name(url); !cleared) return std::move(cleared).error();
  auto made = make_socket(url, Direction::kRead);
  if (!made) return std::move(made).error();
  const int fd = made->fd();
  fchmod(fd, url.options.segment.mode);  // the name is made with the mode of the socket
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return system_error(url, "bind", errno);
  }
  const auto identity = identity_at(url.target);
  auto cleanup = std::make_unique<NameCleanup>(url.target, identity.value_or(FileIdentity{}));
  if (listen(fd, 1) != 0) {
    const int error = errno;
    cleanup->run();
    return system_error(url, "listen", error);
  }
  return Listener{std::move(made).value(), std::move(cleanup)};
}

Result<FdStream> accept_sender(const Url& url, const OpenOptions& options, Listener& listener) {
  for (;;) {
    const WaitResult waited = listener.socket.wait(options.wait, WaitMode::kPark, options.stop);
    if (waited != WaitResult::kReady) {
      return Error{ErrorCode::kTimedOut,
                   "no sender came to " + url.name() + " in time; start one, or wait longer"};
    }
    const int fd = accept4(listener.socket.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) continue;
      return system_error(url, "accept", errno);
    }
    FdStream stream(fd, Direction::kRead);
    if (!check_peer(url, fd)) continue;  // a stranger; our sender may still come
    if (send(fd, &kWelcome, 1, MSG_NOSIGNAL) == 1) return stream;
  }
}

Result<ReceiverParts> make_receiver(const Url& url, const OpenOptions& options,
                                    Listener& listener) {
  auto stream = accept_sender(url, options, listener);
  listener.cleanup->run();
  if (!stream) return std::move(stream).error();
  return make_stream_receiver(std::move(stream).value(), nullptr, url, options);
}

// kNotFound: nobody listens now.
Result<FdStream> connect_to(const Url& url) {
  const sockaddr_un address = socket_address(url.target);
  auto made = make_socket(url, Direction::kWrite);
  if (!made) return made;
  if (connect(made->fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    if (auto checked = check_peer(url, made->fd()); !checked) return std::move(checked).error();
    return made;
  }
  const bool may_come =
      errno == ENOENT || errno == ECONNREFUSED || errno == EAGAIN || errno == EINTR;
  if (may_come) return Error{ErrorCode::kNotFound, "nobody listens at " + url.name()};
  return system_error(url, "connect", errno);
}

// True once the receiver has taken the connection; false if it never will.
Result<bool> await_welcome(const Url& url, const OpenOptions& options, const FdStream& stream) {
  // Reading on a stream that is there for writing.
  const int fd = dup(stream.fd());
  if (fd < 0) return system_error(url, "dup", errno);
  FdStream reading(fd, Direction::kRead);
  for (;;) {
    std::array<std::byte, 1> byte{};
    const auto moved = reading.read({std::span(byte), std::span<std::byte>{}});
    if (moved.outcome == FdStream::Outcome::kMoved) return byte[0] == kWelcome;
    if (moved.outcome != FdStream::Outcome::kNotNow) return false;
    const WaitResult waited = reading.wait(options.wait, WaitMode::kPark, options.stop);
    if (waited != WaitResult::kReady) {
      return Error{ErrorCode::kTimedOut,
                   url.name() + " has a receiver that is busy with another sender, or stopped"};
    }
  }
}

}  // namespace

Result<ReceiverParts> open_unix_receiver(const Url& url, const OpenOptions& options) {
  auto listener = listen_at(url, options);
  if (!listener) return std::move(listener).error();
  return make_receiver(url, options, *listener);
}

Result<SenderParts> open_unix_sender(const Url& url, const OpenOptions& options) {
  for (;;) {
    auto stream = connect_to(url);
    if (stream) {
      const auto welcome = await_welcome(url, options, *stream);
      if (!welcome) return welcome.error();
      if (*welcome) return make_stream_sender(std::move(stream).value(), nullptr, url, options);
    } else if (stream.error().code != ErrorCode::kNotFound) {
      return std::move(stream).error();
    }
    if (auto paused = pause_before_retry(options, "a receiver for " + url.name()); !paused) {
      return std::move(paused).error();
    }
  }
}

Result<PairParts> open_unix_pair(const Url& url, const OpenOptions& options) {
  auto listener = listen_at(url, options);
  if (!listener) return std::move(listener).error();
  auto stream = connect_to(url);
  auto receiver = make_receiver(url, options, *listener);
  if (!stream) return std::move(stream).error();
  if (!receiver) return std::move(receiver).error();
  const auto welcome = await_welcome(url, options, *stream);
  if (!welcome) return welcome.error();
  auto sender = make_stream_sender(std::move(stream).value(), nullptr, url, options);
  if (!sender) return std::move(sender).error();
  return PairParts(std::move(sender).value(), std::move(receiver).value());
}

}  // namespace rondo::detail
