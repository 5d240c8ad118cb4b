#include "futex_ring.hpp"

#include <linux/futex.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <utility>
#include <vector>

#include "rondo/core/cancellation_disabled.hpp"
#include "wait_any_linux.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

// Of Linux 6.7, which the C library's headers may not know.
constexpr std::uint8_t kFutexWait = 51;    // IORING_OP_FUTEX_WAIT
constexpr std::uint8_t kFutexWaitv = 53;   // IORING_OP_FUTEX_WAITV
constexpr std::int32_t kWordOf32Bits = 2;  // FUTEX2_SIZE_U32, shared
// All waits and what ends them may complete without being taken: the queue of completions has twice
// as many places.
constexpr unsigned kEntries = FutexRing::kMostGroups;
constexpr std::uint64_t kWaitTag = 1;  // whose completion it is: a group's, from here on
constexpr std::uint64_t kCancelTag = kWaitTag + FutexRing::kMostGroups;
constexpr std::size_t kMostKept = 8;
constexpr int kMostTries = 1000;  // of a call that signals interrupt

// Whether a ring did not work once, and none ever will: then none is asked for again.
std::atomic<bool> useless{false};

// Whether what the system said will be said again. Not of want of descriptors or memory.
bool is_for_good(int error) noexcept {
  return error == ENOSYS || error == EPERM || error == EACCES || error == EINVAL ||
         error == EOPNOTSUPP;
}

std::uint32_t peek(const std::uint32_t* word) noexcept {
  // relaxed: completions are written in system calls of this very thread (DEFER_TASKRUN), and the
  // flags are a hint; what a wake is to be ordered with, the eventfd orders.
  return std::atomic_ref(*const_cast<std::uint32_t*>(word)).load(std::memory_order_relaxed);
}
void put(std::uint32_t* word, std::uint32_t value) noexcept {
  // relaxed: the kernel reads it in the next system call of this thread.
  std::atomic_ref(*word).store(value, std::memory_order_relaxed);
}

}  // namespace

// Other threads give rings back here, this one takes them.
struct FutexRing::Kept {
  std::mutex mutex;
  std::vector<std::unique_ptr<FutexRing>> rings;
  bool ended = false;
};

// Without a destructor, so that it can be asked when the thread has given up its rings.
struct FutexRing::ThisThread {
  const Kept* kept = nullptr;
  bool ended = false;
};

FutexRing::ThisThread& FutexRing::this_thread() noexcept {
  thread_local ThisThread mine;
  return mine;
}

// Null when the thread is about to end.
std::shared_ptr<FutexRing::Kept> FutexRing::kept_by_this_thread() {
  struct Owner {
    std::shared_ptr<Kept> kept;
    ForkCheck fork_check{};

    ~Owner() {
      this_thread() = {nullptr, true};
      if (kept == nullptr || fork_check.forked()) return;
      std::vector<std::unique_ptr<FutexRing>> rings;
      const std::lock_guard lock(kept->mutex);
      kept->ended = true;
      rings.swap(kept->rings);
    }
  };
  if (this_thread().ended) return nullptr;
  thread_local Owner owner;
  // A child leaves its parent's alone: another thread may have been at them.
  if (owner.kept == nullptr || owner.fork_check.forked()) {
    auto kept = std::make_shared<Kept>();
    kept->rings.reserve(kMostKept);  // to give one back must find memory
    owner.kept = std::move(kept);
    owner.fork_check = ForkCheck();
    this_thread().kept = owner.kept.get();
  }
  return owner.kept;
}

FutexRing::FutexRing(UniqueFd ring, std::shared_ptr<Kept> home) noexcept
    : ring_(std::move(ring)), home_(std::move(home)) {
  ring_.mark();
}

FutexRing::Ptr FutexRing::take(NativeHandle event, bool& for_good) {
  // relaxed: one that is asked for in vain costs a system call.
  for_good = useless.load(std::memory_order_relaxed);
  if (for_good) return nullptr;
  const std::shared_ptr<Kept> home = kept_by_this_thread();
  if (home == nullptr) return nullptr;
  for (;;) {
    std::unique_ptr<FutexRing> ring;
    {
      const std::lock_guard lock(home->mutex);
      if (home->rings.empty()) break;
      ring = std::move(home->rings.back());
      home->rings.pop_back();
    }
    if (ring->cancel() && ring->writes(event)) return Ptr(ring.release());
  }
  std::unique_ptr<FutexRing> ring = make(home, for_good);
  if (ring == nullptr || !ring->writes(event)) return nullptr;
  return Ptr(ring.release());
}

void FutexRing::GiveBack::operator()(FutexRing* given) const noexcept {
  std::unique_ptr<FutexRing> ring(given);
  if (ring->fork_check_.forked()) return;
  // What still waits ends with its mapping; kept, another thread's would take wakes until that one
  // asks for a ring.
  if (ring->ours() ? !ring->cancel() : ring->waiting_ != 0) return;
  const std::shared_ptr<Kept> home = ring->home_;
  const std::lock_guard lock(home->mutex);
  if (!home->ended && home->rings.size() < kMostKept) home->rings.push_back(std::move(ring));
}

std::unique_ptr<FutexRing> FutexRing::make(const std::shared_ptr<Kept>& home, bool& for_good) {
  io_uring_params params{};
  params.flags =
      IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
  UniqueFd fd = take_over(static_cast<int>(syscall(SYS_io_uring_setup, kEntries, &params)));
  if (!fd) {
    for_good = is_for_good(errno);
    return nullptr;
  }
  std::unique_ptr<FutexRing> ring(new FutexRing(std::move(fd), home));
  int error = (params.features & IORING_FEAT_SINGLE_MMAP) != 0 ? 0 : ENOSYS;
  if (error == 0 && !ring->map(&params)) error = errno;
  if (error == 0) error = ring->try_it();
  if (error == 0) return ring;
  for_good = is_for_good(error);
  // relaxed: as above.
  if (for_good) useless.store(true, std::memory_order_relaxed);
  return nullptr;
}

// Instead of what it wrote before, if anything.
bool FutexRing::writes(NativeHandle event) noexcept {
  if (!ring_.intact()) return false;
  int descriptor = event;
  syscall(SYS_io_uring_register, ring_.get(), IORING_UNREGISTER_EVENTFD, nullptr, 0);
  return syscall(SYS_io_uring_register, ring_.get(), IORING_REGISTER_EVENTFD, &descriptor, 1) == 0;
}

FutexRing::~FutexRing() {
  if (entries_ != nullptr) munmap(entries_, entries_bytes_);
  if (rings_ != nullptr) munmap(rings_, rings_bytes_);
}

bool FutexRing::map(const void* parameters) noexcept {
  const auto& params = *static_cast<const io_uring_params*>(parameters);
  const auto map_at = [&](std::size_t bytes, off_t offset) {
    void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                              ring_.get(), offset);
    return memory == MAP_FAILED ? nullptr : static_cast<std::byte*>(memory);
  };
  rings_bytes_ =
      std::max<std::size_t>(params.sq_off.array + params.sq_entries * sizeof(std::uint32_t),
                            params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe));
  rings_ = map_at(rings_bytes_, IORING_OFF_SQ_RING);
  if (rings_ == nullptr) return false;
  entries_bytes_ = params.sq_entries * sizeof(io_uring_sqe);
  entries_ = map_at(entries_bytes_, IORING_OFF_SQES);
  if (entries_ == nullptr) return false;
  const auto word = [&](std::uint32_t offset) {
    return reinterpret_cast<std::uint32_t*>(rings_ + offset);
  };
  submit_tail_ = word(params.sq_off.tail);
  submit_mask_ = *word(params.sq_off.ring_mask);
  submit_array_ = word(params.sq_off.array);
  flags_ = word(params.sq_off.flags);
  complete_head_ = word(params.cq_off.head);
  complete_tail_ = word(params.cq_off.tail);
  complete_mask_ = *word(params.cq_off.ring_mask);
  completions_ = rings_ + params.cq_off.cqes;
  return true;
}

// Returns 0 or the error. A kernel that knows the operation says of a word that has another value:
// try again.
int FutexRing::try_it() noexcept {
  const Atomic<std::uint32_t> word{1};
  const PreparedWait other{&word, 0, {}};
  if (!wait({&other, 1})) return errno;
  take_completions();
  if (waiting_ != 0) return ENOSYS;  // it waits
  return result_ == -EAGAIN ? 0 : -result_;
}

bool FutexRing::ours() const noexcept {
  return home_.get() == this_thread().kept && !fork_check_.forked();
}

bool FutexRing::stirred() const noexcept {
  return (peek(flags_) & IORING_SQ_TASKRUN) != 0 || peek(complete_tail_) != peek(complete_head_);
}

int FutexRing::enter(unsigned submit, unsigned await) noexcept {
  const CancellationDisabled here;
  if (!ring_.intact()) {
    // The program has closed it, and may have a ring of its own by that number.
    errno = EBADF;
    return -1;
  }
  const unsigned flags = submit == 0 || await != 0 ? IORING_ENTER_GETEVENTS : 0;
  return static_cast<int>(
      syscall(SYS_io_uring_enter, ring_.get(), submit, await, flags, nullptr, 0));
}

bool FutexRing::submit(const io_uring_sqe& entry) noexcept {
  const std::uint32_t tail = peek(submit_tail_);
  const std::uint32_t at = tail & submit_mask_;
  reinterpret_cast<io_uring_sqe*>(entries_)[at] = entry;
  submit_array_[at] = at;
  put(submit_tail_, tail + 1);
  for (int i = 0; i < kMostTries; ++i) {
    const int taken = enter(1, 0);
    if (taken == 1) return true;
    if (taken == 0) errno = EAGAIN;  // the kernel has none, and says no more
    if (errno != EINTR && errno != EAGAIN && errno != EBUSY) break;
  }
  put(submit_tail_, tail);
  return false;
}

void FutexRing::reap() noexcept {
  const auto* const completions = reinterpret_cast<const io_uring_cqe*>(completions_);
  std::uint32_t head = peek(complete_head_);
  for (; head != peek(complete_tail_); ++head) {
    const io_uring_cqe& done = completions[head & complete_mask_];
    if (done.user_data >= kCancelTag) {
      --cancelling_;
    } else {
      waiting_ &= ~(1u << (done.user_data - kWaitTag));
      result_ = done.res;
    }
  }
  put(complete_head_, head);
}

void FutexRing::take_completions() noexcept {
  if (!stirred()) return;
  static_cast<void>(enter(0, 0));
  reap();
}

bool FutexRing::wait_for_group(std::uint32_t group, std::span<const PreparedWait> waits) noexcept {
  io_uring_sqe entry{};
  entry.user_data = kWaitTag + group;
  std::array<futex_waitv, kMostWaits> words;  // the kernel has read them when submit() returns
  if (waits.size() == 1) {
    entry.opcode = kFutexWait;
    entry.fd = kWordOf32Bits;
    entry.addr = reinterpret_cast<std::uintptr_t>(waits.front().word);
    entry.addr2 = waits.front().value;
    entry.addr3 = FUTEX_BITSET_MATCH_ANY;
  } else {
    std::transform(waits.begin(), waits.end(), words.begin(), kernel_wait);
    entry.opcode = kFutexWaitv;
    entry.addr = reinterpret_cast<std::uintptr_t>(words.data());
    entry.len = static_cast<std::uint32_t>(waits.size());
  }
  waiting_ |= 1u << group;
  if (submit(entry)) return true;
  waiting_ &= ~(1u << group);
  return false;
}

bool FutexRing::wait(std::span<const PreparedWait> waits) noexcept {
  const bool single = waits.size() == 1;
  if (single && waiting_ == 1 && one_.word == waits.front().word &&
      one_.value == waits.front().value) {
    return true;
  }
  if (!cancel() || waits.size() > kMostWords) return false;
  one_ = single ? waits.front() : PreparedWait{};
  for (std::uint32_t group = 0; !waits.empty(); ++group) {
    const std::size_t count = std::min(waits.size(), kMostWaits);
    if (!wait_for_group(group, waits.first(count))) {
      const int error = errno;
      static_cast<void>(cancel());
      errno = error;
      return false;
    }
    waits = waits.subspan(count);
  }
  return true;
}

bool FutexRing::cancel() noexcept {
  if (waiting_ != 0 && stirred()) take_completions();
  for (std::uint32_t group = 0; group < kMostGroups; ++group) {
    if ((waiting_ & 1u << group) == 0) continue;
    io_uring_sqe entry{};
    entry.opcode = IORING_OP_ASYNC_CANCEL;
    entry.fd = -1;
    entry.user_data = kCancelTag;
    entry.addr = kWaitTag + group;
    if (!submit(entry)) return false;
    ++cancelling_;
  }
  for (int i = 0; i < kMostTries; ++i) {
    if (waiting_ == 0 && cancelling_ == 0) break;
    if (enter(0, 1) < 0 && errno == EBADF) break;
    reap();
  }
  return waiting_ == 0;
}

}  // namespace rondo::inline RONDO_ABI::detail
