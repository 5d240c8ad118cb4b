#include "rondo/async/executor.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <utility>

#include "rondo/core/out_of_memory.hpp"

namespace rondo::inline RONDO_ABI {
namespace {

// How many the set tells of at a time; the others come first in the next turn.
constexpr std::size_t kAtOnce = 32;

// Why it can't be waited for.
Status refusal(const Error& error) noexcept {
  switch (error.code) {
    case ErrorCode::kNotFound: return Status::kClosed;
    case ErrorCode::kForked: return Status::kForked;
    default: return Status::kIoError;
  }
}

}  // namespace

namespace detail {
namespace {

// The awaited, by which the set calls it: it stays where it is while it is a member.
WaitSet::Key key_of(Awaited& awaited) noexcept {
  return reinterpret_cast<std::uintptr_t>(&awaited);
}
Awaited& awaited_of(WaitSet::Key key) noexcept {
  return *reinterpret_cast<Awaited*>(static_cast<std::uintptr_t>(key));
}

}  // namespace

Awaited::~Awaited() { leave(); }

bool Awaited::suspend(Executor& executor, Frame frame) noexcept {
  if (const Result<void> joined = join(executor.set_, key_of(*this)); !joined) {
    give_up(refusal(joined.error()));
    return false;
  }
  executor_ = &executor;
  frame_ = frame;
  waits_ = true;
  append_to(executor.waiting_);
  if (stop_.stop_possible()) on_stop_.emplace(stop_, Interrupt{&executor.set_});
  return true;
}

void Awaited::take_turn(Executor& executor, Frame frame) noexcept {
  frame_ = frame;
  append_to(executor.ready_);
}

void Awaited::leave() noexcept {
  unlink();
  if (!std::exchange(waits_, false)) return;
  on_stop_.reset();
  static_cast<void>(executor_->set_.remove(key_of(*this)));
}

}  // namespace detail

Executor::Executor(WaitSet set, const std::atomic<bool>* stop) noexcept
    : set_(std::move(set)), stop_(stop) {}

Result<std::unique_ptr<Executor>> Executor::make(WaitMode mode, const std::atomic<bool>* stop) {
  Result<WaitSet> set = WaitSet::make(mode, stop);
  if (!set) return std::move(set).error();
  return detail::refuse_without_memory([&]() -> Result<std::unique_ptr<Executor>> {
    return std::unique_ptr<Executor>(new Executor(std::move(set).value(), stop));
  });
}

Executor::~Executor() {
  for (detail::Listed* const list : {&roots_, &ended_}) {
    while (!list->alone()) destroy(static_cast<detail::Root&>(*list->next()));
  }
  // What is left belongs to tasks that somebody else keeps; they are not run any more.
  turn_end_.unlink();
  for (detail::Listed* const list : {&ready_, &waiting_}) {
    while (!list->alone()) static_cast<detail::Awaited&>(*list->next()).leave();
  }
}

void Executor::begin(detail::Root& root) noexcept {
  root.append_to(roots_);
  root.turn.take_turn(*this, root.frame);
}

// Its frame, and with it itself.
void Executor::destroy(detail::Root& root) noexcept {
  root.unlink();
  root.frame.destroy(root.frame.address);
}

void Executor::interrupt() noexcept {
  interrupted_.store(true, std::memory_order_relaxed);  // relaxed: what the set says orders it
  set_.interrupt();
}

// Asked to stop.
bool Executor::is_stopped() noexcept {
  // relaxed, both: order nothing.
  if (interrupted_.exchange(false, std::memory_order_relaxed)) return true;
  return stop_ != nullptr && stop_->load(std::memory_order_relaxed);
}

Status Executor::run(Deadline deadline) {
  if (fork_check_.forked()) return Status::kForked;
  std::array<WaitSet::Key, kAtOnce> room{};
  for (bool first = true;; first = false) {
    run_ready();
    if (idle()) return Status::kOk;
    if (is_stopped()) return Status::kInterrupted;
    if (!first && deadline.passed()) {
      return deadline == Deadline::now() ? Status::kWouldBlock : Status::kTimedOut;
    }
    const Deadline next = end_late_ones();
    auto keys = set_.wait(room, ready_.alone() ? earlier(next, deadline) : Deadline::now());
    if (keys.status() == Status::kForked) return Status::kForked;
    if (!keys) continue;
    for (const WaitSet::Key key : *keys) detail::awaited_of(key).append_to(ready_);
  }
}

// One turn of each that is ready now; of those that become so meanwhile, the next time.
void Executor::run_ready() {
  turn_end_.append_to(ready_);
  while (ready_.next() != &turn_end_) go_on(static_cast<detail::Awaited&>(*ready_.next()));
  turn_end_.unlink();
}

void Executor::go_on(detail::Awaited& awaited) {
  // Looked for in any case: a wake may have been spent on it, and another receiver sleep for that.
  if (awaited.waits_ && !awaited.look()) {
    if (awaited.stopped()) {
      awaited.give_up(Status::kInterrupted);
    } else if (awaited.deadline_.passed()) {
      awaited.give_up(Status::kTimedOut);
    } else {
      return awaited.append_to(waiting_);
    }
  }
  awaited.leave();
  const detail::Frame frame = awaited.frame_;
  frame.resume(frame.address);  // which may be the end of `awaited`
  if (ended_.alone()) return;
  auto& root = static_cast<detail::Root&>(*ended_.next());
  const std::exception_ptr thrown = std::exchange(root.thrown, nullptr);
  destroy(root);
  if (thrown) std::rethrow_exception(thrown);
}

// Those that wait no longer are ready. The deadline of the first of the others.
Deadline Executor::end_late_ones() noexcept {
  Deadline next = Deadline::never();
  detail::Listed* at = waiting_.next();
  while (at != &waiting_) {
    auto& awaited = static_cast<detail::Awaited&>(*at);
    at = at->next();
    if (awaited.stopped() || awaited.deadline_.passed()) {
      awaited.append_to(ready_);
    } else {
      next = earlier(next, awaited.deadline_);
    }
  }
  return next;
}

}  // namespace rondo::inline RONDO_ABI
