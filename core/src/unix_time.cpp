#include "rondo/core/unix_time.hpp"

#include <chrono>

namespace rondo::inline RONDO_ABI {

std::uint64_t unix_nanoseconds() noexcept {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

}  // namespace rondo::inline RONDO_ABI
