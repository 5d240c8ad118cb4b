#include "open/name_lock.hpp"

#include <cerrno>
#include <thread>
#include <utility>

#include "open/name.hpp"
#include "rondo/core/cancellation_disabled.hpp"
#include "rondo/sync/deadline.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr std::chrono::milliseconds kRetryInterval{1};

void remove_if(const std::string& path, FileIdentity identity) noexcept {
  if (identity_at(path) == identity) static_cast<void>(remove_name(path));
}

}  // namespace

NameLock::Taken NameLock::take(std::chrono::nanoseconds timeout,
                               const std::atomic<bool>* stop) noexcept {
  const CancellationDisabled here;
  for (const Deadline deadline = Deadline::after(timeout);;) {
    const Taken taken = try_take();
    // relaxed: the flag orders nothing.
    const bool stopped = stop != nullptr && stop->load(std::memory_order_relaxed);
    if (taken != Taken::kByOther || stopped || deadline.passed()) return taken;
    std::this_thread::sleep_for(kRetryInterval);
  }
}

NameLock::Taken NameLock::try_take() noexcept {
  UniqueFd fd = open_or_make_file(path_, 0600);
  if (!fd) return Taken::kFailed;
  FileStatus status;
  if (status_of(fd.get(), status) != 0) return Taken::kByOther;
  // Another user's file is not for us to take away.
  if (status.kind != FileKind::kRegular || status.size_bytes != 0) {
    errno = EEXIST;
    return Taken::kFailed;
  }
  const FileIdentity identity = identity_of(status);
  if (const int error = lock_file(fd.get()); error != 0) {
    if (error == EAGAIN || error == EACCES || error == EINTR) return Taken::kByOther;
    remove_if(path_, identity);  // no locks here: no process can have it
    errno = error;
    return Taken::kFailed;
  }
  // Its last holder may have taken the file away since it was opened: then it locks none out.
  if (identity_at(path_) != identity) return Taken::kByOther;
  fd_ = std::move(fd);
  return Taken::kYes;
}

void NameLock::release() noexcept {
  if (!fd_) return;
  // While it is held: one that has opened it already finds that it is no longer there. A forked
  // child that has inherited the lock holds none up either.
  FileStatus status;
  if (status_of(fd_.get(), status) == 0) remove_if(path_, identity_of(status));
  const UniqueFd closed = std::move(fd_);
}

}  // namespace rondo::inline RONDO_ABI::detail
