// What the tests of waiting share: memory that a forked child sees, children that never outlive
// the test, a watchdog, a printed seed, and the simplest thing to wait for: a counter with a bell.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <random>
#include <utility>

#include "rondo/core/bell.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/wait.hpp"

namespace rondo::testing {

// A T in memory that forked children share.
template <class T>
class Shared {
 public:
  Shared() {
    void* memory =
        mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) std::abort();
    value_ = new (memory) T{};
  }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  ~Shared() { munmap(static_cast<void*>(value_), sizeof(T)); }
  T* operator->() const { return value_; }
  T& operator*() const { return *value_; }

 private:
  T* value_;
};

// A forked child that runs `body` and exits with what it returns. Killed with its object, and with
// the test.
class Child {
 public:
  template <class Body>
  explicit Child(Body&& body) {
    std::fflush(nullptr);
    const pid_t parent = getpid();
    pid_ = fork();
    if (pid_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(99);
    _exit(body());
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (pid_ > 0) {
      signal(SIGKILL);
      join();
    }
  }
  void signal(int number) const { kill(pid_, number); }
  // Its exit status, or minus the signal that killed it.
  int join() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0) {
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  // Returns once the child stands still after a SIGSTOP.
  void join_stop() const {
    int status = 0;
    while (waitpid(pid_, &status, WUNTRACED) < 0 || !WIFSTOPPED(status)) {
    }
  }

 private:
  pid_t pid_ = -1;
};

// Ends a test that hangs.
class Watchdog : public ::testing::Test {
 protected:
  Watchdog() { alarm(240); }
  ~Watchdog() override { alarm(0); }
};

// A source of randomness whose seed is printed; RONDO_SEED repeats a run.
inline std::uint64_t random_seed() {
  const char* given = std::getenv("RONDO_SEED");
  const std::uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::printf("RONDO_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

// How many times the work of a test is done: less under a sanitizer's or a simulator's slowness.
inline std::uint64_t scaled(std::uint64_t times) {
  const char* scale = std::getenv("RONDO_TEST_SCALE");
  return scale != nullptr ? times * std::strtoull(scale, nullptr, 10) / 100 : times;
}

// A counter with a bell: the smallest ring that somebody can wait for. All zero is fresh.
struct Mailbox {
  alignas(kSharingRange) Atomic<std::uint64_t> published;  // by the publisher
  BellRinger ringer;
  alignas(kSharingRange) BellWaiter waiter;  // by the one who waits
};

class Publisher {
 public:
  explicit Publisher(Mailbox& box) : box_(box), ringer_(box.waiter, box.ringer) {}
  bool publish() {
    // M1 (release, pairs with M2): what was done before the publish.
    box_.published.store(++published_, std::memory_order_release);
    return ringer_.notify();
  }

 private:
  Mailbox& box_;
  std::uint64_t published_ = 0;
  Ringer ringer_;
};

class Waiter {
 public:
  explicit Waiter(Mailbox& box, WaitMode mode = WaitMode::kPark,
                  const std::atomic<bool>* stop = nullptr)
      : box_(box), sleeper_(box.waiter, box.ringer), strategy_(mode, stop) {}

  // Waits for the next publish, and takes it.
  template <class Probe>
  WaitResult take(Deadline deadline, Probe&& peer_gone) {
    const WaitResult result = strategy_.wait(
        sleeper_, deadline,
        // M2 (acquire, pairs with M1): what was done before the publish.
        [this] { return box_.published.load(std::memory_order_acquire) > taken_; }, peer_gone);
    if (result == WaitResult::kReady) ++taken_;
    return result;
  }
  WaitResult take(Deadline deadline = Deadline::never()) {
    return take(deadline, [] { return false; });
  }
  void leave() { sleeper_.leave(); }

 private:
  Mailbox& box_;
  std::uint64_t taken_ = 0;
  Sleeper sleeper_;
  WaitStrategy strategy_;
};

// A life that others can ask the kernel about, as DESIGN.md has it: an open-file-description lock.
class Life {
 public:
  Life() : file_(memfd_create("life", 0)) {
    std::snprintf(path_, sizeof path_, "/proc/%d/fd/%d", getpid(), file_);
  }
  ~Life() { close(file_); }
  // To be called by the one who lives.
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
