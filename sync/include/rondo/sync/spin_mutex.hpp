// A mutex whose waiters look at it all the time before they fall asleep: for sections of some
// hundred nanoseconds at most, between processes that have a processor each. In all else it is
// sync::mutex, word and all (mutex.hpp): what a dead owner leaves is told, and handles of both
// kinds may use one MutexPart.
//
// How long it looks is what it has learnt: twice as long as was worth it lately, and then it
// sleeps. Where the one who owns it takes longer than looking pays, it comes to hardly look at all;
// it goes on trying a little, so that it learns when that changes. So no figure of one machine
// decides. On one processor it does not look.
#pragma once

#include <cstdint>

#include "rondo/core/min_max.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/guess.hpp"
#include "rondo/sync/member.hpp"
#include "rondo/sync/mutex.hpp"

namespace rondo::inline RONDO_ABI::sync {

namespace detail {

// Of one handle, and all its threads.
class LookAllTheTime {
 public:
  static constexpr bool kSpins = true;
  static constexpr std::uint32_t kLeast = 128;  // looks, when none was worth it: about a sleep
  static constexpr std::uint32_t kMost = 1024;  // some 40 us where a pause takes long

  // How often it would look now.
  [[nodiscard]] std::uint32_t limit() const noexcept {
    return min_of(2 * (learnt_.get() / kShare) + kLeast, kMost);
  }

  // Looks, with a pause before each, until `look` returns true, `deadline` has passed, or it is no
  // longer worth it. Whether it did.
  template <class Look>
  [[nodiscard]] bool spin(Look&& look, Deadline deadline) noexcept {
    if (deadline == Deadline::now()) return false;
    const std::uint32_t most = limit();
    const std::uint32_t learnt = min_of(learnt_.get(), kShare * kMost);
    for (std::uint32_t looks = 1; looks <= most; ++looks) {
      cpu_relax();
      if (look()) {
        learnt_.set(learnt - learnt / kShare + looks);
        return true;
      }
      if (looks % 32 == 0 && deadline.passed()) return false;
    }
    learnt_.set(learnt - learnt / kShare);
    return false;
  }

 private:
  static constexpr std::uint32_t kShare = 8;  // of what is new in what is learnt

  Guess learnt_{0};  // kShare times how many looks it took lately
};

}  // namespace detail

template <class System = BellSystem, class Member = member>
using basic_spin_mutex = basic_mutex<System, Member, detail::LookAllTheTime>;
using spin_mutex = basic_spin_mutex<>;

}  // namespace rondo::inline RONDO_ABI::sync
