#include "rondo/sync/asymmetric_fence.hpp"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "rondo/core/atomic.hpp"

namespace rondo::inline RONDO_ABI {
namespace {

bool membarrier(int command) noexcept {
  // errno is the caller's: the doorbell rings in the middle of their code.
  const int saved = errno;
  const bool done = syscall(SYS_membarrier, command, 0, 0) == 0;
  errno = saved;
  return done;
}

bool announce() noexcept { return membarrier(MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED); }

// Announces the process when it is first asked for, and each forked child of it.
bool announce_with_children() noexcept {
  if (!announce()) return false;
  // The kernel's copy of the address space keeps the registration today, but no manual page
  // promises it. Without the handler a child could not be sure.
  return pthread_atfork(nullptr, nullptr, [] { static_cast<void>(announce()); }) == 0;
}

}  // namespace

bool register_publisher() noexcept {
  static const bool registered = announce_with_children();
  return registered;
}

bool heavy_fence() noexcept {
  if (membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED)) return true;
  // A1 (seq_cst, forbids that both sides miss each other's stores): for the other side's own fence.
  atomic_fence(std::memory_order_seq_cst);
  return false;
}

}  // namespace rondo::inline RONDO_ABI
