// Paths, and whether anything can stand at one. For Rondo's own sources.
#pragma once

#include <optional>
#include <string>

#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// The directory part of a path; "." if it has none.
[[nodiscard]] RONDO_API std::string directory_of(const std::string& path);

// The same path, wherever this process goes later; as it is without a working directory.
[[nodiscard]] RONDO_API std::string absolute_path(const std::string& path);

// Why nothing can come to stand at `path`, as long as the system is as it is: its directory is
// missing (kNoDirectory), or it is that of shared memory, unwritable, with nothing mounted there.
// To be asked when a file can't be found or made: a process that waits for it would wait for ever.
// `what` is its name for people.
[[nodiscard]] RONDO_API std::optional<Error> missing_directory(const std::string& path,
                                                               const std::string& what);

}  // namespace rondo::inline RONDO_ABI::detail
