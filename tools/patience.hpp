// Waiting for the other side to come: silently for a second, then with a note, up to --wait.
#pragma once

#include <string>
#include <string_view>

#include "options.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/transports/open_options.hpp"
#include "say.hpp"
#include "stop_signal.hpp"

namespace rondo::program {

class Patience {
 public:
  // `awaited` is "a sender" or "a receiver".
  Patience(const TransferOptions& options, std::string_view awaited);

  // Calls attempt(Deadline) once or twice, until timed_out(its result) is false or the limit has
  // passed, and returns the last result.
  template <class Attempt, class TimedOut>
  auto wait(Attempt attempt, TimedOut timed_out) const {
    auto result = attempt(earlier(limit_, Deadline::after(kSilence)));
    if (!timed_out(result) || limit_.passed()) return result;
    say_waiting();
    return attempt(limit_);
  }

  // "no receiver has come to shm:names within 5 s"
  [[nodiscard]] std::string complaint() const;

 private:
  static constexpr std::chrono::seconds kSilence{1};

  void say_waiting() const;

  const TransferOptions& options_;
  std::string_view awaited_;
  Deadline limit_;
};

// Says which wishes for the channel's memory (lock, numa, huge pages) went unfulfilled.
void say_memory_notes(const SegmentReport& memory);

// Opens a handle patiently. `Handle` is Sender or Receiver.
template <class Handle>
Result<Handle> open_patiently(const std::string& url, const OpenOptions& wishes,
                              const Patience& patience) {
  auto handle = patience.wait(
      [&](Deadline deadline) {
        OpenOptions until = wishes;
        until.wait = deadline;
        return Handle::open(url, until);
      },
      [](const Result<Handle>& opened) {
        return !opened && opened.error().code == ErrorCode::kTimedOut;
      });
  if (handle) {
    if (const auto memory = handle->info().memory) say_memory_notes(*memory);
  }
  return handle;
}

// Says why a channel can't be opened; returns the exit code. After a stop, which is why, that is
// kSuccess: who has another end open ends that in order first, and then the process dies of it.
int report_open_error(const Error& error, const Patience& patience);

// What both commands ask of the library.
[[nodiscard]] OpenOptions open_options(const TransferOptions& options);
// The URL without its options, for messages.
[[nodiscard]] std::string channel_name(const TransferOptions& options);
// The URL, with keep=1 if --keep was given.
[[nodiscard]] std::string url_with_options(const TransferOptions& options);

}  // namespace rondo::program
