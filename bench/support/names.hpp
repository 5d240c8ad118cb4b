// The names that a program gives to its channels, and that nothing of it is left when it was
// killed.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <cerrno>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace rondo::bench {

// "guarded-compare-1234", and what begins with it. A channel takes its name away when its last
// participant leaves it; who is killed leaves nothing. So a process of its own, in a session of its
// own, waits for the end of this one and of all that it has forked, however they end, and removes
// what then still has the name in it.
class OwnName {
 public:
  // To be made before any thread is. `directories`: where there may be something, beside the
  // system's shared memory and /tmp.
  explicit OwnName(std::string_view program, std::vector<std::string> directories = {})
      : name_(std::string(program) + '-' + std::to_string(getpid())) {
    directories.insert(directories.end(), {"/dev/shm", "/tmp"});
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return;
    keeper_ = fork();
    if (keeper_ == 0) {
      close(ends[1]);
      setsid();
      for (const int number : {SIGINT, SIGTERM, SIGHUP}) signal(number, SIG_IGN);
      char byte = 0;
      while (read(ends[0], &byte, 1) < 0 && errno == EINTR) {
      }
      for (const std::string& directory : directories) remove_from(directory);
      _exit(0);
    }
    close(ends[0]);
    end_ = ends[1];
  }
  OwnName(const OwnName&) = delete;
  OwnName& operator=(const OwnName&) = delete;
  ~OwnName() {
    if (end_ < 0) return;
    close(end_);
    if (keeper_ > 0) waitpid(keeper_, nullptr, 0);
  }

  [[nodiscard]] const std::string& get() const { return name_; }

 private:
  void remove_from(const std::string& directory) const {
    namespace fs = std::filesystem;
    std::error_code error;
    std::vector<fs::path> found;
    for (fs::directory_iterator at(directory, error), end; !error && at != end;
         at.increment(error)) {
      const std::string file = at->path().filename();
      const std::size_t place = file.find(name_);
      if (place == std::string::npos) continue;
      // 1234 is not 12345.
      const std::size_t behind = place + name_.size();
      if (behind < file.size() && std::isdigit(static_cast<unsigned char>(file[behind]))) continue;
      found.push_back(at->path());
    }
    for (const fs::path& path : found) fs::remove(path, error);
  }

  std::string name_;
  pid_t keeper_ = -1;
  int end_ = -1;
};

}  // namespace rondo::bench
