#include "rondo/core/segment_info.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string_view>
#include <utility>

#include "segment_file_linux.hpp"
#include "system_linux.hpp"

namespace rondo::inline RONDO_ABI {
namespace {

// Reads what a sound segment tells, into `info`.
Result<void> look_inside(const SegmentName& name, SegmentInfo& info) {
  const SegmentOptions anyone{.mode = 0777, .prefault = false};
  auto segment = Segment::attach(name, anyone, Access::kReadOnly);
  if (!segment) return segment.error();
  const auto geometry = check_header(segment->bytes(), kAnyKind, to_string(name));
  if (!geometry) return geometry.error();
  auto participants = Participants::open(*segment, *geometry);
  if (!participants) return participants.error();
  info.geometry = *geometry;
  info.participants = participants->snapshot();
  if (!segment->truncated()) return {};
  return Error{ErrorCode::kTooSmall, to_string(name) + " was truncated while it was looked at"};
}

}  // namespace

Result<SegmentInfo> inspect_segment(const SegmentName& name) {
  if (auto named = detail::check_named(name); !named) return named.error();
  struct stat status = {};
  const std::string path = detail::path_of(name);
  if (lstat(path.c_str(), &status) != 0) {
    const std::string what = to_string(name);
    return detail::error_at(path, what, errno, "can't find " + what);
  }
  SegmentInfo info;
  info.name = name;
  info.size_bytes = static_cast<std::uint64_t>(status.st_size);
  info.owner = status.st_uid;
  info.mode = status.st_mode & 07777;
  if (auto looked = look_inside(name, info); !looked) {
    if (looked.error().code == ErrorCode::kNotFound) return looked.error();
    info.problem = looked.error();
  }
  return info;
}

Result<std::vector<SegmentInfo>> list_segments() {
  const std::string directory = detail::path_of({Backing::kSharedMemory, ""});
  const std::size_t slash = directory.rfind('/');
  detail::UniqueFd opened =
      detail::open_file(directory.substr(0, slash).c_str(), O_RDONLY | O_DIRECTORY);
  const std::unique_ptr<DIR, int (*)(DIR*)> entries(opened ? fdopendir(opened.get()) : nullptr,
                                                    &closedir);
  if (entries) static_cast<void>(opened.release());  // closedir() closes it
  if (!entries) {
    return detail::error_at(directory, "shared memory", errno, "can't list shared memory");
  }
  std::vector<SegmentInfo> result;
  // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is our own.
  while (const dirent* entry = readdir(entries.get())) {
    const std::string_view file(entry->d_name);
    if (file.substr(0, kSharedMemoryPrefix.size()) != kSharedMemoryPrefix) continue;
    auto info = inspect_segment(
        {Backing::kSharedMemory, std::string(file.substr(kSharedMemoryPrefix.size()))});
    // Gone again since, or with a name that Rondo would not have given.
    if (info) result.push_back(std::move(*info));
  }
  std::sort(result.begin(), result.end(),
            [](const SegmentInfo& a, const SegmentInfo& b) { return a.name.name < b.name.name; });
  return result;
}

}  // namespace rondo::inline RONDO_ABI
