// atomic_queue, for mpmc_versus.
#pragma once

#include <atomic_queue/atomic_queue.h>

#include <cstddef>
#include <cstdint>

#include "mpmc_rivals.hpp"

namespace rondo::bench {

template <class T>
class AtomicQueue {
 public:
  explicit AtomicQueue(std::size_t slots) : queue_(static_cast<unsigned>(slots)) {}
  NoHandle handle(std::uint32_t) { return {}; }
  bool push(NoHandle&, const T& value) { return queue_.try_push(value); }
  bool pop(NoHandle&, T& value) { return queue_.try_pop(value); }

 private:
  atomic_queue::AtomicQueueB2<T> queue_;
};

}  // namespace rondo::bench
