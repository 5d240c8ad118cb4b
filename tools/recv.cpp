// rondo recv: messages become standard output.
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <vector>

#include "commands.hpp"
#include "exit_code.hpp"
#include "output.hpp"
#include "patience.hpp"
#include "progress.hpp"
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
        shared_(receiver.info().kind == RingKind::kMpmc) {}

  int run() {
    Status status = Status::kOk;
    while (status == Status::kOk && output_.error() == 0 && !enough()) status = move_one();
    if (output_.error() == 0) static_cast<void>(output_.flush());
    progress_.finish();
    return output_.error() != 0 ? output_failed() : ended(status);
  }

 private:
  Status move_one() {
    if (const auto message = receiver_.try_next()) [[likely]] {
      take(*message);
      return Status::kOk;
    }
    // Nothing for the moment: let those who read from us go on.
    if (!output_.flush()) return Status::kIoError;
    auto message = receiver_.next();
    if (message) take(*message);
    return message.status();
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
    static_cast<void>(output_.flush());
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
    if (receiver_.evicted()) say_note("was too slow; the sender waited for it no longer");
    if (receiver_.lost() != 0) {
      say_note("received {} messages, lost {}", grouped(received_), grouped(receiver_.lost()));
    }
    if (code == kPeerVanished && shared_) {
      const std::uint64_t died = receiver_.info().senders_died;
      say_error(
          "{} sender{} vanished without ending the stream; what {} had sent has been received, {} "
          "messages of all senders here",
          grouped(died), died == 1 ? "" : "s", died == 1 ? "it" : "they", grouped(received_));
    } else if (code == kPeerVanished) {
      say_error(
          "the sender vanished without ending the stream; all {} messages that it had sent "
          "have been written",
          grouped(received_));
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
  std::uint64_t received_ = 0;
  std::vector<std::byte> copy_;
};

int receive(const TransferOptions& options, Output& output) {
  const Patience patience(options, "a sender");
  auto receiver =
      open_patiently<Receiver>(url_with_options(options), open_options(options), patience);
  if (!receiver) return report_open_error(receiver.error(), patience);
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
