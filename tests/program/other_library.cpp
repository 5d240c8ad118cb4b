// What a library answers that was built from later sources; linked before the real one.
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {
Version version() noexcept { return {kVersion.major, kVersion.minor, kVersion.patch + 7}; }
}  // namespace rondo::inline RONDO_ABI
