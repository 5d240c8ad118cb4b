// rondo recv: messages become standard output.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <vector>

#include "commands.hpp"
#include "exit_code.hpp"
#include "name_watch.hpp"
#include "output.hpp"
#include "patience.hpp"
#include "progress.hpp"
#include "receiving_end.hpp"
#include "rondo/rondo.hpp"
#include "say.hpp"
#include "stop_signal.hpp"
#include "units.hpp"

namespace rondo::program {
namespace {

constexpr std::size_t kOutputBuffer = std::size_t{256} << 10;

// Writes messages until the stream ends, --count is reached or a stop is requested (all of which
// are success), or until something fails, which it says. Whatever was taken has been written then.
class Pump {
 public:
  Pump(Receiver& receiver, Output& output, Progress& progress, const TransferOptions& options)
      : receiver_(receiver),
        output_(output),
        progress_(progress),
        options_(options),
        shared_(receiver.info().as<MpmcInfo>() != nullptr),
        eager_(acknowledges_eagerly(options)),
        watch_(options, receiver.info()) {}

  int run() {
    Status status = Status::kOk;
    while (status == Status::kOk && output_.error() == 0 && !enough()) status = move_one();
    if (output_.error() == 0 && output_.flush()) receiver_.acknowledge();
    progress_.finish();
    return output_.error() != 0 ? output_failed() : ended(status);
  }

 private:
  // The sender is told that messages have arrived when they have been written out, not before: who
  // can't write them has not received them.
  Status move_one() {
    if (auto message = receiver_.try_next()) [[likely]] {
      take(*message);
      message.reset();
      if (output_.empty() && output_.error() == 0) receiver_.acknowledge();
      return Status::kOk;
    }
    // Nothing for the moment: let the readers of our output go on.
    if (!output_.flush()) return Status::kIoError;
    receiver_.acknowledge();
    const Deadline silence =
        options_.idle_seconds
            ? Deadline::after(std::chrono::duration<double>(*options_.idle_seconds))
            : Deadline::never();
    auto message = watch_.wait(
        receiver_, [this](Deadline deadline) { return receiver_.next(deadline); }, silence);
    if (message) take(*message);
    const bool late =
        message.status() == Status::kTimedOut || message.status() == Status::kWouldBlock;
    return late ? Status::kEnded : message.status();
  }

  void take(const Message& message) {
    if (shared_) return take_shared(message);
    if (!receiver_.may_lose()) return write(message.bytes());
    // What may be overwritten while it is read is copied, and written only if it was whole.
    copy_.assign(message.bytes().begin(), message.bytes().end());
    if (message.intact()) write(copy_);
  }
  // Where receivers share the work, a message is written out before it is given back: if this
  // process is killed, another one gets what has not been.
  void take_shared(const Message& message) {
    write(message.bytes());
    if (message.redelivered()) {
      say_note(
          "message {} was in the hands of a receiver that died; it may have been written there, "
          "too",
          grouped(received_));
    }
    if (output_.error() == 0 && output_.flush()) return;
    // Not by way of the destructor, which would give the message back as received.
    const int code = output_failed();
    if (output_.error() == EPIPE) stop_signal::die_of(SIGPIPE);
    std::_Exit(code);
  }

  // Failures are kept by output_.
  void write(std::span<const std::byte> message) {
    std::size_t written = message.size();
    if (options_.format == Format::kRecords) {
      std::array<std::byte, 4> length;
      for (std::size_t i = 0; i < length.size(); ++i) {
        length[i] = static_cast<std::byte>(message.size() >> (8 * i) & 0xff);
      }
      static_cast<void>(output_.put(length));
      written += length.size();
    }
    static_cast<void>(output_.put(message));
    if (options_.format == Format::kLines) {
      static_cast<void>(output_.put('\n'));
      ++written;
    }
    ++received_;
    progress_.count(written);
    if (eager_) static_cast<void>(output_.flush());
    // What came before this message has been written with it.
    if (output_.writes() != writes_ && output_.error() == 0) receiver_.acknowledge();
    writes_ = output_.writes();
  }

  // ack=eager: at most one message comes again if this process is killed.
  static bool acknowledges_eagerly(const TransferOptions& options) {
    const auto url = Url::parse(options.url);
    return url && url->options.acknowledge == Acknowledge::kEagerly;
  }

  [[nodiscard]] bool enough() const noexcept {
    return (options_.count && received_ >= *options_.count) || stop_signal::requested();
  }

  int output_failed() const {
    // A reader that has left is no failure of ours: end silently, as it expects (see run_recv).
    if (output_.error() != EPIPE) {
      say_error("standard output can't be written: {}",
                std::generic_category().message(output_.error()));
    }
    return kInOut;
  }
  int ended(Status status) const {
    const int code = exit_code_of(status);
    say_what_did_not_come(receiver_, received_);
    const ChannelInfo info = receiver_.info();
    const auto* const datagrams = info.as<DatagramsInfo>();
    if (code == kPeerVanished && shared_) {
      const std::uint64_t died = std::get<MpmcInfo>(receiver_.info().kind).senders_died;
      say_error(
          "{} sender{} vanished without ending the stream; what {} had sent has been received, {} "
          "messages of all senders here",
          grouped(died), died == 1 ? "" : "s", died == 1 ? "it" : "they", grouped(received_));
    } else if (code == kPeerVanished && datagrams != nullptr && status == Status::kPeerDied) {
      say_error("the sender fell silent, or another one has come; {} messages have been written",
                grouped(received_));
    } else if (code == kPeerVanished) {
      say_error(
          "the sender {} without ending the stream; all {} messages that it had sent have been "
          "written",
          status == Status::kPeerGone ? "gave up" : "vanished", grouped(received_));
    } else if (code != kSuccess) {
      say_error("after {} messages: {}", grouped(received_), to_string(status));
    }
    return code;
  }

  Receiver& receiver_;
  Output& output_;
  Progress& progress_;
  const TransferOptions& options_;
  bool shared_;  // others receive from the same channel
  bool eager_;   // each message is written and acknowledged before the next one is taken
  NameWatch watch_;
  std::uint64_t writes_ = 0;  // of output_, when the sender was last told
  std::uint64_t received_ = 0;
  std::vector<std::byte> copy_;
};

// The user is told when this is what an earlier sender has left, and perhaps nothing else.
void say_what_was_found(const Receiver& receiver, const TransferOptions& options) {
  const ChannelInfo found = receiver.info();
  if (found.participants.empty()) return;  // of byte streams nothing is known
  const bool sender = std::ranges::any_of(found.participants, [](const ParticipantInfo& other) {
    return other.alive && other.role == Role::kProducer;
  });
  if (!sender) say_note("no sender is at {}; this is what one has left", channel_name(options));
}

int receive(const TransferOptions& options, Output& output) {
  // Nothing has come either as long as no sender has.
  TransferOptions until_idle = options;
  const bool idle = options.idle_seconds &&
                    options.idle_seconds < options.wait_seconds.value_or(*options.idle_seconds + 1);
  if (idle) until_idle.wait_seconds = options.idle_seconds;
  const Patience patience(until_idle, "a sender");
  auto receiver =
      open_patiently<Receiver>(url_with_options(options), open_options(options), patience);
  if (!receiver) {
    const bool late = receiver.error().code == ErrorCode::kTimedOut;
    if (idle && late && !stop_signal::requested()) return kSuccess;
    return report_open_error(receiver.error(), patience);
  }
  say_what_was_found(*receiver, options);
  Progress progress("rondo recv", options.progress, std::nullopt);
  return Pump(*receiver, output, progress, options).run();
}

}  // namespace

int run_recv(const TransferOptions& options) {
  stop_signal::install();
  Output output(STDOUT_FILENO, kOutputBuffer);
  const int code = receive(options, output);
  if (stop_signal::requested()) stop_signal::die_of(stop_signal::number());
  if (output.error() == EPIPE) stop_signal::die_of(SIGPIPE);
  return code;
}

}  // namespace rondo::program
