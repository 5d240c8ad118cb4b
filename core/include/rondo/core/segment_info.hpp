// Looking at segments without joining them: for `rondo ls` and `rondo info`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "rondo/core/participants.hpp"
#include "rondo/core/permissions.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/segment_header.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

struct SegmentInfo {
  SegmentName name;
  std::uint64_t size_bytes = 0;               // of the file
  std::uint32_t owner = 0;                    // user id
  Permissions mode = 0;                       // e.g. 0600
  std::optional<Geometry> geometry;           // none if `problem` says why it can't be opened
  std::vector<ParticipantInfo> participants;  // those alive, and those that died in their slots
  std::optional<Error> problem;
};

// Opens a segment read-only, reads its header and participants, and closes it. A segment that is
// unsound yields what can be said of it, with its problem. Any owner and mode are looked at.
// Errors: kInvalidName, kNotFound, kNoDirectory.
[[nodiscard]] RONDO_API Result<SegmentInfo> inspect_segment(const SegmentName& name);

// All shared memory segments on this machine that have a Rondo name, sorted by it, sound or not.
// Errors: kNoDirectory (there is no shared memory), kPermission, kNoDescriptors, kSystem.
[[nodiscard]] RONDO_API Result<std::vector<SegmentInfo>> list_segments();

}  // namespace rondo::inline RONDO_ABI
