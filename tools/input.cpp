#include "input.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "exit_code.hpp"
#include "say.hpp"
#include "stop_signal.hpp"

namespace rondo::program {

std::size_t Input::read_some(std::span<std::byte> into) noexcept {
  while (state_ == State::kOpen) {
    if (before_wait_) before_wait_();
    switch (stop_signal::wait_readable(fd_)) {
      case stop_signal::Readable::kYes: break;
      case stop_signal::Readable::kStopped: state_ = State::kStopped; return 0;
      case stop_signal::Readable::kFailed:
        error_ = errno;
        state_ = State::kFailed;
        return 0;
    }
    const ssize_t count = ::read(fd_, into.data(), into.size());
    if (count > 0) return static_cast<std::size_t>(count);
    if (count == 0) {
      state_ = State::kEnd;
    } else if (errno != EINTR && errno != EAGAIN) {
      error_ = errno;
      state_ = State::kFailed;
    }
  }
  return 0;
}

std::size_t Input::read_fully(std::span<std::byte> into) noexcept {
  std::size_t filled = 0;
  while (filled < into.size() && state_ == State::kOpen) filled += read_some(into.subspan(filled));
  return filled;
}

std::optional<std::uint64_t> Input::remaining_bytes() const noexcept {
  struct stat file {};
  if (::fstat(fd_, &file) != 0 || !S_ISREG(file.st_mode)) return std::nullopt;
  const off_t here = ::lseek(fd_, 0, SEEK_CUR);
  if (here < 0 || here > file.st_size) return std::nullopt;
  return static_cast<std::uint64_t>(file.st_size - here);
}

std::optional<std::span<const std::byte>> BufferedInput::next_line(std::size_t most_bytes) {
  line_too_long_ = false;
  std::size_t searched = 0;
  for (;;) {
    const auto unsearched = unread().subspan(searched);
    const void* newline =
        unsearched.empty() ? nullptr : std::memchr(unsearched.data(), '\n', unsearched.size());
    if (newline != nullptr) {
      const auto length =
          static_cast<std::size_t>(static_cast<const std::byte*>(newline) - unread().data());
      const auto line = unread().first(length);
      if (length > most_bytes) break;
      begin_ += length + 1;
      return line;
    }
    searched = unread().size();
    if (searched > most_bytes) break;
    if (refill()) continue;
    if (searched == 0 || state() != Input::State::kEnd) return std::nullopt;
    const auto last = unread();
    begin_ = end_;
    return last;
  }
  line_too_long_ = true;
  return std::nullopt;
}

std::size_t BufferedInput::read_fully(std::span<std::byte> into) noexcept {
  std::size_t filled = 0;
  while (filled < into.size()) {
    const auto wanted = into.subspan(filled);
    if (unread().empty() && wanted.size() >= buffer_.size()) {
      return filled + input_.read_fully(wanted);  // a large rest need not pass through the buffer
    }
    if (unread().empty() && !refill()) break;
    const std::size_t count = std::min(wanted.size(), unread().size());
    std::memcpy(wanted.data(), unread().data(), count);
    begin_ += count;
    filled += count;
  }
  return filled;
}

bool BufferedInput::refill() {
  if (begin_ == end_) {
    begin_ = end_ = 0;
  } else if (end_ == buffer_.size() && begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  } else if (end_ == buffer_.size()) {
    buffer_.resize(buffer_.size() * 2);
  }
  const std::size_t count = input_.read_some(std::span(buffer_).subspan(end_));
  end_ += count;
  return count > 0;
}

int judge_input(const Input& input) {
  if (input.state() != Input::State::kFailed) return kSuccess;
  say_error("standard input can't be read: {}", std::generic_category().message(input.error()));
  return kInOut;
}

}  // namespace rondo::program
