// What a system call that returns 0 or -1 has come to.
#pragma once

#include <cerrno>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// 0, or errno. To be called with the call as its argument.
inline int error_of(int result) noexcept { return result == 0 ? 0 : errno; }

}  // namespace rondo::inline RONDO_ABI::detail
