#include "system_v_segment.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <thread>

#include "byte_lock.hpp"
#include "rondo/core/cancellation_disabled.hpp"
#include "rondo/core/os.hpp"
#include "rondo/core/segment_header.hpp"
#include "rondo/core/system_v_key.hpp"
#include "rondo/core/user_ids.hpp"
#include "segment_file.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr std::string_view kSystemVPrefix = ".rondo-sysv-";
constexpr std::size_t kKeyDigits = 8;

// Keys and numbers are those of an IPC namespace, that of the calling thread, and /dev/shm can be
// seen from several. 0: no /proc to tell by.
std::uint64_t ipc_namespace() {
  FileStatus status;
  return status_of("/proc/thread-self/ns/ipc", status) == 0 ? status.inode : 0;
}

// What ends the name of a file that stands beside a segment.
std::string namespace_suffix() {
  std::string text(1, '-');
  text += std::to_string(ipc_namespace());
  return text;
}

std::string in_hex(std::uint32_t key) {
  std::array<char, kKeyDigits> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), key, 16).ptr;
  const std::string text(digits.data(), end);
  return std::string(kKeyDigits - text.size(), '0') + text;
}

Error cannot_make_system_v(const std::string& what, std::size_t size_bytes, int error) {
  const std::string action = "can't make " + what + " of " + std::to_string(size_bytes) + " bytes";
  switch (error) {
    case ENOSYS:
      return Error{ErrorCode::kUnsupported, action + ": this system has no System V segments"};
    case EINVAL:
      return Error{ErrorCode::kNoSpace, action +
                                            ": a segment may not have so many; raise "
                                            "kernel.shmmax, or make it smaller"};
    case ENOSPC:
      return Error{ErrorCode::kNoSpace, action +
                                            ": there are as many segments (kernel.shmmni), or "
                                            "pages in them (kernel.shmall), as the system allows; "
                                            "remove some (ipcs -m, ipcrm), or raise it"};
    default: return system_error(error, action);
  }
}

Error foreign_system_v(const std::string& what, SystemVId id, const SystemVState& state) {
  return Error{ErrorCode::kForeignObject,
               what + " has the key of another program's segment (its number is " +
                   std::to_string(id) + ", it has " + std::to_string(state.size_bytes) +
                   " bytes, and process " + std::to_string(state.made_by) +
                   " made it), or of one whose users have another /dev/shm; choose another key, "
                   "share /dev/shm with them, or remove it (ipcrm -m " +
                   std::to_string(id) + ")"};
}

// As look_at_system_v(); of one that is being made also where its mode keeps us out.
int look_at(SystemVId id, SystemVState& state) noexcept {
  const int error = look_at_system_v(id, state);
  if (error != EACCES || look_past_permissions_of_system_v(id, state) != 0) return error;
  // It may have been finished between the two looks.
  return state.mode == kUnfinished ? 0 : look_at_system_v(id, state);
}

// 0: its key leads to it; ENOENT: it has gone; else why that can't be told.
int look_at_noted(const SystemVNote& note, SystemVState& state) noexcept {
  const int error = look_at(note.id, state);
  const bool elsewhere = error == 0 && (state.removed || state.key != note.key);
  return has_gone(error) || elsewhere ? ENOENT : error;
}

// Whoever makes one makes both. A file of somebody else could lead us to any segment.
bool is_file_of(const FileStatus& file, const SystemVState& state) noexcept {
  return file.owner == state.owner || file.owner == state.creator;
}

Error not_its_file(const std::string& what, const std::string& path, const FileStatus& file,
                   const SystemVState& state) {
  return Error{ErrorCode::kForeignObject, path + " is not the file of " + what +
                                              ": it belongs to " + describe_user(file.owner) +
                                              ", and the segment to " + describe_user(state.owner) +
                                              "; remove that file"};
}

// Of one that its maker, another user, does not finish, or can't as he was killed.
Error left_unfinished(const std::string& what, SystemVId id, const SystemVState& state) {
  return Error{ErrorCode::kForeignOwner,
               what + " is being made by " + describe_user(state.owner) +
                   ", who does not finish, or was killed; have that user open it, which puts it "
                   "in order, or remove it (ipcrm -m " +
                   std::to_string(id) + "), or choose another key"};
}

// What a file says, if it is one of ours for the key.
std::optional<SystemVNote> note_in(NativeHandle file, std::uint32_t key) noexcept {
  SystemVNote note;
  const bool sound = read_note(file, note) == 0 && note.magic == SystemVNote::kMagic;
  return sound && note.key == key ? std::optional(note) : std::nullopt;
}

// Whether the file stands, and says that the segment is its own: then it is finished, but perhaps
// for its permissions.
bool has_its_file(SystemVId id, std::uint32_t key, const std::string& path,
                  const std::string& what) {
  constexpr unsigned kAnyone = 07777;
  const auto file = open_checked(path, what, Access::kReadOnly, kAnyone);
  const auto note = file ? note_in(file->get(), key) : std::nullopt;
  return note && note->id == id;
}

// Whether there is a ring in it, as far as its header says.
Result<void> check_ring(SystemVId id, std::size_t size_bytes, const std::string& what) {
  const auto mapping = Mapping::attach(id, size_bytes, Access::kReadOnly, what);
  if (!mapping) return mapping.error();
  const auto geometry = check_header(mapping->memory().first(size_bytes), kAnyKind, what);
  if (!geometry) return geometry.error();
  return {};
}

// Whether it is a ring of this user without its file, which nobody can open, and nobody has open.
// One that was never attached is no ring; and where kernel.shm_rmid_forced is set, it would be gone
// with our look into it.
bool is_lost_ring(SystemVId id, const SystemVState& state, const std::string& what) {
  return is_own_user(state.owner) && state.attachments == 0 && state.attached_once &&
         check_ring(id, state.size_bytes, what).has_value();
}

// Removes one that nobody has attached, nor has changed since it was seen so.
int remove_unused(SystemVId id, const SystemVState& seen) noexcept {
  SystemVState now;
  const int error = look_at(id, now);
  if (error != 0) return error;
  const bool same = now.attachments == 0 && now.mode == seen.mode && now.key == seen.key;
  return same ? remove_system_v(id) : 0;
}

// What is to be done where the key has a segment already, as far as it is known.
enum class Standing : std::uint8_t {
  kGone,      // it has none any more
  kFinished,  // ours, with its file
  kMaking,    // another process is making it
};

// Errors: kForeignObject, kForeignOwner, kSystem.
Result<Standing> look_at_key(std::uint32_t key, const std::string& path, const std::string& what) {
  SystemVId id = kNoSystemV;
  SystemVState state;
  int error = find_system_v(key, id);
  if (error == 0) error = look_at(id, state);
  if (error == ENOENT || has_gone(error)) return Standing::kGone;
  if (error == EACCES) {
    return Error{ErrorCode::kForeignOwner, what +
                                               " has the key of another user's segment, which "
                                               "lets us not look at it (its number is " +
                                               std::to_string(id) + "); choose another key"};
  }
  if (error != 0) return system_error(error, "can't look at the segment at the key of " + what);
  const bool unfinished = state.mode == kUnfinished;
  if (unfinished && has_its_file(id, key, path, what)) return Standing::kFinished;
  if (!unfinished) {
    // In this order: a segment goes before its file.
    FileStatus file;
    error = link_status_of(path, file);
    if (error == 0) return Standing::kFinished;
    // Not where its file may stand under a name that can't be told, or not be looked at.
    const bool has_no_file = (error == ENOENT || error == ENOTDIR) && ipc_namespace() != 0;
    error = look_at(id, state);
    if (has_gone(error) || state.removed) return Standing::kGone;
    // Its file may have gone with it, and it is another's by now that has not come so far.
    if (state.mode == kUnfinished) return Standing::kMaking;
    if (!has_no_file || !is_lost_ring(id, state, what)) return foreign_system_v(what, id, state);
  }
  // Another user's is not ours to remove, not even where its maker was killed.
  if (unfinished && (state.attachments != 0 || !is_own_user(state.owner))) {
    return Standing::kMaking;
  }
  // Unfinished: its maker was killed, or has not attached it yet: then it finds it gone, and begins
  // anew.
  error = remove_unused(id, state);
  if (error == 0 || has_gone(error)) return Standing::kGone;
  return system_error(error, "can't remove what was left at the key of " + what);
}

// Takes away the file whose segment has gone, if it still stands there, and nobody is about to do
// the same, or to join. Errors: kTimedOut, kPermission, kSystem.
Result<void> tidy_away(NativeHandle file, const std::string& path, const std::string& what) {
  constexpr auto kTimeout = std::chrono::milliseconds(200);
  const std::string gone = what + " has been removed (ipcrm), but its file ";
  FileStatus status;
  int error = lock_byte_within(file, kMembershipByte, kTimeout);
  if (error == EAGAIN || error == EACCES) {
    return Error{ErrorCode::kTimedOut,
                 gone +
                     "can't be tidied away, as a process has a lock on it: one that is joining "
                     "or leaving and does not finish, or one that may only read it; end that "
                     "process (fuser tells who has it open): " +
                     path};
  }
  if (error != 0) return system_error(error, "can't lock " + path);
  error = status_of(file, status);
  if (error == 0 && is_at_its_name({path, status.device, status.inode})) {
    error = remove_name(path);
  }
  unlock_byte(file, kMembershipByte);
  if (error == 0 || error == ENOENT) return {};
  if (error != EPERM && error != EACCES) return system_error(error, "can't remove " + path);
  return Error{ErrorCode::kPermission, gone + "is another user's; have that removed: " + path};
}

}  // namespace

std::string system_v_path(std::string_view name) {
  const auto key = system_v_key_of(name);
  if (!key) return {};
  return std::string(shared_memory_directory()) + "/" + std::string(kSystemVPrefix) + in_hex(*key) +
         namespace_suffix();
}

std::optional<std::uint32_t> key_in_file_name(std::string_view file) {
  if (!file.starts_with(kSystemVPrefix)) return std::nullopt;
  file.remove_prefix(kSystemVPrefix.size());
  if (file.size() <= kKeyDigits || file.substr(kKeyDigits) != namespace_suffix()) {
    return std::nullopt;
  }
  return system_v_key_of("0x" + std::string(file.substr(0, kKeyDigits)));
}

Result<NewSystemV> NewSystemV::make(const std::string& name, const std::string& what,
                                    std::size_t size_bytes) {
  using Clock = std::chrono::steady_clock;
  constexpr auto kPatience = std::chrono::seconds(5);
  constexpr auto kPause = std::chrono::milliseconds(2);
  const CancellationDisabled here;
  const std::uint32_t key = *system_v_key_of(name);
  const std::string path = system_v_path(name);
  for (const auto began = Clock::now(); Clock::now() - began < kPatience;) {
    SystemVNote note{.key = key};
    const int error = make_system_v(key, size_bytes, kUnfinished, note.id);
    if (error == 0) {
      NewSystemV made(note);
      auto mapping = Mapping::attach(note.id, size_bytes, Access::kReadWrite, what);
      if (mapping) {
        made.mapping_.emplace(std::move(mapping).value());
        return made;
      }
      if (mapping.error().code != ErrorCode::kReplaced) return mapping.error();
      continue;  // somebody took it for a killed one's
    }
    // EINVAL is said also of a smaller one that is there.
    const auto standing = look_at_key(key, path, what);
    if (!standing) return standing.error();
    if (*standing == Standing::kFinished) {
      return Error{ErrorCode::kAlreadyExists,
                   what + " exists already; attach to it, or remove it first"};
    }
    if (*standing == Standing::kMaking) {
      std::this_thread::sleep_for(kPause);
    } else if (error != EEXIST) {
      return cannot_make_system_v(what, size_bytes, error);
    }
  }
  SystemVId id = kNoSystemV;
  SystemVState state;
  const bool there = find_system_v(key, id) == 0 && look_at(id, state) == 0;
  if (there && !is_own_user(state.owner)) return left_unfinished(what, id, state);
  return Error{ErrorCode::kBusy, what +
                                     " is being made by a process that does not finish; look for a "
                                     "stopped one (ipcs -m -p), or remove what it has made (ipcrm "
                                     "-M " +
                                     name + ")"};
}

Result<FoundSystemV> find_beside(NativeHandle file, const std::string& path,
                                 const std::string& what, Permissions mode, bool tidies) {
  SystemVNote note;
  FileStatus status;
  if (const int error = status_of(file, status); error != 0) {
    return system_error(error, "can't look at " + path);
  }
  const bool whole = status.size_bytes == sizeof note && read_note(file, note) == 0 &&
                     note.magic == SystemVNote::kMagic &&
                     path == system_v_path("0x" + in_hex(note.key));
  if (!whole) {
    return Error{ErrorCode::kForeignObject,
                 path + " says of no segment that it is " + what + "; remove it"};
  }
  SystemVState state;
  const int error = look_at_noted(note, state);
  if (error == ENOENT) {
    if (tidies) {
      if (auto tidied = tidy_away(file, path, what); !tidied) return tidied.error();
    }
    return Error{ErrorCode::kNotFound, "there is no " + what + " any more"};
  }
  if (error != 0) return system_error(error, "can't look at " + what);
  if (!is_file_of(status, state)) return not_its_file(what, path, status, state);
  for (const std::uint32_t user : {state.owner, state.creator}) {
    FileStatus as_file;
    as_file.kind = FileKind::kRegular;
    as_file.links = 1;
    as_file.owner = user;
    as_file.group = state.group;
    as_file.mode = state.mode;
    if (auto judged = judge_file(as_file, what, mode); !judged) return judged.error();
  }
  if (state.mode == kUnfinished) {
    if (!is_own_user(state.owner)) {
      // Its maker has it attached until it is finished.
      if (state.attachments == 0) return left_unfinished(what, note.id, state);
      return Error{ErrorCode::kReplaced, what + " is being made by another user; try again"};
    }
    if (tidies) static_cast<void>(set_access_of_system_v(note.id, status.group, status.mode));
  }
  return FoundSystemV{note, state.size_bytes};
}

Result<void> make_way(const std::string& path, const std::string& what, Permissions mode) {
  const auto file = open_checked(path, what, Access::kReadWrite, mode);
  const auto found =
      file ? find_beside(file->get(), path, what, mode, true) : Result<FoundSystemV>(file.error());
  const ErrorCode code = found ? ErrorCode::kReplaced : found.error().code;
  if (code == ErrorCode::kNotFound) return {};
  if (code != ErrorCode::kReplaced) return found.error();
  return Error{ErrorCode::kAlreadyExists,
               what + " exists already; attach to it, or remove it first"};
}

bool is_at_its_key(const SystemVNote& note) noexcept {
  SystemVState state;
  return look_at_noted(note, state) != ENOENT;
}

int remove_noted(const SystemVNote& note) noexcept {
  SystemVState state;
  int error = look_at_noted(note, state);
  if (error == 0) error = remove_system_v(note.id);
  return error == ENOENT || has_gone(error) ? 0 : error;
}

Result<void> remove_beside(NativeHandle file, const std::string& path, const SegmentName& name) {
  const std::string what = to_string(name);
  const auto note = note_in(file, *system_v_key_of(name.name));
  if (!note) return {};
  FileStatus status;
  SystemVState state;
  int error = status_of(file, status);
  if (error == 0) error = look_at_noted(*note, state);
  if (error == ENOENT) return {};
  if (error != 0) return system_error(error, "can't look at " + what + " to remove it");
  if (!is_file_of(status, state)) return not_its_file(what, path, status, state);
  if (state.mode != kUnfinished) {
    const auto ring = check_ring(note->id, state.size_bytes, what);
    switch (ring ? ErrorCode::kReplaced : ring.error().code) {
      case ErrorCode::kNotReady:
      case ErrorCode::kBadMagic:
      case ErrorCode::kTooSmall:
        return Error{ErrorCode::kForeignObject,
                     what +
                         " holds no ring, so that it may be another program's by now; if it is "
                         "none, remove it first (ipcrm -m " +
                         std::to_string(note->id) + ")"};
      case ErrorCode::kPermission:
      case ErrorCode::kNoSpace:
      case ErrorCode::kSystem: return ring.error();
      default: break;  // a ring, or a damaged one, or gone
    }
  }
  error = remove_noted(*note);
  if (error != 0) return system_error(error, "can't remove " + what);
  return {};
}

}  // namespace rondo::inline RONDO_ABI::detail
