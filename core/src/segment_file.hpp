// The files behind segments: judged when opened, complete when they appear.
#pragma once

#include <string>

#include "rondo/core/descriptor.hpp"
#include "rondo/core/os.hpp"
#include "rondo/core/permissions.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Whether segments of this kind have names: shared memory, files and System V segments do.
[[nodiscard]] bool has_name(Backing backing) noexcept;

// Why nothing can be called this; empty if it can. For backings that have names.
[[nodiscard]] std::string name_problem(const SegmentName& name);

// kInvalidName unless something can be called this, or is rightly called nothing.
[[nodiscard]] Result<void> check_name(const SegmentName& name);
// kInvalidName unless something can be called this.
[[nodiscard]] Result<void> check_named(const SegmentName& name);

// Where a name's file lies, independent of the working directory.
[[nodiscard]] std::string path_of(const SegmentName& name);

// What a failed system call means that looked for `path`, or was to make it: kNoDirectory where
// nothing can be, else the error in words (system_error()).
[[nodiscard]] Error error_at(const std::string& path, const std::string& what, int error,
                             const std::string& action);

// Whether what was found, a file or the like, is a regular one of this user, with one link, that no
// user may write that `mode` keeps out. Errors: kForeignObject, kForeignOwner, kReplaced.
[[nodiscard]] Result<void> judge_file(const FileStatus& status, const std::string& what,
                                      Permissions mode);

// Opens what stands at `path` after judging it: a regular file of this user, with one link, that
// no user may write that `mode` keeps out. `what` names it in messages. Never opens anything else,
// not even for a moment: to open a device can have effects.
[[nodiscard]] Result<UniqueFd> open_checked(const std::string& path, const std::string& what,
                                            Access access, Permissions mode);

// Opens the file behind `fd` anew, for a file description of its own. Errors: kUnsupported when
// there is no /proc to do it through.
[[nodiscard]] Result<UniqueFd> reopen(NativeHandle fd, Access access, const std::string& what);

// A file that is being made: without a name, or with a temporary one where the file system can't do
// without. Destroying it unpublished leaves nothing.
class NewFile {
 public:
  // With the options' mode and group.
  static Result<NewFile> create(const std::string& path, const std::string& what,
                                const SegmentOptions& options);

  NewFile(NewFile&&) noexcept = default;
  NewFile& operator=(NewFile&&) = delete;
  ~NewFile();

  [[nodiscard]] NativeHandle fd() const noexcept { return fd_.get(); }
  // Gives it its name, unless something has it already (kAlreadyExists). Returns the descriptor.
  [[nodiscard]] Result<UniqueFd> publish() &&;

 private:
  NewFile(UniqueFd fd, std::string path, std::string temporary, std::string what)
      : fd_(std::move(fd)),
        path_(std::move(path)),
        temporary_(std::move(temporary)),
        what_(std::move(what)) {}

  UniqueFd fd_;
  std::string path_;
  std::string temporary_;  // empty: it has no name yet
  std::string what_;
};

// A nameless file in memory, of huge pages if `huge`.
[[nodiscard]] Result<UniqueFd> make_memfd(const std::string& what, Permissions mode, bool huge);

}  // namespace rondo::inline RONDO_ABI::detail
