// How a typed handle gets its place at a ring (typed.hpp).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "rondo/core/attachment.hpp"
#include "rondo/core/bell.hpp"
#include "rondo/core/opened.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/spsc_layout.hpp"
#include "rondo/core/spsc_open.hpp"
#include "rondo/core/spsc_ring.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/last_word.hpp"
#include "rondo/transports/typed_end.hpp"
#include "rondo/transports/typed_options.hpp"

namespace rondo::inline RONDO_ABI::detail {

// The parts of a ring without a slot: of a handle that is closed. It is full, and it is empty, so
// that the way of a value needs no look at whether the handle is open.
[[nodiscard]] RONDO_API SpscProducerPart& shut_producer() noexcept;
[[nodiscard]] RONDO_API SpscConsumerPart& shut_consumer() noexcept;
template <class T>
[[nodiscard]] SpscParts<T> shut_ring() noexcept {
  return {&shut_producer(), &shut_consumer(), nullptr, 0};
}

// Where a handle has joined.
template <class T>
struct TypedPlace {
  Attachment<spsc_ring<T>> ring;
  std::uint32_t gone_before;  // owners of the peer's place who had gone when we took ours
};

// Joins the ring at a name, or makes it. Errors: those of spsc_ring<T>::open_producer().
template <class T>
[[nodiscard]] Result<TypedPlace<T>> join_typed(std::string_view text, const TypedOptions& options,
                                               Role role) {
  using Ring = spsc_ring<T>;
  auto name = parse_ring_name(text);
  if (!name) return std::move(name).error();
  const SpscParams wanted{.capacity = options.slots, .type_tag = options.tag};
  const auto params = spsc_params<T>(text, wanted);
  if (!params) return params.error();
  const RingPlace place{std::move(name).value(), options.segment};

  const auto make = [&](MadeRing& ring) -> Result<void> {
    const auto layout = Ring::layout_for(*params);
    if (!layout) return layout.error();
    return ring.make(place, layout->total_bytes, [&](std::span<std::byte> bytes) -> Result<void> {
      return Ring::create(bytes, *params);
    });
  };
  const bool sends = role == Role::kProducer;
  std::optional<TypedPlace<T>> opened;
  bool other_stream = false;
  std::uint32_t gone_before = 0;
  const auto take = [&](RingSegment found) -> Result<void> {
    other_stream = false;
    auto ring = Attachment<Ring>::to(std::move(found), text);
    if (!ring) return std::move(ring).error();
    if (auto fits = check_found(text, wanted, ring->parts()); !fits) return fits;
    if (auto fits = check_tag(ring->geometry(), options.tag, text); !fits) return fits;
    // Under the membership lock, with our slot. Those who have gone before are forgotten, but for a
    // sender of whose there is something to read, or somebody who may not know yet. A dead
    // receiver may not have been told: its successor is.
    const auto begin = [&](std::uint32_t slot) {
      const Participants& all = ring->participants();
      BellWaiter& sender = ring->parts().producer->space_waiter;
      const std::uint32_t peer = sends ? Ring::kConsumerSlot : Ring::kProducerSlot;
      const bool alone = all.presence(peer, 1) == Presence::kAbsent;
      gone_before = all.generation(peer) - (alone ? 0 : 1);
      const bool told = !anything_unread(ring->parts()) && all.says_left(slot);
      other_stream = !alone && says_gone(sender) && (sends || told);
      if (other_stream) return false;
      if (alone || !sends) forget_gone(ring->parts().consumer->message_waiter);
      if (sends || (alone && told)) forget_gone(sender);
      return true;
    };
    const JoinRequest request{.first_slot = sends ? Ring::kProducerSlot : Ring::kConsumerSlot,
                              .role = role,
                              .name = options.participant};
    auto joined = ring->join(request, begin);
    if (other_stream) {
      return Error{ErrorCode::kBusy,
                   std::string(text) +
                       (sends ? " has a receiver that is still at the stream of an "
                                "earlier sender, which has ended"
                              : " has a sender that has ended its stream, which "
                                "was read, and has not left yet") +
                       "; close it, or wait longer"};
    }
    if (!joined) return joined.error();
    opened.emplace(TypedPlace<T>{std::move(ring).value(), gone_before});
    return {};
  };
  auto done = open_again(
      options, [&] { return open_or_create_ring(place, make, take); },
      [&] { return other_stream; });
  if (!done) return std::move(done).error();
  return std::move(*opened);
}

}  // namespace rondo::inline RONDO_ABI::detail
