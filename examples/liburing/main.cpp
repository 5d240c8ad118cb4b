// A channel in a program whose loop is an io_uring (liburing): prints what comes, each message on a
// line.
//
//   liburing shm:ticks            and in another terminal:  echo hi | rondo send shm:ticks
//
// One poll stays in the kernel for as long as it lasts (multishot): a completion says that the
// descriptor has become readable again. Edges, so to say: all messages are taken for each.
#include <liburing.h>
#include <poll.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <rondo/rondo.hpp>

namespace {

void watch(io_uring& ring, int fd) {
  io_uring_sqe* const entry = io_uring_get_sqe(&ring);
  io_uring_prep_poll_multishot(entry, fd, POLLIN);
  io_uring_submit(&ring);
}

}  // namespace

int main(int argc, char** argv) {
  auto receiver = rondo::Receiver::open(argc > 1 ? argv[1] : "shm:ticks");
  if (!receiver) return std::fprintf(stderr, "%s\n", receiver.error().message.c_str()), 1;
  const auto fd = receiver->fd();
  if (!fd) return std::fprintf(stderr, "%s\n", fd.error().message.c_str()), 1;

  io_uring ring;
  if (io_uring_queue_init(8, &ring, 0) != 0) return std::fputs("no io_uring here\n", stderr), 2;
  watch(ring, *fd);
  while (receiver->status() == rondo::Status::kOk) {
    io_uring_cqe* completion = nullptr;
    int error = -io_uring_wait_cqe(&ring, &completion);
    if (error == EINTR) continue;  // a signal
    if (error == 0 && completion->res < 0) error = -completion->res;
    if (error != 0) {  // the poll would fail anew each time
      std::fprintf(stderr, "io_uring: %s\n", std::strerror(error));
      break;
    }
    const bool goes_on = (completion->flags & IORING_CQE_F_MORE) != 0;
    io_uring_cqe_seen(&ring, completion);
    while (const auto message = receiver->try_next()) {
      std::printf("%.*s\n", static_cast<int>(message->size()), message->text().data());
    }
    if (!goes_on) watch(ring, *fd);
  }
  // The descriptor is the receiver's: out of the loop before it is closed.
  io_uring_queue_exit(&ring);
  return receiver->status() == rondo::Status::kEnded ? 0 : 1;
}
