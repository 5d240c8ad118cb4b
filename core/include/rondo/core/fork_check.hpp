// Whether an object came to this process by fork(): a handle that did is no participant, whatever
// its bytes say.
#pragma once

#include <cstdint>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// How often fork() has been called on the way from the first process to this one, as far as this
// library has been watching: since it was loaded. A child by a bare clone() does not count.
[[nodiscard]] RONDO_API std::uint32_t fork_count() noexcept;

// A member of what must not be inherited. Asked at every publish to several readers: so not by
// getpid(), which is a system call.
class ForkCheck {
 public:
  [[nodiscard]] bool forked() const noexcept { return fork_count() != forks_; }

 private:
  std::uint32_t forks_ = fork_count();  // when the object was made
};

}  // namespace rondo::inline RONDO_ABI::detail
