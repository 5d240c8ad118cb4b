// sysv: a System V message queue, by its key. Whoever comes first makes it; one that is there is
// taken as it is. With framing=raw it is any program's queue: as many senders and receivers as
// there are, and it stays.
//
// Such a queue has no descriptor: it can be neither locked nor waited for. So a queue whose ends
// know of each other has a set of semaphores beside it (sysv_semaphores.hpp).
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "endpoint/packets.hpp"
#include "open/growing_pause.hpp"
#include "open/name.hpp"
#include "open/open.hpp"
#include "open/queue.hpp"
#include "open/queue_channel.hpp"
#include "open/sysv_queues.hpp"
#include "open/sysv_semaphores.hpp"
#include "rondo/core/fork_check.hpp"
#include "rondo/core/system_v_key.hpp"
#include "stream/fd_stream.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

// How long a wait takes at most before it looks again; of a queue without semaphores much less.
constexpr std::chrono::milliseconds kSysvSlice{50};
constexpr std::chrono::milliseconds kSysvRawPause{5};

struct FoundQueue {
  SysvId id = kNoSysvId;
  bool made = false;  // by us
  std::size_t max_packet_bytes = 0;
};

class SysvQueue final : public Queue {
 public:
  // `set`: kNoSysvId: it has none.
  SysvQueue(const Url& url, const FoundQueue& found, SysvId set)
      : key_(*system_v_key_of(url.target)),
        queue_(found.id),
        set_(set),
        made_(found.made),
        type_(1 + static_cast<long>(url.options.header_bytes())),
        raw_(packet_form(url) == PacketForm::kRaw),
        message_(kSysvTypeBytes + found.max_packet_bytes + 1) {}
  ~SysvQueue() override { SysvQueue::close(); }

  int hold(Part part) noexcept override {
    if (holds(part)) return 0;  // it could not be given back
    const int error = claim_semaphore(set_, number_of(part));
    if (error == 0) held_ |= bit_of(part);
    if (error == EACCES) return EPERM;  // the other one means that it is taken
    return has_been_removed(error) ? EPIPE : error;
  }
  void drop(Part part) noexcept override {
    if (!holds(part)) return;
    // One that could not be given back still is ours, and tried again when we close; but not when
    // somebody else has done that (EAGAIN): the next one to have it is another.
    const int error = give_semaphore_back(set_, number_of(part));
    if (error == 0 || error == EAGAIN || has_been_removed(error)) held_ &= ~bit_of(part);
  }
  Presence held(Part part) const noexcept override {
    int value = 0;
    const int error = value_of_semaphore(set_, number_of(part), value);
    // Where it is there no more none can have it.
    if (error != 0) return has_been_removed(error) ? Presence::kAbsent : Presence::kUnknown;
    return value == 0 ? Presence::kAbsent : Presence::kPresent;
  }
  std::size_t max_packet_bytes() const noexcept override {
    return message_.size() - kSysvTypeBytes - 1;
  }
  int send(std::span<const std::byte> packet) noexcept override;
  int receive(std::span<std::byte> room, std::size_t& size_bytes) noexcept override;
  bool any_messages() const noexcept override {
    SysvQueueState state;
    const int error = look_at_sysv_queue(queue_, state);
    return error != 0 ? !has_been_removed(error) : state.messages > 0;
  }
  WaitResult wait(Direction direction, Deadline deadline, WaitMode mode,
                  const std::atomic<bool>* stop) const noexcept override;
  NativeHandle fd() const noexcept override { return kNoHandle; }
  bool ready(Direction direction) const noexcept override;
  bool leads_elsewhere() const noexcept override {
    SysvId there = kNoSysvId;
    const int error = find_sysv_queue(key_, false, there);
    if (error != 0) return error == ENOENT;
    int value = 0;
    return there != queue_ ||
           (set_ != kNoSysvId && has_been_removed(value_of_semaphore(set_, kIdentity, value)));
  }
  bool made() const noexcept override { return made_; }
  // The set last: one without its queue is taken away by the next opener, but a new one beside the
  // old queue would know nothing of those who hold the old one's parts.
  int remove() noexcept override {
    int error = remove_sysv_queue(queue_);
    if (has_been_removed(error)) error = 0;
    if (error == 0 && set_ != kNoSysvId) static_cast<void>(remove_semaphores(set_));
    return error;
  }
  void close() noexcept override {
    for (int part = 0; part < kParts; ++part) drop(static_cast<Part>(part));
  }

 private:
  static int number_of(Part part) noexcept { return static_cast<int>(part); }
  static unsigned bit_of(Part part) noexcept { return 1u << static_cast<unsigned>(part); }
  // In a forked child it is still the parent's.
  [[nodiscard]] bool holds(Part part) const noexcept {
    return (held_ & bit_of(part)) != 0 && !fork_check_.forked();
  }
  [[nodiscard]] bool is_there() const noexcept {
    SysvQueueState state;
    return !has_been_removed(look_at_sysv_queue(queue_, state));
  }
  [[nodiscard]] bool tells_of_messages() const noexcept {
    SysvQueueState state;
    return look_at_sysv_queue(queue_, state) == 0 && state.messages > 0;
  }
  // EINVAL is said of a message that is too large, too.
  [[nodiscard]] int judge(int error) const noexcept {
    return has_been_removed(error) ? (is_there() ? EMSGSIZE : EPIPE) : error;
  }
  // EPIPE: the semaphores have been removed. Then another pair may use the queue, with its own:
  // what has just been moved is the last that is.
  [[nodiscard]] int ring(int semaphore) const noexcept {
    if (set_ == kNoSysvId) return 0;
    return has_been_removed(raise_semaphore(set_, semaphore)) ? EPIPE : 0;
  }

  std::uint32_t key_;
  SysvId queue_;
  SysvId set_;
  bool made_;
  long type_;  // of what we send, and receive
  bool raw_;   // any program's, whose types are its own
  unsigned held_ = 0;
  // The call's, which has a type before the bytes, and a byte more than fit: whether it is filled.
  std::vector<std::byte> message_;
  std::atomic<std::size_t> refused_bytes_{};  // of the packet that last found no room
  ForkCheck fork_check_;
  mutable Deadline::Clock::time_point gave_way_{};  // when a wait last gave its core away
};

int SysvQueue::send(std::span<const std::byte> packet) noexcept {
  if (packet.size() > max_packet_bytes()) return EMSGSIZE;
  std::memcpy(message_.data() + kSysvTypeBytes, packet.data(), packet.size());
  const int error =
      send_to_sysv_queue(queue_, std::span(message_).first(kSysvTypeBytes + packet.size()), type_);
  if (error == 0) return ring(kArrived);
  if (error != EAGAIN) return judge(error);
  // relaxed: for a look that another one follows.
  refused_bytes_.store(packet.size(), std::memory_order_relaxed);
  // Somebody may have made the queue smaller than a message: then there never is room.
  SysvQueueState state;
  if (look_at_sysv_queue(queue_, state) != 0) return EAGAIN;
  return state.max_bytes < std::max<std::size_t>(packet.size(), 1) ? EMSGSIZE : EAGAIN;
}

int SysvQueue::receive(std::span<std::byte> room, std::size_t& size_bytes) noexcept {
  std::size_t size = 0;
  const auto take = [&] {
    return receive_from_sysv_queue(queue_, message_, size, raw_ ? 0 : type_);
  };
  int error = take();
  if (error == EAGAIN && !raw_ && tells_of_messages()) {
    // One that has come since, or one with other headers: it is for a receiver that has them.
    error = take();
    if (error == EAGAIN) return ENOMSG;
  }
  if (error != 0) return judge(error);
  if (error = ring(kFreed); error != 0) return error;
  if (size > room.size()) return EBADMSG;
  std::memcpy(room.data(), message_.data() + kSysvTypeBytes, size);
  size_bytes = size;
  return 0;
}

// True also of a queue that is there no more, which the next call finds out.
bool SysvQueue::ready(Direction direction) const noexcept {
  SysvQueueState state;
  if (look_at_sysv_queue(queue_, state) != 0) return true;
  if (direction == Direction::kRead) return state.messages > 0;
  // relaxed: as in send(). As msgsnd(2) counts.
  const std::size_t wanted = refused_bytes_.load(std::memory_order_relaxed);
  return state.bytes + wanted <= state.max_bytes && state.messages < state.max_bytes;
}

WaitResult SysvQueue::wait(Direction direction, Deadline deadline, WaitMode mode,
                           const std::atomic<bool>* stop) const noexcept {
  if (mode != WaitMode::kAdaptive && mode != WaitMode::kPark) {
    // The modes that do not park look at no descriptor.
    return wait_for_descriptor(kNoHandle, direction, deadline, mode, stop, gave_way_);
  }
  const int doorbell = direction == Direction::kRead ? kArrived : kFreed;
  const GrowingPause pause(kSysvRawPause);
  for (;;) {
    // relaxed: the flag orders nothing.
    if (stop != nullptr && stop->load(std::memory_order_relaxed)) return WaitResult::kInterrupted;
    if (deadline.passed()) return WaitResult::kTimedOut;
    // Whoever was killed before it rang has left its message, and others do not ring.
    if (ready(direction)) return WaitResult::kReady;
    if (set_ == kNoSysvId) {
      pause.sleep(deadline);
      continue;
    }
    const Deadline slice = earlier(deadline, Deadline::after(kSysvSlice));
    const int error = await_semaphore(set_, doorbell, slice.remaining());
    if (error == 0) return WaitResult::kReady;
    if (error == EAGAIN || error == EINTR) continue;
    // Somebody has taken them away: that nobody has the parts any more is seen behind a wait.
    pause.sleep(deadline);
    return WaitResult::kTimedOut;
  }
}

// ---- opening ----

constexpr std::string_view kSysvRemedy =
    "raise kernel.msgmax, and kernel.msgmnb for queues that are made anew";

// One of our making that can't be opened goes again, unless somebody has come to it.
void discard_sysv(const Url& url, std::uint32_t key, const FoundQueue& found) {
  if (!found.made) return;
  // Whose semaphores can't be looked at may be those of one that has come.
  SysvId set = kNoSysvId;
  const int error = find_semaphores(key, 0, set);
  if (error != 0 && error != ENOENT) return;
  SysvQueue queue(url, found, find_semaphores_of(key, found.id));
  if (nobody_came_to(queue)) static_cast<void>(queue.remove());
}

// The largest packet of an end. A receiver is ready for what a sender may send that comes when the
// queue has been made larger again (msgctl(2)), which root alone makes larger than a new one.
std::size_t largest_packet(const SysvLimits& limits, const SysvQueueState& state,
                           Queue::Direction direction) noexcept {
  const std::uint64_t in_queue = direction == Queue::Direction::kWrite
                                     ? state.max_bytes
                                     : std::max(state.max_bytes, limits.queue_bytes);
  return std::min(limits.max_message_bytes, in_queue);
}

Result<FoundQueue> open_or_make_sysv(const Url& url, std::uint32_t key,
                                     Queue::Direction direction) {
  SysvLimits limits;
  if (const int error = sysv_limits(limits); error != 0) {
    return cannot_make_sysv(url, "msgctl", error);
  }
  for (int turn = 0; turn < kSysvTurns; ++turn) {
    FoundQueue found;
    int error = find_sysv_queue(key, true, found.id);
    if (error == ENOENT) {
      // Before there is one that would be left behind.
      const auto enough = check_packet_limit(
          url, std::min(limits.max_message_bytes, limits.queue_bytes), kSysvRemedy);
      if (!enough) return enough.error();
      error = make_sysv_queue(key, url.options.segment.mode, found.id);
      if (error == EEXIST) continue;
      found.made = error == 0;
    }
    if (has_been_removed(error)) continue;
    if (error != 0) return cannot_make_sysv(url, "msgget", error);
    const auto refused = [&](const Error& why) {
      discard_sysv(url, key, found);
      return why;
    };
    SysvQueueState state;
    error = look_at_sysv_queue(found.id, state);
    if (has_been_removed(error)) continue;
    if (error != 0) return refused(system_error(url, "msgctl", error));
    const auto owned = check_sysv_owner(url, state.owner);
    if (!owned) return refused(owned.error());
    found.max_packet_bytes = largest_packet(limits, state, direction);
    const auto enough = check_packet_limit(url, found.max_packet_bytes, kSysvRemedy);
    if (!enough) return refused(enough.error());
    return found;
  }
  return made_and_removed(url);
}

Result<std::unique_ptr<Queue>> open_sysv_queue(const Url& url, Queue::Direction direction) {
  const std::uint32_t key = *system_v_key_of(url.target);
  const auto found = open_or_make_sysv(url, key, direction);
  if (!found) return found.error();
  SysvId set = kNoSysvId;
  if (packet_form(url) != PacketForm::kRaw) {
    const auto semaphores = semaphores_of(url, key, found->id);
    if (!semaphores) {
      discard_sysv(url, key, *found);
      static_cast<void>(remove_stray_semaphores(key));
      return semaphores.error();
    }
    set = *semaphores;
  }
  return std::unique_ptr<Queue>(std::make_unique<SysvQueue>(url, *found, set));
}

}  // namespace

Result<SenderParts> open_sysv_sender(const Url& url, const OpenOptions& options) {
  return open_queue_sender(url, options, open_sysv_queue);
}
Result<ReceiverParts> open_sysv_receiver(const Url& url, const OpenOptions& options) {
  return open_queue_receiver(url, options, open_sysv_queue);
}
Result<PairParts> open_sysv_pair(const Url& url, const OpenOptions& options) {
  return open_queue_pair(url, options, open_sysv_queue);
}

Result<void> remove_sysv(const Url& url, bool even_if_used) {
  const std::uint32_t key = *system_v_key_of(url.target);
  SysvId found = kNoSysvId;
  const int error = find_sysv_queue(key, false, found);
  if (error == ENOENT && remove_stray_semaphores(key)) return {};
  if (error == ENOENT) return Error{ErrorCode::kNotFound, "there is no " + url.name()};
  if (error != 0) return system_error(url, "msgget", error);
  SysvQueue queue(url, {.id = found}, find_semaphores_of(key, found));
  auto removed = remove_queue(url, even_if_used, queue);
  if (removed) static_cast<void>(remove_stray_semaphores(key));
  return removed;
}

}  // namespace rondo::inline RONDO_ABI::detail
