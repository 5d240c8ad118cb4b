// Bounded queues of many producers and consumers behind one face, for mpmc_versus.cpp: ours, and
// what is written by hand. Those of packages stand in rivals/.
//
//   Queue queue(slots);
//   auto handle = queue.handle(i);      // one per thread, i below kMpmcHandles
//   bool Queue::push(handle, message), bool Queue::pop(handle, message)    // neither waits
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>

#include "rondo/core/mpmc_ring.hpp"

namespace rondo::bench {

inline constexpr std::uint32_t kMpmcHandles = 32;

struct NoHandle {};

// Ours, on the heap.
template <class T, class Policy = MpmcDefaultPolicy>
class RondoMpmc {
 public:
  using Ring = mpmc_ring<T, Policy>;
  struct Handle {
    typename Ring::Producer producer;
    typename Ring::Consumer consumer;
  };

  explicit RondoMpmc(std::size_t slots) {
    const MpmcParams params{.capacity = slots, .participants = kMpmcHandles};
    const std::size_t bytes = Ring::layout_for(params)->total_bytes;
    memory_.reset(static_cast<std::byte*>(std::aligned_alloc(kPartAlignment, bytes)));
    std::memset(memory_.get(), 0, bytes);
    ring_ = std::make_unique<Ring>(Ring::create({memory_.get(), bytes}, params).value());
  }
  Handle handle(std::uint32_t i) {
    return {typename Ring::Producer(*ring_, i), typename Ring::Consumer(*ring_, i)};
  }
  bool push(Handle& handle, const T& value) { return handle.producer.try_push(value); }
  bool pop(Handle& handle, T& value) { return handle.consumer.try_pop(value); }
  std::uint32_t push_many(Handle& handle, std::span<const T> values) {
    return static_cast<std::uint32_t>(handle.producer.try_push_some(values));
  }
  std::uint32_t pop_many(Handle& handle, std::span<T> values) {
    return static_cast<std::uint32_t>(handle.consumer.try_pop_some(values));
  }

 private:
  std::unique_ptr<std::byte, decltype(&std::free)> memory_{nullptr, &std::free};
  std::unique_ptr<Ring> ring_;
};

// What the announcement costs: the same ring without it. It can't be healed.
struct MpmcUnannounced : MpmcDefaultPolicy {
  static constexpr bool kAnnounce = false;
};

// No queue: slots as large as ours that one thread fills and another reads, and nobody looks
// whether there is room. The round trip through two of these is what as many lines take to cross.
template <class T>
class BareSlots {
 public:
  struct Handle {
    std::uint64_t pushed = 0;
    std::uint64_t popped = 0;
  };

  explicit BareSlots(std::size_t slots) : slots_(new Slot[slots]), mask_(slots - 1) {}
  Handle handle(std::uint32_t) { return {}; }

  bool push(Handle& handle, const T& value) {
    Slot& slot = slots_[handle.pushed & mask_];
    slot.value = value;
    slot.count.store(++handle.pushed, std::memory_order_release);
    return true;
  }
  bool pop(Handle& handle, T& value) {
    Slot& slot = slots_[handle.popped & mask_];
    if (slot.count.load(std::memory_order_acquire) != handle.popped + 1) return false;
    value = slot.value;
    ++handle.popped;
    return true;
  }

 private:
  struct Slot {
    std::atomic<std::uint64_t> count{0};
    T value;
  };
  std::unique_ptr<Slot[]> slots_;
  std::uint64_t mask_;
};

// The classical ring: a ticket by compare-and-swap, and a turn counter in a slot on lines of its
// own, as in rigtorp's MPMCQueue.
template <class T>
class TicketRing {
 public:
  explicit TicketRing(std::size_t slots) : slots_(new Slot[slots]), capacity_(slots) {}
  NoHandle handle(std::uint32_t) { return {}; }

  bool push(NoHandle&, const T& value) {
    std::uint64_t head = head_.load(std::memory_order_acquire);
    for (;;) {
      Slot& slot = slots_[head & (capacity_ - 1)];
      if (slot.turn.load(std::memory_order_acquire) == head / capacity_ * 2) {
        if (head_.compare_exchange_strong(head, head + 1)) {
          slot.value = value;
          slot.turn.store(head / capacity_ * 2 + 1, std::memory_order_release);
          return true;
        }
      } else if (const std::uint64_t before = head;
                 (head = head_.load(std::memory_order_acquire)) == before) {
        return false;
      }
    }
  }
  bool pop(NoHandle&, T& value) {
    std::uint64_t tail = tail_.load(std::memory_order_acquire);
    for (;;) {
      Slot& slot = slots_[tail & (capacity_ - 1)];
      if (slot.turn.load(std::memory_order_acquire) == tail / capacity_ * 2 + 1) {
        if (tail_.compare_exchange_strong(tail, tail + 1)) {
          value = slot.value;
          slot.turn.store(tail / capacity_ * 2 + 2, std::memory_order_release);
          return true;
        }
      } else if (const std::uint64_t before = tail;
                 (tail = tail_.load(std::memory_order_acquire)) == before) {
        return false;
      }
    }
  }

 private:
  struct alignas(64) Slot {
    std::atomic<std::uint64_t> turn{0};
    T value;
  };
  std::unique_ptr<Slot[]> slots_;
  std::uint64_t capacity_;
  alignas(kSharingRange) std::atomic<std::uint64_t> head_{0};
  alignas(kSharingRange) std::atomic<std::uint64_t> tail_{0};
};

}  // namespace rondo::bench
