#include "rondo/core/attachment.hpp"

#include <algorithm>
#include <thread>

#include "rondo/core/cancellation_disabled.hpp"

namespace rondo::inline RONDO_ABI {
namespace {

// How often the name may change hands while it is opened, before something is wrong.
constexpr int kTries = 1000;

bool is_passing(ErrorCode code) noexcept {
  return code == ErrorCode::kNotFound || code == ErrorCode::kReplaced;
}

Result<RingSegment> judge(std::shared_ptr<Segment> segment, std::string_view what) {
  const auto geometry = check_header(segment->bytes(), kAnyKind, what);
  if (!geometry) return geometry.error();
  return RingSegment{std::move(segment), *geometry};
}

// Maps the ring at the name, and lets `take` look at it.
Result<void> look(const RingPlace& place, detail::MadeRing& made, const detail::TakeRing& take) {
  std::shared_ptr<Segment> segment = made.if_at_its_name();
  if (!segment) {
    auto attached = Segment::attach(place.name, place.options, place.access);
    if (!attached) return std::move(attached).error();
    segment = std::make_shared<Segment>(std::move(attached).value());
  }
  auto found = judge(std::move(segment), to_string(place.name));
  if (!found) return std::move(found).error();
  return take(std::move(found).value());
}

}  // namespace

Result<RingSegment> RingSegment::of(Segment segment, std::string_view what) {
  return judge(std::make_shared<Segment>(std::move(segment)), what);
}

namespace detail {

Result<void> MadeRing::make(const RingPlace& place, std::size_t size_bytes,
                            const Segment::Fill& fill) {
  take_back();
  auto segment = Segment::create(place.name, size_bytes, place.options, fill);
  if (!segment) return std::move(segment).error();
  try {
    segment_ = std::make_shared<Segment>(std::move(segment).value());
  } catch (const std::bad_alloc&) {  // before it was moved from
    take_back(*segment);
    throw;
  }
  return {};
}

std::shared_ptr<Segment> MadeRing::if_at_its_name() noexcept {
  if (segment_ && !segment_->still_at_its_name()) take_back();
  return segment_;
}

void MadeRing::take_back(const Segment& segment) noexcept {
  if (const auto geometry = check_header(segment.bytes(), kAnyKind, "")) {
    remove_if_never_joined(segment, *geometry);
  }
}

void MadeRing::take_back() noexcept {
  if (!segment_) return;
  take_back(*segment_);
  segment_.reset();
}

Result<void> open_ring(const RingPlace& place, MadeRing& made, const TakeRing& take,
                       const LookAgain& again) {
  const CancellationDisabled here;
  for (;;) {
    auto taken = look(place, made, take);
    if (taken) made.stays();
    if (taken || !is_passing(taken.error().code)) return taken;
    if (auto go_on = again(made, taken.error().code); !go_on) return go_on;
  }
}

Result<void> open_or_create_ring(const RingPlace& place, const MakeRing& make,
                                 const TakeRing& take) {
  MadeRing ring;
  int tries = 0;
  return open_ring(place, ring, take, [&](MadeRing& made, ErrorCode why) -> Result<void> {
    if (++tries > kTries) {
      return Error{
          ErrorCode::kReplaced,
          to_string(place.name) + " was removed and made anew again and again while it was opened"};
    }
    if (why != ErrorCode::kNotFound) return {};
    auto created = make(made);
    if (!created && created.error().code != ErrorCode::kAlreadyExists) return created;
    return {};
  });
}

Result<void> await_ring(const RingPlace& place, std::chrono::nanoseconds timeout,
                        const TakeRing& take) {
  using Clock = std::chrono::steady_clock;
  const auto began = Clock::now();
  MadeRing none;
  return open_ring(place, none, take, [&](MadeRing&, ErrorCode) -> Result<void> {
    const auto waited = Clock::now() - began;
    if (waited >= timeout) {
      return Error{ErrorCode::kNotFound, "there is no " + to_string(place.name) +
                                             "; start the one who makes it, or wait longer"};
    }
    // A quarter of the time so far: what comes soon is found soon, a long wait costs little.
    constexpr Clock::duration kShortest = std::chrono::milliseconds(1);
    constexpr Clock::duration kLongest = std::chrono::milliseconds(50);
    const auto pause = std::clamp<Clock::duration>(waited / 4, kShortest, kLongest);
    std::this_thread::sleep_for(std::min<Clock::duration>(pause, timeout - waited));
    return {};
  });
}

Result<Joined> AttachmentBase::join(const JoinRequest& request,
                                    const Participants::Recover& recover) {
  const CancellationDisabled here;
  return participants_.join(request, recover);
}

bool AttachmentBase::leave(const Participants::NameGoes& name_goes) noexcept {
  const CancellationDisabled here;
  return participants_.leave(name_goes);
}

}  // namespace detail
}  // namespace rondo::inline RONDO_ABI
