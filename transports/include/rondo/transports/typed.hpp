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
// In a forked child an inherited handle says kForked, and moves nothing; by vfork() or a bare
// clone() it comes as it is, and is not to be used.
//
// Values are copied out before anybody looks at them. A sender that is not trusted can make any
// bytes of T appear, and nothing else: a T with forbidden bit patterns (bool, enum) is to be
// checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "rondo/core/platform.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/spsc_layout.hpp"
#include "rondo/core/spsc_ring.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/transports/last_word.hpp"
#include "rondo/transports/status.hpp"
#include "rondo/transports/typed_handle.hpp"
#include "rondo/transports/typed_join.hpp"
#include "rondo/transports/typed_options.hpp"

namespace rondo::inline RONDO_ABI {
// `T` is trivially copyable, without pointers if it crosses processes, and the same type on both
// sides: its size is remembered in the ring, and TypedOptions::tag.
template <class T>
class TypedSender : private detail::TypedHandle<T, typename spsc_ring<T>::Producer> {
  using Base = detail::TypedHandle<T, typename spsc_ring<T>::Producer>;
  friend Base;

 public:
  // Opens "shm:NAME" or "file:PATH"; whoever comes first makes the ring. Blocking, for
  // options.timeout at most, see above, and while another process is joining or leaving.
  // Errors: those of spsc_ring<T>::open_producer(); kGeometryMismatch also for another tag;
  // kTimedOut when the stop flag ended a wait.
  [[nodiscard]] static Result<TypedSender> open(std::string_view name,
                                                const TypedOptions& options = {}) {
    return Base::template open_as<TypedSender>(name, options);
  }
  TypedSender(TypedSender&& other) noexcept
      : Base(std::move(static_cast<Base&>(other))), exceptions_(other.exceptions_) {}
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
    if (!side_.try_push(value)) [[unlikely]]
      return send_later(value, Deadline::now());
    return published();
  }
  // The same, and waits for room until `deadline`. Also kTimedOut, kInterrupted.
  [[nodiscard]] RONDO_ALWAYS_INLINE Status send(const T& value,
                                                Deadline deadline = Deadline::never()) noexcept {
    if (!side_.try_push(value)) [[unlikely]]
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
      const std::size_t sent = side_.try_push_some(values);
      values = values.subspan(sent);
      const Status status = sent != 0 ? published() : wait_for_room(deadline);
      if (status != Status::kOk) return status;
    }
    return Status::kOk;
  }

  // Waits until the receiver has given back all that was sent, which one that does not look for
  // more may never do. As send().
  [[nodiscard]] Status flush(Deadline deadline = Deadline::never()) noexcept {
    return wait(deadline, [this] { return side_.drained(); });
  }
  // Waits until there is a receiver; kOk if there is. As send().
  [[nodiscard]] Status wait_for_receiver(Deadline deadline = Deadline::never()) noexcept {
    return wait(deadline, [this] { return receiver_attached(); });
  }
  [[nodiscard]] bool receiver_attached() const noexcept { return this->peer_attached(); }

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
  using Base::end_;
  using Base::notifier_;
  using Base::parts_;
  using Base::side_;
  using Base::status_;
  using Base::wait;

  TypedSender(detail::TypedPlace<T> place, const TypedOptions& options)
      : Base(std::move(place), options) {
    // A receiver may be asleep, waiting for a sender.
    static_cast<void>(notifier_.ring());
  }

  RONDO_ALWAYS_INLINE Status published() noexcept {
    if (!notifier_.wanted()) [[likely]]
      return Status::kOk;
    return ring();
  }
  RONDO_COLD Status ring() noexcept {
    if (!end_ || notifier_.ring() || !this->peer_left()) return Status::kOk;
    return this->fail(Status::kPeerGone);
  }

  RONDO_COLD Status send_later(const T& value, Deadline deadline) noexcept {
    const Status status = wait_for_room(deadline);
    if (status != Status::kOk || !side_.try_push(value)) return status;
    return published();
  }
  RONDO_COLD Status wait_for_room(Deadline deadline) noexcept {
    return wait(deadline, [this] { return side_.try_reserve() != nullptr; });
  }
  // `status`: kOk when the stream has come to its end.
  Status leave(Status status) noexcept {
    if (!end_) return status_;
    this->shut();
    if (end_->forked()) {
      status = Status::kForked;
    } else {
      say_end(status == Status::kOk);
      end_->leave([&](bool last) {
        const bool unread = anything_unread(parts_);
        const bool refused = unread && this->peer_left();
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
      detail::say_gone(*this->waiter_);
    } else {
      detail::say_broken_off(this->our_waiter());
    }
    static_cast<void>(notifier_.ring());
  }

  int exceptions_ = std::uncaught_exceptions();  // on their way when it was opened
};

template <class T>
class TypedReceiver : private detail::TypedHandle<T, typename spsc_ring<T>::Consumer> {
  using Base = detail::TypedHandle<T, typename spsc_ring<T>::Consumer>;
  friend Base;

 public:
  // As TypedSender::open(). It does not wait for a sender: next() does.
  [[nodiscard]] static Result<TypedReceiver> open(std::string_view name,
                                                  const TypedOptions& options = {}) {
    return Base::template open_as<TypedReceiver>(name, options);
  }
  TypedReceiver(TypedReceiver&& other) noexcept = default;
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
    const T* value = side_.try_peek();
    if (value == nullptr) [[unlikely]] {
      const Status status = wait_for_value(deadline);
      if (status != Status::kOk) return status;
      value = side_.try_peek();
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
    const T* value = side_.try_peek();
    if (value == nullptr) [[unlikely]] {
      const Status status = wait_for_value(deadline);
      if (status != Status::kOk) return status;
      value = side_.try_peek();
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
    std::size_t taken = side_.try_pop_some(out);
    if (taken == 0) [[unlikely]] {
      const Status status = wait_for_value(deadline);
      if (status != Status::kOk) return status;
      taken = side_.try_pop_some(out);
    }
    static_cast<void>(notifier_.notify());
    return Polled<std::size_t>(std::in_place, taken);
  }

  // Waits until there is a sender; kOk if there is, or something to read. As next().
  [[nodiscard]] Status wait_for_sender(Deadline deadline = Deadline::never()) noexcept {
    return wait(deadline, [this] { return sender_attached() || side_.try_peek() != nullptr; });
  }
  [[nodiscard]] bool sender_attached() const noexcept { return this->peer_attached(); }

  // Leaves in order: the sender is told kPeerGone. Blocking, as TypedSender::close().
  void close() noexcept {
    if (!end_) return;
    const bool forked = end_->forked();
    if (!forked) {
      side_.publish();
      end_->leave([&](bool last) {
        // Here, so that a sender which hears it and leaves, too, is the last: what we have not read
        // is in its hands then.
        detail::say_gone(*this->waiter_);
        static_cast<void>(notifier_.ring());
        return last && !end_->keep() && !anything_unread(parts_);
      });
      this->shut();
    }
    status_ = forked ? Status::kForked : Status::kClosed;
    end_.reset();
  }

  // kOk, or why the handle is of no use any more.
  [[nodiscard]] Status status() const noexcept { return status_; }
  [[nodiscard]] std::uint64_t slots() const noexcept { return parts_.capacity; }

 private:
  using Base::end_;
  using Base::notifier_;
  using Base::parts_;
  using Base::side_;
  using Base::status_;

  TypedReceiver(detail::TypedPlace<T> place, const TypedOptions& options)
      : Base(std::move(place), options) {
    if (anything_unread(parts_)) end_->count_on_predecessor();
    // A sender may be asleep, waiting for a receiver.
    static_cast<void>(notifier_.ring());
  }

  RONDO_ALWAYS_INLINE void give_back() noexcept {
    if (side_.give_back()) [[unlikely]]
      static_cast<void>(notifier_.notify());
  }
  RONDO_COLD Status wait_for_value(Deadline deadline) noexcept {
    return wait(deadline, [this] { return side_.try_peek() != nullptr; });
  }
  template <class Ready>
  Status wait(Deadline deadline, Ready&& ready) noexcept {
    // An empty ring has given back all that was read.
    if (status_ == Status::kOk) static_cast<void>(notifier_.notify());
    return Base::wait(deadline, ready);
  }
};

}  // namespace rondo::inline RONDO_ABI
