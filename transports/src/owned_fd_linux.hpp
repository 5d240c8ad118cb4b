// The descriptors of guarded rings.
#pragma once

#include "rondo/core/descriptor.hpp"

namespace rondo::detail {

using OwnedFd = UniqueFd;

}  // namespace rondo::detail
