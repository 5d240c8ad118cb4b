// rondo::Atomic<T> for model builds (RONDO_ATOMIC_HEADER): every access is a scheduling point of
// weak_memory.hpp, and a load may return any value that the C++ memory model lets it return.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>

#include "support/weak_memory.hpp"

namespace rondo {

template <class T>
class Atomic {
 public:
  static_assert(sizeof(T) <= sizeof(std::uint64_t));
  static constexpr bool is_always_lock_free = true;

  Atomic() noexcept : value_{} {}
  Atomic(T value) noexcept : value_(value) {}  // NOLINT: as std::atomic
  Atomic(const Atomic&) = delete;
  Atomic& operator=(const Atomic&) = delete;
  T operator=(T value) noexcept {
    store(value, std::memory_order_seq_cst);
    return value;
  }

  T load(std::memory_order order) const noexcept {
    return unpack(weak::load(&value_, pack(value_), order));
  }
  void store(T value, std::memory_order order) noexcept {
    weak::store(&value_, pack(value_), pack(value), order);
    value_ = value;
  }
  T exchange(T value, std::memory_order order) noexcept {
    return modify(order, [value](T) { return value; });
  }
  T fetch_add(T by, std::memory_order order) noexcept {
    return modify(order, [by](T old) { return static_cast<T>(old + by); });
  }
  T fetch_sub(T by, std::memory_order order) noexcept {
    return modify(order, [by](T old) { return static_cast<T>(old - by); });
  }
  T fetch_or(T bits, std::memory_order order) noexcept {
    return modify(order, [bits](T old) { return static_cast<T>(old | bits); });
  }
  T fetch_and(T bits, std::memory_order order) noexcept {
    return modify(order, [bits](T old) { return static_cast<T>(old & bits); });
  }
  bool compare_exchange_strong(T& expected, T desired, std::memory_order success,
                               std::memory_order failure) noexcept {
    weak::Modification change(&value_, pack(value_));
    const T old = unpack(change.read());
    if (old != expected) {
      change.abandon(failure);
      expected = old;
      return false;
    }
    if (change.finish(pack(desired), success)) value_ = desired;
    return true;
  }
  bool compare_exchange_weak(T& expected, T desired, std::memory_order success,
                             std::memory_order failure) noexcept {
    return compare_exchange_strong(expected, desired, success, failure);
  }

 private:
  template <class Change>
  T modify(std::memory_order order, Change&& how) noexcept {
    weak::Modification change(&value_, pack(value_));
    const T old = unpack(change.read());
    const T desired = how(old);
    if (change.finish(pack(desired), order)) value_ = desired;
    return old;
  }
  static std::uint64_t pack(T value) noexcept {
    std::uint64_t word = 0;
    std::memcpy(&word, &value, sizeof value);
    return word;
  }
  static T unpack(std::uint64_t word) noexcept {
    T value;
    std::memcpy(&value, &word, sizeof value);
    return value;
  }

  T value_;  // the newest value, so that code outside of an execution sees plain memory
};

inline void atomic_fence(std::memory_order order) noexcept { weak::fence(order); }

}  // namespace rondo
