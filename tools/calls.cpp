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
#include <deque>
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
// After one that was lost, until the next caller is let in.
constexpr std::chrono::milliseconds kShortestPause{1};
constexpr std::chrono::milliseconds kLongestPause{500};

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

// What another process says, for a terminal: control characters as \\xNN.
std::string printable(std::string_view text) {
  std::string shown;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f) {
      shown += c;
    } else {
      shown += fmt::format("\\x{:02x}", byte);
    }
  }
  return shown;
}

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
      // Half of the input is not a question that was asked.
      return read == kSuccess && input.state() == Input::State::kEnd ? ask(whole_) : read;
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
    const int read = judge_input(input);
    return read == kSuccess ? code : read;
  }

 private:
  int read_all(Input& input) {
    std::vector<std::byte> piece(kInputBuffer);
    for (std::size_t got = 0; (got = input.read_some(piece)) != 0;) {
      whole_.insert(whole_.end(), piece.begin(), piece.begin() + static_cast<std::ptrdiff_t>(got));
      if (whole_.size() > caller_.max_request_bytes()) return too_large();
    }
    return judge_input(input);
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
      say_error("request {} was refused ({}): {}", grouped(asked_), reply->code(),
                printable(reply->text()));
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
  enum class State { kRunning, kDone, kTooMuch, kFailed };

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
  ~Command() { end(); }

  // Feeds it, and takes what it says into `output`, up to `most` bytes, until it has ended, or
  // `over()`, which is asked in each slice. What it has started and left behind may hold its output
  // open: that is not waited for.
  template <class Over>
  State run(std::span<const std::byte> input, std::vector<std::byte>& output, std::size_t most,
            Over&& over) {
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

  // Its exit code, once it has ended, or 128 and the signal that ended it, as shells say it.
  [[nodiscard]] int code() const noexcept {
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_);
  }
  // Ends it, if it still works, and what it has started.
  void end() {
    if (pid_ <= 0) return;
    kill(-pid_, SIGKILL);
    kill(pid_, SIGKILL);
    while (waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
  }

 private:
  bool failed(int error) noexcept {
    pid_ = -1;
    errno = error;
    return false;
  }
  bool has_ended() {
    if (pid_ <= 0) return true;
    const pid_t ended = waitpid(pid_, &status_, WNOHANG);
    if (ended == pid_) pid_ = -1;
    if (ended < 0 && errno != EINTR) failed_ = true;  // what became of it nobody knows
    return pid_ <= 0;
  }
  void feed(std::span<const std::byte>& input) {
    const ssize_t wrote = ::write(to_.get(), input.data(), std::min(input.size(), kPipeRead));
    if (wrote > 0) input = input.subspan(static_cast<std::size_t>(wrote));
    // It does not want the rest.
    if (wrote < 0 && errno != EAGAIN && errno != EINTR) input = {};
  }
  // kDone: it has closed its output.
  State take(std::vector<std::byte>& output, std::size_t most) {
    piece_.resize(kPipeRead);
    const ssize_t read = ::read(from_.get(), piece_.data(), piece_.size());
    if (read < 0 && (errno == EAGAIN || errno == EINTR)) return State::kRunning;
    if (read < 0) return State::kFailed;
    if (read == 0) return State::kDone;
    if (output.size() + static_cast<std::size_t>(read) > most) return State::kTooMuch;
    output.insert(output.end(), piece_.begin(), piece_.begin() + read);
    return State::kRunning;
  }

  pid_t pid_ = -1;
  int status_ = 0;
  bool failed_ = false;
  File to_;
  File from_;
  std::vector<std::byte> piece_;
};

class Server {
 public:
  Server(Service& service, const std::string& command) : service_(service), command_(command) {}

  // Until the caller is gone, or a stop; then why.
  Status run() {
    const Status why = serve();
    if (unanswered_ > 0) {
      say_note("{} requests were not answered: their caller cancelled them, or waited no longer",
               grouped(unanswered_));
    }
    return why;
  }

 private:
  // A request that was taken out of the channel, so that what comes behind it is seen.
  struct Taken {
    CallId id;
    Deadline answer_by;
    std::vector<std::byte> bytes;
  };
  // Of those that wait behind the one that is worked on; with more, or as many as the service
  // itself takes, the rest stays in the channel.
  static constexpr std::size_t kMostBytes = std::size_t{1} << 20;
  static constexpr std::size_t kMost = Service::kMaxUnderWay - 1;

  Status serve() {
    for (;;) {
      if (stop_signal::requested()) return Status::kInterrupted;
      if (waiting_.empty()) take_one(Deadline::never());
      if (waiting_.empty()) return why_no_more_;
      const Taken request = std::move(waiting_.front());
      waiting_.pop_front();
      waiting_bytes_ -= request.bytes.size();
      if (service_.cancelled(request.id)) {
        ++unanswered_;
        continue;
      }
      const Status answered = answer(request);
      if (answered == Status::kClosed || answered == Status::kTimedOut) ++unanswered_;
      service_.drop(request.id);  // unless it was answered
      if (const Status lost = service_.replies().status(); lost != Status::kOk) return lost;
    }
  }

  // False: there is none now, or for good.
  bool take_one(Deadline deadline) {
    if (why_no_more_ != Status::kOk) return false;
    auto request = service_.next(deadline);
    if (request) {
      const auto bytes = request->bytes();
      waiting_.push_back({request->id(), request->answer_by(), {bytes.begin(), bytes.end()}});
      waiting_bytes_ += bytes.size();
      return true;
    }
    if (request.status() != Status::kWouldBlock) why_no_more_ = request.status();
    return false;
  }

  // kClosed: it was cancelled; kTimedOut: its caller waits no longer.
  Status answer(const Taken& request) {
    Command command;
    if (!command.start(command_)) {
      return service_.fail(
          request.id, 127,
          "the command can't be started: " + std::generic_category().message(errno));
    }
    output_.clear();
    using State = Command::State;
    const auto over = [&] {
      return stop_signal::requested() || request.answer_by.passed() || is_unwanted(request.id);
    };
    const State state = command.run(request.bytes, output_, service_.max_reply_bytes(), over);
    if (state != State::kDone) command.end();
    switch (state) {
      case State::kDone: break;
      case State::kTooMuch:
        return service_.fail(request.id, 1, "the answer is too large for the channel");
      case State::kFailed: return service_.fail(request.id, 1, "the command can't be followed");
      case State::kRunning:
        if (service_.cancelled(request.id)) return Status::kClosed;
        static_cast<void>(service_.fail(
            request.id, 124,  // as timeout(1) says it
            stop_signal::requested() ? "the service was stopped" : "the command took too long",
            Deadline::now()));
        return request.answer_by.passed() ? Status::kTimedOut : Status::kOk;
    }
    if (const int code = command.code(); code != 0) {
      return service_.fail(request.id, static_cast<std::uint32_t>(code),
                           fmt::format("the command ended with {}", code), request.answer_by);
    }
    return service_.reply(request.id, output_, request.answer_by);
  }

  // Whether its caller has cancelled it, or nobody is left to read the answer. Asks the kernel, so
  // not at each slice.
  bool is_unwanted(CallId request) {
    if (!next_look_.passed()) return false;
    next_look_ = Deadline::after(kSlice);
    while (waiting_bytes_ < kMostBytes && waiting_.size() < kMost && take_one(Deadline::now())) {
    }
    // Who has ended its requests in order may wait for answers still; else another one has come.
    const bool lost = why_no_more_ != Status::kOk && why_no_more_ != Status::kNoMemory &&
                      service_.requests().status() != Status::kEnded;
    return lost || service_.cancelled(request) || !service_.replies().receiver_attached();
  }

  Deadline next_look_ = Deadline::now();
  Service& service_;
  const std::string& command_;
  std::deque<Taken> waiting_;
  std::size_t waiting_bytes_ = 0;
  Status why_no_more_ = Status::kOk;  // come
  std::uint64_t unanswered_ = 0;
  std::vector<std::byte> output_;
};

}  // namespace

int run_call(const TransferOptions& options) {
  stop_signal::install();
  const Patience patience(options, "the service");
  auto caller = open_side<Caller>(options, patience);
  const int code =
      caller ? Asker(*caller, options).run() : report_open_error(caller.error(), patience);
  if (stop_signal::requested()) stop_signal::die_of(stop_signal::number());
  return code;
}

int run_serve(const ServeOptions& options) {
  stop_signal::install();
  ::signal(SIGCHLD, SIG_DFL);  // where it is ignored, nobody learns how a command has ended
  const Patience patience(options.transfer, "a caller");
  std::chrono::milliseconds pause = kShortestPause;
  while (!stop_signal::requested()) {
    auto service = open_side<Service>(options.transfer, patience);
    if (!service && stop_signal::requested()) break;
    if (!service) return report_open_error(service.error(), patience);
    const Status status = Server(*service, options.command).run();
    if (status == Status::kInterrupted) break;
    if (options.once) return exit_code_of(status);
    if (status == Status::kEnded) {
      pause = kShortestPause;
      continue;
    }
    // One caller's trouble is not the next one's.
    say_note("a caller was lost: {}", to_string(status));
    stop_signal::sleep(pause);
    pause = std::min(2 * pause, kLongestPause);
  }
  stop_signal::die_of(stop_signal::number());
}

}  // namespace rondo::program
