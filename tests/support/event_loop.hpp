// A loop of somebody else's, for a descriptor: epoll (level- or edge-triggered), poll or select.
#pragma once

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <string>

namespace rondo::testing {

enum class LoopKind { kEpoll, kEpollEdge, kPoll, kSelect };
inline constexpr std::array kLoopKinds{LoopKind::kEpoll, LoopKind::kEpollEdge, LoopKind::kPoll,
                                       LoopKind::kSelect};

inline std::string to_string(LoopKind kind) {
  constexpr std::array kNames{"epoll", "epoll, edges", "poll", "select"};
  return kNames[static_cast<std::size_t>(kind)];
}

// Whether `fd` is readable now.
inline bool readable(int fd) {
  pollfd poll{fd, POLLIN, 0};
  return ::poll(&poll, 1, 0) == 1;
}

class EventLoop {
 public:
  EventLoop(LoopKind kind, int fd) : kind_(kind), fd_(fd) {
    if (kind != LoopKind::kEpoll && kind != LoopKind::kEpollEdge) return;
    epoll_ = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event{};
    event.events = kind == LoopKind::kEpollEdge ? EPOLLIN | EPOLLET : EPOLLIN;
    if (epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) != 0) std::abort();
  }
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop() {
    if (epoll_ >= 0) close(epoll_);
  }

  // Returns when there is an event; false when none comes: a lost one. What interrupts it is waited
  // out, as every loop does: a handle that closes an io_uring, where it can't be entered, does so
  // once (docs/waiting.md).
  [[nodiscard]] bool wait(std::chrono::milliseconds limit = std::chrono::seconds(20)) const {
    for (;;) {
      errno = 0;
      if (wait_once(limit)) return true;
      if (errno != EINTR) return false;
    }
  }

 private:
  [[nodiscard]] bool wait_once(std::chrono::milliseconds limit) const {
    const auto timeout = static_cast<int>(limit.count());
    if (epoll_ >= 0) {
      epoll_event event{};
      return epoll_wait(epoll_, &event, 1, timeout) == 1;
    }
    if (kind_ == LoopKind::kPoll) {
      pollfd poll{fd_, POLLIN, 0};
      return ::poll(&poll, 1, timeout) == 1;
    }
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd_, &set);
    timeval time{timeout / 1000, timeout % 1000 * 1000};
    return select(fd_ + 1, &set, nullptr, nullptr, &time) == 1;
  }

  LoopKind kind_;
  int fd_;
  int epoll_ = -1;
};

}  // namespace rondo::testing
