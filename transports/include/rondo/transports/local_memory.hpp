// Memory that only this process uses: the storage of in-process rings, the staging rings of byte
// streams. The one seam to the allocator (mimalloc): a heap per channel, made with it and destroyed
// with it, so that channels share no allocator state and a channel's memory comes back in one go.
#pragma once

#include <cstddef>
#include <span>
#include <thread>
#include <vector>

typedef struct mi_heap_s mi_heap_t;  // mimalloc.h stays in the source file

namespace rondo {

// One thread at a time; which one may change.
class LocalMemory {
 public:
  LocalMemory();
  LocalMemory(LocalMemory&& other) noexcept;
  LocalMemory& operator=(LocalMemory&& other) noexcept;
  // Gives all of it back, also on another thread than the one that took it.
  ~LocalMemory();

  // `size_bytes` zeroed bytes, aligned to `alignment`, a power of two; they live as long as this
  // object. Empty if there is no memory. Progress: may enter the kernel.
  [[nodiscard]] std::span<std::byte> take_zeroed(std::size_t size_bytes,
                                                 std::size_t alignment) noexcept;

 private:
  void release() noexcept;

  mi_heap_t* heap_ = nullptr;      // bound to the thread that made it
  std::thread::id made_by_;
  std::vector<void*> blocks_;
};

}  // namespace rondo
