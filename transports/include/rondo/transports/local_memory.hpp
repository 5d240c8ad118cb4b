// Memory that only this process uses: the storage of in-process rings, the staging rings of byte
// streams. The one seam to the allocator (mimalloc): a heap per channel, made with it and destroyed
// with it, so that channels share no allocator state and a channel's memory comes back in one go.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace rondo {

// One thread at a time; which one may change.
class LocalMemory {
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

  void* heap_ = nullptr;       // mi_heap_t; belongs to the thread that made it
  std::uint64_t made_by_ = 0;  // that thread
  std::vector<void*> blocks_;
};

}  // namespace rondo
