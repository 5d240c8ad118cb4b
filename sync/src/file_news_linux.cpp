#include "file_news.hpp"

#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "file_watch_linux.hpp"

namespace rondo::inline RONDO_ABI::detail {

namespace {

// 16,384 events (fs.inotify.max_queued_events): all that the kernel keeps, unless it was told to
// keep more.
constexpr int kMostReads = 64;

}  // namespace

int FileNews::watch(NativeHandle file) noexcept {
  if (!watch_) watch_ = open_file_watch();
  return watch_ && intact() ? watch_file(watch_.get(), file, IN_CLOSE_WRITE | IN_MODIFY) : kNone;
}

void FileNews::forget(int number) noexcept {
  if (intact()) inotify_rm_watch(watch_.get(), number);
}

bool FileNews::take(Tell tell) noexcept {
  if (!watch_) return false;
  const auto lose = [&] {
    // The program has closed it, and the number is that of a file of its own.
    static_cast<void>(watch_.release());
    tell(kNone, true);
    return true;
  };
  if (!intact()) return lose();
  // In a storm others' news may lie behind thousands of one file's, and are not to wait for these.
  alignas(inotify_event) std::array<char, 4096> events;
  for (int i = 0; i < kMostReads; ++i) {
    const auto bytes = read(watch_.get(), events.data(), events.size());
    if (bytes < 0 && errno != EAGAIN) return lose();
    if (bytes <= 0) return i > 0;
    for (std::size_t at = 0; at + sizeof(inotify_event) <= static_cast<std::size_t>(bytes);) {
      inotify_event event{};
      std::memcpy(&event, events.data() + at, sizeof event);
      at += sizeof event + event.len;
      const bool lost = (event.mask & IN_Q_OVERFLOW) != 0;
      // Among the lost may be that a watch is gone, which would stand for ever: all end.
      tell(lost ? kNone : event.wd, lost || (event.mask & IN_IGNORED) != 0);
    }
    if (static_cast<std::size_t>(bytes) + sizeof(inotify_event) <= events.size()) return true;
  }
  // What is left over makes it readable again.
  tell(kNone, false);
  return true;
}

}  // namespace rondo::inline RONDO_ABI::detail
