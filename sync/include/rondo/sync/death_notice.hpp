// Notice of death: a descriptor that becomes readable when a participant of a segment ends.
//
//   auto notice = sync::death_notice::of(book->participants());
//   poll / epoll / io_uring / Asio on notice->fd(), and when it is readable:
//   notice->take([&](const sync::participant_end& end) { clean_up_after(end.slot); });
//
// That somebody has ended is the kernel's word, as everywhere (liveness.hpp): the lock of its slot
// is free. When to ask, the kernel tells too: each participant has the lock's file open for itself,
// and when it ends, by whatever signal, its descriptor is closed, which inotify(7) reports. So one
// descriptor does for all participants, also those in other containers; no thread waits, and while
// nothing happens it looks every 5 s and no more, for what was not reported: a participant that
// left and keeps its descriptor. No process number is needed, so none can be false or another
// one's by now.
//
// The kernel reports the closing just before it frees the lock, so a look that finds nothing is
// repeated after 0.1, 1, 10, 100 and 1000 ms. Somebody who opens and closes the file all the time
// gets no more than some two looks in a millisecond, and no notice is later than a millisecond by
// that. Where inotify can't be had (a user may have 128 of its descriptors, a sandbox may forbid
// it), it asks every 50 ms: see watches().
//
// A peer that scribbles over the table, and takes no locks, can make one that died pass for one
// that left, and the other way round, and tell of one that was never there (`by_table`). It can't
// make kDied or kLeft without `by_table` of one that lives, nor keep the end of one from being told
// that take() had found there twice, a second apart.
//
// A peer that takes locks of its own can do more, as anywhere: who waits (F_OFD_SETLKW) for the
// lock of a slot has it as soon as its owner has ended, and hides that, or has it pass for
// replaced; with a scribbled table, who waits for the lock of a tenure does so, too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "rondo/core/callback.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"

namespace rondo::inline RONDO_ABI::sync {

// That a participant has ended.
struct participant_end {
  enum class How : std::uint8_t {
    kDied,     // it did not leave in order: killed, crashed, or a handle that was dropped
    kLeft,     // it did
    kReplaced  // one or the other, and its slot is another one's already: a successor's, or of one
               // that looks after what it left
  };
  std::uint32_t slot = 0;
  std::uint32_t tenure = 0;  // of a member (member.hpp), if it was seen; else 0
  How how = How::kDied;
  // That it was there is the table's word alone: it had no tenure, and came and went, or was
  // replaced, between two looks, or was there for less than a second.
  bool by_table = false;
};

// Of one process; one thread at a time.
class RONDO_API death_notice {
 public:
  // From now on, of all participants but `participants` itself, which need not have joined,
  // outlives this object, stays where it is, and is left alone meanwhile, but for its const
  // functions. Errors: kForked, kNoDescriptors (it takes three), kUnsupported (no timerfd, no
  // epoll), kNoSpace.
  [[nodiscard]] static Result<death_notice> of(const Participants& participants);

  death_notice(death_notice&&) noexcept;
  death_notice& operator=(death_notice&&) noexcept;
  ~death_notice();  // closes the descriptor; take it out of the loop before

  // Readable when take() is called for; now and then for no reason. The object's own.
  [[nodiscard]] NativeHandle fd() const noexcept;
  // Whether it is told when to look; false: it looks every 50 ms.
  [[nodiscard]] bool watches() const noexcept;

  using Tell = FunctionRef<void(const participant_end&)>;
  // Calls `tell` for each that has ended since the last call, once for each. Returns how many. In a
  // forked child: none. `tell` may do anything but use this object; what it throws goes on to the
  // caller, that one counts as told, and the others are at once to be taken.
  // Progress: never blocks; one to three system calls for each slot, a few more where somebody
  // joins meanwhile.
  std::size_t take(const Tell& tell);
  // Waits until there is one to take, until `deadline` at most, and takes. Returns 0 then, and in a
  // forked child. Progress: blocking.
  std::size_t wait(const Tell& tell, Deadline deadline = Deadline::never());

 private:
  struct State;
  explicit death_notice(std::unique_ptr<State> state) noexcept;

  std::unique_ptr<State> state_;
};

}  // namespace rondo::inline RONDO_ABI::sync
