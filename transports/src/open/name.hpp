// A name in the file system that a handle has made and takes away again: of a FIFO, of a socket.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "endpoint/stream.hpp"
#include "open/name_lock.hpp"
#include "rondo/core/directory.hpp"
#include "rondo/core/os.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Which file it is, apart from its name.
struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  [[nodiscard]] bool operator==(const FileIdentity&) const = default;
};

[[nodiscard]] FileIdentity identity_of(const FileStatus& status) noexcept;
// What stands at the name now, without following a link; none if nothing does.
[[nodiscard]] std::optional<FileIdentity> identity_at(const std::string& path) noexcept;

// Whether it is certain that the name does not lead to that file any more: a look that failed does
// not tell.
[[nodiscard]] bool leads_elsewhere(const std::string& path, const FileIdentity& identity) noexcept;

// How often a handle that waits looks whether its name still leads to it.
inline constexpr std::chrono::milliseconds kNameCheckInterval{50};

// Removes a name, if it still is that of the same file. A process that makes such a name does so
// under its NameLock, so that none is taken away that has come since the look.
class NameCleanup final : public Cleanup {
 public:
  explicit NameCleanup(const std::string& path) : path_(absolute_path(path)), lock_(path_) {}
  // Which file it is; before that there is none to take away.
  void is(FileIdentity identity) noexcept { identity_ = identity; }
  // Waits 50 ms at most.
  void run() noexcept override;

 private:
  std::string path_;
  NameLock lock_;
  std::optional<FileIdentity> identity_;
};

// The error for a failed system call on the file of a channel, with what errno says.
[[nodiscard]] Error system_error(const Url& url, std::string_view call, int error);

}  // namespace rondo::inline RONDO_ABI::detail
