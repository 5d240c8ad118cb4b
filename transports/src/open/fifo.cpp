// fifo: a pipe with a name. The side that comes first makes it, and takes it away when it closes; a
// lock on the file keeps a second sender and a second receiver out.
//
// One sender and one receiver belong together, from the sender's hello on: the bytes of one stream
// are never read as the rest of another. When one of them has gone, the next one waits until the
// other has noticed: a sender comes in only to a receiver that has met no sender, and to an empty
// pipe; a receiver begins with a hello, or not at all.
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "endpoint/stream.hpp"
#include "open/fifos.hpp"
#include "open/name.hpp"
#include "open/open.hpp"
#include "open/remove_name.hpp"
#include "rondo/core/os.hpp"
#include "rondo/core/user_ids.hpp"
#include "stream/fd_stream.hpp"
#include "stream/framing.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

using Direction = FdStream::Direction;

struct OpenedFifo {
  FdStream stream;
  FileIdentity identity;
};

// Makes the FIFO if nothing stands at the name. What to clean up, if it is ours.
Result<PendingCleanup> make_if_none(const Url& url) {
  if (identity_at(url.target)) return PendingCleanup();
  // Before there is anything to clean up: there may be no memory for it.
  auto name = std::make_unique<NameCleanup>(url.target);
  // So that a process that takes the last one away does not take this one. To make it needs no
  // lock.
  NameLock lock(url.target);
  static_cast<void>(lock.take(kNameLockHold));
  if (const int error = make_fifo(url.target); error != 0) {
    if (error == EEXIST) return PendingCleanup();
    return system_error(url, "mkfifo", error);
  }
  const auto identity = identity_at(url.target);
  if (!identity) {
    const int failed = errno;
    static_cast<void>(remove_name(url.target));  // no other can have replaced it so soon
    return system_error(url, "lstat", failed);
  }
  name->is(*identity);
  PendingCleanup cleanup(std::move(name));
  // After it was made, because the umask takes bits away there.
  if (url.options.segment.mode != 0600) {
    static_cast<void>(set_mode_at(url.target, url.options.segment.mode));
  }
  return cleanup;
}

// Bytes of the file that are locked: the sender's role, and a receiver that has met its sender.
constexpr std::uint64_t kSenderByte = 0;
constexpr std::uint64_t kMetByte = 1;

// The one sender locks a byte, the one receiver the file: two kinds of lock that do not meet.
bool take_role(NativeHandle fd, Direction direction) noexcept {
  return (direction == Direction::kRead ? lock_whole(fd) : lock_byte(fd, kSenderByte)) == 0;
}

// A receiver says so before it reads the first byte. A lock for reading, as its descriptor is.
bool say_met(NativeHandle fd) noexcept { return share_byte(fd, kMetByte) == 0; }

// Whether another sender's stream is still on its way to the receiver, or with it.
bool still_anothers(NativeHandle fd) noexcept {
  std::size_t unread = 0;
  return unread_in(fd, unread) != 0 || unread != 0 || !is_byte_free(fd, kMetByte);
}

// kNotFound: nothing there now, or (for a sender) no receiver yet.
Result<OpenedFifo> open_fifo(const Url& url, Direction direction) {
  const bool reading = direction == Direction::kRead;
  UniqueFd opened = open_fifo_end(url.target, direction);
  if (!opened) {
    if (errno == ENXIO) return Error{ErrorCode::kNotFound, "no receiver yet"};
    return system_error(url, "open", errno);
  }
  const NativeHandle fd = opened.get();
  FdStream stream(std::move(opened), direction);
  FileStatus status;
  if (const int error = status_of(fd, status); error != 0) {
    return system_error(url, "fstat", error);
  }
  if (status.kind != FileKind::kFifo) {
    return Error{ErrorCode::kForeignObject,
                 url.target + " is no FIFO; choose another path, or remove it"};
  }
  const bool shared = url.options.segment.mode.shared();
  if (!shared && !is_own_user(status.owner)) {
    return Error{ErrorCode::kForeignOwner, url.target + " " +
                                               explain_mode(status.owner, status.group, status.mode,
                                                            url.options.segment.mode)};
  }
  if (!take_role(fd, direction)) {
    return Error{ErrorCode::kBusy, url.name() + " has a " + (reading ? "receiver" : "sender") +
                                       " already; it takes one at a time"};
  }
  if (!reading && still_anothers(fd)) return Error{ErrorCode::kNotFound, "no receiver yet"};
  return OpenedFifo{std::move(stream), identity_of(status)};
}

// Makes and opens the FIFO, and tries again for as long as the options say.
Result<OpenedFifo> open_when_there(const Url& url, const OpenOptions& options, Direction direction,
                                   PendingCleanup& cleanup) {
  Retry retry;
  for (;;) {
    auto made = make_if_none(url);
    if (!made) return std::move(made).error();
    if (*made) cleanup = std::move(made).value();
    auto opened = open_fifo(url, direction);
    if (opened || opened.error().code != ErrorCode::kNotFound) return opened;
    if (auto paused = retry.pause(options, "a receiver for " + url.name()); !paused) {
      return std::move(paused).error();
    }
  }
}

// A sender says hello: a pipe does not tell its reader when a writer has opened it.
void say_hello(FdStream& stream) noexcept {
  const auto bytes = std::as_bytes(std::span(&kHello, 1));
  const std::array pieces{bytes};
  static_cast<void>(stream.write(pieces));
}

// Waits for a sender. False if the name leads elsewhere by now. Errors: kTimedOut.
Result<bool> wait_for_sender(const OpenedFifo& fifo, const Url& url, const OpenOptions& options) {
  for (;;) {
    const Deadline slice = earlier(options.wait, Deadline::after(kNameCheckInterval));
    const WaitResult result =
        fifo.stream.wait(Direction::kRead, slice, WaitMode::kPark, options.stop);
    if (result == WaitResult::kReady) return true;
    if (leads_elsewhere(url.target, fifo.identity)) return false;
    if (auto go_on = Retry::allowed(options, "a sender for " + url.name()); !go_on) {
      return std::move(go_on).error();
    }
  }
}

// Whether what comes is a stream from its beginning, and not the rest of one that another receiver
// left, nor the end of a sender that never spoke. Frames of others tell the latter alone.
bool begins_a_stream(const Url& url, FdStream& stream) noexcept {
  if (!say_met(stream.fd())) return false;
  if (url.options.framing != Framing::kRondo) {
    std::size_t unread = 0;
    return unread_in(stream.fd(), unread) == 0 && unread != 0;
  }
  std::uint32_t first = 0;
  const auto bytes = std::as_writable_bytes(std::span(&first, 1));
  const FdStream::Moved moved = stream.read({bytes, std::span<std::byte>()});
  return moved.bytes == sizeof first && first == kHello;
}

}  // namespace

Result<SenderParts> open_fifo_sender(const Url& url, const OpenOptions& options) {
  PendingCleanup cleanup;
  auto opened = open_when_there(url, options, Direction::kWrite, cleanup);
  if (!opened) return std::move(opened).error();
  if (url.options.framing == Framing::kRondo) say_hello(opened->stream);
  return make_stream_sender(on_heap(std::move(opened->stream)), std::move(cleanup), url, options);
}

Result<ReceiverParts> open_fifo_receiver(const Url& url, const OpenOptions& options) {
  PendingCleanup cleanup;
  Retry retry;
  for (;;) {
    {
      auto opened = open_when_there(url, options, Direction::kRead, cleanup);
      if (!opened) return std::move(opened).error();
      const auto came = wait_for_sender(*opened, url, options);
      if (!came) return came.error();
      if (!*came) continue;
      if (begins_a_stream(url, opened->stream)) {
        return make_stream_receiver(on_heap(std::move(opened->stream)), std::move(cleanup), url,
                                    options);
      }
    }
    // Closed meanwhile, so that a sender whose receiver has gone learns of it.
    if (auto paused = retry.pause(options, "a sender for " + url.name()); !paused) {
      return std::move(paused).error();
    }
  }
}

Result<PairParts> open_fifo_pair(const Url& url, const OpenOptions& options) {
  PendingCleanup cleanup;
  auto reading = open_when_there(url, options, Direction::kRead, cleanup);
  if (!reading) return std::move(reading).error();
  auto sender = open_fifo_sender(url, options);
  if (!sender) return std::move(sender).error();
  return make_pair(std::move(sender).value(), [&] {
    static_cast<void>(begins_a_stream(url, reading->stream));
    return make_stream_receiver(on_heap(std::move(reading->stream)), std::move(cleanup), url,
                                options);
  });
}

Result<void> remove_fifo(const Url& url, bool even_if_used) {
  return remove_special_file(url, even_if_used, {});
}

}  // namespace rondo::inline RONDO_ABI::detail
