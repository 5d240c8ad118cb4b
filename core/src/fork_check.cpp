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

void watch_for_forks() noexcept {
  [[maybe_unused]] static const int watching = at_fork(nullptr, nullptr, count_fork);
}
// Not at the first call alone: a fork() that had begun in another thread would not be counted.
[[maybe_unused]] const bool watching_since_loaded = (watch_for_forks(), true);

}  // namespace

std::uint32_t fork_count() noexcept {
  watch_for_forks();  // for what is static, and made earlier
  // relaxed: changes only between the threads' lives.
  return forks.load(std::memory_order_relaxed);
}

}  // namespace rondo::inline RONDO_ABI::detail
