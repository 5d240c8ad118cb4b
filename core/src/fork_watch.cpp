#include "rondo/core/fork_watch.hpp"

#include <cstddef>
#include <mutex>
#include <new>

#include "rondo/core/os.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

// All of this is each library copy's own: two plugins may have one each.
// Outlives every object, static ones included, and takes no memory.
std::mutex& fork_mutex() noexcept {
  alignas(std::mutex) static std::byte room[sizeof(std::mutex)];
  static std::mutex& instance = *new (room) std::mutex;
  return instance;
}

constinit ForkWatch* first_watch = nullptr;  // under the mutex

}  // namespace

void ForkWatch::shut_all() noexcept {
  // The list goes: what is on other threads' stacks is not destroyed here, and those stacks are
  // given to new threads.
  while (first_watch != nullptr) {
    ForkWatch& watch = *first_watch;
    first_watch = watch.next_;
    watch.previous_ = watch.next_ = nullptr;
    watch.in_child_(watch);
  }
  fork_mutex().unlock();
}

ForkPause::ForkPause() noexcept {
  [[maybe_unused]] static const int watching =
      at_fork([] { fork_mutex().lock(); }, [] { fork_mutex().unlock(); }, ForkWatch::shut_all);
  fork_mutex().lock();
}
ForkPause::~ForkPause() { fork_mutex().unlock(); }

namespace {
// The first one, but for those of static objects that are made before. A fork() that had begun in
// another thread before it would miss what is made meanwhile.
[[maybe_unused]] const bool paused_since_loaded = (ForkPause(), true);
}  // namespace

ForkWatch::ForkWatch(InChild in_child, const ForkPause& /*pause*/) noexcept
    : in_child_(in_child), next_(first_watch) {
  if (next_ != nullptr) next_->previous_ = this;
  first_watch = this;
}

ForkWatch::~ForkWatch() {
  const ForkPause pause;
  // Nothing of these is so of one that was inherited.
  if (previous_ != nullptr) previous_->next_ = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
  if (first_watch == this) first_watch = next_;
}

}  // namespace rondo::inline RONDO_ABI::detail
