// Values of one type from one process to another, through an spsc_ring, with all that a channel
// has: waiting, the end of the stream, and the death of the other side.
//
//   auto sender = TypedSender<Trade>::open("shm:trades");        // one process
//   sender->send({id, price});                                   // after a look at `sender`
//
//   auto receiver = TypedReceiver<Trade>::open("shm:trades");    // another one, before or after
//   while (auto trade = receiver->next()) use(*trade);
//   // receiver->status(): kEnded, kPeerDied, ...
//
// While nobody waits, a value costs the ring's own push or pop, and a load and a branch. The calls
// and what they return are those of Sender and Receiver; a handle is for one thread at a time.
//
// One stream, one receiver: a sender that opens while the receiver of an earlier stream, which has
// ended or was broken off, is still there waits for it to go (TypedOptions::timeout), as does a
// receiver that opens while the sender of a stream that was read by another is about to go. What an
// earlier sender left unread, if no receiver is there, comes first. One that finds a live sender or
// receiver in its place is refused (kBusy). Whoever succeeds one that died goes on where that
// stopped; what a dead receiver had not given back yet, at most an eighth of the ring, comes again,
// and so does the end.
//
// In a forked child an inherited handle may be closed or destroyed, and nothing else: kForked comes
// only where a call has to wait.
//
// Values are copied out before anybody looks at them. A sender that is not trusted can make any
// bytes of T appear, and nothing else: a T with forbidden bit patterns (bool, enum) is to be
// checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

#include "rondo/core/attachment.hpp"
#include "rondo/core/out_of_memory.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/spsc_layout.hpp"
#include "rondo/core/spsc_open.hpp"
#include "rondo/core/spsc_ring.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/transports/last_word.hpp"
#include "rondo/transports/status.hpp"
#include "rondo/transports/typed_end.hpp"
#include "rondo/transports/typed_join.hpp"
#include "rondo/transports/typed_options.hpp"

namespace rondo::inline RONDO_ABI {
// `T` is trivially copyable, without pointers if it crosses processes, and the same type on both
// sides: its size is remembered in the ring, and TypedOptions::tag.
template <class T>
class TypedSender {
  static_assert(!std::is_same_v<T, raw_slots>, "bytes of a size known at run time: Sender");
  static_assert(alignof(T) <= kPartAlignment, "no mapping is aligned to more than a page");
  using Ring = spsc_ring<T>;
  using Producer = typename Ring::Producer;

 public:
  // Opens "shm:NAME" or "file:PATH"; whoever comes first makes the ring. Blocking, for
  // options.timeout at most, see above, and while another process is joining or leaving.
  // Errors: those of spsc_ring<T>::open_producer(); kGeometryMismatch also for another tag.
  [[nodiscard]] static Result<TypedSender> open(std::string_view name,
                                                const TypedOptions& options = {}) {
    return detail::refuse_without_memory([&]() -> Result<TypedSender> {
      auto place = detail::join_typed<T>(name, options, Role::kProducer);
      if (!place) return std::move(place).error();
      return TypedSender(std::move(place).value(), options);
    });
  }
  TypedSender(TypedSender&& other) noexcept
      : producer_(std::move(other.producer_)),
        notifier_(other.notifier_),
        parts_(other.parts_),
        end_(std::exchange(other.end_, std::nullopt)),
        waiter_(other.waiter_),
        exceptions_(other.exceptions_),
        status_(std::exchange(other.status_, Status::kClosed)) {
    other.shut();
  }
  TypedSender& operator=(TypedSender&& other) noexcept {
    if (this != &other) {
      std::destroy_at(this);
      std::construct_at(this, std::move(other));
    }
    return *this;
  }
  // close(); with an exception on its way that came since, break_off(): what was to be sent was
  // not.
  ~TypedSender() {
    const bool fails = std::uncaught_exceptions() > exceptions_;
    static_cast<void>(leave(fails ? Status::kPeerGone : status_));
  }

  // Sends `value` if there is room. Returns kOk; kWouldBlock; kPeerGone when the receiver has left
  // in order, kPeerDied; kCorrupt, kClosed, kForked. After one of the last five it is the same each
  // time. Progress: wait-free, and a system call when the receiver sleeps, or now and then while
  // there is no room. Memory ordering: what the caller did before is visible to who receives it.
  [[nodiscard]] RONDO_ALWAYS_INLINE Status try_send(const T& value) noexcept {
    if (!producer_.try_push(value)) [[unlikely]]
      return send_later(value, Deadline::now());
    return published();
  }
  // The same, and waits for room until `deadline`. Also kTimedOut, kInterrupted.
  [[nodiscard]] RONDO_ALWAYS_INLINE Status send(const T& value,
                                                Deadline deadline = Deadline::never()) noexcept {
    if (!producer_.try_push(value)) [[unlikely]]
      return send_later(value, deadline);
    return published();
  }
  // Sends as many of `values` as there is room for, from the front, and takes them off it. kOk if
  // all went; else as try_send(), and as send().
  [[nodiscard]] Status try_send_all(std::span<const T>& values) noexcept {
    return send_all(values, Deadline::now());
  }
  [[nodiscard]] Status send_all(std::span<const T>& values,
                                Deadline deadline = Deadline::never()) noexcept {
    while (!values.empty()) {
      const std::size_t sent = producer_.try_push_some(values);
      values = values.subspan(sent);
      const Status status = sent != 0 ? published() : wait_for_room(deadline);
      if (status != Status::kOk) return status;
    }
    return Status::kOk;
  }

  // Waits until the receiver has given back all that was sent, which one that does not look for
  // more may never do. As send().
  [[nodiscard]] Status flush(Deadline deadline = Deadline::never()) noexcept {
    return wait(deadline, [this] { return producer_.drained(); });
  }
  // Waits until there is a receiver; kOk if there is. As send().
  [[nodiscard]] Status wait_for_receiver(Deadline deadline = Deadline::never()) noexcept {
    return wait(deadline, [this] { return receiver_attached(); });
  }
  [[nodiscard]] bool receiver_attached() const noexcept {
    return end_ && end_->peer() == Presence::kPresent;
  }

  // Ends the stream in order: the receiver gets what was sent, and then kEnded. What was not read
  // yet stays for a receiver that is still to come. Returns kOk; kPeerGone when the receiver has
  // left without reading all, which is thrown away then unless the name is kept; else why the
  // handle had failed. Blocking, for a second at most while another process is joining or leaving.
  Status close() noexcept { return leave(status_); }
  // Leaves before the end of what there was to send: the receiver gets what was sent, and then
  // kPeerGone. As does one whose close() comes after a failure. Blocking, as close().
  void break_off() noexcept { static_cast<void>(leave(Status::kPeerGone)); }

  // kOk, or why the handle is of no use any more.
  [[nodiscard]] Status status() const noexcept { return status_; }
  [[nodiscard]] std::uint64_t slots() const noexcept { return parts_.capacity; }

 private:
  TypedSender(detail::TypedPlace<T> place, const TypedOptions& options)
      : producer_(place.ring.parts()),
        notifier_(place.ring.parts().consumer->message_waiter,
                  place.ring.parts().producer->message_notifier),
        parts_(place.ring.parts()),
        end_(std::in_place, std::move(place.ring), Ring::kConsumerSlot, 1u, place.gone_before,
             options),
        waiter_(std::in_place, parts_.producer->space_waiter, parts_.consumer->space_notifier) {
    // A receiver may be asleep, waiting for a sender.
    static_cast<void>(notifier_.ring());
  }

  RONDO_ALWAYS_INLINE Status published() noexcept {
    if (!notifier_.wanted()) [[likely]]
      return Status::kOk;
    return ring();
  }
  RONDO_COLD Status ring() noexcept {
    if (!end_ || notifier_.ring() || !receiver_left()) return Status::kOk;
    return fail(Status::kPeerGone);
  }
  [[nodiscard]] bool receiver_left() const noexcept {
    return detail::says_gone(parts_.consumer->message_waiter);
  }

  RONDO_COLD Status send_later(const T& value, Deadline deadline) noexcept {
    const Status status = wait_for_room(deadline);
    if (status != Status::kOk || !producer_.try_push(value)) return status;
    return published();
  }
  RONDO_COLD Status wait_for_room(Deadline deadline) noexcept {
    return wait(deadline, [this] { return producer_.try_reserve() != nullptr; });
  }
  template <class Ready>
  Status wait(Deadline deadline, Ready&& ready) noexcept {
    if (status_ != Status::kOk) return status_;
    if (end_->forked()) return Status::kForked;
    const auto corrupt = [this] { return producer_.outcome() == ClaimOutcome::kCorrupt; };
    const auto left = [this] { return receiver_left(); };
    const Status status =
        end_->wait(*waiter_, deadline, ready, corrupt, left, [] { return Status::kPeerGone; });
    return detail::is_last(status) ? fail(status) : status;
  }
  Status fail(Status status) noexcept {
    shut();
    return status_ = status;
  }
  // `status`: kOk when the stream has come to its end.
  Status leave(Status status) noexcept {
    if (!end_) return status_;
    shut();
    if (end_->forked()) {
      status = Status::kForked;
    } else {
      say_end(status == Status::kOk);
      end_->leave([&](bool last) {
        const bool unread = anything_unread(parts_);
        const bool refused = unread && receiver_left();
        if (refused && status == Status::kOk) status = Status::kPeerGone;
        return last && !end_->keep() && (refused || !unread);
      });
    }
    end_.reset();
    status_ = Status::kClosed;
    return status;
  }
  void say_end(bool in_order) noexcept {
    if (in_order) {
      detail::say_gone(*waiter_);
    } else {
      detail::say_broken_off(parts_.producer->space_waiter);
    }
    static_cast<void>(notifier_.ring());
  }
  void shut() noexcept { producer_ = Producer(detail::shut_ring<T>()); }

  Producer producer_;
  Notifier notifier_;
  SpscParts<T> parts_;
  std::optional<detail::TypedEnd> end_;  // none: closed
  std::optional<Waiter> waiter_;
  int exceptions_ = std::uncaught_exceptions();  // on their way when it was opened
  Status status_ = Status::kOk;
};

template <class T>
class TypedReceiver {
  static_assert(!std::is_same_v<T, raw_slots>, "bytes of a size known at run time: Receiver");
  static_assert(alignof(T) <= kPartAlignment, "no mapping is aligned to more than a page");
  using Ring = spsc_ring<T>;
  using Consumer = typename Ring::Consumer;

 public:
  // As TypedSender::open(). It does not wait for a sender: next() does.
  [[nodiscard]] static Result<TypedReceiver> open(std::string_view name,
                                                  const TypedOptions& options = {}) {
    return detail::refuse_without_memory([&]() -> Result<TypedReceiver> {
      auto place = detail::join_typed<T>(name, options, Role::kConsumer);
      if (!place) return std::move(place).error();
      return TypedReceiver(std::move(place).value(), options);
    });
  }
  TypedReceiver(TypedReceiver&& other) noexcept
      : consumer_(std::move(other.consumer_)),
        notifier_(other.notifier_),
        parts_(other.parts_),
        end_(std::exchange(other.end_, std::nullopt)),
        waiter_(other.waiter_),
        status_(std::exchange(other.status_, Status::kClosed)) {
    other.shut();
  }
  TypedReceiver& operator=(TypedReceiver&& other) noexcept {
    if (this != &other) {
      std::destroy_at(this);
      std::construct_at(this, std::move(other));
    }
    return *this;
  }
  // close()
  ~TypedReceiver() { close(); }

  // The oldest value, if there is one; else kWouldBlock; kEnded: the sender closed the stream in
  // order, and all of it was read; kPeerGone, kPeerDied: it broke off, or died, and all that it
  // sent was read; kCorrupt, kClosed, kForked. After one of the last six it is the same each time.
  // Progress: wait-free, and a system call when the sender sleeps, or now and then while there is
  // nothing.
  // Memory ordering: what the sender did before it sent the value is visible.
  [[nodiscard]] RONDO_ALWAYS_INLINE Polled<T> try_next() noexcept { return next(Deadline::now()); }
  // The same, and waits until `deadline`. Also kTimedOut, kInterrupted.
  [[nodiscard]] RONDO_ALWAYS_INLINE Polled<T> next(Deadline deadline = Deadline::never()) noexcept {
    const T* value = consumer_.try_peek();
    if (value == nullptr) [[unlikely]] {
      const Status status = wait_for_value(deadline);
      if (status != Status::kOk) return status;
      value = consumer_.try_peek();
    }
    Polled<T> taken(std::in_place, *value);
    give_back();
    return taken;
  }
  // The same into `out`, which is as it was unless kOk is returned.
  [[nodiscard]] RONDO_ALWAYS_INLINE Status try_next(T& out) noexcept {
    return next(out, Deadline::now());
  }
  [[nodiscard]] RONDO_ALWAYS_INLINE Status next(T& out,
                                                Deadline deadline = Deadline::never()) noexcept {
    const T* value = consumer_.try_peek();
    if (value == nullptr) [[unlikely]] {
      const Status status = wait_for_value(deadline);
      if (status != Status::kOk) return status;
      value = consumer_.try_peek();
    }
    out = *value;
    give_back();
    return Status::kOk;
  }
  // The oldest values, as many as there are and fit into `out`, which is not empty: how many, at
  // least one. As try_next(), and as next().
  [[nodiscard]] Polled<std::size_t> try_next_some(std::span<T> out) noexcept {
    return next_some(out, Deadline::now());
  }
  [[nodiscard]] Polled<std::size_t> next_some(std::span<T> out,
                                              Deadline deadline = Deadline::never()) noexcept {
    std::size_t taken = consumer_.try_pop_some(out);
    if (taken == 0) [[unlikely]] {
      const Status status = wait_for_value(deadline);
      if (status != Status::kOk) return status;
      taken = consumer_.try_pop_some(out);
    }
    static_cast<void>(notifier_.notify());
    return Polled<std::size_t>(std::in_place, taken);
  }

  // Waits until there is a sender; kOk if there is, or something to read. As next().
  [[nodiscard]] Status wait_for_sender(Deadline deadline = Deadline::never()) noexcept {
    return wait(deadline, [this] { return sender_attached() || consumer_.try_peek() != nullptr; });
  }
  [[nodiscard]] bool sender_attached() const noexcept {
    return end_ && end_->peer() == Presence::kPresent;
  }

  // Leaves in order: the sender is told kPeerGone. Blocking, as TypedSender::close().
  void close() noexcept {
    if (!end_) return;
    if (!end_->forked()) {
      consumer_.publish();
      end_->leave([&](bool last) {
        // Here, so that a sender which hears it and leaves, too, is the last: what we have not read
        // is in its hands then.
        detail::say_gone(*waiter_);
        static_cast<void>(notifier_.ring());
        return last && !end_->keep() && !anything_unread(parts_);
      });
      std::destroy_at(&consumer_);
    }
    // In a forked child what was read is not given back, in the parent's name: not destroyed.
    std::construct_at(&consumer_, detail::shut_ring<T>());
    status_ = end_->forked() ? Status::kForked : Status::kClosed;
    end_.reset();
  }

  // kOk, or why the handle is of no use any more.
  [[nodiscard]] Status status() const noexcept { return status_; }
  [[nodiscard]] std::uint64_t slots() const noexcept { return parts_.capacity; }

 private:
  TypedReceiver(detail::TypedPlace<T> place, const TypedOptions& options)
      : consumer_(place.ring.parts()),
        notifier_(place.ring.parts().producer->space_waiter,
                  place.ring.parts().consumer->space_notifier),
        parts_(place.ring.parts()),
        end_(std::in_place, std::move(place.ring), Ring::kProducerSlot, 1u, place.gone_before,
             options),
        waiter_(std::in_place, parts_.consumer->message_waiter, parts_.producer->message_notifier) {
    if (anything_unread(parts_)) end_->count_on_predecessor();
    // A sender may be asleep, waiting for a receiver.
    static_cast<void>(notifier_.ring());
  }

  RONDO_ALWAYS_INLINE void give_back() noexcept {
    if (consumer_.give_back()) [[unlikely]]
      static_cast<void>(notifier_.notify());
  }
  [[nodiscard]] bool sender_left() const noexcept {
    return detail::says_gone(parts_.producer->space_waiter);
  }
  RONDO_COLD Status wait_for_value(Deadline deadline) noexcept {
    return wait(deadline, [this] { return consumer_.try_peek() != nullptr; });
  }
  template <class Ready>
  Status wait(Deadline deadline, Ready&& ready) noexcept {
    if (status_ != Status::kOk) return status_;
    if (end_->forked()) return Status::kForked;
    // An empty ring has given back all that was read.
    static_cast<void>(notifier_.notify());
    const auto corrupt = [this] { return consumer_.outcome() == ReadOutcome::kCorrupt; };
    const auto left = [this] { return sender_left(); };
    const auto gone = [this] {
      return detail::says_broken_off(parts_.producer->space_waiter) ? Status::kPeerGone
                                                                    : Status::kEnded;
    };
    const Status status = end_->wait(*waiter_, deadline, ready, corrupt, left, gone);
    if (!detail::is_last(status)) return status;
    shut();
    return status_ = status;
  }
  void shut() noexcept {
    std::destroy_at(&consumer_);
    std::construct_at(&consumer_, detail::shut_ring<T>());
  }

  Consumer consumer_;
  Notifier notifier_;
  SpscParts<T> parts_;
  std::optional<detail::TypedEnd> end_;  // none: closed
  std::optional<Waiter> waiter_;
  Status status_ = Status::kOk;
};

}  // namespace rondo::inline RONDO_ABI
