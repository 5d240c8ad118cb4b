// rondo call: questions from the command line.
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "call_side.hpp"
#include "commands.hpp"
#include "exit_code.hpp"
#include "input.hpp"
#include "output.hpp"
#include "patience.hpp"
#include "rondo/call.hpp"
#include "say.hpp"
#include "stop_signal.hpp"
#include "units.hpp"

namespace rondo::program {
namespace {

constexpr std::size_t kInputBuffer = std::size_t{256} << 10;
constexpr std::size_t kOutputBuffer = std::size_t{64} << 10;

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

}  // namespace rondo::program
