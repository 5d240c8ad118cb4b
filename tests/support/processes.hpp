// What tests with several processes share: memory that a forked child sees, children that never
// outlive the test, a watchdog, and a printed seed.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <new>
#include <random>
#include <string>

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
    if (pid_ < 0) std::abort();
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
  void signal(int number) const {
    if (pid_ > 0) kill(pid_, number);  // -1 would be everyone
  }
  [[nodiscard]] pid_t pid() const { return pid_; }
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

// Runs `body` in a process that is killed once the body has returned 0. Bounded by the
// test's watchdog.
template <class Body>
void run_and_kill(Body&& body) {
  Shared<std::atomic<int>> result;
  *result = -1;
  Child child([&] {
    *result = body();
    for (;;) pause();
    return 0;
  });
  while (*result < 0) usleep(100);
  EXPECT_EQ(*result, 0);
  child.signal(SIGKILL);
  EXPECT_EQ(child.join(), -SIGKILL);
}

// Returns once what `stat` tells of, a file of /proc, sleeps in the kernel. Bounded by the test's
// watchdog.
inline void await_sleep_by(const std::string& stat) {
  for (char state = ' '; state != 'S';) {
    std::ifstream file(stat);
    std::string text;
    std::getline(file, text);
    state = text.at(text.rfind(')') + 2);
  }
}
// The thread `id` of this process; getpid() is the first one.
inline void await_sleep(pid_t id) {
  await_sleep_by("/proc/self/task/" + std::to_string(id) + "/stat");
}
// Every other thread of this process. A child that is forked while one of them allocates would find
// AddressSanitizer's allocator locked for ever.
inline void await_sleep_of_other_threads() {
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    const pid_t id = std::stoi(entry.path().filename());
    if (id != gettid()) await_sleep(id);
  }
}
// Another process, by its first thread.
inline void await_sleep_of(pid_t process) {
  await_sleep_by("/proc/" + std::to_string(process) + "/stat");
}

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

}  // namespace rondo::testing
