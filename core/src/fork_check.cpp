#include "rondo/core/fork_check.hpp"

#include <atomic>

#include "rondo/core/os.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

std::atomic<std::uint32_t> forks{0};

void count_fork() noexcept {
  // relaxed: the child has one thread.
  forks.fetch_add(1, std::memory_order_relaxed);
}

}  // namespace

std::uint32_t fork_count() noexcept {
  [[maybe_unused]] static const int watching = at_fork(nullptr, nullptr, count_fork);
  // relaxed: changes only between the threads' lives.
  return forks.load(std::memory_order_relaxed);
}

}  // namespace rondo::inline RONDO_ABI::detail
