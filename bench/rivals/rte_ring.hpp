// DPDK's rte_ring: messages of any size.
//
// Its calls are inline, so DPDK's headers are all it takes. rte_ring_init() alone would need its
// libraries: what that writes is written here.
#pragma once

#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <rte_ring_peek_zc.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include "rondo/core/platform.hpp"

namespace rondo::bench {

// One slot of a power of two stays empty.
class RteRingMemory {
 public:
  RteRingMemory(std::size_t slots, std::size_t message_bytes, rte_ring_sync_type sync) {
    const std::size_t bytes = (sizeof(rte_ring) + slots * message_bytes + 127) / 128 * 128;
    ring_.reset(static_cast<rte_ring*>(std::aligned_alloc(128, bytes)));
    std::memset(static_cast<void*>(ring_.get()), 0, bytes);
    ring_->size = static_cast<std::uint32_t>(slots);
    ring_->mask = ring_->size - 1;
    ring_->capacity = ring_->mask;
    ring_->prod.sync_type = sync;
    ring_->cons.sync_type = sync;
  }
  [[nodiscard]] rte_ring* get() const { return ring_.get(); }

 private:
  std::unique_ptr<rte_ring, decltype(&std::free)> ring_{nullptr, &std::free};
};

// Of many producers and consumers; copies in and out. For mpmc_rivals.hpp.
template <class T>
class RteRing {
  static_assert(sizeof(T) % 4 == 0);

 public:
  struct Handle {};

  explicit RteRing(std::size_t slots) : ring_(slots, sizeof(T), RTE_RING_SYNC_MT) {}
  Handle handle(std::uint32_t) { return {}; }
  bool push(Handle&, const T& value) {
    return rte_ring_mp_enqueue_bulk_elem(ring_.get(), &value, sizeof(T), 1, nullptr) != 0;
  }
  bool pop(Handle&, T& value) {
    return rte_ring_mc_dequeue_bulk_elem(ring_.get(), &value, sizeof(T), 1, nullptr) != 0;
  }

 private:
  RteRingMemory ring_;
};

// Of one producer and one consumer; messages are written and read in place. As in engines.hpp.
template <std::size_t kMessageBytes>
class RteRingSpsc {
 public:
  static constexpr std::size_t kBytes = kMessageBytes;

  static std::string name() { return "DPDK rte_ring"; }
  explicit RteRingSpsc(std::size_t slots) : ring_(slots, kBytes, RTE_RING_SYNC_ST) {}

  class Sender {
   public:
    explicit Sender(RteRingSpsc& engine) : ring_(engine.ring_.get()) {}
    template <class Write>
    RONDO_ALWAYS_INLINE bool try_send(Write write) {
      rte_ring_zc_data place;
      if (rte_ring_enqueue_zc_bulk_elem_start(ring_, kBytes, 1, &place, nullptr) == 0) {
        return false;
      }
      write(place.ptr1);
      rte_ring_enqueue_zc_finish(ring_, 1);
      return true;
    }

   private:
    rte_ring* ring_;
  };
  class Receiver {
   public:
    explicit Receiver(RteRingSpsc& engine) : ring_(engine.ring_.get()) {}
    template <class Read>
    RONDO_ALWAYS_INLINE bool try_receive(Read read) {
      rte_ring_zc_data place;
      if (rte_ring_dequeue_zc_bulk_elem_start(ring_, kBytes, 1, &place, nullptr) == 0) {
        return false;
      }
      read(place.ptr1);
      rte_ring_dequeue_zc_finish(ring_, 1);
      return true;
    }

   private:
    rte_ring* ring_;
  };

 private:
  RteRingMemory ring_;
};

}  // namespace rondo::bench
