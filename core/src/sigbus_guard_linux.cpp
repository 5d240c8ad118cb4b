// The handler is async-signal-safe: it reads a fixed table of atomics and calls mmap, a bare system
// call. It relies on SIGBUS being delivered to the thread whose access faulted (signal(7)), and on
// mmap with MAP_FIXED replacing pages at once (mmap(2)).
#include "sigbus_guard.hpp"

#include <dlfcn.h>
#include <signal.h>
#include <sys/mman.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <mutex>

#include "rondo/core/guarded_range.hpp"
#include "rondo/core/os.hpp"
#include "rondo/core/position.hpp"

namespace rondo::inline RONDO_ABI::detail {

namespace {

std::array<GuardedRange, SigbusGuard::kMaxRanges> ranges;
std::mutex ranges_mutex;  // among threads that enter and leave the table; the handler takes no lock
struct sigaction previous_action;

// Replaces [address, address + length) by private zeros.
bool put_zeros(std::uintptr_t address, std::size_t length, bool writable) noexcept {
  const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel told the address as a number.
  return mmap(reinterpret_cast<void*>(address), length, protection,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) != MAP_FAILED;
}

// Whether `address` lies in a guarded mapping, whose missing page is now one of zeros.
bool stand_in(std::uintptr_t address) noexcept {
  for (GuardedRange& range : ranges) {
    if (!range.covers(address)) continue;
    range.mark();
    const std::uintptr_t page = address & ~(range.page_bytes() - 1);
    // One page, so that what is still there stays readable; all of it when the process may not have
    // more mappings (vm.max_map_count).
    return put_zeros(page, range.page_bytes(), range.writable()) ||
           put_zeros(range.begin(), range.end() - range.begin(), range.writable());
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
    if (range.end() != 0) continue;
    const auto begin = reinterpret_cast<std::uintptr_t>(address);
    range.set(begin, begin + round_up(length, page_bytes), page_bytes, writable);
    return SigbusGuard(&range);
  }
  return Error{ErrorCode::kNoSpace,
               "this process maps " + std::to_string(kMaxRanges) + " segments already; close some"};
}

SigbusGuard::~SigbusGuard() {
  if (range_ == nullptr) return;
  const std::lock_guard lock(ranges_mutex);
  range_->set(0, 0, 0, false);
}

bool SigbusGuard::truncated() const noexcept {
  // The handler marked it in the very thread that met the gap, before its access returned.
  return range_ != nullptr && range_->marked();
}

}  // namespace rondo::inline RONDO_ABI::detail
