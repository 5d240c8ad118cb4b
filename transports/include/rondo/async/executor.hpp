// Runs tasks, and whom they await: one thread, one WaitSet. rondo/async.hpp shows it in use.
//
//   a task         is ready, or awaits; its frame is its own, and destroyed with it
//   an awaiter     lies in the frame of the task; in one list of two, and a member of the set while
//                  it waits:
//                    waiting   until the set tells its key, its deadline comes, or its stop token
//                    ready     looks once more when its turn comes; if it has found nothing, waits
//
// So a message is taken when its task goes on, and not before; and a frame that is destroyed takes
// its awaiter out of the list and the set.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include "rondo/core/fork_check.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/wait.hpp"
#include "rondo/transports/status.hpp"
#include "rondo/transports/wait_set.hpp"

namespace rondo::inline RONDO_ABI {

class Executor;
template <class T>
class Task;

namespace detail {

template <class T>
class Promise;

// A list through its elements, which take themselves out when they go. One thread.
class Listed {
 public:
  Listed() noexcept : previous_(this), next_(this) {}
  Listed(const Listed&) = delete;
  Listed& operator=(const Listed&) = delete;
  ~Listed() { unlink(); }

  [[nodiscard]] bool alone() const noexcept { return next_ == this; }
  [[nodiscard]] Listed* next() const noexcept { return next_; }
  // To the end of the list that `head` stands for.
  void append_to(Listed& head) noexcept {
    unlink();
    previous_ = head.previous_;
    next_ = &head;
    previous_->next_ = this;
    head.previous_ = this;
  }
  void unlink() noexcept {
    previous_->next_ = next_;
    next_->previous_ = previous_;
    previous_ = next_ = this;
  }

 private:
  Listed* previous_;
  Listed* next_;
};

// A coroutine that is to go on: std::coroutine_handle<>, without its header.
struct Frame {
  void* address = nullptr;
  void (*resume)(void* address) = nullptr;
  void (*destroy)(void* address) = nullptr;
};

// What is awaited, or only a task's turn. Stays where it is.
class RONDO_API Awaited : public Listed {
 public:
  Awaited() = default;
  Awaited(Deadline deadline, std::stop_token stop) noexcept
      : deadline_(deadline), stop_(std::move(stop)) {}
  virtual ~Awaited();

 protected:
  [[nodiscard]] bool stopped() const noexcept { return stop_.stop_requested(); }
  [[nodiscard]] Deadline deadline() const noexcept { return deadline_; }
  // The task goes on when look() says so, or it has been told why not. False: it goes on at once.
  [[nodiscard]] bool suspend(Executor& executor, Frame frame) noexcept;
  // The task goes on at its next turn.
  void take_turn(Executor& executor, Frame frame) noexcept;

 private:
  friend class rondo::Executor;

  struct Interrupt {
    WaitSet* set;
    void operator()() const noexcept { set->interrupt(); }
  };

  // Out of list and set.
  void leave() noexcept;
  // Makes it a member.
  [[nodiscard]] virtual Result<void> join(WaitSet&, WaitSet::Key) { return {}; }
  // True: what is awaited is there, or will never be. Taken, if so.
  [[nodiscard]] virtual bool look() noexcept { return true; }
  // It has not come: kTimedOut, kInterrupted, or why it can't be waited for.
  virtual void give_up(Status) noexcept {}

  Deadline deadline_ = Deadline::never();
  std::stop_token stop_;
  std::optional<std::stop_callback<Interrupt>> on_stop_;
  Executor* executor_ = nullptr;
  Frame frame_;
  bool waits_ = false;  // and is a member
};

// What the promise of a task has that can be spawned.
struct Root : Listed {
  Awaited turn;  // its first one
  Frame frame;
  std::exception_ptr thrown;
};

}  // namespace detail

// All of it belongs to one thread at a time, but for interrupt(). Stays where it is.
class RONDO_API Executor {
 public:
  // `mode` and `stop` are as WaitSet's. Errors: kNoSpace.
  [[nodiscard]] static Result<std::unique_ptr<Executor>> make(
      WaitMode mode = WaitMode::kAdaptive, const std::atomic<bool>* stop = nullptr);
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;
  // Destroys the tasks that have not ended, in the order in which they were spawned. Not from one
  // of them.
  ~Executor();

  // The task begins with the next turn of run(), and is destroyed when it has ended. From the
  // executor's thread, also from one of its tasks. No memory is taken.
  void spawn(Task<void> task) noexcept;
  // Runs until no task is left: kOk. Else kTimedOut (kWouldBlock for Deadline::now()), kInterrupted
  // (the stop flag, or interrupt()), or kForked; the tasks are as they were, and may be run on.
  // What a spawned task throws comes out of here, and ends that one alone. Not from a task.
  // Progress: blocking.
  Status run(Deadline deadline = Deadline::never());
  // The run() that goes on ends with kInterrupted, or the next one. Any thread; async-signal-safe.
  void interrupt() noexcept;

  [[nodiscard]] bool idle() const noexcept { return roots_.alone(); }

 private:
  friend class detail::Awaited;
  template <class T>
  friend class detail::Promise;

  Executor(WaitSet set, const std::atomic<bool>* stop) noexcept;

  void begin(detail::Root& root) noexcept;
  void end(detail::Root& root) noexcept { root.append_to(ended_); }
  void run_ready();
  void go_on(detail::Awaited& awaited);
  static void destroy(detail::Root& root) noexcept;
  [[nodiscard]] Deadline end_late_ones() noexcept;
  [[nodiscard]] bool is_stopped() noexcept;

  WaitSet set_;
  detail::ForkCheck fork_check_;
  const std::atomic<bool>* stop_;
  std::atomic<bool> interrupted_{false};
  detail::Listed roots_;
  detail::Listed ready_;
  detail::Listed turn_end_;  // among these: behind it are those of the next turn
  detail::Listed waiting_;
  detail::Listed ended_;
};

}  // namespace rondo::inline RONDO_ABI
