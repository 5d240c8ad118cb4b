// pipe: and fd: - a pipe of our own, and descriptors that were opened elsewhere.
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <string>
#include <system_error>
#include <utility>

#include "endpoint/stream.hpp"
#include "open/open.hpp"
#include "stream/fd_stream.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

NativeHandle handle_of(const Url& url) noexcept {
  int number = -1;
  std::from_chars(url.target.data(), url.target.data() + url.target.size(), number);
  return NativeHandle(std::intptr_t{number});  // Url::parse() has seen to it
}

}  // namespace

Result<PairParts> open_pipe_pair(const Url& url, const OpenOptions& options) {
  UniqueFd from;
  UniqueFd to;
  if (!open_pipe(from, to)) {
    const bool full = errno == EMFILE || errno == ENFILE;
    return Error{full ? ErrorCode::kNoDescriptors : ErrorCode::kSystem,
                 std::string("pipe2: ") + std::generic_category().message(errno)};
  }
  FdStream reading(std::move(from), FdStream::Direction::kRead);
  FdStream writing(std::move(to), FdStream::Direction::kWrite);
  auto sender = make_stream_sender(on_heap(std::move(writing)), {}, url, options);
  if (!sender) return std::move(sender).error();
  return make_pair(std::move(sender).value(), [&] {
    return make_stream_receiver(on_heap(std::move(reading)), {}, url, options);
  });
}

Result<SenderParts> open_fd_sender(const Url& url, const OpenOptions& options) {
  const NativeHandle fd = handle_of(url);
  if (auto checked = check_fd(fd, FdStream::Direction::kWrite); !checked) {
    return std::move(checked).error();
  }
  return make_stream_sender(on_heap(FdStream(UniqueFd(fd), FdStream::Direction::kWrite)), {}, url,
                            options);
}

Result<ReceiverParts> open_fd_receiver(const Url& url, const OpenOptions& options) {
  const NativeHandle fd = handle_of(url);
  if (auto checked = check_fd(fd, FdStream::Direction::kRead); !checked) {
    return std::move(checked).error();
  }
  return make_stream_receiver(on_heap(FdStream(UniqueFd(fd), FdStream::Direction::kRead)), {}, url,
                              options);
}

}  // namespace rondo::inline RONDO_ABI::detail
