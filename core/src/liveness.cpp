#include "rondo/core/liveness.hpp"

#include <mutex>
#include <utility>

#include "byte_lock.hpp"
#include "rondo/core/os.hpp"
#include "rondo/core/segment.hpp"
#include "segment_file.hpp"

namespace rondo::inline RONDO_ABI {
namespace {

// What each copy of this library in a process has for itself: two plugins may have one each. The
// statics of a member function would be one for all of them, and each copy's handlers would lock
// the one mutex at a fork().
std::mutex& mutex_of_locks() noexcept {
  static std::mutex instance;
  return instance;
}
template <class State>
State*& first_of() noexcept {
  static State* instance = nullptr;
  return instance;
}

}  // namespace

// Reached through a list from the fork handlers.
struct LivenessLock::State {
  detail::UniqueFd fd;
  std::uint32_t owner = detail::process_id();
  State* previous = nullptr;
  State* next = nullptr;
  // Of this process alone. Not in the segment: what stands there, a peer may change.
  Atomic<std::uint32_t> tenure{0};

  State();
  ~State();

  // Called when the library is loaded: a fork() that had begun in another thread before the first
  // object was made would miss it. And by that one, which may be static and made before.
  static void handle_forks() noexcept;
  static const bool handled_since_loaded;

  // Takes the descriptor over, and enters the list. The caller holds the mutex.
  void watch(detail::UniqueFd opened) noexcept {
    fd = std::move(opened);
    fd.remember();
    next = first();
    if (next != nullptr) next->previous = this;
    first() = this;
  }

  // Whether this is the process that opened it. Asked before unlocking: a lock belongs to all who
  // have the description, so a child that unlocked would have its parent declared dead. Also true
  // to a child made by a bare clone, without the fork handlers.
  [[nodiscard]] bool ours() const noexcept { return detail::process_id() == owner; }

  // Also whether the descriptor is still ours: before a lock is set, or missed.
  [[nodiscard]] bool usable() const noexcept { return ours() && fd.intact(); }

  // All locks of this process. Descriptors are opened and closed under the mutex, so that no fork
  // comes in between and lets one escape.
  static std::mutex& mutex() noexcept { return mutex_of_locks(); }
  static State*& first() noexcept { return first_of<State>(); }

  // In the child, before fork() returns: what was inherited would keep the parent's locks alive.
  static void close_all_in_child() noexcept {
    for (State* state = first(); state != nullptr; state = state->next) {
      const detail::UniqueFd closed = std::move(state->fd);
      // relaxed: the child has one thread.
      state->tenure.store(0, std::memory_order_relaxed);
    }
    mutex().unlock();
  }
};

void LivenessLock::State::handle_forks() noexcept {
  [[maybe_unused]] static const int handled = detail::at_fork(
      [] { mutex().lock(); }, [] { mutex().unlock(); }, [] { close_all_in_child(); });
}
const bool LivenessLock::State::handled_since_loaded = (handle_forks(), true);

LivenessLock::State::State() { handle_forks(); }

LivenessLock::State::~State() {
  const std::lock_guard lock(mutex());
  if (previous != nullptr) previous->next = next;
  if (next != nullptr) next->previous = previous;
  if (first() == this) first() = next;
  // Not by closing alone: a child that was just forked may not have closed its copy yet.
  if (usable()) detail::unlock_all(fd.get());
  const detail::UniqueFd closed = std::move(fd);
}

Result<LivenessLock> LivenessLock::open(const Segment& segment) {
  auto state = std::make_unique<State>();
  const std::string what = "the lock file of " + to_string(segment.name());
  const std::lock_guard lock(State::mutex());
  auto fd = detail::reopen(segment.lock_fd(), segment.access(), what);
  if (!fd) return fd.error();
  state->watch(std::move(*fd));
  return LivenessLock(std::move(state));
}

LivenessLock LivenessLock::adopt(NativeHandle fd) {
  detail::UniqueFd own(fd);
  auto state = std::make_unique<State>();
  const std::lock_guard lock(State::mutex());
  state->watch(std::move(own));
  return LivenessLock(std::move(state));
}

LivenessLock::LivenessLock(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
LivenessLock::LivenessLock(LivenessLock&&) noexcept = default;
LivenessLock& LivenessLock::operator=(LivenessLock&&) noexcept = default;
LivenessLock::~LivenessLock() = default;

bool LivenessLock::try_hold(std::uint32_t slot) noexcept {
  return state_->usable() && detail::lock_byte(state_->fd.get(), kLockBase + slot) == 0;
}

void LivenessLock::drop(std::uint32_t slot) noexcept {
  if (state_->usable()) detail::unlock_byte(state_->fd.get(), kLockBase + slot);
}

Presence LivenessLock::presence(std::uint32_t first, std::uint32_t count) const noexcept {
  if (!state_->ours()) return Presence::kUnknown;
  // A range of length 0 would mean: to the end of the file.
  if (count == 0) return Presence::kAbsent;
  const Presence told = detail::bytes_locked_by_other(state_->fd.get(), kLockBase + first, count);
  // Another file has no such locks: that is no proof of a death.
  return told == Presence::kAbsent && !state_->fd.intact() ? Presence::kUnknown : told;
}

bool LivenessLock::try_hold_tenure(std::uint32_t tenure) noexcept {
  if (!try_hold(tenure)) return false;
  // relaxed: who passes this object to other threads orders that.
  state_->tenure.store(tenure, std::memory_order_relaxed);
  return true;
}

void LivenessLock::drop_tenure() noexcept {
  // relaxed: as above.
  const std::uint32_t held = state_->tenure.exchange(0, std::memory_order_relaxed);
  if (held != 0) drop(held);
}

const Atomic<std::uint32_t>& LivenessLock::tenure() const noexcept { return state_->tenure; }

bool LivenessLock::lock_membership(std::chrono::nanoseconds timeout) noexcept {
  return state_->usable() &&
         detail::lock_byte_within(state_->fd.get(), kMembershipByte, timeout) == 0;
}

bool LivenessLock::membership_held_by_other() const noexcept {
  return !state_->ours() ||
         detail::bytes_locked_by_other(state_->fd.get(), kMembershipByte, 1) != Presence::kAbsent;
}

void LivenessLock::unlock_membership() noexcept {
  if (state_->usable()) detail::unlock_byte(state_->fd.get(), kMembershipByte);
}

NativeHandle LivenessLock::file() const noexcept { return state_->fd.get(); }

bool LivenessLock::forked() const noexcept { return !state_->ours(); }

}  // namespace rondo::inline RONDO_ABI
