// concurrencykit's ck_ring of many producers and consumers, for mpmc_versus. Its calls for any type
// of message are those that its macro CK_RING_PROTOTYPE wraps, which knows C's structs only.
#pragma once

#include "rivals/ck_ring_header.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>

#include "mpmc_rivals.hpp"

namespace rondo::bench {

// Copies in and out; one slot stays empty.
template <class T>
class CkRing {
 public:
  explicit CkRing(std::size_t slots) : slots_(std::make_unique<T[]>(slots)) {
    ck_ring_init(&ring_, static_cast<unsigned>(slots));
  }
  NoHandle handle(std::uint32_t) { return {}; }
  bool push(NoHandle&, const T& value) {
    return _ck_ring_enqueue_mp(&ring_, slots_.get(), &value, sizeof(T), nullptr);
  }
  bool pop(NoHandle&, T& value) {
    return _ck_ring_dequeue_mc(&ring_, slots_.get(), &value, sizeof(T));
  }

 private:
  ck_ring_t ring_{};
  std::unique_ptr<T[]> slots_;
};

}  // namespace rondo::bench
