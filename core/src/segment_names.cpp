// What segments are called, and the names' life apart from any mapping.
#include "byte_lock.hpp"
#include "rondo/core/liveness.hpp"
#include "rondo/core/os.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/segment_header.hpp"
#include "segment_file.hpp"
#include "system_v_segment.hpp"

namespace rondo::inline RONDO_ABI {
namespace detail {

bool has_name(Backing backing) noexcept {
  return backing == Backing::kSharedMemory || backing == Backing::kFile ||
         backing == Backing::kSystemV;
}

Result<void> check_name(const SegmentName& name) {
  if (!has_name(name.backing)) {
    if (name.name.empty()) return {};
    return Error{ErrorCode::kInvalidName,
                 to_string(SegmentName{name.backing, {}}) + " can't have a name"};
  }
  std::string problem = name_problem(name);
  if (problem.empty()) return {};
  return Error{ErrorCode::kInvalidName,
               (name.backing == Backing::kFile ? "not a path for a segment's file: "
                                               : "not a name for a segment: ") +
                   problem};
}

Result<void> check_named(const SegmentName& name) {
  if (has_name(name.backing)) return check_name(name);
  return Error{ErrorCode::kInvalidName, to_string(name) + " has no name that leads to it"};
}

}  // namespace detail

std::string to_string(const SegmentName& name) {
  switch (name.backing) {
    case Backing::kSharedMemory: return "shm:" + name.name;
    case Backing::kFile: return "file:" + name.name;
    case Backing::kSystemV: return "sysv-shm:" + name.name;
    case Backing::kMemfd: return "memfd";
    case Backing::kAnonymous: return "anonymous memory";
    case Backing::kHeap: return "heap";
  }
  return "unknown memory";
}

namespace {

bool file_is_at_its_name(const SegmentIdentity& identity) noexcept {
  detail::FileStatus status;
  return detail::link_status_of(identity.path, status) == 0 && status.device == identity.device &&
         status.inode == identity.inode;
}

detail::SystemVNote note_of(const SegmentIdentity& identity) noexcept {
  return {.key = identity.key, .id = identity.system_v};
}

}  // namespace

bool is_at_its_name(const SegmentIdentity& identity) noexcept {
  if (identity.path.empty()) return true;
  return file_is_at_its_name(identity) &&
         (identity.system_v == kNoSystemV || detail::is_at_its_key(note_of(identity)));
}

bool remove_if_at_its_name(const SegmentIdentity& identity) noexcept {
  if (identity.path.empty()) return false;
  const bool stands = file_is_at_its_name(identity);
  // The segment first (system_v_segment.hpp), and also where others took the file away: nobody else
  // would, and its key would be lost. One that was removed by others leaves its file.
  if (identity.system_v != kNoSystemV && detail::remove_noted(note_of(identity)) != 0) return false;
  return stands && detail::remove_name(identity.path) == 0;
}

Result<void> Segment::remove(const SegmentName& name, Remove how) {
  if (auto named = detail::check_named(name); !named) return named.error();
  const std::string what = to_string(name);
  const std::string path = detail::path_of(name);
  detail::FileStatus status;
  if (const int error = detail::link_status_of(path, status); error != 0) {
    return detail::error_at(path, what, error, "can't remove " + what);
  }
  if (status.kind != detail::FileKind::kRegular) {
    return Error{ErrorCode::kForeignObject, "can't remove " + what + ": it is not a file"};
  }
  // Under the membership lock if it can be had, so as not to come between a participant's last look
  // at the name and its removal (participants.hpp).
  constexpr unsigned kAnyone = 07777;
  constexpr auto kTimeout = std::chrono::milliseconds(200);
  const auto file = detail::open_checked(path, what, Access::kReadWrite, kAnyone);
  const bool locked = file && detail::lock_byte_within(file->get(), kMembershipByte, kTimeout) == 0;
  // What was locked has to be what stands there now: another one may have been made since.
  detail::FileStatus opened;
  const bool stands = file && detail::status_of(file->get(), opened) == 0 &&
                      is_at_its_name({path, opened.device, opened.inode});
  const bool same = locked && stands;
  const bool unused = same && detail::bytes_locked_by_other(file->get(), kLockBase,
                                                            kMaxParticipants) == Presence::kAbsent;
  const bool goes = how == Remove::kAlways || unused;
  // Else a segment, whose number was not read, would lose its file: none would know it for ours.
  const bool system_v = name.backing == Backing::kSystemV;
  if (system_v && !file) return file.error();
  if (system_v && !stands) {
    detail::unlock_byte(file->get(), kMembershipByte);
    return Error{ErrorCode::kBusy, what + " was made anew meanwhile; try again"};
  }
  const auto taken =
      goes && system_v ? detail::remove_beside(file->get(), path, name) : Result<void>();
  // Without the lock another one may have come to stand there by now; this one is tidied away by
  // the next who comes.
  const bool file_goes = goes && taken && (locked || !system_v);
  const int error = file_goes ? detail::remove_name(path) : 0;
  // By its own call: closing is not enough if another thread forks just now.
  if (file) detail::unlock_byte(file->get(), kMembershipByte);
  if (!taken) return taken.error();
  if (error != 0) return detail::system_error(error, "can't remove " + what);
  if (goes) return {};
  if (!file) return file.error();
  if (!locked) {
    return Error{ErrorCode::kTimedOut, "someone is joining or leaving " + what +
                                           " and does not finish, so that it can't be removed; "
                                           "look for a stopped process"};
  }
  return Error{ErrorCode::kBusy, what + " is in use; end those who are attached first"};
}

}  // namespace rondo::inline RONDO_ABI
