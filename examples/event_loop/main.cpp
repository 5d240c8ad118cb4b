// One epoll loop over a channel and whatever else a program waits for: here standard input.
//
//   event_loop shm:ticks          and in another terminal:  echo hi | rondo send shm:ticks
//
// The descriptor is readable as long as there may be a message: so the loop may take one for each
// event, or all of them, level- or edge-triggered.
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <rondo/rondo.hpp>

int main(int argc, char** argv) {
  auto receiver = rondo::Receiver::open(argc > 1 ? argv[1] : "shm:ticks");
  if (!receiver) return std::fprintf(stderr, "%s\n", receiver.error().message.c_str()), 1;
  const auto fd = receiver->fd();
  if (!fd) return std::fprintf(stderr, "%s\n", fd.error().message.c_str()), 1;

  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  const auto add = [epoll](int what) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = what;
    return epoll_ctl(epoll, EPOLL_CTL_ADD, what, &event) == 0;
  };
  if (!add(*fd)) return std::perror("epoll_ctl"), 1;
  add(STDIN_FILENO);  // a file can't be waited for, and need not be

  while (receiver->status() == rondo::Status::kOk) {
    epoll_event event{};
    if (epoll_wait(epoll, &event, 1, -1) != 1) continue;
    if (event.data.fd == *fd) {
      // There may be none: one event behind the last message is for nothing.
      if (const auto message = receiver->try_next()) {
        std::printf("%.*s\n", static_cast<int>(message->size()), message->text().data());
      }
    } else {
      std::array<char, 256> line{};
      if (read(STDIN_FILENO, line.data(), line.size()) <= 0) break;  // end the program by Ctrl-D
    }
  }
  // The descriptor is the receiver's: out of the loop before it is closed.
  epoll_ctl(epoll, EPOLL_CTL_DEL, *fd, nullptr);
  close(epoll);
  return receiver->status() == rondo::Status::kEnded ? 0 : 1;
}
