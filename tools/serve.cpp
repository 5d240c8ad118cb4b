// rondo serve: answers from the command line.
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "call_side.hpp"
#include "commands.hpp"
#include "exit_code.hpp"
#include "patience.hpp"
#include "rondo/call.hpp"
#include "say.hpp"
#include "shell_command.hpp"
#include "stop_signal.hpp"
#include "units.hpp"

namespace rondo::program {
namespace {

// How soon the end of a caller's patience is noticed while a command works.
constexpr std::chrono::milliseconds kSlice{50};
// After one that was lost, until the next caller is let in.
constexpr std::chrono::milliseconds kShortestPause{1};
constexpr std::chrono::milliseconds kLongestPause{500};

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
      // Before its command does what nobody waits for.
      if (request.answer_by.passed() || look_at(request.id)) {
        service_.drop(request.id);
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
    ShellCommand command;
    if (!command.start(command_)) {
      return service_.fail(
          request.id, 127,
          "the command can't be started: " + std::generic_category().message(errno),
          request.answer_by);
    }
    output_.clear();
    using State = ShellCommand::State;
    const auto over = [&] {
      return stop_signal::requested() || request.answer_by.passed() ||
             (next_look_.passed() && look_at(request.id));  // which asks the kernel
    };
    const State state = command.run(request.bytes, output_, service_.max_reply_bytes(), over);
    if (state != State::kDone) command.end();
    switch (state) {
      case State::kDone: break;
      case State::kTooMuch:
        return service_.fail(request.id, 1, "the answer is too large for the channel",
                             request.answer_by);
      case State::kFailed:
        return service_.fail(request.id, 1, "the command can't be followed", request.answer_by);
      case State::kRunning:
        if (service_.cancelled(request.id)) return Status::kClosed;
        // An answer now would come together with the end of its caller's patience.
        if (!stop_signal::requested()) return Status::kTimedOut;
        return service_.fail(request.id, 124,  // as timeout(1) says it
                             "the service was stopped", Deadline::now());
    }
    if (const int code = command.code(); code != 0) {
      return service_.fail(request.id, static_cast<std::uint32_t>(code),
                           fmt::format("the command ended with {}", code), request.answer_by);
    }
    return service_.reply(request.id, output_, request.answer_by);
  }

  // Whether its caller has cancelled it, or nobody is left to read the answer.
  bool look_at(CallId request) {
    next_look_ = Deadline::after(kSlice);
    while (waiting_bytes_ < kMostBytes && waiting_.size() < kMost && take_one(Deadline::now())) {
    }
    // Who has ended its requests in order may wait for answers still; else another one has come.
    // (Or it is we who are told to stop.)
    const bool lost = why_no_more_ != Status::kOk && why_no_more_ != Status::kNoMemory &&
                      why_no_more_ != Status::kInterrupted &&
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
