// All that core asks of the operating system, one call each. What Rondo does with the answers
// (names, checks, what comes after what, retries, messages) stands in files that include no
// system's headers. For Rondo's own sources. To carry core to another system is to write what is
// declared here:
//
//   os_linux.cpp         the process, its errors in words, byte locks
//   os_files_linux.cpp   files: looked at, opened, made, named
//   os_memory_linux.cpp  memory: mapped, placed, reserved
//
// and the five that have a header of their own, as what they do is about one system alone:
//
//   descriptor.hpp             descriptors are at least 3, and closed on exec
//   cancellation_disabled.hpp  no thread ends by cancellation within Rondo
//   sigbus_guard.hpp           a file that is truncated under its mapping
//   user_ids.hpp               ids under user namespaces, groups by name
//   available_memory.hpp       limits of control groups
//
// A function that returns `int` gives 0 or the error, a number of <cerrno>. One that returns a
// descriptor or an address gives none on failure, and the error stands in errno.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "rondo/core/callback.hpp"
#include "rondo/core/descriptor.hpp"
#include "rondo/core/liveness.hpp"
#include "rondo/core/permissions.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// ---- the process ----

// This process, as others see it.
[[nodiscard]] RONDO_API std::uint32_t process_id() noexcept;
// What its program is called, without the directory.
[[nodiscard]] RONDO_API std::string_view program_name() noexcept;
// The user whose rights it has.
[[nodiscard]] RONDO_API std::uint32_t effective_user() noexcept;

// From now on fork() calls these, unless they are null: `before` and `in_parent` in the process
// that forks, `in_child` in the child before fork() returns there. Returns the error, which nothing
// can be done about.
RONDO_API int at_fork(void (*before)(), void (*in_parent)(), void (*in_child)()) noexcept;

// `action`: what failed, on what, e.g. "can't open shm:prices". The system's own words are added.
[[nodiscard]] RONDO_API Error system_error(int error, const std::string& action);

// ---- byte locks: they belong to an open file description (F_OFD_SETLK, fcntl(2)) ----

// Takes the exclusive lock of one byte, or gives it back. EAGAIN or EACCES: another open file
// description has it.
[[nodiscard]] RONDO_API int lock_byte(NativeHandle file, std::uint64_t byte) noexcept;
RONDO_API void unlock_byte(NativeHandle file, std::uint64_t byte) noexcept;
RONDO_API void unlock_all(NativeHandle file) noexcept;

// Takes the exclusive lock of all bytes, those beyond the end too. EINTR: a signal came.
[[nodiscard]] RONDO_API int lock_file(NativeHandle file) noexcept;

// Whether another open file description has an exclusive lock on any byte of the range: a shared
// one, which a process that may only read the file can take, does not count.
[[nodiscard]] RONDO_API Presence bytes_locked_by_other(NativeHandle file, std::uint64_t first,
                                                       std::uint64_t count) noexcept;

// ---- files: looking ----

enum class FileKind : std::uint8_t {
  kRegular,
  kDirectory,
  kSymbolicLink,
  kFifo,
  kSocket,
  kDevice,
  kOther
};

struct FileStatus {
  FileKind kind = FileKind::kOther;
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint64_t links = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t allocated_bytes =
      0;  // in memory or on disk; fewer than the size where it has holes
  std::uint32_t owner = 0;
  std::uint32_t group = 0;
  Permissions mode = 0;  // with the bits 07000
};

[[nodiscard]] RONDO_API int status_of(NativeHandle file, FileStatus& status) noexcept;
[[nodiscard]] RONDO_API int status_of(const std::string& path, FileStatus& status) noexcept;
// Of a symbolic link itself, where one stands at the path.
[[nodiscard]] RONDO_API int link_status_of(const std::string& path, FileStatus& status) noexcept;

// Whether this process may write there.
[[nodiscard]] RONDO_API bool may_write(const std::string& path) noexcept;
// Calls `see` with the name of each file in the directory, in any order, "." and ".." too.
[[nodiscard]] RONDO_API int list_directory(const std::string& directory,
                                           FunctionRef<void(std::string_view)> see);

// Where shared memory has its names, without a slash at the end.
[[nodiscard]] RONDO_API std::string_view shared_memory_directory() noexcept;
// Whether no file can have this path, or this name at its end, by their lengths.
[[nodiscard]] RONDO_API bool is_path_too_long(std::string_view path,
                                              std::string_view name) noexcept;
// The largest file that this process may make; UINT64_MAX: any. Beyond it the kernel would not just
// refuse, but send SIGXFSZ.
[[nodiscard]] RONDO_API std::uint64_t file_size_limit() noexcept;
// Whether the file lies in memory, where each byte of its size owns a block, and not on a disk.
[[nodiscard]] RONDO_API bool is_in_memory(NativeHandle file) noexcept;
// What the handle was opened for.
struct OpenFor {
  bool reading = false;
  bool writing = false;
};
[[nodiscard]] RONDO_API OpenFor open_for(NativeHandle file) noexcept;

// ---- files: opening ----

// Pins what stands at a path, without opening it: to open a device can have effects. Of a symbolic
// link the link itself.
[[nodiscard]] RONDO_API UniqueFd pin_file(const std::string& path) noexcept;
// The file behind `file`, opened for a description of its own. ENOENT or ENOTDIR: there is no way
// to do that (no /proc).
[[nodiscard]] RONDO_API UniqueFd reopen_file(NativeHandle file, Access access);
// What stands at a path, unless it is a symbolic link. Does not wait.
[[nodiscard]] RONDO_API UniqueFd open_at(const std::string& path, Access access) noexcept;

// ---- files: making ----

// A new file without a name in a directory, to read and write. EOPNOTSUPP: the file system knows
// none.
[[nodiscard]] RONDO_API UniqueFd make_unnamed_file(const std::string& directory,
                                                   Permissions mode) noexcept;
// A new file with a name, to read and write. EEXIST: the name is taken.
[[nodiscard]] RONDO_API UniqueFd make_file(const std::string& path, Permissions mode) noexcept;
// What stands at a path, unless it is a symbolic link, or a new file in its place; to read and
// write. Does not wait.
[[nodiscard]] RONDO_API UniqueFd open_or_make_file(const std::string& path,
                                                   Permissions mode) noexcept;
// A new nameless file in memory, to read and write, whose size can be sealed. `name` is for people;
// `huge`: of huge pages.
[[nodiscard]] RONDO_API UniqueFd make_memory_file(const char* name, bool huge) noexcept;

// Exactly this mode, whatever the umask.
[[nodiscard]] RONDO_API int set_mode(NativeHandle file, Permissions mode) noexcept;
[[nodiscard]] RONDO_API int set_group(NativeHandle file, std::uint32_t group) noexcept;
[[nodiscard]] RONDO_API int set_size(NativeHandle file, std::uint64_t size_bytes) noexcept;
// Real memory or disk space for so many bytes from the start on.
[[nodiscard]] RONDO_API int reserve_space(NativeHandle file, std::uint64_t size_bytes) noexcept;

// Gives a file without a name one. EEXIST: it is taken.
[[nodiscard]] RONDO_API int give_name(NativeHandle file, const std::string& path);
// Renames a file. EEXIST: the new name is taken; EOPNOTSUPP: the file system can't tell.
[[nodiscard]] RONDO_API int rename_file(const std::string& from, const std::string& to) noexcept;
[[nodiscard]] RONDO_API int remove_name(const std::string& path) noexcept;

// What no process can undo of a file in memory.
struct Seals {
  bool size = false;     // it neither grows nor shrinks
  bool writing = false;  // no mapping that is made from now on can write
};
// EBADF: no file. Any other error: it is none in memory. Never waits for what is behind it.
[[nodiscard]] RONDO_API int seals_of(NativeHandle file, Seals& seals) noexcept;
// And no more seals after these.
[[nodiscard]] RONDO_API int seal(NativeHandle file, Seals seals) noexcept;

// ---- memory ----

[[nodiscard]] RONDO_API std::size_t system_page_bytes() noexcept;
// The size of the pages behind a file: the system's, or the huge ones of its file system.
[[nodiscard]] RONDO_API std::size_t page_bytes_of(NativeHandle file) noexcept;

// Maps a file from its start on, shared; without a file, new memory that forked children share.
[[nodiscard]] RONDO_API std::byte* map_memory(NativeHandle file, std::size_t length,
                                              Access access) noexcept;
RONDO_API void unmap_memory(std::span<std::byte> memory) noexcept;
// Lets the pages at `memory`, which are mapped, show those of a file instead, read-only.
[[nodiscard]] RONDO_API int map_over(std::span<std::byte> memory, NativeHandle file) noexcept;

// Brings all pages in. EINVAL: the system has no such call; EFAULT: a page can't be had.
[[nodiscard]] RONDO_API int populate_memory(std::span<std::byte> memory, bool for_writing) noexcept;
[[nodiscard]] RONDO_API int lock_in_ram(std::span<std::byte> memory) noexcept;
// A wish.
RONDO_API void advise_huge_pages(std::span<std::byte> memory) noexcept;
// How much of the mapping lies in huge pages.
[[nodiscard]] RONDO_API std::size_t huge_bytes_in(std::span<std::byte> memory);

inline constexpr int kMaxNumaNodes = 1024;
[[nodiscard]] RONDO_API int bind_to_node(std::span<std::byte> memory, int node) noexcept;
// Where the first page lies.
[[nodiscard]] RONDO_API int node_of(std::span<std::byte> memory, int& node) noexcept;

}  // namespace rondo::inline RONDO_ABI::detail
