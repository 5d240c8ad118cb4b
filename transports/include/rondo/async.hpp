// Coroutines over channels: tasks that await messages and room, in one thread.
//
//   rondo::Task<> pass_on(rondo::Receiver& in, rondo::Sender& out) {
//     while (auto message = co_await rondo::async_next(in)) {
//       auto claim = co_await rondo::async_claim(out, message->size());
//       if (!claim) co_return;
//       std::ranges::copy(message->bytes(), claim->bytes().begin());
//       std::move(*claim).commit();
//     }
//   }
//   auto executor = rondo::Executor::make();
//   (*executor)->spawn(pass_on(ticks, copies));
//   (*executor)->spawn(pass_on(orders, archive));
//   (*executor)->run();
//
// What is there already is taken without a suspension: so a task whose channel is never empty keeps
// the others waiting; async_yield() gives them their turn. No co_await takes memory, but for what
// the WaitSet remembers of as many as wait at once. A handle is awaited by one task at a time, and
// stays where it is meanwhile. Of what was cancelled, or destroyed, nothing was taken. A sender's
// on_slow_reader is called while the executor waits: it must destroy no task. The stop flag of a
// handle (OpenOptions::stop) is seen when its task looks; the executor's own ends its wait.
//
// g++ 12 miscompiles a `while (co_await ...)` without a variable: let the result have a name.
#pragma once

#include <coroutine>
#include <cstddef>
#include <memory>
#include <new>
#include <optional>
#include <stop_token>
#include <utility>

#include "rondo/async/executor.hpp"
#include "rondo/async/task.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/transports/listener.hpp"
#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "rondo/transports/status.hpp"
#include "rondo/transports/wait_set.hpp"

namespace rondo::inline RONDO_ABI {
namespace detail {

// What `Find` finds: a Polled<Value>. Find has operator(), and join(set, key).
template <class Value, class Find>
class [[nodiscard]] AwaitedValue final : public Awaited {
 public:
  AwaitedValue(Find find, Deadline deadline, std::stop_token stop) noexcept
      : Awaited(deadline, std::move(stop)), find_(find) {}

  [[nodiscard]] bool await_ready() noexcept {
    if (!stopped()) return look() || deadline() == Deadline::now();
    give_up(Status::kInterrupted);
    return true;
  }
  template <class Promise>
  [[nodiscard]] bool await_suspend(std::coroutine_handle<Promise> task) noexcept {
    return suspend(task.promise().executor(), frame_of(task));
  }
  [[nodiscard]] Polled<Value> await_resume() noexcept { return *std::move(found_); }

 private:
  Result<void> join(WaitSet& set, WaitSet::Key key) override { return find_.join(set, key); }
  bool look() noexcept override {
    found_.emplace(find_());
    return found_->status() != Status::kWouldBlock;
  }
  void give_up(Status status) noexcept override { found_.emplace(status); }

  Find find_;
  std::optional<Polled<Value>> found_;
};

struct FindMessage {
  Receiver* receiver;

  [[nodiscard]] Polled<Message> operator()() const noexcept {
    return receiver->next(Deadline::now());
  }
  [[nodiscard]] Result<void> join(WaitSet& set, WaitSet::Key key) const {
    return set.add(*receiver, key);
  }
};

struct FindRoom {
  Sender* sender;
  std::size_t size_bytes;

  [[nodiscard]] Polled<Claim> operator()() const noexcept {
    return sender->claim(size_bytes, Deadline::now());
  }
  [[nodiscard]] Result<void> join(WaitSet& set, WaitSet::Key key) const {
    return set.add(*sender, key, size_bytes);
  }
};

struct FindConnection {
  Listener* listener;

  // On the heap, where it stays: a frame would not have its alignment.
  [[nodiscard]] Polled<std::unique_ptr<Connection>> operator()() const noexcept {
    auto connection = listener->accept(Deadline::now());
    if (!connection) return connection.status();
    std::unique_ptr<Connection> kept(new (std::nothrow) Connection(*std::move(connection)));
    if (kept == nullptr) return Status::kNoMemory;
    return std::optional(std::move(kept));
  }
  [[nodiscard]] Result<void> join(WaitSet& set, WaitSet::Key key) const {
    return set.add(*listener, key);
  }
};

class [[nodiscard]] AwaitedTime final : public Awaited {
 public:
  using Awaited::Awaited;

  [[nodiscard]] bool await_ready() noexcept {
    if (!stopped()) return deadline().passed();
    status_ = Status::kInterrupted;
    return true;
  }
  template <class Promise>
  [[nodiscard]] bool await_suspend(std::coroutine_handle<Promise> task) noexcept {
    return suspend(task.promise().executor(), frame_of(task));
  }
  Status await_resume() const noexcept { return status_; }

 private:
  bool look() noexcept override { return deadline().passed(); }
  void give_up(Status status) noexcept override { status_ = status; }

  Status status_ = Status::kOk;
};

class [[nodiscard]] AwaitedTurn final : public Awaited {
 public:
  [[nodiscard]] bool await_ready() const noexcept { return false; }
  template <class Promise>
  void await_suspend(std::coroutine_handle<Promise> task) noexcept {
    take_turn(task.promise().executor(), frame_of(task));
  }
  void await_resume() const noexcept {}
};

}  // namespace detail

// The next message, as Receiver::next() with `deadline`: a Polled<Message>; kInterrupted when a
// stop is requested, from any thread. Where it can't be waited for, kIoError: the handle is awaited
// already, or there is no memory or descriptor left.
[[nodiscard]] inline auto async_next(Receiver& receiver, Deadline deadline = Deadline::never(),
                                     std::stop_token stop = {}) noexcept {
  return detail::AwaitedValue<Message, detail::FindMessage>({&receiver}, deadline, std::move(stop));
}
// Room for a message, as Sender::claim() with `deadline`: a Polled<Claim>; else as above. What
// commit() can't write out at once on a byte stream is written by later calls.
[[nodiscard]] inline auto async_claim(Sender& sender, std::size_t size_bytes,
                                      Deadline deadline = Deadline::never(),
                                      std::stop_token stop = {}) noexcept {
  sender.wake_each();  // its task sleeps where it does not know of it
  return detail::AwaitedValue<Claim, detail::FindRoom>({&sender, size_bytes}, deadline,
                                                       std::move(stop));
}
// The next connection, as Listener::accept() with `deadline`: in a Polled, a std::unique_ptr to a
// Connection; else as above.
[[nodiscard]] inline auto async_accept(Listener& listener, Deadline deadline = Deadline::never(),
                                       std::stop_token stop = {}) noexcept {
  return detail::AwaitedValue<std::unique_ptr<Connection>, detail::FindConnection>(
      {&listener}, deadline, std::move(stop));
}
// kOk at `time`, or kInterrupted.
[[nodiscard]] inline auto async_sleep(Deadline time, std::stop_token stop = {}) noexcept {
  return detail::AwaitedTime(time, std::move(stop));
}
// Goes on behind all that are ready.
[[nodiscard]] inline auto async_yield() noexcept { return detail::AwaitedTurn(); }

}  // namespace rondo::inline RONDO_ABI
