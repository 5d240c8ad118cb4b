// A latch between processes: a count that goes down, and those who wait until it is zero.
//
//   auto started = sync::named<sync::latch>("shm:started",
//                                           {.begin = [](auto& part) { part.begin(3); }});
//   started->count_down();          // each of three, once it is ready
//   started->wait(deadline);        // whoever wants to know that all are
//
// One word: the count, and whether somebody sleeps on it. Counting down is one compare-and-swap,
// after which nothing of the latch is touched but by a wake of its address. A latch does not know
// who is to count it down, so the death of one who has not is not seen here: wait with a deadline,
// or look after those processes in another way.
//
// Ordering. Each label stands at exactly one operation below; pairs are mutual.
//
//   C1 release word  ->  Z1 acquire word   what was done before each counting down is done when the
//                                          latch is seen to be at zero
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "rondo/core/atomic.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/member.hpp"
#include "rondo/sync/patience.hpp"

namespace rondo::inline RONDO_ABI::sync {

// The word in the segment. Zero is one that is open.
//
//   offset  size  field  written by  meaning
//        0     4  word   all         bits 0-30 the count, bit 31 somebody sleeps; the futex word
struct LatchPart {
  static constexpr std::uint32_t kCommonTag = 7;
  static constexpr std::uint32_t kAsleep = std::uint32_t{1} << 31;
  static constexpr std::uint32_t kMost = kAsleep - 1;

  Atomic<std::uint32_t> word;

  // Makes it wait for so many, kMost at most. Caller: the creator, before anybody else sees it.
  void begin(std::uint32_t count) noexcept {
    // relaxed: nobody sees it yet.
    word.store(count < kMost ? count : kMost, std::memory_order_relaxed);
  }
};
static_assert(offsetof(LatchPart, word) == 0);
static_assert(sizeof(LatchPart) == 4);
static_assert(std::is_standard_layout_v<LatchPart>);
static_assert(std::is_trivially_destructible_v<LatchPart>);

// A handle; all threads of a process may share it, and each process has its own.
template <class System = BellSystem, class Member = member>
class basic_latch {
 public:
  using Part = LatchPart;

  // `part` lies in the segment of which `who` is a member; both outlive this object.
  basic_latch(LatchPart& part, const Member& who) noexcept : word_(&part.word), who_(&who) {}

  // Counts down by `n`; at zero it stays. Progress: lock-free; a system call if that opens it and
  // somebody sleeps. Memory ordering: what was done before is visible to who sees it open.
  void count_down(std::uint32_t n = 1) noexcept {
    // relaxed: C1 orders.
    std::uint32_t seen = word_->load(std::memory_order_relaxed);
    for (;;) {
      const std::uint32_t count = seen & LatchPart::kMost;
      if (count == 0) return;
      const std::uint32_t left = count > n ? (count - n) | (seen & LatchPart::kAsleep) : 0;
      // C1 (release, pairs with Z1): what was done before is done.
      // relaxed on failure: looked at anew.
      if (word_->compare_exchange_weak(seen, left, std::memory_order_release,
                                       std::memory_order_relaxed)) {
        if (left == 0 && (seen & LatchPart::kAsleep) != 0) {
          System::wake(*word_, std::numeric_limits<int>::max());
        }
        return;
      }
    }
  }

  // Whether the count is zero. Progress: wait-free. Memory ordering: if so, what was done before
  // each counting down is visible.
  [[nodiscard]] bool try_wait() const noexcept { return (look() & LatchPart::kMost) == 0; }
  // Waits until it is, until `deadline` at most; whether it is. Progress: blocking.
  bool wait(Deadline deadline = Deadline::never()) noexcept {
    return try_wait() || wait_slowly(deadline);
  }
  template <class Rep, class Period>
  bool wait_for(std::chrono::duration<Rep, Period> duration) noexcept {
    return wait(Deadline::after(duration));
  }
  bool arrive_and_wait(std::uint32_t n = 1, Deadline deadline = Deadline::never()) noexcept {
    count_down(n);
    return wait(deadline);
  }

  // Whether nothing would be lost with the word: never, once it was made. Who comes later has to
  // find it open, or as far as it is. (`rondo rm` does away with it.)
  [[nodiscard]] static bool settled(const LatchPart&) noexcept { return false; }

 private:
  [[nodiscard]] std::uint32_t look() const noexcept {
    // Z1 (acquire, pairs with C1): what was done before each counting down is done.
    return word_->load(std::memory_order_acquire);
  }
  RONDO_COLD bool wait_slowly(Deadline deadline) noexcept {
    Patience<System> patience(who_->looks(), deadline);
    for (;;) {
      std::uint32_t seen = look();
      if ((seen & LatchPart::kMost) == 0) return true;
      switch (patience.next()) {
        case PatienceStep::kLook:
        case PatienceStep::kAsk: break;  // nobody is known
        case PatienceStep::kSleep:
          // relaxed, both: says nothing about what was done.
          if ((seen & LatchPart::kAsleep) == 0 &&
              !word_->compare_exchange_strong(seen, seen | LatchPart::kAsleep,
                                              std::memory_order_relaxed,
                                              std::memory_order_relaxed)) {
            break;
          }
          patience.sleep(*word_, seen | LatchPart::kAsleep);
          break;
        case PatienceStep::kGiveUp: return false;
      }
    }
  }

  Atomic<std::uint32_t>* word_;
  const Member* who_;
};

using latch = basic_latch<>;

}  // namespace rondo::inline RONDO_ABI::sync
