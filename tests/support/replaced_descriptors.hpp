// A program that closes all its descriptors, and makes some of its own, of the same kinds, that get
// the numbers: those without a file of their own, which all have one inode.
#pragma once

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rondo::testing {

class ReplacedDescriptors {
 public:
  // `path`: a file that may be opened and closed. False: it could not be done.
  [[nodiscard]] bool replace_all(const std::string& path) {
    for (int fd = 3; fd < kMost; ++fd) {
      std::array<char, 64> link{};
      const std::string name = "/proc/self/fd/" + std::to_string(fd);
      const auto size = readlink(name.c_str(), link.data(), link.size());
      if (size <= 0) continue;
      const std::string_view kind(link.data(), static_cast<std::size_t>(size));
      if (kind.starts_with("anon_inode:")) ours_.push_back({fd, std::string(kind.substr(11))});
    }
    if (close_range(3, ~0u, 0) != 0) return false;
    for (const Ours& one : ours_) {
      const int made = make(one.kind, path);
      if (made < 0) return false;
      if (made == one.fd) continue;
      if (fcntl(one.fd, F_GETFD) >= 0 || dup2(made, one.fd) != one.fd) return false;
      close(made);
    }
    return true;
  }
  // How many there are of a kind, as the kernel calls it, such as "inotify".
  [[nodiscard]] int count(std::string_view kind) const {
    int found = 0;
    for (const Ours& one : ours_) found += one.kind == kind ? 1 : 0;
    return found;
  }
  // The first of them that is closed, or is not as it was made; 0: none.
  [[nodiscard]] int touched() const {
    for (const Ours& one : ours_) {
      if (!as_made(one)) return one.fd;
    }
    return 0;
  }

 private:
  static constexpr int kMost = 256;
  struct Ours {
    int fd;
    std::string kind;
  };

  static int make(const std::string& kind, const std::string& path) {
    if (kind == "inotify") {
      // With something to read, and one watch.
      const int made = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
      if (inotify_add_watch(made, path.c_str(), IN_OPEN) < 0) return -1;
      close(open(path.c_str(), O_RDONLY | O_CLOEXEC));
      return made;
    }
    if (kind == "[timerfd]") return timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (kind == "[eventpoll]") return epoll_create1(EPOLL_CLOEXEC);
    // Others, too: io_uring may be forbidden.
    return eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
  }
  static bool as_made(const Ours& one) {
    if (one.kind == "inotify") {
      alignas(inotify_event) std::array<char, 256> events{};
      const auto size = read(one.fd, events.data(), events.size());
      return size == static_cast<ssize_t>(sizeof(inotify_event)) &&
             inotify_rm_watch(one.fd, 1) == 0 && inotify_rm_watch(one.fd, 2) != 0;
    }
    if (one.kind == "[timerfd]") {
      itimerspec time{};
      return timerfd_gettime(one.fd, &time) == 0 && time.it_value.tv_sec == 0 &&
             time.it_value.tv_nsec == 0;
    }
    if (one.kind == "[eventpoll]") return fcntl(one.fd, F_GETFD) >= 0;
    std::uint64_t count = 0;
    return read(one.fd, &count, sizeof count) == sizeof count && count == 1;
  }

  std::vector<Ours> ours_;
};

}  // namespace rondo::testing
