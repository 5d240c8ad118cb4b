// Who a process is in a segment, for the primitives that lie there: what it writes into their words
// to say that it holds them, and how it finds out that another holder is dead.
//
//   auto book = common<Book>::open("shm:book");              // or any segment that was joined
//   auto me = sync::member::of(book->participants());
//   sync::mutex mutex(book->parts().object->mutex, *me);     // as many primitives as there are
//
// What is written is a tenure (Participants::tenure()): a number for one membership alone, so that
// a dead owner is never mistaken for its successor in the same slot. Death is the kernel's word
// (liveness.hpp): a stopped process is alive, and so is one whose threads have all forgotten what
// they hold. A process that leaves the segment in order while it holds something counts as dead.
#pragma once

#include <cstdint>

#include "rondo/core/atomic.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::sync {

// Thread-safe: all threads of a process share one. Copies are the same member.
class RONDO_API member {
 public:
  // `participants` has joined. It outlives this object and all copies, stays where it is, and is
  // left alone meanwhile, but for its const functions.
  // Errors: Participants::tenure()'s.
  [[nodiscard]] static Result<member> of(Participants& participants);

  // The number that stands for this member; 0 after it has left, and in a forked child: there it is
  // nobody, and holds nothing of its parent's. Progress: wait-free.
  [[nodiscard]] std::uint32_t tenure() const noexcept {
    // relaxed: changes only where no other thread uses it.
    return tenure_->load(std::memory_order_relaxed);
  }
  // Whether the member that this number stood for has died or left, and no other can have it. Of a
  // number that is nobody's: true. Of one's own: false. A system call.
  [[nodiscard]] bool ended(std::uint32_t tenure) const noexcept {
    return participants_->tenure_ended(tenure);
  }
  // How often a wait looks before it sleeps: not at all where there is one processor, as whom it
  // waits for can't run then.
  [[nodiscard]] std::uint32_t looks() const noexcept { return looks_; }

 private:
  member(const Participants& participants, const Atomic<std::uint32_t>& tenure) noexcept;

  const Participants* participants_;
  const Atomic<std::uint32_t>* tenure_;
  std::uint32_t looks_;
};

}  // namespace rondo::inline RONDO_ABI::sync
