// Sleeping on a shared 32-bit word until it is woken (futex(2)).
//
// Always shared futexes, never the PRIVATE flag: the word may lie in memory of several processes.
// Both calls work on memory that is mapped read-only, so a waiter needs no right to the word.
#pragma once

#include <cstdint>

#include "rondo/core/atomic.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"

namespace rondo::inline RONDO_ABI {

enum class FutexResult : std::uint8_t {
  kWoken,        // by a wake, or for no reason at all
  kChanged,      // the word did not hold the expected value
  kTimedOut,     // the deadline passed
  kInterrupted,  // by a signal handler
  kRefused       // the system refused: no such memory any more, or no such call here
};

// Sleeps while `word` holds `expected`, until futex_wake(), a signal, or the deadline. The
// comparison and falling asleep are one step for a waker. May return too early for no reason;
// the caller looks again at what it waits for.
// When the system refuses, sleeps for a millisecond at most and says kRefused, so that a caller in
// a loop polls and does not spin. Progress: blocking. Thread-safe. Memory ordering: none; look at
// `word` with acquire afterwards.
[[nodiscard]] RONDO_API FutexResult futex_wait(const Atomic<std::uint32_t>& word,
                                               std::uint32_t expected, Deadline deadline) noexcept;

// Wakes at most `count` of those that sleep on `word`. Returns how many; 0 also when the system
// refuses.
// Progress: a system call that never blocks. Thread-safe. Memory ordering: a full fence before it
// looks for waiters, so the caller's change of `word` is seen by those that go to sleep later.
RONDO_API int futex_wake(const Atomic<std::uint32_t>& word, int count) noexcept;

}  // namespace rondo::inline RONDO_ABI
