#include "rondo/core/segment_info.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include "rondo/core/os.hpp"
#include "segment_file.hpp"
#include "system_v_segment.hpp"

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
  if (name.backing == Backing::kSystemV) info.size_bytes = segment->bytes().size();
  info.geometry = *geometry;
  info.participants = participants->snapshot();
  if (!segment->truncated()) return {};
  return Error{ErrorCode::kTooSmall, to_string(name) + " was truncated while it was looked at"};
}

}  // namespace

Result<SegmentInfo> inspect_segment(const SegmentName& name) {
  if (auto named = detail::check_named(name); !named) return named.error();
  detail::FileStatus status;
  const std::string path = detail::path_of(name);
  if (const int error = detail::link_status_of(path, status); error != 0) {
    const std::string what = to_string(name);
    return detail::error_at(path, what, error, "can't find " + what);
  }
  SegmentInfo info;
  info.name = name;
  info.size_bytes = status.size_bytes;
  info.owner = status.owner;
  info.mode = status.mode;
  if (auto looked = look_inside(name, info); !looked) {
    if (looked.error().code == ErrorCode::kNotFound) return looked.error();
    info.problem = looked.error();
  }
  return info;
}

Result<std::vector<SegmentInfo>> list_segments() {
  std::vector<SegmentInfo> result;
  const auto add = [&](std::string_view file) {
    SegmentName name;
    if (const auto key = detail::key_in_file_name(file)) {
      name = {Backing::kSystemV, std::to_string(*key)};
    } else if (file.starts_with(kSharedMemoryPrefix)) {
      name = {Backing::kSharedMemory, std::string(file.substr(kSharedMemoryPrefix.size()))};
    } else {
      return;
    }
    auto info = inspect_segment(name);
    // Gone again since, or with a name that Rondo would not have given.
    if (info) result.push_back(std::move(*info));
  };
  const std::string directory(detail::shared_memory_directory());
  if (const int error = detail::list_directory(directory, add); error != 0) {
    return detail::error_at(directory + "/", "shared memory", error, "can't list shared memory");
  }
  std::sort(result.begin(), result.end(),
            [](const SegmentInfo& a, const SegmentInfo& b) { return a.name.name < b.name.name; });
  return result;
}

}  // namespace rondo::inline RONDO_ABI
