#include "rondo/core/fork_watch.hpp"

#include <mutex>

#include "rondo/core/os.hpp"

namespace rondo::inline RONDO_ABI::detail {

struct ForkWatch::All {
  // Both outlive every object, static ones included.
  static std::mutex& mutex() noexcept {
    static auto& instance = *new std::mutex;
    return instance;
  }
  static ForkWatch*& first() noexcept {
    static ForkWatch* instance = nullptr;
    return instance;
  }
  static void in_child() noexcept {
    for (ForkWatch* watch = first(); watch != nullptr; watch = watch->next_) {
      watch->in_child_(*watch);
    }
    mutex().unlock();
  }
};

ForkWatch::ForkWatch(InChild in_child) noexcept : in_child_(in_child) {
  [[maybe_unused]] static const int watching =
      at_fork([] { All::mutex().lock(); }, [] { All::mutex().unlock(); }, All::in_child);
  const std::lock_guard lock(All::mutex());
  next_ = All::first();
  if (next_ != nullptr) next_->previous_ = this;
  All::first() = this;
}

ForkWatch::~ForkWatch() {
  const std::lock_guard lock(All::mutex());
  if (previous_ != nullptr) previous_->next_ = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
  if (All::first() == this) All::first() = next_;
}

}  // namespace rondo::inline RONDO_ABI::detail
