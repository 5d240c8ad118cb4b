// What the Linux sources of core share: descriptors, small files of the system, and its errors in
// words.
#pragma once

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "rondo/core/descriptor.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

[[nodiscard]] inline ErrorCode code_for(int error) noexcept {
  switch (error) {
    case ENOENT:
    case ENOTDIR: return ErrorCode::kNotFound;
    case EEXIST: return ErrorCode::kAlreadyExists;
    case EACCES:
    case EPERM:
    case EROFS: return ErrorCode::kPermission;
    case ELOOP:
    case EISDIR:
    case ENXIO: return ErrorCode::kForeignObject;
    case ENAMETOOLONG: return ErrorCode::kInvalidName;
    case ENOSPC:
    case ENOMEM:
    case EDQUOT:
    case EFBIG: return ErrorCode::kNoSpace;
    case EMFILE:
    case ENFILE: return ErrorCode::kNoDescriptors;
    case ENOSYS:
    case EOPNOTSUPP: return ErrorCode::kUnsupported;
    default: return ErrorCode::kSystem;
  }
}

// `action`: what failed, on what, e.g. "can't open shm:prices". The system's own words are added.
[[nodiscard]] inline Error system_error(int error, const std::string& action) {
  std::string message = action + ": " + std::strerror(error);
  switch (code_for(error)) {
    case ErrorCode::kNoDescriptors: message += "; close some or raise `ulimit -n`"; break;
    case ErrorCode::kNoSpace: message += "; free some, or ask for a smaller capacity"; break;
    default: break;
  }
  return Error{code_for(error), std::move(message)};
}

// What stands in a file of the system, such as /proc/meminfo; empty if it can't be read.
[[nodiscard]] std::string read_text(const std::string& path);

// Repeats a system call that a signal interrupted.
template <class Call>
auto retry_interrupted(Call&& call) noexcept {
  decltype(call()) result;
  do {
    result = call();
  } while (result == -1 && errno == EINTR);
  return result;
}

}  // namespace rondo::inline RONDO_ABI::detail
