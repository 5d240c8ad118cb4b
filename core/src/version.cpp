#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

Version version() noexcept { return kVersion; }

}  // namespace rondo::inline RONDO_ABI
