// Boost.Lockfree's queue, for mpmc_versus.
#pragma once

#include <boost/lockfree/queue.hpp>

#include <cstddef>
#include <cstdint>

#include "mpmc_rivals.hpp"

namespace rondo::bench {

template <class T>
class BoostLockfree {
 public:
  explicit BoostLockfree(std::size_t slots) : queue_(slots) {}
  NoHandle handle(std::uint32_t) { return {}; }
  bool push(NoHandle&, const T& value) { return queue_.bounded_push(value); }
  bool pop(NoHandle&, T& value) { return queue_.pop(value); }

 private:
  boost::lockfree::queue<T> queue_;
};

}  // namespace rondo::bench
