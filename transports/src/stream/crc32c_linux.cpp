#include <sys/auxv.h>

#include "stream/crc32c.hpp"

namespace rondo::inline RONDO_ABI::detail {

unsigned long processor_features() noexcept { return getauxval(AT_HWCAP); }

}  // namespace rondo::inline RONDO_ABI::detail
