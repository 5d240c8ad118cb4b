// Receiver: the reading handle, the same for every transport.
//
//   auto receiver = rondo::Receiver::open("shm:ticks");   // waits for the sender
//   if (!receiver) die(receiver.error().message);
//   for (const rondo::Message& message : *receiver) use(message.bytes());
//   if (receiver->status() != rondo::Status::kEnded) complain(to_string(receiver->status()));
//
// See sender.hpp for what stands behind it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "rondo/core/platform.hpp"
#include "rondo/core/record_ring.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/transports/channel_info.hpp"
#include "rondo/transports/message_headers.hpp"
#include "rondo/transports/mpmc_paths.hpp"
#include "rondo/transports/open_options.hpp"
#include "rondo/transports/status.hpp"
#include "rondo/transports/tsan_sync.hpp"
#include "rondo/transports/value.hpp"

namespace rondo::inline RONDO_ABI {

class Receiver;
class Sender;

namespace detail {
class ReceiverBackend;
class ConnectionMaker;
class WaitSetEnd;
struct ReceiverParts;
}  // namespace detail

// A message in place, given back when it goes out of scope. One at a time; the Receiver stays where
// it is meanwhile.
class [[nodiscard]] Message {
 public:
  // None, as one that was moved from: empty, and good for nothing but to be destroyed.
  Message() noexcept : receiver_(nullptr) {}
  Message(Receiver& receiver, std::span<const std::byte> bytes) noexcept
      : receiver_(&receiver), bytes_(bytes) {}
  Message(Message&& other) noexcept
      : receiver_(std::exchange(other.receiver_, nullptr)), bytes_(other.bytes_) {}
  Message& operator=(Message&&) = delete;
  ~Message();

  // The message where it lies, aligned to 8, or as align= says. On shm: and file: the sender can
  // still write there: look at bytes in place only if you trust it, else take() them first.
  // kind=frames: the frame is held as long as this object lives, and no longer.
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::size_t size() const noexcept { return bytes_.size(); }
  // The header in front of it (header=), as long as the message is held. The same is true of it as
  // of bytes().
  [[nodiscard]] std::span<const std::byte> header() const noexcept;
  // bytes() as text.
  [[nodiscard]] std::string_view text() const noexcept {
    return {reinterpret_cast<const char*>(bytes_.data()), bytes_.size()};
  }
  // The T that was sent, in place; null if the message has another size than a T. The same is true
  // of it as of bytes().
  template <MessageValue T>
  [[nodiscard]] const T* as() const noexcept {
    static_assert(alignof(T) <= kMessageAlignment);
    return bytes_.size() == sizeof(T) ? reinterpret_cast<const T*>(bytes_.data()) : nullptr;
  }
  // Gives it back now, not when this object goes; from here on it is empty.
  void release() noexcept;
  // Whether the message is still what was sent: what was read of it before this call is whole and
  // true. Always, unless the receiver is one of several for which the sender does not wait: a lossy
  // or latest one, or one that was evicted. What it says last decides whether the message counts as
  // received or as lost; of one that was not asked about, whether it is intact when it is given
  // back. So lost() grows by as many as the numbers of those that were intact leave out.
  [[nodiscard]] bool intact() const noexcept;
  // A copy that no other process can change.
  [[nodiscard]] std::vector<std::byte> take() const;
  // kind=mpmc: whether another receiver died holding this message, so that it may have been acted
  // upon already. Elsewhere always false.
  [[nodiscard]] bool redelivered() const noexcept;

 private:
  Receiver* receiver_;
  std::span<const std::byte> bytes_;
};

// Not thread-safe: one thread at a time.
class alignas(kLineBytes) RONDO_API Receiver {
 public:
  class Iterator;

  // Opens the receiving end of `url` (url.hpp). Waits until there is a sender, or something that
  // one has left. A ring whose receiver has gone or died is taken up where that one stopped.
  // Errors: those of Url::parse() and of attaching a segment; kBusy while another receiver lives;
  // kTimedOut, also when the stop flag is set. Blocking.
  [[nodiscard]] static Result<Receiver> open(std::string_view url, const OpenOptions& options = {});

  Receiver(Receiver&& other) noexcept;
  Receiver& operator=(Receiver&& other) noexcept;
  // As detach().
  ~Receiver();

  // The next message, in place. Empty if there is none now; status() tells whether more can come.
  // Progress: on rings wait-free, with kind=mpmc lock-free: another receiver may win the message.
  // Memory ordering: what the sender did before it sent this message is visible.
  [[nodiscard]] RONDO_ALWAYS_INLINE std::optional<Message> try_next() noexcept {
    const std::span<const std::byte> bytes = fetch(Deadline::now());
    if (bytes.data() == nullptr) return std::nullopt;
    message_came();
    return std::optional<Message>(std::in_place, *this, bytes);
  }

  // As try_next(), but waits for a message until `deadline`. Else the status is kTimedOut
  // (kWouldBlock for Deadline::now()), kInterrupted, or what status() says.
  // Progress: blocking. A sender that is merely slow is waited for; death is proved by the kernel.
  RONDO_ALWAYS_INLINE Polled<Message> next(Deadline deadline = Deadline::never()) noexcept {
    const std::span<const std::byte> bytes = fetch(deadline);
    message_came();
    if (bytes.data() == nullptr) [[unlikely]]
      return Polled<Message>(refusal_);
    return Polled<Message>(std::in_place, *this, bytes);
  }

  // kOk while messages may still come; else why not: kEnded; kPeerGone (the sender broke the stream
  // off), kPeerDied, kCorrupt, kIoError, kClosed, kForked.
  [[nodiscard]] Status status() const noexcept { return status_; }

  // The messages as a range, waiting for each, until no more can come (or the stop flag is set).
  // Each message is given back when the loop goes on.
  [[nodiscard]] Iterator begin() noexcept;
  [[nodiscard]] std::default_sentinel_t end() const noexcept { return {}; }

  // Leaves in order: a sender learns that its messages are not read any more. The last participant
  // takes the ring's name away. Detaching again does nothing. Never blocks for long.
  void detach() noexcept;

  // Tells the sender that all messages given back so far have been dealt with: with ack=explicit
  // nothing else does, and what was not acknowledged comes again, to this receiver's successor. So
  // a full ring stays full until this is called. On channels without such a choice it does nothing.
  // Progress: wait-free, but for a system call if the sender sleeps.
  void acknowledge() noexcept;

  // Of one of several receivers: messages that it did not get, or not intact, and whether the
  // sender, which was to wait for it, no longer does.
  [[nodiscard]] std::uint64_t lost() const noexcept;
  [[nodiscard]] bool evicted() const noexcept { return consumer_.evicted(); }
  // Whether a message can be overwritten while it is read: look at intact() then.
  [[nodiscard]] bool may_lose() const noexcept { return consumer_.parts().readers > 1; }

  // A descriptor for an event loop of your own (epoll, poll, select, io_uring, Asio, libuv, GLib;
  // level- or edge-triggered): readable whenever a message can be taken, whatever is called in
  // between, and when the channel is over: then status() says why. Made at the first call; it is
  // the handle's, which closes it with detach(): take it out of the loop before, and do not read
  // from it. It may be readable once for nothing, behind the last message: so look with try_next().
  // A look that finds nothing lets it sleep, and so that is when it costs system calls; a handle
  // that was never asked for one pays nothing. That the other side was killed shows within about
  // 50 ms. docs/waiting.md says how it works.
  // Errors: kNotFound (the handle is closed), kForked, kNoDescriptors, kUnsupported (no eventfd
  // here), kSystem.
  [[nodiscard]] Result<NativeHandle> fd();
  // Before a wait of one's own making for fd(). True: there is nothing; sleep, and fd() becomes
  // readable at the next message. False: there may be something already, or there is no fd().
  // Progress: system calls that never block.
  [[nodiscard]] bool arm() noexcept;

  [[nodiscard]] std::size_t max_message_bytes() const noexcept;
  [[nodiscard]] ChannelInfo info() const;

 private:
  friend class Message;
  friend class detail::ConnectionMaker;
  friend class detail::WaitSetEnd;
  friend Result<std::pair<Sender, Receiver>> open_pair(std::string_view url,
                                                       const OpenOptions& options);

  explicit Receiver(detail::ReceiverParts&& parts) noexcept;

  [[nodiscard]] RONDO_ALWAYS_INLINE std::span<const std::byte> peeked() const noexcept {
    return {consumer_.data(), consumer_.size()};
  }
  // The next message, ours until it is given back; null with the reason in refusal_. The span
  // comes in registers: read back from where it was just stored, it would stall.
  RONDO_ALWAYS_INLINE std::span<const std::byte> fetch(Deadline deadline) noexcept {
    if (consumer_.at_record()) [[likely]]
      return message_in(peeked(), deadline);
    if (mpmc_ != nullptr) {
      const std::span<const std::byte> bytes = mpmc_->try_peek();
      if (bytes.data() != nullptr) [[likely]]
        return message_in(bytes, deadline);
    }
    return fetch_slowly(deadline);
  }
  // For ThreadSanitizer alone (tsan_sync.hpp).
  [[nodiscard]] detail::TsanSync tsan_sync() const noexcept;
  RONDO_ALWAYS_INLINE void message_came() const noexcept {
    if constexpr (RONDO_THREAD_SANITIZER != 0) detail::annotate_acquire(tsan_sync().messages);
  }
  RONDO_ALWAYS_INLINE void room_leaves() const noexcept {
    if constexpr (RONDO_THREAD_SANITIZER != 0) detail::annotate_release(tsan_sync().room);
  }

  RONDO_ALWAYS_INLINE void give_back() noexcept {
    room_leaves();
    if (gives_back_slowly_) [[unlikely]] {
      if (mpmc_ != nullptr) return mpmc_->give_back();
      return give_back_slowly();
    }
    // The bell is for a sender that sleeps for space; it can do so only if it sees the space.
    if (consumer_.give_back() && notifier_.wanted()) [[unlikely]]
      ring();
  }

  RONDO_ALWAYS_INLINE std::span<const std::byte> message_in(std::span<const std::byte> record,
                                                            Deadline deadline) noexcept {
    if (headers_.room != 0) [[unlikely]]
      return behind_header(record, deadline);
    return record;
  }
  // The message in a record, or, if this one was overwritten, in the next, for which it waits as
  // fetch() does; null, and the channel is over, if it has no room for a header.
  std::span<const std::byte> behind_header(std::span<const std::byte> record,
                                           Deadline deadline) noexcept;

  // The slow paths, those of messages that lie elsewhere, and of a handle with a descriptor.
  std::span<const std::byte> fetch_slowly(Deadline deadline) noexcept;
  std::span<const std::byte> fetch_record_slowly(Deadline deadline) noexcept;
  std::span<const std::byte> ask_backend(Deadline deadline) noexcept;
  std::span<const std::byte> fetch_or_rest(Deadline deadline) noexcept;
  [[nodiscard]] bool rest() noexcept;
  void give_back_slowly() noexcept;
  RONDO_COLD void ring() noexcept;

  record_ring::Consumer consumer_;
  Notifier notifier_;
  Status refusal_ = Status::kOk;  // why the last fetch() found nothing
  Status status_ = Status::kOk;
  bool elsewhere_ = false;          // messages do not lie in consumer_'s ring
  bool gives_back_slowly_ = false;  // as they do not, or there is a descriptor to look after
  detail::MessageHeaders headers_;
  std::uint32_t polls_ = 0;            // that found nothing
  std::uint32_t polls_per_fetch_ = 1;  // a power of two: how many make it worth asking the backend
  std::unique_ptr<detail::ReceiverBackend> backend_;
  // kind=mpmc, until the handle stops, or there is a descriptor; and that of messages it holds.
  detail::MpmcReceivePath* mpmc_ = nullptr;
  detail::MpmcReceivePath* held_in_ = nullptr;
};

inline std::vector<std::byte> Message::take() const {
  // What may be overwritten meanwhile, intact() tells of.
  const TsanBlind by_design(receiver_ != nullptr && receiver_->may_lose());
  return {bytes_.begin(), bytes_.end()};
}

inline std::span<const std::byte> Message::header() const noexcept {
  if (receiver_ == nullptr) return {};
  return {bytes_.data() - receiver_->headers_.header_room(), receiver_->headers_.bytes};
}
inline bool Message::intact() const noexcept { return receiver_->consumer_.intact(); }
inline Message::~Message() {
  if (receiver_ != nullptr) receiver_->give_back();
}
inline void Message::release() noexcept {
  bytes_ = {};
  if (receiver_ != nullptr) std::exchange(receiver_, nullptr)->give_back();
}
inline bool Message::redelivered() const noexcept {
  return receiver_->held_in_ != nullptr && receiver_->held_in_->redelivered();
}

// An input iterator that owns the message it stands on.
class Receiver::Iterator {
 public:
  using value_type = Message;
  using difference_type = std::ptrdiff_t;

  explicit Iterator(Receiver& receiver) noexcept : receiver_(&receiver) { fetch(); }

  [[nodiscard]] const Message& operator*() const noexcept { return *message_; }
  [[nodiscard]] const Message* operator->() const noexcept { return &*message_; }
  Iterator& operator++() noexcept {
    message_.reset();
    fetch();
    return *this;
  }
  void operator++(int) noexcept { ++*this; }
  friend bool operator==(const Iterator& it, std::default_sentinel_t) noexcept {
    return !it.message_.has_value();
  }

 private:
  void fetch() noexcept {
    const std::span<const std::byte> bytes = receiver_->fetch(Deadline::never());
    receiver_->message_came();
    if (bytes.data() != nullptr) message_.emplace(*receiver_, bytes);
  }

  Receiver* receiver_;
  std::optional<Message> message_;
};

inline Receiver::Iterator Receiver::begin() noexcept { return Iterator(*this); }

// Both ends of a channel in this process: the way to open pipe: (and inproc: without a name), and
// good for any scheme but fd:. Errors: those of either open().
[[nodiscard]] RONDO_API Result<std::pair<Sender, Receiver>> open_pair(
    std::string_view url, const OpenOptions& options = {});

}  // namespace rondo::inline RONDO_ABI
