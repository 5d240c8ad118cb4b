#include "rondo/core/result.hpp"

namespace rondo::inline RONDO_ABI {

std::string_view to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalidName: return "invalid name";
    case ErrorCode::kInvalidUrl: return "invalid URL";
    case ErrorCode::kInvalidOption: return "invalid option";
    case ErrorCode::kInvalidCapacity: return "invalid capacity";
    case ErrorCode::kUnsupported: return "unsupported";
    case ErrorCode::kNotFound: return "not found";
    case ErrorCode::kNoDirectory: return "no directory";
    case ErrorCode::kAlreadyExists: return "already exists";
    case ErrorCode::kPermission: return "permission denied";
    case ErrorCode::kForeignObject: return "not a regular file of its own";
    case ErrorCode::kForeignOwner: return "foreign owner";
    case ErrorCode::kReplaced: return "replaced while opening";
    case ErrorCode::kTooSmall: return "too small";
    case ErrorCode::kSizeMismatch: return "size mismatch";
    case ErrorCode::kNotReady: return "not ready";
    case ErrorCode::kBadMagic: return "bad magic";
    case ErrorCode::kBadByteOrder: return "bad byte order";
    case ErrorCode::kBadVersion: return "bad version";
    case ErrorCode::kBadKind: return "bad kind";
    case ErrorCode::kBadGeometry: return "bad geometry";
    case ErrorCode::kGeometryMismatch: return "geometry mismatch";
    case ErrorCode::kMisaligned: return "misaligned";
    case ErrorCode::kUnsealed: return "unsealed";
    case ErrorCode::kCorrupt: return "corrupt";
    case ErrorCode::kBusy: return "busy";
    case ErrorCode::kNoSlot: return "no free slot";
    case ErrorCode::kPeerGone: return "peer gone";
    case ErrorCode::kTimedOut: return "timed out";
    case ErrorCode::kForked: return "inherited by fork";
    case ErrorCode::kNoSpace: return "no space";
    case ErrorCode::kNoDescriptors: return "no descriptors";
    case ErrorCode::kSystem: return "system error";
  }
  return "unknown error";
}

}  // namespace rondo::inline RONDO_ABI
