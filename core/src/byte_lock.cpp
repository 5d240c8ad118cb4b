#include "byte_lock.hpp"

#include <algorithm>
#include <cerrno>
#include <thread>

#include "rondo/core/cancellation_disabled.hpp"
#include "rondo/core/os.hpp"

namespace rondo::inline RONDO_ABI::detail {

int lock_byte_within(NativeHandle file, std::uint64_t byte,
                     std::chrono::nanoseconds timeout) noexcept {
  // F_OFD_SETLKW would wait in the kernel, but without a deadline. Joining and leaving are rare and
  // short, so asking again costs little.
  using Clock = std::chrono::steady_clock;
  constexpr auto kLongestPause = std::chrono::microseconds(2000);
  const auto start = Clock::now();
  auto pause = std::chrono::microseconds(50);
  for (;;) {
    const int error = lock_byte(file, byte);
    if (error != EAGAIN && error != EACCES) return error;
    if (Clock::now() - start >= timeout) return error;
    const CancellationDisabled here;
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, kLongestPause);
  }
}

}  // namespace rondo::inline RONDO_ABI::detail
