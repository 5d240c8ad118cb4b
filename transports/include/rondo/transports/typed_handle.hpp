// What the two handles of a ring have in common (typed.hpp): the place, the wait, and that a handle
// which is closed, moved from or inherited by fork moves nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "rondo/core/acknowledge.hpp"
#include "rondo/core/bell.hpp"
#include "rondo/core/fork_watch.hpp"
#include "rondo/core/liveness.hpp"
#include "rondo/core/out_of_memory.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/spsc_layout.hpp"
#include "rondo/core/spsc_ring.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/transports/last_word.hpp"
#include "rondo/transports/status.hpp"
#include "rondo/transports/typed_end.hpp"
#include "rondo/transports/typed_join.hpp"
#include "rondo/transports/typed_options.hpp"

namespace rondo::inline RONDO_ABI::detail {

// `Side`: the ring's Producer or Consumer. Not thread-safe.
template <class T, class Side>
class TypedHandle : private ForkWatch {
  static_assert(!std::is_same_v<T, raw_slots>,
                "bytes of a size known at run time: Sender, Receiver");
  static_assert(alignof(T) <= kPartAlignment, "no mapping is aligned to more than a page");
  using Ring = spsc_ring<T>;

 public:
  TypedHandle& operator=(const TypedHandle&) = delete;

 protected:
  static constexpr bool kSends = std::is_same_v<Side, typename Ring::Producer>;

  template <class Handle>
  [[nodiscard]] static Result<Handle> open_as(std::string_view name, const TypedOptions& options) {
    return refuse_without_memory([&]() -> Result<Handle> {
      auto place = join_typed<T>(name, options, kSends ? Role::kProducer : Role::kConsumer);
      if (!place) return std::move(place).error();
      return Handle(std::move(place).value(), options);
    });
  }
  TypedHandle(TypedPlace<T> place, const TypedOptions& options)
      : ForkWatch(shut_in_child),
        side_(make_side(place.ring.parts(), options)),
        parts_(place.ring.parts()),
        notifier_(peer_waiter(),
                  kSends ? parts_.producer->message_notifier : parts_.consumer->space_notifier),
        end_(std::in_place, std::move(place.ring),
             kSends ? Ring::kConsumerSlot : Ring::kProducerSlot, 1u, place.gone_before, options),
        waiter_(std::in_place, our_waiter(),
                kSends ? parts_.consumer->space_notifier : parts_.producer->message_notifier) {}
  TypedHandle(TypedHandle&& other) noexcept
      : ForkWatch(other),
        side_(std::move(other.side_)),
        parts_(other.parts_),
        notifier_(other.notifier_),
        end_(std::exchange(other.end_, std::nullopt)),
        waiter_(other.waiter_),
        status_(std::exchange(other.status_, Status::kClosed)) {
    other.shut();
  }
  ~TypedHandle() = default;

  // A system call.
  [[nodiscard]] bool peer_attached() const noexcept {
    return end_ && end_->peer() == Presence::kPresent;
  }
  // Whether it has said so; peer_broke_off(): what it left was not all.
  [[nodiscard]] bool peer_left() const noexcept { return says_gone(peer_waiter()); }
  [[nodiscard]] bool peer_broke_off() const noexcept { return says_broken_off(peer_waiter()); }
  [[nodiscard]] BellWaiter& our_waiter() const noexcept {
    return kSends ? parts_.producer->space_waiter : parts_.consumer->message_waiter;
  }

  // Waits until `ready`, or for what ends the wait, or the handle.
  template <class Ready>
  [[nodiscard]] Status wait(Deadline deadline, Ready&& ready) noexcept {
    if (status_ != Status::kOk) return status_;
    using Outcome = decltype(side_.outcome());
    const auto corrupt = [this] { return side_.outcome() == Outcome::kCorrupt; };
    const auto left = [this] { return peer_left(); };
    const auto gone = [this] {
      return kSends || peer_broke_off() ? Status::kPeerGone : Status::kEnded;
    };
    const Status status = end_->wait(*waiter_, deadline, ready, corrupt, left, gone);
    return is_last(status) ? fail(status) : status;
  }
  Status fail(Status status) noexcept {
    shut();
    return status_ = status;
  }
  // Moves nothing any more. What a consumer has read is given back.
  void shut() noexcept {
    std::destroy_at(&side_);
    std::construct_at(&side_, shut_ring<T>());
  }

  Side side_;
  SpscParts<T> parts_;
  Notifier notifier_;
  std::optional<TypedEnd> end_;  // none: closed
  std::optional<Waiter> waiter_;
  Status status_ = Status::kOk;

 private:
  [[nodiscard]] static Side make_side(const SpscParts<T>& parts, const TypedOptions& options) {
    if constexpr (kSends) {
      return Side(parts);
    } else {
      return Side(parts, options.acknowledge_each ? Acknowledge::kEagerly : Acknowledge::kLazily);
    }
  }
  [[nodiscard]] const BellWaiter& peer_waiter() const noexcept {
    return kSends ? parts_.consumer->message_waiter : parts_.producer->space_waiter;
  }
  // Not destroyed: what was read is not given back in the parent's name.
  static void shut_in_child(ForkWatch& watch) noexcept {
    auto& handle = static_cast<TypedHandle&>(watch);
    std::construct_at(&handle.side_, shut_ring<T>());
    if (handle.status_ == Status::kOk) handle.status_ = Status::kForked;
  }
};

}  // namespace rondo::inline RONDO_ABI::detail
