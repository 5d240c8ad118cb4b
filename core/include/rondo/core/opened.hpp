// Rings opened by a name, in one line: a role of the ring, and the attachment that it stands on.
// What opens them is declared in the rings and defined in spsc_open.hpp and latest_open.hpp.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>

#include "rondo/core/attachment.hpp"
#include "rondo/core/out_of_memory.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// How a ring is opened by its name, whatever the ring.
struct RingOptions {
  // Of a ring that is made here; when attaching, `mode` is what others may be allowed at most.
  SegmentOptions segment = {};
  std::string_view participant = {};  // for people; empty: the program's name
  bool keep = false;  // the name stays when this one leaves, also as the last participant
  // How long an opener that can't make the ring (a reader of a cell) waits for there to be one.
  std::chrono::nanoseconds timeout{0};
};

// "shm:NAME" or "file:PATH", with the names that channels have: of shared memory 1 to 200 letters,
// digits, '.', '_' or '-', not beginning with '.'; a path without '?' and '%', which mean something
// in a URL. Errors: kInvalidUrl, kInvalidName.
[[nodiscard]] RONDO_API Result<SegmentName> parse_ring_name(std::string_view text);

namespace detail {

// Which slots a role has in the participant table, and which the other one.
struct RoleSlots {
  Role role = Role::kNone;
  std::uint32_t slot = 0;
  std::uint32_t peer_slot = 0;
  std::uint32_t peers = 1;
};

}  // namespace detail

namespace detail {

// What lies under the handle, and goes after it: leaving in order.
template <class Ring>
class OpenedBase {
 public:
  OpenedBase(Attachment<Ring> attachment, const RoleSlots& slots, bool keep) noexcept
      : attachment_(std::move(attachment)), slots_(slots), keep_(keep) {}
  OpenedBase(OpenedBase&& other) noexcept
      : attachment_(std::move(other.attachment_)),
        slots_(other.slots_),
        keep_(other.keep_),
        there_(std::exchange(other.there_, false)) {}
  OpenedBase& operator=(OpenedBase&&) = delete;
  ~OpenedBase() { give_up(); }

  bool give_up() noexcept {
    if (!std::exchange(there_, false)) return false;
    return attachment_.leave(
        [&](bool last) { return last && !keep_ && !anything_unread(attachment_.parts()); });
  }

 protected:
  Attachment<Ring> attachment_;
  RoleSlots slots_;
  bool keep_;
  bool there_ = true;
};

}  // namespace detail

// An end of a ring that owns what it stands on. It is the ring's own `Handle` (its Producer,
// Reader, ...), at no cost. Leaves in order when it is destroyed; the last participant takes the
// name away, unless something is left that another one could come for, or RingOptions::keep says
// so.
//
// A forked child has no part in it: there forked() is true, and nothing happens when it is
// destroyed. The handle is not to be used there; open another one.
template <class Ring, class Handle>
class Opened final : private detail::OpenedBase<Ring>, public Handle {
  using Base = detail::OpenedBase<Ring>;

 public:
  Opened(Opened&&) noexcept = default;
  Opened& operator=(Opened&& other) noexcept {
    if (this != &other) {
      std::destroy_at(this);
      std::construct_at(this, std::move(other));
    }
    return *this;
  }
  ~Opened() {
    if constexpr (!std::is_trivially_destructible_v<Handle>) {
      if (!forked()) return;
      // A consumer gives back what it has read, in its parent's name: so it moves to where it
      // is not destroyed.
      alignas(Handle) std::byte leaked[sizeof(Handle)];
      new (leaked) Handle(std::move(static_cast<Handle&>(*this)));
    }
  }

  // The ring's parts, its segment and its participants.
  [[nodiscard]] const Attachment<Ring>& attachment() const noexcept { return Base::attachment_; }
  // Whether this object came here by fork(). Progress: wait-free.
  [[nodiscard]] bool forked() const noexcept { return attachment().forked(); }
  // Whether the other side is there now, any of it: the kernel's word. A reader that holds no slot
  // (of a cell) does not count. A system call.
  [[nodiscard]] Presence peer() const noexcept {
    return attachment().participants().presence(Base::slots_.peer_slot, Base::slots_.peers);
  }

  // Leaves in order, as the destructor does; the handle is not to be used any more. Blocking, for
  // a second at most. True if no other was left. Errors: kForked, in a child: nothing happened.
  Result<bool> leave() {
    if (forked()) {
      return Error{ErrorCode::kForked, "this handle of " +
                                           to_string(attachment().segment().name()) +
                                           " was inherited by fork; open a new one"};
    }
    if constexpr (requires { this->publish(); }) this->publish();
    return Base::give_up();
  }

  // For the openers.
  Opened(Attachment<Ring> attachment, const detail::RoleSlots& slots, bool keep)
      : Base(std::move(attachment), slots, keep), Handle(Base::attachment_.parts()) {}
};

namespace detail {

// Joins the ring at a name, or makes it with `params`.
template <class Ring, class Handle, class Params>
[[nodiscard]] Result<Opened<Ring, Handle>> open_joined(
    std::string_view text, const Params& params, const RingOptions& options, const RoleSlots& slots,
    const typename Attachment<Ring>::Accept& accept = {}) {
  return refuse_without_memory([&]() -> Result<Opened<Ring, Handle>> {
    auto name = parse_ring_name(text);
    if (!name) return std::move(name).error();
    const JoinRequest request{
        .first_slot = slots.slot, .role = slots.role, .name = options.participant};
    auto attachment = Attachment<Ring>::open_or_create({std::move(name).value(), options.segment},
                                                       params, request, accept);
    if (!attachment) return std::move(attachment).error();
    return Opened<Ring, Handle>(std::move(attachment).value(), slots, options.keep);
  });
}

}  // namespace detail
}  // namespace rondo::inline RONDO_ABI
