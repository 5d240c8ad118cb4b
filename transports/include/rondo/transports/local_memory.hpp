// Memory that only this process uses: the storage of in-process rings, the staging rings of byte
// streams. The one seam to the allocator: the program's own calloc() and free(), or, where Rondo
// was configured with RONDO_MIMALLOC, a heap of mimalloc for each channel, made and destroyed with
// it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// One thread at a time; which one may change.
class RONDO_API LocalMemory {
 public:
  LocalMemory() noexcept;
  LocalMemory(LocalMemory&& other) noexcept;
  LocalMemory& operator=(LocalMemory&& other) noexcept;
  // Gives all of it back, also on another thread than the one that took it, or after that one's
  // end.
  ~LocalMemory();

  // `size_bytes` zeroed bytes, aligned to `alignment`, a power of two. They live as long as this
  // object, or one that it was moved to. Empty if there is no memory. Progress: may enter the
  // kernel.
  [[nodiscard]] std::span<std::byte> take_zeroed(std::size_t size_bytes,
                                                 std::size_t alignment) noexcept;

 private:
  void release() noexcept;

  void* heap_ = nullptr;       // belongs to the thread that made it; null: there are none
  std::uint64_t made_by_ = 0;  // that thread
  std::vector<void*> blocks_;
};

}  // namespace rondo::inline RONDO_ABI
