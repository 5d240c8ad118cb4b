#include "rondo/core/directory.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "rondo/core/os.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr const char* kHowToMount =
    "; mount it (mount -t tmpfs -o mode=1777 tmpfs /dev/shm), or use file:PATH";

// A plain directory that a file system was to be mounted on. If we may write there, it will do.
bool awaits_mounting(const std::string& directory, const FileStatus& status) {
  if (directory != shared_memory_directory() || may_write(directory)) return false;
  FileStatus above;
  return status_of(directory + "/..", above) == 0 && above.device == status.device;
}

}  // namespace

std::string directory_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return path.substr(0, std::max<std::size_t>(slash, 1));
}

std::string absolute_path(const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.string();
}

std::optional<Error> missing_directory(const std::string& path, const std::string& what) {
  const std::string directory = directory_of(path);
  const std::string remedy =
      directory == shared_memory_directory() ? kHowToMount : "; make it first";
  const auto error = [&](const std::string& why) {
    return Error{ErrorCode::kNoDirectory, what + " has no place: " + why + remedy};
  };
  FileStatus status;
  if (const int failed = status_of(directory, status); failed != 0) {
    if (failed != ENOENT && failed != ENOTDIR) return std::nullopt;
    return error("there is no directory " + directory);
  }
  if (status.kind != FileKind::kDirectory) return error(directory + " is not a directory");
  if (awaits_mounting(directory, status)) return error("nothing is mounted at " + directory);
  return std::nullopt;
}

}  // namespace rondo::inline RONDO_ABI::detail
