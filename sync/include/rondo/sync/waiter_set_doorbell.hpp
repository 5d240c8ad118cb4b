// The doorbell for many publishers and many waiters on one ring. Which waiters sleep is kept by the
// ring, as a list in shared memory that any participant may add to and take from
// (mpmc_ring_waiters.hpp); here is how to sleep and wake with it.
//
//   publisher (SetNotifier)                  waiter `me` (SetWaiter)
//   ------------------------------------     ------------------------------------------
//   publish n messages, in the ring          prepare_wait():  b = bell of me
//   light fence: no instruction                enter the list
//   if (list empty) done  <- the hot path      heavy fence: every publisher passes a fence
//   n times: take one from the list,         if (ready) cancel_wait(): leave the list, look again
//     move its bell, wake its futex          commit_wait(): sleep in the futex while the bell is b
//                                              leave the list, and the caller looks again
//
// No wake is lost, for the reasons given in doorbell.hpp; the order between reading the bell and
// entering the list, and between taking from it and moving the bell, is the list's. As many are
// woken as there is work for: a publisher takes those that it wakes off the list, so the next one
// wakes others, and none is rung for twice. A waiter that was rung for and leaves for another
// reason (its deadline, another bell) looks once more, and is told to take what it finds.
//
// A waiter that was killed asleep stays on the list. It costs one publisher one system call, once:
// when the futex woke none, another one is taken in its place. A process that can't make the
// publishers fence sleeps for a millisecond at a time and looks.
//
// Ordering. The list's own labels are in its file.
//
//   F1 heavy fence, F2 seq_cst fence  forbid that both sides miss each other
#pragma once

#include <concepts>
#include <cstdint>
#include <utility>

#include "rondo/core/atomic.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/asymmetric_fence.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/futex.hpp"

namespace rondo::inline RONDO_ABI {

// A list of waiters in shared memory: a view, cheap to copy. Participants are numbered.
template <class List>
concept WaiterSet = requires(List list, const List& seen, std::uint32_t who) {
  { seen.any() } -> std::same_as<bool>;                // hot: one relaxed load
  { list.take_one() } -> std::same_as<std::uint32_t>;  // off the list; or kNoParticipant
  { List::kNoParticipant } -> std::convertible_to<std::uint32_t>;
  { seen.bell(who) } -> std::convertible_to<const Atomic<std::uint32_t>&>;  // the futex word
  { seen.read_bell(who) } -> std::same_as<std::uint32_t>;                   // comes before enter()
  {list.enter(who)};
  { list.leave(who) } -> std::same_as<bool>;
};

// A publisher's end. Held by value in a handle; one thread at a time, any number of handles.
template <WaiterSet List, class System = BellSystem>
class BasicSetNotifier {
 public:
  // Registers the process for the heavy fence. What `waiters` views outlives this object.
  explicit BasicSetNotifier(const List& waiters) noexcept
      : waiters_(waiters), registered_(System::register_publisher()) {}

  // To be called after each publish, with the number of messages (or places) published.
  // Progress: wait-free; a load and a predictable branch when none sleeps. Memory ordering: the
  // caller's publishing store (at least release) comes first.
  RONDO_ALWAYS_INLINE void notify(std::uint32_t published = 1) noexcept {
    if (wanted()) [[unlikely]]
      ring(published);
  }

  // notify() in two steps: true if ring() is called for. May be true for no reason.
  [[nodiscard]] RONDO_ALWAYS_INLINE bool wanted() const noexcept {
    light_fence();
    return waiters_.any() || !registered_;
  }

  // As BasicNotifier's: who was woken is on the list no more.
  [[nodiscard]] bool would_wake() const noexcept { return waiters_.any(); }

  // Wakes up to `count` waiters not rung for yet; behind each of them, as long as `more` says that
  // there is work for another one: those who are awake may take it meanwhile. Returns how many
  // woke. Progress: lock-free; system calls that never block. (Not to be inlined, which gcc does
  // where it is called once.)
  template <class More>
  RONDO_COLD [[gnu::noinline]] std::uint32_t ring(std::uint32_t count, More&& more) noexcept {
    // F2 (seq_cst, forbids that the publish is missed by a waiter and that waiter by us): for a
    // process that is not registered.
    atomic_fence(std::memory_order_seq_cst);
    std::uint32_t woken = 0;
    // A hostile peer that enters the list again and again can't keep us here.
    for (std::uint32_t turn = 0; woken < count && turn < kMaxRounds; ++turn) {
      if (woken != 0 && !more()) break;
      const std::uint32_t who = waiters_.take_one();
      if (who == List::kNoParticipant) break;
      // One that does not sleep yet finds its bell moved; then we wake one too many.
      if (System::wake(waiters_.bell(who), 1) > 0) ++woken;
    }
    return woken;
  }
  RONDO_COLD std::uint32_t ring(std::uint32_t count) noexcept {
    return ring(count, [] { return true; });
  }

 private:
  static constexpr std::uint32_t kMaxRounds = 1024;

  List waiters_;
  bool registered_;
};

// A waiter's end. Held by value in a handle; one thread at a time.
template <WaiterSet List, class System = BellSystem>
class BasicSetWaiter {
 public:
  // `me` is the participant's number, held by the caller (participants.hpp). Leaves the list on
  // behalf of a predecessor that was killed asleep.
  BasicSetWaiter(const List& waiters, std::uint32_t me) noexcept : waiters_(waiters), me_(me) {
    waiters_.leave(me_);
  }

  // As those of BasicWaiter, but that the caller looks again after cancel_wait(), too, and tries
  // to take what is there: it may be the only one that was woken for it. cancel_wait() says whether
  // it was: true, a wake has been spent on us. Without an announced wait it says false and leaves
  // the list alone, where our number may be a successor's by now.
  [[nodiscard]] PreparedWait prepare_wait(Fence fence = Fence::kOwn) noexcept {
    const std::uint32_t seen = waiters_.read_bell(me_);
    waiters_.enter(me_);
    announced_ = true;
    bool fenced = true;
    // F1 (seq_cst, forbids that the publish is missed by us and our entry by the publisher).
    if (fence == Fence::kOwn) fenced = System::heavy_fence();
    return {&waiters_.bell(me_), seen, fenced ? System::kSlice : System::kUnfencedSlice};
  }
  bool cancel_wait() noexcept { return std::exchange(announced_, false) && waiters_.leave(me_); }
  void commit_wait(const PreparedWait& wait, Deadline deadline) noexcept {
    const FutexResult result = System::wait(*wait.word, wait.value, wait.slice, deadline);
    static_cast<void>(result);  // whatever it was, the caller looks again
    cancel_wait();
  }

  // As BasicWaiter::sleep_once(). When it returns true, the caller has to try to take what is
  // there: it may be the only one that was woken for it.
  template <class Ready>
  [[nodiscard]] bool sleep_once(Ready&& ready, Deadline deadline) noexcept {
    const PreparedWait wait = prepare_wait();
    if (ready()) {
      cancel_wait();
    } else {
      commit_wait(wait, deadline);
    }
    // Whether or not a wake was spent on us: after this look, what is there is the caller's to
    // take.
    return ready();
  }

 private:
  List waiters_;
  std::uint32_t me_;
  bool announced_ = false;  // a wait
};

template <WaiterSet List>
using SetNotifier = BasicSetNotifier<List>;
template <WaiterSet List>
using SetWaiter = BasicSetWaiter<List>;

}  // namespace rondo::inline RONDO_ABI
