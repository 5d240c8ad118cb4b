// A command that the shell runs, with pipes for its input and output.
#pragma once

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace rondo::program {

class ShellCommand {
 public:
  enum class State : std::uint8_t { kRunning, kDone, kTooMuch, kFailed };

  ShellCommand() = default;
  ShellCommand(const ShellCommand&) = delete;
  ShellCommand& operator=(const ShellCommand&) = delete;
  ~ShellCommand() { end(); }

  // Whether it could be started; else errno says why not.
  bool start(const std::string& command);
  // Feeds it, and takes what it says into `output`, up to `most` bytes, until it has ended, or
  // `over()`, which is asked every 50 ms at least. What it has started and left behind may hold its
  // output open: that is not waited for.
  State run(std::span<const std::byte> input, std::vector<std::byte>& output, std::size_t most,
            const std::function<bool()>& over);
  // Its exit code, once it has ended, or 128 and the signal that ended it, as shells say it.
  [[nodiscard]] int code() const noexcept {
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
  }
  // Ends it, if it still works, and what it has started.
  void end();

 private:
  // A descriptor that is closed with it.
  class File {
   public:
    explicit File(int fd = -1) noexcept : fd_(fd) {}
    File(const File&) = delete;
    File& operator=(File&& other) noexcept {
      std::swap(fd_, other.fd_);
      return *this;
    }
    ~File() {
      if (fd_ >= 0) ::close(fd_);
    }
    [[nodiscard]] int get() const noexcept { return fd_; }

   private:
    int fd_;
  };

  bool failed(int error) noexcept;
  bool has_ended();
  void feed(std::span<const std::byte>& input);
  // kDone: it has closed its output.
  State take(std::vector<std::byte>& output, std::size_t most);

  pid_t pid_ = -1;
  int status_ = 0;
  bool failed_ = false;
  File to_;
  File from_;
  std::vector<std::byte> piece_;
};

}  // namespace rondo::program
