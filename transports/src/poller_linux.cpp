#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <string>
#include <utility>

#include "poller.hpp"
#include "rondo/core/os.hpp"
#include "rondo/core/timespec.hpp"
#include "rondo/core/unnoticed.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr std::size_t kMostEvents = 64;

}  // namespace

Result<Poller> Poller::make() {
  UniqueFd fd = open_poller();
  if (!fd) return system_error(errno, "can't make an epoll descriptor to wait with");
  return Poller(std::move(fd));
}

Result<Poller::Watched> Poller::add(NativeHandle fd, bool writing, std::uint64_t tag) {
  const auto refused = [fd](int error) {
    return system_error(error, "can't wait for descriptor " + std::to_string(fd));
  };
  Watched watched;
  watched.copy = duplicate(fd);
  if (!watched.copy) return refused(errno);
  watched.copy.remember();
  epoll_event event{};
  event.events = writing ? EPOLLOUT : EPOLLIN;
  event.data.u64 = tag;
  if (epoll_ctl(fd_.get(), EPOLL_CTL_ADD, watched.copy.get(), &event) == 0) return watched;
  const int failed = errno;
  // So says epoll of a file, and a filter of everything.
  struct stat file {};
  const bool is_file = failed == EPERM && fstat(watched.copy.get(), &file) == 0 &&
                       (S_ISREG(file.st_mode) || S_ISDIR(file.st_mode));
  if (!is_file) return refused(failed);
  watched.always_ready = true;
  return watched;
}

void Poller::remove(Watched& watched) noexcept {
  const Unnoticed here;
  if (watched.always_ready || !fd_.intact()) return;
  if (epoll_ctl(fd_.get(), EPOLL_CTL_DEL, watched.copy.get(), nullptr) == 0) return;
  // The program has closed the copy, and the number may be that of a file of its own. (Whether it
  // is, the inode does not say of an eventfd, and the program's own bear no mark.)
  if (errno == ENOENT || errno == EBADF) static_cast<void>(watched.copy.release());
}

std::size_t Poller::ready(std::span<std::uint64_t> tags) noexcept {
  const Unnoticed here;
  if (!fd_.intact()) return 0;  // the program has closed it
  std::array<epoll_event, kMostEvents> events;
  const std::size_t most = std::min(tags.size(), events.size());
  const int count = epoll_wait(fd_.get(), events.data(), static_cast<int>(most), 0);
  if (count <= 0) return 0;
  std::transform(events.begin(), events.begin() + count, tags.begin(),
                 [](const epoll_event& event) { return event.data.u64; });
  return static_cast<std::size_t>(count);
}

void Poller::sleep(Deadline deadline) noexcept {
  const Unnoticed here;
  // epoll_wait() itself counts in milliseconds.
  pollfd any{fd_.get(), POLLIN, 0};
  const timespec time = timespec_of(deadline.remaining());
  ppoll(&any, 1, deadline.is_never() ? nullptr : &time, nullptr);
}

}  // namespace rondo::inline RONDO_ABI::detail
