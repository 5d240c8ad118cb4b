#include "rondo/core/instance_id.hpp"

#include <exception>
#include <random>

#include "rondo/core/unix_time.hpp"

namespace rondo::inline RONDO_ABI {

std::uint64_t new_instance_id() noexcept {
  std::uint64_t id = 0;
  try {
    std::random_device random;
    while (id == 0) id = std::uint64_t{random()} << 32 | random();
  } catch (const std::exception&) {
    // No source of random numbers here. Two segments of one name are not made in one nanosecond.
    id = unix_nanoseconds() | 1;
  }
  return id;
}

}  // namespace rondo::inline RONDO_ABI
