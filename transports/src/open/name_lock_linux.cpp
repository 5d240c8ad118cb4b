#include "open/name_lock_linux.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <thread>
#include <utility>

#include "open/name_linux.hpp"
#include "rondo/core/cancellation_disabled.hpp"
#include "rondo/sync/deadline.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr std::chrono::milliseconds kRetryInterval{1};

void remove_if(const std::string& path, FileIdentity identity) noexcept {
  if (identity_at(path) == identity) unlink(path.c_str());
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
  constexpr int kHow = O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
  UniqueFd fd = open_file(path_.c_str(), kHow, 0600);
  if (!fd) return Taken::kFailed;
  struct stat status {};
  if (fstat(fd.get(), &status) != 0) return Taken::kByOther;
  // Another user's file is not for us to take away.
  if (!S_ISREG(status.st_mode) || status.st_size != 0) {
    errno = EEXIST;
    return Taken::kFailed;
  }
  const FileIdentity identity = identity_of(status);
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (fcntl(fd.get(), F_OFD_SETLK, &lock) != 0) {
    if (errno == EAGAIN || errno == EACCES || errno == EINTR) return Taken::kByOther;
    const int error = errno;  // no locks here: no process can have it
    remove_if(path_, identity);
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
  struct stat status {};
  if (fstat(fd_.get(), &status) == 0) remove_if(path_, identity_of(status));
  const UniqueFd closed = std::move(fd_);
}

}  // namespace rondo::inline RONDO_ABI::detail
