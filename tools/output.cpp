#include "output.hpp"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

namespace rondo::program {
namespace {

constexpr std::size_t kWrittenAtOnce = std::size_t{32} << 10;

}  // namespace

bool Output::put(std::span<const std::byte> bytes) {
  // A copy of this size costs more than a system call.
  if (bytes.size() >= kWrittenAtOnce) return flush() && write_all(bytes);
  if (bytes.size() > buffer_.capacity() - buffer_.size() && !flush()) [[unlikely]]
    return false;
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
  return true;
}

bool Output::put(char character) {
  if (buffer_.size() == buffer_.capacity() && !flush()) return false;
  buffer_.push_back(static_cast<std::byte>(character));
  return true;
}

bool Output::flush() {
  const bool written = write_all(buffer_);
  buffer_.clear();
  return written;
}

// A request to stop does not cut what was taken from the channel: it is written to the end.
bool Output::write_all(std::span<const std::byte> bytes) {
  if (!bytes.empty()) ++writes_;
  while (!bytes.empty()) {
    const ssize_t count = ::write(fd_, bytes.data(), bytes.size());
    if (count >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    } else if (errno == EAGAIN) {  // a descriptor that another program left non-blocking
      pollfd writable{fd_, POLLOUT, 0};
      ::poll(&writable, 1, -1);
    } else if (errno != EINTR) {
      error_ = errno;
      return false;
    }
  }
  return true;
}

}  // namespace rondo::program
