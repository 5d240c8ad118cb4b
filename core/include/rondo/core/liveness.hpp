// Which participants are alive: the kernel's word, never a guess from time.
//
// Participant slot i stands for byte kLockBase + i of the segment's file (far beyond its end), and
// the holder of an exclusive lock on that byte is the slot's live owner. The locks are open file
// description locks (F_OFD_SETLK, fcntl(2)): the kernel arbitrates them, frees them when the last
// descriptor of the description is closed, which the end of the process does in every case, and
// lets any process probe them. A process that is stopped still holds its locks: it is paused, not
// dead.
//
// A process that may read the file but not write it can take shared locks on it. Those prove no
// life, but while they last the kernel grants no exclusive one beside them: such a process can keep
// newcomers out, and put off what is to be recovered of the dead. So let no user read a segment
// that may not write it (mode 0600 or 0660) where that matters; an error says when it happens.
//
// Each LivenessLock opens the file anew, for a description of its own: several handles in one
// process exclude each other like processes do. A forked child inherits descriptors, and would keep
// its parent's locks alive; so every child closes them all before fork() returns (pthread_atfork),
// and a parent unlocks before it closes, as the child may not have come so far. Children made by
// vfork, posix_spawn or a bare clone lose them at exec (O_CLOEXEC). A child never unlocks what was
// its parent's, however it was made.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>

#include "rondo/core/atomic.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

class Segment;

// Byte of participant slot 0, and of the membership lock.
inline constexpr std::uint64_t kLockBase = std::uint64_t{1} << 40;
inline constexpr std::uint64_t kMembershipByte = kLockBase - 1;

// What the kernel says of a slot, or of several. A question that failed is answered neither yes nor
// no: no participant is declared dead by it, and none counts as there.
enum class Presence : std::uint8_t { kAbsent, kPresent, kUnknown };

// Not thread-safe: belongs to one handle.
class RONDO_API LivenessLock {
 public:
  // Errors: kNoDescriptors, kPermission, kUnsupported (no /proc), kSystem.
  static Result<LivenessLock> open(const Segment& segment);
  // Over a description that was handed over, and that is used for locks by no other; takes `fd`
  // over. To hold a slot takes one that is open for writing.
  static LivenessLock adopt(NativeHandle fd);

  LivenessLock(LivenessLock&&) noexcept;
  LivenessLock& operator=(LivenessLock&&) noexcept;
  ~LivenessLock();  // lets go of everything it holds

  // Takes the lock of `slot`; true if this object holds it now. Never blocks.
  [[nodiscard]] bool try_hold(std::uint32_t slot) noexcept;
  // Gives the lock of `slot` back. Nothing happens if it is not held.
  void drop(std::uint32_t slot) noexcept;

  // Whether another LivenessLock, in this process or any other, holds any of the slots from `first`
  // on, exclusively. What this object holds itself does not count. One system call.
  [[nodiscard]] Presence presence(std::uint32_t first, std::uint32_t count = 1) const noexcept;
  // Whether it is so, or the kernel gives no answer: for deciding on a death.
  [[nodiscard]] bool held_by_other(std::uint32_t slot) const noexcept {
    return any_held_by_other(slot, 1);
  }
  [[nodiscard]] bool any_held_by_other(std::uint32_t first, std::uint32_t count) const noexcept {
    return presence(first, count) != Presence::kAbsent;
  }

  // A tenure is a number for one membership, beside its slot's: bytes beyond those of all slots, so
  // that the kernel tells a slot's owner from the one before. Takes the lock of `tenure`, which is
  // at least kFirstTenure; true if this object holds it now. One for each object. Never blocks.
  [[nodiscard]] bool try_hold_tenure(std::uint32_t tenure) noexcept;
  void drop_tenure() noexcept;
  // The number that is held; 0 if none is, and in a forked child. Lives as long as this object,
  // wherever it is moved to.
  [[nodiscard]] const Atomic<std::uint32_t>& tenure() const noexcept;

  // The lock that orders joining, leaving and the removal of the name. Blocking, for `timeout` at
  // most; false when it passed, or in a forked child. A holder that dies frees it; one that is
  // stopped does not.
  [[nodiscard]] bool lock_membership(std::chrono::nanoseconds timeout) noexcept;
  void unlock_membership() noexcept;
  // Whether another one holds it.
  [[nodiscard]] bool membership_held_by_other() const noexcept;

  // The descriptor that it locks with, to look after the file with; not for locks, nor to be
  // closed.
  [[nodiscard]] NativeHandle file() const noexcept;

  // Not one that was moved from.
  explicit operator bool() const noexcept { return state_ != nullptr; }
  // Whether this object was inherited by fork. It holds nothing then, and never will: open another.
  [[nodiscard]] bool forked() const noexcept;

 private:
  struct State;
  explicit LivenessLock(std::unique_ptr<State> state) noexcept;

  std::unique_ptr<State> state_;
};

}  // namespace rondo::inline RONDO_ABI
