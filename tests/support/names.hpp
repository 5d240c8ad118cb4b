// Names for what tests make.
#pragma once

#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <string>
#include <system_error>
#include <vector>

namespace rondo::testing {

// What a System V key leads to: a queue, and the semaphores beside it; a segment.
inline int queue_at(std::uint32_t key) { return msgget(static_cast<key_t>(key), 0); }
inline int semaphores_at(std::uint32_t key) { return semget(static_cast<key_t>(key), 0, 0); }
inline int segment_at(std::uint32_t key) { return shmget(static_cast<key_t>(key), 0, 0); }
// The file beside a segment, of our IPC namespace.
inline std::string file_of_segment(std::uint32_t key) {
  struct stat space = {};
  if (stat("/proc/self/ns/ipc", &space) != 0) space.st_ino = 0;
  char name[80];
  std::snprintf(name, sizeof name, "/dev/shm/.rondo-sysv-%08x-%llu", key,
                static_cast<unsigned long long>(space.st_ino));
  return name;
}
inline void remove_at(std::uint32_t key) {
  if (const int queue = queue_at(key); queue >= 0) msgctl(queue, IPC_RMID, nullptr);
  if (const int set = semaphores_at(key); set >= 0) semctl(set, 0, IPC_RMID);
  if (const int segment = segment_at(key); segment >= 0) shmctl(segment, IPC_RMID, nullptr);
  unlink(file_of_segment(key).c_str());
}

// What the tests of this process have named, and leave behind: goes at the process's end.
class NamesOfTests {
 public:
  static NamesOfTests& instance() {
    static NamesOfTests names;
    return names;
  }
  // A child that was forked leaves them alone.
  ~NamesOfTests() {
    for (const std::string& word : words_) {
      std::error_code ignored;
      if (getpid() != owner_) return;
      std::filesystem::remove("/dev/shm/rondo-" + word, ignored);
      mq_unlink(("/" + word).c_str());
    }
    for (const std::uint32_t key : keys_) {
      if (getpid() == owner_) remove_at(key);
    }
  }
  void add(const std::string& word) {
    const std::lock_guard lock(mutex_);
    if (getpid() == owner_) words_.push_back(word);
  }
  void add(std::uint32_t key) {
    const std::lock_guard lock(mutex_);
    if (getpid() == owner_) keys_.push_back(key);
  }

 private:
  pid_t owner_ = getpid();
  std::mutex mutex_;
  std::vector<std::string> words_;
  std::vector<std::uint32_t> keys_;
};

// A name that no other test uses, in this program or any other. The pid tells whose it is; the
// time tells it from what a killed one with the same pid has left behind.
inline std::string unique_word() {
  static std::atomic<int> counter{0};
  const auto now = std::chrono::steady_clock::now().time_since_epoch().count();
  std::string word = "test-" + std::to_string(getpid()) + "-" + std::to_string(++counter) + "-" +
                     std::to_string(now);
  NamesOfTests::instance().add(word);
  return word;
}

// A System V key that no other test uses. The pid, which has 22 bits at most, tells whose it is:
// what stands there a killed one with the same pid has left behind, and it goes.
inline std::uint32_t unique_key() {
  static std::atomic<std::uint32_t> counter{0};
  constexpr std::uint32_t kKeys = 1024;
  for (;;) {
    const std::uint32_t number = counter++;
    const std::uint32_t key = static_cast<std::uint32_t>(getpid()) * kKeys + number % kKeys;
    if (number < kKeys) {
      remove_at(key);
      NamesOfTests::instance().add(key);
      return key;
    }
    if (queue_at(key) < 0 && semaphores_at(key) < 0 && segment_at(key) < 0)
      return key;  // not in use any more
  }
}

}  // namespace rondo::testing
