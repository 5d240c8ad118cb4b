// What LocalMemory is made of. One of the files in local_heap/ is built, as RONDO_MIMALLOC says: a
// library replaces no program's allocator, so the standard one is the default.
#pragma once

#include <cstddef>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// A heap of its own for one channel, which allocates on the thread that makes it alone; nullptr
// where the allocator has no such thing.
[[nodiscard]] void* make_local_heap() noexcept;
// With all blocks in it given back.
void end_local_heap(void* heap) noexcept;

// `size_bytes` zeroed bytes, aligned to `alignment`, a power of two; nullptr if there is no memory.
// `heap`: one that this thread has made, or nullptr.
[[nodiscard]] void* take_local_block(void* heap, std::size_t size_bytes,
                                     std::size_t alignment) noexcept;
// On any thread.
void give_back_local_block(void* block) noexcept;

}  // namespace rondo::inline RONDO_ABI::detail
