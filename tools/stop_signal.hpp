// Being told to stop. The first SIGINT, SIGTERM or SIGHUP asks for an orderly end, a second one
// ends the process at once. SIGPIPE is ignored: writes report a reader that has left.
#pragma once

#include <atomic>
#include <chrono>

namespace rondo::program::stop_signal {

// Installs the handlers. A signal that was ignored at the start (nohup, a background job) stays so.
void install();

// True from the first signal on; waits in the library watch it too.
[[nodiscard]] const std::atomic<bool>& flag() noexcept;
[[nodiscard]] bool requested() noexcept;
// The signal that asked to stop, or 0.
[[nodiscard]] int number() noexcept;

enum class Readable { kYes, kStopped, kFailed };
// Waits until `fd` can be read without blocking, or a stop is requested; no signal slips between
// looking at the flag and sleeping. On kFailed, errno says why.
[[nodiscard]] Readable wait_readable(int fd) noexcept;

// As long as it lives, no stop has been requested, so that the last work can be waited for; another
// signal is one again.
class PutOff {
 public:
  PutOff() noexcept;
  PutOff(const PutOff&) = delete;
  PutOff& operator=(const PutOff&) = delete;
  ~PutOff();

 private:
  bool requested_;
};

// Signals do not come to this thread: they are for the one that moves messages, whose reads and
// waits they interrupt.
void leave_to_others() noexcept;

// Sleeps, unless a stop is requested.
void sleep(std::chrono::milliseconds time) noexcept;

// Ends the process by `signal`, as if it had never been caught, so that a shell knows.
[[noreturn]] void die_of(int signal) noexcept;

}  // namespace rondo::program::stop_signal
