// DPDK's rte_ring, as a rival of the MPMC ring: many producers and consumers, values of any size.
//
// Its calls are inline, so DPDK's headers are all it takes. rte_ring_init() alone would need its
// libraries: what that writes is written here.
#pragma once

#include <rte_ring.h>
#include <rte_ring_elem.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "mpmc_rivals.hpp"

namespace rondo::bench {

template <class T>
class RteRing {
  static_assert(sizeof(T) % 4 == 0);

 public:
  // One slot of a power of two stays empty.
  explicit RteRing(std::size_t slots) {
    const std::size_t bytes = round_up(sizeof(rte_ring) + slots * sizeof(T), kPartAlignment);
    ring_.reset(static_cast<rte_ring*>(std::aligned_alloc(kPartAlignment, bytes)));
    std::memset(static_cast<void*>(ring_.get()), 0, bytes);
    ring_->size = static_cast<std::uint32_t>(slots);
    ring_->mask = ring_->size - 1;
    ring_->capacity = ring_->mask;
    ring_->prod.sync_type = RTE_RING_SYNC_MT;
    ring_->cons.sync_type = RTE_RING_SYNC_MT;
  }
  NoHandle handle(std::uint32_t) { return {}; }
  bool push(NoHandle&, const T& value) {
    return rte_ring_mp_enqueue_bulk_elem(ring_.get(), &value, sizeof(T), 1, nullptr) != 0;
  }
  bool pop(NoHandle&, T& value) {
    return rte_ring_mc_dequeue_bulk_elem(ring_.get(), &value, sizeof(T), 1, nullptr) != 0;
  }

 private:
  std::unique_ptr<rte_ring, decltype(&std::free)> ring_{nullptr, &std::free};
};

}  // namespace rondo::bench
