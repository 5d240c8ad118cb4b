// An attachment: what a participant holds of a ring in a segment. The segment, the ring's parts in
// it, the membership, and the process that all of it belongs to.
//
//   auto ring = Attachment<frame_pool>::open_or_create(name, params, options, request);
//   frame_pool::Producer producer(ring->parts());
//   ...
//   ring->leave([](bool last) { return last; });
//
// An attachment that goes away without leave() is that of a dead participant. An opening of a ring
// that is made, removed and made anew by others meanwhile begins anew until one holds; a process
// killed at any instruction of it leaves nothing, or a whole ring that the next one takes.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "rondo/core/callback.hpp"
#include "rondo/core/fork_check.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/segment_header.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// A segment that holds a ring, and what its header says: read once, here.
struct RONDO_API RingSegment {
  std::shared_ptr<Segment> segment;
  Geometry geometry;

  // Judges the header. `what` names the segment in messages. Errors: check_header()'s.
  [[nodiscard]] static Result<RingSegment> of(Segment segment, std::string_view what);
};

// A name at which a ring is looked for.
struct RingPlace {
  SegmentName name;
  SegmentOptions options = {};
  Access access = Access::kReadWrite;
};

namespace detail {

// A ring that an opening has made. It goes with this object, unless another process has joined it
// meanwhile, or the opening came to its end.
class RONDO_API MadeRing {
 public:
  MadeRing() = default;
  MadeRing(const MadeRing&) = delete;
  MadeRing& operator=(const MadeRing&) = delete;
  ~MadeRing() { take_back(); }

  // Errors: Segment::create()'s.
  Result<void> make(const RingPlace& place, std::size_t size_bytes, const Segment::Fill& fill);
  // The ring that was made, if its name still leads to it: the mapping that it was made in is as
  // good as one made anew, whose pages would have to be brought in once more. Otherwise takes it
  // back.
  [[nodiscard]] std::shared_ptr<Segment> if_at_its_name() noexcept;
  void stays() noexcept { segment_.reset(); }

 private:
  static void take_back(const Segment& segment) noexcept;
  void take_back() noexcept;

  std::shared_ptr<Segment> segment_;
};

// Attaches to the ring at a name again and again, until `take` keeps it or says for good why not.
// Where there is none (kNotFound), or it went while `take` looked at it (kReplaced), `again` makes
// one or waits, and the next look follows; or it says why there is none. Errors: `again`'s;
// `take`'s, Segment::attach()'s and check_header()'s but these two.
using TakeRing = FunctionRef<Result<void>(RingSegment)>;
using LookAgain = FunctionRef<Result<void>(MadeRing&, ErrorCode why)>;
RONDO_API Result<void> open_ring(const RingPlace& place, MadeRing& made, const TakeRing& take,
                                 const LookAgain& again);
// As above, and makes one where there is none; that one has come to be meanwhile (kAlreadyExists)
// is as good. Errors: also `make`'s; kReplaced when it was taken away each time.
using MakeRing = FunctionRef<Result<void>(MadeRing&)>;
RONDO_API Result<void> open_or_create_ring(const RingPlace& place, const MakeRing& make,
                                           const TakeRing& take);
// As above, but waits for one, for `timeout` at most. Errors: also kNotFound.
RONDO_API Result<void> await_ring(const RingPlace& place, std::chrono::nanoseconds timeout,
                                  const TakeRing& take);

// What there is to an attachment whatever the ring.
class RONDO_API AttachmentBase {
 public:
  [[nodiscard]] const Segment& segment() const noexcept { return *ring_.segment; }
  [[nodiscard]] const Geometry& geometry() const noexcept { return ring_.geometry; }
  [[nodiscard]] Participants& participants() noexcept { return participants_; }
  [[nodiscard]] const Participants& participants() const noexcept { return participants_; }

  // Becomes a participant: Participants::join(). At most once.
  Result<Joined> join(const JoinRequest& request, const Participants::Recover& recover = {});
  // Gives the slot back: Participants::leave(). Nothing happens in a forked child.
  bool leave(const Participants::NameGoes& name_goes) noexcept;
  // The slot that is held; 0 before join().
  [[nodiscard]] std::uint32_t slot() const noexcept { return participants_.slot().value_or(0); }

  // Whether this object came here by fork(): it is no participant. Progress: wait-free.
  [[nodiscard]] bool forked() const noexcept { return fork_check_.forked(); }
  // Whether memory has been taken away from under the ring. Progress: wait-free.
  [[nodiscard]] bool damaged() const noexcept { return ring_.segment->truncated(); }
  // Whether the name still leads to this ring. A system call.
  [[nodiscard]] bool at_its_name() const noexcept { return ring_.segment->still_at_its_name(); }

 protected:
  AttachmentBase(RingSegment ring, Participants participants) noexcept
      : ring_(std::move(ring)), participants_(std::move(participants)) {}

 private:
  RingSegment ring_;
  Participants participants_;  // looks into the segment
  ForkCheck fork_check_;
};

}  // namespace detail

// `Ring` has `Parts`, and the life-cycle verbs. Not thread-safe.
template <class Ring>
class Attachment : public detail::AttachmentBase {
 public:
  using Parts = typename Ring::Parts;

  // To a ring that was found; not a participant yet. Errors: Ring::attach()'s,
  // Participants::open()'s.
  [[nodiscard]] static Result<Attachment> to(RingSegment ring, std::string_view what) {
    auto parts = Ring::attach(ring.segment->bytes(), ring.geometry, what);
    if (!parts) return std::move(parts).error();
    auto participants = Participants::open(*ring.segment, ring.geometry);
    if (!participants) return std::move(participants).error();
    return Attachment(std::move(ring), std::move(participants).value(), std::move(parts).value());
  }

  // Joins the ring at a name; where there is none it makes one with `params`. Blocking, for the
  // request's timeout at most. `accept` looks at the parts before the ring is joined.
  // Errors: Ring::layout_for()'s, Segment::create()'s and attach()'s, to()'s,
  // Participants::join()'s and those of `accept`.
  using Accept = FunctionRef<Result<void>(const Parts&)>;
  template <class Params>
  [[nodiscard]] static Result<Attachment> open_or_create(const RingPlace& place,
                                                         const Params& params,
                                                         const JoinRequest& request,
                                                         const Accept& accept = {}) {
    const auto fill = [&](std::span<std::byte> bytes) -> Result<void> {
      return Ring::create(bytes, params);
    };
    const auto make = [&](detail::MadeRing& ring) -> Result<void> {
      const auto layout = Ring::layout_for(params);
      if (!layout) return layout.error();
      return ring.make(place, layout->total_bytes, fill);
    };
    std::optional<Attachment> opened;
    const auto take = [&](RingSegment found) -> Result<void> {
      auto attached = to(std::move(found), to_string(place.name));
      if (!attached) return std::move(attached).error();
      if (accept) {
        if (auto fits = accept(attached->parts()); !fits) return fits;
      }
      if (auto joined = attached->join(request); !joined) return std::move(joined).error();
      opened.emplace(std::move(attached).value());
      return {};
    };
    auto done = detail::open_or_create_ring(place, make, take);
    if (!done) return std::move(done).error();
    return std::move(*opened);
  }

  // Looks at the ring at a name without joining it, when there is one: waits for it for `timeout`
  // at most. Errors: kNotFound, Segment::attach()'s, to()'s.
  [[nodiscard]] static Result<Attachment> await(const RingPlace& place,
                                                std::chrono::nanoseconds timeout) {
    std::optional<Attachment> opened;
    const auto take = [&](RingSegment found) -> Result<void> {
      auto attached = to(std::move(found), to_string(place.name));
      if (!attached) return std::move(attached).error();
      opened.emplace(std::move(attached).value());
      return {};
    };
    if (auto done = detail::await_ring(place, timeout, take); !done) {
      return std::move(done).error();
    }
    return std::move(*opened);
  }

  [[nodiscard]] const Parts& parts() const noexcept { return parts_; }

 private:
  Attachment(RingSegment ring, Participants participants, Parts parts) noexcept
      : AttachmentBase(std::move(ring), std::move(participants)), parts_(std::move(parts)) {}

  Parts parts_;
};

}  // namespace rondo::inline RONDO_ABI
