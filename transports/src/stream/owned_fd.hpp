// The descriptors of guarded rings.
#pragma once

#include "rondo/core/descriptor.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

using OwnedFd = UniqueFd;

}  // namespace rondo::inline RONDO_ABI::detail
