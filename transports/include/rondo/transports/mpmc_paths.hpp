// The way of a message of kind=mpmc through the handles, inline: the ring's own producer or
// consumer and the bell of the other side. What waits stands behind it (src/endpoint/mpmc.hpp).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "rondo/core/mpmc_ring.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/waiter_set_doorbell.hpp"

namespace rondo::inline RONDO_ABI::detail {

class MpmcSendPath {
 public:
  // `participant`: the slot that the sender holds.
  MpmcSendPath(const mpmc_ring<>& ring, std::uint32_t participant) noexcept
      : producer_(ring, participant), receivers_bell_(ring.sleeping_consumers()) {}

  // Room for one message; nullptr when there is none now, or `size_bytes` is more than a slot has.
  RONDO_ALWAYS_INLINE std::byte* try_reserve(std::size_t size_bytes) noexcept {
    if (size_bytes > producer_.max_message_bytes()) [[unlikely]]
      return nullptr;
    return producer_.try_reserve();
  }
  RONDO_ALWAYS_INLINE void commit(std::size_t size_bytes) noexcept {
    producer_.commit(size_bytes);
    ++sent_;
  }
  // Whether a receiver may be to be woken, behind a commit.
  [[nodiscard]] RONDO_ALWAYS_INLINE bool wanted() const noexcept {
    return receivers_bell_.wanted();
  }
  void discard() noexcept { producer_.discard(); }

  [[nodiscard]] mpmc_ring<>::Producer& producer() noexcept { return producer_; }
  [[nodiscard]] SetNotifier<MpmcWaiterSet>& receivers_bell() noexcept { return receivers_bell_; }
  [[nodiscard]] std::uint64_t sent() const noexcept { return sent_; }
  // A batch of `count` messages has been committed by hand.
  void count_batch(std::uint32_t count) noexcept { sent_ += count; }

 private:
  mpmc_ring<>::Producer producer_;
  SetNotifier<MpmcWaiterSet> receivers_bell_;
  std::uint64_t sent_ = 0;
};

class MpmcReceivePath {
 public:
  MpmcReceivePath(const mpmc_ring<>& ring, std::uint32_t participant) noexcept
      : consumer_(ring, participant), senders_bell_(ring.sleeping_producers()) {}

  // The next message, ours until give_back(); null when there is none now.
  RONDO_ALWAYS_INLINE std::span<const std::byte> try_peek() noexcept {
    const std::span<const std::byte> bytes = consumer_.try_peek();
    if (bytes.data() != nullptr) [[likely]]
      ++received_;
    return bytes;
  }
  RONDO_ALWAYS_INLINE void give_back() noexcept {
    consumer_.give_back();
    senders_bell_.notify();
  }
  [[nodiscard]] bool redelivered() const noexcept { return consumer_.redelivered(); }

  [[nodiscard]] mpmc_ring<>::Consumer& consumer() noexcept { return consumer_; }
  [[nodiscard]] SetNotifier<MpmcWaiterSet>& senders_bell() noexcept { return senders_bell_; }
  [[nodiscard]] std::uint64_t received() const noexcept { return received_; }

 private:
  mpmc_ring<>::Consumer consumer_;
  SetNotifier<MpmcWaiterSet> senders_bell_;
  std::uint64_t received_ = 0;
};

}  // namespace rondo::inline RONDO_ABI::detail
