// xenium's vyukov_bounded_queue, for mpmc_versus.
#pragma once

#include <xenium/vyukov_bounded_queue.hpp>

#include <cstddef>
#include <cstdint>

#include "mpmc_rivals.hpp"

namespace rondo::bench {

template <class T>
class XeniumVyukov {
 public:
  explicit XeniumVyukov(std::size_t slots) : queue_(slots) {}
  NoHandle handle(std::uint32_t) { return {}; }
  bool push(NoHandle&, const T& value) { return queue_.try_push_weak(value); }
  bool pop(NoHandle&, T& value) { return queue_.try_pop_weak(value); }

 private:
  xenium::vyukov_bounded_queue<T> queue_;
};

}  // namespace rondo::bench
