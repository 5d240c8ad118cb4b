// Channels for Asio: its asynchronous operations with completion tokens, over the handles'
// descriptors. A header for those who use Asio; the library itself does not (asio/library.hpp says
// which Asio it can be).
//
//   boost::asio::io_context io;
//   rondo::asio::Receiver ticks(io, std::move(receiver));   // a rondo::Receiver that is open
//
//   rondo::Message tick = co_await ticks.async_next(boost::asio::use_awaitable);
//   ticks.async_next([](boost::system::error_code error, rondo::Message tick) { ... });
//
// Errors are those of Status, kEnded among them: `error == rondo::Status::kEnded`. Besides
// boost::asio::error::operation_aborted (cancelled), already_started (one operation at a time and
// channel), and what keeps a descriptor from being made or watched.
//
// As for every I/O object of Asio: calls on one at a time; its operations look at the handle on
// the executor that is associated with the handler (else the object's), so in a context that
// several threads run, let that be a strand. cancel() alone is for any thread. Where Asio has
// cancellation slots, each kind of cancellation is honoured: a cancelled operation has taken
// nothing. One that finds a message at once costs one post(), and no memory beyond Asio's own,
// which it reuses; who has many at once to take does so with handle().try_next() behind it.
//
// Asio watches a duplicate of the handle's descriptor: so the handle may be closed, or another one
// assigned to handle(), between operations. An object may be destroyed while an operation is
// pending, by any thread; it ends with operation_aborted then. Or later than its context, whose end
// drops the operation; then only release() and the destructor are left to call. An object may be
// moved while an operation is pending. OpenOptions::stop is not looked at while an operation waits:
// cancel() instead.
//
// A Message, or a Claim, is in the object's keeping as in a handle's, from the moment it is found:
// who destroys or releases the object elsewhere must know that none is on its way to a handler.
// And as with next(), it is to be given back before the next operation looks, which would find the
// same message again: mind this with use_future, and handlers that store it.
//
// In a child by fork() a pending operation ends with kForked when the context is told of it
// (notify_fork()), as it must be to run there; so does each that begins. A child whose context is
// not told may destroy the object: the parent's wait stays, and the child's duplicate stays open.
#pragma once

#include <concepts>
#include <cstddef>
#include <memory>
#include <type_traits>
#include <utility>

#include "rondo/asio/channel.hpp"
#include "rondo/asio/error.hpp"
#include "rondo/asio/library.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"

namespace rondo::inline RONDO_ABI::asio {

// What both ends have.
template <class Handle, class Executor>
class BasicEnd {
 public:
  using executor_type = Executor;

  BasicEnd(const Executor& executor, Handle handle)
      : channel_(std::make_shared<Channel>(executor, std::move(handle))) {}
  template <class Context>
  requires std::convertible_to<Context&, net::execution_context&> BasicEnd(Context& context,
                                                                           Handle handle)
      : BasicEnd(Executor(context.get_executor()), std::move(handle)) {}
  BasicEnd(BasicEnd&&) noexcept = default;
  BasicEnd& operator=(BasicEnd&& other) noexcept {
    if (this == &other) return *this;
    close();
    channel_ = std::move(other.channel_);
    return *this;
  }
  // Ends a pending operation, and the handle as its own destructor does.
  ~BasicEnd() { close(); }

  [[nodiscard]] Executor get_executor() const noexcept { return channel_->executor(); }
  // For what needs no waiting: try_next(), status(), info() and such; closing, and assignment. Not
  // while an operation is pending, and nothing that waits. Call it anew behind each operation: the
  // first wait behind a call registers the descriptor again, four system calls.
  [[nodiscard]] Handle& handle() noexcept { return channel_->handle(); }
  // The pending operation, if there is one, ends with operation_aborted; unless its handler is
  // about to be called already. From any thread.
  void cancel() noexcept { channel_->cancel(); }
  // The handle without Asio, as it was given; a pending operation is cancelled. Afterwards only the
  // destructor and assignment may be called.
  [[nodiscard]] Handle release() { return std::exchange(channel_, nullptr)->release(); }

 protected:
  using Channel = detail::Channel<Handle, Executor>;

  // A Value, which `look(handle)` finds.
  template <class Value, class Look, class Token>
  auto async_look(Look look, Deadline deadline, Token& token) {
    return net::async_compose<Token, void(sys::error_code, Value)>(
        detail::Operation<Channel, Value, Look>(channel_, std::move(look), deadline), token,
        channel_->executor());
  }

 private:
  void close() noexcept {
    if (channel_) static_cast<void>(release());
  }

  std::shared_ptr<Channel> channel_;
};

template <class Executor = net::any_io_executor>
class BasicReceiver : public BasicEnd<rondo::Receiver, Executor> {
 public:
  template <class Other>
  struct rebind_executor {
    using other = BasicReceiver<Other>;
  };
  using BasicEnd<rondo::Receiver, Executor>::BasicEnd;

  // The next message: void(error_code, Message). With an error the Message is none.
  template <class Token = net::default_completion_token_t<Executor>>
  requires(!std::convertible_to<Token, Deadline>) auto async_next(Token&& token = Token()) {
    return async_next(Deadline::never(), std::forward<Token>(token));
  }
  // As above; kTimedOut if there is none by `deadline`.
  template <class Token = net::default_completion_token_t<Executor>>
  auto async_next(Deadline deadline, Token&& token = Token()) {
    return this->template async_look<Message>(
        [](rondo::Receiver& receiver) noexcept { return receiver.next(Deadline::now()); }, deadline,
        token);
  }
};

template <class Executor = net::any_io_executor>
class BasicSender : public BasicEnd<rondo::Sender, Executor> {
 public:
  template <class Other>
  struct rebind_executor {
    using other = BasicSender<Other>;
  };
  using BasicEnd<rondo::Sender, Executor>::BasicEnd;

  // Room for a message of `size_bytes`: void(error_code, Claim). With an error the Claim is none.
  // What commit() can't write out at once on a byte stream is written by later calls.
  template <class Token = net::default_completion_token_t<Executor>>
  requires(!std::convertible_to<Token, Deadline>) auto async_claim(std::size_t size_bytes,
                                                                   Token&& token = Token()) {
    return async_claim(size_bytes, Deadline::never(), std::forward<Token>(token));
  }
  // As above; kTimedOut if there is no room by `deadline`.
  template <class Token = net::default_completion_token_t<Executor>>
  auto async_claim(std::size_t size_bytes, Deadline deadline, Token&& token = Token()) {
    return this->template async_look<Claim>(
        [size_bytes](rondo::Sender& sender) noexcept {
          sender.wake_each();  // the context sleeps where it does not know of it
          return sender.claim(size_bytes, Deadline::now());
        },
        deadline, token);
  }
};

using Receiver = BasicReceiver<>;
using Sender = BasicSender<>;

// The same as functions.
template <class Executor, class... Arguments>
auto async_next(BasicReceiver<Executor>& receiver, Arguments&&... deadline_and_token) {
  return receiver.async_next(std::forward<Arguments>(deadline_and_token)...);
}
template <class Executor, class... Arguments>
auto async_claim(BasicSender<Executor>& sender, std::size_t size_bytes,
                 Arguments&&... deadline_and_token) {
  return sender.async_claim(size_bytes, std::forward<Arguments>(deadline_and_token)...);
}

}  // namespace rondo::inline RONDO_ABI::asio
