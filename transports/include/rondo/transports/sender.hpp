// Sender: the writing handle, the same for every transport.
//
//   auto sender = rondo::Sender::open("shm:ticks?capacity=4MiB");
//   if (!sender) die(sender.error().message);
//   if (auto claim = sender->claim(64)) {           // 64 bytes in place, waiting for room
//     std::ranges::fill(claim->bytes(), std::byte{7});
//     std::move(*claim).commit();                   // not committed: never happened
//   }
//
// Behind every Sender stands a record ring, by value: in shm:, file: and inproc: it is the channel
// itself, for byte streams it is a staging buffer from which messages are written out at once. So
// the way of a message is the same inline code everywhere, without a virtual call; what is slow
// anyway (a full ring, a sleeping receiver, a system call) is out of line, behind SenderBackend.
// Where the messages lie in another ring, the record ring is shut, and every message takes the way
// of a full one: with kind=mpmc to that ring's producer, which is inline as well (mpmc_paths.hpp),
// with kind=frames to the backend.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <utility>

#include "rondo/core/platform.hpp"
#include "rondo/core/record_ring.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/watermark.hpp"
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
class SenderBackend;
class ConnectionMaker;
class WaitSetEnd;
struct SenderParts;
}  // namespace detail

// Whether a message that is sent wakes receivers that sleep, and on a byte stream is written out. A
// receiver that does not sleep finds it in any case.
enum class Wake : std::uint8_t {
  // Each does, unless the sender's URL has wake_every, wake_bytes or wake_after: then that many
  // together do.
  kAuto,
  // Not with this one: it is held back, until a later message wakes for it, too, or
  // Sender::wake() does.
  kLater,
  // At once, and for all that was held back.
  kNow
};

// Room for one message, written in place. Destroying it without commit() leaves no trace. One claim
// at a time, and none while a Batch is open; the Sender stays where it is meanwhile.
class [[nodiscard]] Claim {
 public:
  // None, as one that was moved from: empty, and good for nothing but to be destroyed.
  Claim() noexcept : sender_(nullptr) {}
  Claim(Sender& sender, std::span<std::byte> bytes, Deadline deadline) noexcept
      : sender_(&sender), bytes_(bytes), deadline_(deadline) {}
  RONDO_ALWAYS_INLINE Claim(Claim&& other) noexcept
      : sender_(std::exchange(other.sender_, nullptr)),
        bytes_(other.bytes_),
        deadline_(other.deadline_) {}
  Claim& operator=(Claim&&) = delete;
  RONDO_ALWAYS_INLINE ~Claim();

  // Where to write: as many bytes as claimed (or as left by shrink()), aligned to 8, or as align=
  // says. What they hold before is anything.
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }
  // The header in front of them, of as many bytes as the URL's header= says; zeros to begin with.
  // Empty without that. It begins at a multiple of 8.
  [[nodiscard]] std::span<std::byte> header() const noexcept;
  // A T at their beginning, made of `arguments`. bytes() has to be as large.
  template <MessageValue T, class... Arguments>
  T& emplace(Arguments&&... arguments) const noexcept {
    static_assert(alignof(T) <= kMessageAlignment);
    assert(sizeof(T) <= bytes_.size());
    return *new (bytes_.data()) T{std::forward<Arguments>(arguments)...};
  }
  // Keeps only the first `size_bytes`, at most bytes().size().
  void shrink(std::size_t size_bytes) noexcept {
    assert(size_bytes <= bytes_.size());
    bytes_ = bytes_.first(size_bytes);
  }
  // Sends the message. On a byte stream that takes nothing now, one that was claimed with a
  // deadline waits until that; what is not written by then is written by later calls, of which
  // flush() is one. Should the receiver have left, the next call on the sender says so. Memory
  // ordering: what the caller did before is visible to the receiver of this message.
  RONDO_ALWAYS_INLINE void commit(Wake wake = Wake::kAuto) && noexcept;

 private:
  Sender* sender_;
  std::span<std::byte> bytes_;
  Deadline deadline_;  // of writing it out
};

// Not thread-safe: one thread at a time.
class alignas(kLineBytes) RONDO_API Sender {
 public:
  class Batch;

  // Opens the sending end of `url` (url.hpp). Rings are created if they do not exist; one whose
  // sender has gone or died is taken up where that one stopped. Never blocks on a ring; on
  // what goes over a FIFO or a socket for the receiver.
  // Errors: those of Url::parse(); of creating and attaching a segment; kBusy while another sender
  // lives; kGeometryMismatch when the ring is there with another capacity than the URL names;
  // kTimedOut. Blocking.
  [[nodiscard]] static Result<Sender> open(std::string_view url, const OpenOptions& options = {});

  Sender(Sender&& other) noexcept;
  Sender& operator=(Sender&& other) noexcept;
  // As close(), but waits for a byte stream no longer than OpenOptions::linger, 5 seconds. While an
  // exception that came since is on its way, as break_off(): what was to be sent was not. (That a
  // thread is cancelled is no exception to the language: a thread that may be cancelled in the
  // middle calls break_off() in a cleanup handler.)
  ~Sender();

  // Claims room for a message of `size_bytes`. Empty if there is no room now, or never will be:
  // claim() with Deadline::now() tells which. Progress: on rings wait-free, with kind=mpmc
  // lock-free: another sender may win the slot. System calls now and then, which never block: when
  // there is no room, and in a guarded ring, to let receivers in.
  [[nodiscard]] RONDO_ALWAYS_INLINE std::optional<Claim> try_claim(
      std::size_t size_bytes) noexcept {
    std::byte* const bytes = reserve(size_bytes, Deadline::now());
    if (bytes == nullptr) [[unlikely]]
      return std::nullopt;
    room_came();
    return std::optional<Claim>(std::in_place, *this, std::span(bytes, size_bytes),
                                Deadline::now());
  }

  // As try_claim(), but waits for room until `deadline`. Else the status is kTooLarge, kTimedOut
  // (kWouldBlock for Deadline::now()), kInterrupted, kPeerGone, kPeerDied, kClosed, kForked,
  // kCorrupt or kIoError.
  // Progress: blocking. A receiver that is merely slow, or has not come yet, is waited for; death
  // is proved by the kernel.
  RONDO_ALWAYS_INLINE Polled<Claim> claim(std::size_t size_bytes,
                                          Deadline deadline = Deadline::never()) noexcept {
    std::byte* const bytes = reserve(size_bytes, deadline);
    if (bytes == nullptr) [[unlikely]]
      return Polled<Claim>(refusal_);
    room_came();
    return Polled<Claim>(std::in_place, *this, std::span(bytes, size_bytes), deadline);
  }

  // Copies `message` into the channel, behind a header of zeros if it has headers. kOk; or, with
  // nothing sent, what claim() says; or kPeerGone, kPeerDied or kIoError when the message was
  // committed and it turned out that it will not be read. Progress: as try_claim(), and a system
  // call if a receiver sleeps. Memory ordering: as Claim::commit().
  [[nodiscard]] RONDO_ALWAYS_INLINE Status try_send(std::span<const std::byte> message,
                                                    Wake wake = Wake::kAuto) noexcept {
    return send(message, Deadline::now(), wake);
  }
  // As try_send(), but waits for room until `deadline`. Progress: blocking.
  [[nodiscard]] RONDO_ALWAYS_INLINE Status send(std::span<const std::byte> message,
                                                Deadline deadline = Deadline::never(),
                                                Wake wake = Wake::kAuto) noexcept {
    if (headers_.room != 0) [[unlikely]]
      return send_behind_header(message, deadline, wake);
    std::byte* bytes = producer_.try_reserve(message.size());
    if (bytes != nullptr) [[likely]] {
      room_came();
      if (!message.empty()) std::memcpy(bytes, message.data(), message.size());
      return commit(message.size(), deadline, wake);
    }
    if (mpmc_ != nullptr && (bytes = mpmc_->try_reserve(message.size())) != nullptr) {
      room_came();
      if (!message.empty()) std::memcpy(bytes, message.data(), message.size());
      return commit_mpmc(message.size(), deadline, wake);
    }
    message_leaves();
    const detail::CopyInLibrary copying;
    return send_slowly(message, deadline, wake);
  }

  // The same for text: its characters, without an end mark.
  [[nodiscard]] RONDO_ALWAYS_INLINE Status try_send(std::string_view text,
                                                    Wake wake = Wake::kAuto) noexcept {
    return send(text, Deadline::now(), wake);
  }
  RONDO_ALWAYS_INLINE Status send(std::string_view text, Deadline deadline = Deadline::never(),
                                  Wake wake = Wake::kAuto) noexcept {
    return send(std::as_bytes(std::span(text)), deadline, wake);
  }

  // The same of an object, as it lies in memory; Message::as<T>() shows it to the receiver. A
  // Claim's emplace() makes one in place.
  template <MessageValue T>
  [[nodiscard]] RONDO_ALWAYS_INLINE Status try_send(const T& value,
                                                    Wake wake = Wake::kAuto) noexcept {
    return send(value, Deadline::now(), wake);
  }
  template <MessageValue T>
  RONDO_ALWAYS_INLINE Status send(const T& value, Deadline deadline = Deadline::never(),
                                  Wake wake = Wake::kAuto) noexcept {
    static_assert(alignof(T) <= kMessageAlignment, "messages lie at multiples of 8");
    return send(std::as_bytes(std::span(&value, 1)), deadline, wake);
  }

  // Wakes receivers for all that was held back (Wake), on a byte stream writes it out, waiting
  // until `deadline`; what is not written by then is written by later calls. To be called before
  // this thread waits for anything but this sender, as by the next() of another channel, and when
  // there is no more to send for now. No thread does it in its place, not even when wake_after is
  // over. A ring's receiver that waits looks within 50 ms, in a WaitSet within 500 ms, but not in
  // an event loop, by its fd(); what lies in a byte stream's staging buffer nobody sees. Done
  // already by all that waits for this sender or ends it: no room, flush(), wait_for_receiver(),
  // fd(), arm(), a WaitSet that it is in, close(), the destructor.
  // kOk, also when there is nothing; else as send(). Progress: a system call if a receiver sleeps.
  Status wake(Deadline deadline = Deadline::now()) noexcept {
    return status_ == Status::kOk ? tell_all(deadline) : status_;
  }
  // From now on each message wakes (Wake::kAuto), whatever the URL says: for a sender in an event
  // loop, which sleeps without saying so. Done by fd(), async_claim() and rondo/asio.hpp.
  void wake_each() noexcept;

  // Waits until everything sent has left this process: a byte stream's staging buffer is empty, a
  // ring has been read to the end by the receiver.
  // kOk, or what claim() says. Progress: blocking.
  [[nodiscard]] Status flush(Deadline deadline = Deadline::never()) noexcept {
    const Status status = wait_until_read(deadline);
    room_came();
    return status;
  }

  // Ends the stream in order: the receiver reads what is there and then meets the end. A ring's
  // messages stay for the receiver; the ring's name goes with the last participant, or, when a
  // receiver is still to come for what is unread, with that one. A byte stream is written out
  // first. kOk, or why the receiver will not see the end. Closing again does nothing. Progress:
  // blocking on byte streams.
  Status close(Deadline deadline = Deadline::never()) noexcept;

  // Ends a stream that can't be finished: what was sent stays readable, and behind it the
  // receiver is told that more should have come (kPeerGone; kPeerDied on kind=mpmc and
  // kind=frames). So half a stream never looks like a whole one. Afterwards as after close().
  // Progress: blocking on byte streams, for OpenOptions::linger at most.
  void break_off() noexcept;

  // A descriptor for an event loop of your own, as Receiver::fd(): readable whenever there is room
  // (take it in for reading, not for writing), and when the channel is over: then status() says
  // why. Made at the first call, and closed with close(). The room is that for the message that was
  // last refused; until one was, and behind those that were sent since, for any. It may be readable
  // once for nothing: so look with try_claim(). With shm+guarded: a sender without room has to look
  // for receivers to let in, so its descriptor is readable 20 times a second. docs/waiting.md has
  // the other exceptions.
  // Errors: as Receiver::fd().
  [[nodiscard]] Result<NativeHandle> fd();
  // Before a wait of one's own making for fd(). True: there is no room for a message of
  // `size_bytes`; sleep, and fd() becomes readable when there may be. False: there may be already,
  // or there is no fd(). Not while a claim is held. Progress: system calls that never block.
  [[nodiscard]] bool arm(std::size_t size_bytes) noexcept;

  // The largest message, without its header; at least this much fits whatever the ring's state,
  // once it is drained.
  [[nodiscard]] std::size_t max_message_bytes() const noexcept;
  // kOk while the channel is open, else why it is not.
  [[nodiscard]] Status status() const noexcept;
  // True if a receiver is attached now. Asks the kernel: not for hot paths.
  [[nodiscard]] bool receiver_attached() const noexcept;
  // Waits until a receiver is attached, or has been since this sender came.
  // kOk, kTimedOut, kInterrupted, kClosed or kForked. Progress: blocking.
  [[nodiscard]] Status wait_for_receiver(Deadline deadline = Deadline::never()) noexcept;
  // Waits until `count` receivers are attached at the same time, on a ring that was made for so
  // many; on all others as wait_for_receiver().
  [[nodiscard]] Status wait_for_receivers(std::uint32_t count,
                                          Deadline deadline = Deadline::never()) noexcept;
  [[nodiscard]] ChannelInfo info() const;

 private:
  friend class Claim;
  friend class detail::ConnectionMaker;
  friend class detail::WaitSetEnd;
  friend Result<std::pair<Sender, Receiver>> open_pair(std::string_view url,
                                                       const OpenOptions& options);

  explicit Sender(detail::SenderParts&& parts) noexcept;

  // For ThreadSanitizer alone (tsan_sync.hpp).
  [[nodiscard]] detail::TsanSync tsan_sync() const noexcept;
  RONDO_ALWAYS_INLINE void message_leaves() const noexcept {
    if constexpr (RONDO_THREAD_SANITIZER != 0) detail::annotate_release(tsan_sync().messages);
  }
  RONDO_ALWAYS_INLINE void room_came() const noexcept {
    if constexpr (RONDO_THREAD_SANITIZER != 0) detail::annotate_acquire(tsan_sync().room);
  }
  // What was written there and not sent: whoever gets that room next, without a receiver that read
  // it in between.
  RONDO_ALWAYS_INLINE void room_goes_back() const noexcept {
    if constexpr (RONDO_THREAD_SANITIZER != 0) detail::annotate_release(tsan_sync().room);
  }

  RONDO_ALWAYS_INLINE Status commit(std::size_t size_bytes, Deadline deadline, Wake wake) noexcept {
    message_leaves();
    if (wake == Wake::kLater && !holds_) return commit_for_later(size_bytes, deadline);
    producer_.commit(size_bytes);
    if (wake == Wake::kLater || !notifier_.wanted()) [[likely]]
      return Status::kOk;
    return published(size_bytes, deadline, wake);
  }
  RONDO_ALWAYS_INLINE Status commit_mpmc(std::size_t size_bytes, Deadline deadline,
                                         Wake wake) noexcept {
    message_leaves();
    if (wake == Wake::kLater) return commit_elsewhere(size_bytes, deadline, wake);
    mpmc_->commit(size_bytes);
    if (!mpmc_->wanted()) [[likely]]
      return Status::kOk;
    return published(0, deadline, wake);  // whose bytes nobody counts
  }

  // Room for one message; nullptr with the reason in refusal_.
  RONDO_ALWAYS_INLINE std::byte* reserve(std::size_t size_bytes, Deadline deadline) noexcept {
    if (headers_.room != 0) [[unlikely]]
      return reserve_behind_header(size_bytes, deadline);
    return reserve_record(size_bytes, deadline);
  }
  RONDO_ALWAYS_INLINE std::byte* reserve_record(std::size_t size_bytes,
                                                Deadline deadline) noexcept {
    std::byte* bytes = producer_.try_reserve(size_bytes);
    if (bytes == nullptr) [[unlikely]] {
      if (mpmc_ != nullptr) bytes = mpmc_->try_reserve(size_bytes);
      if (bytes == nullptr) bytes = reserve_slowly(size_bytes, deadline);
    }
    return bytes;
  }

  // Of a claim, which may lie elsewhere.
  RONDO_ALWAYS_INLINE void commit_claim(std::size_t size_bytes, Deadline deadline,
                                        Wake wake) noexcept {
    if (in_our_ring_) [[likely]] {
      static_cast<void>(commit(size_bytes, deadline, wake));
    } else {
      static_cast<void>(commit_record(headers_.record_of(size_bytes), deadline, wake));
    }
  }
  RONDO_ALWAYS_INLINE Status commit_record(std::size_t size_bytes, Deadline deadline,
                                           Wake wake) noexcept {
    if (!elsewhere_) [[likely]]
      return commit(size_bytes, deadline, wake);
    if (mpmc_ != nullptr) return commit_mpmc(size_bytes, deadline, wake);
    message_leaves();
    return commit_elsewhere(size_bytes, deadline, wake);
  }
  // What was reserved in the record ring and not committed is forgotten by itself.
  RONDO_ALWAYS_INLINE void discard_claim() noexcept {
    room_goes_back();
    if (elsewhere_) [[unlikely]]
      discard_elsewhere();
  }

  // The same of a channel with headers; sizes are those of the messages behind them.
  std::byte* behind_header(std::byte* record) const noexcept;
  std::byte* reserve_behind_header(std::size_t size_bytes, Deadline deadline) noexcept;
  Status send_behind_header(std::span<const std::byte> message, Deadline deadline,
                            Wake wake) noexcept;
  [[nodiscard]] std::size_t max_record_bytes() const noexcept;

  // The slow paths, and those of messages that lie elsewhere. Sizes are those of records.
  Status send_slowly(std::span<const std::byte> message, Deadline deadline, Wake wake) noexcept;
  std::byte* reserve_slowly(std::size_t size_bytes, Deadline deadline) noexcept;
  std::byte* ask_backend(std::size_t size_bytes, Deadline deadline) noexcept;
  std::byte* reserve_or_rest(std::size_t size_bytes, Deadline deadline) noexcept;
  [[nodiscard]] bool rest(std::size_t size_bytes) noexcept;
  void give_way() noexcept;
  Status commit_for_later(std::size_t size_bytes, Deadline deadline) noexcept;
  Status commit_elsewhere(std::size_t size_bytes, Deadline deadline, Wake wake) noexcept;
  void discard_elsewhere() noexcept;
  RONDO_COLD Status published(std::size_t size_bytes, Deadline deadline, Wake wake) noexcept;
  Status tell(const Published& before, Deadline deadline, Wake wake) noexcept;
  Status tell_all(Deadline deadline) noexcept;
  [[nodiscard]] Status prepare_to_meet() noexcept;
  [[nodiscard]] Status wait_until_read(Deadline deadline) noexcept;
  [[nodiscard]] Published begin_batch() noexcept;
  void abandon_batch() noexcept;
  void stop(Status status) noexcept;
  void end() noexcept;
  [[nodiscard]] Deadline last_deadline() const noexcept;
  Status leave(Status status, Deadline deadline) noexcept;

  record_ring::Producer producer_;
  Notifier notifier_;
  Status refusal_ = Status::kOk;  // why the last reservation failed
  Status status_ = Status::kOk;
  int exceptions_;  // on their way when it was opened
  std::unique_ptr<detail::SenderBackend> backend_;
  // kind=mpmc, until the handle stops, or there is a descriptor to look after.
  detail::MpmcSendPath* mpmc_ = nullptr;
  bool elsewhere_ = false;    // messages do not lie in producer_'s ring
  bool holds_ = false;        // something back, so that with one more there is nothing to do
  bool in_our_ring_ = false;  // !elsewhere_, and without headers: a record is the message alone
  detail::MessageHeaders headers_;
};

inline std::span<std::byte> Claim::header() const noexcept {
  if (sender_ == nullptr) return {};
  return {bytes_.data() - sender_->headers_.header_room(), sender_->headers_.bytes};
}

inline void Claim::commit(Wake wake) && noexcept {
  std::exchange(sender_, nullptr)->commit_claim(bytes_.size(), deadline_, wake);
}
inline Claim::~Claim() {
  if (sender_ != nullptr) [[unlikely]]
    sender_->discard_claim();
}

// Messages that become visible at once, with commit(); all or none of them. Destroying it without
// commit() leaves no trace. A batch has to fit into the ring as a whole. (kind=mpmc: it has at most
// 256 messages, and of a batch whose sender is killed inside commit() only a part may arrive.)
class [[nodiscard]] Sender::Batch {
 public:
  explicit Batch(Sender& sender) noexcept : sender_(&sender), before_(sender.begin_batch()) {}
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;
  ~Batch() {
    if (sender_ == nullptr) return;
    sender_->room_goes_back();
    sender_->abandon_batch();
  }

  // Copies `message` into the batch; kWouldBlock if there is no room for it now. Progress: as
  // try_claim(); with kind=mpmc wait-free, but for the memory in which a batch waits for its
  // commit: it is kept for the next ones, and allocated where that one needs more. If there is
  // none, kNoMemory: what was added before can be committed.
  [[nodiscard]] Status try_add(std::span<const std::byte> message) noexcept {
    std::byte* bytes = try_add(message.size());
    if (bytes == nullptr) return sender_->refusal_;
    if (!message.empty()) std::memcpy(bytes, message.data(), message.size());
    return Status::kOk;
  }
  // Adds a message of `size_bytes` to be written by the caller before commit(); nullptr if there is
  // no room for it now, or with kind=mpmc no memory.
  [[nodiscard]] std::byte* try_add(std::size_t size_bytes) noexcept {
    std::byte* const bytes = add(sender_->headers_.record_of(size_bytes));
    sender_->room_came();
    if (bytes == nullptr || sender_->headers_.room == 0) return bytes;
    std::byte* const message = sender_->behind_header(bytes);
    header_ = {message - sender_->headers_.header_room(), sender_->headers_.bytes};
    return message;
  }
  // That of the message which was added last, as Claim::header(); empty before the first.
  [[nodiscard]] std::span<std::byte> header() const noexcept { return header_; }
  // Sends them all. kOk, or why they will not be read. On a byte stream waits until they are
  // written out, or `deadline`; with kind=mpmc until there is room, and else sends none of them.
  // Memory ordering: as Claim::commit().
  Status commit(Deadline deadline = Deadline::never(), Wake wake = Wake::kAuto) && noexcept {
    sender_->message_leaves();
    const detail::CopyInLibrary copying;
    return send_all(deadline, wake);
  }

 private:
  [[nodiscard]] std::byte* add(std::size_t record_bytes) noexcept;
  Status send_all(Deadline deadline, Wake wake) noexcept;

  Sender* sender_;
  Published before_;
  std::span<std::byte> header_;
};

}  // namespace rondo::inline RONDO_ABI
