// Notice that somebody has closed a file, for whoever waits for many of them: each participant has
// the file with its lock open for itself (liveness.hpp), so a death closes it. Then, and not 20
// times a second, its locks are worth a system call.
//
// One inotify(7) instance and the helper thread (wake_descriptor.hpp) do for a whole process. A
// closing that nobody was told of is made up for by a look each kAtLast. Who may write the file can
// open and close it all the time: that is told 100 times a second at most, which is how late
// another closing can be by that.
#pragma once

#include <chrono>
#include <memory>

#include "rondo/core/callback.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"

namespace rondo::inline RONDO_ABI {

// One thread at a time; in a forked child nothing is told.
class RONDO_API CloseWatch {
 public:
  using Clock = Deadline::Clock;
  // How often to look when nothing is told.
  static constexpr std::chrono::nanoseconds kAtLast = std::chrono::seconds(2);

  // `file` is open, for reading at least; it may be closed before this object goes. `tell` is
  // called by another thread when there is something, so that due() says so. It must be quick, and
  // use no such object. At first it is due. Null where the kernel can't tell (a user may have 128
  // instances, a sandbox may forbid it), or no thread is to be had. Throws bad_alloc.
  [[nodiscard]] static std::unique_ptr<CloseWatch> of(NativeHandle file, Callback<void()> tell);

  CloseWatch(const CloseWatch&) = delete;
  CloseWatch& operator=(const CloseWatch&) = delete;
  ~CloseWatch();  // afterwards `tell` is not called; may wait for a call to end

  // False: nothing is told any more; it is as if there were none.
  [[nodiscard]] bool stands() const noexcept;
  // Whether the locks are to be looked at now: the file was closed, or cut short, a moment ago.
  [[nodiscard]] bool due(Clock::time_point now) noexcept;
  // When that will be so again, if nothing is told.
  [[nodiscard]] Deadline next() const noexcept;

 private:
  struct State;
  explicit CloseWatch(std::unique_ptr<State> state) noexcept;

  std::unique_ptr<State> state_;
};

}  // namespace rondo::inline RONDO_ABI
