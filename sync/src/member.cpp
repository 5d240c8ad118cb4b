#include "rondo/sync/member.hpp"

#include <thread>
#include <utility>

namespace rondo::inline RONDO_ABI::sync {
namespace {

// All in all 2^8 pauses, some 10 us: about what it takes to fall asleep and be woken.
constexpr std::uint32_t kLooks = 8;

}  // namespace

Result<member> member::of(Participants& participants) {
  const auto tenure = participants.tenure();
  if (!tenure) return tenure.error();
  return member(participants, **tenure);
}

member::member(const Participants& participants, const Atomic<std::uint32_t>& tenure) noexcept
    : participants_(&participants),
      tenure_(&tenure),
      looks_(std::thread::hardware_concurrency() == 1 ? 0 : kLooks) {}

}  // namespace rondo::inline RONDO_ABI::sync
