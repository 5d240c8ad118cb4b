#include "progress.hpp"

#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <string>

#include <fmt/format.h>

#include "say.hpp"
#include "stop_signal.hpp"
#include "units.hpp"

namespace rondo::program {
namespace {

constexpr std::chrono::milliseconds kTerminalPeriod{200};
constexpr std::chrono::seconds kLogPeriod{2};

std::atomic<bool> line_shown{false};

double seconds_between(std::chrono::steady_clock::time_point from,
                       std::chrono::steady_clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

Progress::Progress(std::string_view command, bool shown, std::optional<std::uint64_t> total_bytes)
    : command_(command),
      shown_(shown),
      terminal_(::isatty(STDERR_FILENO) == 1),
      total_bytes_(total_bytes) {
  if (shown_) thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

Progress::~Progress() {
  if (!shown_) return;
  finish();
  thread_.request_stop();
  thread_.join();
  show(true);
}

void Progress::start_clock() noexcept {
  // relaxed: for display.
  started_.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
}

void Progress::finish() noexcept {
  // relaxed: for display.
  if (finished_.load(std::memory_order_relaxed) != 0) return;
  // relaxed: for display.
  finished_.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
}

std::string_view Progress::clear_line() noexcept {
  // relaxed: for display.
  return line_shown.exchange(false, std::memory_order_relaxed) ? "\r\x1b[K" : "";
}

void Progress::run(const std::stop_token& stop) {
  stop_signal::leave_to_others();
  std::mutex mutex;
  std::condition_variable_any never_notified;
  std::unique_lock lock(mutex);
  const Clock::duration period = terminal_ ? Clock::duration(kTerminalPeriod) : kLogPeriod;
  while (!never_notified.wait_for(lock, stop, period, [&] { return stop.stop_requested(); })) {
    show(false);
  }
}

void Progress::show(bool last) {
  // relaxed: counters for display; a torn pair is off by one message.
  const std::uint64_t messages = messages_.load(std::memory_order_relaxed);
  // relaxed: as above.
  const std::uint64_t bytes = bytes_.load(std::memory_order_relaxed);
  if (messages == 0 && !last) return;
  // relaxed: as above.
  const Clock::rep finished = finished_.load(std::memory_order_relaxed);
  const Clock::time_point now =
      finished != 0 ? Clock::time_point(Clock::duration(finished)) : Clock::now();
  // relaxed: as above.
  const Clock::rep started = started_.load(std::memory_order_relaxed);
  const Clock::time_point start = messages == 0 ? now : Clock::time_point(Clock::duration(started));
  if (bytes_before_ == 0) time_before_ = start;

  // While it runs, the rate of the last period; at the end, that of the whole.
  const double elapsed = seconds_between(start, now);
  const double period = last ? elapsed : seconds_between(time_before_, now);
  const std::uint64_t moved = last ? bytes : bytes - bytes_before_;
  const double rate = period > 0 ? static_cast<double>(moved) / period : 0;
  bytes_before_ = bytes;
  time_before_ = now;

  std::string text =
      fmt::format("{:>9}  {:>11}  {} message{}  {}", human_bytes(bytes), human_rate(rate),
                  grouped(messages), messages == 1 ? "" : "s", human_seconds(elapsed));
  if (total_bytes_ && *total_bytes_ > 0 && !last) {
    text += fmt::format("  {:3.0f} %",
                        100.0 * static_cast<double>(bytes) / static_cast<double>(*total_bytes_));
  }
  const bool rewritten = terminal_ && !last;
  const std::string line =
      fmt::format("{}{}: {}{}", terminal_ ? "\r\x1b[K" : "", command_, text, rewritten ? "" : "\n");
  // relaxed: for display.
  line_shown.store(rewritten, std::memory_order_relaxed);
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace rondo::program
