// Opening an spsc_ring by its name, in one line:
//
//   auto producer = spsc_ring<Trade>::open_producer("shm:trades");  // one process
//   while (!producer->try_push(trade)) {}                           // after a look at `producer`
//
//   auto consumer = spsc_ring<Trade>::open_consumer("shm:trades");  // another one, before or after
#pragma once

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

#include "rondo/core/min_max.hpp"
#include "rondo/core/opened.hpp"
#include "rondo/core/segment_header.hpp"
#include "rondo/core/spsc_layout.hpp"
#include "rondo/core/spsc_ring.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// Whether messages lie there that were not given back. For the last one to leave, under the
// membership lock.
template <class T>
[[nodiscard]] bool anything_unread(const SpscParts<T>& parts) noexcept {
  // relaxed, both: the membership lock orders what others did.
  return parts.producer->tail.load(std::memory_order_relaxed) !=
         parts.consumer->head.load(std::memory_order_relaxed);
}

namespace detail {

// A ring that says nothing else has as many slots as these bytes hold, and two at least.
inline constexpr std::uint64_t kDefaultSpscBytes = std::uint64_t{1} << 20;

// What a ring that is made for `wanted` shall be like. Errors: kInvalidOption.
template <class T>
[[nodiscard]] Result<SpscParams> spsc_params(std::string_view name, const SpscParams& wanted) {
  if (auto own = check_slot_bytes<T>(wanted.slot_bytes); !own) {
    return Error{own.error().code, std::string(name) + ": " + own.error().message};
  }
  SpscParams params = wanted;
  params.participants = max_of<std::uint32_t>(params.participants, 2);
  if (params.capacity == 0) {
    const std::uint64_t slot_bytes = max_of(spsc_slot_bytes<T>(params.slot_bytes), 1u);
    params.capacity = std::bit_floor(max_of<std::uint64_t>(kDefaultSpscBytes / slot_bytes, 2));
  }
  return params;
}

// Whether the ring at the name is as `wanted`. Errors: kGeometryMismatch.
template <class T>
[[nodiscard]] Result<void> check_found(std::string_view name, const SpscParams& wanted,
                                       const SpscParts<T>& found) {
  const auto differs = [&](const char* what, std::uint64_t is, std::uint64_t want) {
    return Error{ErrorCode::kGeometryMismatch,
                 std::string(name) + " exists with " + std::to_string(is) + what + ", not " +
                     std::to_string(want) + "; leave it to the ring, or remove it first (rondo " +
                     "rm " + std::string(name) + ")"};
  };
  if (wanted.capacity != 0 && wanted.capacity != found.capacity) {
    return differs(" slots", found.capacity, wanted.capacity);
  }
  if (wanted.slot_bytes != 0 && wanted.slot_bytes != slot_bytes_of(found)) {
    return differs(" bytes in a slot", slot_bytes_of(found), wanted.slot_bytes);
  }
  return {};
}

template <class T, class Handle>
[[nodiscard]] Result<Opened<spsc_ring<T>, Handle>> open_spsc(std::string_view name,
                                                             const SpscParams& wanted,
                                                             const RingOptions& options,
                                                             const RoleSlots& slots) {
  const auto params = spsc_params<T>(name, wanted);  // whether the ring is made or found
  if (!params) return params.error();
  return open_joined<spsc_ring<T>, Handle>(
      name, *params, options, slots,
      [&](const SpscParts<T>& found) { return check_found(name, wanted, found); });
}

}  // namespace detail

template <class T>
auto spsc_ring<T>::open_producer(std::string_view name, const SpscParams& params,
                                 const RingOptions& options)
    -> Result<Opened<spsc_ring, Producer>> {
  return detail::open_spsc<T, Producer>(
      name, params, options,
      {.role = Role::kProducer, .slot = kProducerSlot, .peer_slot = kConsumerSlot});
}
template <class T>
auto spsc_ring<T>::open_producer(std::string_view name, const SpscParams& params)
    -> Result<Opened<spsc_ring, Producer>> {
  return open_producer(name, params, RingOptions{});
}

template <class T>
auto spsc_ring<T>::open_consumer(std::string_view name, const SpscParams& params,
                                 const RingOptions& options)
    -> Result<Opened<spsc_ring, Consumer>> {
  return detail::open_spsc<T, Consumer>(
      name, params, options,
      {.role = Role::kConsumer, .slot = kConsumerSlot, .peer_slot = kProducerSlot});
}
template <class T>
auto spsc_ring<T>::open_consumer(std::string_view name, const SpscParams& params)
    -> Result<Opened<spsc_ring, Consumer>> {
  return open_consumer(name, params, RingOptions{});
}

}  // namespace rondo::inline RONDO_ABI
