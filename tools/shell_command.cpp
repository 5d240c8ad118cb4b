#include "shell_command.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

extern char** environ;

namespace rondo::program {
namespace {

constexpr std::size_t kPipeRead = std::size_t{64} << 10;
// How soon a stop or the end of a caller's patience is noticed while a command works.
constexpr std::chrono::milliseconds kSlice{50};

}  // namespace

bool ShellCommand::start(const std::string& command) {
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  if (pipe2(in.data(), O_CLOEXEC) != 0) return false;
  to_ = File(in[1]);
  const File its_input(in[0]);
  if (pipe2(out.data(), O_CLOEXEC) != 0) return false;
  from_ = File(out[0]);
  const File its_output(out[1]);
  static_cast<void>(fcntl(in[1], F_SETFL, O_NONBLOCK));
  static_cast<void>(fcntl(out[0], F_SETFL, O_NONBLOCK));

  // It is not to inherit what this program does about signals. In a group of its own, so that
  // what it has started ends with it.
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  sigaddset(&defaults, SIGCHLD);
  posix_spawn_file_actions_t actions;
  int error = posix_spawn_file_actions_init(&actions);
  if (error != 0) return failed(error);
  posix_spawnattr_t attributes;
  error = posix_spawnattr_init(&attributes);
  if (error == 0) {
    const auto then = [&error](int next) {
      if (error == 0) error = next;
    };
    then(posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO));
    then(posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO));
    then(posix_spawnattr_setsigdefault(&attributes, &defaults));
    then(posix_spawnattr_setpgroup(&attributes, 0));
    then(posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP));
    std::string shell = "sh";
    std::string option = "-c";
    std::string text = command;
    std::array<char*, 4> arguments{shell.data(), option.data(), text.data(), nullptr};
    if (error == 0) {
      error = posix_spawn(&pid_, "/bin/sh", &actions, &attributes, arguments.data(), environ);
    }
    posix_spawnattr_destroy(&attributes);
  }
  posix_spawn_file_actions_destroy(&actions);
  return error == 0 || failed(error);
}

ShellCommand::State ShellCommand::run(std::span<const std::byte> input,
                                      std::vector<std::byte>& output, std::size_t most,
                                      const std::function<bool()>& over) {
  // Once it has closed its output, which it mostly does by ending.
  std::chrono::milliseconds closed_slice{1};
  for (;;) {
    if (input.empty()) to_ = File();
    if (over()) return State::kRunning;
    const bool ended = has_ended();  // before the last look at its output
    if (failed_) return State::kFailed;
    std::array<pollfd, 2> polled{pollfd{from_.get(), POLLIN, 0}, pollfd{to_.get(), POLLOUT, 0}};
    auto slice = kSlice;
    if (from_.get() < 0) slice = std::exchange(closed_slice, std::min(2 * closed_slice, kSlice));
    if (ended) slice = {};
    const int ready = poll(polled.data(), polled.size(), static_cast<int>(slice.count()));
    if (ready < 0 && errno != EINTR) return State::kFailed;
    if (ready <= 0 && ended) return State::kDone;
    if (ready <= 0) continue;
    if (polled[1].revents != 0) feed(input);
    if (polled[0].revents != 0) {
      const State taken = take(output, most);
      if (taken == State::kFailed || taken == State::kTooMuch) return taken;
      if (taken == State::kDone) from_ = File();  // and it may live on
    } else if (ended) {
      return State::kDone;
    }
  }
}

void ShellCommand::end() {
  if (pid_ <= 0) return;
  kill(-pid_, SIGKILL);
  kill(pid_, SIGKILL);
  while (waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
}

bool ShellCommand::failed(int error) noexcept {
  pid_ = -1;
  errno = error;
  return false;
}

bool ShellCommand::has_ended() {
  if (pid_ <= 0) return true;
  const pid_t ended = waitpid(pid_, &status_, WNOHANG);
  if (ended == pid_) pid_ = -1;
  if (ended < 0 && errno != EINTR) {
    failed_ = true;  // what became of it nobody knows
    pid_ = -1;       // and its number may be another one's by now
  }
  return pid_ <= 0;
}

void ShellCommand::feed(std::span<const std::byte>& input) {
  const ssize_t wrote = ::write(to_.get(), input.data(), std::min(input.size(), kPipeRead));
  if (wrote > 0) input = input.subspan(static_cast<std::size_t>(wrote));
  // It does not want the rest.
  if (wrote < 0 && errno != EAGAIN && errno != EINTR) input = {};
}

ShellCommand::State ShellCommand::take(std::vector<std::byte>& output, std::size_t most) {
  piece_.resize(kPipeRead);
  const ssize_t read = ::read(from_.get(), piece_.data(), piece_.size());
  if (read < 0 && (errno == EAGAIN || errno == EINTR)) return State::kRunning;
  if (read < 0) return State::kFailed;
  if (read == 0) return State::kDone;
  if (output.size() + static_cast<std::size_t>(read) > most) return State::kTooMuch;
  output.insert(output.end(), piece_.begin(), piece_.begin() + read);
  return State::kRunning;
}

}  // namespace rondo::program
