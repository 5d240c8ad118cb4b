// TBB's concurrent_bounded_queue, for mpmc_versus.
#pragma once

#include <tbb/concurrent_queue.h>

#include <cstddef>
#include <cstdint>

#include "mpmc_rivals.hpp"

namespace rondo::bench {

template <class T>
class TbbBounded {
 public:
  explicit TbbBounded(std::size_t slots) {
    queue_.set_capacity(static_cast<std::ptrdiff_t>(slots));
  }
  NoHandle handle(std::uint32_t) { return {}; }
  bool push(NoHandle&, const T& value) { return queue_.try_push(value); }
  bool pop(NoHandle&, T& value) { return queue_.try_pop(value); }

 private:
  tbb::concurrent_bounded_queue<T> queue_;
};

}  // namespace rondo::bench
