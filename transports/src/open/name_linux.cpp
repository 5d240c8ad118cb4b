#include <cerrno>
#include <system_error>

#include "open/name.hpp"
#include "rondo/core/directory.hpp"

namespace rondo::inline RONDO_ABI::detail {

Error system_error(const Url& url, std::string_view call, int error) {
  if (error == ENOENT || error == ENOTDIR) {
    if (auto missing = missing_directory(url.target, url.name())) return *std::move(missing);
  }
  ErrorCode code = ErrorCode::kSystem;
  switch (error) {
    case EACCES:
    case EPERM:
    case EROFS: code = ErrorCode::kPermission; break;
    case ENOENT:
    case ENOTDIR: code = ErrorCode::kNotFound; break;
    case EMFILE:
    case ENFILE: code = ErrorCode::kNoDescriptors; break;
    case ENOSPC:
    case ENOMEM:
    case EDQUOT: code = ErrorCode::kNoSpace; break;
    case ELOOP: code = ErrorCode::kForeignObject; break;
    default: break;
  }
  return Error{
      code, url.name() + ": " + std::string(call) + ": " + std::generic_category().message(error)};
}

}  // namespace rondo::inline RONDO_ABI::detail
