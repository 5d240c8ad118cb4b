// What can be called, without <functional>: which costs every program that includes it ten thousand
// lines, and a caller an allocation where a reference would do.
#pragma once

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

template <class Signature>
class FunctionRef;

// Refers to a function, or to an object that can be called and outlives it: for an argument that is
// called until the call returns. Empty by default.
template <class R, class... Args>
class FunctionRef<R(Args...)> {
 public:
  FunctionRef() noexcept = default;
  template <class F>
  requires(!std::same_as<std::remove_cvref_t<F>, FunctionRef> &&
           std::is_invocable_r_v<R, F&, Args...>) FunctionRef(F&& callable)
  noexcept {  // NOLINT: as a reference is made
    using Callable = std::remove_reference_t<F>;
    if constexpr (std::is_function_v<Callable>) {
      target_.function = reinterpret_cast<void (*)()>(&callable);
      call_ = [](Target target, Args... args) -> R {
        return reinterpret_cast<Callable*>(target.function)(std::forward<Args>(args)...);
      };
    } else {
      target_.object = std::addressof(callable);
      call_ = [](Target target, Args... args) -> R {
        auto* object = static_cast<Callable*>(const_cast<void*>(target.object));
        return (*object)(std::forward<Args>(args)...);
      };
    }
  }

  [[nodiscard]] explicit operator bool() const noexcept { return call_ != nullptr; }
  R operator()(Args... args) const { return call_(target_, std::forward<Args>(args)...); }

 private:
  union Target {
    const void* object;
    void (*function)();
  };

  Target target_{nullptr};
  R (*call_)(Target, Args...) = nullptr;
};

template <class Signature>
class Callback;

// Owns a callable; copies share it. Empty by default. Making one allocates.
template <class R, class... Args>
class Callback<R(Args...)> {
 public:
  Callback() noexcept = default;
  template <class F>
  requires(!std::same_as<std::remove_cvref_t<F>, Callback> &&
           std::is_invocable_r_v<R, std::decay_t<F>&, Args...>)
      Callback(F&& callable)  // NOLINT: as std::function is made
      : callable_(std::make_shared<std::decay_t<F>>(std::forward<F>(callable))),
        call_([](void* what, Args... args) -> R {
          return (*static_cast<std::decay_t<F>*>(what))(std::forward<Args>(args)...);
        }) {}

  [[nodiscard]] explicit operator bool() const noexcept { return call_ != nullptr; }
  R operator()(Args... args) const { return call_(callable_.get(), std::forward<Args>(args)...); }

 private:
  std::shared_ptr<void> callable_;
  R (*call_)(void*, Args...) = nullptr;
};

}  // namespace rondo::inline RONDO_ABI
