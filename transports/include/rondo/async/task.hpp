// Task: a coroutine that runs in an Executor, or as a part of one that does.
//
//   rondo::Task<int> sum(rondo::Receiver& numbers);
//   rondo::Task<> print(rondo::Receiver& numbers) { show(co_await sum(numbers)); }
//
// It begins when it is awaited, or spawned. Its frame is the one piece of memory that it takes.
// What it throws comes out of the co_await. One that is awaited belongs to the one that awaits it,
// and is destroyed with that: neither is run on then.
#pragma once

#include <coroutine>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

#include "rondo/async/executor.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

template <class T = void>
class Task;

namespace detail {

[[nodiscard]] inline Frame frame_of(std::coroutine_handle<> coroutine) noexcept {
  return {coroutine.address(),
          [](void* address) { std::coroutine_handle<>::from_address(address).resume(); },
          [](void* address) { std::coroutine_handle<>::from_address(address).destroy(); }};
}

class PromiseBase {
 public:
  // Goes on with who awaits it, if that one sleeps; else that one looks.
  struct Final {
    [[nodiscard]] bool await_ready() const noexcept { return false; }
    template <class Promise>
    [[nodiscard]] std::coroutine_handle<> await_suspend(
        std::coroutine_handle<Promise> ended) const noexcept {
      return ended.promise().after();
    }
    void await_resume() const noexcept {}
  };

  [[nodiscard]] std::suspend_always initial_suspend() const noexcept { return {}; }
  [[nodiscard]] Final final_suspend() const noexcept { return {}; }

  [[nodiscard]] Executor& executor() const noexcept { return *executor_; }
  void run_in(Executor& executor) noexcept { executor_ = &executor; }
  void continue_with(std::coroutine_handle<> awaiting) noexcept { awaiting_ = awaiting; }

 protected:
  [[nodiscard]] std::coroutine_handle<> awaiting() const noexcept { return awaiting_; }

 private:
  Executor* executor_ = nullptr;
  std::coroutine_handle<> awaiting_;
};

template <class T>
class Promise final : public PromiseBase {
 public:
  [[nodiscard]] Task<T> get_return_object() noexcept;
  template <class Value>
  void return_value(Value&& value) {
    value_.emplace(std::forward<Value>(value));
  }
  void unhandled_exception() noexcept { thrown_ = std::current_exception(); }
  [[nodiscard]] std::coroutine_handle<> after() const noexcept {
    return awaiting() ? awaiting() : std::noop_coroutine();
  }
  [[nodiscard]] T result() {
    if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
    return *std::move(value_);
  }

 private:
  std::optional<T> value_;
  std::exception_ptr thrown_;
};

template <>
class Promise<void> final : public PromiseBase {
 public:
  [[nodiscard]] Task<void> get_return_object() noexcept;
  void return_void() const noexcept {}
  void unhandled_exception() noexcept { root_.thrown = std::current_exception(); }
  [[nodiscard]] std::coroutine_handle<> after() noexcept {
    if (awaiting()) return awaiting();
    if (root_.frame.address != nullptr) executor().end(root_);
    return std::noop_coroutine();
  }
  void result() {
    if (root_.thrown) std::rethrow_exception(std::exchange(root_.thrown, nullptr));
  }
  // Belongs to the executor from here on.
  [[nodiscard]] Root& become_root() noexcept {
    root_.frame = frame_of(std::coroutine_handle<Promise>::from_promise(*this));
    return root_;
  }

 private:
  Root root_;
};

}  // namespace detail

template <class T>
class [[nodiscard]] Task {
 public:
  using promise_type = detail::Promise<T>;

  Task(Task&& other) noexcept : coroutine_(std::exchange(other.coroutine_, nullptr)) {}
  Task& operator=(Task&& other) noexcept {
    std::swap(coroutine_, other.coroutine_);
    return *this;
  }
  ~Task() {
    if (coroutine_) coroutine_.destroy();
  }

  // Awaited, once, by another task, whose part it is from then on.
  [[nodiscard]] auto operator co_await() && noexcept {
    return Awaiter(std::exchange(coroutine_, nullptr));
  }

 private:
  friend class Executor;
  friend promise_type;

  using Coroutine = std::coroutine_handle<promise_type>;

  // Lies in the frame of the one that awaits: neither outlives the other.
  class Awaiter {
   public:
    explicit Awaiter(Coroutine coroutine) noexcept : coroutine_(coroutine) {}
    Awaiter(const Awaiter&) = delete;
    Awaiter& operator=(const Awaiter&) = delete;
    ~Awaiter() { coroutine_.destroy(); }

    [[nodiscard]] bool await_ready() const noexcept { return false; }
    // It runs in here as far as it gets without sleeping: one that ends so needs no more stack, the
    // more often it is awaited, than any other function; a transfer would where compilers make no
    // tail call of it.
    template <class Promise>
    [[nodiscard]] bool await_suspend(std::coroutine_handle<Promise> awaiting) {
      coroutine_.promise().run_in(awaiting.promise().executor());
      coroutine_.resume();
      if (coroutine_.done()) return false;
      coroutine_.promise().continue_with(awaiting);
      return true;
    }
    decltype(auto) await_resume() { return coroutine_.promise().result(); }

   private:
    Coroutine coroutine_;
  };

  explicit Task(Coroutine coroutine) noexcept : coroutine_(coroutine) {}

  Coroutine coroutine_;
};

namespace detail {

template <class T>
Task<T> Promise<T>::get_return_object() noexcept {
  return Task<T>(std::coroutine_handle<Promise>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() noexcept {
  return Task<void>(std::coroutine_handle<Promise>::from_promise(*this));
}

}  // namespace detail

inline void Executor::spawn(Task<void> task) noexcept {
  detail::Promise<void>& promise = std::exchange(task.coroutine_, nullptr).promise();
  promise.run_in(*this);
  begin(promise.become_root());
}

}  // namespace rondo::inline RONDO_ABI
