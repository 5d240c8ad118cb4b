// What the tests of waiting share: the simplest thing to wait for, a counter with a bell, and lives
// that end.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>

#include "rondo/core/bell.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/wait.hpp"
#include "support/processes.hpp"

namespace rondo::testing {

// A counter with a bell: the smallest ring that one can wait for. All zero is fresh.
struct Mailbox {
  alignas(kSharingRange) Atomic<std::uint64_t> published;  // by the publisher
  BellNotifier notifier;
  alignas(kSharingRange) BellWaiter waiter;  // by the waiting side
};

class Publisher {
 public:
  explicit Publisher(Mailbox& box) : box_(box), notifier_(box.waiter, box.notifier) {}
  bool publish() {
    // M1 (release, pairs with M2): what was done before the publish.
    box_.published.store(++published_, std::memory_order_release);
    return notifier_.notify();
  }

 private:
  Mailbox& box_;
  std::uint64_t published_ = 0;
  Notifier notifier_;
};

class MailboxReader {
 public:
  explicit MailboxReader(Mailbox& box, WaitMode mode = WaitMode::kPark,
                         const std::atomic<bool>* stop = nullptr)
      : box_(box), waiter_(box.waiter, box.notifier), strategy_(mode, stop) {}

  // Waits for the next publish, and takes it.
  template <class Probe>
  WaitResult take(Deadline deadline, Probe&& peer_gone) {
    const WaitResult result = strategy_.wait(
        waiter_, deadline,
        // M2 (acquire, pairs with M1): what was done before the publish.
        [this] { return box_.published.load(std::memory_order_acquire) > taken_; }, peer_gone);
    if (result == WaitResult::kReady) ++taken_;
    return result;
  }
  WaitResult take(Deadline deadline = Deadline::never()) {
    return take(deadline, [] { return false; });
  }
  void leave() { waiter_.leave(); }

 private:
  Mailbox& box_;
  std::uint64_t taken_ = 0;
  Waiter waiter_;
  WaitStrategy strategy_;
};

// A life that others can ask the kernel about, as DESIGN.md has it: an open-file-description lock.
class Life {
 public:
  Life() : file_(memfd_create("life", 0)) {
    std::snprintf(path_, sizeof path_, "/proc/%d/fd/%d", getpid(), file_);
  }
  ~Life() { close(file_); }
  // To be called by the live process.
  void hold() const {
    const int own = open(path_, O_RDWR);
    struct flock lock = whole_file();
    if (own < 0 || fcntl(own, F_OFD_SETLK, &lock) != 0) _exit(98);
  }
  [[nodiscard]] bool ended() const {
    struct flock lock = whole_file();
    return fcntl(file_, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
  }

 private:
  static struct flock whole_file() {
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    return lock;
  }
  int file_;
  char path_[64];
};

}  // namespace rondo::testing
