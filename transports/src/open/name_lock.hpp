// One at a time judges what stands at a name, and replaces it or takes it away.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>

#include "rondo/core/descriptor.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// A lock on a file beside the name, NAME.rondo-lock, that its owner alone can open, and that is
// there only while a process has it. A lock on the directory would not do: a user that may read
// that can lock it for ever. A holder that is killed leaves an empty file at worst, which the next
// one of the same user takes over.
class NameLock {
 public:
  enum class Taken : std::uint8_t {
    kYes,
    kByOther,  // another process has it
    kFailed,   // errno says why; EEXIST: there is something else in the place of the file
  };

  explicit NameLock(const std::string& name) : path_(name + ".rondo-lock") {}
  NameLock(const NameLock&) = delete;
  NameLock& operator=(const NameLock&) = delete;
  ~NameLock() { release(); }

  // Waits for another one for `timeout` at most, and until `stop` is set.
  [[nodiscard]] Taken take(std::chrono::nanoseconds timeout,
                           const std::atomic<bool>* stop = nullptr) noexcept;
  void release() noexcept;
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  [[nodiscard]] Taken try_take() noexcept;

  std::string path_;
  UniqueFd fd_;  // has the lock
};

// So long an honest holder takes at most, unless it has been stopped.
inline constexpr std::chrono::milliseconds kNameLockHold{50};

}  // namespace rondo::inline RONDO_ABI::detail
