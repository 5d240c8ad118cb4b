// Memory from whatever calloc() and free() the program has.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>

#include "../local_heap.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

void* make_local_heap() noexcept { return nullptr; }
void end_local_heap(void*) noexcept {}

// calloc() and not aligned_alloc(): large zeroed blocks are new pages, which need no clearing.
// What it returned stands directly before the block.
void* take_local_block(void*, std::size_t size_bytes, std::size_t alignment) noexcept {
  const std::size_t step = std::max(alignment, alignof(std::max_align_t));
  if (size_bytes > SIZE_MAX - step) return nullptr;
  void* const taken = std::calloc(1, size_bytes + step);
  if (taken == nullptr) return nullptr;
  auto* const end = static_cast<std::byte*>(taken) + step;
  // `taken` is aligned for anything, so there is room for a pointer between the two.
  std::byte* const block = end - std::bit_cast<std::uintptr_t>(end) % step;
  reinterpret_cast<void**>(block)[-1] = taken;
  return block;
}
void give_back_local_block(void* block) noexcept { std::free(static_cast<void**>(block)[-1]); }

}  // namespace rondo::inline RONDO_ABI::detail
