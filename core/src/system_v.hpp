// What core asks of the system's System V segments (shmget(2), shmat(2), shmctl(2)), one call each.
// `int`: 0, or the error. A removed segment is EIDRM or EINVAL to whoever has its number still;
// numbers are not given again soon.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>

#include "rondo/core/permissions.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

struct SystemVState {
  std::uint32_t key = 0;
  std::uint32_t owner = 0;    // who may remove it
  std::uint32_t creator = 0;  // who may, too
  std::uint32_t group = 0;
  Permissions mode;
  std::uint64_t size_bytes = 0;
  std::uint64_t attachments = 0;
  std::uint32_t made_by = 0;  // a process, as this one sees it; 0: it does not
  bool attached_once = false;
  bool removed = false;  // its key leads to it no more; it goes with its last attachment
};

// What a file beside one says: whose key the number is.
struct SystemVNote {
  static constexpr std::uint64_t kMagic = 0x5659'534F'444E'4F52;  // "RONDOSYV" in memory
  std::uint64_t magic = kMagic;
  std::uint32_t key = 0;
  SystemVId id = kNoSystemV;
};
static_assert(sizeof(SystemVNote) == 16);

[[nodiscard]] inline bool has_gone(int error) noexcept { return error == EIDRM || error == EINVAL; }

// EEXIST: the key has one.
[[nodiscard]] int make_system_v(std::uint32_t key, std::size_t size_bytes, Permissions mode,
                                SystemVId& id) noexcept;
// ENOENT: the key has none.
[[nodiscard]] int find_system_v(std::uint32_t key, SystemVId& id) noexcept;
// EACCES: we may not read it.
[[nodiscard]] int look_at_system_v(SystemVId id, SystemVState& state) noexcept;
// Of one that we may not read, too. EINVAL: it has gone, or the system can't (before Linux 4.17).
[[nodiscard]] int look_past_permissions_of_system_v(SystemVId id, SystemVState& state) noexcept;
[[nodiscard]] int set_access_of_system_v(SystemVId id, std::uint32_t group,
                                         Permissions mode) noexcept;
// Those who have it attached keep it.
[[nodiscard]] int remove_system_v(SystemVId id) noexcept;
// Null: errno has the error.
[[nodiscard]] std::byte* attach_system_v(SystemVId id, Access access) noexcept;
void detach_system_v(std::byte* memory) noexcept;

// At the beginning of a file. EIO: there is less.
[[nodiscard]] int read_note(NativeHandle file, SystemVNote& note) noexcept;
[[nodiscard]] int write_note(NativeHandle file, const SystemVNote& note) noexcept;

}  // namespace rondo::inline RONDO_ABI::detail
