// What the kernel tells of many files: that somebody has closed one that was open for writing, or
// cut it short (inotify(7)). For the helper thread (wake_thread.hpp).
#pragma once

#include "rondo/core/callback.hpp"
#include "rondo/core/descriptor.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

class FileNews {
 public:
  static constexpr int kNone = -1;

  // The file's number in what is told, the same for each descriptor of it; kNone: it can't be
  // watched.
  [[nodiscard]] int watch(NativeHandle file) noexcept;
  // Of a number that nobody has any more.
  void forget(int number) noexcept;

  explicit operator bool() const noexcept { return static_cast<bool>(watch_); }
  // Whether the program has not closed it; then the number is that of a file of its own.
  [[nodiscard]] bool intact() const noexcept { return watch_.intact(); }
  // Readable when there is something to take.
  [[nodiscard]] NativeHandle fd() const noexcept { return watch_.get(); }

  // Calls `tell` for each file of which there is news; with kNone, for all, as some were lost, or
  // there is more than is taken at once.
  // `last`: nothing more is told of it. Whether there was anything. Never blocks.
  using Tell = FunctionRef<void(int number, bool last)>;
  bool take(Tell tell) noexcept;

 private:
  UniqueFd watch_{};
};

}  // namespace rondo::inline RONDO_ABI::detail
