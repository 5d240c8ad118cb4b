#include "file_watch.hpp"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <utility>

#include "file_watch_linux.hpp"
#include "rondo/core/timespec.hpp"
#include "rondo/core/unnoticed.hpp"
#include "timespec_linux.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

[[nodiscard]] bool add(NativeHandle poller, NativeHandle fd) noexcept {
  epoll_event event{};
  event.events = EPOLLIN;
  return epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) == 0;
}

}  // namespace

int FileWatch::open(NativeHandle file) noexcept {
  UniqueFd timer = open_timer();
  if (!timer) return errno;
  UniqueFd poller = open_poller();
  if (!poller || !add(poller.get(), timer.get())) return errno;
  // Few users may have more than 128 of these, and some systems have none.
  UniqueFd watch = open_file_watch();
  if (watch) {
    if (watch_file(watch.get(), file, IN_OPEN | IN_CLOSE_WRITE) < 0 ||
        !add(poller.get(), watch.get())) {
      watch = UniqueFd();
    }
  }
  watch_ = std::move(watch);
  timer_ = std::move(timer);
  poller_ = std::move(poller);
  return 0;
}

FileWatch::News FileWatch::take() noexcept {
  const Unnoticed here;
  News news;
  if (!timer_.intact() || !watch_.intact()) return news;
  std::uint64_t times = 0;
  news.time = read(timer_.get(), &times, sizeof times) > 0;
  // What is left over after that makes it readable again; and what comes while it does not listen
  // stays for later.
  alignas(inotify_event) std::array<char, 4096> events;
  for (int i = 0; watch_ && listens_ && i < 16; ++i) {
    if (read(watch_.get(), events.data(), events.size()) <= 0) break;
    news.file = true;
  }
  return news;
}

void FileWatch::listen(bool on) noexcept {
  if (!watch_ || on == listens_) return;
  const Unnoticed here;
  if (!poller_.intact() || !watch_.intact()) return;
  epoll_event event{};
  if (on) event.events = EPOLLIN;
  if (epoll_ctl(poller_.get(), EPOLL_CTL_MOD, watch_.get(), &event) == 0) listens_ = on;
}

void FileWatch::set_timer(std::chrono::nanoseconds from_now) noexcept {
  const Unnoticed here;
  if (!timer_.intact()) return;
  itimerspec time{};
  time.it_value = timespec_of(Deadline::after(from_now));
  timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &time, nullptr);
}

void FileWatch::wait(Deadline deadline) const noexcept {
  // Where the program has closed them, nothing tells, or another one's file does.
  constexpr std::chrono::nanoseconds kSlice = std::chrono::milliseconds(50);
  const Unnoticed here;
  const bool intact = poller_.intact() && timer_.intact() && watch_.intact();
  pollfd ready{poller_.get(), POLLIN, 0};
  const bool bounded = !intact || !deadline.is_never();
  std::chrono::nanoseconds left = deadline.is_never() ? kSlice : deadline.remaining();
  if (!intact) left = std::min(left, kSlice);
  const timespec time = timespec_of(left);
  ppoll(&ready, intact ? 1 : 0, bounded ? &time : nullptr, nullptr);
}

}  // namespace rondo::inline RONDO_ABI::detail
