// System V segments as named memory: the key is the name. Such a segment has no descriptor, so it
// can be neither locked nor watched; beside it stands a small file, /dev/shm/.rondo-sysv-KEY-SPACE,
// with the number of the segment (SPACE: the namespace that it is a number in), which does for it
// all that the file of shm:NAME does: the locks on its bytes tell who lives, its mode who may come.
//
//   making                                          taking away, under the membership lock
//     the file, without a name                        the segment (IPC_RMID): the key is free
//     the segment at its key, of mode kUnfinished     the file's name
//     its contents, and its number in the file
//     the file's name
//     the segment's permissions: those of the file
//
// So where the key leads to a segment of ours, the file stands beside it, or the mode says that it
// was not finished. Who is killed in between leaves one of three things, and the next one who comes
// puts it in order: an unfinished segment that nobody has attached goes; one with its file gets its
// permissions; a file whose segment has gone (also by ipcrm) goes. A ring without its file (which
// somebody removed) goes with the last one who has it attached, or when its key is wanted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "rondo/core/result.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/version.hpp"
#include "segment_memory.hpp"
#include "system_v.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Segment::create() refuses such a mode of others, and it lets nobody in but the owner.
inline constexpr Permissions kUnfinished = 0611;

// Where the file lies. Empty: the name is no key.
[[nodiscard]] std::string system_v_path(std::string_view name);
// The key at the beginning of what follows the prefix in such a file's name, if the segment is one
// of our namespace.
[[nodiscard]] std::optional<std::uint32_t> key_in_file_name(std::string_view file);

// A segment that is being made: it goes with this object, until it is kept.
class NewSystemV {
 public:
  // Waits for a few seconds where another process is making one. Errors: kAlreadyExists,
  // kForeignObject, kForeignOwner, kBusy, kNoSpace, kInvalidCapacity, kUnsupported, kSystem.
  [[nodiscard]] static Result<NewSystemV> make(const std::string& name, const std::string& what,
                                               std::size_t size_bytes);
  NewSystemV(NewSystemV&& other) noexcept
      : note_(std::exchange(other.note_, {})), mapping_(std::move(other.mapping_)) {}
  NewSystemV& operator=(NewSystemV&&) = delete;
  ~NewSystemV() {
    if (note_.id != kNoSystemV) static_cast<void>(remove_system_v(note_.id));
  }
  [[nodiscard]] const SystemVNote& note() const noexcept { return note_; }
  [[nodiscard]] Mapping take_mapping() noexcept { return std::move(*mapping_); }
  void keep() noexcept { note_.id = kNoSystemV; }

 private:
  explicit NewSystemV(SystemVNote note) noexcept : note_(note) {}

  SystemVNote note_;
  std::optional<Mapping> mapping_;
};

// The segment beside `file`, which stands at `path` and was judged; `mode` as SegmentOptions has
// it. `tidies`: a file whose segment has gone is taken away, and a killed maker's work is finished.
// Errors: kNotFound (it has gone), kReplaced (look again), kForeignObject, kForeignOwner,
// kPermission, kTimedOut, kSystem.
struct FoundSystemV {
  SystemVNote note;
  std::uint64_t size_bytes = 0;
};
[[nodiscard]] Result<FoundSystemV> find_beside(NativeHandle file, const std::string& path,
                                               const std::string& what, Permissions mode,
                                               bool tidies);

// Takes away the file at `path` if its segment has gone, before another one is made; fine also
// where there is none. Errors: kAlreadyExists: there is a ring; those of open_checked() and of
// find_beside().
[[nodiscard]] Result<void> make_way(const std::string& path, const std::string& what,
                                    Permissions mode);

// Whether the segment is there, and its key leads to it; also where that can't be told.
[[nodiscard]] bool is_at_its_key(const SystemVNote& note) noexcept;
// Takes away the segment, if its key leads to it: 0 also where it has gone.
[[nodiscard]] int remove_noted(const SystemVNote& note) noexcept;
// The one that `file` notes, which stands at `path`, if it is the one of that name. Errors:
// kForeignObject: it may be another program's; kPermission, kSystem.
[[nodiscard]] Result<void> remove_beside(NativeHandle file, const std::string& path,
                                         const SegmentName& name);

}  // namespace rondo::inline RONDO_ABI::detail
