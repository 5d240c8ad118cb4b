// What a call does in the middle of the caller's code, and the caller does not notice. For Rondo's
// own sources.
#pragma once

#include <cerrno>

#include "rondo/core/cancellation_disabled.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// As long as one exists, its thread is not cancelled; and errno is what it was, when it goes.
class Unnoticed {
 public:
  Unnoticed() noexcept = default;
  Unnoticed(const Unnoticed&) = delete;
  Unnoticed& operator=(const Unnoticed&) = delete;
  ~Unnoticed() { errno = saved_; }

 private:
  int saved_ = errno;
  CancellationDisabled here_;
};

}  // namespace rondo::inline RONDO_ABI::detail
