// rondo call and rondo serve: questions and answers from the command line.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "commands.hpp"
#include "exit_code.hpp"
#include "input.hpp"
#include "output.hpp"
#include "patience.hpp"
#include "rondo/call.hpp"
#include "say.hpp"
#include "stop_signal.hpp"
#include "units.hpp"

extern char** environ;

namespace rondo::program {
namespace {

constexpr std::size_t kInputBuffer = std::size_t{256} << 10;
constexpr std::size_t kOutputBuffer = std::size_t{64} << 10;
constexpr std::size_t kPipeRead = std::size_t{64} << 10;
// How soon a stop or the end of a caller's patience is noticed while a command works.
constexpr std::chrono::milliseconds kSlice{50};

OpenOptions wishes_for(Deadline wait) {
  OpenOptions wishes;
  wishes.name = "rondo";
  wishes.stop = &stop_signal::flag();
  wishes.wait = wait;
  return wishes;
}

// `Side` is Caller or Service.
template <class Side>
Result<Side> open_side(const TransferOptions& options, const Patience& patience) {
  return patience.wait(
      [&](Deadline deadline) { return Side::open(options.url, wishes_for(deadline)); },
      [](const Result<Side>& opened) {
        return !opened && opened.error().code == ErrorCode::kTimedOut;
      });
}

// ---- rondo call ----

class Asker {
 public:
  Asker(Caller& caller, const TransferOptions& options)
      : caller_(caller), options_(options), output_(STDOUT_FILENO, kOutputBuffer) {}

  int run() {
    Input input(STDIN_FILENO);
    BufferedInput lines(input, kInputBuffer);
    int code = kSuccess;
    if (options_.format == Format::kBlocks) {
      const int read = read_all(input);
      return read == kSuccess ? ask(whole_) : read;
    }
    while (!stop_signal::requested() && (!options_.count || asked_ < *options_.count)) {
      const auto line = lines.next_line(caller_.max_request_bytes());
      if (!line) {
        if (lines.line_too_long()) return too_large();
        break;
      }
      const int answered = ask(*line);
      if (answered != kSuccess && answered != kRefused) return answered;
      if (answered == kRefused) code = kRefused;  // of the one; the others are asked all the same
    }
    if (input.state() == Input::State::kFailed) {
      say_error("standard input can't be read: {}", std::generic_category().message(input.error()));
      return kInOut;
    }
    return code;
  }

 private:
  int read_all(Input& input) {
    std::vector<std::byte> piece(kInputBuffer);
    for (std::size_t got = 0; (got = input.read_some(piece)) != 0;) {
      whole_.insert(whole_.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(got));
      if (whole_.size() > caller_.max_request_bytes()) return too_large();
    }
    return kSuccess;
  }

  int ask(std::span<const std::byte> request) {
    ++asked_;
    const Deadline deadline =
        options_.wait_seconds
            ? Deadline::after(std::chrono::duration<double>(*options_.wait_seconds))
            : Deadline::never();
    const auto reply = caller_.call(request, deadline);
    if (!reply) {
      if (reply.status() == Status::kInterrupted) return kSuccess;
      if (reply.status() == Status::kTimedOut) {
        say_error("request {} was not answered within {:g} s", grouped(asked_),
                  *options_.wait_seconds);
      } else {
        say_error(
            "request {} was not answered: {}", grouped(asked_),
            reply.status() == Status::kEnded ? "the service has ended" : to_string(reply.status()));
      }
      return reply.status() == Status::kEnded ? int{kPeerVanished}
                                              : int{exit_code_of(reply.status())};
    }
    if (reply->failed()) {
      say_error("request {} was refused ({}): {}", grouped(asked_), reply->code(), reply->text());
      return kRefused;
    }
    static_cast<void>(output_.put(reply->bytes()));
    if (options_.format == Format::kLines) static_cast<void>(output_.put('\n'));
    if (output_.flush()) return kSuccess;
    if (output_.error() == EPIPE) stop_signal::die_of(SIGPIPE);
    say_error("standard output can't be written: {}",
              std::generic_category().message(output_.error()));
    return kInOut;
  }

  int too_large() const {
    say_error("request {} is too large: the most is {} bytes; give the URL a larger capacity=",
              grouped(asked_ + 1), grouped(caller_.max_request_bytes()));
    return kInOut;
  }

  Caller& caller_;
  const TransferOptions& options_;
  Output output_;
  std::uint64_t asked_ = 0;
  std::vector<std::byte> whole_;
};

// ---- rondo serve ----

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

// A command that the shell runs, with pipes for its input and output.
class Command {
 public:
  enum class State { kRunning, kDone, kFailed };

  // Whether it could be started; else errno says why not.
  bool start(const std::string& command) {
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

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    // It is not to inherit what this program does about signals. In a group of its own, so that
    // what it has started ends with it.
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    std::string shell = "sh";
    std::string option = "-c";
    std::string text = command;
    std::array<char*, 4> arguments{shell.data(), option.data(), text.data(), nullptr};
    const int error =
        posix_spawn(&pid_, "/bin/sh", &actions, &attributes, arguments.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) pid_ = -1;
    errno = error;
    return error == 0;
  }
  ~Command() { end(); }

  // Feeds it, and takes what it says into `output`, up to `most` bytes, until it has closed its
  // output, or `deadline`.
  State run(std::span<const std::byte> input, std::vector<std::byte>& output, std::size_t most,
            Deadline deadline) {
    std::vector<std::byte> piece(kPipeRead);
    for (;;) {
      if (input.empty()) to_ = File();
      if (stop_signal::requested() || deadline.passed()) return State::kRunning;
      std::array<pollfd, 2> polled{pollfd{from_.get(), POLLIN, 0}, pollfd{to_.get(), POLLOUT, 0}};
      if (poll(polled.data(), polled.size(), static_cast<int>(kSlice.count())) <= 0) continue;
      if (polled[1].revents != 0) {
        const ssize_t wrote = ::write(to_.get(), input.data(), std::min(input.size(), kPipeRead));
        if (wrote > 0) input = input.subspan(static_cast<std::size_t>(wrote));
        if (wrote < 0 && errno == EPIPE) input = {};  // it does not want the rest
      }
      if (polled[0].revents == 0) continue;
      const ssize_t read = ::read(from_.get(), piece.data(), piece.size());
      if (read < 0 && (errno == EAGAIN || errno == EINTR)) continue;
      if (read <= 0) return State::kDone;
      if (output.size() + static_cast<std::size_t>(read) > most) return State::kFailed;
      output.insert(output.end(), piece.begin(), piece.begin() + read);
    }
  }

  // Its exit code, or 128 and the signal that ended it, as shells say it.
  int wait() {
    int status = 0;
    while (waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  // Ends it, if it still works.
  void end() {
    if (pid_ <= 0) return;
    kill(-pid_, SIGKILL);
    kill(pid_, SIGKILL);
    wait();
  }

 private:
  pid_t pid_ = -1;
  File to_;
  File from_;
};

class Server {
 public:
  Server(Service& service, const std::string& command) : service_(service), command_(command) {}

  // Until the caller is gone; then why.
  Status run() {
    for (;;) {
      auto request = service_.next();
      if (!request) return request.status();
      static_cast<void>(answer(*request));
      service_.drop(request->id());  // unless it was answered: its caller did not wait so long
      if (const Status lost = service_.replies().status(); lost != Status::kOk) return lost;
    }
  }

 private:
  Status answer(const Request& request) {
    const CallId id = request.id();
    Command command;
    if (!command.start(command_)) {
      return service_.fail(
          id, 127, "the command can't be started: " + std::generic_category().message(errno));
    }
    output_.clear();
    const auto state =
        command.run(request.bytes(), output_, service_.max_reply_bytes(), request.answer_by());
    if (state != Command::State::kDone) {
      command.end();
      if (state == Command::State::kFailed) {
        return service_.fail(id, 1, "the answer is too large for the channel");
      }
      return service_.fail(
          id, 124,  // as timeout(1) says it
          stop_signal::requested() ? "the service was stopped" : "the command took too long",
          Deadline::now());
    }
    const int code = command.wait();
    if (code == 0) return service_.reply(id, output_, request.answer_by());
    return service_.fail(id, static_cast<std::uint32_t>(code),
                         fmt::format("the command ended with {}", code));
  }

  Service& service_;
  const std::string& command_;
  std::vector<std::byte> output_;
};

}  // namespace

int run_call(const TransferOptions& options) {
  stop_signal::install();
  const Patience patience(options, "the service");
  auto caller = open_side<Caller>(options, patience);
  if (!caller) return report_open_error(caller.error(), patience);
  const int code = Asker(*caller, options).run();
  if (stop_signal::requested()) stop_signal::die_of(stop_signal::number());
  return code;
}

int run_serve(const ServeOptions& options) {
  stop_signal::install();
  const Patience patience(options.transfer, "a caller");
  while (!stop_signal::requested()) {
    auto service = open_side<Service>(options.transfer, patience);
    if (!service) return report_open_error(service.error(), patience);
    const Status status = Server(*service, options.command).run();
    if (status == Status::kInterrupted) break;
    if (status != Status::kEnded) say_note("a caller was lost: {}", to_string(status));
    if (options.once) return exit_code_of(status);
  }
  stop_signal::die_of(stop_signal::number());
}

}  // namespace rondo::program
