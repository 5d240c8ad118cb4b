#include "rondo/transports/local_memory.hpp"

#include <atomic>
#include <new>
#include <utility>

#include "local_heap.hpp"

namespace rondo::inline RONDO_ABI {
namespace {

// A number for each thread that ever asks, never given twice. std::thread::id will not do: the
// system gives an ended thread's id to a new one, and the ended one took its heaps with it.
std::uint64_t this_thread_number() noexcept {
  static std::atomic<std::uint64_t> threads{0};
  // relaxed: the numbers only have to differ.
  thread_local const std::uint64_t number = threads.fetch_add(1, std::memory_order_relaxed) + 1;
  return number;
}

}  // namespace

LocalMemory::LocalMemory() noexcept
    : heap_(detail::make_local_heap()), made_by_(this_thread_number()) {}

LocalMemory::LocalMemory(LocalMemory&& other) noexcept
    : heap_(std::exchange(other.heap_, nullptr)),
      made_by_(other.made_by_),
      blocks_(std::exchange(other.blocks_, {})) {}

LocalMemory& LocalMemory::operator=(LocalMemory&& other) noexcept {
  if (this != &other) {
    release();
    heap_ = std::exchange(other.heap_, nullptr);
    made_by_ = other.made_by_;
    blocks_ = std::exchange(other.blocks_, {});
  }
  return *this;
}

LocalMemory::~LocalMemory() { release(); }

std::span<std::byte> LocalMemory::take_zeroed(std::size_t size_bytes,
                                              std::size_t alignment) noexcept {
  try {
    blocks_.reserve(blocks_.size() + 1);  // so that nothing can fail once the block is ours
  } catch (const std::bad_alloc&) {
    return {};
  }
  // A heap allocates only on the thread that made it; elsewhere the thread's own heap serves.
  const bool at_home = heap_ != nullptr && made_by_ == this_thread_number();
  void* block = detail::take_local_block(at_home ? heap_ : nullptr, size_bytes, alignment);
  if (block == nullptr) return {};
  blocks_.push_back(block);
  return {static_cast<std::byte*>(block), size_bytes};
}

void LocalMemory::release() noexcept {
  // Blocks may be freed by any thread, a heap only by its own. One that stays behind is empty then,
  // and goes when its thread ends.
  for (void* block : blocks_) detail::give_back_local_block(block);
  blocks_.clear();
  if (heap_ != nullptr && made_by_ == this_thread_number()) {
    detail::end_local_heap(heap_);
  }
  heap_ = nullptr;
}

}  // namespace rondo::inline RONDO_ABI
