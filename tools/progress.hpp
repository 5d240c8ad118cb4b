// How far a transfer has come, on standard error: a line that is rewritten on a terminal, a line
// every two seconds elsewhere.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string_view>
#include <thread>

namespace rondo::program {

class Progress {
 public:
  // Shows nothing unless `shown`. `total_bytes`, where known, gives percent and remaining time.
  Progress(std::string_view command, bool shown, std::optional<std::uint64_t> total_bytes);
  // Stops, and shows the totals.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Counts one message. Called by the one thread that moves them; the clock starts with the first.
  void count(std::size_t message_bytes) noexcept {
    // relaxed: counters for display; this thread is their only writer.
    const std::uint64_t messages = messages_.load(std::memory_order_relaxed);
    if (messages == 0) [[unlikely]]
      start_clock();
    // relaxed: as above.
    messages_.store(messages + 1, std::memory_order_relaxed);
    // relaxed: as above.
    bytes_.store(bytes_.load(std::memory_order_relaxed) + message_bytes, std::memory_order_relaxed);
  }
  // Stops the clock: the last message has been counted.
  void finish() noexcept;

  // What erases a progress line that may stand on the terminal, before other text is written.
  [[nodiscard]] static std::string_view clear_line() noexcept;

 private:
  using Clock = std::chrono::steady_clock;

  void start_clock() noexcept;
  void run(const std::stop_token& stop);
  void show(bool last);

  std::string_view command_;
  bool shown_;
  bool terminal_;
  std::optional<std::uint64_t> total_bytes_;
  std::atomic<std::uint64_t> messages_{0};
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<Clock::rep> started_{0};
  std::atomic<Clock::rep> finished_{0};
  std::uint64_t bytes_before_ = 0;
  Clock::time_point time_before_{};
  std::jthread thread_;
};

}  // namespace rondo::program
