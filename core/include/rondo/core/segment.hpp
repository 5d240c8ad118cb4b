// A segment: one region of memory that several participants map, as one RAII type for every kind
// of memory behind it.
//
// A segment appears under its name only when it is complete: it is made without a name (O_TMPFILE),
// filled, and then linked. A creator killed at any instruction leaves nothing behind, and no opener
// ever meets a half-made one. (On file systems that know no unnamed files it is made under the name
// ".rondo-tmp-RANDOM" beside its place and renamed; a creator killed there leaves that file
// behind.)
//
// Everything that stands at a name is hostile until proved sound: it has to be a regular file of
// this user with one link, which no other user may write. The contents are judged by check_header()
// (segment_header.hpp).
//
// A file can be truncated while processes map it. Access to the missing bytes then reads zeros and
// truncated() says so, instead of ending the process with SIGBUS: mappings are guarded by a signal
// handler, installed with the first of them, that passes on every fault that is not theirs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rondo/core/callback.hpp"
#include "rondo/core/permissions.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

enum class Backing : std::uint8_t {
  kSharedMemory,  // POSIX shared memory, named: the file /dev/shm/rondo-NAME
  kFile,          // a file at a path, mapped
  kSystemV,       // a System V segment, at its key, and a file of locks for it
  kMemfd,         // a nameless file in memory, sealed against changes of size, handed on as an fd
  kAnonymous,     // nameless memory that forked children inherit
  kHeap           // memory of this process alone
};

// The file name of a named shared memory segment starts with this.
inline constexpr std::string_view kSharedMemoryPrefix = "rondo-";
// The longest name of a shared memory segment, without the prefix. Windows will do with it too.
inline constexpr std::size_t kMaxSegmentNameBytes = 200;

// What a segment is called. Shared memory: 1 to 200 bytes, no '/', no "..", no control characters.
// File: a path whose last part is a file's name. System V segment: its key, decimal or with 0x, and
// not 0. The others have no name.
struct SegmentName {
  Backing backing = Backing::kSharedMemory;
  std::string name;

  [[nodiscard]] bool operator==(const SegmentName&) const = default;
};

// As people have it: "shm:NAME", "file:PATH", "sysv-shm:KEY", "memfd", "anonymous memory", "heap".
[[nodiscard]] RONDO_API std::string to_string(const SegmentName& name);

enum class HugePages : std::uint8_t {
  kNo,
  kTry,     // take them if they can be had
  kRequire  // kUnsupported otherwise
};

enum class Access : std::uint8_t { kReadWrite, kReadOnly };

struct SegmentOptions {
  // Creating: the file's permissions, exactly (the umask does not matter). Attaching: permissions
  // to write that others may have at most; a mode that lets group or others in also accepts files
  // that belong to other users.
  Permissions mode = 0600;
  // Creating shared memory or a file: the group that it is given before any process can see it, by
  // number or by its name in /etc/group; this process has to be in it. Empty: as the system has it.
  std::string group = {};
  HugePages huge_pages = HugePages::kNo;  // memfd: huge page file; others: transparent ones
  bool lock = false;                      // keep it in RAM (mlock)
  int numa_node = -1;                     // place its pages there when creating; -1: anywhere
  bool prefault = true;                   // map all pages now; they are reserved in any case
  // Memfd: sealed so that no process but the creator, through the mapping made here, can ever write
  // it or take memory away from it (F_SEAL_FUTURE_WRITE), and of pages of the system's size.
  // Attaching: refused without that seal, or with other pages.
  bool sole_writer = false;
  std::size_t file_bytes = 0;  // attaching: the size that the file has to have; 0: any
};

// What of the options was obtained. Wishes other than HugePages::kRequire may go unfulfilled; notes
// says why, one sentence each.
struct SegmentReport {
  std::size_t size_bytes = 0;
  std::size_t page_bytes = 0;       // of the pages that the kernel promises for this mapping
  std::size_t huge_page_bytes = 0;  // how much of it lay in huge pages when it was set up
  bool huge_pages = false;          // all of it, but for what is less than a huge page
  bool locked = false;
  int numa_node = -1;  // the node asked for, if the kernel accepted it
  bool prefaulted = false;
  bool guarded = false;  // truncation is survived
  std::vector<std::string> notes;
};

// The number of a System V segment, in its IPC namespace.
using SystemVId = int;
inline constexpr SystemVId kNoSystemV = -1;

// Which file a segment is, beyond its name: copied for looking later whether the name still
// leads there.
struct SegmentIdentity {
  std::string path;  // where the name's file lies; empty: it has no name
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  // kSystemV: the number of the segment, and the key that leads to it.
  SystemVId system_v = kNoSystemV;
  std::uint32_t key = 0;
};

// Whether the name still leads to this very file. True for segments that have no name.
[[nodiscard]] RONDO_API bool is_at_its_name(const SegmentIdentity& identity) noexcept;

// Removes the name if it still leads to this very file; false if it doesn't, or can't be removed.
// Caller: holds the membership lock (liveness.hpp), so that no other removes and creates anew
// between the look and the removal.
RONDO_API bool remove_if_at_its_name(const SegmentIdentity& identity) noexcept;

class RONDO_API Segment {
 public:
  // Writes the contents of a new segment, all zero so far, before any other process can see it. An
  // error it returns becomes create()'s, and nothing remains.
  using Fill = FunctionRef<Result<void>(std::span<std::byte>)>;

  // Makes a segment of `size_bytes`, reserved in full, fills it, and gives it its name.
  // Blocking. Errors: kInvalidName, kInvalidCapacity (0 or above kMaxSegmentBytes),
  // kInvalidOption (no such group), kAlreadyExists, kPermission, kNoDirectory, kNoSpace,
  // kNoDescriptors, kUnsupported, kSystem; and what `fill` returns.
  static Result<Segment> create(const SegmentName& name, std::size_t size_bytes,
                                const SegmentOptions& options, const Fill& fill);

  // Maps the segment that stands at a name. Never blocks on a peer.
  // Errors: kInvalidName, kNotFound, kNoDirectory, kForeignObject (no regular file, or with several
  // links), kForeignOwner, kTooSmall (less than a page, or less memory behind it than its size),
  // kSizeMismatch (options.file_bytes), kReplaced (while it was opened), kPermission, kNoSpace,
  // kNoDescriptors, kSystem.
  static Result<Segment> attach(const SegmentName& name, const SegmentOptions& options = {},
                                Access access = Access::kReadWrite);

  // Maps a memfd that was handed over; `fd` stays the caller's. It has to be sealed against growing
  // and shrinking, and with options.sole_writer against writing. What is no memfd is refused before
  // anything is done with it that might wait. Errors: kForeignObject (no memfd), kUnsealed,
  // kUnsupported (of huge pages, with options.sole_writer), and attach()'s.
  static Result<Segment> attach_fd(NativeHandle fd, const SegmentOptions& options = {},
                                   Access access = Access::kReadWrite);

  // A segment of kind kHeap over memory that the caller supplies, aligned to kSharingRange and
  // zeroed. `release` is called once the segment is gone.
  // Errors: kMisaligned, kNoDescriptors, kSystem.
  static Result<Segment> over(std::span<std::byte> memory, Callback<void()> release = {});

  // Removes a name, whether participants are attached or not: those that are keep the segment. With
  // Remove::kIfUnused nothing is removed while one is, and none can come in between.
  // Errors: kInvalidName, kNotFound, kNoDirectory, kForeignObject, kBusy, kPermission, kSystem.
  enum class Remove : std::uint8_t { kAlways, kIfUnused };
  static Result<void> remove(const SegmentName& name, Remove how = Remove::kAlways);

  Segment(Segment&&) noexcept;
  Segment& operator=(Segment&&) noexcept;
  ~Segment();

  // All of the segment. Addresses stay when the Segment is moved.
  [[nodiscard]] std::span<std::byte> bytes() const noexcept;
  [[nodiscard]] const SegmentReport& report() const noexcept;
  [[nodiscard]] const SegmentName& name() const noexcept;
  [[nodiscard]] const SegmentIdentity& identity() const noexcept;
  [[nodiscard]] Access access() const noexcept;

  // The file behind the mapping, to be handed on; -1 for heap, anonymous and System V memory.
  [[nodiscard]] NativeHandle fd() const noexcept;
  // Opens that file anew, for a description with an access and locks of its own. The caller closes
  // it. Errors: kUnsupported (no file, or no /proc), kPermission, kNoDescriptors, kSystem.
  [[nodiscard]] Result<NativeHandle> open_description(Access access) const;
  // The file whose bytes stand for participants (liveness.hpp): fd(); where there is none, the one
  // beside a System V segment, or an empty memfd.
  [[nodiscard]] NativeHandle lock_fd() const noexcept;

  // Lets the pages from `offset` on, a multiple of a page, show another memfd's contents instead,
  // read-only: `part` is mapped there, at once for all threads, and need not be kept. Its whole
  // pages have to lie within this segment. Errors: kMisaligned (also: it has pages of another
  // size), kTooSmall, kSystem.
  Result<void> overlay(std::size_t offset, const Segment& part);

  // Whether the name still leads to this very file. A system call.
  [[nodiscard]] bool still_at_its_name() const noexcept;
  // Whether an access met bytes that were no longer there. The contents can't be trusted any more.
  // Progress: wait-free.
  [[nodiscard]] bool truncated() const noexcept;

 private:
  struct State;
  explicit Segment(std::unique_ptr<State> state) noexcept;
  friend class SegmentBuilder;

  std::unique_ptr<State> state_;
};

}  // namespace rondo::inline RONDO_ABI
