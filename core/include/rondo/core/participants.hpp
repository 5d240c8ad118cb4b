// Participants: the processes attached to a segment, and how one joins and leaves.
//
// The table at kParticipantTable has an entry for each slot, written by the slot's owner:
//
//   offset  size  field             meaning
//        0     4  generation        times this slot was taken
//        4     4  pid               of its owner, as its own namespace has it; 0: left in order
//        8     4  role              Role
//       12     4  reserved          zero
//       16     8  attached_unix_ns  when
//       24    32  name              UTF-8, padded with zeros
//       56    72  (zero)
//
// It is for people alone. Any peer may scribble over it, so nothing is ever decided by it: which
// slots are held, and which owners are dead, the kernel says (liveness.hpp).
//
// Joining and leaving are ordered by the membership lock:
//
//   join                                     leave
//     membership lock, bounded wait            close in order in the table
//     is the name still this file's?           membership lock, bounded wait
//     take the first free slot's lock          any other there? if not, does the name go?
//     recover what its dead owner left         give the slot's lock back
//     write the table entry                    membership unlock
//     membership unlock
//
// So no process joins a segment whose name the last participant has just removed: join() says
// kReplaced, and the caller attaches to what stands at the name now, or creates it. A process
// killed anywhere in this leaves locks that the kernel frees, and at worst a name without
// participants, which the next one may join or remove.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "rondo/core/atomic.hpp"
#include "rondo/core/callback.hpp"
#include "rondo/core/liveness.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/segment_header.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

enum class Role : std::uint32_t { kNone = 0, kProducer = 1, kConsumer = 2, kBoth = 3 };

// "producer", "consumer", ...; "unknown" for what no honest participant writes.
[[nodiscard]] RONDO_API std::string_view to_string(Role role) noexcept;

inline constexpr std::size_t kParticipantNameBytes = 32;

// A tenure: a slot in the low bits, and how often the slot was taken, never 0, in those above.
inline constexpr std::uint32_t kTenureBits = 30;
inline constexpr std::uint32_t kFirstTenure = kMaxParticipants;

struct ParticipantEntry {
  Atomic<std::uint32_t> generation;
  Atomic<std::uint32_t> pid;
  Atomic<std::uint32_t> role;
  Atomic<std::uint32_t> reserved;
  Atomic<std::uint64_t> attached_unix_ns;
  Atomic<std::uint64_t> name[kParticipantNameBytes / 8];
  std::byte zero[72];
};
static_assert(offsetof(ParticipantEntry, pid) == 4);
static_assert(offsetof(ParticipantEntry, role) == 8);
static_assert(offsetof(ParticipantEntry, attached_unix_ns) == 16);
static_assert(offsetof(ParticipantEntry, name) == 24);
static_assert(sizeof(ParticipantEntry) == kParticipantBytes);
static_assert(std::is_standard_layout_v<ParticipantEntry>);
static_assert(std::is_trivially_destructible_v<ParticipantEntry>);

// One slot as `rondo info` shows it. All but `slot` and `alive` is what the table says, true or
// not.
struct ParticipantInfo {
  std::uint32_t slot = 0;
  bool alive = false;  // the kernel's word; if not, its owner died without leaving
  std::uint32_t pid = 0;
  Role role = Role::kNone;
  std::uint32_t generation = 0;
  std::uint64_t attached_unix_ns = 0;
  std::string name;  // printable: control characters and broken UTF-8 are replaced by '?'
};

// What a joining process asks for.
struct JoinRequest {
  std::uint32_t first_slot = 0;  // the slots to choose from
  std::uint32_t slot_count = 1;
  Role role = Role::kNone;
  std::string_view name = {};  // for people; empty: the program's name
  std::chrono::nanoseconds timeout = std::chrono::seconds(5);  // for the membership lock
};

struct Joined {
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;
  bool predecessor_died =
      false;  // the table says that the slot's last owner did not leave in order
};

// One handle's view of the participants, and its own membership. Satisfies MpmcLiveness.
// Not thread-safe. The segment outlives it.
class RONDO_API Participants {
 public:
  // Decides whether a slot whose lock was just obtained can be used: recovers what a dead owner
  // left, if anything. False: not now (the next slot is tried). Called whatever the table says.
  using Recover = FunctionRef<bool(std::uint32_t slot)>;

  // `geometry`: the segment's, as check_header() returned it. A read-only segment can be looked at,
  // not joined. Errors: LivenessLock::open()'s.
  static Result<Participants> open(const Segment& segment, const Geometry& geometry);

  Participants(Participants&&) noexcept;
  Participants& operator=(Participants&&) noexcept;
  ~Participants();  // a participant that did not leave() counts as dead, but in a failed set-up

  // Takes one slot. Blocking, for the request's timeout at most. At most once per object.
  // Errors: kBusy (the one slot asked for is held by a live participant; the message says whom; or
  // a process that may only read the segment has locked it: see liveness.hpp),
  // kNoSlot (all of several are, or can't be recovered yet), kReplaced (the name is gone or leads
  // elsewhere: open it again), kTimedOut (the membership lock is held for too long), kForked,
  // kPermission (a read-only segment).
  Result<Joined> join(const JoinRequest& request, const Recover& recover = {});

  // What a leaving participant does last: bool(bool last). Called once, under the membership lock,
  // so that a peer that acts upon an orderly close said here finds the slot given back when it
  // leaves itself. `last`: no other is attached, none comes meanwhile, and all that those that left
  // in order wrote before is visible; only then, and if it returns true, the name goes. If the lock
  // can't be had in time it is called without, and `last` is false.
  using NameGoes = FunctionRef<bool(bool)>;

  // Gives the slot back. Returns whether no other was left, proved by the kernel; then the name
  // goes if `name_goes` says so. Blocking, for `timeout` at most; when it passes, the slot is
  // given back all the same, and the name stays. Nothing happens if not joined, or in a forked
  // child.
  bool leave(const NameGoes& name_goes,
             std::chrono::nanoseconds timeout = std::chrono::seconds(1)) noexcept;
  bool leave(bool remove_name,
             std::chrono::nanoseconds timeout = std::chrono::seconds(1)) noexcept {
    return leave([remove_name](bool) { return remove_name; }, timeout);
  }

  [[nodiscard]] std::optional<std::uint32_t> slot() const noexcept { return slot_; }
  [[nodiscard]] std::uint32_t count() const noexcept { return count_; }
  // Whether this object was inherited by fork: it is no participant.
  [[nodiscard]] bool forked() const noexcept { return lock_.forked(); }
  // The file with the locks, to look after it with; not for locks, nor to be closed.
  [[nodiscard]] NativeHandle lock_file() const noexcept { return lock_.file(); }

  // Whether `slot` is free; of one's own slot: false. One system call.
  [[nodiscard]] bool is_dead(std::uint32_t slot) const noexcept;
  // Takes the lock of `slot` if it is free: true means that its owner is dead, and that the
  // slot stays empty until unlock(). Of one's own slot: false.
  [[nodiscard]] bool try_lock_dead(std::uint32_t slot) noexcept;
  void unlock(std::uint32_t slot) noexcept;

  // A number for words of the segment that say whose something is: it stands for this membership
  // and no other, also when the slot has a new owner since. At least kFirstTenure, in kTenureBits
  // bits; of one slot, 2^20 - 1 come before the first comes again. It ends when this one leaves or
  // dies, and that is the kernel's word, as of slots. Taken at the first call, which is a system
  // call; before other threads use this object. What is returned lives as long as this object,
  // wherever it is moved to, and is 0 after leave() and in a forked child.
  // Errors: kNoSlot (not joined), kForked, kBusy (others hold the numbers that were to be had).
  [[nodiscard]] Result<const Atomic<std::uint32_t>*> tenure();
  // Whether nobody has this tenure, any more or yet. Of one's own: false. One system call.
  // Thread-safe beside itself.
  [[nodiscard]] bool tenure_ended(std::uint32_t tenure) const noexcept;

  // The tenure of the owner of `slot`, if it is another one, has taken one, and the table tells it
  // right; else 0. One system call. Thread-safe beside itself.
  [[nodiscard]] std::uint32_t tenure_at(std::uint32_t slot) const noexcept;

  // Whether a live participant, other than this one, holds any slot of the range. One system call.
  [[nodiscard]] Presence presence(std::uint32_t first_slot,
                                  std::uint32_t slot_count) const noexcept;

  // What the table says of a slot, true or not: how often it was taken, and whether its last owner
  // left in order or is still there to do so.
  [[nodiscard]] std::uint32_t generation(std::uint32_t slot) const noexcept;
  [[nodiscard]] bool says_left(std::uint32_t slot) const noexcept;

  // All slots that are held, or whose last owner died.
  [[nodiscard]] std::vector<ParticipantInfo> snapshot() const;

 private:
  Participants(LivenessLock lock, ParticipantEntry* table, std::uint32_t count,
               const Segment& segment);
  [[nodiscard]] Result<Joined> take_slot(const JoinRequest& request, const Recover& recover);
  [[nodiscard]] Joined enter(std::uint32_t slot, const JoinRequest& request) noexcept;
  [[nodiscard]] Error inherited() const;
  [[nodiscard]] Error barred() const;
  [[nodiscard]] Error all_taken(const JoinRequest& request, std::uint32_t unrecovered) const;
  [[nodiscard]] ParticipantInfo info(std::uint32_t slot) const;

  LivenessLock lock_;
  ParticipantEntry* table_;  // never written if the access is read-only
  std::uint32_t count_;
  std::string what_;  // the segment, in messages
  SegmentIdentity identity_;
  Access access_;
  std::optional<std::uint32_t> slot_;
};

// Removes the name of a segment that was made but never joined: true if it is gone.
// Waits for the membership lock for a second at most.
RONDO_API bool remove_if_never_joined(const Segment& segment, const Geometry& geometry) noexcept;

}  // namespace rondo::inline RONDO_ABI
