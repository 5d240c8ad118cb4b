// Cancellation of threads, kept out of Rondo. For its own sources.
//
// pthread_cancel() ends a thread by unwinding its stack from within a system call that waits, or
// only might. Most of Rondo's functions are noexcept, where that ends the whole program; and a
// channel that is half open would leave its name behind. So wherever Rondo makes such a call, no
// cancellation is acted upon; it stays pending, and the thread meets it at the next such call of
// the program's own (pthreads(7), "Cancellation points"). What a cancelled thread waits for in a
// channel it therefore goes on waiting for: until a message, a deadline or a stop flag ends that.
#pragma once

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// As long as one exists, its thread is not cancelled. They may nest. No system call.
class RONDO_API CancellationDisabled {
 public:
  CancellationDisabled() noexcept;
  CancellationDisabled(const CancellationDisabled&) = delete;
  CancellationDisabled& operator=(const CancellationDisabled&) = delete;
  ~CancellationDisabled();

 private:
  int before_;
};

}  // namespace rondo::inline RONDO_ABI::detail
