// Names for what tests make.
#pragma once

#include <mqueue.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <mutex>
#include <string>
#include <system_error>
#include <vector>

namespace rondo::testing {

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
  }
  void add(const std::string& word) {
    const std::lock_guard lock(mutex_);
    if (getpid() == owner_) words_.push_back(word);
  }

 private:
  pid_t owner_ = getpid();
  std::mutex mutex_;
  std::vector<std::string> words_;
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

}  // namespace rondo::testing
