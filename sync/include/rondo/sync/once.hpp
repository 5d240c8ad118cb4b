// Something that is done once among processes: the first one who comes does it, the others wait
// until it is done; and if that one dies in the middle, the next one does it.
//
//   auto prepared = sync::named<sync::once>("shm:tables-prepared");
//   prepared->call([](bool again) {            // or [] {}; `again`: one before died or gave up
//     if (again) sweep();
//     prepare();
//   });
//
// The word says how far it is: not begun (0), done (1), or who does it (a tenure, member.hpp) and
// whether others sleep. To begin is a compare-and-swap from 0 to one's own tenure, and to be done
// one from there to 1; in between nothing is locked but this word. Who waits asks the kernel after
// the one who does it at the end of each slice (patience.hpp), and takes its turn when it has died.
//
// Ordering. Each label stands at exactly one operation below; pairs are mutual.
//
//   D1 release word  ->  S1, S2, S3, S4, S5 acquire word   what was done is there, also what one
//                                                          did that gave up
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include "rondo/core/atomic.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/member.hpp"
#include "rondo/sync/patience.hpp"

namespace rondo::inline RONDO_ABI::sync {

// The word in the segment. Zero is not begun.
//
//   offset  size  field  written by  meaning
//        0     4  word   all         bits 0-29 0, kDone, or who does it; 30 one before died or
//                                    gave up; 31 others sleep; the futex word
struct OncePart {
  static constexpr std::uint32_t kCommonTag = 5;
  static constexpr std::uint32_t kDone = 1;  // no tenure is so small
  static constexpr std::uint32_t kOwner = (std::uint32_t{1} << kTenureBits) - 1;
  static constexpr std::uint32_t kAgain = std::uint32_t{1} << kTenureBits;
  static constexpr std::uint32_t kContended = std::uint32_t{1} << (kTenureBits + 1);

  Atomic<std::uint32_t> word;
};
static_assert(offsetof(OncePart, word) == 0);
static_assert(sizeof(OncePart) == 4);
static_assert(std::is_standard_layout_v<OncePart>);
static_assert(std::is_trivially_destructible_v<OncePart>);
static_assert(kFirstTenure > OncePart::kDone);

enum class OnceResult : std::uint8_t {
  kDone,      // by whomever; it is there
  kTimedOut,  // the deadline passed while another one was doing it
  kNoMember   // it is not done, and this process is no member: it has left, or is a forked child
};

// A handle; all threads of a process may share it, and each process has its own.
template <class System = BellSystem, class Member = member>
class basic_once {
 public:
  using Part = OncePart;

  // `part` lies in the segment of which `who` is a member; both outlive this object.
  basic_once(OncePart& part, const Member& who) noexcept : word_(&part.word), who_(&who) {}

  // Calls `act`, unless it was done before; waits while another one does it, until `deadline` at
  // most. If `act` throws, it is not done, the next one does it, and the exception goes on. `act`
  // may use other primitives, but not this one.
  // Progress: wait-free once it is done: one load. Memory ordering: after kDone, what `act` did is
  // visible, whoever called it.
  template <class Act>
  OnceResult call(Act&& act, Deadline deadline = Deadline::never()) {
    // S1 (acquire, pairs with D1): what was done is there.
    if (word_->load(std::memory_order_acquire) == OncePart::kDone) [[likely]]
      return OnceResult::kDone;
    bool again = false;
    switch (begin(deadline, again)) {
      case Turn::kOurs: break;
      case Turn::kDone: return OnceResult::kDone;
      case Turn::kTimedOut: return OnceResult::kTimedOut;
      case Turn::kNoMember: return OnceResult::kNoMember;
    }
    Ending ending{*this};
    if constexpr (std::is_invocable_v<Act&, bool>) {
      act(again);
    } else {
      act();
    }
    ending.left = OncePart::kDone;
    return OnceResult::kDone;
  }

  // Whether it is done. Progress: wait-free. Memory ordering: as call().
  [[nodiscard]] bool done() const noexcept {
    // S2 (acquire, pairs with D1): what was done is there.
    return word_->load(std::memory_order_acquire) == OncePart::kDone;
  }

  // Whether nothing would be lost with the word: nobody has begun. For the last one to leave, under
  // the membership lock: that it was done, those who come later have to know.
  [[nodiscard]] static bool settled(const OncePart& part) noexcept {
    // relaxed: the membership lock orders what others did.
    return part.word.load(std::memory_order_relaxed) == 0;
  }

 private:
  static constexpr std::uint32_t kOwner = OncePart::kOwner;
  static constexpr std::uint32_t kAgain = OncePart::kAgain;
  static constexpr std::uint32_t kContended = OncePart::kContended;
  enum class Turn : std::uint8_t { kOurs, kDone, kTimedOut, kNoMember };

  // Our turn ends with it, by an exception too: then it is the next one's.
  struct Ending {
    basic_once& once;
    std::uint32_t left = kAgain;
    ~Ending() { once.end(left); }
  };

  RONDO_COLD Turn begin(Deadline deadline, bool& again) noexcept;
  // Not of a child that `act` has forked, nor of a word that a peer has made somebody else's.
  void end(std::uint32_t left) noexcept {
    const std::uint32_t mine = who_->tenure();
    // relaxed: our own word; others change nothing in it but `contended`.
    std::uint32_t seen = word_->load(std::memory_order_relaxed);
    while (mine != 0 && (seen & kOwner) == mine) {
      // D1 (release, pairs with S1, S2, S3, S4, S5): what was done is there.
      // relaxed on failure: looked at anew.
      if (word_->compare_exchange_weak(seen, left, std::memory_order_release,
                                       std::memory_order_relaxed)) {
        if ((seen & kContended) != 0) System::wake(*word_, std::numeric_limits<int>::max());
        return;
      }
    }
  }

  Atomic<std::uint32_t>* word_;
  const Member* who_;
};

template <class System, class Member>
auto basic_once<System, Member>::begin(Deadline deadline, bool& again) noexcept -> Turn {
  const std::uint32_t mine = who_->tenure();
  if (mine == 0) return Turn::kNoMember;
  Patience<System> patience(who_->looks(), deadline);
  for (;;) {
    // S3 (acquire, pairs with D1): what was done is there.
    std::uint32_t seen = word_->load(std::memory_order_acquire);
    if (seen == OncePart::kDone) return Turn::kDone;
    if ((seen & kOwner) == 0) {
      // S4 (acquire, pairs with D1): what one did that gave up is there.
      // relaxed on failure: `seen` is what stands there instead.
      if (word_->compare_exchange_strong(seen, mine | (seen & (kAgain | kContended)),
                                         std::memory_order_acquire, std::memory_order_relaxed)) {
        again = (seen & kAgain) != 0;
        return Turn::kOurs;
      }
    }
    const std::uint32_t doer = seen & kOwner;
    switch (patience.next()) {
      case PatienceStep::kLook: break;
      case PatienceStep::kSleep:
        if (doer == 0 || seen == OncePart::kDone) break;
        // relaxed, both: says nothing about what is done.
        if ((seen & kContended) == 0 &&
            !word_->compare_exchange_strong(seen, seen | kContended, std::memory_order_relaxed,
                                            std::memory_order_relaxed)) {
          break;
        }
        patience.sleep(*word_, seen | kContended);
        break;
      case PatienceStep::kAsk:
        // Another thread of ours that does it lives as we do.
        if (doer == 0 || doer == mine || seen == OncePart::kDone || !who_->ended(doer)) break;
        // S5 (acquire, pairs with D1): what one did that gave up before the dead one is there.
        // relaxed on failure: we look again.
        if (word_->compare_exchange_strong(seen, mine | kAgain | (seen & kContended),
                                           std::memory_order_acquire, std::memory_order_relaxed)) {
          again = true;
          return Turn::kOurs;
        }
        break;
      case PatienceStep::kGiveUp: return Turn::kTimedOut;
    }
  }
}

using once = basic_once<>;

}  // namespace rondo::inline RONDO_ABI::sync
