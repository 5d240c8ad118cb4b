// Standard input, cut into messages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "rondo/core/callback.hpp"

namespace rondo::program {

// A file descriptor that is read until its end, an error, or a request to stop.
class Input {
 public:
  enum class State : std::uint8_t { kOpen, kEnd, kStopped, kFailed };

  // `before_wait` is called before each read, which may wait for long; it outlives this object.
  explicit Input(int fd, FunctionRef<void()> before_wait = {}) noexcept
      : fd_(fd), before_wait_(before_wait) {}

  // Reads once. 0 when the state is no longer kOpen.
  [[nodiscard]] std::size_t read_some(std::span<std::byte> into) noexcept;
  // Reads until `into` is full, or the state is no longer kOpen.
  [[nodiscard]] std::size_t read_fully(std::span<std::byte> into) noexcept;

  [[nodiscard]] State state() const noexcept { return state_; }
  // The system's error number, when the state is kFailed.
  [[nodiscard]] int error() const noexcept { return error_; }
  // Bytes from here to the end, when the input is a regular file.
  [[nodiscard]] std::optional<std::uint64_t> remaining_bytes() const noexcept;

 private:
  int fd_;
  FunctionRef<void()> before_wait_;
  int error_ = 0;
  State state_ = State::kOpen;
};

// kSuccess; or kInOut, having said why, if standard input has failed.
[[nodiscard]] int judge_input(const Input& input);

// An input read in large pieces and handed out in small ones.
class BufferedInput {
 public:
  BufferedInput(Input& input, std::size_t buffer_bytes) : input_(input), buffer_(buffer_bytes) {}

  // The next line without its newline, or the last one, which may lack it. Empty at the end, on a
  // request to stop, on failure, and when the line would be longer than `most_bytes`.
  // Valid until the next call.
  [[nodiscard]] std::optional<std::span<const std::byte>> next_line(std::size_t most_bytes);
  // True if the last next_line() met a line that is too long.
  [[nodiscard]] bool line_too_long() const noexcept { return line_too_long_; }

  // Fills `into`; fewer bytes only at the end, on a request to stop, and on failure.
  [[nodiscard]] std::size_t read_fully(std::span<std::byte> into) noexcept;

  [[nodiscard]] Input::State state() const noexcept { return input_.state(); }

 private:
  [[nodiscard]] std::span<const std::byte> unread() const noexcept {
    return std::span(buffer_).subspan(begin_, end_ - begin_);
  }
  // Reads more behind what is unread. False if there is no more.
  bool refill();

  Input& input_;
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  bool line_too_long_ = false;
};

}  // namespace rondo::program
