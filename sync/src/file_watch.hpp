// A descriptor that becomes readable when a file is opened or closed by anybody, or when a time has
// come. For death_notice.cpp.
#pragma once

#include <chrono>

#include "rondo/core/descriptor.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"

namespace rondo::inline RONDO_ABI::detail {

class FileWatch {
 public:
  // `file` is open, at least for reading. Returns 0 or the error, a number of <cerrno>. Where the
  // file can't be watched, it is the timer alone: see watches().
  [[nodiscard]] int open(NativeHandle file) noexcept;

  [[nodiscard]] NativeHandle fd() const noexcept { return poller_.get(); }
  // Whether it tells of the file.
  [[nodiscard]] bool watches() const noexcept { return static_cast<bool>(watch_); }

  struct News {
    bool file = false;
    bool time = false;
  };
  // What has come to be told since, which it does not tell again. Never blocks.
  [[nodiscard]] News take() noexcept;
  // Whether it tells of the file, or keeps what there is for later.
  void listen(bool on) noexcept;
  // When it is to tell next of a time; once.
  void set_timer(std::chrono::nanoseconds from_now) noexcept;
  // Until there is something to take, a signal, or `deadline`.
  void wait(Deadline deadline) const noexcept;

 private:
  UniqueFd watch_{};
  UniqueFd timer_{};
  UniqueFd poller_{};
  bool listens_ = true;
};

}  // namespace rondo::inline RONDO_ABI::detail
