// moodycamel's ConcurrentQueue, for mpmc_versus.
#pragma once

#include <concurrentqueue/concurrentqueue.h>

#include <cstddef>
#include <cstdint>

#include "mpmc_rivals.hpp"

namespace rondo::bench {

// Keeps no order between producers, and grows instead of being full.
template <class T>
class Moodycamel {
 public:
  struct Handle {
    moodycamel::ProducerToken producer;
  };
  explicit Moodycamel(std::size_t slots) : queue_(slots) {}
  Handle handle(std::uint32_t) { return {moodycamel::ProducerToken(queue_)}; }
  bool push(Handle& handle, const T& value) { return queue_.enqueue(handle.producer, value); }
  bool pop(Handle&, T& value) { return queue_.try_dequeue(value); }

 private:
  moodycamel::ConcurrentQueue<T> queue_;
};

}  // namespace rondo::bench
