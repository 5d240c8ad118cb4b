// Memory from mimalloc: a heap for each channel, so that channels share no allocator state.
#include <mimalloc.h>

#include "../local_heap.hpp"

namespace rondo::inline RONDO_ABI::detail {

void* make_local_heap() noexcept { return mi_heap_new(); }
void end_local_heap(void* heap) noexcept { mi_heap_destroy(static_cast<mi_heap_t*>(heap)); }

void* take_local_block(void* heap, std::size_t size_bytes, std::size_t alignment) noexcept {
  if (heap == nullptr) return mi_zalloc_aligned(size_bytes, alignment);
  return mi_heap_zalloc_aligned(static_cast<mi_heap_t*>(heap), size_bytes, alignment);
}
void give_back_local_block(void* block) noexcept { mi_free(block); }

}  // namespace rondo::inline RONDO_ABI::detail
