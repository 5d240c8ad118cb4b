// A futex wait whose end writes an eventfd, without a thread: an io_uring with
// IORING_OP_FUTEX_WAIT or FUTEX_WAITV (Linux 6.7). For the wake descriptor (wake_descriptor.hpp).
//
// SINGLE_ISSUER | DEFER_TASKRUN: what a wake brings about is left until the thread that owns the
// ring asks for it, and the eventfd is written by the waker itself. So the wake interrupts no
// system call of that thread; with the ring's own descriptor, or COOP_TASKRUN, epoll_wait() would
// end with EINTR at each. The price: one thread alone may use a ring, the one that opened it.
//
// A ring that is closed interrupts its thread once, some milliseconds later. So rings that are
// given back are kept for their threads' next ones, a few of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "rondo/core/descriptor.hpp"
#include "rondo/core/fork_check.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/wait_any.hpp"

struct io_uring_sqe;  // of <linux/io_uring.h>

namespace rondo::inline RONDO_ABI::detail {

class FutexRing {
 public:
  // To be given back by any thread. A wait that has begun ends soon, and may write its event once
  // more.
  struct GiveBack {
    void operator()(FutexRing* ring) const noexcept;
  };
  using Ptr = std::unique_ptr<FutexRing, GiveBack>;

  // A ring for this thread, each end of whose waits will write `event`. Null: there is none to be
  // had; `for_good`: later neither, as the system does not have it, or not for us (a filter,
  // kernel.io_uring_disabled).
  [[nodiscard]] static Ptr take(NativeHandle event, bool& for_good);

  FutexRing(const FutexRing&) = delete;
  FutexRing& operator=(const FutexRing&) = delete;
  ~FutexRing();

  // Whether this thread opened it: only then is the rest allowed.
  [[nodiscard]] bool ours() const noexcept;
  // Whether a wait may have ended since take_completions(). No system call.
  [[nodiscard]] bool stirred() const noexcept;
  // Takes note of a wait that has ended. That writes the event: so it is read afterwards.
  void take_completions() noexcept;
  // Waits while each of the words holds its value; goes on with that if it is a single one, and
  // it does so already. Another wait is ended before. False: refused, as they are more than
  // kMostWords, or the ring is of no use any more.
  [[nodiscard]] bool wait(std::span<const PreparedWait> waits) noexcept;
  // Ends the wait, if there is one: no wake is spent on it any more. False: that could not be done
  // (the program has closed the ring); then it ends when the ring is given back.
  [[nodiscard]] bool cancel() noexcept;

  static constexpr std::size_t kMostGroups = 8;  // of words, each an operation of its own
  static constexpr std::size_t kMostWords = kMostGroups * kMostWaits;

 private:
  struct Kept;  // by a thread
  struct ThisThread;

  [[nodiscard]] static ThisThread& this_thread() noexcept;
  [[nodiscard]] static std::shared_ptr<Kept> kept_by_this_thread();
  FutexRing(UniqueFd ring, std::shared_ptr<Kept> home) noexcept;
  [[nodiscard]] static std::unique_ptr<FutexRing> make(const std::shared_ptr<Kept>& home,
                                                       bool& for_good);
  [[nodiscard]] bool writes(NativeHandle event) noexcept;
  [[nodiscard]] bool map(const void* params) noexcept;
  [[nodiscard]] int try_it() noexcept;
  [[nodiscard]] bool wait_for_group(std::uint32_t group,
                                    std::span<const PreparedWait> waits) noexcept;
  [[nodiscard]] bool submit(const io_uring_sqe& entry) noexcept;
  [[nodiscard]] int enter(unsigned submit, unsigned await) noexcept;
  void reap() noexcept;

  UniqueFd ring_;
  std::shared_ptr<Kept> home_;  // the thread that may use it
  ForkCheck fork_check_;
  std::byte* rings_ = nullptr;
  std::size_t rings_bytes_ = 0;
  std::byte* entries_ = nullptr;
  std::size_t entries_bytes_ = 0;
  // In the mapped rings.
  std::uint32_t* submit_tail_ = nullptr;
  std::uint32_t submit_mask_ = 0;
  std::uint32_t* submit_array_ = nullptr;
  const std::uint32_t* flags_ = nullptr;
  std::uint32_t* complete_head_ = nullptr;
  const std::uint32_t* complete_tail_ = nullptr;
  std::uint32_t complete_mask_ = 0;
  const std::byte* completions_ = nullptr;

  std::uint32_t waiting_ = 0;     // groups, a bit each
  std::uint32_t cancelling_ = 0;  // cancellations that have no answer yet
  PreparedWait one_{};            // the wait, if it is a single one
  int result_ = 0;                // of the last wait that ended
};

}  // namespace rondo::inline RONDO_ABI::detail
