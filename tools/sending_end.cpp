#include "sending_end.hpp"

#include <chrono>
#include <string>

#include "exit_code.hpp"
#include "rondo/rondo.hpp"
#include "say.hpp"

namespace rondo::program {

std::string_view what_happened_to_receiver(Status status) {
  if (status == Status::kPeerGone) return "the receiver left before the end";
  if (status == Status::kPeerDied) return "the receiver died";
  return to_string(status);
}

int await_receiver(Sender& sender, const TransferOptions& options, const Patience& patience,
                   NameWatch& watch) {
  constexpr std::chrono::seconds kPollInterval{1};
  std::string accept_error;
  const auto wait_and_look = [&](Deadline deadline) {
    for (;;) {
      const Deadline look = earlier(deadline, Deadline::after(kPollInterval));
      const Status waited = sender.wait_for_receivers(options.receivers.value_or(1), look);
      if (waited != Status::kTimedOut) return waited;
      if (accept_error.empty()) {
        accept_error = sender.info().accept_error;
        if (!accept_error.empty()) say_note("{}: {}", channel_name(options), accept_error);
      }
      if (deadline.passed()) return waited;
    }
  };
  const Status status =
      patience.wait([&](Deadline deadline) { return watch.wait(sender, wait_and_look, deadline); },
                    [](Status waited) { return waited == Status::kTimedOut; });
  if (status == Status::kTimedOut) {
    say_error("{}", patience.complaint());
  } else if (status != Status::kOk && status != Status::kInterrupted) {
    say_error("{}", to_string(status));
  }
  return exit_code_of(status);
}

int finish(Sender& sender, const TransferOptions& options, NameWatch& watch) {
  Status status = Status::kOk;
  if (!options.keep) {
    status = watch.wait(sender, [&](Deadline deadline) { return sender.flush(deadline); });
  }
  if (status == Status::kOk || status == Status::kInterrupted) {
    // A receiver that left after the last message has not missed anything.
    static_cast<void>(sender.close());
    return kSuccess;
  }
  say_error("while the last messages were read: {}", what_happened_to_receiver(status));
  return exit_code_of(status);
}

}  // namespace rondo::program
