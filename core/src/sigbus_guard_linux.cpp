// The handler is async-signal-safe: it reads a fixed table of atomics and calls mmap, a bare system
// call. It relies on SIGBUS being delivered to the thread whose access faulted (signal(7)), and on
// mmap with MAP_FIXED replacing pages at once (mmap(2)).
//
// Ordering. Each label stands at exactly one operation below.
//
//   G1 release begin  ->  G2 acquire begin  the range's other fields are at least this owner's
//   G3 release end    ->  G4 acquire end    who sees a later owner's end sees that begin changed
#include "sigbus_guard_linux.hpp"

#include <dlfcn.h>
#include <signal.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>

#include "rondo/core/position.hpp"
#include "system_linux.hpp"

namespace rondo::detail {

struct GuardedRange {
  std::atomic<std::uintptr_t> begin{0};  // 0: free
  std::atomic<std::uintptr_t> end{0};
  std::atomic<std::size_t> page_bytes{0};
  std::atomic<bool> writable{false};
  std::atomic<bool> truncated{false};
};

namespace {

std::array<GuardedRange, SigbusGuard::kMaxRanges> ranges;
std::mutex ranges_mutex;  // among those who enter and leave the table; the handler takes no lock
struct sigaction previous_action;

// Replaces [address, address + length) by private zeros.
bool put_zeros(std::uintptr_t address, std::size_t length, bool writable) noexcept {
  const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  return mmap(reinterpret_cast<void*>(address), length, protection,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

// Whether `address` lies in a guarded mapping, whose missing page is now one of zeros.
bool stand_in(std::uintptr_t address) noexcept {
  for (GuardedRange& range : ranges) {
    // G2 (acquire, pairs with G1): the fields below are those of this range.
    const std::uintptr_t begin = range.begin.load(std::memory_order_acquire);
    if (begin == 0 || address < begin) continue;
    // G4 (acquire, pairs with G3): if this end is a later owner's, begin reads differently below.
    const std::uintptr_t end = range.end.load(std::memory_order_acquire);
    if (address >= end) continue;
    // relaxed: G4 orders it. The range that the fault is in can't change now, but others may, and
    // a mixture of old and new bounds must not pass for a hit.
    if (range.begin.load(std::memory_order_relaxed) != begin) continue;
    // relaxed: the range is the one that the fault is in; G2 made these visible.
    const std::size_t page_bytes = range.page_bytes.load(std::memory_order_relaxed);
    const bool writable = range.writable.load(std::memory_order_relaxed);

    // relaxed: a flag that tells nothing but itself.
    range.truncated.store(true, std::memory_order_relaxed);
    const std::uintptr_t page = address & ~(std::uintptr_t{page_bytes} - 1);
    // One page, so that what is still there stays readable; all of it when the process may not have
    // more mappings (vm.max_map_count).
    return put_zeros(page, page_bytes, writable) || put_zeros(begin, end - begin, writable);
  }
  return false;
}

// Not ours: what would have happened without us.
void pass_on(int signal, siginfo_t* info, void* context) noexcept {
  if ((previous_action.sa_flags & SA_SIGINFO) != 0) {
    previous_action.sa_sigaction(signal, info, context);
    return;
  }
  const bool sent = info->si_code <= 0;  // by kill or the like, not by a fault
  if (previous_action.sa_handler == SIG_IGN && sent) return;
  if (previous_action.sa_handler != SIG_DFL && previous_action.sa_handler != SIG_IGN) {
    previous_action.sa_handler(signal);
    return;
  }
  // The default action: a fault comes again on return, a signal that was sent has to be repeated.
  struct sigaction standard = {};
  standard.sa_handler = SIG_DFL;
  sigaction(signal, &standard, nullptr);
  if (sent) raise(signal);
}

void on_sigbus(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const bool ours =
      info->si_code == BUS_ADRERR && stand_in(reinterpret_cast<std::uintptr_t>(info->si_addr));
  if (!ours) pass_on(signal, info, context);
  errno = saved_errno;
}

// Once and for good: taken out, the handler might drop out of the middle of a chain.
int install() noexcept {
  // So the code must never be unloaded either, if it came with a library.
  Dl_info self = {};
  if (dladdr(reinterpret_cast<void*>(&on_sigbus), &self) != 0 && self.dli_fname != nullptr) {
    dlopen(self.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
  }
  struct sigaction action = {};
  action.sa_sigaction = &on_sigbus;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  return sigaction(SIGBUS, &action, &previous_action) == 0 ? 0 : errno;
}

}  // namespace

Result<SigbusGuard> SigbusGuard::watch(std::byte* address, std::size_t length,
                                       std::size_t page_bytes, bool writable) {
  static const int install_error = install();
  if (install_error != 0) return system_error(install_error, "can't handle SIGBUS");

  const std::lock_guard lock(ranges_mutex);
  for (GuardedRange& range : ranges) {
    // relaxed: only holders of the mutex write.
    if (range.begin.load(std::memory_order_relaxed) != 0) continue;
    const auto begin = reinterpret_cast<std::uintptr_t>(address);
    // G3 (release, pairs with G4): the former owner's end of use, begin = 0, comes before.
    range.end.store(begin + round_up(length, page_bytes), std::memory_order_release);
    // relaxed: G1 publishes these.
    range.page_bytes.store(page_bytes, std::memory_order_relaxed);
    range.writable.store(writable, std::memory_order_relaxed);
    range.truncated.store(false, std::memory_order_relaxed);
    // G1 (release, pairs with G2): the range is described.
    range.begin.store(begin, std::memory_order_release);
    return SigbusGuard(&range);
  }
  return Error{ErrorCode::kNoSpace,
               "this process maps " + std::to_string(kMaxRanges) + " segments already; close some"};
}

SigbusGuard::~SigbusGuard() {
  if (range_ == nullptr) return;
  const std::lock_guard lock(ranges_mutex);
  // relaxed: the mutex orders it before the next owner's G3.
  range_->begin.store(0, std::memory_order_relaxed);
}

bool SigbusGuard::truncated() const noexcept {
  // relaxed: set by the handler in the very thread that met the gap, before its access returned.
  return range_ != nullptr && range_->truncated.load(std::memory_order_relaxed);
}

}  // namespace rondo::detail
