// What is made harmless in a forked child before anything runs there: an object that would act in
// its parent's name, and whose way has no room for a look at whether it was inherited.
#pragma once

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// While there is one, a fork() in another thread waits: for what is opened, to be closed in
// children, and not yet watched. Its thread neither forks, nor watches anything but by it.
class RONDO_API ForkPause {
 public:
  ForkPause() noexcept;
  ForkPause(const ForkPause&) = delete;
  ForkPause& operator=(const ForkPause&) = delete;
  ~ForkPause();
};

// A base, or a member, of such an object. A child by vfork() or a bare clone() is not seen.
class RONDO_API ForkWatch {
 public:
  // Called once in the child, before fork() returns there, from when on the object is not watched
  // any more in that process; also while another thread of the parent was making the object, or
  // moving it. No lock may be taken in it, and nothing allocated.
  using InChild = void (*)(ForkWatch&) noexcept;

  explicit ForkWatch(InChild in_child) noexcept : ForkWatch(in_child, ForkPause()) {}
  ForkWatch(InChild in_child, const ForkPause& pause) noexcept;
  ForkWatch(const ForkWatch& other) noexcept : ForkWatch(other.in_child_) {}
  ForkWatch& operator=(const ForkWatch&) noexcept { return *this; }
  ~ForkWatch();

 private:
  friend class ForkPause;
  static void shut_all() noexcept;

  InChild in_child_;
  ForkWatch* previous_ = nullptr;
  ForkWatch* next_;
};

}  // namespace rondo::inline RONDO_ABI::detail
