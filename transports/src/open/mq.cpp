// mq: a POSIX message queue. Whoever comes first makes it; one that is there is taken as it is.
// The parts that its ends hold are bytes of the queue's file that are locked, as those of a FIFO
// are; a forked child, which would keep them for a parent that dies, closes it. Who takes the name
// away stands in queue_end.hpp. With framing=raw it is any program's queue: as many senders and
// receivers as there are, and it stays.
#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "endpoint/packets.hpp"
#include "open/name.hpp"
#include "open/open.hpp"
#include "open/posix_queues.hpp"
#include "open/queue.hpp"
#include "open/queue_channel.hpp"
#include "rondo/core/fork_watch.hpp"
#include "rondo/core/os.hpp"
#include "stream/fd_stream.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

class PosixQueue final : public Queue {
 public:
  PosixQueue(UniqueFd queue, bool made, const Url& url, const ForkPause& pause)
      : queue_(std::move(queue), Direction::kRead),
        made_(made),
        name_(url.target),
        header_bytes_(url.options.header_bytes()),
        raw_(packet_form(url) == PacketForm::kRaw),
        closed_in_child_(queue_, pause) {}
  // While it is watched: a child that is forked later would keep the parts.
  ~PosixQueue() override { PosixQueue::close(); }
  // Before anything else, but for held() and remove(): 0, or the error.
  [[nodiscard]] int look() noexcept {
    std::uint64_t messages = 0;
    const int error = look_whose_it_is();
    return error != 0 ? error : look_at_queue(fd(), geometry_, messages);
  }
  // The part of it that leads_elsewhere() needs.
  [[nodiscard]] int look_whose_it_is() noexcept { return status_of(fd(), status_); }
  [[nodiscard]] const QueueGeometry& geometry() const noexcept { return geometry_; }
  [[nodiscard]] const FileStatus& status() const noexcept { return status_; }

  int hold(Part part) noexcept override {
    return usable() ? lock_byte(fd(), byte_of(part)) : EBADF;
  }
  void drop(Part part) noexcept override {
    if (usable()) unlock_byte(fd(), byte_of(part));
  }
  Presence held(Part part) const noexcept override {
    return usable() ? bytes_locked_by_other(fd(), byte_of(part), 1) : Presence::kUnknown;
  }
  std::size_t max_packet_bytes() const noexcept override { return geometry_.slot_bytes; }
  int send(std::span<const std::byte> packet) noexcept override {
    return send_to_queue(fd(), packet, header_bytes_);
  }
  int receive(std::span<std::byte> room, std::size_t& size_bytes) noexcept override {
    unsigned priority = 0;
    const int error = receive_from_queue(fd(), room, size_bytes, priority);
    return error == 0 && priority != header_bytes_ && !raw_ ? EBADMSG : error;
  }
  bool any_messages() const noexcept override {
    QueueGeometry geometry;
    std::uint64_t messages = 0;
    return look_at_queue(fd(), geometry, messages) != 0 || messages > 0;
  }
  WaitResult wait(Direction direction, Deadline deadline, WaitMode mode,
                  const std::atomic<bool>* stop) const noexcept override {
    return queue_.wait(direction, deadline, mode, stop);
  }
  NativeHandle fd() const noexcept override { return queue_.fd(); }
  bool made() const noexcept override { return made_; }
  bool leads_elsewhere() const noexcept override {
    const UniqueFd there = open_queue(name_);
    if (!there) return errno == ENOENT;
    FileStatus status;
    return status_of(there.get(), status) == 0 && identity_of(status) != identity_of(status_);
  }
  int remove() noexcept override { return remove_posix_queue(name_); }
  void close() noexcept override {
    // Not by closing alone: a child that was just forked may not have closed its own yet.
    for (int part = 0; part < kParts; ++part) drop(static_cast<Part>(part));
    queue_.close();
  }

 private:
  struct ClosedInChild : ForkWatch {
    ClosedInChild(FdStream& stream, const ForkPause& pause) noexcept
        : ForkWatch(close, pause), queue(stream) {}
    static void close(ForkWatch& watch) noexcept {
      static_cast<ClosedInChild&>(watch).queue.close();
    }
    FdStream& queue;
  };

  // A program that has closed all descriptors may have a file of its own at this number. And in a
  // child that no fork handler has seen, what is held is still the parent's.
  [[nodiscard]] bool usable() const noexcept { return process_id() == owner_ && queue_.intact(); }
  static std::uint64_t byte_of(Part part) noexcept { return static_cast<std::uint64_t>(part); }

  FdStream queue_;
  std::uint32_t owner_ = process_id();
  bool made_;
  std::string name_;
  unsigned header_bytes_;
  bool raw_;  // any program's, whose priorities are its own
  FileStatus status_{};
  QueueGeometry geometry_{};
  ClosedInChild closed_in_child_;  // the last one: nothing throws behind it, under the pause
};

constexpr std::string_view kRemedy = "make it with a larger slot_size=";

QueueGeometry wished_geometry(const Url& url) {
  const ChannelOptions& options = url.options;
  QueueGeometry geometry{queue_limit("msg_default").value_or(10),
                         queue_limit("msgsize_default").value_or(8192)};
  if (options.slots) geometry.slots = *options.slots;
  if (options.max_bytes) {
    geometry.slot_bytes =
        std::max<std::uint64_t>(geometry.slot_bytes, *options.max_bytes + packet_overhead(url));
  }
  if (options.slot_bytes) geometry.slot_bytes = *options.slot_bytes;
  return geometry;
}

std::string limit_of(std::string_view name) {
  std::string text = std::string("fs.mqueue.").append(name);
  if (const auto limit = queue_limit(name)) text.append("=").append(std::to_string(*limit));
  return text;
}

Error cannot_make(const Url& url, const QueueGeometry& geometry, int error) {
  const std::string what = url.name() + ": a queue of " + std::to_string(geometry.slots) +
                           " messages of " + std::to_string(geometry.slot_bytes) + " bytes";
  switch (error) {
    case EINVAL:
      return Error{ErrorCode::kInvalidCapacity,
                   what + " is more than the system allows (" + limit_of("msg_max") + ", " +
                       limit_of("msgsize_max") +
                       "); say less with slots= and slot_size= or max=, or raise the limits"};
    case EMFILE:
    case ENOMEM:
      return Error{ErrorCode::kNoSpace,
                   what +
                       " is more than this user may still have in queues, or the process in "
                       "descriptors (RLIMIT_MSGQUEUE, RLIMIT_NOFILE); remove queues, say less "
                       "with slots= and slot_size=, or raise the limit (ulimit -q)"};
    case ENOSPC:
      return Error{ErrorCode::kNoSpace, what + ": there are as many queues as the system allows (" +
                                            limit_of("queues_max") + "); remove some, or raise it"};
    case ENOSYS:
      return Error{ErrorCode::kUnsupported, url.name() + ": this system has no message queues"};
    default: return system_error(url, "mq_open", error);
  }
}

// The queue at the name, or a new one. An existing one's geometry wins.
struct OpenedQueue {
  UniqueFd queue;
  bool made = false;
};
Result<OpenedQueue> open_or_make(const Url& url) {
  const QueueGeometry geometry = wished_geometry(url);
  constexpr int kTurns = 100;  // others may make and remove it again and again
  for (int turn = 0; turn < kTurns; ++turn) {
    UniqueFd queue = open_queue(url.target);
    if (queue) return OpenedQueue{std::move(queue)};
    if (errno != ENOENT) return system_error(url, "mq_open", errno);
    // Before there is one that would be left behind.
    if (auto enough = check_packet_limit(url, geometry.slot_bytes, kRemedy); !enough) {
      return std::move(enough).error();
    }
    queue = make_queue(url.target, url.options.segment.mode, geometry);
    if (queue) {
      static_cast<void>(set_mode(queue.get(), url.options.segment.mode));  // whatever the umask
      return OpenedQueue{std::move(queue), true};
    }
    if (errno != EEXIST) return cannot_make(url, geometry, errno);
  }
  return Error{ErrorCode::kReplaced, url.name() + " is made and removed again and again"};
}

Result<void> check_queue(const Url& url, PosixQueue& queue) {
  if (const int error = queue.look(); error != 0) return system_error(url, "fstat", error);
  const FileStatus& status = queue.status();
  auto owned = check_queue_owner(url, status.owner, status.group, status.mode);
  if (!owned) return owned;
  const auto differs = [&](std::string_view option, auto wished, std::uint64_t found) {
    return Error{ErrorCode::kGeometryMismatch,
                 url.name() + " exists with " + std::string(option) + "=" + std::to_string(found) +
                     ", not " + std::to_string(wished) + "; leave the option out, or remove it " +
                     "first (rondo rm " + url.name() + ")"};
  };
  const auto& [slots, slot_bytes] = queue.geometry();
  if (url.options.slots && *url.options.slots != slots) {
    return differs("slots", *url.options.slots, slots);
  }
  if (url.options.slot_bytes && *url.options.slot_bytes != slot_bytes) {
    return differs("slot_size", *url.options.slot_bytes, slot_bytes);
  }
  return check_packet_limit(url, slot_bytes, kRemedy);
}

Result<std::unique_ptr<Queue>> open_posix_queue(const Url& url, Queue::Direction) {
  const auto find = [&]() -> Result<std::unique_ptr<PosixQueue>> {
    const ForkPause pause;
    auto opened = open_or_make(url);
    if (!opened) return std::move(opened).error();
    return std::make_unique<PosixQueue>(std::move(opened->queue), opened->made, url, pause);
  };
  auto found = find();
  if (!found) return std::move(found).error();
  std::unique_ptr<PosixQueue> queue = std::move(found).value();
  if (auto sound = check_queue(url, *queue); !sound) {
    // What has failed may be the look itself.
    const bool known = queue->made() && queue->look_whose_it_is() == 0;
    if (known && !queue->leads_elsewhere() && nobody_came_to(*queue)) {
      static_cast<void>(queue->remove());
    }
    return std::move(sound).error();
  }
  return std::unique_ptr<Queue>(std::move(queue));
}

}  // namespace

Result<SenderParts> open_mq_sender(const Url& url, const OpenOptions& options) {
  return open_queue_sender(url, options, open_posix_queue);
}
Result<ReceiverParts> open_mq_receiver(const Url& url, const OpenOptions& options) {
  return open_queue_receiver(url, options, open_posix_queue);
}
Result<PairParts> open_mq_pair(const Url& url, const OpenOptions& options) {
  return open_queue_pair(url, options, open_posix_queue);
}

Result<void> remove_mq(const Url& url, bool even_if_used) {
  UniqueFd found = open_queue(url.target);
  if (!found && errno == ENOENT) return Error{ErrorCode::kNotFound, "there is no " + url.name()};
  if (!found) return system_error(url, "mq_open", errno);
  PosixQueue queue(std::move(found), false, url, ForkPause());
  return remove_queue(url, even_if_used, queue);
}

}  // namespace rondo::inline RONDO_ABI::detail
