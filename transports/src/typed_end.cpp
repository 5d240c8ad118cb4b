#include "rondo/transports/typed_end.hpp"

#include <algorithm>
#include <string>
#include <thread>
#include <utility>

#include "endpoint/absence.hpp"
#include "rondo/transports/typed.hpp"

namespace rondo::inline RONDO_ABI::detail {

SpscProducerPart& shut_producer() noexcept {
  static SpscProducerPart part{};
  return part;
}
SpscConsumerPart& shut_consumer() noexcept {
  static SpscConsumerPart part{};
  return part;
}

Result<void> check_tag(const Geometry& found, std::uint64_t tag, std::string_view name) {
  if (found.type_tag == tag) return {};
  return Error{ErrorCode::kGeometryMismatch,
               std::string(name) + " has values with the tag " + std::to_string(found.type_tag) +
                   ", this program's have " + std::to_string(tag) +
                   "; build both sides with the same type, or remove it first (rondo rm " +
                   std::string(name) + ")"};
}

Result<void> open_again(const TypedOptions& options, const FunctionRef<Result<void>()>& attempt,
                        const FunctionRef<bool()>& may_come) {
  using Clock = Deadline::Clock;
  const auto began = Clock::now();
  for (;;) {
    auto opened = attempt();
    if (opened || !may_come()) return opened;
    const auto waited = Clock::now() - began;
    if (waited >= options.timeout) return opened;
    // relaxed: the flag orders nothing.
    if (options.stop != nullptr && options.stop->load(std::memory_order_relaxed)) {
      return Error{ErrorCode::kTimedOut, "interrupted while it waited: " + opened.error().message};
    }
    constexpr Clock::duration kShortest = std::chrono::microseconds(100);
    constexpr Clock::duration kLongest = std::chrono::milliseconds(20);
    const auto pause = std::clamp<Clock::duration>(waited / 4, kShortest, kLongest);
    std::this_thread::sleep_for(std::min<Clock::duration>(pause, options.timeout - waited));
  }
}

TypedEnd::TypedEnd(AttachmentBase attachment, std::uint32_t peer_slot, std::uint32_t peers,
                   std::uint32_t gone_before, const TypedOptions& options)
    : attachment_(std::move(attachment)),
      peer_slot_(peer_slot),
      peers_(peers),
      gone_before_(gone_before),
      keep_(options.keep),
      strategy_(options.wait, options.stop) {}

Presence TypedEnd::peer() const noexcept {
  return attachment_.participants().presence(peer_slot_, peers_);
}

Presence TypedEnd::peer_at(std::uint32_t index) const noexcept {
  return attachment_.participants().presence(peer_slot_ + index, 1);
}

Status TypedEnd::lost(const PeerLeft& left) noexcept {
  if (damaged()) return Status::kCorrupt;
  const Participants& participants = attachment_.participants();
  // Both words are those that the probe saw, of the one who is absent: by now there may be another.
  // A peer could have scribbled over them, but they only tell one peer from another, where the
  // kernel has said that it is absent.
  std::uint32_t seen = 0;
  bool gave_up = false;
  const auto joins = [&] { return seen = participants.generation(peer_slot_); };
  const auto has_left = [&] {
    gave_up = participants.says_left(peer_slot_);
    return left();
  };
  const Absence absence = probe_absence([this] { return peer(); }, joins, has_left);
  came_ = came_ || seen != gone_before_;
  if (absence != Absence::kDied || !came_) return Status::kOk;
  return gave_up ? Status::kPeerGone : Status::kPeerDied;
}

}  // namespace rondo::inline RONDO_ABI::detail
