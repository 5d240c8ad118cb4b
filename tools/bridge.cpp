// rondo bridge: what comes at one address goes out at another.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "commands.hpp"
#include "exit_code.hpp"
#include "name_watch.hpp"
#include "passing.hpp"
#include "patience.hpp"
#include "progress.hpp"
#include "receiving_end.hpp"
#include "rondo/rondo.hpp"
#include "say.hpp"
#include "sending_end.hpp"
#include "stop_signal.hpp"
#include "units.hpp"

namespace rondo::program {
namespace {

// One end of the bridge, which --restart opens anew. `Handle` is Sender or Receiver.
template <class Handle>
class End {
 public:
  End(const TransferOptions& options, std::string_view awaited)
      : options_(options), awaited_(awaited) {}

  // Says why if it can't be opened; returns the exit code, kSuccess also after a stop.
  int open() {
    handle_.reset();
    patience_.emplace(options_, awaited_);
    auto opened = open_patiently<Handle>(options_.url, wishes(), *patience_);
    if (!opened) return report_open_error(opened.error(), *patience_);
    watch_.emplace(options_, opened->info());
    handle_.emplace(std::move(*opened));
    return kSuccess;
  }

  // Not where the last open() failed, or was stopped.
  [[nodiscard]] bool is_open() const noexcept { return handle_.has_value(); }
  [[nodiscard]] Handle& operator*() noexcept { return *handle_; }
  [[nodiscard]] Handle* operator->() noexcept { return &*handle_; }
  [[nodiscard]] Losses& losses() noexcept { return losses_; }
  [[nodiscard]] NameWatch& watch() noexcept { return *watch_; }
  [[nodiscard]] const Patience& patience() const noexcept { return *patience_; }
  [[nodiscard]] const TransferOptions& options() const noexcept { return options_; }

 private:
  // A ring outlives its other side: there, who restarts waits for a successor. What has not been
  // passed on is not acknowledged.
  [[nodiscard]] OpenOptions wishes() const {
    OpenOptions wishes = open_options(options_);
    const auto url = Url::parse(options_.url);
    const bool ring = url && (url->segment() || url->scheme == Scheme::kGuarded);
    wishes.await_successor = options_.await_successor && ring;
    return wishes;
  }

  const TransferOptions& options_;
  std::string_view awaited_;
  std::optional<Patience> patience_;  // each time anew
  std::optional<Handle> handle_;
  std::optional<NameWatch> watch_;
  Losses losses_;
};

class Bridge {
 public:
  explicit Bridge(const BridgeOptions& options)
      : options_(options), from_(options.from, "a sender"), to_(options.to, "a receiver") {
    progress_.emplace("rondo bridge", options.progress, std::nullopt);
  }

  int run() {
    int code = open_to();
    if (code == kSuccess && opened_) code = from_.open();
    if (code == kSuccess) code = pump();
    progress_.reset();
    if (from_.is_open()) say_what_did_not_come(*from_, passed_);
    if (!opened_) return code;
    if (code == kSuccess && to_is_stream_ && stop_signal::requested()) return write_the_rest();
    if (code == kSuccess) code = finish(*to_, to_.options(), to_.watch());
    // Half a stream must not look like a whole one.
    if (code != kSuccess) to_->break_off();
    return code;
  }
  // Whether a message was taken and not passed on.
  [[nodiscard]] bool holds_a_message() const noexcept { return held_.has_value(); }

 private:
  int open_to() {
    opened_ = false;
    int code = to_.open();
    if (code != kSuccess || !to_.is_open()) return code;
    opened_ = true;
    const ChannelInfo info = to_->info();
    to_is_stream_ = info.as<StreamInfo>() != nullptr || info.as<DatagramsInfo>() != nullptr;
    return await_receiver(*to_, to_.options(), to_.patience(), to_.watch());
  }

  // Until the stream ends, --count is reached or a stop is requested, all of which are success; or
  // until something fails, which it says.
  int pump() {
    int code = kSuccess;
    while (code == kSuccess && !enough()) {
      if (auto message = from_->try_next()) {
        held_.emplace(*std::move(message));
      } else {
        code = await_message();
      }
      if (!held_) {
        if (code == kSuccess && !from_over_) continue;
        break;
      }
      code = pass(*held_);
      // What was not passed on is another receiver's.
      if (code != kSuccess || stopped_) break;
      held_.reset();
      if (!intact_) continue;
      if (++passed_ % kAcknowledgeEvery == 0) code = acknowledge();
    }
    if (code == kSuccess) return acknowledge();
    static_cast<void>(settle());
    return code;
  }

  // Gives back what the other end has. What it holds back (wake_every= and the like) has not been
  // passed on yet, nor has what a stream has not taken: that would go with this process.
  Status settle() {
    if (!opened_) return Status::kOk;
    const Status status =
        to_is_stream_
            ? to_.watch().wait(*to_, [this](Deadline deadline) { return to_->flush(deadline); })
            : to_->wake();
    const bool has_it = status == Status::kOk || !to_is_stream_;
    if (has_it && from_.is_open()) from_->acknowledge();
    return has_it ? Status::kOk : status;
  }
  int acknowledge() {
    const Status status = settle();
    if (status == Status::kOk || status == Status::kInterrupted) return kSuccess;
    return restart_to(status);
  }

  // After a stop: a stream's reader has some seconds for what was staged. What it does not take
  // remains where it came from.
  int write_the_rest() {
    constexpr std::chrono::seconds kPatience{2};
    const stop_signal::PutOff put_off;
    const Deadline deadline = Deadline::after(kPatience);
    if (to_->flush(deadline) == Status::kOk) {
      if (from_.is_open()) from_->acknowledge();
      static_cast<void>(to_->close(deadline));
    } else {
      to_->break_off();
    }
    return kSuccess;
  }

  int await_message() {
    const int code = acknowledge();  // all that came has been passed on
    if (code != kSuccess) return code;
    auto awaited =
        from_.watch().wait(*from_, [this](Deadline deadline) { return from_->next(deadline); });
    if (awaited) {
      held_.emplace(*std::move(awaited));
      return kSuccess;
    }
    const Status status = awaited.status();
    from_over_ = status == Status::kEnded || status == Status::kInterrupted;
    return from_over_ ? int{kSuccess} : restart_from(status);
  }

  // The message stays where it came from until it has been taken at the other end: as often as that
  // end has to be opened.
  int pass(const Message& message) {
    PassedOn on{message.header(), message.bytes()};
    intact_ = true;
    if (from_->may_lose()) {
      // What may be overwritten while it is read is copied, and goes on only if it was whole.
      copy_.assign(on.header.begin(), on.header.end());
      copy_.insert(copy_.end(), on.bytes.begin(), on.bytes.end());
      intact_ = message.intact();
      if (!intact_) return kSuccess;
      on = {std::span(copy_).first(on.header.size()), std::span(copy_).subspan(on.header.size())};
    }
    int code = kSuccess;
    while (code == kSuccess) {
      const Status status = to_.watch().wait(*to_, [&](Deadline deadline) {
        return pass_on(on, *to_, deadline, passed_ + 1, to_name_);
      });
      if (status == Status::kTooLarge) return exit_code_of(status);
      stopped_ = status == Status::kInterrupted;
      if (stopped_) return kSuccess;
      if (status == Status::kOk) {
        progress_->count(on.bytes.size());
        if (message.redelivered()) say_redelivered();
        return kSuccess;
      }
      code = restart_to(status);
      if (!opened_) break;
    }
    stopped_ = code == kSuccess;  // while another one was waited for
    return code;
  }

  int restart_from(Status status) {
    if (!options_.restart || !may_return(status, from_.options().url)) {
      say_error("{}: after {} messages: {}", channel_name(from_.options()), grouped(passed_),
                to_string(status));
      return exit_code_of(status);
    }
    say_what_did_not_come(*from_, passed_);
    stop_signal::sleep(from_.losses().add(
        passed_, fmt::format("{}: after {} messages: {}; waiting for another sender",
                             channel_name(from_.options()), grouped(passed_), to_string(status))));
    return from_.open();
  }
  int restart_to(Status status) {
    if (!options_.restart || !may_return(status, to_.options().url)) {
      say_error("{}: after {} messages: {}", channel_name(to_.options()), grouped(passed_),
                what_happened_to_receiver(status));
      return exit_code_of(status);
    }
    stop_signal::sleep(to_.losses().add(
        passed_, fmt::format("{}: after {} messages: {}; what was on its way to it is lost; "
                             "waiting for another one",
                             channel_name(to_.options()), grouped(passed_),
                             what_happened_to_receiver(status))));
    return open_to();
  }

  void say_redelivered() const {
    say_note(
        "message {} was in the hands of a receiver that died; it may have been passed on there, "
        "too",
        grouped(passed_ + 1));
  }

  [[nodiscard]] bool enough() const noexcept {
    return (options_.count && passed_ >= *options_.count) || stop_signal::requested();
  }

  static constexpr std::uint64_t kAcknowledgeEvery = 64;

  const BridgeOptions& options_;
  End<Receiver> from_;
  End<Sender> to_;
  std::optional<Progress> progress_;
  bool opened_ = false;  // to_
  bool to_is_stream_ = false;
  bool intact_ = true;      // the last message
  bool from_over_ = false;  // the stream ended, or a stop was requested
  bool stopped_ = false;    // while a message was passed on
  std::uint64_t passed_ = 0;
  const std::string to_name_{channel_name(options_.to)};
  std::vector<std::byte> copy_;
  std::optional<Message> held_;
};

}  // namespace

int run_bridge(const BridgeOptions& options) {
  stop_signal::install();
  // Before anybody at the other end is met.
  for (const TransferOptions* end : {&options.from, &options.to}) {
    if (const auto url = Url::parse(end->url); !url) {
      say_error("{}", url.error().message);
      return exit_code_of(url.error().code);
    }
  }
  std::optional<Bridge> bridge(std::in_place, options);
  const int code = bridge->run();
  // Not by way of the destructors: where receivers share a channel they would give the message back
  // as received, and nobody else would get it. Else both other sides are told that this one left.
  const bool holds_a_message = bridge->holds_a_message();
  if (!holds_a_message) bridge.reset();
  if (stop_signal::requested()) stop_signal::die_of(stop_signal::number());
  if (holds_a_message) std::_Exit(code);
  return code;
}

}  // namespace rondo::program
