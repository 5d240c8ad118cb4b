// What stands behind rondo/asio.hpp: a handle beside the descriptor by which an execution context
// waits for it, and the operation that looks, waits and looks again.
//
//   who waits                         anyone, any thread
//   ------------------------------    ------------------------------------------------
//   begin(): the one turn there is    cancel(): the turn is called off
//   post: look; something? done       its timer: the turn is late
//   the descriptor is registered      close(): the handle goes, and the turn is called off
//   wait: called off? post, else      the context ends: the descriptor goes, the handle stays
//     wait for the descriptor
//   look; something? done; wait
//
// The looks come one after another on the executor of the completion handler; they and all else
// are under the mutex, as another thread may take the handle out. A call that comes between a look
// and the wait behind it is met by the wait.
//
// What is registered is a descriptor of our own, a dup() of the handle's: the handle may close its
// number at any time, which may be a stranger's in the same context before we let go.
#pragma once

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "rondo/asio/error.hpp"
#include "rondo/asio/library.hpp"
#include "rondo/core/descriptor.hpp"
#include "rondo/core/fork_check.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/transports/status.hpp"

namespace rondo::inline RONDO_ABI::asio::detail {

// What has to let go of an execution context before that one ends, and to hear of a fork.
class Guest {
 public:
  virtual void leave_context() noexcept = 0;
  // In a child, whose context has just made an epoll of its own.
  virtual void came_by_fork() noexcept = 0;

 protected:
  ~Guest() = default;
};

// The guests of one context; outlives it as long as one of them does.
class Guests {
 public:
  void add(Guest& guest) {
    const std::lock_guard lock(mutex_);
    guests_.insert(&guest);
  }
  void remove(Guest& guest) noexcept {
    const std::lock_guard lock(mutex_);
    guests_.erase(&guest);
  }
  void leave() noexcept {
    const std::lock_guard lock(mutex_);
    for (Guest* const guest : guests_) guest->leave_context();
    guests_.clear();
  }
  void came_by_fork() noexcept {
    const std::lock_guard lock(mutex_);
    for (Guest* const guest : guests_) guest->came_by_fork();
  }

 private:
  std::mutex mutex_;
  std::set<Guest*> guests_;
};

// By which a context tells its end, and a fork. Made behind the reactor's service, whose turn in a
// child is before ours therefore.
class GuestService final : public net::execution_context::service {
 public:
  static inline net::execution_context::id id;

  explicit GuestService(net::execution_context& context)
      : net::execution_context::service(context), guests_(std::make_shared<Guests>()) {}
  [[nodiscard]] const std::shared_ptr<Guests>& guests() const noexcept { return guests_; }

 private:
  void shutdown() override { guests_->leave(); }
  void notify_fork(net::execution_context::fork_event event) override {
    if (event == net::execution_context::fork_child) guests_->came_by_fork();
  }

  std::shared_ptr<Guests> guests_;
};

// Shared by its owner and the operation on it.
template <class Handle, class Executor>
class Channel final : public Guest {
 public:
  using Clock = Deadline::Clock;
  using Descriptor = net::posix::basic_stream_descriptor<Executor>;
  using Timer = net::basic_waitable_timer<Clock, net::wait_traits<Clock>, Executor>;

  Channel(const Executor& executor, Handle&& handle)
      : handle_(std::move(handle)), descriptor_(std::make_unique<Descriptor>(executor)) {
    auto& context =
        static_cast<net::execution_context&>(net::query(executor, net::execution::context));
    guests_ = net::use_service<GuestService>(context).guests();
    guests_->add(*this);
  }
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  // Guests know of us until we know no context: it can't end in between.
  ~Channel() {
    leave_context();
    guests_->remove(*this);
  }

  // It may be another one afterwards, whose descriptor may have the old one's number.
  [[nodiscard]] Handle& handle() noexcept {
    const std::lock_guard lock(mutex_);
    watched_ = kNone;
    return handle_;
  }
  [[nodiscard]] Executor executor() noexcept { return descriptor_->get_executor(); }

  // The number of a turn; 0 while another one lasts.
  [[nodiscard]] std::uint64_t begin() noexcept {
    const std::lock_guard lock(mutex_);
    if (taken_) return 0;
    taken_ = true;
    return ++turn_;
  }
  void end() noexcept {
    const std::lock_guard lock(mutex_);
    taken_ = false;
    if (timed_ == turn_ && timer_) timer_->cancel();
  }
  // What `look` finds; nothing at all if the turn is called off.
  template <class Look>
  [[nodiscard]] auto look(std::uint64_t turn, Look& look) {
    const std::lock_guard lock(mutex_);
    std::optional<decltype(look(handle_))> found;
    if (turn > called_off_) found.emplace(look(handle_));
    return found;
  }

  // The context waits for the handle's descriptor from here on. Behind a look that found nothing.
  [[nodiscard]] sys::error_code watch(std::uint64_t turn) {
    const std::lock_guard lock(mutex_);
    sys::error_code error;
    // wait() sees to both; called off, the handle may be gone.
    if (!descriptor_ || turn <= called_off_) return error;
    const auto fd = handle_.fd();
    if (!fd) return error_of(fd.error());
    if (descriptor_->is_open() && *fd == watched_) return error;
    const Executor same = executor();
    forget_descriptor();
    if (!descriptor_) descriptor_ = std::make_unique<Descriptor>(same);
    auto own = rondo::detail::duplicate(*fd);
    if (!own) return {errno, net::error::get_system_category()};
    descriptor_->assign(own.get(), error);
    if (error) return error;
    static_cast<void>(own.release());
    watched_ = *fd;
    context_fork_ = {};
    return error;
  }

  // Calls `operation` when the descriptor is readable, at `deadline`, or when its turn is called
  // off. (Readable, it is told of again in each wait: Asio registers for edges, each time anew.)
  template <class Operation>
  static void wait(std::shared_ptr<Channel> channel, std::uint64_t turn, Deadline deadline,
                   Operation&& operation) {
    const std::lock_guard lock(channel->mutex_);
    if (!channel->descriptor_) return;
    if (turn <= channel->called_off_ || turn == channel->late_) {
      return net::post(channel->executor(), std::move(operation));
    }
    if (!deadline.is_never() && channel->timed_ != turn) channel->start(channel, turn, deadline);
    channel->descriptor_->async_wait(Descriptor::wait_read, std::move(operation));
  }

  void cancel() noexcept {
    const std::lock_guard lock(mutex_);
    if (!taken_) return;
    called_off_ = turn_;
    wake();
  }
  // Gives the handle up, whose descriptor no loop knows any more.
  [[nodiscard]] Handle release() {
    const std::lock_guard lock(mutex_);
    cancel();
    forget_descriptor();
    return std::move(handle_);
  }
  void leave_context() noexcept override {
    const std::lock_guard lock(mutex_);
    forget_descriptor();
    timer_.reset();
    descriptor_.reset();
  }
  // The operation's turn knows that it is from before the fork.
  void came_by_fork() noexcept override {
    const std::lock_guard lock(mutex_);
    context_fork_ = {};
    wake();
  }

 private:
  static constexpr int kNone = -1;

  void start(const std::shared_ptr<Channel>& self, std::uint64_t turn, Deadline deadline) {
    if (!timer_) timer_.emplace(executor());
    timed_ = turn;
    timer_->expires_at(deadline.time());
    timer_->async_wait([weak = std::weak_ptr(self), turn](const sys::error_code& error) {
      if (error) return;
      if (const auto channel = weak.lock()) channel->expire(turn);
    });
  }
  void expire(std::uint64_t turn) noexcept {
    const std::lock_guard lock(mutex_);
    if (turn > late_) late_ = turn;  // several threads may call these out of order
    if (taken_ && turn == turn_) wake();
  }
  // Ends the wait, if the operation is in one.
  void wake() noexcept {
    sys::error_code ignored;
    if (descriptor_ && descriptor_->is_open()) descriptor_->cancel(ignored);
  }
  // Closes it. Not in a child whose context was not told of the fork: its epoll is the parent's
  // still, whose watch would go with ours; so all of it is left as it lies there.
  void forget_descriptor() noexcept {
    watched_ = kNone;
    if (!descriptor_ || !descriptor_->is_open()) return;
    if (context_fork_.forked()) {
      static_cast<void>(descriptor_.release());
      return;
    }
    sys::error_code ignored;
    descriptor_->close(ignored);
  }

  // Recursive: an operation that can't be started ends its turn.
  std::recursive_mutex mutex_;
  Handle handle_;
  std::shared_ptr<Guests> guests_;
  std::unique_ptr<Descriptor> descriptor_;  // none behind the end of the context
  int watched_ = kNone;                     // the handle's, of which it was made
  rondo::detail::ForkCheck context_fork_;   // since we were registered in its epoll
  std::optional<Timer> timer_;              // from the first wait with a deadline on
  bool taken_ = false;
  std::uint64_t turn_ = 0;        // the last one that began
  std::uint64_t called_off_ = 0;  // all up to this one
  std::uint64_t late_ = 0;        // the last one whose deadline came
  std::uint64_t timed_ = 0;       // the last one for which the timer was started
};

// A turn on a channel, which ends with it.
template <class Channel>
class Turn {
 public:
  Turn() = default;
  explicit Turn(std::shared_ptr<Channel> channel) : number_(channel->begin()) {
    if (number_ != 0) channel_ = std::move(channel);
  }
  Turn(Turn&&) = default;
  Turn& operator=(Turn&&) = delete;
  ~Turn() {
    if (channel_) channel_->end();
  }
  [[nodiscard]] explicit operator bool() const noexcept { return channel_ != nullptr; }
  [[nodiscard]] std::uint64_t number() const noexcept { return number_; }
  [[nodiscard]] bool forked() const noexcept { return fork_check_.forked(); }

 private:
  rondo::detail::ForkCheck fork_check_;
  std::uint64_t number_ = 0;
  std::shared_ptr<Channel> channel_;
};

// An implementation for async_compose(): looks on the executor until there is a Value.
template <class Channel, class Value, class Look>
class Operation {
 public:
  Operation(std::shared_ptr<Channel> channel, Look look, Deadline deadline)
      : channel_(std::move(channel)), look_(std::move(look)), deadline_(deadline) {}

  // Asio's `error` says that the wait was cancelled, which the turn and the slot say as well, or
  // that there can be none.
  template <class Self>
  void operator()(Self& self, sys::error_code error = {}) {
    if (!turn_) return begin(self);
    if (!*turn_) return finish(self, net::error::already_started);
    if (turn_->forked()) return finish(self, make_error_code(Status::kForked));
    if (slot_says_so(self)) return finish(self, net::error::operation_aborted);
    auto looked = channel_->look(turn_->number(), look_);
    if (!looked) return finish(self, net::error::operation_aborted);
    Polled<Value>& found = *looked;
    if (found) return finish(self, {}, *std::move(found));
    if (found.status() != Status::kWouldBlock) {
      return finish(self, make_error_code(found.status()));
    }
    if (deadline_.passed()) {
      return finish(self, make_error_code(deadline_ == Deadline::now() ? Status::kWouldBlock
                                                                       : Status::kTimedOut));
    }
    if (error && error != net::error::operation_aborted) return finish(self, error);
    if (const sys::error_code failed = channel_->watch(turn_->number())) {
      return finish(self, failed);
    }
    Channel::wait(channel_, turn_->number(), deadline_, std::move(self));
  }

 private:
  // The looks do not come from within the call that begins the operation: its handler must not, and
  // the handle belongs to the threads of the executor.
  template <class Self>
  void begin(Self& self) {
    turn_.emplace(channel_);
    // Nothing is taken unless it is delivered: so any kind of cancellation will do.
    if constexpr (requires { self.get_cancellation_state(); }) {
      self.reset_cancellation_state([](auto kind) { return kind; });
    }
    const auto executor = channel_->executor();
    net::post(executor, std::move(self));
  }
  template <class Self>
  [[nodiscard]] static bool slot_says_so(Self& self) noexcept {
    if constexpr (requires { self.get_cancellation_state(); }) {
      return static_cast<bool>(self.get_cancellation_state().cancelled());
    } else {
      return false;
    }
  }
  // The turn ends before the handler runs, which may begin the next one.
  template <class Self>
  void finish(Self& self, sys::error_code error, Value value = {}) {
    turn_.reset();
    self.complete(error, std::move(value));
  }

  std::shared_ptr<Channel> channel_;
  [[no_unique_address]] Look look_;
  Deadline deadline_;
  std::optional<Turn<Channel>> turn_;
};

}  // namespace rondo::inline RONDO_ABI::asio::detail
