// When a publisher wakes those that sleep, where it need not be for each message: a wake costs both
// sides some microseconds, and one covers all that was published before it.
//
//   HeldBack held(Watermark{.messages = 32, .after = 100us});  // whichever comes first
//
//   publish, count                                        (`published` grows)
//   if (!notifier.wanted()) done                          nobody sleeps: nothing is held back
//   held.begin(what had been published before)            this one, unless others are already
//   if (!held.due(published) && notifier.would_wake()) done
//   notifier.ring(); held.end()
//
// Nothing else happens by itself: no thread looks at the clock in between, so a time that has come
// is found at the next publish. Who holds something back rings before it waits for anything, ends,
// or has nothing more to say. What is never rung for, as its publisher was killed, the waiter finds
// at the end of its slice (doorbell.hpp).
#pragma once

#include <chrono>
#include <cstdint>

#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"

namespace rondo::inline RONDO_ABI {

// Whichever comes first. As it is made: each publish.
struct Watermark {
  static constexpr std::uint64_t kUnlimited = ~std::uint64_t{0};

  std::uint64_t messages = 1;
  std::uint64_t bytes = kUnlimited;
  std::chrono::nanoseconds after = std::chrono::nanoseconds::max();  // since the first of them

  [[nodiscard]] constexpr bool each() const noexcept { return messages <= 1; }
  [[nodiscard]] constexpr bool timed() const noexcept { return after != after.max(); }
};

// By a publisher so far. Both may wrap.
struct Published {
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0;

  friend constexpr Published operator-(const Published& a, const Published& b) noexcept {
    return {a.messages - b.messages, a.bytes - b.bytes};
  }
};

// What has been published and not been rung for. The publisher's own, one thread at a time; no
// system call but, with `after`, for the time. `Clock` is swapped by tests.
template <class Clock = Deadline::Clock>
class BasicHeldBack {
 public:
  explicit BasicHeldBack(const Watermark& watermark = {}) noexcept : watermark_(watermark) {}

  [[nodiscard]] bool any() const noexcept { return any_; }
  // What had been published before the first of it.
  [[nodiscard]] const Published& before() const noexcept { return before_; }

  // Behind `before`, unless something is held back already.
  void begin(const Published& before) noexcept {
    if (any_) return;
    any_ = true;
    before_ = before;
    if (watermark_.timed()) since_ = Clock::now();
  }
  // Whether it is enough now.
  [[nodiscard]] bool due(const Published& published) const noexcept {
    if (watermark_.each()) return true;
    const Published held = published - before_;
    if (held.messages >= watermark_.messages || held.bytes >= watermark_.bytes) return true;
    return watermark_.timed() && Clock::now() - since_ >= watermark_.after;
  }
  // It has been rung for.
  void end() noexcept { any_ = false; }

  // From now on it is due with each publish.
  void wake_each() noexcept { watermark_ = Watermark(); }

 private:
  Watermark watermark_;
  bool any_ = false;
  Published before_{};
  typename Clock::time_point since_{};
};

using HeldBack = BasicHeldBack<>;

}  // namespace rondo::inline RONDO_ABI
